/**
 * Keeps jobs: the contract that a class with promises fulfils, one that stores whole jobs.
 *
 * A job is saved when it is created, at most every 250 ms while it runs, and at the end of each run. Such a store cannot
 * keep a second process from running the same job, and what happened after the last save is lost in a crash. What it
 * gives back is checked.
 */
import type { JobState } from "../JobState.ts"

export type { ChunkState, JobState, JobStatus } from "../JobState.ts"
export { RepositoryError } from "../JobRepository.ts"

/** Stores whole jobs, as plain data that survives JSON. */
export interface JobRepository {
  /** Stores a job in place of the one with the same id. */
  save(job: JobState): Promise<void>
  /** The job as it was saved last; `null` where there is none. */
  get(jobId: string): Promise<JobState | null>
  /** All jobs. */
  list(): Promise<Array<JobState>>
  delete(jobId: string): Promise<void>
}

/** So that nobody changes what is stored; what is in it is never changed in place. */
const copy = (job: JobState): JobState => ({ ...job, chunks: job.chunks.map((chunk) => ({ ...chunk })) })

/** Keeps jobs in memory: gone with the process. */
export class InMemoryJobRepository implements JobRepository {
  readonly #jobs = new Map<string, JobState>()

  /** Stores a copy of the job. */
  async save(job: JobState): Promise<void> {
    this.#jobs.set(job.id, copy(job))
  }

  /** A copy of the job; `null` where there is none. */
  async get(jobId: string): Promise<JobState | null> {
    const job = this.#jobs.get(jobId)
    return job === undefined ? null : copy(job)
  }

  /** Copies of all jobs, in the order in which they were first saved. */
  async list(): Promise<Array<JobState>> {
    return Array.from(this.#jobs.values(), copy)
  }

  /** Removes the job, if it is there. */
  async delete(jobId: string): Promise<void> {
    this.#jobs.delete(jobId)
  }
}
