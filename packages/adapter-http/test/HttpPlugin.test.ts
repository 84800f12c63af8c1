import { HttpPlugin } from "@helios-infra/adapter-http"
import { Plugin, WorkerAdapter } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { attempt } from "./Attempts.ts"
import * as FakeWorker from "./FakeWorker.ts"

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([HttpPlugin.worker])
  return yield* registry.resolve("worker", { type: "http", ...options })
})

describe('{ "type": "http" }', () => {
  it.live("calls the worker that its options name, with the secrets that its variables hold", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make({ respond: FakeWorker.succeed })
      const layer = yield* resolve({
        url: worker.url,
        auth: { bearer: "TOKEN", key: { header: "x-key", value: "KEY" }, secret: "SECRET" },
        headers: { "x-team": "a" },
        concurrency: 50,
        maxConcurrency: 40,
        maxDuration: "1 hour",
        maxRequestBytes: 1_000_000,
        idleTimeout: "1 minute",
        connectTimeout: 1000,
        jobDefUrl: "https://jobs.example/job.json",
        name: "farm"
      })
      const variables = ConfigProvider.fromUnknown({ TOKEN: "the token", KEY: "the key", SECRET: "the secret" })
      const info = yield* WorkerAdapter.WorkerAdapter.use((adapter) =>
        Effect.as(
          adapter.execute(attempt(), () => {}),
          adapter.info
        )
      ).pipe(Effect.provide(Layer.provide(layer, ConfigProvider.layer(variables))))
      assert.include(info, { name: "farm", concurrency: 40 })
      assert.include(worker.requests[0]?.headers, {
        authorization: "Bearer the token",
        "x-key": "the key",
        "x-team": "a"
      })
      assert.match(String(worker.requests[0]?.headers["x-helios-signature"]), /^t=\d+,v1=/)
    })
  )

  it.effect("does not start without a variable that it names, and says which", () =>
    Effect.gen(function* () {
      const auth = { bearer: "NO_SUCH_TOKEN", key: { header: "x-key", value: "KEY" }, secret: "NO_SUCH_SECRET" }
      const layer = yield* resolve({ url: "https://workers.example/", auth })
      const nothing = ConfigProvider.layer(ConfigProvider.fromUnknown({ KEY: "the key" }))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.provide(layer, nothing))))
      assert(error.reason._tag === "InvalidConfig")
      assert.deepStrictEqual(error.reason.issues, [
        { path: "auth.bearer", message: "names the environment variable NO_SUCH_TOKEN, which is not set" },
        { path: "auth.secret", message: "names the environment variable NO_SUCH_SECRET, which is not set" }
      ])
    })
  )

  it.effect("says every option that is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve({ url: "workers.example", concurrency: 0, token: "t" }))
      assert.match(error.message, /url must be an http or https URL/)
      assert.match(error.message, /concurrency must be/)
      assert.match(error.message, /token is not an option/)
    })
  )
})
