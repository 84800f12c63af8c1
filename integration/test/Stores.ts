/** Where jobs are kept by tests that several processes share. */
import { Effect, Redacted, type Scope } from "effect"
import { join } from "node:path"
import * as Postgres from "../../packages/repository-sql/test/Postgres.ts"
import type { Store } from "./fixtures/mortal.ts"
import { folder } from "./RealMachine.ts"

/** Every durable store, new and empty. */
export const stores: Readonly<Record<string, Effect.Effect<Store, never, Postgres.Postgres | Scope.Scope>>> = {
  "in files": Effect.map(folder, (dir) => ({ type: "file", dir: join(dir, "jobs") })),
  "in SQLite": Effect.map(folder, (dir) => ({ type: "sqlite", filename: join(dir, "jobs.db") })),
  "in Postgres": Effect.gen(function* () {
    const { database } = yield* Postgres.Postgres
    return { type: "postgres", url: Redacted.value(yield* database) }
  })
}
