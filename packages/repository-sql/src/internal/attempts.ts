/** Does something in a database again where that helps, and gives it an error in words when it does not. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { failure, type Reason } from "./failures.ts"
import type { Store } from "./store.ts"

export interface Options {
  /** How long to go on trying. */
  readonly patience: Duration.Duration
  /** The first pause, which doubles, and the longest one, in milliseconds. */
  readonly pauseMs: readonly [first: number, longest: number]
  /** Whether it may go better the next time. */
  readonly mayPass: (error: SqlError) => boolean
  /** What happened, and what to do about it. */
  readonly explain: (error: SqlError) => Reason
}

export const make = ({ explain, mayPass, patience, pauseMs: [first, longest] }: Options): Store["attempt"] => {
  const schedule = Schedule.min([Schedule.exponential(first), Schedule.spaced(longest)]).pipe(
    Schedule.jittered,
    Schedule.upTo({ duration: patience })
  )
  return (jobId) => (effect) =>
    effect.pipe(
      // What a transaction that cannot be rolled back any more dies of: its connection is gone.
      Effect.catchDefect((defect) => (isSqlError(defect) ? Effect.fail(defect) : Effect.die(defect))),
      Effect.retry({ schedule, while: mayPass }),
      Effect.mapError((error) => failure(jobId, explain(error)))
    )
}
