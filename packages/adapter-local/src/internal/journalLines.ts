/**
 * What stands in a job's journal files: lines of JSON, one for each append.
 *
 * ```
 * {"crc":"1c291ca3","format":"helios-journal","version":1,"jobId":"trailer","journal":"…","run":1,"revision":1,…}
 * {"crc":"5f0b2a11","revision":2,"at":1767225600000,"events":[{"_tag":"RunStarted","run":1,…}]}
 * {"crc":"90d4e7c0","released":true}
 * ```
 *
 * A line counts as a whole or not at all, so an append does. What follows the last line end was torn off by a crash or a
 * full disk. A line whose checksum is wrong was damaged later.
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type JobEvent, type JobRecord, Owner } from "@helios-infra/core/JobEvent"
import { WorkerError } from "@helios-infra/core/WorkerError"
import { crc32 } from "node:zlib"

/** The version of this format. Readers refuse later ones. */
export const formatVersion = 1

/** The first line of every file. */
export const Header = Schema.Struct({
  format: Schema.Literal("helios-journal"),
  version: Schema.Literal(formatVersion),
  jobId: Schema.String,
  /** Unlike any other journal's, also of a job of the same id; sorts by time of creation. */
  journal: Schema.String,
  run: Schema.Int,
  /** How many records stand in the files before this one. */
  revision: Schema.Int,
  /** Who writes the run; the first file, which holds the job's creation alone, has none. */
  owner: Schema.optionalKey(Owner),
  /** The file before this one, and how many bytes of it count: what was appended later does not. */
  previous: Schema.optionalKey(Schema.Struct({ run: Schema.Int, bytes: Schema.Int }))
})

/** The type of {@link Header}. */
export type Header = typeof Header.Type

// ---
// writing
// ---

const prefix = '{"crc":"'
const checkedFrom = prefix.length + 10
const appendBegin = '"revision":'

const checksum = (bytes: Uint8Array): string => crc32(bytes).toString(16).padStart(8, "0")

/** Lines to be written, in memory that is used again: to ask for new memory each time takes longer than to fill it. */
export class LineBuffer {
  #bytes: Buffer = Buffer.allocUnsafe(1 << 16)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** What was added since `clear`; changes with the next one that is added. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  clear(): void {
    this.#length = 0
  }

  header(header: Header): void {
    this.#line([JSON.stringify(header).slice(1)])
  }

  append(revision: number, at: number, eventsJson: ReadonlyArray<string>): void {
    const begin = `${appendBegin}${revision},"at":${at},"events":[`
    this.#line([begin, ...eventsJson.flatMap((json, index) => (index === 0 ? [json] : [",", json])), "]}"])
  }

  /** The last line of a run whose writer has let go of it. */
  released(): void {
    this.#line(['"released":true}'])
  }

  /** A line from the members of a JSON object, in parts. */
  #line(parts: ReadonlyArray<string>): void {
    const begin = this.#length
    this.#put(`${prefix}........",`)
    for (const part of parts) this.#put(part)
    this.#bytes.write(
      checksum(this.#bytes.subarray(begin + checkedFrom, this.#length)),
      begin + prefix.length,
      "latin1"
    )
    this.#put("\n")
  }

  #put(text: string): void {
    // A character takes three bytes at most, a pair of halves four.
    const needed = this.#length + text.length * 3
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    this.#length += this.#bytes.write(text, this.#length)
  }
}

const WorkerErrorJson = Schema.toCodecJson(WorkerError)
const encodeError = Schema.encodeSync(WorkerErrorJson)
const decodeError = Schema.decodeUnknownOption(WorkerErrorJson)

/** An event as JSON. Throws when it holds what JSON has no form for. */
export const eventJson = (event: JobEvent): string =>
  JSON.stringify(
    event._tag === "AttemptEnded" && event.error !== undefined ? { ...event, error: encodeError(event.error) } : event
  )

// ---
// reading
// ---

/** How far a file has been read. */
export interface Place {
  /** In bytes, at the beginning of a line. */
  readonly offset: number
  /** Lines before it. */
  readonly line: number
  /** The last record before it. */
  readonly revision: number
}

/** What is wrong with a line. */
export interface Damage {
  readonly offset: number
  readonly line: number
  readonly why: string
}

interface Appended {
  readonly revision: number
  readonly at: number
  readonly events: ReadonlyArray<JobEvent>
}

/**
 * Whether a line is an append. Looks no further: the checksum says that these bytes were written as an event by this
 * format's version, and to decode every event again would take longer than all the rest.
 */
const isAppended = (value: unknown): value is Appended =>
  Predicate.hasProperty(value, "events") &&
  Array.isArray(value.events) &&
  Predicate.hasProperty(value, "revision") &&
  Predicate.isNumber(value.revision) &&
  Predicate.hasProperty(value, "at") &&
  Predicate.isNumber(value.at)

/** Errors are instances of their class, as they were before they were written. */
const revive = (event: JobEvent): Option.Option<JobEvent> =>
  event._tag === "AttemptEnded" && event.error !== undefined
    ? Option.map(decodeError(event.error), (error) => ({ ...event, error }))
    : Option.some(event)

const isWhole = (bytes: Buffer): boolean =>
  bytes.toString("latin1", 0, checkedFrom) === `${prefix}${checksum(bytes.subarray(checkedFrom))}",`

const parse = (bytes: Buffer): Result.Result<unknown, string> =>
  isWhole(bytes)
    ? Result.try({ try: (): unknown => JSON.parse(bytes.toString("utf8")), catch: () => "it is no JSON" })
    : Result.fail("its checksum is wrong")

const newline = 0x0a

/** A file's header; `undefined` while its line is not whole, a number when it has a later version. */
export const parseHeader = (bytes: Buffer): Result.Result<Header | number | undefined, Damage> => {
  const end = bytes.indexOf(newline)
  if (end < 0) return Result.succeed(undefined)
  const bytesOfLine = bytes.subarray(0, end)
  const version = Option.getOrUndefined(decodeVersion(bytesOfLine.toString("utf8")))
  if (version !== undefined && version.version > formatVersion) return Result.succeed(version.version)
  return parse(bytesOfLine).pipe(
    Result.flatMap((value) => Result.fromOption(decodeHeader(value), () => "it is no header")),
    Result.mapError((why) => ({ offset: 0, line: 1, why }))
  )
}

const decodeHeader = Schema.decodeUnknownOption(Header)
const decodeVersion = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ format: Schema.String, version: Schema.Finite }))
)

/** The records of whole lines, from a place in a run's file on, up to the first that is damaged. */
export const parseLines = (
  bytes: Buffer,
  from: Place,
  run: number
): { readonly records: ReadonlyArray<JobRecord>; readonly place: Place; readonly damage: Damage | undefined } => {
  const records: Array<JobRecord> = []
  let { line, offset, revision } = from
  let begin = 0
  const take = (value: unknown): string | undefined => {
    if (!isAppended(value)) return undefined
    if (value.revision !== revision + 1) return `record ${revision + 1} is missing before it`
    for (const stored of value.events) {
      const event = revive(stored)
      if (Option.isNone(event)) return `record ${revision + 1} is no event`
      revision++
      records.push({ revision, run, at: value.at, event: event.value })
    }
    return undefined
  }
  for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, begin)) {
    const parsed = parse(bytes.subarray(begin, end))
    const why = Result.isFailure(parsed) ? parsed.failure : take(parsed.success)
    if (why !== undefined)
      return { records, place: { offset, line, revision }, damage: { offset, line: line + 1, why } }
    offset += end + 1 - begin
    begin = end + 1
    line++
  }
  return { records, place: { offset, line, revision }, damage: undefined }
}

/**
 * Where whole lines end, from a place in a run's file on, or which of them is damaged. Only the last one is looked into:
 * whoever reads the others sees what is in them.
 */
export const skipLines = (
  bytes: Buffer,
  from: Place,
  run: number
): { readonly place: Place; readonly damage: Damage | undefined } => {
  let { line, offset } = from
  let begin = 0
  /** Where the last append begins, of which the revisions before it are not known. */
  let last: { readonly begin: number; readonly end: number } | undefined
  for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, begin)) {
    const bytesOfLine = bytes.subarray(begin, end)
    if (!isWhole(bytesOfLine)) {
      return { place: { ...from, offset, line }, damage: { offset, line: line + 1, why: "its checksum is wrong" } }
    }
    if (bytesOfLine.toString("latin1", checkedFrom, checkedFrom + appendBegin.length) === appendBegin)
      last = { begin, end }
    offset += end + 1 - begin
    begin = end + 1
    line++
  }
  if (last === undefined) return { place: { ...from, offset, line }, damage: undefined }
  const revision =
    Number(
      /^\d+/.exec(
        bytes.toString(
          "latin1",
          last.begin + checkedFrom + appendBegin.length,
          last.begin + checkedFrom + appendBegin.length + 20
        )
      )?.[0]
    ) - 1
  const parsed = parseLines(bytes.subarray(last.begin, last.end + 1), { ...from, revision }, run)
  return { place: { offset, line, revision: parsed.place.revision }, damage: parsed.damage }
}
