/**
 * What happened to a job: the durable facts, in the order in which they happened.
 *
 * Events are all that is ever stored of a job; what they amount to is `JobState`. Frames done and lines printed are
 * signals (`WorkerSignal`), not events: they are many, and nothing is lost when they are.
 */
import * as Schema from "effect/Schema"
import { JobSpec } from "./JobSpec.ts"
import { OutputRef } from "./WorkerAdapter.ts"
import { WorkerError } from "./WorkerError.ts"

/** Who runs a job, as far as its repository can tell. */
export const Owner = Schema.Struct({
  host: Schema.String,
  bootId: Schema.optionalKey(Schema.String),
  pid: Schema.optionalKey(Schema.Int),
  processStart: Schema.optionalKey(Schema.String)
})

/** The type of {@link Owner}. */
export type Owner = typeof Owner.Type

/** An error as the journal keeps it: its tag, its message, and the chunk that it is about. */
export const ErrorSummary = Schema.Struct({
  _tag: Schema.String,
  message: Schema.String,
  chunkId: Schema.optionalKey(Schema.Int)
})

/** The type of {@link ErrorSummary}. */
export type ErrorSummary = typeof ErrorSummary.Type

/** How a run can end. Only `completed` is final for the job. */
export const RunOutcome = Schema.Literals(["completed", "failed", "cancelled", "paused"])

/** The type of {@link RunOutcome}. */
export type RunOutcome = typeof RunOutcome.Type

/**
 * A durable fact about a job. Chunks are named by their id, attempts are counted from 1 within a run, `log` is the
 * bounded tail of what the attempt printed.
 */
export const JobEvent = Schema.TaggedUnion({
  JobCreated: {
    version: Schema.Literal(1),
    /** The job file, as it was given. */
    spec: JobSpec
  },
  RunStarted: {
    run: Schema.Int,
    owner: Owner,
    /** The final file that it is to make, as it was asked for, and its container: a later run goes on with these. */
    outputFile: Schema.optionalKey(Schema.String),
    container: Schema.optionalKey(Schema.String),
    /** Its span, where it is traced, as W3C Trace Context has it. */
    traceparent: Schema.optionalKey(Schema.String)
  },
  /** Somebody wants the run to end so. Should its process die before it has, the job is not run on by itself. */
  StopRequested: { how: Schema.Literals(["cancelled", "paused"]) },
  AttemptStarted: { chunk: Schema.Int, attempt: Schema.Int },
  AttemptAssigned: {
    chunk: Schema.Int,
    attempt: Schema.Int,
    workerId: Schema.optionalKey(Schema.String),
    /** What `WorkerAdapter.reap` needs to find the attempt after a crash. */
    handle: Schema.optionalKey(Schema.String)
  },
  AttemptEnded: {
    chunk: Schema.Int,
    attempt: Schema.Int,
    /** `not-stopped`: interrupted, but something of it may still run; `detail` says what. */
    how: Schema.Literals(["failed", "interrupted", "not-stopped"]),
    error: Schema.optionalKey(WorkerError),
    detail: Schema.optionalKey(Schema.String),
    /** Whether the chunk is tried again, and after how many milliseconds. */
    retryInMs: Schema.optionalKey(Schema.Int),
    log: Schema.optionalKey(Schema.String)
  },
  ChunkAccepted: {
    chunk: Schema.Int,
    attempt: Schema.Int,
    output: OutputRef,
    /** How long the attempt took, its check included; 0 where that is not known. */
    durationMs: Schema.Finite,
    /** Who rendered it, where its adapter told. */
    workerId: Schema.optionalKey(Schema.String),
    log: Schema.optionalKey(Schema.String)
  },
  /** An accepted output was found missing or changed: its chunk is open again. */
  OutputLost: { chunk: Schema.Int, attempt: Schema.Int, found: Schema.String },
  /** The final file is in place; after a merge command its name and size may not be known. */
  Stitched: { outputFile: Schema.optionalKey(Schema.String), bytes: Schema.optionalKey(Schema.Int) },
  RunEnded: {
    run: Schema.Int,
    how: RunOutcome,
    error: Schema.optionalKey(ErrorSummary),
    /** What could not be stopped or removed. */
    leftover: Schema.Array(Schema.String)
  }
})

/** The type of {@link JobEvent}. */
export type JobEvent = typeof JobEvent.Type

/** An event with its place in the journal: `revision` counts from 1 and has no gaps. */
export const JobRecord = Schema.Struct({
  revision: Schema.Int,
  run: Schema.Int,
  /** Milliseconds since the epoch. */
  at: Schema.Finite,
  event: JobEvent
})

/** The type of {@link JobRecord}. */
export type JobRecord = typeof JobRecord.Type
