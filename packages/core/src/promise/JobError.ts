/**
 * What the Promise API rejects with: the errors of core, with the ids at hand.
 *
 * Every one has a `message`, a `reason` whose `_tag` says what happened, and the `jobId`; where a chunk is to blame, its
 * `chunkId` and the `attempt`. An aborted signal rejects with the signal's own reason instead.
 */
import * as Schema from "effect/Schema"
import * as Core from "../JobError.ts"

export { ChunkFailed } from "../ChunkScheduler.ts"
export { InvalidRequest } from "../JobError.ts"
export { JobSpecError } from "../JobSpec.ts"
export { WorkspaceError } from "../Workspace.ts"

const inspect: unique symbol = Symbol.for("nodejs.util.inspect.custom")

/** Something about a job went wrong. */
export class JobError extends Core.JobError {
  /** Node prints it as it prints any error, with its stack. */
  [inspect](): string {
    return this.stack ?? this.message
  }
  /** The chunk that is to blame. */
  get chunkId(): number | undefined {
    return "chunkId" in this.reason ? this.reason.chunkId : undefined
  }
  /** The last attempt at it, or at the merge command, counted from 1 within a run. */
  get attempt(): number | undefined {
    const { reason } = this
    return reason._tag === "ChunkFailed"
      ? reason.last.attempt
      : reason._tag === "WorkerError"
        ? reason.attempt
        : undefined
  }
}

/** The job was cancelled, by somebody else while it ran or before. */
export class JobCancelled extends Core.JobCancelled.extend<JobCancelled>("JobCancelled")({ jobId: Schema.String }) {
  /** Node prints it as it prints any error, with its stack. */
  [inspect](): string {
    return this.stack ?? this.message
  }
  /** The error itself, so that one look at `reason._tag` tells all failures apart. */
  get reason(): this {
    return this
  }
  override get message(): string {
    return `job ${this.jobId} was cancelled: resumeJob runs it on`
  }
}

/** The job was paused by somebody else while it ran. */
export class JobPaused extends Core.JobPaused.extend<JobPaused>("JobPaused")({ jobId: Schema.String }) {
  /** Node prints it as it prints any error, with its stack. */
  [inspect](): string {
    return this.stack ?? this.message
  }
  /** The error itself, so that one look at `reason._tag` tells all failures apart. */
  get reason(): this {
    return this
  }
  override get message(): string {
    return `job ${this.jobId} was paused: run it again to go on`
  }
}
