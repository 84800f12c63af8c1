/** Whether what an attempt wrote is what the job asked for: the contract that an object with promises fulfils. */
import type { OutputRef } from "../WorkerAdapter.ts"
import type { WorkerJob, WorkerResult } from "./WorkerAdapter.ts"

export { OutputInvalid } from "../WorkerError.ts"

/**
 * Looks at the output of an attempt, `result.output`, whose `location` is a local path. Resolves with what it learnt of
 * it or with nothing; rejects when the output is not good, and the attempt is tried again.
 */
export interface OutputCheck {
  check(job: WorkerJob, result: WorkerResult, context: { readonly signal: AbortSignal }): Promise<OutputRef | void>
}
