/**
 * Why one attempt at a chunk (or at the merge command) failed.
 *
 * One outer error, `WorkerError`, says which attempt of which chunk of which job failed where; its `reason` says why,
 * and the reason alone decides whether the attempt is repeated ({@link isRetryable}), never a text. All of it is plain
 * data and crosses the wire unchanged.
 */
import * as Schema from "effect/Schema"
import * as Defect from "./internal/Defect.ts"

/** The platform takes no more work just now. Tried again after `retryAfterMs`; does not count as a failed attempt. */
export class Throttled extends Schema.TaggedError<Throttled>()("Throttled", {
  retryAfterMs: Schema.optionalKey(Schema.Int)
}) {
  override get message(): string {
    return `the platform takes no more work now${this.retryAfterMs === undefined ? "" : `, try again after ${this.retryAfterMs} ms`}`
  }
}

/** The worker vanished before it answered: killed, crashed, its machine gone. */
export class WorkerLost extends Schema.TaggedError<WorkerLost>()("WorkerLost", {
  workerId: Schema.optionalKey(Schema.String),
  detail: Schema.String
}) {
  override get message(): string {
    return `the worker${this.workerId === undefined ? "" : ` ${this.workerId}`} was lost: ${this.detail}`
  }
}

/** The worker could not be reached, or its answer did not arrive. */
export class Transport extends Schema.TaggedError<Transport>()("Transport", { cause: Schema.Defect() }) {
  override get message(): string {
    return `the worker could not be reached: ${Defect.describe(this.cause)}`
  }
}

/** The attempt took longer than it was allowed to: by the job's policy (`attempt`) or by the platform. */
export class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {
  limit: Schema.Literals(["attempt", "platform"]),
  afterMs: Schema.Int
}) {
  override get message(): string {
    return this.limit === "attempt"
      ? `stopped after ${this.afterMs} ms, the limit for one attempt: make chunks smaller or raise attemptTimeout`
      : `the platform ended it after ${this.afterMs} ms: make chunks smaller`
  }
}

/** The attempt gave no sign of life (no frame, no line, no heartbeat) for `silentMs` milliseconds. */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", { silentMs: Schema.Int, frames: Schema.Int }) {
  override get message(): string {
    return `stopped: no sign of life for ${this.silentMs} ms, after ${this.frames} frames; if its commands are silent that long, raise stallTimeout`
  }
}

/** The render command ran and failed: a non-zero exit code, or ended by a signal that we did not send. */
export class RenderFailed extends Schema.TaggedError<RenderFailed>()("RenderFailed", {
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.optionalKey(Schema.String),
  /** The last of what the command wrote to its standard error (to its output, where it wrote no error). */
  stderrTail: Schema.String
}) {
  override get message(): string {
    const how = this.exitCode === null ? `was killed by ${this.signal ?? "a signal"}` : `exited with ${this.exitCode}`
    return `the command ${how}${this.stderrTail === "" ? "" : `:\n${this.stderrTail.trimEnd()}`}`
  }
}

/** The command said that it was done, but what it wrote is not what the job asked for. */
export class OutputInvalid extends Schema.TaggedError<OutputInvalid>()("OutputInvalid", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `the output is not valid: expected ${this.expected}, found ${this.found}`
  }
}

/** The attempt can never succeed as it is asked for. Never tried again: `fix` says what to change. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  why: Schema.Literals(["InvalidJob", "Unauthorized", "NotFound", "Unsupported", "TooLarge"]),
  fix: Schema.String
}) {
  override get message(): string {
    return `refused (${this.why}): ${this.fix}`
  }
}

/** Every reason for which an attempt can fail. */
export const WorkerReason = Schema.Union([
  Throttled,
  WorkerLost,
  Transport,
  TimedOut,
  Stalled,
  RenderFailed,
  OutputInvalid,
  Refused
])

/** The type of {@link WorkerReason}. */
export type WorkerReason = typeof WorkerReason.Type

/** One attempt at a chunk, or at the merge command when `chunkId` is absent, failed on `adapter` for `reason`. */
export class WorkerError extends Schema.TaggedError<WorkerError>()("WorkerError", {
  /** The name of the adapter that ran the attempt. */
  adapter: Schema.String,
  jobId: Schema.String,
  chunkId: Schema.optionalKey(Schema.Int),
  /** Counted from 1 within a run. */
  attempt: Schema.Int,
  workerId: Schema.optionalKey(Schema.String),
  reason: WorkerReason
}) {
  override get message(): string {
    const what = this.chunkId === undefined ? "the merge command" : `chunk ${this.chunkId}`
    return `${what} of job ${this.jobId}, attempt ${this.attempt} on ${this.adapter}: ${this.reason.message}`
  }
}

/** Whether another attempt may succeed. Only {@link Refused} is final. */
export const isRetryable = (reason: WorkerReason): boolean => reason._tag !== "Refused"
