/** What SQLite does in its own way: who lives, news of other processes, and what its errors mean. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Corrupt, type RepositoryError } from "@helios-infra/core/JobRepository"
import * as Predicate from "effect/Predicate"
import { hostname } from "node:os"
import * as aliveFile from "./aliveFile.ts"
import * as attempts from "./attempts.ts"
import { anyJob, failure, type Reason, unavailable } from "./failures.ts"
import * as rows from "./rows.ts"
import * as schema from "./schema.ts"
import * as signals from "./signals.ts"
import * as sqliteClient from "./sqliteClient.ts"
import type { Batch, Life, Store } from "./store.ts"

export interface Options {
  readonly filename: string
  readonly patience: Duration.Duration
}

/** How often to look whether another process has committed something, while somebody waits for news: a short question. */
const pollInterval = Duration.millis(50)

const tables = {
  jobs: "helios_jobs",
  events: "helios_events",
  requests: "helios_requests",
  migrations: "helios_migrations"
}

/** Opens the file, makes its tables, and says that this process lives, until the scope closes. */
export const open = Effect.fnUntraced(function* ({
  filename,
  patience
}: Options): Effect.fn.Return<Store, RepositoryError, Scope.Scope> {
  const attempt = attempts.make({ patience, pauseMs: [1, 20], mayPass: isLocked, explain: explain(filename, patience) })
  const sql = yield* attempt(anyJob)(sqliteClient.open(filename))
  const found = yield* attempt(anyJob)(schema.migrate(tables)).pipe(Effect.provideService(SqlClient.SqlClient, sql))
  if (found > schema.version) return yield* failure(anyJob, schema.newerVersion(found))
  const holder = yield* attempt(anyJob)(aliveFile.hold(filename))
  yield* aliveFile.sweep(filename)
  const wake = signals.make()
  yield* Effect.forkScoped(listen(sql, wake))

  const append = ({ after, at, events, job, run, summary }: Batch) => {
    const ends = {
      revision: after + events.length,
      updated_at: at,
      ...(summary === undefined
        ? undefined
        : { status: summary.status, event_run: summary.run, progress: summary.progress, updated_at: summary.updatedAt })
    }
    const insert = sql`INSERT INTO ${sql(tables.events)} (job, first_revision, revision, run, at, events)
      VALUES (${job}, ${after + 1}, ${ends.revision}, ${run}, ${at}, ${rows.batchJson(events)})`
    return Effect.gen(function* () {
      const [mine] = yield* sql`UPDATE ${sql(tables.jobs)} SET ${sql.update(ends)}
        WHERE job = ${job} AND run = ${run} AND revision = ${after} RETURNING job`
      if (mine === undefined) return false
      yield* insert
      return true
    }).pipe(sql.withTransaction)
  }

  return {
    sql,
    tables,
    owner: { host: hostname(), pid: process.pid },
    holder,
    livesOf: (holders) =>
      Effect.sync(() => new Map(holders.map((token): [string, Life] => [token, aliveFile.lifeOf(filename, token)]))),
    deathPause: Duration.zero,
    append,
    announce: () => Effect.void,
    signals: wake,
    lookAgain: Duration.infinity,
    attempt
  }
})

/** Wakes those who wait when another connection has committed something; SQLite counts that. */
const listen = (sql: SqlClient.SqlClient, wake: signals.Signals): Effect.Effect<never> => {
  let seen: number | undefined
  const look = Effect.matchEffect(sql<{ data_version: number }>`PRAGMA data_version`, {
    onSuccess: ([row]) =>
      Effect.sync(() => {
        if (row?.data_version !== seen) wake.wakeAll()
        seen = row?.data_version
      }),
    // Those who wait say what is wrong.
    onFailure: () => Effect.sync(wake.wakeAll)
  })
  return Effect.forever(wake.isFollowed.pipe(Effect.andThen(look), Effect.andThen(Effect.sleep(pollInterval))))
}

// ---
// errors
// ---

const code = {
  locked: [5, 6],
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  noDatabase: 26
} as const

const isLocked = ({ reason }: SqlError): boolean => code.locked.some((one) => one === sqliteClient.codeOf(reason.cause))

const explain =
  (filename: string, patience: Duration.Duration) =>
  (error: SqlError): Reason => {
    const { cause } = error.reason
    if (sqliteClient.codeOf(cause) === code.corrupt) return new Corrupt({ where: `${filename}: ${error.message}` })
    if (cause instanceof sqliteClient.Replaced) {
      return unavailable(`${cause.message}: put it back where it was, and start this process anew`)
    }
    if (isLocked(error)) {
      const waited = Duration.format(patience)
      return unavailable(`${filename} is locked by another program for ${waited}: find out which one it is`)
    }
    const what = advice(cause)
    return what === undefined
      ? unavailable(`cannot use ${filename}: ${error.message}`)
      : unavailable(`cannot use ${filename}: ${what}`, cause)
  }

/** What to do about an error of SQLite or of the system. */
const advice = (cause: unknown): string | undefined => {
  switch (sqliteClient.codeOf(cause)) {
    case code.readOnly:
      return readOnly
    case code.full:
      return "the disk is full: make room, then run the job on"
    case code.ioError:
      return "the disk failed, or is full: look at what the system says of it, then run the job on"
    case code.cannotOpen:
      return "it cannot be opened: it must be a file that this user may write to, in a folder that this user may write to"
    case code.noDatabase:
      return "it is no SQLite database: use another file"
  }
  switch (Predicate.hasProperty(cause, "code") ? cause.code : undefined) {
    case "EACCES":
    case "EPERM":
      return readOnly
    case "EROFS":
      return "the file system is read-only: use a file on one that can be written to"
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full: make room, then run the job on"
    case "ENOTDIR":
    case "EEXIST":
      return "something that is no folder is in its path: use another path, or move that away"
    case "ERR_INVALID_STATE":
      return "it was closed: its layer was released while it was used"
    default:
      return undefined
  }
}

const readOnly =
  "it may only be read: let this user write to the file and its folder (SQLite keeps files beside it), or use another one"
