/**
 * How jobs and events are written as SQL values, and read back: events as JSON text, ids in letters that every database
 * takes. What does not read back as it should is `Corrupt`.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { JobEvent, type JobRecord, Owner } from "@helios-infra/core/JobEvent"
import type { JobRequest, RepositoryError } from "@helios-infra/core/JobRepository"
import { WorkerError } from "@helios-infra/core/WorkerError"
import { createHash } from "node:crypto"
import { corrupt } from "./failures.ts"

// ---
// ids
// ---

/** By which a job is found, whatever its id is: no collation, length or encoding comes between two ids. */
export const keyOf = (jobId: string): string =>
  // Not as UTF-8, in which halves of characters are all the same.
  createHash("sha256").update(Buffer.from(jobId, "utf16le")).digest("hex")

/** An id as it is stored: control characters, which Postgres refuses, and halves of characters are written out. */
export const writtenId = (jobId: string): string =>
  jobId.replace(/[\\\p{Cc}\p{Surrogate}]/gu, (unit) => `\\${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** The id that was stored so. */
export const readId = (written: string): string =>
  written.replace(/\\([0-9a-f]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

// ---
// events
// ---

const encodeError = Schema.encodeSync(Schema.toCodecJson(WorkerError))

/** An event as JSON. Throws when it holds what JSON has no form for. */
export const eventJson = (event: JobEvent): string =>
  JSON.stringify(
    event._tag === "AttemptEnded" && event.error !== undefined ? { ...event, error: encodeError(event.error) } : event
  )

const Row = Schema.Struct({
  revision: Schema.Int,
  run: Schema.Int,
  at: Schema.Finite,
  event: Schema.fromJsonString(Schema.Unknown)
})

const decodeRow = Schema.decodeUnknownResult(Row)
const decodeEvent = Schema.decodeUnknownResult(Schema.toCodecJson(JobEvent))

/** An event as it was written: its keys in their order, and those that are not known here as well. */
const readEvent = (stored: unknown): Result.Result<JobEvent, Schema.SchemaError> =>
  Result.map(decodeEvent(stored), (event) => {
    if (!isJsonOf(event, stored)) return event
    // Errors are instances of their class, as they were before they were written.
    return event._tag === "AttemptEnded" && event.error !== undefined && stored._tag === "AttemptEnded"
      ? { ...stored, error: event.error }
      : stored
  })

/** Whether a value is what an event was decoded from: the same but for instances of classes. */
const isJsonOf = (event: JobEvent, stored: unknown): stored is JobEvent =>
  Predicate.hasProperty(stored, "_tag") && stored._tag === event._tag

/** The records of rows, which must come one after the other, the first after `after`. */
export const recordsOf = (
  jobId: string,
  rows: ReadonlyArray<unknown>,
  after: number
): Effect.Effect<ReadonlyArray<JobRecord>, RepositoryError> => {
  const records: Array<JobRecord> = []
  for (const row of rows) {
    const revision = after + records.length + 1
    const decoded = Result.flatMap(decodeRow(row), ({ event, ...place }) =>
      Result.map(readEvent(event), (event): JobRecord => ({ ...place, event }))
    )
    if (Result.isFailure(decoded)) {
      return Effect.fail(corrupt(jobId, `record ${revision}, which is none: ${decoded.failure.message}`))
    }
    if (decoded.success.revision !== revision) return Effect.fail(missing(jobId, revision))
    records.push(decoded.success)
  }
  return Effect.succeed(records)
}

export const missing = (jobId: string, revision: number): RepositoryError =>
  corrupt(jobId, `record ${revision}, which is missing`)

// ---
// requests and owners
// ---

const Request = Schema.fromJsonString(
  Schema.TaggedUnion({
    Cancel: { by: Schema.String },
    Pause: { mode: Schema.Literals(["drain", "interrupt"]) }
  })
)

export const requestJson: (request: JobRequest) => string = Schema.encodeSync(Request)

/** A request; nothing for what is none. */
export const readRequest = Schema.decodeUnknownOption(Request)

const OwnerJson = Schema.fromJsonString(Owner)

export const ownerJson: (owner: Owner) => string = Schema.encodeSync(OwnerJson)

export const readOwner = Schema.decodeUnknownOption(OwnerJson)
