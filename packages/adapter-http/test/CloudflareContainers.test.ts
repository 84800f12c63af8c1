import { CloudflareContainers } from "@helios-infra/adapter-http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import { attempt, failureOf, jobFile, run, until } from "./Attempts.ts"
import * as FakePlatform from "./FakePlatform.ts"
import * as FakeWorker from "./FakeWorker.ts"

const access = { clientId: "1.access", clientSecret: Redacted.make("the token's secret") }

/** The 120 seconds after which Cloudflare answers for who does not, so that a test can wait for them. */
const idleMs = 300

/** A Worker before containers as Cloudflare would have it: behind Access, with sizes, times and no more than it can start. */
const containers = Effect.fnUntraced(function* (worker: FakeWorker.Options, capacity: number = 10) {
  const inside = yield* FakeWorker.make(worker)
  const outside = yield* FakePlatform.make({
    worker: inside.url,
    guard: ({ headers }) =>
      headers["cf-access-client-id"] === access.clientId &&
      headers["cf-access-client-secret"] === Redacted.value(access.clientSecret)
        ? undefined
        : {
            status: 302,
            headers: { location: "https://team.cloudflareaccess.com/cdn-cgi/access/login/render.example?kid=1" }
          },
    maxBodyBytes: 100_000_000,
    tooLarge: { status: 413 },
    capacity,
    full: { status: 503, body: "There is no Container instance available at this time." },
    idleMs,
    idle: { status: 524 }
  })
  return { inside, outside, options: { url: `${outside.origin}/render`, access } }
})

describe("the options for containers", () => {
  it("say how many there are, one chunk in each, and what the zone's plan takes", () => {
    const options = CloudflareContainers.options({ url: "https://render.example/", maxInstances: 40, plan: "business" })
    assert.deepInclude(options, { concurrency: 40, maxConcurrency: 40, maxRequestBytes: 200_000_000 })
    assert.deepInclude(CloudflareContainers.options({ url: "https://render.example/" }), { maxConcurrency: 10 })
    // A Worker can stream as long as somebody listens.
    assert.notProperty(options, "maxDuration")
  })
})

describe("a Worker before containers", () => {
  it.live("gets what Access expects, beside the secrets of the worker itself", () =>
    Effect.gen(function* () {
      const { inside, options } = yield* containers({})
      const given = { ...options, headers: { "x-team": "a" }, auth: { bearer: Redacted.make("the token") } }
      Result.getOrThrow((yield* run(CloudflareContainers.options(given))).result)
      assert.include(inside.requests[0]?.headers, { authorization: "Bearer the token", "x-team": "a" })
    })
  )

  it.live("behind Access, without its token, leads to a page to sign in, where nothing is sent", () =>
    Effect.gen(function* () {
      const { options, outside } = yield* containers({})
      const error = failureOf(yield* run(CloudflareContainers.options({ url: options.url })))
      assert.include(error.reason, { _tag: "Refused" })
      assert.match(
        error.message,
        /on cloudflare-containers: .*team\.cloudflareaccess\.com.*credentials that need no sign-in/
      )
      assert.strictEqual(outside.passed(), 0)
    })
  )

  it.live("that has no container free is asked later", () =>
    Effect.gen(function* () {
      const { inside, options } = yield* containers({}, 1)
      inside.jobs.set(jobFile, "hang")
      yield* Effect.forkScoped(run(CloudflareContainers.options(options)))
      yield* until(() => inside.running() === 1)
      assert.strictEqual(failureOf(yield* run(CloudflareContainers.options(options))).reason._tag, "Throttled")
    })
  )

  it.live("is answered for when it is silent too long, not while it sends events", () =>
    Effect.gen(function* () {
      const silent = yield* containers({ respond: FakeWorker.hang })
      const { reason } = failureOf(yield* run(CloudflareContainers.options(silent.options)))
      assert.include(reason, { _tag: "TimedOut", limit: "platform" })

      const streaming = yield* containers({
        respond: (exchange) => {
          exchange.begin()
          const beating = setInterval(() => exchange.send({ event: "heartbeat" }), FakeWorker.heartbeatMs)
          setTimeout(() => {
            clearInterval(beating)
            FakeWorker.succeed(exchange)
          }, 3 * idleMs)
        }
      })
      Result.getOrThrow((yield* run(CloudflareContainers.options(streaming.options))).result)
    })
  )

  it.live("is not sent what it would not take", () =>
    Effect.gen(function* () {
      const { options, outside } = yield* containers({})
      const job = { ...attempt(), env: { LARGE: "x".repeat(100_000_000) } }
      const { reason } = failureOf(yield* run(CloudflareContainers.options(options), job))
      assert.include(reason, { _tag: "Refused", why: "TooLarge" })
      assert.strictEqual(outside.passed(), 0)
    })
  )
})
