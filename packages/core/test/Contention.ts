import { Effect, Scheduler, Schema } from "effect"

/** Hands over to another fiber at steps that chance picks, where the usual one does so every 2048 steps. */
class Erratic extends Scheduler.MixedScheduler {
  #state: number
  constructor(seed: number) {
    super("async", (task) => {
      let cancelled = false
      queueMicrotask(() => {
        if (!cancelled) task()
      })
      return () => {
        cancelled = true
      }
    })
    this.#state = seed
  }
  // At every fourth step: a fiber that is sent back at every second one gets nowhere.
  override shouldYield(): boolean {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return this.#state < 2 ** 30
  }
}

/** Which of the many ways to interleave fibers a property tries. */
export const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 - 1 }))

/** Runs fibers interleaved at any step, as they are now and then: what is not atomic comes apart. */
export const contended =
  (seed: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, Scheduler.Scheduler, new Erratic(seed))
