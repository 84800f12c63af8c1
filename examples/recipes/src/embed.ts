import { readFileSync } from "node:fs"
import { NodeRuntime } from "@effect/platform-node"
import { LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { Console, Effect, Layer } from "effect"

const program = Effect.gen(function* () {
  const jobs = yield* JobManager.JobManager
  const job = yield* jobs.create(JSON.parse(readFileSync("job.json", "utf8")))
  const { outputFile } = yield* jobs.run(job.id, { outputFile: "film.mp4", retries: 3 })
  yield* Console.log(outputFile)
})

const tools = [LocalWorkerAdapter.layer(), FfmpegStitcher.layer(), FfmpegOutputCheck.layer()] as const
const services = JobManager.layer.pipe(
  Layer.provide([JobRepository.layerMemory, ...tools]),
  Layer.provide(LocalWorkspace.layer({ dir: "." }))
)
NodeRuntime.runMain(Effect.provide(program, services))
