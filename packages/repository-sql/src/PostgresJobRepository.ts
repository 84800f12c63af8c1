/**
 * Jobs in a Postgres database, for orchestrators on several machines.
 *
 * The tables stand in a schema of their own, which is made with them. Each repository has one connection by which others
 * know that its process lives, and on which it hears of them; the others come and go. It speaks to the server itself or
 * through a pooler that gives each connection a session of its own: one that shares sessions (PgBouncer's transaction
 * mode) loses locks and notifications.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { JobRepository, type RepositoryError } from "@helios-infra/core/JobRepository"
import * as jobRepository from "./internal/jobRepository.ts"
import * as postgresStore from "./internal/postgresStore.ts"

/** Where jobs are kept. */
export interface Options {
  /** `postgres://user:password@host:5432/database?sslmode=require`. */
  readonly url: Redacted.Redacted
  /** The schema of the tables; made when it is not there. Default: `"helios"`. */
  readonly schema?: string | undefined
  /** How many connections there are at most, beside the one that says that the process lives. Default: 5. */
  readonly connections?: number | undefined
  /** How long to go on trying when the server is away, in the middle of a job. Default: 30 seconds. */
  readonly patience?: Duration.Input | undefined
}

/**
 * A repository in a database, until the scope closes.
 *
 * - An append is committed before it returns; those that come at once share one statement.
 * - When the server goes away in the middle of a job, everything waits for it, for as long as `patience` says. An append
 *   that was on its way is written once, whether the server had committed it or not.
 * - `openWriter` with `if-dead` takes over when the last writer let go, or its process has had no connection for two
 *   seconds.
 * - `changes` and `requests` hear of other processes at once, and within a second when a notification was lost. A follower
 *   in another process may miss the last records before a deletion.
 * - `list` reads one row per job and no journal, 200 at a time. It leaves out jobs whose row cannot be read, and logs a
 *   warning for each.
 *
 * Fails with `NewerVersion` when a later version of this package made the tables, and with `Unavailable` when the server
 * cannot be reached or does not let this user in: to begin with that is not waited for.
 */
export const make = (options: Options): Effect.Effect<JobRepository["Service"], RepositoryError, Scope.Scope> =>
  Effect.map(
    postgresStore.open({
      url: options.url,
      schema: options.schema ?? "helios",
      connections: options.connections ?? 5,
      patience: Duration.fromInputUnsafe(options.patience ?? "30 seconds")
    }),
    jobRepository.make
  )

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<JobRepository, RepositoryError> =>
  Layer.effect(JobRepository, make(options))

/**
 * {@link layer}, its options from configuration.
 *
 * ```ts
 * import * as PostgresJobRepository from "@helios-infra/repository-sql/PostgresJobRepository"
 * import * as Config from "effect/Config"
 *
 * export const jobs = PostgresJobRepository.layerConfig({ url: Config.Redacted("DATABASE_URL") })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<JobRepository, RepositoryError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
