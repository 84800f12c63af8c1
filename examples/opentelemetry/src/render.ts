// Renders film.mp4 in the current folder, every other chunk by a process of this machine, the rest by the worker of
// worker.ts at WORKER_URL, and tells OpenTelemetry what happened.
import { NodeRuntime } from "@effect/platform-node"
import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import { FolderArtifactStorage, LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { ChunkPlan, JobManager, JobRepository, WorkerAdapter } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { Config, Effect, Layer } from "effect"
import { fileURLToPath } from "node:url"
import * as telemetry from "./telemetry.ts"

const chunks = { draw: fileURLToPath(new URL("draw.ts", import.meta.url)), count: 4, frames: 48 }

/** Attempts at chunks with even ids run here, the others on the worker. */
const adapter = Effect.gen(function* () {
  const { endpoint, secret, url } = yield* Config.all({
    endpoint: Config.String("OTEL_EXPORTER_OTLP_ENDPOINT").pipe(Config.withDefault("http://localhost:4318")),
    secret: Config.Redacted("WORKER_SECRET"),
    url: Config.String("WORKER_URL")
  })
  const here = yield* LocalWorkerAdapter.make({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } })
  const there = yield* HttpWorkerAdapter.make({ url, auth: { bearer: secret } })
  return WorkerAdapter.make({
    info: { name: "here-and-there", where: "remote", stop: "best-effort", concurrency: 2 },
    execute: (job, signal) => (Number(WorkerAdapter.chunkId(job)) % 2 === 0 ? here : there).execute(job, signal)
  })
})

const program = Effect.gen(function* () {
  const jobs = yield* JobManager.JobManager
  const spec = yield* ChunkPlan.make({
    totalFrames: chunks.frames,
    fps: 24,
    width: 160,
    height: 90,
    chunks: { count: chunks.count },
    command: [process.execPath, ...process.execArgv, chunks.draw, "{startFrame}", "{frameCount}", "{output}"]
      .map((word) => `'${word}'`)
      .join(" ")
  })
  const { id } = yield* jobs.create(spec, { id: "film" })
  const { outputFile } = yield* jobs.run(id, { outputFile: "film.mp4" })
  yield* Effect.logInfo(`rendered ${outputFile}`)
}).pipe(Effect.withSpan("make-a-film"))

const services = JobManager.layer.pipe(
  Layer.provide([
    JobRepository.layerMemory,
    Layer.effect(WorkerAdapter.WorkerAdapter, adapter),
    FfmpegStitcher.layer(),
    FfmpegOutputCheck.layer(),
    FolderArtifactStorage.layer({ dir: "artifacts" })
  ]),
  Layer.provide(LocalWorkspace.layer({ dir: "." })),
  Layer.provideMerge(telemetry.layer("orchestrator"))
)

NodeRuntime.runMain(Effect.provide(program, services))
