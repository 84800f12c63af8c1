/**
 * The base of classes of the Promise API whose attempts run on HTTP workers: that of this package, and those of packages
 * that know a platform better.
 */
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import type {
  AdapterInfo,
  AttemptContext,
  JobFolder,
  WorkerAdapter,
  WorkerJob,
  WorkerResult
} from "@helios-infra/core/promise"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import type { WorkerAdapter as Service, WorkerAdapterInfo } from "@helios-infra/core/WorkerAdapter"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type * as Credentials from "./Credentials.ts"

/** Secrets that are shared with the worker, or with what stands before it. All that are given are sent. */
export interface PlainAuth {
  /** Sent as `Authorization: Bearer …`. */
  readonly bearer?: string | undefined
  /** Sent in a header of its own, such as `x-api-key`. */
  readonly key?: { readonly header: string; readonly value: string } | undefined
  /** Never sent: requests are signed with it. */
  readonly secret?: string | undefined
}

/** Shared secrets as the adapter takes them: from here on they are not shown. */
export const redacted = ({ bearer, key, secret }: PlainAuth): Credentials.Auth => ({
  ...(bearer === undefined ? undefined : { bearer: Redacted.make(bearer) }),
  ...(key === undefined ? undefined : { key: { header: key.header, value: Redacted.make(key.value) } }),
  ...(secret === undefined ? undefined : { secret: Redacted.make(secret) })
})

/** Runs attempts on an adapter that is made when it is first used. */
export class PlainWorkerAdapter implements WorkerAdapter {
  readonly info: AdapterInfo
  readonly #scope = Scope.makeUnsafe()
  readonly #adapter: Effect.Effect<Service["Service"]>

  constructor(info: WorkerAdapterInfo, make: Effect.Effect<Service["Service"], never, Scope.Scope>) {
    const { concurrency, maxConcurrency, name, stop, where } = info
    this.info = { name, where, stop, concurrency, maxConcurrency }
    this.#adapter = Effect.runSync(Effect.cached(Scope.provide(make, this.#scope)))
  }

  /** Runs one attempt. Rejects with a `WorkerError`, or with the signal's reason at once when that is aborted. */
  execute(job: WorkerJob, context: Partial<AttemptContext> = {}): Promise<WorkerResult> {
    const { report = () => {}, signal } = context
    return PromiseBacking.run(
      Effect.flatMap(this.#adapter, (adapter) => adapter.execute(job, report)),
      signal
    )
  }

  /** The job's files here: its assets, and where outputs come to, in `jobDir`, else in the current folder. */
  files(jobDir: string = "."): JobFolder {
    return PromiseBacking.jobFolder(jobDir, LocalWorkspace.layer({ dir: jobDir }))
  }

  /** Closes the connections. Idle ones close by themselves after some seconds, and keep no program from ending. */
  close(): Promise<void> {
    return PromiseBacking.run(Scope.close(this.#scope, Exit.void))
  }
}
