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
  filename: Schema.NonEmptyString,
  patience: Schema.optionalKey(Plugin.Duration)
})

/** Jobs in a SQLite file of this machine. */
export const sqlite: Plugin.Plugin<"repository", typeof SqliteConfig, RepositoryError> = Plugin.definePlugin({
  kind: "repository",
  type: "sqlite",
  apiVersion: 1,
  config: SqliteConfig,
  layer: SqliteJobRepository.layer
})

/** The options of {@link postgres}: `PostgresJobRepository.Options`, `patience` as `"5 seconds"` or in milliseconds. */
export const PostgresConfig = Schema.Struct({
  /** Holds the password, and is never printed. */
  url: Schema.RedactedFromValue(Schema.NonEmptyString),
  schema: Schema.optionalKey(Schema.NonEmptyString),
  connections: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  patience: Schema.optionalKey(Plugin.Duration)
})

/** Jobs in a Postgres database, for orchestrators on several machines. */
export const postgres: Plugin.Plugin<"repository", typeof PostgresConfig, RepositoryError> = Plugin.definePlugin({
  kind: "repository",
  type: "postgres",
  apiVersion: 1,
  config: PostgresConfig,
  layer: PostgresJobRepository.layer
})
