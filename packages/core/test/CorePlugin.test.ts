import { assert, describe, it } from "@effect/vitest"
import { CorePlugin, JobRepository, OutputCheck, Plugin, type WorkerAdapter, Workspace } from "@helios-infra/core"
import { Effect, Layer } from "effect"
import * as Fakes from "./Fakes.ts"

const plugins = Plugin.registry<Workspace.Workspace>([CorePlugin.memory, CorePlugin.presence, CorePlugin.trusting])

const machine = Fakes.machine()
const workspace = Layer.succeed(Workspace.Workspace, machine.workspace)

const place = "/job/never-written"
const job: WorkerAdapter.WorkerJob = {
  id: "job/merge/1.1",
  command: "join",
  meta: { _tag: "Merge", jobId: "job", run: 1, attempt: 1, output: { _tag: "File", path: place } }
}
const result = { exitCode: 0, stdout: "", stderr: "", durationMs: 0, output: { location: place, bytes: 0 } }

const checkOf = Effect.fnUntraced(function* (type: string) {
  const registry = yield* plugins
  const layer = yield* registry.resolve("outputCheck", { type })
  return yield* Effect.provide(OutputCheck.OutputCheck, Layer.provide(layer, workspace))
})

describe("what core offers to configurations", () => {
  it.effect("keeps jobs in memory", () =>
    Effect.gen(function* () {
      const layer = yield* (yield* plugins).resolve("repository", { type: "memory" })
      const { guarantees } = yield* Effect.provide(JobRepository.JobRepository, Layer.provide(layer, workspace))
      assert.isTrue(guarantees.fencing)
    })
  )

  it.effect("believes workers, or looks whether there is a file", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* (yield* checkOf("trusting")).check(job, result), result.output)
      assert.match((yield* Effect.flip((yield* checkOf("presence")).check(job, result))).message, /no file/)
    })
  )

  it.effect("has no options", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* plugins).resolve("outputCheck", { type: "presence", decode: "full" }))
      assert.strictEqual(error.message, 'outputCheck "presence": decode is not an option: there are none')
    })
  )
})
