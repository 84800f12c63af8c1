import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"

/** Lets everything that can go on without time passing go on. */
export const settle: Effect.Effect<void> = Effect.repeat(Effect.yieldNow, { times: 60 }).pipe(Effect.asVoid)

/**
 * Lets time pass in steps, each after everything has settled: one large step would let an event that follows another
 * through several fibers happen at the end of the step instead of at its time.
 */
export const pass = (duration: Duration.Input, step: Duration.Input = "100 millis"): Effect.Effect<void> =>
  Effect.gen(function* () {
    let left = Duration.toMillis(duration)
    while (left > 0) {
      const millis = Math.min(left, Duration.toMillis(step))
      yield* settle
      yield* TestClock.adjust(millis)
      left -= millis
    }
    yield* settle
  })
