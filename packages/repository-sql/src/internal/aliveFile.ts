/**
 * Whether the process that writes a job lives, told by a lock that the system lets go of when the process ends, however
 * it ends: each repository keeps a file of its own beside the database, locked as only SQLite locks files.
 *
 * ```
 * jobs.db
 * jobs.db-owner-<token>    locked while its process lives
 * ```
 *
 * Processes in containers can tell each other so, and numbers of processes that are used again fool nobody. It works
 * where the database does: its log needs one machine too.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Predicate from "effect/Predicate"
import * as sqliteClient from "./sqliteClient.ts"
import type { Life } from "./store.ts"

const fileOf = (database: string, token: string): string => `${database}-owner-${token}`

const attempt = <A>(thunk: () => A): Result.Result<A, unknown> => Result.try({ try: thunk, catch: (cause) => cause })

/** SQLite's number for a file that somebody else has locked. */
const busy = 5

const isBusy = (cause: unknown): boolean => Predicate.hasProperty(cause, "errcode") && cause.errcode === busy

/** Locks a file that nobody knows yet. Its transaction stays open, and nothing is ever written. */
const lock = (file: string): DatabaseSync => {
  fs.closeSync(fs.openSync(file, "wx", 0o600))
  const held = new DatabaseSync(file, { timeout: 0 })
  held.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")
  return held
}

/** Says that this process lives, until the scope closes; gives the token by which others ask. */
export const hold = (database: string): Effect.Effect<string, SqlError, Scope.Scope> =>
  Effect.gen(function* () {
    const token = randomUUID()
    const file = fileOf(database, token)
    yield* Effect.acquireRelease(
      sqliteClient.attempt("open", () => {
        const held = lock(`${file}.new`)
        // Has its name once it is locked: who finds it without a lock may remove it.
        fs.renameSync(`${file}.new`, file)
        return held
      }),
      (held) =>
        Effect.sync(() => {
          fs.rmSync(file, { force: true })
          held.close()
        })
    )
    return token
  })

/** Whether the process lives that holds a token. */
export const lifeOf = (database: string, token: string): Life => {
  const file = fileOf(database, token)
  if (!fs.existsSync(file)) return "dead"
  const looked = Result.flatMap(
    attempt(() => new DatabaseSync(file, { timeout: 0 })),
    (other) => {
      // Takes no lock by which another one that looks would believe that it lives.
      const found = attempt(() => other.exec("SELECT count(*) FROM sqlite_master"))
      other.close()
      return found
    }
  )
  if (Result.isSuccess(looked)) return "dead"
  if (isBusy(looked.failure)) return "alive"
  return fs.existsSync(file) ? "unknown" : "dead"
}

/** Removes the files of processes that did not live to do so. */
export const sweep = (database: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const prefix = `${path.basename(database)}-owner-`
    const names = Result.getOrElse(
      attempt(() => fs.readdirSync(path.dirname(database))),
      (): ReadonlyArray<string> => []
    )
    for (const name of names.filter((name) => name.startsWith(prefix) && !name.endsWith(".new"))) {
      if (lifeOf(database, name.slice(prefix.length)) !== "dead") continue
      attempt(() => fs.rmSync(path.join(path.dirname(database), name), { force: true }))
    }
  })
