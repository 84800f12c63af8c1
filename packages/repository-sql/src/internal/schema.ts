/**
 * The tables, and how they come about: `effect/sql`'s migrator makes what is missing when a repository is opened, also
 * when several processes do so at once.
 *
 * ```
 * jobs        one row per job: which run may write it and who does, where its journal ends, and what it amounts to
 * events      its journal, one row for what was appended at once: few rows, soon read
 * requests    what somebody asked of its run
 * migrations  the version of these tables
 * ```
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import * as SqlErrors from "effect/sql/SqlError"
import { NewerVersion } from "@helios-infra/core/JobRepository"
import type { Store } from "./store.ts"

/** The version of the tables that this package reads and writes. */
export const version = 1

/** Who wrote the tables, for whoever finds a later version. */
export const newerVersion = (found: number): NewerVersion =>
  new NewerVersion({ found, writtenBy: "@helios-infra/repository-sql" })

type Tables = Store["tables"]

const tables = Effect.fnUntraced(function* (names: Tables) {
  const sql = yield* SqlClient.SqlClient
  // Numbers of jobs are never used again: whoever still holds that of a deleted one must not meet another job.
  const serial = sql.onDialectOrElse({
    pg: () => sql.literal("integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    orElse: () => sql.literal("integer PRIMARY KEY AUTOINCREMENT")
  })
  const real = sql.literal("double precision")
  // Room in each page for rows that change with every append.
  const updated = sql.onDialectOrElse({
    pg: () => sql.literal("WITH (fillfactor = 50)"),
    orElse: () => sql.literal("")
  })
  yield* sql`CREATE TABLE ${sql(names.jobs)} (
    job ${serial},
    key text NOT NULL UNIQUE,
    id text NOT NULL,
    creation text NOT NULL,
    run integer NOT NULL,
    claim text,
    holder text,
    owner text,
    revision integer NOT NULL,
    status text,
    event_run integer NOT NULL,
    progress ${real} NOT NULL,
    created_at ${real} NOT NULL,
    updated_at ${real} NOT NULL
  ) ${updated}`
  // By what never changes: an append touches no index of this table.
  yield* sql`CREATE INDEX ${sql(`${names.jobs.split(".").at(-1)}_newest`)} ON ${sql(names.jobs)} (created_at, job)`
  yield* sql`CREATE TABLE ${sql(names.events)} (
    job integer NOT NULL,
    first_revision integer NOT NULL,
    revision integer NOT NULL,
    run integer NOT NULL,
    at ${real} NOT NULL,
    events text NOT NULL,
    PRIMARY KEY (job, revision)
  )`
  yield* sql`CREATE TABLE ${sql(names.requests)} (
    request ${serial},
    id text NOT NULL UNIQUE,
    job integer NOT NULL,
    run integer NOT NULL,
    content text NOT NULL
  )`
  yield* sql`CREATE INDEX ${sql(`${names.requests.split(".").at(-1)}_of`)} ON ${sql(names.requests)} (job, run)`
})

/** The version of the tables that are there; 0 where there are none. */
const found = Effect.fnUntraced(function* (names: Tables) {
  const sql = yield* SqlClient.SqlClient
  const there = yield* sql.onDialectOrElse({
    pg: () => sql`SELECT 1 AS found WHERE to_regclass(${`"${names.migrations.replace(".", '"."')}"`}) IS NOT NULL`,
    orElse: () => sql`SELECT 1 AS found FROM sqlite_master WHERE name = ${names.migrations}`
  })
  if (there.length === 0) return 0
  const [row] = yield* sql<{
    version: number | null
  }>`SELECT max(migration_id) AS version FROM ${sql(names.migrations)}`
  return row?.version ?? 0
})

/** Makes what is missing; gives the version that is there afterwards, which may be a later one than this package's. */
export const migrate = (names: Tables): Effect.Effect<number, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const before = yield* found(names)
    if (before >= version) return before
    yield* Migrator.make({})({
      loader: Migrator.fromRecord({ "1_jobs": tables(names) }),
      table: names.migrations
    })
    return yield* found(names)
  }).pipe(
    // What a migration failed with says what to do about it; the migrator only says which one it was.
    Effect.catchTag("MigrationError", (error) =>
      Effect.fail(
        SqlErrors.isSqlError(error.cause)
          ? error.cause
          : new SqlError({ reason: new SqlErrors.UnknownError({ cause: error, message: error.message }) })
      )
    )
  )
