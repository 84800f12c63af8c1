/**
 * What is tried again, when, and how often.
 *
 * The reason of a failure decides, never a text: some can never be helped, being throttled is none, and the others are
 * counted. It runs nothing: `ChunkScheduler` and the merge command's part of `JobExecutor` ask it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { isRetryable, type WorkerReason } from "./WorkerError.ts"

/** How attempts are repeated and bounded. */
export interface RetryPolicy {
  /** How often a chunk is tried again after its first attempt failed. Default: 2. */
  readonly retries?: number | undefined
  /** The first delay before a chunk is tried again; doubles each time, give or take 20 %. Default: 1 second. */
  readonly retryDelay?: Duration.Input | undefined
  /** No delay is longer. Default: 30 seconds. */
  readonly maxRetryDelay?: Duration.Input | undefined
  /** How long one attempt may take, its output check included. Default: no limit. */
  readonly attemptTimeout?: Duration.Input | undefined
  /** How long an attempt may give no sign of life (no frame, line or heartbeat). Default: no limit. */
  readonly stallTimeout?: Duration.Input | undefined
  /** How long throttled attempts are repeated without one success of any chunk. Default: 15 minutes. */
  readonly throttleTimeout?: Duration.Input | undefined
}

/** What {@link RetryPolicy} is where the caller does not say. */
export const defaults = {
  retries: 2,
  retryDelay: Duration.seconds(1),
  maxRetryDelay: Duration.seconds(30),
  throttleTimeout: Duration.minutes(15)
} as const

/** How many milliseconds to wait after the given number of failures: exponential, capped, give or take 20 %. */
export const backoff = (policy: RetryPolicy, failures: number): Effect.Effect<number> =>
  Effect.map(Random.nextBetween(0.8, 1.2), (jitter) => {
    const first = Duration.toMillis(policy.retryDelay ?? defaults.retryDelay)
    const most = Duration.toMillis(policy.maxRetryDelay ?? defaults.maxRetryDelay)
    // 2 ** 32 times anything but nothing is more than any delay.
    return Math.round(Math.min(most, first * 2 ** Math.min(failures - 1, 32) * jitter))
  })

/** What has been tried of one thing, and how it failed; being throttled is not failing. */
export interface Tries {
  failures: number
  throttled: number
  /** Since when it has been throttled and nothing else, in milliseconds since the epoch. */
  throttledSince: number | undefined
}

/** Nothing was tried yet. */
export const makeTries = (): Tries => ({ failures: 0, throttled: 0, throttledSince: undefined })

/**
 * Counts a failed attempt, and gives the milliseconds after which to try again; `undefined` to give up. `lastSuccess` is
 * when something else last succeeded: as long as that happens, being throttled is no reason to give up.
 */
export const delayOf = (
  policy: RetryPolicy,
  tries: Tries,
  reason: WorkerReason,
  now: number,
  lastSuccess: number = -Infinity
): Effect.Effect<number | undefined> => {
  if (!isRetryable(reason)) return Effect.undefined
  if (reason._tag === "Throttled") {
    tries.throttledSince ??= now
    const limit = Duration.toMillis(policy.throttleTimeout ?? defaults.throttleTimeout)
    const left = Math.max(lastSuccess, tries.throttledSince) + limit - now
    if (left <= 0) return Effect.undefined
    const told = reason.retryAfterMs
    // To be told to come back at once, and to find the platform full again, is to be told nothing.
    const delay = told === undefined || told <= 0 ? backoff(policy, ++tries.throttled) : Effect.succeed(told)
    // Whole milliseconds: a clock that has fractions must not come to stand a breath before the limit.
    return Effect.map(delay, (ms) => Math.ceil(Math.min(ms, left)))
  }
  tries.throttledSince = undefined
  tries.throttled = 0
  // Not `>`: what is no number allows no retry.
  return ++tries.failures <= (policy.retries ?? defaults.retries) ? backoff(policy, tries.failures) : Effect.undefined
}
