/**
 * What can be put around an adapter: limits, or a function of one's own. Each gives an adapter, which can be put around or
 * among others again; its files are those of the adapter that it goes around.
 */
import * as Middleware from "../AdapterMiddleware.ts"
import * as AdapterOfService from "../internal/promise/AdapterOfService.ts"
import * as PromiseBacking from "../PromiseBacking.ts"
import * as PromiseOptions from "../PromiseOptions.ts"
import type { AttemptContext, WorkerAdapter, WorkerJob, WorkerResult } from "./WorkerAdapter.ts"

/** Runs one attempt. */
export type Execute = (job: WorkerJob, context: AttemptContext) => Promise<WorkerResult>

/**
 * Puts a function around every attempt: what it makes of `execute` is called in its place. Throws a `TypeError` where the
 * adapter is none.
 *
 * ```js
 * import { LocalWorkerAdapter } from "@helios-infra/adapter-local/promise"
 * import { aroundAdapter } from "@helios-infra/core/promise"
 *
 * const workerAdapter = aroundAdapter(new LocalWorkerAdapter(), (execute) => async (job, context) => {
 *   console.time(job.id)
 *   try {
 *     return await execute(job, context)
 *   } finally {
 *     console.timeEnd(job.id)
 *   }
 * })
 * ```
 */
export const aroundAdapter = (adapter: WorkerAdapter, wrap: (execute: Execute) => Execute): WorkerAdapter => {
  // What can end what a dead process left may be the service behind the adapter, and no method of its own.
  const service = AdapterOfService.serviceOf("aroundAdapter", adapter)
  return {
    info: { ...adapter.info, name: service.info.name },
    execute: wrap((job, context) => adapter.execute(job, context)),
    reap: (jobId, handles, { signal }) => PromiseBacking.run(service.reap(jobId, handles), signal),
    files: AdapterOfService.filesOf(adapter)
  }
}

const wrapped = (name: string, adapter: WorkerAdapter, middleware: Middleware.Middleware): WorkerAdapter =>
  AdapterOfService.make(middleware(AdapterOfService.serviceOf(name, adapter)), [adapter])

/**
 * At most so many attempts at once, of all jobs that use the adapter; further ones wait. One job alone never waits.
 *
 * Throws a `RangeError` unless `most` is a whole number from 1.
 */
export const limitConcurrency = (adapter: WorkerAdapter, most: number): WorkerAdapter =>
  wrapped("limitConcurrency", adapter, Middleware.limitConcurrency(most))

/**
 * At most `most` attempts begin in `per` milliseconds, of all jobs that use the adapter; further ones wait for their turn.
 *
 * Throws a `RangeError` unless `most` is a whole number from 1 and `per` is more than 0.
 */
export const limitRate = (
  adapter: WorkerAdapter,
  rate: { readonly most: number; readonly per: number }
): WorkerAdapter => {
  PromiseOptions.check("limitRate", rate, rateRules)
  return wrapped("limitRate", adapter, Middleware.limitRate(rate))
}

/** Their values are looked at where they are used. */
const rateRules: PromiseOptions.Rules<{ readonly most: number; readonly per: number }> = {
  most: PromiseOptions.anything,
  per: PromiseOptions.anything
}

/**
 * Stops an attempt that takes longer than so many milliseconds, and fails it with `TimedOut`.
 *
 * Throws a `RangeError` unless the limit is more than 0.
 */
export const limitTime = (adapter: WorkerAdapter, limit: number): WorkerAdapter =>
  wrapped("limitTime", adapter, Middleware.limitTime(limit))
