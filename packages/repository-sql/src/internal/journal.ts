/** Reads jobs and their journals from the tables. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { JobRecord, Owner } from "@helios-infra/core/JobEvent"
import { NotFound, type RepositoryError } from "@helios-infra/core/JobRepository"
import { type JobFold, makeFold } from "@helios-infra/core/JobState"
import * as Option from "effect/Option"
import { corrupt, failure } from "./failures.ts"
import * as rows from "./rows.ts"
import * as schema from "./schema.ts"
import type { Store } from "./store.ts"

/** How many rows are read at once, each of what was appended at once. */
const pageRows = 64

/** A job's row, without what a list says of it. */
export interface Job {
  readonly job: number
  /** Unlike that of any other job, also of one with the same id. */
  readonly creation: string
  /** The run that may write it; 0 before the first. */
  readonly run: number
  /** By which whoever began the run knows it. */
  readonly claim: string | null
  /** Which process writes it; `null` for none. */
  readonly holder: string | null
  readonly owner: string | null
  /** The last record's. */
  readonly revision: number
}

const JobRow = Schema.Struct({
  job: Schema.Int,
  creation: Schema.String,
  run: Schema.Int,
  claim: Schema.NullOr(Schema.String),
  holder: Schema.NullOr(Schema.String),
  owner: Schema.NullOr(Schema.String),
  revision: Schema.Int,
  version: Schema.NullOr(Schema.Int)
})

const decodeJob = Schema.decodeUnknownEffect(JobRow)

/** A job, by its id. Fails with `NotFound`, and with `NewerVersion` when a later version has taken the tables over. */
export const find = Effect.fnUntraced(function* (
  { attempt, sql, tables }: Store,
  jobId: string
): Effect.fn.Return<Job, RepositoryError> {
  const [row] = yield* sql`
    SELECT job, creation, run, claim, holder, owner, revision,
      (SELECT max(migration_id) FROM ${sql(tables.migrations)}) AS version
    FROM ${sql(tables.jobs)} WHERE key = ${rows.keyOf(jobId)}`.pipe(attempt(jobId))
  if (row === undefined) return yield* failure(jobId, new NotFound())
  const { version, ...job } = yield* Effect.mapError(decodeJob(row), (error) =>
    corrupt(jobId, `its row in the table ${tables.jobs}: ${error.message}`)
  )
  if (version !== null && version > schema.version) return yield* failure(jobId, schema.newerVersion(version))
  return job
})

/** Where the journal of a job ends now; `undefined` when the job is gone. */
const endOf = Effect.fnUntraced(function* ({ attempt, sql, tables }: Store, jobId: string, job: number) {
  const [row] = yield* sql<{ revision: number }>`
    SELECT revision FROM ${sql(tables.jobs)} WHERE job = ${job}`.pipe(attempt(jobId))
  return row?.revision
})

/** A journal that is being read. Not to be asked by two at once. */
export interface Reader {
  /**
   * The next records; an empty array when there are no more for now. Fails with `NotFound` when the job is gone, and
   * with `Corrupt`.
   */
  readonly next: Effect.Effect<ReadonlyArray<JobRecord>, RepositoryError>
}

/** Reads the records after a revision. */
export const reader = (store: Store, jobId: string, job: number, after: number): Reader => {
  const { attempt, sql, tables } = store
  let given = Math.max(0, Math.floor(after))
  const page = Effect.suspend(() =>
    sql`SELECT first_revision, revision, run, at, events FROM ${sql(tables.events)}
      WHERE job = ${job} AND revision > ${given} ORDER BY revision LIMIT ${pageRows}`.pipe(attempt(jobId))
  )
  const next = Effect.gen(function* () {
    let found = yield* page
    if (found.length === 0) {
      const end = yield* endOf(store, jobId, job)
      if (end === undefined) return yield* failure(jobId, new NotFound())
      if (end <= given) return []
      // It has come since.
      found = yield* page
      if (found.length === 0) return yield* lost(given + 1)
    }
    const records = yield* rows.recordsOf(jobId, found, given)
    given += records.length
    return records
  })
  /** A record is missing, unless the job is gone by now. */
  const lost = Effect.fnUntraced(function* (revision: number) {
    const end = yield* endOf(store, jobId, job)
    return yield* end === undefined ? failure(jobId, new NotFound()) : rows.missing(jobId, revision)
  })
  return { next }
}

/** What a journal amounts to, to go on from. */
export interface Folded {
  readonly fold: JobFold
  readonly revision: number
}

/** Folds the journal of a job, on from where somebody has come with it. */
export const fold = Effect.fnUntraced(function* (
  store: Store,
  jobId: string,
  job: number,
  begun: Folded = nothing(jobId)
): Effect.fn.Return<Folded, RepositoryError> {
  const { fold } = begun
  const { next } = reader(store, jobId, job, begun.revision)
  let { revision } = begun
  for (let records = yield* next; records.length > 0; records = yield* next) {
    records.forEach(fold.apply)
    revision += records.length
  }
  return { fold, revision }
})

/** What a journal amounts to before its first record. */
export const nothing = (jobId: string): Folded => ({ fold: makeFold(jobId), revision: 0 })

/** Who a row names as its owner; somebody nobody knows where it names none. */
export const ownerOf = ({ owner }: Job): Owner => Option.getOrElse(rows.readOwner(owner), () => ({ host: "(unknown)" }))
