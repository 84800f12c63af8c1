/**
 * What this package offers to configurations: `{ "type": "sqlite", "filename": "jobs.db" }` or
 * `{ "type": "postgres", "url": "postgres://…" }` keeps jobs.
 *
 * The options are those of the modules they are passed to, as JSON can write them.
 */
import type { RepositoryError } from "@helios-infra/core/JobRepository"
import * as Plugin from "@helios-infra/core/Plugin"
import * as Schema from "effect/Schema"
import * as PostgresJobRepository from "./PostgresJobRepository.ts"
import * as SqliteJobRepository from "./SqliteJobRepository.ts"

/** The options of {@link sqlite}: `SqliteJobRepository.Options`, `patience` as `"5 seconds"` or in milliseconds. */
export const SqliteConfig = Schema.Struct({
  filename: Plugin.FilePath.annotateKey({
    description: "The database file; made, with its folder and for its user alone, when it is not there."
  }),
  patience: Schema.optionalKey(Plugin.Duration).annotateKey({
    description: "How long to wait for a database that another process has locked. Default: 10 seconds."
  })
})

/** Jobs in a SQLite file of this machine. */
export const sqlite: Plugin.Plugin<"repository", typeof SqliteConfig, RepositoryError, never, "sqlite"> =
  Plugin.definePlugin({
    kind: "repository",
    type: "sqlite",
    apiVersion: 1,
    config: SqliteConfig,
    layer: SqliteJobRepository.layer
  })

/** The options of {@link postgres}: `PostgresJobRepository.Options`, `patience` as `"5 seconds"` or in milliseconds. */
export const PostgresConfig = Schema.Struct({
  url: Schema.RedactedFromValue(Schema.NonEmptyString).annotateKey({
    description:
      "postgres://user:password@host:5432/database?sslmode=require. It holds the password, and is never printed."
  }),
  schema: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The schema of the tables; made when it is not there. Default: helios."
  }),
  connections: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))).annotateKey({
    description: "How many connections there are at most, beside the one that says that the process lives. Default: 5."
  }),
  patience: Schema.optionalKey(Plugin.Duration).annotateKey({
    description: "How long to go on trying when the server is away, in the middle of a job. Default: 30 seconds."
  })
})

/** Jobs in a Postgres database, for orchestrators on several machines. */
export const postgres: Plugin.Plugin<"repository", typeof PostgresConfig, RepositoryError, never, "postgres"> =
  Plugin.definePlugin({
    kind: "repository",
    type: "postgres",
    apiVersion: 1,
    config: PostgresConfig,
    layer: PostgresJobRepository.layer
  })
