/** What this process holds: memory, and what would keep it running. */
import * as Effect from "effect/Effect"
import process from "node:process"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** Collects what nothing holds any more. */
const collect = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const gc: unknown = runInNewContext("gc")
  if (typeof gc === "function") Reflect.apply(gc, undefined, [])
})

const memory = Effect.sync(() => {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
})

/**
 * The most memory that is held while an effect runs, beside what was held before. What looks like too much is looked at
 * again without what only waits to be collected.
 */
export const peakDuring = Effect.fnUntraced(function* <A, E, R>(limit: number, effect: Effect.Effect<A, E, R>) {
  yield* collect
  const before = yield* memory
  let peak = 0
  const watch = memory.pipe(
    Effect.filterOrElse(
      (now) => now - before < limit,
      () => collect.pipe(Effect.andThen(Effect.sleep("5 millis")), Effect.andThen(collect), Effect.andThen(memory))
    ),
    Effect.tap((now) => Effect.sync(() => void (peak = Math.max(peak, now - before)))),
    Effect.andThen(Effect.sleep("5 millis")),
    Effect.forever
  )
  const value = yield* Effect.raceFirst(effect, watch)
  return { value, peak }
})

/** How many timers, sockets, pipes and the like there are of each kind that keep this process running. */
export const resources: Effect.Effect<ReadonlyMap<string, number>> = Effect.sync(() => {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
})
