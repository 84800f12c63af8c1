/** What is measured and logged around one operation, for the middleware of every service. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"

/** How an operation ended, in a word: `succeeded`, `interrupted`, `died`, or the reason for which it failed. */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "succeeded"
  const error = Option.getOrUndefined(Exit.findErrorOption(exit))
  if (error === undefined) return Exit.hasInterrupts(exit) ? "interrupted" : "died"
  const reason = Predicate.hasProperty(error, "reason") ? error.reason : error
  if (Predicate.isString(reason)) return reason
  return Predicate.hasProperty(reason, "_tag") && Predicate.isString(reason._tag) ? reason._tag : "failed"
}

/** What is counted of an operation. */
export interface Meters {
  /** How often it ended, by `outcome`. */
  readonly count: Metric.Metric<number, unknown>
  /** How long it took, by `outcome`. */
  readonly duration: Metric.Metric<Duration.Duration, unknown>
  /** How many are under way. */
  readonly running: Metric.Metric<number, unknown>
}

/** Makes what counts an operation from its beginning to the end of the scope, whose exit is the operation's. */
export const makeMeter = (
  meters: Meters,
  attributes: Readonly<Record<string, string>>
): Effect.Effect<void, never, Scope.Scope> => {
  const running = Metric.withAttributes(meters.running, attributes)
  const byOutcome = new Map<string, Pick<Meters, "count" | "duration">>()
  const endedAs = (outcome: string): Pick<Meters, "count" | "duration"> => {
    const known = byOutcome.get(outcome)
    if (known !== undefined) return known
    const how = { ...attributes, outcome }
    const made = {
      count: Metric.withAttributes(meters.count, how),
      duration: Metric.withAttributes(meters.duration, how)
    }
    byOutcome.set(outcome, made)
    return made
  }
  return Effect.acquireRelease(
    Effect.andThen(Metric.modify(running, 1), Clock.currentTimeMillis),
    Effect.fnUntraced(function* (startedAt, exit) {
      const { count, duration } = endedAs(outcomeOf(exit))
      const took = (yield* Clock.currentTimeMillis) - startedAt
      yield* Metric.modify(running, -1)
      yield* Metric.update(count, 1)
      yield* Metric.update(duration, Duration.millis(took))
    })
  ).pipe(Effect.asVoid)
}

/** Runs an effect in a scope of its own, entered first. */
export const within =
  <E2>(enter: Effect.Effect<unknown, E2, Scope.Scope>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, Exclude<R, Scope.Scope>> =>
    Effect.scoped(Effect.andThen(enter, effect))
