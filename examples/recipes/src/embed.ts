// Runs a job file and prints how far it is. Usage: node embed.ts job.json out.mp4
import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"

const [jobFile = "job.json", outputFile = "out.mp4"] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const jobs = yield* JobManager.JobManager
  const spec: unknown = JSON.parse(yield* Effect.promise(() => readFile(jobFile, "utf8")))
  const job = yield* jobs.create(spec)
  yield* jobs.start(job.id, { outputFile: resolve(outputFile), concurrency: 2 })
  yield* Stream.runForEach(jobs.watch(job.id), ({ fraction }) => Console.log(`${Math.round(fraction * 100)} %`))
  const { error, status } = yield* jobs.get(job.id)
  yield* Console.log(error?.message ?? status)
})

const services = JobManager.layer.pipe(
  Layer.provide([
    JobRepository.layerMemory,
    LocalWorkerAdapter.layer(),
    FfmpegStitcher.layer(),
    FfmpegOutputCheck.layer()
  ]),
  Layer.provide(LocalWorkspace.layer({ dir: dirname(resolve(jobFile)) }))
)
NodeRuntime.runMain(program.pipe(Effect.provide(services)))
