/**
 * The Promise API of this package: what runs inside a worker, from plain async code.
 *
 * ```js
 * export const handler = createAwsHandler({ storage: new S3ArtifactStorage({ bucket: "renders" }) })
 * ```
 */
import * as FromPromises from "@helios-infra/core/FromPromises"
import * as JobSpec from "@helios-infra/core/JobSpec"
import type { ArtifactStorage, OutputCheck, WorkerResult } from "@helios-infra/core/promise"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import type { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import type { WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import type { WorkerError } from "@helios-infra/core/WorkerError"
import type { WorkspaceError } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as AwsHandler from "./AwsHandler.ts"
import * as Executor from "./RenderExecutor.ts"
import * as Runtime from "./WorkerRuntime.ts"

export type { Handler, LambdaContext } from "./AwsHandler.ts"
export { AttemptCancelled } from "./WorkerRuntime.ts"

/** How commands run, and how what they write is checked. */
export interface RenderExecutorOptions {
  /** Whether an output is any good, `new FfmpegStitcher().outputCheck` for one. Default: a file that is not empty. */
  readonly outputCheck?: OutputCheck | undefined
  /**
   * The environment variables that pass from the worker to commands; a trailing `*` stands for any ending. Default: what
   * programs need to run at all (`PATH`, `HOME`, `LANG` and their like), and no credentials.
   */
  readonly allowedEnvironment?: ReadonlyArray<string> | undefined
  /** Variables that every command gets beside those. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How long a command has between TERM and KILL, in milliseconds. Default: 5000. */
  readonly killGrace?: number | undefined
  /** How much of the end of each output an attempt keeps, in bytes: at most 65536. Default: 4096. */
  readonly tailBytes?: number | undefined
}

/** What is particular to one call. */
export interface ExecuteOptions {
  /** Stops the command; the promise then rejects with the signal's reason once everything has ended. */
  readonly signal?: AbortSignal | undefined
  /** Told what the attempt does: frames done, lines printed. */
  readonly report?: ((signal: WorkerSignal) => void) | undefined
  /** Variables for the command. */
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** What a worker may do, and with what. */
export interface WorkerOptions extends RenderExecutorOptions {
  /**
   * Where outputs and logs go, and job files and assets come from. Default: none, and outputs stay in the workspace.
   */
  readonly storage?: ArtifactStorage | undefined
  /**
   * Where job files and assets may come from beside the storage, and outputs go by URL: beginnings of https URLs, and
   * absolute folders. Default: nowhere else; without a storage, the workspace's folder.
   */
  readonly sources?: ReadonlyArray<string> | undefined
  /** Whether URLs may be `http:` and lead to this machine or a private network. For local use. Default: false. */
  readonly allowLocal?: boolean | undefined
  /** Certificates to trust in place of the usual ones, as PEM. */
  readonly ca?: string | undefined
  /**
   * Which variables a request may set for its command; a trailing `*` stands for any ending. Another one is refused.
   * Default: `["HELIOS_*"]`, of which `HELIOS_BROWSER_ARGS` has to be listed by itself.
   */
  readonly requestEnvironment?: ReadonlyArray<string> | undefined
  /** How long before the end of its time an attempt is given up, in milliseconds. Default: 10000. */
  readonly margin?: number | undefined
  /** How often to look whether the attempt is still wanted, in milliseconds. Default: 2000. */
  readonly cancelInterval?: number | undefined
  /** How long a server may be silent, in milliseconds. Default: 30000. */
  readonly idleTimeout?: number | undefined
  /** How long the job file, and how long the list of assets, may take to come, in milliseconds. Default: 60000. */
  readonly jobTimeout?: number | undefined
  /** How large the job file, and how large the list of assets, may be, in bytes. Default: 32 MiB. */
  readonly jobBytes?: number | undefined
  /** How long one asset may take to come, in milliseconds. Default: 900000. */
  readonly assetTimeout?: number | undefined
  /** How much the kept assets may take, in bytes. Default: half the disk, at most 10 GiB. */
  readonly cacheBytes?: number | undefined
  /** How much of what a command prints is sent, in bytes: its beginning and its end. Default: 64 MiB. */
  readonly logBytes?: number | undefined
}

/** Runs the commands of job files in a folder. */
export class RenderExecutor {
  readonly #layer: Layer.Layer<Executor.RenderExecutor, WorkspaceError>

  /** The folder must exist. */
  constructor(workspaceDir: string, options: RenderExecutorOptions = {}) {
    this.#layer = Executor.layer({ ...options, workspaceDir, outputCheck: checkOf(options) })
  }

  /**
   * Renders a chunk of a job file; its output is then at `<workspaceDir>/<outputFile>`. Rejects with a `WorkerError`, or
   * with a `JobSpecError` where it is no job file.
   */
  executeChunk(jobSpec: JobSpec.JobSpec, chunkId: number, options: ExecuteOptions = {}): Promise<WorkerResult> {
    return this.#run(jobSpec, options, (executor, spec) => executor.executeChunk(spec, chunkId, forAttempt(options)))
  }

  /**
   * Runs the job file's merge command, with the chunks' outputs under their names in the folder. With `outputFile`, which
   * the command has to name, the final file appears whole or not at all. Rejects like `executeChunk`.
   */
  executeMerge(
    jobSpec: JobSpec.JobSpec,
    options: ExecuteOptions & { readonly outputFile?: string | undefined } = {}
  ): Promise<WorkerResult> {
    const { outputFile } = options
    return this.#run(jobSpec, options, (executor, spec) =>
      executor.executeMerge(spec, { ...forAttempt(options), outputFile })
    )
  }

  #run(
    jobSpec: JobSpec.JobSpec,
    { signal }: ExecuteOptions,
    use: (
      executor: Executor.RenderExecutor["Service"],
      spec: JobSpec.JobSpec
    ) => Effect.Effect<WorkerResult, WorkerError>
  ): Promise<WorkerResult> {
    const running = Effect.flatMap(JobSpec.decode(jobSpec), (spec) =>
      Executor.RenderExecutor.use((executor) => use(executor, spec))
    )
    return PromiseBacking.run(Effect.provide(running, this.#layer), signal)
  }
}

/** Renders chunks of job files that it is pointed at. Keeps assets for the next call; `close` lets go of everything. */
export class WorkerRuntime {
  readonly #runtime: ManagedRuntime.ManagedRuntime<Runtime.WorkerRuntime, Runtime.MakeError | ArtifactError>

  constructor(options: WorkerOptions & { readonly workspaceDir: string }) {
    this.#runtime = ManagedRuntime.make(Runtime.layer({ ...options, ...layersOf(options) }))
  }

  /**
   * Renders one chunk of the job file at `jobPath`: an allowed https URL, a path below an allowed folder, or `artifact:`
   * and a key of the storage. Rejects with a `WorkerError`.
   */
  run(jobPath: string, chunkId: number, { report, signal }: Omit<ExecuteOptions, "env"> = {}): Promise<WorkerResult> {
    const running = Runtime.WorkerRuntime.use((worker) =>
      worker.execute({ jobPath, chunkIndex: chunkId }, { onSignal: report })
    )
    return PromiseBacking.run(
      Effect.flatMap(this.#runtime.contextEffect, (context) => Effect.provide(running, context)),
      signal
    )
  }

  /** Ends what runs, and lets go of the storage. */
  close(): Promise<void> {
    return this.#runtime.dispose()
  }
}

/** How a Lambda function works. */
export interface AwsHandlerOptions extends WorkerOptions {
  /** The folder that everything happens in. Default: `"/tmp"`, the only one that a function can write to. */
  readonly workspaceDir?: string | undefined
}

/** Makes a handler for AWS Lambda's Node.js runtime. */
export const createAwsHandler = (config: AwsHandlerOptions = {}): AwsHandler.Handler =>
  AwsHandler.make({ ...config, ...layersOf(config) })

// ---
// from plain objects to services
// ---

const checkOf = ({ outputCheck }: RenderExecutorOptions) =>
  outputCheck === undefined ? undefined : FromPromises.outputCheck(outputCheck)

const layersOf = ({ outputCheck, storage }: WorkerOptions) => ({
  outputCheck: checkOf({ outputCheck }),
  storage: storage === undefined ? undefined : FromPromises.artifactStorage(storage)
})

const forAttempt = ({ env, report }: ExecuteOptions) => ({ env, onSignal: report })
