/** Lists jobs by their rows, page by page: no journal is read for it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { JobRepository, JobSummary, RepositoryError } from "@helios-infra/core/JobRepository"
import { anyJob } from "./failures.ts"
import { readId } from "./rows.ts"
import type { Store } from "./store.ts"

/** How many jobs are read at once. */
const pageRows = 200

/** Where a page ends; the next one goes on below it. */
const Place = Schema.Struct({ job: Schema.Int, created_at: Schema.Finite })

const Row = Schema.Struct({
  job: Schema.Int,
  id: Schema.String,
  status: Schema.Literals(["pending", "running", "paused", "completed", "failed", "cancelled"]),
  event_run: Schema.Int,
  progress: Schema.Finite,
  created_at: Schema.Finite,
  updated_at: Schema.Finite,
  claim: Schema.NullOr(Schema.String),
  holder: Schema.NullOr(Schema.String)
})

const decodeRow = Schema.decodeUnknownResult(Row)
const decodePlace = Schema.decodeUnknownOption(Place)

type Options = Exclude<Parameters<JobRepository["Service"]["list"]>[0], undefined>

/** The jobs, newest first. Leaves out those whose row is none, with a warning in the log. */
export const make = (
  { attempt, holder: mine, livesOf, sql, tables }: Store,
  { status, updatedAfter = -Infinity }: Options,
  released: ReadonlySet<string>
): Stream.Stream<JobSummary, RepositoryError> => {
  if (status?.length === 0) return Stream.empty
  const chosen = status === undefined ? sql.literal("status IS NOT NULL") : sql.in("status", status)

  const page = Effect.fnUntraced(function* (below: typeof Place.Type | undefined) {
    const rest =
      below === undefined ? sql.literal("") : sql`AND (created_at, job) < (${below.created_at}, ${below.job})`
    const found = yield* sql`
      SELECT job, id, status, event_run, progress, created_at, updated_at, claim, holder FROM ${sql(tables.jobs)}
      WHERE ${chosen} AND updated_at > ${updatedAfter} ${rest}
      ORDER BY created_at DESC, job DESC LIMIT ${pageRows}`.pipe(attempt(anyJob))
    const jobs: Array<typeof Row.Type> = []
    for (const row of found) {
      const decoded = decodeRow(row)
      if (Result.isSuccess(decoded)) jobs.push(decoded.success)
      else yield* Effect.logWarning("A job is left out of the list: its row cannot be read:", decoded.failure.message)
    }
    const others = new Set(jobs.flatMap(({ holder }) => (holder === null || holder === mine ? [] : [holder])))
    const lives = others.size === 0 ? new Map<string, never>() : yield* attempt(anyJob)(livesOf([...others]))
    const ownerOf = ({ claim, holder }: typeof Row.Type): JobSummary["owner"] => {
      if (holder === null || (claim !== null && released.has(claim))) return "none"
      return holder === mine ? "alive" : (lives.get(holder) ?? "unknown")
    }
    const summaries = jobs.map((job) => ({
      id: readId(job.id),
      status: job.status,
      run: job.event_run,
      progress: job.progress,
      createdAt: job.created_at,
      updatedAt: job.updated_at,
      owner: ownerOf(job)
    }))
    const last = found.length < pageRows ? Option.none() : decodePlace(found.at(-1))
    return [summaries, last] as const
  })

  const first: typeof Place.Type | undefined = undefined
  return Stream.paginate(first, page)
}
