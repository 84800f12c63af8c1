/**
 * What is sent: one JSON object per event, of version 1.
 *
 * ```json
 * {
 *   "id": "evt_9f86d081884c7d659a2feaa0c55ad015",
 *   "type": "job.chunk.lost",
 *   "version": 1,
 *   "timestamp": "2026-11-08T12:00:00.000Z",
 *   "sequence": 17,
 *   "data": {
 *     "jobId": "trailer",
 *     "run": 1,
 *     "chunkId": 3,
 *     "progress": { "frames": { "done": 225, "total": 300 }, "chunks": { "done": 3, "total": 4 } }
 *   }
 * }
 * ```
 *
 * Within version 1 fields and types are added and none is taken away: receivers leave out what they do not know. The same
 * as JSON Schema is `docs/webhook-events-v1.json` of the repository, which `Schema.toJsonSchemaDocument` makes of it.
 *
 * What a command printed, where outputs lie, and what an error says in words may hold secrets: that is sent to endpoints
 * that ask for it alone.
 */
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"

const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const milliseconds = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).annotate({ description: "Milliseconds" })

const Done = Schema.Struct({ done: count, total: count })

/** How far the job is; frames and chunks are those that were accepted. */
export const Progress = Schema.Struct({
  frames: Done,
  chunks: Done
}).annotate({ description: "What has been accepted so far" })

/** The type of {@link Progress}. */
export type Progress = typeof Progress.Type

/** Why an attempt or a run failed. */
export const Failure = Schema.Struct({
  reason: Schema.String.annotate({ description: "What kind of failure it is, such as RenderFailed or TimedOut" }),
  message: Schema.optionalKey(
    Schema.String.annotate({
      description: "What it says, with the last of what a command printed; only for endpoints that include messages"
    })
  )
})

/** The type of {@link Failure}. */
export type Failure = typeof Failure.Type

const job = { jobId: Schema.String }

const inRun = {
  ...job,
  run: Schema.Int.annotate({ description: "Which run of the job, counted from 1" })
}

const ofAttempt = {
  ...inRun,
  chunkId: Schema.Int,
  attempt: Schema.Int.annotate({ description: "Counted from 1 for each chunk of a run" })
}

const runEnd = {
  ...inRun,
  durationMs: milliseconds.annotate({ description: "How long the run took; 0 where a job was ended that nobody ran" }),
  progress: Progress
}

const leftover = count.annotate({ description: "How many things could not be stopped or removed" })

const event = <const Type extends string, Fields extends Schema.Struct.Fields>(
  type: Type,
  description: string,
  data: Fields
) =>
  Schema.Struct({
    id: Schema.String.annotate({
      description:
        "The same each time the event is sent, also in the header webhook-id: what came before is left out by it"
    }),
    type: Schema.Literal(type),
    version: Schema.Literal(1),
    timestamp: Schema.String.annotate({ description: "When it happened: ISO 8601 in UTC, with milliseconds" }),
    sequence: Schema.Int.annotate({
      description: "Its place in the history of its job: rises, with gaps, and two events may share one"
    }),
    data: Schema.Struct(data)
  }).annotate({ description })

/** The schemas of all types. */
export const cases = {
  "job.created": event("job.created", "A job was stored; nothing runs yet", {
    ...job,
    frames: count,
    chunks: count,
    fps: Schema.Union([Schema.Number, Schema.String]),
    width: Schema.optionalKey(count),
    height: Schema.optionalKey(count)
  }),
  "job.started": event("job.started", "The first run of a job began", { ...inRun, progress: Progress }),
  "job.resumed": event("job.resumed", "A later run of a job began; what was accepted is kept", {
    ...inRun,
    progress: Progress
  }),
  "job.progress": event(
    "job.progress",
    "How far a job is; at most as often as the endpoint says, and left out when it is late",
    { ...inRun, progress: Progress }
  ),
  "job.attempt.failed": event("job.attempt.failed", "An attempt at a chunk failed", {
    ...ofAttempt,
    error: Failure,
    retryInMs: Schema.optionalKey(
      count.annotate({ description: "When the chunk is tried again; absent when it is not" })
    )
  }),
  "job.chunk.accepted": event("job.chunk.accepted", "A chunk is rendered and was checked", {
    ...ofAttempt,
    startFrame: count,
    frameCount: count,
    durationMs: milliseconds.annotate({ description: "How long the attempt took" }),
    bytes: count.annotate({ description: "The size of its output; 0 where the worker did not say" }),
    output: Schema.optionalKey(
      Schema.String.annotate({ description: "Where its output is; only for endpoints that include outputs" })
    ),
    progress: Progress
  }),
  "job.chunk.lost": event("job.chunk.lost", "The output of an accepted chunk is gone: it is rendered again", {
    ...inRun,
    chunkId: Schema.Int,
    progress: Progress
  }),
  "job.completed": event("job.completed", "The job is done, its final file in place", {
    ...runEnd,
    outputFile: Schema.optionalKey(Schema.String.annotate({ description: "The final file, where there is one" })),
    bytes: Schema.optionalKey(count.annotate({ description: "The size of the final file, where it is known" }))
  }),
  "job.failed": event("job.failed", "A run failed; the job can be resumed", {
    ...runEnd,
    chunkId: Schema.optionalKey(Schema.Int.annotate({ description: "The chunk because of which it failed" })),
    error: Failure,
    leftover
  }),
  "job.cancelled": event("job.cancelled", "The job was cancelled", { ...runEnd, leftover }),
  "job.paused": event("job.paused", "The run was stopped so that it can be run on", { ...runEnd, leftover })
} as const

/** What an event can be. */
export type WebhookEventType = keyof typeof cases

/** All types, in the order in which they happen to a job. */
export const types: ReadonlyArray<WebhookEventType> = Struct.keys(cases)

/** An event, as it is sent. */
export const WebhookEvent = Schema.Union(Object.values(cases))

/** The type of {@link WebhookEvent}. */
export type WebhookEvent = typeof WebhookEvent.Type
