/**
 * The base of classes of the Promise API whose attempts run elsewhere, while the job's files are in a folder of this
 * machine. What runs them is the adapter that it is given.
 */
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
import * as Scope from "effect/Scope"
import * as LocalWorkspace from "./LocalWorkspace.ts"

/** Runs attempts on an adapter that is made when it is first used. */
export class RemoteAdapterClass implements WorkerAdapter {
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
