import { AwsPlugin } from "@helios-infra/adapter-aws"
import { Plugin, WorkerAdapter } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([AwsPlugin.worker])
  return yield* registry.resolve("worker", { type: "aws-lambda", ...options })
})

describe('{ "type": "aws-lambda" }', () => {
  it.effect("calls the function that its options name", () =>
    Effect.gen(function* () {
      const layer = yield* resolve({
        functionName: "render",
        qualifier: "live",
        region: "eu-west-1",
        endpoint: "http://127.0.0.1:1",
        concurrency: 50,
        maxConcurrency: 40,
        jobDefUrl: "https://jobs.example/job.json"
      })
      const { info } = yield* WorkerAdapter.WorkerAdapter.pipe(Effect.provide(layer))
      assert.strictEqual(info.name, "aws-lambda")
      assert.strictEqual(info.concurrency, 40)
    })
  )

  it.effect("says every option that is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve({ function: "render", concurrency: 0 }))
      assert.match(error.message, /functionName is missing/)
      assert.match(error.message, /concurrency must be/)
      assert.match(error.message, /function is not an option/)
    })
  )
})
