/** How fast something may begin, and what that means for who has to wait: for the middleware of every service. */
import * as Duration from "effect/Duration"

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

/**
 * Keeps to a rate: takes the next turn, and says in how many milliseconds it comes. In whatever window of `per` one looks,
 * at most `most` turns are in it.
 */
export const makeTurns = ({ most, per }: Rate): ((now: number) => number) => {
  checkCount("most", most)
  const perMs = Duration.toMillis(per)
  const turns: Array<number> = []
  let next = 0
  return (now) => {
    const turn = Math.max(now, (turns[next] ?? -Infinity) + perMs)
    turns[next] = turn
    next = (next + 1) % most
    return turn - now
  }
}
