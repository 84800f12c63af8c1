import { readFileSync } from "node:fs"
import { NodeRuntime } from "@effect/platform-node"
import { ConfigServices } from "@helios-infra/config"
import { JobManager } from "@helios-infra/core"
import { Console, Effect, Layer } from "effect"

const program = Effect.gen(function* () {
  const jobs = yield* JobManager.JobManager
  const job = yield* jobs.create(JSON.parse(readFileSync("job.json", "utf8")))
  const { outputFile } = yield* jobs.run(job.id, { outputFile: "film.mp4" })
  yield* Console.log(outputFile)
})

const services = JobManager.layer.pipe(Layer.provide(ConfigServices.layer()))
NodeRuntime.runMain(Effect.provide(program, services))
