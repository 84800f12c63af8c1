import { CloudRunPlugin } from "@helios-infra/adapter-cloudrun"
import { Plugin, WorkerAdapter } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { attempt } from "../../adapter-http/test/Attempts.ts"
import * as CloudRunService from "./CloudRunService.ts"

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([CloudRunPlugin.worker])
  return yield* registry.resolve("worker", { type: "cloud-run", ...options })
})

describe('{ "type": "cloud-run" }', () => {
  it.live("calls the service that its options name", () =>
    Effect.gen(function* () {
      const audience = "https://render.films.example"
      const { serviceUrl, worker } = yield* CloudRunService.make({ audience })
      const layer = yield* resolve({
        serviceUrl,
        audience,
        auth: { bearer: "TOKEN" },
        headers: { "x-team": "a" },
        concurrency: 50,
        maxConcurrency: 40,
        maxDuration: "15 minutes",
        idleTimeout: "1 minute",
        connectTimeout: 1000,
        jobDefUrl: "https://jobs.example/job.json"
      })
      const variables = ConfigProvider.layer(ConfigProvider.fromUnknown({ TOKEN: "the token" }))
      const info = yield* WorkerAdapter.WorkerAdapter.use((adapter) =>
        Effect.as(
          adapter.execute(attempt(), () => {}),
          adapter.info
        )
      ).pipe(Effect.provide(Layer.provide(layer, variables)))
      assert.include(info, { name: "cloud-run", concurrency: 40 })
      assert.include(worker.requests[0]?.headers, { authorization: "Bearer the token", "x-team": "a" })
    })
  )

  it.effect("says every option that is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve({ url: "https://render.example", concurrency: 0 }))
      assert.match(error.message, /serviceUrl is missing/)
      assert.match(error.message, /concurrency must be/)
      assert.match(error.message, /url is not an option/)
    })
  )
})
