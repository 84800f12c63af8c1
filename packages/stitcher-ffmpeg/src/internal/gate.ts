/** Things that are there one day, by their number: whoever asks for one waits until it is. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** A gate for each number. */
export interface Gate<A> {
  /** Says that one is there. */
  readonly open: (index: number, value: A) => void
  /** Gives one as soon as it is there. */
  readonly at: (index: number) => Effect.Effect<A>
  /** All that are there, in order; those that are not leave a hole. */
  readonly values: ReadonlyArray<A | undefined>
}

/** Makes gates, all of them closed. */
export const make = <A>(): Gate<A> => {
  const values: Array<A | undefined> = []
  const waiting = new Map<number, Deferred.Deferred<A>>()
  return {
    values,
    open: (index, value) => {
      values[index] = value
      const gate = waiting.get(index)
      waiting.delete(index)
      if (gate !== undefined) Deferred.doneUnsafe(gate, Effect.succeed(value))
    },
    at: (index) =>
      Effect.suspend(() => {
        const value = values[index]
        if (value !== undefined) return Effect.succeed(value)
        const gate = waiting.get(index) ?? Deferred.makeUnsafe<A>()
        waiting.set(index, gate)
        return Deferred.await(gate)
      })
  }
}
