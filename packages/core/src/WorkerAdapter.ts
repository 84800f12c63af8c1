/**
 * Where attempts run: the contract between the scheduler and child processes, Lambda functions, HTTP workers and what
 * third parties publish.
 *
 * An adapter runs **one attempt** and says how it ended. Concurrency, retries, time limits and checks of the output are
 * not its business: core does those for every adapter alike.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Regex from "effect/RegExp"
import * as Schema from "effect/Schema"
import * as VideoFormat from "./VideoFormat.ts"
import { WorkerError, type WorkerReason } from "./WorkerError.ts"

/** Where an attempt puts its output: a file, or a key in the job's artifact storage. No two attempts share one. */
export const OutputTarget = Schema.Union([
  Schema.TaggedStruct("File", { path: Schema.String }),
  Schema.TaggedStruct("Artifact", { key: Schema.String })
])

/** The type of {@link OutputTarget}. */
export type OutputTarget = typeof OutputTarget.Type

/** An artifact of one attempt: its key, and a URL for workers that are not to have credentials. */
export const ArtifactPlace = Schema.Struct({ key: Schema.String, url: Schema.optionalKey(Schema.String) })

/** The type of {@link ArtifactPlace}. */
export type ArtifactPlace = typeof ArtifactPlace.Type

/** What an attempt on another machine has in the job's storage. No two attempts share any of it. */
export const AttemptArtifacts = Schema.Struct({
  /** Where its output goes. */
  output: ArtifactPlace,
  /** Where all that its command printed goes. */
  log: ArtifactPlace,
  /** Is there once the attempt is not wanted any more. */
  cancelled: ArtifactPlace
})

/** The type of {@link AttemptArtifacts}. */
export type AttemptArtifacts = typeof AttemptArtifacts.Type

const attemptFields = {
  jobId: Schema.String,
  /** The run of the job, counted from 1. */
  run: Schema.Int,
  /** The attempt within the run, counted from 1. */
  attempt: Schema.Int,
  /** Where a remote worker reads the job file. */
  jobDefUrl: Schema.optionalKey(Schema.String),
  output: OutputTarget,
  /** When the attempt will be stopped, in milliseconds since the epoch. */
  deadlineMs: Schema.optionalKey(Schema.Int),
  /** Where the worker goes on with the attempt's trace, as W3C Trace Context has it: see `TraceContext`. */
  traceparent: Schema.optionalKey(Schema.String),
  tracestate: Schema.optionalKey(Schema.String)
}

/** One attempt at one chunk, or at the merge command. Plain data. */
export const WorkerJob = Schema.Struct({
  /** `<jobId>/<chunkId or "merge">/<run>.<attempt>`: unique, the idempotency key of whatever is created for it. */
  id: Schema.String,
  /** The command line, to be split without a shell. */
  command: Schema.String,
  meta: Schema.Union([
    Schema.TaggedStruct("Chunk", {
      ...attemptFields,
      chunkId: Schema.Int,
      /** The first frame, as the job file counts (normally from 0). */
      startFrame: Schema.Int,
      frameCount: Schema.Int,
      /** What the picture and sound must be, as far as it is known. */
      format: VideoFormat.VideoFormat,
      /** What it has in the job's storage, where there is one: workers elsewhere put their output there. */
      artifacts: Schema.optionalKey(AttemptArtifacts)
    }),
    Schema.TaggedStruct("Merge", attemptFields)
  ]),
  /** The job's folder: relative names in the command are meant from here. */
  cwd: Schema.optionalKey(Schema.String),
  /** Variables for the command, beside those the adapter's allow-list lets through. */
  env: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** The output's name as the job file gives it; it stands for the attempt's place in the command. */
  outputFile: Schema.optionalKey(Schema.String)
})

/** The type of {@link WorkerJob}. */
export type WorkerJob = typeof WorkerJob.Type

/** An output that is there. */
export const OutputRef = Schema.Struct({
  /** An absolute path, or the URL or key of an artifact. */
  location: Schema.String,
  /** Its size; 0 where whoever wrote it did not say. */
  bytes: Schema.Int,
  sha256: Schema.optionalKey(Schema.String),
  /** Decoded frames, where somebody counted them. */
  frames: Schema.optionalKey(Schema.Int),
  format: Schema.optionalKey(VideoFormat.VideoFormat)
})

/** The type of {@link OutputRef}. */
export type OutputRef = typeof OutputRef.Type

/** How an attempt that ran to its end ended. */
export const WorkerResult = Schema.Struct({
  exitCode: Schema.Int,
  /** The last of what the command printed: a bounded tail, never all of it. */
  stdout: Schema.String,
  stderr: Schema.String,
  outputFile: Schema.optionalKey(Schema.String),
  durationMs: Schema.Finite,
  /** What the attempt wrote; absent when it wrote nothing. */
  output: Schema.optionalKey(OutputRef),
  workerId: Schema.optionalKey(Schema.String)
})

/** The type of {@link WorkerResult}. */
export type WorkerResult = typeof WorkerResult.Type

/**
 * What an attempt tells while it runs. Signals may be dropped; only `Assigned` and `NotStopped` are kept in the journal.
 *
 * - `Assigned`: who runs it; `handle` is what `reap` needs to find it again after a crash of the orchestrator.
 * - `Frames`: how many frames of the chunk are done.
 * - `NotStopped`: told after interruption, when something could not be stopped.
 */
export type WorkerSignal =
  | { readonly _tag: "Assigned"; readonly workerId?: string; readonly handle?: string }
  | { readonly _tag: "Heartbeat" }
  | { readonly _tag: "Frames"; readonly done: number }
  | { readonly _tag: "Line"; readonly stream: "stdout" | "stderr"; readonly text: string }
  | { readonly _tag: "NotStopped"; readonly detail: string }

/** What an adapter says of itself. */
export interface WorkerAdapterInfo {
  /** The adapter's name, as errors and events give it: `"local"`, `"aws-lambda"`. */
  readonly name: string
  /**
   * Where outputs are: with `"remote"` workers put them into the job's storage, and attempts are given keys of it; with
   * `"local"` they are files of this machine, wherever the command runs.
   */
  readonly where: "local" | "remote"
  /** Whether an attempt that is interrupted stops. What cannot be stopped is fenced by its output place, and reported. */
  readonly stop: "always" | "best-effort" | "never"
  /** How many attempts at once suit it when nobody says. Default: 1. */
  readonly concurrency?: number | undefined
  /** How many attempts at once it can take at most. */
  readonly maxConcurrency?: number | undefined
  /** How long one attempt can take at most. */
  readonly maxDuration?: Duration.Input | undefined
  /** Whether a running attempt always gives a signal within a few seconds. */
  readonly heartbeats?: boolean | undefined
  /** The adapters that it is made of, where it is made of several; failed attempts name the one that ran them. */
  readonly members?: ReadonlyArray<WorkerAdapterInfo> | undefined
}

/**
 * How many attempts run at once, from what the caller and the adapter say: 1 or more, never above `maxConcurrency`. What is
 * no number counts as 1.
 */
export const concurrencyOf = (info: WorkerAdapterInfo, asked?: number): number =>
  Math.max(1, Math.min(whole(asked ?? info.concurrency ?? 1), whole(info.maxConcurrency ?? Infinity)))

const whole = (count: number): number => Math.floor(count) || 1

/** What earlier, dead orchestrators left and `reap` could not end. */
export interface Reaped {
  readonly leftover: ReadonlyArray<string>
}

/**
 * Runs attempts.
 *
 * - `execute` runs one attempt, tells what it learns through `signal` (synchronous, never throws), and is stopped by
 *   interruption: when the interruption is over, nothing of the attempt runs any more, or `NotStopped` was told.
 *   A command that exits non-zero is a `WorkerError` with `RenderFailed`, not a result.
 * - `reap` ends what an earlier, dead orchestrator left of a job, found by the handles in its journal. A handle may be
 *   one of another adapter's, or of what is long over: those are passed over.
 */
export class WorkerAdapter extends Context.Service<
  WorkerAdapter,
  {
    readonly info: WorkerAdapterInfo
    readonly execute: (
      job: WorkerJob,
      signal: (signal: WorkerSignal) => void
    ) => Effect.Effect<WorkerResult, WorkerError>
    readonly reap: (jobId: string, handles: ReadonlyArray<string>) => Effect.Effect<Reaped, WorkerError>
  }
>()("@helios-infra/core/WorkerAdapter") {}

/** Makes an adapter from the one thing it must be able to do; without `reap` it says that nothing is left. */
export const make = (options: {
  readonly info: WorkerAdapterInfo
  readonly execute: WorkerAdapter["Service"]["execute"]
  readonly reap?: WorkerAdapter["Service"]["reap"] | undefined
}): WorkerAdapter["Service"] =>
  WorkerAdapter.of({
    info: options.info,
    execute: options.execute,
    reap: options.reap ?? (() => Effect.succeed({ leftover: [] }))
  })

/** {@link make} as a layer. */
export const layer = (options: Parameters<typeof make>[0]): Layer.Layer<WorkerAdapter> =>
  Layer.succeed(WorkerAdapter, make(options))

/** The chunk that an attempt renders; `undefined` for the merge command. */
export const chunkId = (job: WorkerJob): number | undefined =>
  job.meta._tag === "Chunk" ? job.meta.chunkId : undefined

/** The failure of an attempt, for adapters and for checks of what they wrote; `adapter` names who says so. */
export const failure = (adapter: string, job: WorkerJob, reason: WorkerReason, workerId?: string): WorkerError => {
  const chunk = chunkId(job)
  return new WorkerError({
    adapter,
    jobId: job.meta.jobId,
    ...(chunk === undefined ? {} : { chunkId: chunk }),
    attempt: job.meta.attempt,
    ...(workerId === undefined ? {} : { workerId }),
    reason
  })
}

/**
 * Whether a command says where its output goes, so that every attempt can be given a place of its own: an argument is
 * the output's name or ends in `=<name>`, or holds `{output}`. A command that does not is tried again only when the
 * earlier process is known to be gone.
 *
 * Nothing is split here: a name whose quoting is not just quotes around it is not found, which is the safe mistake.
 */
export const namesOutput = (command: string, outputFile: string): boolean =>
  command.includes("{output}") || new RegExp(`[\\s"'=]${Regex.escape(outputFile)}(?:[\\s"']|$)`).test(command)
