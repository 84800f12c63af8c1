/**
 * What goes over the wire between an adapter here and the runtime of a worker elsewhere: the payload of a Lambda
 * invocation, the body of an HTTP request, and the answers to them: one in the end, or a stream of events that ends with
 * it.
 *
 * The least of it, `{ "jobPath": …, "chunkIndex": … }`, is enough for a worker to render a chunk of a job file that it
 * can read; everything else makes it one attempt of one run, with a place of its own for what it writes. Nothing here
 * runs anything.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as VideoFormat from "./VideoFormat.ts"
import { AttemptArtifacts, type WorkerJob, WorkerResult } from "./WorkerAdapter.ts"
import { Refused, WorkerError } from "./WorkerError.ts"

/** The version of the protocol that this module speaks. */
export const version = 1

/** What may be wrong without harm, and is then as if it had not been sent. */
const Lenient = Schema.String.pipe(Schema.catchDecoding(() => Effect.succeedNone))

/** Asks a worker for one attempt at one chunk. */
export const WorkerRequest = Schema.Struct({
  /** Absent in a bare `{ jobPath, chunkIndex }`. */
  protocol: Schema.optionalKey(Schema.Literal(version)),
  /** Where the job file is: an https URL, a path that the worker knows, or `artifact:` and a key of its storage. */
  jobPath: Schema.NonEmptyString,
  /** The chunk's id. */
  chunkIndex: Schema.Int,
  /** Default: the job file's id. */
  jobId: Schema.optionalKey(Schema.NonEmptyString),
  /** Counted from 1. Default: 1. */
  run: Schema.optionalKey(Schema.Int),
  /** Counted from 1 within a run. Default: 1. */
  attempt: Schema.optionalKey(Schema.Int),
  /** Where the output goes. Default: the worker decides, and says so in its answer. */
  artifacts: Schema.optionalKey(AttemptArtifacts),
  /** What the picture and sound must be, beside what the job file says. */
  format: Schema.optionalKey(VideoFormat.VideoFormat),
  /** When the attempt will be stopped, in milliseconds since the epoch. */
  deadlineMs: Schema.optionalKey(Schema.Int),
  /** Variables for the command, beside those the worker's allow-list lets through. */
  env: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Where the worker goes on with the attempt's trace, as W3C Trace Context has it; a malformed one stands for none. */
  traceparent: Schema.optionalKey(Lenient),
  tracestate: Schema.optionalKey(Lenient)
})

/** The type of {@link WorkerRequest}. */
export type WorkerRequest = typeof WorkerRequest.Type

/**
 * How an attempt ended. Always an answer of its own, not a failure of the platform's: that one means that the worker
 * did not get to say anything.
 *
 * - `Result`: the chunk is rendered and checked, and its output is where it was asked for.
 * - `Error`: it is not, for this reason.
 * - `Cancelled`: the attempt was told to stop, and has.
 */
export const WorkerReply = Schema.TaggedUnion({
  Result: { protocol: Schema.Literal(version), result: WorkerResult },
  Error: { protocol: Schema.Literal(version), error: WorkerError },
  Cancelled: { protocol: Schema.Literal(version) }
})

/** The type of {@link WorkerReply}. */
export type WorkerReply = typeof WorkerReply.Type

/** The request for an attempt; `undefined` for the merge command, which is for machines that have the chunks. */
export const requestOf = (job: WorkerJob, jobPath: string): WorkerRequest | undefined => {
  const { meta } = job
  if (meta._tag === "Merge") return undefined
  return {
    protocol: version,
    jobPath,
    chunkIndex: meta.chunkId,
    jobId: meta.jobId,
    run: meta.run,
    attempt: meta.attempt,
    ...(meta.artifacts === undefined ? undefined : { artifacts: meta.artifacts }),
    format: meta.format,
    ...(meta.deadlineMs === undefined ? undefined : { deadlineMs: meta.deadlineMs }),
    ...(job.env === undefined ? undefined : { env: job.env }),
    ...(meta.traceparent === undefined ? undefined : { traceparent: meta.traceparent }),
    ...(meta.tracestate === undefined ? undefined : { tracestate: meta.tracestate })
  }
}

/**
 * What a worker tells while it renders, where the connection carries more than the answer: one JSON object per line, of
 * the media type {@link eventsMediaType}, for requests that accept it.
 *
 * - `heartbeat`: it is alive, at least every {@link heartbeatMs} milliseconds; the first one comes at once and says who
 *   it is.
 * - `progress`: how many frames of the chunk are done.
 * - `log`: a line that the command printed.
 * - `result`: the answer, and the last event.
 *
 * Readers pass over events that they do not know.
 */
export const WorkerEvent = Schema.Union([
  Schema.Struct({ event: Schema.Literal("heartbeat"), workerId: Schema.optionalKey(Schema.String) }),
  Schema.Struct({ event: Schema.Literal("progress"), frames: Schema.Int }),
  Schema.Struct({ event: Schema.Literal("log"), stream: Schema.Literals(["stdout", "stderr"]), text: Schema.String }),
  Schema.Struct({ event: Schema.Literal("result"), reply: WorkerReply })
])

/** The type of {@link WorkerEvent}. */
export type WorkerEvent = typeof WorkerEvent.Type

/** The media type of a stream of events: NDJSON, as `Accept` asks for it and `Content-Type` gives it. */
export const eventsMediaType = "application/x-ndjson"

/** How often a worker says that it is alive at least, in milliseconds: below the idle limits of proxies, 60 s and more. */
export const heartbeatMs = 5000

/**
 * The header of a request that is signed with a shared secret: `t=<seconds since the epoch>,v1=<signature>`, the
 * signature being the HMAC-SHA256 of {@link signedText} in lower-case hexadecimal. There can be several `v1`, while a
 * secret is changed for another; one that is right will do.
 */
export const signatureHeader = "x-helios-signature"

/** What is signed: the time and the body, exactly as they are sent. */
export const signedText = (seconds: number, body: string): string => `${seconds}.${body}`

/** How old a signature can be, in milliseconds, so that a request that was overheard is soon worth nothing. */
export const signatureAgeMs = 300_000

const decode = Schema.decodeUnknownEffect(WorkerRequest, { errors: "all" })

/** Reads what a worker was sent; what is not a request fails with `Refused`, which says every field that is wrong. */
export const decodeRequest = (input: unknown): Effect.Effect<WorkerRequest, Refused> =>
  Effect.mapError(
    decode(input),
    ({ issue }) =>
      new Refused({
        why: "InvalidJob",
        fix: `this is no request for a chunk, such as { "jobPath": "https://…/job.json", "chunkIndex": 0 }: ${SchemaIssue.makeFormatterDefault()(issue)}`
      })
  )

/** Encodes an answer as JSON data. */
export const encodeReply: (reply: WorkerReply) => Effect.Effect<unknown> = (reply) =>
  Effect.orDie(Schema.encodeEffect(Schema.toCodecJson(WorkerReply))(reply))

/** Reads an answer; fails with `Schema.SchemaError` where it is none. */
export const decodeReply: (input: unknown) => Effect.Effect<WorkerReply, Schema.SchemaError> =
  Schema.decodeUnknownEffect(Schema.toCodecJson(WorkerReply))

/** Encodes an event as a line, with the line break at its end. */
export const encodeEvent: (event: WorkerEvent) => Effect.Effect<string> = (event) =>
  Effect.map(Effect.orDie(encodeEventText(event)), (text) => `${text}\n`)

/** Reads a line of a stream of events: none where the event is not known, `Schema.SchemaError` where it is none at all. */
export const decodeEvent: (line: string) => Effect.Effect<Option.Option<WorkerEvent>, Schema.SchemaError> = (line) =>
  Effect.flatMap(decodeLine(line), eventOf)

/** {@link decodeEvent}, of a line that was read as JSON. */
export const eventOf: (json: unknown) => Effect.Effect<Option.Option<WorkerEvent>, Schema.SchemaError> = (json) =>
  Effect.flatMap(decodeAnyEvent(json), (event) =>
    known.has(event.event) ? Effect.asSome(decodeKnownEvent(event)) : Effect.succeedNone
  )

const known: ReadonlySet<string> = new Set(WorkerEvent.members.map(({ fields }) => fields.event.literal))

const EventText = Schema.fromJsonString(Schema.toCodecJson(WorkerEvent))
const encodeEventText = Schema.encodeEffect(EventText)
const decodeKnownEvent = Schema.decodeUnknownEffect(Schema.toCodecJson(WorkerEvent))
const decodeLine = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))
const decodeAnyEvent = Schema.decodeUnknownEffect(
  Schema.StructWithRest(Schema.Struct({ event: Schema.String }), [Schema.Record(Schema.String, Schema.Unknown)])
)
