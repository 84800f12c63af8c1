/**
 * Runs attempts: the contract that a class with promises fulfils, and the errors that it may reject with.
 *
 * Whatever else it rejects with counts as a lost worker, and the attempt is tried again.
 */
import type { Reaped, WorkerJob, WorkerResult as AttemptResult, WorkerSignal } from "../WorkerAdapter.ts"
import type { JobFolder } from "./JobFolder.ts"

export type { OutputRef, Reaped, WorkerJob, WorkerSignal } from "../WorkerAdapter.ts"
export {
  OutputInvalid,
  Refused,
  RenderFailed,
  Stalled,
  Throttled,
  TimedOut,
  Transport,
  WorkerError,
  WorkerLost
} from "../WorkerError.ts"

/** How a command ended; `outputFile` says where what it wrote is. */
export type WorkerResult = AttemptResult

/** What an attempt is given beside its job. */
export interface AttemptContext {
  /**
   * Aborted when the attempt has to stop. Its slot is free once the promise has settled; one that does not within 10
   * seconds is given up and reported as left over.
   */
  readonly signal: AbortSignal
  /** Tells what the attempt does, where somebody knows: frames done, lines printed. Never throws. */
  readonly report: (signal: WorkerSignal) => void
}

/** What an adapter says of itself. */
export interface AdapterInfo {
  /** Its name in errors. Default: the name of its class. */
  readonly name?: string | undefined
  /** Where outputs are: files of this machine, or artifacts of the job's storage. Default: `"local"`. */
  readonly where?: "local" | "remote" | undefined
  /** Whether an attempt whose signal is aborted stops. Default: `"best-effort"`. */
  readonly stop?: "always" | "best-effort" | "never" | undefined
  /** How many attempts at once suit it when nobody says. Default: the number of processors. */
  readonly concurrency?: number | undefined
  /** How many attempts at once it can take at most. */
  readonly maxConcurrency?: number | undefined
}

/**
 * Runs attempts. One method is enough:
 *
 * ```js no-check: run is yours
 * class MyAdapter {
 *   async execute(job, { signal }) {
 *     const { code, stdout, stderr } = await run(job.command, { cwd: job.cwd, signal })
 *     return { exitCode: code, stdout, stderr, durationMs: 0 }
 *   }
 * }
 * ```
 *
 * An exit code other than 0 is a failed attempt. Where the result does not name the output, by `output.location` or
 * `outputFile`, it is `job.meta.output.path`.
 */
export interface WorkerAdapter {
  execute(job: WorkerJob, context: AttemptContext): Promise<WorkerResult>
  readonly info?: AdapterInfo | undefined
  /**
   * Ends what a process that died has left of a job, before the job is run on: `handles` are what its attempts told as
   * the `handle` of `Assigned`, also those of other adapters, which are to be passed over. Gives what it could not end,
   * for people to read. Without it nothing is looked for.
   */
  readonly reap?:
    | ((jobId: string, handles: ReadonlyArray<string>, context: { readonly signal: AbortSignal }) => Promise<Reaped>)
    | undefined
  /**
   * The files of a job below `jobDir`, from adapters that have a file system: then every attempt gets a place of its
   * own, outputs are looked at, and the final file appears whole or not at all. An adapter that wraps another one passes
   * this on. Without it, attempts write to the names of the job file below `jobDir`, and are taken at their word.
   */
  readonly files?: ((jobDir: string | undefined) => JobFolder) | undefined
}
