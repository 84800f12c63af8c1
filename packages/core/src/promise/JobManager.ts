/**
 * The life of jobs: create, run, watch, pause, cancel, run on, delete.
 *
 * A job runs in the process that called `runJob`, for as long as that promise is pending. Where the process may be told
 * to stop, abort the `signal` or call `pauseJob` first: only that ends what its adapters have started.
 */
import * as Engine from "../internal/promise/Engine.ts"
import type {
  DeleteOptions,
  JobExecutionOptions,
  JobManagerOptions,
  PauseOptions,
  RecoveredJob,
  RecoverOptions
} from "../internal/promise/Options.ts"
import type { AttemptLog } from "../JobManager.ts"
import type { JobSpec } from "../JobSpec.ts"
import type { JobProgress } from "../Progress.ts"
import type { JobState } from "./JobRepository.ts"

export type {
  DeleteOptions,
  JobManagerOptions,
  PauseOptions,
  RecoveredJob,
  RecoverOptions
} from "../internal/promise/Options.ts"
export type { AttemptLog } from "../JobManager.ts"
export type { JobProgress } from "../Progress.ts"

/** Creates, runs, watches and stops jobs. */
export class JobManager {
  readonly #engine: Engine.Engine
  readonly #defaultConcurrency: number | undefined

  constructor(options: JobManagerOptions = {}) {
    this.#engine = Engine.make(options)
    this.#defaultConcurrency = options.defaultConcurrency
  }

  /** Checks the content of a job file and stores it as a new job, under its own id or a new one. */
  async createJob(spec: JobSpec): Promise<JobState> {
    return Engine.valueOf(await this.#engine.exit(Engine.create(spec)))
  }

  /**
   * Runs a job that is pending, paused or failed; the chunks that were accepted are kept. Resolves with the completed
   * job. Rejects with `JobCancelled` when the job was cancelled, with `JobPaused` when it was paused meanwhile.
   */
  async runJob(jobId: string, options: JobExecutionOptions = {}): Promise<JobState> {
    Engine.admitId(jobId)
    Engine.admit(options, jobId)
    const running = Engine.run(jobId, this.#complete(options))
    const call = { name: "JobManager.runJob", trace: options }
    return Engine.valueOf(await this.#engine.exit(running, call), options.signal)
  }

  /** Runs a job on, one that was cancelled as well. */
  async resumeJob(jobId: string, options: JobExecutionOptions = {}): Promise<JobState> {
    Engine.admitId(jobId)
    Engine.admit(options, jobId)
    const running = Engine.resume(jobId, this.#complete(options))
    const call = { name: "JobManager.resumeJob", trace: options }
    return Engine.valueOf(await this.#engine.exit(running, call), options.signal)
  }

  /** The job; `null` where there is none with this id. */
  async getJob(jobId: string): Promise<JobState | null> {
    Engine.admitId(jobId)
    return Engine.valueOf(await this.#engine.exit(Engine.get(jobId)))
  }

  /** All jobs, the newest first. */
  async listJobs(): Promise<Array<JobState>> {
    return Engine.valueOf(await this.#engine.exit(Engine.list))
  }

  /** Stops a job and resolves when nothing of it is left; a job that has ended stays as it ended. */
  async cancelJob(jobId: string): Promise<JobState> {
    Engine.admitId(jobId)
    return Engine.valueOf(await this.#engine.exit(Engine.cancel(jobId)))
  }

  /**
   * Stops a job that is running, so that it can be run on, and resolves when nothing of the run is left. With the mode
   * `"drain"`, attempts that run are waited for.
   */
  async pauseJob(jobId: string, options: PauseOptions = {}): Promise<JobState> {
    Engine.admitId(jobId)
    return Engine.valueOf(await this.#engine.exit(Engine.pause(jobId, options)))
  }

  /**
   * Removes a job, after cancelling it where it is running, and its artifacts in the storage. Its outputs here are
   * removed as well when the adapter says where they are; the final file stays.
   */
  async deleteJob(jobId: string, options: DeleteOptions = {}): Promise<void> {
    Engine.admitId(jobId)
    return Engine.valueOf(await this.#engine.exit(Engine.remove(jobId, options)))
  }

  /** Runs the jobs on whose process died, the oldest first and one after the other; resolves when all have ended. */
  async recoverJobs(options: RecoverOptions): Promise<Array<RecoveredJob>> {
    const recovered = Engine.valueOf(await this.#engine.exit(Engine.recover(options)))
    return recovered.map((job) => (job.how === "error" ? { ...job, error: Engine.errorOf(job.error) } : job))
  }

  /** What attempts printed last, in the order in which they ended. */
  async logsOf(jobId: string): Promise<Array<AttemptLog>> {
    Engine.admitId(jobId)
    return Engine.valueOf(await this.#engine.exit(Engine.logs(jobId)))
  }

  /**
   * How far a job is, at most every 100 ms; ends when the job is completed, failed or cancelled, or paused meanwhile.
   * A job that nobody runs is waited for.
   */
  async *watchJob(jobId: string): AsyncGenerator<JobProgress, void, undefined> {
    Engine.admitId(jobId)
    const progress = Engine.valueOf(await this.#engine.exit(Engine.watch(jobId)))
    for await (const exit of progress) yield Engine.valueOf(exit)
  }

  #complete(options: JobExecutionOptions): JobExecutionOptions {
    return { ...options, concurrency: options.concurrency ?? this.#defaultConcurrency }
  }
}
