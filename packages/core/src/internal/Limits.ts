/** How fast something may begin, and what that means for who has to wait: for the middleware of every service. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as Defect from "./Defect.ts"

/** At most so many in so much time. */
export interface Rate {
  readonly most: number
  readonly per: Duration.Input
}

/** Throws a `RangeError` unless it is a whole number from 1. */
export const checkCount = (name: string, count: number): void => {
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new RangeError(`${name} must be a whole number from 1, is ${count}`)
  }
}

/** Throws a `RangeError` unless it is more than no time at all, as what comes of a number that is none is. */
export const checkTime = (name: string, time: Duration.Input): Duration.Duration => {
  const known = Duration.fromInput(time)
  if (Option.isNone(known)) throw new RangeError(`${name} must be a time of more than 0, is ${Defect.describe(time)}`)
  const given = known.value
  if (!Duration.isGreaterThan(given, Duration.zero)) {
    throw new RangeError(`${name} must be more than 0, is ${Duration.format(given)}`)
  }
  return given
}

/** Throws a `RangeError` unless `most` is a whole number from 1, and `per` more than 0. */
export const checkRate = ({ most, per }: Rate): void => {
  checkCount("most", most)
  checkTime("per", per)
}

/**
 * Keeps to a rate: waits for the next turn, first come, first served, and takes it when it comes; who is interrupted takes
 * none. In whatever window of `per` one looks, at most `most` turns are in it.
 */
export const makeTurns = ({ most, per }: Rate): Effect.Effect<void> => {
  const perMs = Duration.toMillis(per)
  const turns: Array<number> = []
  let next = 0
  const take = (clock: Clock.Clock) =>
    Effect.sync(() => {
      turns[next] = clock.currentTimeMillisUnsafe()
      next = (next + 1) % most
    })
  return Semaphore.makeUnsafe(1).withPermit(
    Clock.clockWith((clock) => {
      const waits = (turns[next] ?? -Infinity) + perMs - clock.currentTimeMillisUnsafe()
      return waits > 0 ? Effect.andThen(Effect.sleep(waits), take(clock)) : take(clock)
    })
  )
}
