/** Several adapters as one: a job that is rendered on this machine first and elsewhere for the rest. */
import * as Pool from "../AdapterPool.ts"
import * as AdapterOfService from "../internal/promise/AdapterOfService.ts"
import * as PromiseOptions from "../PromiseOptions.ts"
import { Refused } from "../WorkerError.ts"
import type { WorkerAdapter } from "./WorkerAdapter.ts"

/** How a pool behaves. */
export interface PoolOptions {
  /** Its name, as its own errors give it; those of its adapters keep theirs. Default: theirs, with `+` between them. */
  readonly name?: string | undefined
  /**
   * What makes an attempt go on to the next adapter at once, beside `Throttled`: being refused for one of these reasons, or
   * the loss of its worker, where a worker that is lost can be trusted to be gone. Default: `["Unsupported"]`.
   */
  readonly passOn?: ReadonlyArray<Refused["why"] | "WorkerLost"> | undefined
}

/**
 * Local first, the rest elsewhere: an attempt goes to the first adapter that has a free slot.
 *
 * An adapter has as many slots as its `info.concurrency`; the last one takes the rest, up to its `info.maxConcurrency`.
 * A chunk that failed is tried again on another adapter where there is one, an adapter that is throttled or loses its
 * workers rests for a while. The files of a job are where the first adapter that has a file system has them.
 *
 * ```js
 * import { AwsLambdaAdapter } from "@helios-infra/adapter-aws/promise"
 * import { LocalWorkerAdapter } from "@helios-infra/adapter-local/promise"
 * import { overflow } from "@helios-infra/core/promise"
 *
 * const workerAdapter = overflow([new LocalWorkerAdapter({ concurrency: 2 }), new AwsLambdaAdapter({ functionName: "render" })])
 * ```
 *
 * Throws a `TypeError` where there are no adapters, one is none, or an option is wrong.
 */
export const overflow = (adapters: ReadonlyArray<WorkerAdapter>, options: PoolOptions = {}): WorkerAdapter =>
  AdapterOfService.make(Pool.overflow(services("overflow", adapters, options), options), adapters)

/**
 * The first adapter as long as it takes attempts, then the next: one that is throttled rests for as long as it says.
 *
 * The first one has as many slots as its `info.maxConcurrency`, the others as many as their `info.concurrency`. Everything
 * else is as with {@link overflow}.
 *
 * Throws a `TypeError` where there are no adapters, one is none, or an option is wrong.
 */
export const fallback = (adapters: ReadonlyArray<WorkerAdapter>, options: PoolOptions = {}): WorkerAdapter =>
  AdapterOfService.make(Pool.fallback(services("fallback", adapters, options), options), adapters)

const reasons: ReadonlyArray<string> = [...Refused.fields.why.literals, "WorkerLost"]

const rules: PromiseOptions.Rules<PoolOptions> = {
  name: PromiseOptions.text,
  passOn: PromiseOptions.must(
    `a list of ${reasons.map((reason) => JSON.stringify(reason)).join(", ")}`,
    (value) => Array.isArray(value) && value.every((reason: unknown) => reasons.some((known) => known === reason))
  )
}

const services = (name: string, adapters: ReadonlyArray<WorkerAdapter>, options: PoolOptions): Pool.Adapters => {
  const given: unknown = adapters
  if (!Array.isArray(given)) throw new TypeError(`${name}: give it a list of adapters`)
  const [first, ...others] = adapters
  if (first === undefined) throw new TypeError(`${name}: give it one adapter at least`)
  const all: Pool.Adapters = [
    AdapterOfService.serviceOf(name, first),
    ...others.map((adapter) => AdapterOfService.serviceOf(name, adapter))
  ]
  PromiseOptions.check(name, options, rules)
  return all
}
