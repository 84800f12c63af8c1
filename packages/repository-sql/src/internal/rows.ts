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
import { VideoFormat } from "@helios-infra/core/VideoFormat"
import type { OutputRef } from "@helios-infra/core/WorkerAdapter"
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

const decodeEvent = Schema.decodeUnknownResult(Schema.toCodecJson(JobEvent))
const decodeFormat = Schema.decodeUnknownResult(VideoFormat)

/** Events as they are stored in one row, from the JSON of each. */
export const batchJson = (events: ReadonlyArray<string>): string => `[${events.join(",")}]`

const Row = Schema.Struct({
  first_revision: Schema.Int,
  revision: Schema.Int,
  run: Schema.Int,
  at: Schema.Finite,
  events: Schema.fromJsonString(Schema.Array(Schema.Unknown))
})

const decodeRow = Schema.decodeUnknownResult(Row)

// Properties are looked at in the plainest way: there are hundreds of thousands of them.

const isText = (value: unknown): boolean => value === undefined || typeof value === "string"

/**
 * Whether a value is one of the events that most of a journal consists of, or a job's first one, whose file was checked
 * before it was stored: to decode each of these by its schema would take longer than all the rest.
 */
const isUsual = (value: unknown): value is JobEvent => {
  if (typeof value !== "object" || value === null || !("_tag" in value)) return false
  if (value._tag === "JobCreated") return isCreation(value)
  if (!("chunk" in value) || !Number.isSafeInteger(value.chunk)) return false
  if (!("attempt" in value) || !Number.isSafeInteger(value.attempt)) return false
  switch (value._tag) {
    case "AttemptStarted":
      return true
    case "AttemptAssigned":
      return (!("workerId" in value) || isText(value.workerId)) && (!("handle" in value) || isText(value.handle))
    case "ChunkAccepted":
      return (
        (!("log" in value) || isText(value.log)) &&
        "durationMs" in value &&
        Number.isFinite(value.durationMs) &&
        "output" in value &&
        isOutput(value.output)
      )
    default:
      return false
  }
}

const isCreation = (value: object): boolean =>
  "version" in value &&
  value.version === 1 &&
  "spec" in value &&
  Predicate.hasProperty(value.spec, "metadata") &&
  Predicate.hasProperty(value.spec.metadata, "totalFrames") &&
  Predicate.hasProperty(value.spec, "chunks") &&
  Array.isArray(value.spec.chunks)

/** Formats that were found to be some, as JSON: all chunks of a job have the same. */
const knownFormats = new Set<string>()
const mostFormats = 1000

const isOutput = (value: unknown): value is OutputRef => {
  if (typeof value !== "object" || value === null) return false
  if ("format" in value && !isFormat(value.format)) return false
  return (
    "location" in value &&
    typeof value.location === "string" &&
    "bytes" in value &&
    Number.isSafeInteger(value.bytes) &&
    (!("sha256" in value) || isText(value.sha256)) &&
    (!("frames" in value) || Number.isSafeInteger(value.frames))
  )
}

const isFormat = (value: unknown): boolean => {
  const text = JSON.stringify(value)
  if (knownFormats.has(text)) return true
  if (Result.isFailure(decodeFormat(value))) return false
  if (knownFormats.size >= mostFormats) knownFormats.clear()
  knownFormats.add(text)
  return true
}

/** An event as it was written: its keys in their order, and those that are not known here as well. */
const readEvent = (stored: unknown): Result.Result<JobEvent, string> => {
  if (isUsual(stored)) return Result.succeed(stored)
  return Result.mapBoth(decodeEvent(stored), {
    onFailure: ({ message }) => message,
    onSuccess: (event): JobEvent => {
      if (!isJsonOf(event, stored)) return event
      // Errors are instances of their class, as they were before they were written.
      return event._tag === "AttemptEnded" && event.error !== undefined && stored._tag === "AttemptEnded"
        ? { ...stored, error: event.error }
        : stored
    }
  })
}

/** Whether a value is what an event was decoded from: the same but for instances of classes. */
const isJsonOf = (event: JobEvent, stored: unknown): stored is JobEvent =>
  Predicate.hasProperty(stored, "_tag") && stored._tag === event._tag

/** The records of rows, which must come one after the other; those after `after`, where a row may begin before it. */
export const recordsOf = (
  jobId: string,
  rows: ReadonlyArray<unknown>,
  after: number
): Effect.Effect<ReadonlyArray<JobRecord>, RepositoryError> => {
  const records: Array<JobRecord> = []
  let expected = after + 1
  for (const stored of rows) {
    const row = decodeRow(stored)
    if (Result.isFailure(row)) return Effect.fail(none(jobId, expected, row.failure.message))
    const { at, events, first_revision: first, revision: last, run } = row.success
    if (first > expected || (records.length > 0 && first !== expected)) return Effect.fail(missing(jobId, expected))
    if (last < expected || last - first + 1 !== events.length) {
      return Effect.fail(none(jobId, expected, "its row holds another number of events than it says"))
    }
    for (let revision = expected; revision <= last; revision++) {
      const event = readEvent(events[revision - first])
      if (Result.isFailure(event)) return Effect.fail(none(jobId, revision, event.failure))
      records.push({ revision, run, at, event: event.success })
    }
    expected = last + 1
  }
  return Effect.succeed(records)
}

const none = (jobId: string, revision: number, why: string): RepositoryError =>
  corrupt(jobId, `record ${revision}, which is none: ${why}`)

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
