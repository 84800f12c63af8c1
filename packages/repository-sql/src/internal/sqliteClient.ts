/**
 * `effect/sql` on `node:sqlite`: one connection to a file, which several processes may have open.
 *
 * It blocks its thread for as long as a statement takes, and never waits for a lock: who holds it may be another fiber of
 * this process. A statement that finds the file locked fails with a `LockTimeoutError` at once.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import { classifySqliteError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"

/** How many statements are kept prepared: many more than there are, but for lists by many statuses. */
const keptStatements = 100

/** SQLite's own number for what went wrong, without its details; 0 when it was not SQLite. */
export const codeOf = (cause: unknown): number =>
  Predicate.hasProperty(cause, "errno") && Predicate.isNumber(cause.errno) ? cause.errno & 0xff : 0

/** What `node:sqlite` or the system throws, with SQLite's number where `effect/sql` looks for it. */
class SqliteFailure extends Error {
  readonly errno: number
  readonly code: string | undefined

  constructor(thrown: unknown) {
    super(Predicate.isError(thrown) ? thrown.message : String(thrown))
    this.errno = Predicate.hasProperty(thrown, "errcode") && Predicate.isNumber(thrown.errcode) ? thrown.errcode : 0
    this.code = Predicate.hasProperty(thrown, "code") && Predicate.isString(thrown.code) ? thrown.code : undefined
  }
}

/** The file is not the one that was opened any more. */
export class Replaced extends Error {
  override readonly name = "Replaced"
}

/** What SQLite or the system did not do. */
export const attempt = <A>(operation: string, thunk: () => A): Effect.Effect<A, SqlError> =>
  Effect.try({
    try: thunk,
    catch: (thrown) => {
      const cause = thrown instanceof Replaced ? thrown : new SqliteFailure(thrown)
      return new SqlError({ reason: classifySqliteError(cause, { message: cause.message, operation }) })
    }
  })

const isInput = (value: unknown): value is SQLInputValue =>
  value === null ||
  Predicate.isString(value) ||
  Predicate.isNumber(value) ||
  Predicate.isBigInt(value) ||
  value instanceof Uint8Array

const inputs = (params: ReadonlyArray<unknown>): ReadonlyArray<SQLInputValue> =>
  params.map((value) => (isInput(value) ? value : null))

/** What a path stands for now. */
const identify = (filename: string): string | undefined => {
  const found = fs.statSync(filename, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}/${found.ino}`
}

/**
 * Opens a database file, until the scope closes; makes it, for its user alone, when it is not there. Every statement
 * fails once the file was deleted or replaced: what goes into a deleted one is lost.
 */
export const open = (filename: string): Effect.Effect<SqlClient.SqlClient, SqlError, Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* Effect.acquireRelease(
      attempt("open", () => {
        if (identify(filename) === undefined) {
          fs.mkdirSync(path.dirname(filename), { recursive: true, mode: 0o700 })
          fs.closeSync(fs.openSync(filename, "a", 0o600))
        }
        return new DatabaseSync(filename, { timeout: 0 })
      }),
      (database) => Effect.sync(() => database.close())
    )
    const opened = identify(filename)
    const prepared = new Map<string, StatementSync>()

    const prepare = (sql: string): StatementSync => {
      const known = prepared.get(sql)
      if (known !== undefined) return known
      const statement = database.prepare(sql)
      if (prepared.size >= keptStatements) prepared.clear()
      prepared.set(sql, statement)
      return statement
    }

    const isThere = (): void => {
      if (identify(filename) === opened) return
      if (database.isOpen && database.isTransaction) database.exec("ROLLBACK")
      throw new Replaced(`${filename} was deleted or replaced while it was open`)
    }

    const run = <A>(sql: string, use: (statement: StatementSync) => A): Effect.Effect<A, SqlError> =>
      attempt("execute", () => {
        isThere()
        const result = use(prepare(sql))
        // Afterwards as well: what was committed to a file that is gone does not count.
        isThere()
        return result
      })

    const all = (sql: string, params: ReadonlyArray<unknown>) =>
      run(sql, (statement) => statement.all(...inputs(params)))

    const values = (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.map(all(sql, params), (rows) => rows.map((row) => Object.values(row)))

    const connection: SqlConnection.Connection = {
      execute: (sql, params, transform) => Effect.map(all(sql, params), (rows) => transform?.(rows) ?? rows),
      executeUnprepared: (sql, params, transform) => Effect.map(all(sql, params), (rows) => transform?.(rows) ?? rows),
      executeRaw: (sql, params) => run(sql, (statement) => statement.run(...inputs(params))),
      executeValues: values,
      executeValuesUnprepared: values,
      executeStream: (sql, params, transform) =>
        Stream.fromIterableEffect(Effect.map(all(sql, params), (rows) => transform?.(rows) ?? rows))
    }

    // An append that returned is on the disk, also when the power goes: `FULL` syncs the log with every commit.
    yield* attempt("open", () => database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"))

    return yield* SqlClient.make({
      ...SqlClient.makeSqliteAcquirers({
        connection: Effect.succeed(connection),
        semaphore: yield* Semaphore.make(1),
        isTransaction: () => database.isTransaction
      }),
      compiler: Statement.makeCompilerSqlite(),
      driver: "sqlite",
      // Sees at once whether it may write: to find out later would mean to begin anew.
      beginTransaction: "BEGIN IMMEDIATE",
      spanAttributes: [["db.system.name", "sqlite"]]
    })
  }).pipe(Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make))
