/** The errors that a repository in SQL has, in words that say which job, what happened and what to do. */
import { Corrupt, RepositoryError, Unavailable } from "@helios-infra/core/JobRepository"

export type Reason = RepositoryError["reason"]

/** What stands in the place of a job's id when an error is about all of them. */
export const anyJob = "(any)"

export const failure = (jobId: string, reason: Reason): RepositoryError => new RepositoryError({ jobId, reason })

/** The store failed, in words. */
export const unavailable = (message: string, cause?: unknown): Unavailable =>
  new Unavailable({ cause: new Error(message, cause === undefined ? undefined : { cause }) })

export const corrupt = (jobId: string, where: string): RepositoryError => failure(jobId, new Corrupt({ where }))
