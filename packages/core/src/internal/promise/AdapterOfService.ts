/** A service as a plain adapter: what core composes of the adapters that users write with promises. */
import * as Predicate from "effect/Predicate"
import { JobFolder } from "../../promise/JobFolder.ts"
import type { AdapterInfo, AttemptContext, Reaped, WorkerAdapter, WorkerResult } from "../../promise/WorkerAdapter.ts"
import * as PromiseBacking from "../../PromiseBacking.ts"
import type { WorkerJob } from "../../WorkerAdapter.ts"
import * as WorkerAdapterService from "./WorkerAdapterService.ts"

/** An adapter that core runs the service behind. */
class AdapterOfService implements WorkerAdapter {
  readonly info: AdapterInfo
  readonly files: WorkerAdapter["files"]
  readonly #service: PromiseBacking.AdapterService

  constructor(service: PromiseBacking.AdapterService, files: WorkerAdapter["files"]) {
    const { concurrency, maxConcurrency, name, stop, where } = service.info
    this.info = { name, where, stop, concurrency, maxConcurrency }
    this.files = files
    this.#service = service
    PromiseBacking.backAdapter(this, AdapterOfService.prototype, service)
  }

  execute(job: WorkerJob, context: Partial<AttemptContext> = {}): Promise<WorkerResult> {
    const { report = () => {}, signal } = context
    return PromiseBacking.run(this.#service.execute(job, report), signal)
  }

  reap(
    jobId: string,
    handles: ReadonlyArray<string>,
    { signal }: { readonly signal?: AbortSignal } = {}
  ): Promise<Reaped> {
    return PromiseBacking.run(this.#service.reap(jobId, handles), signal)
  }
}

/** The service of a user's adapter; `who` asks for it. Throws a `TypeError` where it is none. */
export const serviceOf = (who: string, adapter: WorkerAdapter): PromiseBacking.AdapterService => {
  const given: unknown = adapter
  if (!Predicate.hasProperty(given, "execute") || !Predicate.isFunction(given.execute)) {
    throw new TypeError(`${who}: an adapter must have a method execute`)
  }
  return WorkerAdapterService.make(adapter)
}

/** What an adapter that goes around others says of files: what the first of them says that has a file system. */
export const filesOf = (...adapters: ReadonlyArray<WorkerAdapter>): WorkerAdapter["files"] => {
  const first = adapters.find(({ files }) => files !== undefined)
  return first === undefined ? undefined : (jobDir) => first.files?.(jobDir) ?? new JobFolder(jobDir ?? ".")
}

/** The adapter of a service that is made of the services of others. */
export const make = (service: PromiseBacking.AdapterService, adapters: ReadonlyArray<WorkerAdapter>): WorkerAdapter =>
  new AdapterOfService(service, filesOf(...adapters))
