/** Where the tests of both databases keep jobs: an empty one each time, which can be opened again and looked into. */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import type { JobRepository } from "@helios-infra/core"
import * as PostgresJobRepository from "@helios-infra/repository-sql/PostgresJobRepository"
import * as SqliteJobRepository from "@helios-infra/repository-sql/SqliteJobRepository"
import { Effect, Redacted, type Scope } from "effect"
import { DatabaseSync } from "node:sqlite"
import * as path from "node:path"
import { type Jobs, temporary } from "./Jobs.ts"
import type * as Postgres from "./Postgres.ts"

export interface Place {
  readonly name: "sqlite" | "postgres"
  /** By which another process opens it: a file, or a URL with the schema after `#`. */
  readonly address: string
  /** Opens it: each is what another process would have. */
  readonly open: Effect.Effect<Jobs, JobRepository.RepositoryError, Scope.Scope>
  /** Does something behind the repositories' back; `{jobs}` stands for a table's name. */
  readonly query: (sql: string) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>>
}

export const sqlite: Effect.Effect<Place, never, Scope.Scope> = Effect.gen(function* () {
  const filename = path.join(yield* temporary, "jobs.db")
  return {
    name: "sqlite",
    address: filename,
    open: SqliteJobRepository.make({ filename, patience: "10 seconds" }),
    query: (sql) =>
      Effect.sync(() => {
        const database = new DatabaseSync(filename, { timeout: 5000 })
        try {
          return database.prepare(sql.replaceAll(/\{(\w+)\}/g, "helios_$1")).all()
        } finally {
          database.close()
        }
      })
  }
})

/** Schemas of one database: to make a database takes longer than most tests. */
export const postgres = (
  server: Effect.Effect<Postgres.Postgres["Service"]>
): Effect.Effect<Place, never, Scope.Scope> => {
  const database = Effect.runSync(Effect.cached(Effect.flatMap(server, ({ database }) => database)))
  let places = 0
  return Effect.map(database, (url) => {
    const schema = `place_${++places}`
    return {
      name: "postgres",
      address: `${Redacted.value(url)}#${schema}`,
      open: PostgresJobRepository.make({ url, schema, patience: "15 seconds" }),
      query: (sql) =>
        Effect.flatMap(PgConnection.make({ url }), (connection) =>
          connection.query(sql.replaceAll(/\{(\w+)\}/g, `${schema}.$1`))
        ).pipe(
          Effect.map(({ rows }) => rows),
          Effect.scoped,
          Effect.orDie
        )
    }
  })
}

/** What a repository is opened with at an address of Postgres. */
export const optionsOf = (address: string) => {
  const [url = "", schema = ""] = address.split("#")
  return { url: Redacted.make(url), schema }
}
