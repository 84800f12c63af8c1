/**
 * Jobs in a SQLite database of this machine: one file, which any SQLite tool can look into.
 *
 * ```
 * jobs.db            jobs, their journals and requests
 * jobs.db-wal, -shm  SQLite's log, which is part of the database
 * jobs.db-owner-…    locked while a process that uses it lives
 * ```
 *
 * An append is on the disk when it returns. Several processes of one machine can share the file, those in containers as
 * well; several machines cannot, for SQLite's log needs their common memory. It uses `node:sqlite`, which blocks its
 * thread for as long as a statement takes.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { JobRepository, type RepositoryError } from "@helios-infra/core/JobRepository"
import * as path from "node:path"
import * as jobRepository from "./internal/jobRepository.ts"
import * as sqliteStore from "./internal/sqliteStore.ts"

/** Where jobs are kept. */
export interface Options {
  /** The database file. Made, with its folder and for its user alone, when it is not there. */
  readonly filename: string
  /** How long to wait for a database that another process has locked. Default: 10 seconds. */
  readonly patience?: Duration.Input | undefined
}

/**
 * A repository in a database file, until the scope closes.
 *
 * - An append is synced before it returns; those that come at once share one transaction. One that fails leaves the
 *   journal as it was.
 * - `openWriter` with `if-dead` takes over when the last writer let go or its process has ended.
 * - `changes` and `requests` hear of other processes within a twentieth of a second. A follower in another process may
 *   miss the last records before a deletion.
 * - `list` reads one row per job and no journal, 200 at a time. It leaves out jobs whose row cannot be read, and logs a
 *   warning for each.
 *
 * Fails with `NewerVersion`, with `Corrupt` for a damaged database, and with `Unavailable` when the file is no database
 * or may not be written, or was locked for too long.
 */
export const make = (options: Options): Effect.Effect<JobRepository["Service"], RepositoryError, Scope.Scope> =>
  Effect.map(
    sqliteStore.open({
      filename: path.resolve(options.filename),
      patience: Duration.fromInputUnsafe(options.patience ?? "10 seconds")
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
 * import * as SqliteJobRepository from "@helios-infra/repository-sql/SqliteJobRepository"
 * import * as Config from "effect/Config"
 *
 * export const jobs = SqliteJobRepository.layerConfig({ filename: Config.String("RENDER_JOBS") })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<JobRepository, RepositoryError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
