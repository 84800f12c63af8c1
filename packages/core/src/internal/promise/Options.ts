/** What the classes of the Promise API take. */
import type { JobState } from "../../JobState.ts"
import type { ArtifactStorage } from "../../promise/ArtifactStorage.ts"
import type { JobRepository } from "../../promise/JobRepository.ts"
import type { OutputCheck } from "../../promise/OutputCheck.ts"
import type { Telemetry } from "../../promise/Telemetry.ts"
import type { VideoStitcher } from "../../promise/VideoStitcher.ts"
import type { WorkerAdapter } from "../../promise/WorkerAdapter.ts"

/** A chunk was accepted. */
export interface ChunkProgress {
  readonly chunkId: number
  readonly totalChunks: number
  /** Frames done, in per cent and rounded down: 100 only once the final file is in place. */
  readonly percent: number
}

/** How a job uses its storage. */
export interface ArtifactsOptions {
  /**
   * How workers get at artifacts: with `credentials` of their own, or by `urls` that are made for each attempt and
   * expire. Default: `"credentials"`.
   */
  readonly access?: "credentials" | "urls" | undefined
  /** How many milliseconds such a URL works: at least twice as long as an attempt takes. Default: 12 hours. */
  readonly urlsExpire?: number | undefined
  /**
   * Whether the stitcher is given `copies` of outputs here, or reads them from the `storage` as it joins them, where it can.
   * Default: `"copies"`.
   */
  readonly stitchFrom?: "copies" | "storage" | undefined
  /** Whether all outputs and logs, and the job file, stay when a run ends. Default: accepted outputs of a job that is not completed. */
  readonly keep?: boolean | undefined
}

/** How a job is run. */
export interface JobExecutionOptions {
  /** Renders the chunks. Needed. */
  readonly workerAdapter?: WorkerAdapter | undefined
  /** Runs the job file's merge command. Default: the worker adapter. Not used when there is a stitcher. */
  readonly mergeAdapter?: WorkerAdapter | undefined
  /** Joins the chunks. Default: the job file's merge command, else the chunks are the result. */
  readonly stitcher?: VideoStitcher | undefined
  /**
   * The final file, meant from `jobDir` unless it is absolute. A stitcher needs one. Default: that of the job's last run.
   */
  readonly outputFile?: string | undefined
  /** How many attempts at once. Default: what suits the adapter, else the number of processors. */
  readonly concurrency?: number | undefined
  /** How often a chunk is tried again. Default: 2. */
  readonly retries?: number | undefined
  /** Milliseconds before a chunk is tried again; doubles each time, give or take 20 %. Default: 1000. */
  readonly retryDelay?: number | undefined
  /** Cancels the job when it is aborted; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Called once for every chunk that is accepted; the last call waits until the final file is in place. */
  readonly onProgress?: ((progress: ChunkProgress) => void) | undefined
  /** The job's folder: names in the job file are meant from here. Default: the adapter's own, else the current one. */
  readonly jobDir?: string | undefined
  /** Checks each chunk before it counts. Default: the stitcher's own check, where it has one. */
  readonly outputCheck?: OutputCheck | undefined
  /** Variables for the commands. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Where workers elsewhere read the job and put their outputs. Default: the manager's. */
  readonly storage?: ArtifactStorage | undefined
  /** How the storage is used. */
  readonly artifacts?: ArtifactsOptions | undefined
  /**
   * Whether to take a job over that another process runs, or may: `"always"` fences that one, which stops at its next
   * append at the latest. Default: `"if-dead"`, which rejects and says who runs it.
   */
  readonly takeOver?: "if-dead" | "always" | undefined
  /**
   * The trace that this is a part of, as W3C Trace Context has it, such as the header of the request that asked for it.
   * Default: the span that is active, where the telemetry is OpenTelemetry's.
   */
  readonly traceparent?: string | undefined
  /** What came with it in the header of that name. */
  readonly tracestate?: string | undefined
  /**
   * Where spans, metrics and log entries of a `JobExecutor` go; a `JobManager` has its own. Default: entries to the
   * console, the rest nowhere.
   */
  readonly telemetry?: Telemetry | undefined
}

/** How a job is paused. */
export interface PauseOptions {
  /** Whether attempts that run are waited for, or stopped. Default: `"interrupt"`. */
  readonly mode?: "drain" | "interrupt" | undefined
}

/** Where a job's files are. */
export interface DeleteOptions {
  /** The adapter that rendered it: its outputs here are removed with the job. Default: they stay where they are. */
  readonly workerAdapter?: WorkerAdapter | undefined
  /** The job's folder. Default: the adapter's own, else the current one. */
  readonly jobDir?: string | undefined
  /** Where its artifacts are. Default: the manager's storage. */
  readonly storage?: ArtifactStorage | undefined
}

/** Which jobs are run on, and how. */
export interface RecoverOptions {
  /** How a job is run on. */
  readonly options: (job: JobState) => JobExecutionOptions
  /** `"always"` takes jobs over of whose process nobody here knows whether it lives. Default: `"if-dead"`. */
  readonly takeOver?: "if-dead" | "always" | undefined
  /** How many runs in a row may break off without having accepted a chunk before a job is given up. Default: 3. */
  readonly brokenOff?: number | undefined
}

/**
 * What became of a job whose process died: `resumed` and completed; `settled` as it had been told to end; `given-up` as
 * failed, because too many of its runs broke off; or not completed, because of an `error`.
 */
export type RecoveredJob =
  | { readonly jobId: string; readonly how: "resumed" | "settled" | "given-up" }
  | { readonly jobId: string; readonly how: "error"; readonly error: Error }

/** What a manager works with. */
export interface JobManagerOptions {
  /** Where jobs are kept. Default: in memory. */
  readonly repository?: JobRepository | undefined
  /** Where workers elsewhere read jobs and put their outputs, for jobs that are run without a `storage`. */
  readonly storage?: ArtifactStorage | undefined
  /** How many attempts at once, for jobs that are run without `concurrency`. */
  readonly defaultConcurrency?: number | undefined
  /** Where spans, metrics and log entries go. Default: entries to the console, the rest nowhere. */
  readonly telemetry?: Telemetry | undefined
}
