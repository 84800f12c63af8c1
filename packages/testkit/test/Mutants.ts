/**
 * Implementations that are broken on purpose: a contract is worth what it catches.
 */
import { assert, it } from "@effect/vitest"
import type { Contract } from "@helios-infra/testkit"
import { Contract as Contracts } from "@helios-infra/testkit"
import { type Context, Effect, Layer } from "effect"

/** A layer whose service is changed. */
export const changed = <I, S, A, E>(
  key: Context.Key<I, S>,
  layer: Layer.Layer<A | I, E>,
  change: (service: S) => S
): Layer.Layer<A | I, E> => {
  const mutant = Layer.effect(key, Effect.map(key, change))
  return Layer.provideMerge(mutant, layer)
}

/** The part of a contract that promises what `promise` matches: of those that take a while, nobody needs the rest. */
export const only = (contract: Contract.Contract, promise: RegExp): Contract.Contract => ({
  ...contract,
  cases: contract.cases.filter(({ name }) => promise.test(name))
})

/** Registers a test that a broken implementation breaks the promise that matches `promise`, among others perhaps. */
export const catches = (name: string, contract: Contract.Contract, promise: RegExp): void => {
  it.live(
    `catches ${name}`,
    () =>
      Effect.gen(function* () {
        const broken = yield* Contracts.check(contract)
        const promises = broken.map((error) => error.promise)
        assert.isTrue(
          promises.some((one) => promise.test(one)),
          `${String(promise)} is not among what it breaks:\n${promises.join("\n")}`
        )
        for (const error of broken) assert.isAbove(error.detail.length, 10, error.message)
      }),
    60_000
  )
}
