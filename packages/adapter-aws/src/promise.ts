/**
 * The Promise API of this package: chunks on AWS Lambda, for
 * `new JobManager().runJob(id, { workerAdapter: new AwsLambdaAdapter({ functionName: "render" }), storage })`.
 */
import type { LambdaClient, LambdaClientConfig } from "@aws-sdk/client-lambda"
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
import type { WorkerAdapter as Service } from "@helios-infra/core/WorkerAdapter"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Lambda from "./AwsLambdaAdapter.ts"

/** Which function is called, and how. */
export interface AwsLambdaAdapterOptions extends Lambda.FunctionOptions {
  /** What the SDK takes. Default: what AWS's tools take: the environment, a profile, a role. */
  readonly credentials?: LambdaClientConfig["credentials"]
  /** A client of your own, made with `maxAttempts: 1`, in place of `region`, `credentials` and `endpoint`. */
  readonly client?: LambdaClient | undefined
}

/** Runs attempts on AWS Lambda, one synchronous call for each. A call that has begun cannot be stopped, only left. */
export class AwsLambdaAdapter implements WorkerAdapter {
  readonly info: AdapterInfo
  readonly #scope = Scope.makeUnsafe()
  readonly #adapter: Effect.Effect<Service["Service"]>

  constructor(options: AwsLambdaAdapterOptions) {
    const { concurrency, maxConcurrency, name, stop, where } = Lambda.info(options)
    this.info = { name, where, stop, concurrency, maxConcurrency }
    this.#adapter = Effect.runSync(Effect.cached(Scope.provide(Lambda.make(options), this.#scope)))
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
