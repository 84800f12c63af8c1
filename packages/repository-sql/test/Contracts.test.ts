import * as PostgresJobRepository from "@helios-infra/repository-sql/PostgresJobRepository"
import * as Promises from "@helios-infra/repository-sql/promise"
import * as SqliteJobRepository from "@helios-infra/repository-sql/SqliteJobRepository"
import { jobRepositoryContract } from "@helios-infra/testkit"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"
import { temporary } from "./Jobs.ts"
import * as Postgres from "./Postgres.ts"

const options = { crossProcess: true, patience: "30 seconds" } as const

// One server for all of them; each has a schema of its own.
const server = ManagedRuntime.make(Postgres.layer)
const url = await server.runPromise(Effect.flatMap(Postgres.Postgres, ({ database }) => database))
let schemas = 0
const schema = () => `contract_${++schemas}`

const folder = mkdtempSync(path.join(tmpdir(), "contract-"))
const plain: Array<{ readonly close: () => Promise<void> }> = []
const closedLater = <A extends { readonly close: () => Promise<void> }>(repository: A): A => {
  plain.push(repository)
  return repository
}

afterAll(async () => {
  await Promise.all(plain.map((repository) => repository.close()))
  rmSync(folder, { recursive: true, force: true })
  await server.dispose()
})

const sqlite = Effect.map(temporary, (dir) => SqliteJobRepository.layer({ filename: path.join(dir, "jobs.db") }))
jobRepositoryContract("SqliteJobRepository", sqlite, options)

const postgres = Effect.sync(() => PostgresJobRepository.layer({ url, schema: schema() }))
jobRepositoryContract("PostgresJobRepository", postgres, options)

const plainSqlite = () =>
  closedLater(new Promises.SqliteJobRepository(path.join(mkdtempSync(path.join(folder, "plain-")), "jobs.db")))
jobRepositoryContract("SqliteJobRepository of the Promise API", plainSqlite, options)

const plainPostgres = () =>
  closedLater(new Promises.PostgresJobRepository({ url: Redacted.value(url), schema: schema() }))
jobRepositoryContract("PostgresJobRepository of the Promise API", plainPostgres, options)
