import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as RetryPolicy from "../src/RetryPolicy.ts"
import { Refused, RenderFailed, Throttled } from "../src/WorkerError.ts"

const failed = new RenderFailed({ exitCode: 1, stderrTail: "" })

describe("backoff", () => {
  it.effect("jitters delays by at most 20 %", () =>
    Effect.gen(function* () {
      const delays = yield* Effect.replicateEffect(RetryPolicy.backoff({ retryDelay: "1 second" }, 1), 200)
      assert.isTrue(delays.every((ms) => ms >= 800 && ms <= 1200))
      assert.isAbove(new Set(delays).size, 50)
    })
  )

  it.effect("is never more than the longest delay, whatever the count", () =>
    Effect.gen(function* () {
      for (const failures of [10, 1000, Number.MAX_SAFE_INTEGER]) {
        assert.isAtMost(yield* RetryPolicy.backoff({ maxRetryDelay: "5 seconds" }, failures), 5000)
      }
    })
  )
})

describe("delayOf", () => {
  it.effect("gives up after so many failures, and at once where nothing can help", () =>
    Effect.gen(function* () {
      const tries = RetryPolicy.makeTries()
      const next = Effect.suspend(() => RetryPolicy.delayOf({ retries: 2, retryDelay: 0 }, tries, failed, 0))
      assert.deepStrictEqual([yield* next, yield* next, yield* next], [0, 0, undefined])
      const refused = new Refused({ why: "InvalidJob", fix: "" })
      assert.isUndefined(yield* RetryPolicy.delayOf({}, RetryPolicy.makeTries(), refused, 0))
    })
  )

  it.effect("does not count being throttled, but ends it after a while without any success", () =>
    Effect.gen(function* () {
      const tries = RetryPolicy.makeTries()
      const policy = { retries: 0, throttleTimeout: "1 minute" } as const
      const throttled = new Throttled({ retryAfterMs: 50_000 })
      assert.strictEqual(yield* RetryPolicy.delayOf(policy, tries, throttled, 1000), 50_000)
      assert.strictEqual(yield* RetryPolicy.delayOf(policy, tries, throttled, 51_000), 10_000)
      assert.isUndefined(yield* RetryPolicy.delayOf(policy, tries, throttled, 61_000))
      assert.strictEqual(yield* RetryPolicy.delayOf(policy, tries, throttled, 61_000, 60_000), 50_000)
      assert.strictEqual(tries.failures, 0)
      assert.strictEqual(yield* RetryPolicy.delayOf(policy, tries, throttled, 119_999.999_999_9, 60_000), 1)
    })
  )
})
