/**
 * Chance that is the same for the same seed. Every concern has dice of its own, named in the seed, so that one more draw
 * of one kind shifts no other.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** A seeded generator. */
export interface Dice {
  readonly random: Random.Random
  /** At least `least`, less than `most`. */
  readonly between: (least: number, most: number) => number
  /** A whole number, both ends included. */
  readonly int: (least: number, most: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(first: A, ...rest: ReadonlyArray<A>) => A
  /** Half of them are below the median; few are far above it. */
  readonly logNormal: (median: number, sigma: number) => number
}

/** Makes the generator of a seed. */
export const make = (seed: string): Dice => {
  const random = Effect.runSync(Random.withSeed(Random.Random, seed))
  const next = () => random.nextDoubleUnsafe()
  const between = (least: number, most: number) => least + next() * (most - least)
  const int = (least: number, most: number) => least + Math.floor(next() * (most - least + 1))
  return {
    random,
    between,
    int,
    chance: (probability) => next() < probability,
    pick: (first, ...rest) => [first, ...rest][int(0, rest.length)] ?? first,
    // Box and Muller's way to the normal distribution.
    logNormal: (median, sigma) =>
      median * Math.exp(sigma * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()))
  }
}
