import * as PostgresJobRepository from "@helios-infra/repository-sql/PostgresJobRepository"
import * as SqliteJobRepository from "@helios-infra/repository-sql/SqliteJobRepository"
import { jobRepositoryContract } from "@helios-infra/testkit"
import { Effect, ManagedRuntime } from "effect"
import * as path from "node:path"
import { afterAll } from "vitest"
import { temporary } from "./Jobs.ts"
import * as Postgres from "./Postgres.ts"

const sqlite = Effect.map(temporary, (dir) => SqliteJobRepository.layer({ filename: path.join(dir, "jobs.db") }))

jobRepositoryContract("SqliteJobRepository", sqlite, { crossProcess: true, patience: "30 seconds" })

/** One server for all of them; each has a schema of its own. */
const server = ManagedRuntime.make(Postgres.layer)
afterAll(() => server.dispose())

const database = Effect.runSync(
  Effect.cached(Effect.promise(() => server.runPromise(Effect.flatMap(Postgres.Postgres, ({ database }) => database))))
)
let schemas = 0

const postgres = Effect.map(database, (url) => PostgresJobRepository.layer({ url, schema: `contract_${++schemas}` }))

jobRepositoryContract("PostgresJobRepository", postgres, { crossProcess: true, patience: "30 seconds" })
