/**
 * The Promise API of this package: jobs in SQLite or Postgres, for
 * `new JobManager({ repository: new SqliteJobRepository("jobs.db") })`.
 */
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import { RepositoryClass } from "@helios-infra/core/RepositoryClass"
import * as Redacted from "effect/Redacted"
import * as Postgres from "./PostgresJobRepository.ts"
import * as Sqlite from "./SqliteJobRepository.ts"

/** How a database file is used. */
export interface SqliteJobRepositoryOptions {
  /** How long to wait for a database that another process has locked, in milliseconds. Default: 10 000. */
  readonly patience?: number | undefined
}

const sqliteRules: PromiseOptions.Rules<SqliteJobRepositoryOptions> = {
  patience: PromiseOptions.millis
}

/**
 * Keeps jobs in a SQLite file of this machine, one journal per job. A `JobManager` writes those journals event by event;
 * several processes can share the file, and no two of them run the same job.
 */
export class SqliteJobRepository extends RepositoryClass {
  /** The file is made, with its folder, when it is first used and not there. */
  constructor(filename: string, options: SqliteJobRepositoryOptions = {}) {
    PromiseOptions.check("SqliteJobRepository", options, sqliteRules)
    PromiseOptions.check("SqliteJobRepository", { filename }, { filename: PromiseOptions.text }, ["filename"])
    super(Sqlite.layer({ filename, patience: options.patience }))
  }
}

/** Where jobs are kept. */
export interface PostgresJobRepositoryOptions {
  /** `postgres://user:password@host:5432/database?sslmode=require`. */
  readonly url: string
  /** The schema of the tables; made when it is not there. Default: `"helios"`. */
  readonly schema?: string | undefined
  /** How many connections there are at most, beside the one that says that the process lives. Default: 5. */
  readonly connections?: number | undefined
  /** How long to go on trying when the server is away, in the middle of a job, in milliseconds. Default: 30 000. */
  readonly patience?: number | undefined
}

const postgresRules: PromiseOptions.Rules<PostgresJobRepositoryOptions> = {
  url: PromiseOptions.text,
  schema: PromiseOptions.text,
  connections: PromiseOptions.whole(1),
  patience: PromiseOptions.millis
}

/**
 * Keeps jobs in a Postgres database, for orchestrators on several machines. `close` it, or its connections keep the
 * process from ending.
 */
export class PostgresJobRepository extends RepositoryClass {
  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(given: PostgresJobRepositoryOptions) {
    PromiseOptions.check("PostgresJobRepository", given, postgresRules, ["url"])
    const { url, ...options } = given
    super(Postgres.layer({ ...options, url: Redacted.make(url) }))
  }
}
