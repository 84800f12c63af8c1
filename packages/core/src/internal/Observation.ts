/** What is measured around one operation, for the middleware of every service. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Telemetry from "../Telemetry.ts"

/** How an operation ended, in a word: `completed`, `interrupted`, or the reason for which it failed. */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const ended = Telemetry.ending(exit)
  return ended[Telemetry.attributes.errorType] ?? ended[Telemetry.attributes.outcome] ?? ""
}

/** What is kept of an operation. */
export interface Meters {
  /** How long it took, in milliseconds, by how it ended. */
  readonly duration: Metric.Histogram<number>
  /** How many are under way. */
  readonly active: Metric.Counter<number>
}

/** Makes the metrics of an operation. */
export const meters = (name: string, what: string): Meters => ({
  duration: Metric.histogram(`${name}.duration`, {
    description: `How long ${what} took`,
    attributes: { unit: "ms" },
    boundaries: Telemetry.durationBoundaries
  }),
  active: Metric.counter(`${name}.active`, {
    description: `How many ${what} are under way`,
    attributes: { unit: `{${what}}` }
  })
})

/** Makes what measures an operation from its beginning to the end of the scope, whose exit is the operation's. */
export const makeMeter = (
  { active, duration }: Meters,
  attributes: Readonly<Record<string, string>>
): Effect.Effect<void, never, Scope.Scope> => {
  const running = Metric.withAttributes(active, attributes)
  const byOutcome = new Map<string, Metric.Metric<number, unknown>>()
  const durationOf = (exit: Exit.Exit<unknown, unknown>): Metric.Metric<number, unknown> => {
    const outcome = outcomeOf(exit)
    const known = byOutcome.get(outcome)
    if (known !== undefined) return known
    const made = Metric.withAttributes(duration, { ...attributes, ...Telemetry.ending(exit) })
    byOutcome.set(outcome, made)
    return made
  }
  return Effect.acquireRelease(
    Effect.andThen(Metric.update(running, 1), Clock.currentTimeMillis),
    Effect.fnUntraced(function* (startedAt, exit) {
      yield* Metric.update(running, -1)
      yield* Metric.update(durationOf(exit), (yield* Clock.currentTimeMillis) - startedAt)
    })
  ).pipe(Effect.asVoid)
}

/** Runs an effect in a scope of its own, entered first. */
export const within =
  <E2>(enter: Effect.Effect<unknown, E2, Scope.Scope>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, Exclude<R, Scope.Scope>> =>
    Effect.scoped(Effect.andThen(enter, effect))
