/** What Postgres does in its own way: who lives, news of other processes, and what its errors mean. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import type { RepositoryError } from "@helios-infra/core/JobRepository"
import { hostname } from "node:os"
import * as attempts from "./attempts.ts"
import { anyJob, failure, type Reason, unavailable } from "./failures.ts"
import * as postgresPresence from "./postgresPresence.ts"
import * as rows from "./rows.ts"
import * as schema from "./schema.ts"
import * as signals from "./signals.ts"
import type { Batch, Life, Store } from "./store.ts"

export interface Options {
  readonly url: Redacted.Redacted
  readonly schema: string
  readonly connections: number
  readonly patience: Duration.Duration
}

/** How long to go without a notification at most. */
const lookAgain = Duration.seconds(1)

/** Longer than it takes a process to connect again, which it tries at least every half second. */
const deathPause = Duration.seconds(2)

/** How long to wait for an answer. A connection may hang for as long as its operating system likes. */
const answerTimeout = Duration.seconds(15)

/** How long it takes to find out that the other end is gone. */
const keepAlive = Duration.seconds(10)

/** The largest row: the job file of a long film. Postgres itself takes no more than this. */
const maxMessageSize = 2 ** 30

/** What is taken for a schema's name: it is a part of names that are written with a dot. */
const schemaName = /^[A-Za-z_][A-Za-z0-9_]{0,47}$/

/** Connects, makes the tables, and says that this process lives, until the scope closes. */
export const open = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Store, RepositoryError, Scope.Scope> {
  const { patience } = options
  const where = whereIs(options)
  if (!schemaName.test(options.schema)) {
    const rule = "a schema's name has letters, digits and _, 48 at most, and no digit first"
    return yield* failure(anyJob, unavailable(`${JSON.stringify(options.schema)} is no schema for ${where}: ${rule}`))
  }
  const tables = {
    jobs: `${options.schema}.jobs`,
    events: `${options.schema}.events`,
    requests: `${options.schema}.requests`,
    migrations: `${options.schema}.migrations`
  }
  const channel = `helios_${options.schema}`
  const config = {
    url: options.url,
    applicationName: "helios-infra",
    keepAlive,
    maxMessageSize
  }
  const again = attempts.make({ patience, pauseMs: [20, 500], mayPass, explain: explain(where, patience) })
  let closed = false
  const attempt: Store["attempt"] = (jobId) => (effect) =>
    again(jobId)(
      Effect.suspend(() =>
        closed
          ? Effect.fail(wasClosed)
          : Effect.timeoutOrElse(effect, { duration: answerTimeout, orElse: () => Effect.fail(hangs) })
      )
    )
  // A server that is not there will hardly come while somebody waits for the answer; one that starts up will.
  const start = attempts.make({
    patience,
    pauseMs: [20, 500],
    mayPass: (error) => mayPass(error) && error.reason._tag !== "ConnectionError",
    explain: explain(where, patience)
  })
  const wake = signals.make()
  const holder = postgresPresence.newToken()
  yield* start(anyJob)(postgresPresence.keep(config, { token: holder, channel, signals: wake }))
  const sql = yield* start(anyJob)(
    PgClient.make({ ...config, maxConnections: options.connections, idleTimeout: "1 minute" })
  ).pipe(Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make))
  // Before its connections go, of which a closed pool would only say that it was interrupted.
  yield* Effect.addFinalizer(() => Effect.sync(() => void (closed = true)))
  const found = yield* migrate(sql, options.schema, tables).pipe(start(anyJob))
  if (found > schema.version) return yield* failure(anyJob, schema.newerVersion(found))

  /** In one statement, and so in one trip there and back: the update fences, and without its row nothing is inserted. */
  const append = ({ after, at, events, job, run, summary }: Batch) => {
    const ends = {
      revision: after + events.length,
      updated_at: at,
      ...(summary === undefined
        ? undefined
        : { status: summary.status, event_run: summary.run, progress: summary.progress, updated_at: summary.updatedAt })
    }
    const done = sql<{ appended: number }>`
      WITH fenced AS (
        UPDATE ${sql(tables.jobs)} SET ${sql.update(ends)}
        WHERE job = ${job} AND run = ${run} AND revision = ${after} RETURNING job
      ), appended AS (
        INSERT INTO ${sql(tables.events)} (job, first_revision, revision, run, at, events)
        SELECT fenced.job, ${after + 1}::integer, ${ends.revision}::integer, ${run}::integer, ${at}::double precision,
          ${rows.batchJson(events)}
        FROM fenced
        RETURNING 1
      )
      SELECT (SELECT count(*) FROM appended)::integer AS appended,
        (SELECT pg_notify(${channel}, ${postgresPresence.payload(holder, job, "events")})::text FROM fenced) AS told`
    return Effect.map(done, ([row]) => row?.appended === 1)
  }

  const livesOf = (holders: ReadonlyArray<string>) =>
    Effect.map(
      sql<{ token: string }>`
        SELECT (classid::bigint * 4294967296 + objid::bigint)::text AS token FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      (locks): ReadonlyMap<string, Life> => {
        const held = new Set(locks.map(({ token }) => token))
        return new Map(holders.map((token) => [token, held.has(token) ? "alive" : "dead"]))
      }
    )

  return {
    sql,
    tables,
    owner: { host: hostname(), pid: process.pid },
    holder,
    livesOf,
    deathPause,
    append,
    announce: (job, kind) => Effect.asVoid(sql.notify(channel, postgresPresence.payload(holder, job, kind))),
    signals: wake,
    lookAgain,
    attempt
  }
})

const migrate = (sql: PgClient.PgClient, name: string, tables: Store["tables"]): Effect.Effect<number, SqlError> =>
  Effect.gen(function* () {
    const isThere = Effect.map(sql`SELECT 1 FROM pg_namespace WHERE nspname = ${name}`, (found) => found.length > 0)
    if (!(yield* isThere)) {
      // Where two make it at once, one is told that it is there.
      yield* sql`CREATE SCHEMA IF NOT EXISTS ${sql(name)}`.pipe(
        Effect.catch((error) => Effect.flatMap(isThere, (there) => (there ? Effect.void : Effect.fail(error))))
      )
    }
    return yield* schema.migrate(tables)
  }).pipe(Effect.provideService(SqlClient.SqlClient, sql))

// ---
// errors
// ---

const hangs = new SqlError({
  reason: new ConnectionError({ cause: new Error("no answer"), message: "it does not answer" })
})

const wasClosed = new SqlError({
  reason: new UnknownError({ cause: new Error("it was closed: its layer was released while it was used") })
})

/** What Postgres says of itself: five letters and digits. */
const stateOf = ({ reason: { cause } }: SqlError): string =>
  Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? cause.code : ""

/**
 * That the server goes away, starts up, or has no connection to spare; and what two transactions do to each other. Not a
 * password that is wrong.
 */
const passing = new Set(["57P01", "57P02", "57P03", "53300", "40001", "40P01", "55P03"])

const mayPass = (error: SqlError): boolean => error.reason._tag === "ConnectionError" || passing.has(stateOf(error))

const explain =
  (where: string, patience: Duration.Duration) =>
  (error: SqlError): Reason => {
    const { cause } = error.reason
    const what = advice(error, patience)
    if (what !== undefined) return unavailable(`${where}: ${what}`, cause)
    return unavailable(`${where}: ${Predicate.isError(cause) ? cause.message : error.message}`)
  }

const advice = (error: SqlError, patience: Duration.Duration): string | undefined => {
  const state = stateOf(error)
  if (state === "53300") return "it has no connection to spare: raise max_connections, or lower `connections`"
  if (passing.has(state)) return `it was not to be used for ${Duration.format(patience)}: see what its log says`
  if (state.startsWith("28")) return "it does not let this user in: check the user and the password in the URL"
  if (state === "3D000") return "make the database first, or name another one in the URL"
  if (state === "42501")
    return "this user may not do that: let it create a schema, or make the schema and give it to it"
  if (state === "25006") return "it may only be read: use the URL of the primary server"
  if (state === "53100") return "its disk is full: make room, then run the job on"
  if (state === "42P01" || state === "3F000") return "its tables are gone: restore them, or start this process anew"
  if (error.reason._tag === "ConnectionError") {
    return "it cannot be reached: check that it runs, and the host, port and sslmode in the URL"
  }
  return undefined
}

/** The server and the database in words, without the password. */
const whereIs = ({ url }: Options): string =>
  Result.try({ try: () => new URL(Redacted.value(url)), catch: () => undefined }).pipe(
    Result.match({
      onSuccess: ({ host, pathname }) => `Postgres at ${host === "" ? "localhost" : host}${pathname}`,
      onFailure: () => "Postgres"
    })
  )
