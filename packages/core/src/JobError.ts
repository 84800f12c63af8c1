/**
 * Why a job could not be created, run, read or stopped: one error for all of it, whose `reason` says what happened to
 * which chunk and attempt, and what to do.
 */
import * as Schema from "effect/Schema"
import { ArtifactError } from "./ArtifactStorage.ts"
import { ChunkFailed } from "./ChunkScheduler.ts"
import { RepositoryError } from "./JobRepository.ts"
import { JobSpecError } from "./JobSpec.ts"
import { StitchError } from "./VideoStitcher.ts"
import { WorkerError } from "./WorkerError.ts"
import { WorkspaceError } from "./Workspace.ts"

/** What was asked for cannot be done as it was asked; nothing was started. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", { fix: Schema.String }) {
  override get message(): string {
    return this.fix
  }
}

/** The job was cancelled, before or while it ran. */
export class JobCancelled extends Schema.TaggedError<JobCancelled>()("JobCancelled", {}) {
  override get message(): string {
    return "it was cancelled"
  }
}

/** The job was paused by somebody else while it ran; it can be run on. */
export class JobPaused extends Schema.TaggedError<JobPaused>()("JobPaused", {}) {
  override get message(): string {
    return "it was paused: run it again to go on"
  }
}

/** Every reason for which a job can fail. A `WorkerError` here is that of the merge command. */
export const JobReason = Schema.Union([
  InvalidRequest,
  JobSpecError,
  JobCancelled,
  JobPaused,
  ChunkFailed,
  WorkerError,
  StitchError,
  WorkspaceError,
  ArtifactError,
  RepositoryError
])

/** The type of {@link JobReason}. */
export type JobReason = typeof JobReason.Type

/** Something about a job went wrong. */
export class JobError extends Schema.TaggedError<JobError>()("JobError", {
  /** Absent when the job has no id yet: its file could not be read. */
  jobId: Schema.optionalKey(Schema.String),
  reason: JobReason
}) {
  override get message(): string {
    const { jobId, reason } = this
    switch (reason._tag) {
      case "ChunkFailed":
      case "WorkerError":
      case "RepositoryError":
        // These name the job themselves.
        return reason.message
      default:
        return jobId === undefined ? reason.message : `job ${jobId}: ${reason.message}`
    }
  }
}
