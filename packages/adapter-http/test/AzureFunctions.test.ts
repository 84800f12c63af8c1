import { AzureFunctions } from "@helios-infra/adapter-http"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted, Result } from "effect"
import { attempt, failureOf, jobFile, run, until } from "./Attempts.ts"
import * as FakePlatform from "./FakePlatform.ts"
import * as FakeWorker from "./FakeWorker.ts"

const key = Redacted.make("the function's key")

/** The load balancer's 230 seconds, so that a test can wait for them. */
const idleMs = 300

/** A function app as Azure would have it: the key in its header, sizes, times, and no more than it can take. */
const functionApp = Effect.fnUntraced(function* (worker: FakeWorker.Options, capacity: number = 10) {
  const inside = yield* FakeWorker.make(worker)
  const outside = yield* FakePlatform.make({
    worker: inside.url,
    guard: ({ headers, method, url = "" }) => {
      if (url.length > 4096) return { status: 414 }
      if (url !== "/api/render") return { status: 404 }
      if (method !== "POST") return { status: 404 }
      return headers["x-functions-key"] === Redacted.value(key) ? undefined : { status: 401 }
    },
    maxBodyBytes: 104_857_600,
    tooLarge: { status: 413 },
    capacity,
    full: { status: 429, body: "Too Busy" },
    idleMs,
    idle: { status: 502, body: "<html>502 - Web server received an invalid response</html>" }
  })
  return { inside, outside, options: { app: outside.origin, function: "render", key } }
})

describe("the options for a function", () => {
  const urlOf = (more: Partial<AzureFunctions.FunctionOptions>) =>
    AzureFunctions.options({ app: "films", function: "render", ...more }).url

  it("name its address", () => {
    assert.strictEqual(urlOf({}), "https://films.azurewebsites.net/api/render")
    assert.strictEqual(urlOf({ routePrefix: "" }), "https://films.azurewebsites.net/render")
    assert.strictEqual(
      urlOf({ routePrefix: "/v1/", function: "/chunks/render" }),
      "https://films.azurewebsites.net/v1/chunks/render"
    )
    assert.strictEqual(
      urlOf({ app: "https://films-x1.westeurope-01.azurewebsites.net/" }),
      "https://films-x1.westeurope-01.azurewebsites.net/api/render"
    )
  })

  it("say how long it can take: 230 seconds where it does not stream, else as long as its plan lets it", () => {
    const secondsOf = (more: Partial<AzureFunctions.FunctionOptions>) => {
      const { maxDuration = 0 } = AzureFunctions.options({ app: "films", function: "render", ...more })
      return Duration.toSeconds(Duration.fromInputUnsafe(maxDuration))
    }
    assert.strictEqual(secondsOf({}), 230)
    assert.strictEqual(secondsOf({ functionTimeout: "1 minute" }), 60)
    assert.strictEqual(secondsOf({ streams: true, plan: "consumption" }), 300)
    assert.strictEqual(secondsOf({ streams: true }), 1800)
    assert.strictEqual(secondsOf({ streams: true, functionTimeout: "3 hours" }), 10_800)
  })
})

describe("a function app", () => {
  it.live("gets what it expects, and its worker answers", () =>
    Effect.gen(function* () {
      const { inside, options } = yield* functionApp({})
      const auth = { secret: Redacted.make("between us") }
      Result.getOrThrow((yield* run(AzureFunctions.options({ ...options, auth }))).result)
      assert.match(String(inside.requests[0]?.headers["x-helios-signature"]), /^t=/)
    })
  )

  it.live("without the key, or with another, refuses", () =>
    Effect.gen(function* () {
      const { options, outside } = yield* functionApp({})
      for (const wrong of [undefined, Redacted.make("another")]) {
        const error = failureOf(yield* run(AzureFunctions.options({ ...options, key: wrong })))
        assert.include(error.reason, { _tag: "Refused", why: "Unauthorized" })
        assert.strictEqual(error.adapter, "azure-functions")
      }
      assert.include(failureOf(yield* run(AzureFunctions.options({ ...options, function: "other" }))).reason, {
        why: "NotFound"
      })
      assert.strictEqual(outside.passed(), 0)
    })
  )

  it.live("that is busy is asked later", () =>
    Effect.gen(function* () {
      const { inside, options } = yield* functionApp({}, 1)
      inside.jobs.set(jobFile, "hang")
      yield* Effect.forkScoped(run(AzureFunctions.options(options)))
      yield* until(() => inside.running() === 1)
      assert.strictEqual(failureOf(yield* run(AzureFunctions.options(options))).reason._tag, "Throttled")
    })
  )

  it.live("ends what is silent too long, which is not tried on another way; one that streams goes on", () =>
    Effect.gen(function* () {
      const silent = yield* functionApp({ events: false })
      silent.inside.jobs.set(jobFile, "hang")
      const options = AzureFunctions.options(silent.options)
      const { reason } = failureOf(yield* run({ ...options, maxDuration: idleMs }))
      assert.include(reason, { _tag: "TimedOut", limit: "platform" })
      assert.match(reason.message, /make chunks smaller/)

      const streaming = yield* functionApp({
        respond: (exchange) => {
          exchange.begin()
          const beating = setInterval(() => exchange.send({ event: "heartbeat" }), FakeWorker.heartbeatMs)
          setTimeout(() => {
            clearInterval(beating)
            FakeWorker.succeed(exchange)
          }, 3 * idleMs)
        }
      })
      Result.getOrThrow((yield* run(AzureFunctions.options({ ...streaming.options, streams: true }))).result)
    })
  )

  it.live("is not sent what it would not take", () =>
    Effect.gen(function* () {
      const { options, outside } = yield* functionApp({})
      const job = { ...attempt(), env: { LARGE: "x".repeat(104_857_600) } }
      const { reason } = failureOf(yield* run(AzureFunctions.options(options), job))
      assert.include(reason, { _tag: "Refused", why: "TooLarge" })
      assert.strictEqual(outside.passed(), 0)
    })
  )
})
