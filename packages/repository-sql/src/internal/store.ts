/**
 * What SQLite and Postgres do each in their own way. All the rest is the same SQL.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Owner } from "@helios-infra/core/JobEvent"
import type { JobStatus } from "@helios-infra/core/JobState"
import type { RepositoryError } from "@helios-infra/core/JobRepository"
import type * as signals from "./signals.ts"

/** What a list says of a job, as it is written with each append. */
interface Summary {
  readonly status: JobStatus
  readonly run: number
  readonly progress: number
  readonly updatedAt: number
}

/** Events that are appended as one. */
export interface Batch {
  readonly job: number
  /** The run that they are of: the job must still be at it. */
  readonly run: number
  /** The last record before them: the journal must end there. */
  readonly after: number
  readonly at: number
  /** Each event as JSON; at least one. */
  readonly events: ReadonlyArray<string>
  /** What the journal amounts to with them; nothing for one without a `JobCreated`. */
  readonly summary: Summary | undefined
}

/** Whether a process that wrote a job lives. */
export type Life = "alive" | "dead" | "unknown"

export interface Store {
  readonly sql: SqlClient.SqlClient
  /** The tables' names. */
  readonly tables: {
    readonly jobs: string
    readonly events: string
    readonly requests: string
    readonly migrations: string
  }
  /** This process, for people. */
  readonly owner: Owner
  /** What stands in a job's row while this process writes it, and by which others find out whether it lives. */
  readonly holder: string
  /** Whether the processes of some holders live. */
  readonly livesOf: (holders: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Life>, SqlError>
  /** How long a process must have been dead before a job is taken from it. */
  readonly deathPause: Duration.Duration
  /** Writes a batch and its summary, all or nothing; `false` when the job is not at that run and record any more. */
  readonly append: (batch: Batch) => Effect.Effect<boolean, SqlError>
  /** Tells other processes of what was committed; those that it does not reach look for themselves. */
  readonly announce: (job: number, kind?: signals.Kind) => Effect.Effect<void, SqlError>
  readonly signals: signals.Signals
  /** How long to wait for a signal at most before looking without one. */
  readonly lookAgain: Duration.Duration
  /**
   * Does something as a whole, again where that helps, and says in words why it failed. What it does must be the same
   * when it is done twice: whether it has been done is not always known.
   */
  readonly attempt: (
    jobId: string
  ) => <A, R>(effect: Effect.Effect<A, SqlError, R>) => Effect.Effect<A, RepositoryError, R>
}
