/**
 * The Promise API of this package: what runs inside a worker, from plain async code.
 *
 * ```js
 * import { S3ArtifactStorage } from "@helios-infra/storage-s3/promise"
 * import { createAwsHandler } from "@helios-infra/worker-runtime/promise"
 *
 * export const handler = createAwsHandler({ storage: new S3ArtifactStorage({ bucket: "renders" }) })
 * ```
 */
import * as FromPromises from "@helios-infra/core/FromPromises"
import * as JobSpec from "@helios-infra/core/JobSpec"
import type { ArtifactStorage, OutputCheck, Telemetry, WorkerResult } from "@helios-infra/core/promise"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import * as TraceContext from "@helios-infra/core/TraceContext"
import type { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import type { WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import type { WorkerError } from "@helios-infra/core/WorkerError"
import type { WorkspaceError } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as AwsHandler from "./AwsHandler.ts"
import * as CloudRun from "./CloudRunServer.ts"
import * as endSignal from "./internal/endSignal.ts"
import * as Executor from "./RenderExecutor.ts"
import type { IdToken, None, Platform, RequestAuth, SharedSecret } from "./RequestAuth.ts"
import * as Runtime from "./WorkerRuntime.ts"
import * as Server from "./WorkerServer.ts"

export type { Handler, LambdaContext } from "./AwsHandler.ts"
export { InvalidAuth } from "./RequestAuth.ts"
export { AttemptCancelled } from "./WorkerRuntime.ts"
export { ListenError } from "./WorkerServer.ts"

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

/** What is particular to one call of a worker. */
export interface RunOptions extends Omit<ExecuteOptions, "env"> {
  /** The trace that the attempt is a part of, as W3C Trace Context has it. Default: none. */
  readonly traceparent?: string | undefined
  /** What came with it. */
  readonly tracestate?: string | undefined
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
  /** Where spans, metrics and log entries go. Default: entries to standard output, the rest nowhere. */
  readonly telemetry?: Telemetry | undefined
}

const executorRules: PromiseOptions.Rules<RenderExecutorOptions> = {
  outputCheck: PromiseOptions.methods("check"),
  allowedEnvironment: PromiseOptions.texts,
  env: PromiseOptions.variables,
  killGrace: PromiseOptions.millis,
  tailBytes: PromiseOptions.whole(0)
}

const callRules = {
  signal: PromiseOptions.abortSignal,
  report: PromiseOptions.callable
}

const chunkRules: PromiseOptions.Rules<ExecuteOptions> = { ...callRules, env: PromiseOptions.variables }

const runRules: PromiseOptions.Rules<RunOptions> = {
  ...callRules,
  // These come from elsewhere: malformed ones are left out.
  traceparent: PromiseOptions.anything,
  tracestate: PromiseOptions.anything
}

const workerRules: PromiseOptions.Rules<WorkerOptions & { readonly workspaceDir: string }> = {
  ...executorRules,
  workspaceDir: PromiseOptions.text,
  storage: PromiseOptions.methods("put", "get", "head", "list", "delete", "url"),
  sources: PromiseOptions.texts,
  allowLocal: PromiseOptions.flag,
  ca: PromiseOptions.text,
  requestEnvironment: PromiseOptions.texts,
  margin: PromiseOptions.millis,
  cancelInterval: PromiseOptions.millis,
  idleTimeout: PromiseOptions.millis,
  jobTimeout: PromiseOptions.millis,
  jobBytes: PromiseOptions.whole(0),
  assetTimeout: PromiseOptions.millis,
  cacheBytes: PromiseOptions.whole(0),
  logBytes: PromiseOptions.whole(0),
  telemetry: PromiseOptions.anything
}

/** Runs the commands of job files in a folder. */
export class RenderExecutor {
  readonly #layer: Layer.Layer<Executor.RenderExecutor, WorkspaceError>

  /** The folder must exist. Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(workspaceDir: string, options: RenderExecutorOptions = {}) {
    PromiseOptions.check("RenderExecutor", { workspaceDir }, { workspaceDir: PromiseOptions.text }, ["workspaceDir"])
    PromiseOptions.check("RenderExecutor", options, executorRules)
    this.#layer = Executor.layer({ ...options, workspaceDir, outputCheck: checkOf(options) })
  }

  /**
   * Renders a chunk of a job file; its output is then at `<workspaceDir>/<outputFile>`. Rejects with a `WorkerError`, or
   * with a `JobSpecError` where it is no job file.
   */
  async executeChunk(jobSpec: JobSpec.JobSpec, chunkId: number, options: ExecuteOptions = {}): Promise<WorkerResult> {
    PromiseOptions.check("executeChunk", options, chunkRules)
    return this.#run(jobSpec, options, (executor, spec) => executor.executeChunk(spec, chunkId, forAttempt(options)))
  }

  /**
   * Runs the job file's merge command, with the chunks' outputs under their names in the folder. With `outputFile`, which
   * the command has to name, the final file appears whole or not at all. Rejects like `executeChunk`.
   */
  async executeMerge(
    jobSpec: JobSpec.JobSpec,
    options: ExecuteOptions & { readonly outputFile?: string | undefined } = {}
  ): Promise<WorkerResult> {
    PromiseOptions.check("executeMerge", options, { ...chunkRules, outputFile: PromiseOptions.text })
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

  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(options: WorkerOptions & { readonly workspaceDir: string }) {
    PromiseOptions.check("WorkerRuntime", options, workerRules, ["workspaceDir"])
    const { telemetry, ...others } = options
    this.#runtime = ManagedRuntime.make(
      Runtime.layer({ ...others, ...layersOf(options) }).pipe(
        Layer.provideMerge(PromiseBacking.telemetryLayer(telemetry))
      )
    )
  }

  /**
   * Renders one chunk of the job file at `jobPath`: an allowed https URL, a path below an allowed folder, or `artifact:`
   * and a key of the storage. Rejects with a `WorkerError`.
   */
  async run(jobPath: string, chunkId: number, options: RunOptions = {}): Promise<WorkerResult> {
    PromiseOptions.check("run", options, runRules)
    const { report, signal, ...trace } = options
    const running = Runtime.WorkerRuntime.use((worker) =>
      worker.execute({ jobPath, chunkIndex: chunkId, ...TraceContext.headers(trace) }, { onSignal: report })
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

/** Makes a handler for AWS Lambda's Node.js runtime. Throws a `TypeError` where an option is wrong. */
export const createAwsHandler = (config: AwsHandlerOptions = {}): AwsHandler.Handler => {
  PromiseOptions.check("createAwsHandler", config, workerRules)
  return AwsHandler.make({ ...config, ...layersOf(config), telemetry: PromiseBacking.telemetryLayer(config.telemetry) })
}

/** Who may ask a worker's server for chunks: see `RequestAuth` of this package for what each one means. */
export type ServerAuth =
  | IdToken
  | Platform
  | None
  | (Omit<SharedSecret, "secrets"> & {
      /** At least one of at least 16 characters; several while an old one is changed for a new one. */
      readonly secrets: ReadonlyArray<string>
    })

/** How a worker's server works. */
export interface WorkerServerOptions extends WorkerOptions {
  /** The folder that everything happens in. */
  readonly workspaceDir: string
  /** Who may ask for chunks. There is no default. */
  readonly auth: ServerAuth
  /** The address to listen on. Default: `"127.0.0.1"`, which other machines cannot reach. */
  readonly host?: string | undefined
  /** How many chunks may be rendered at once; whoever asks for more is told to come again. Default: 1. */
  readonly concurrency?: number | undefined
  /** How often a stream of events says that the worker is alive, in milliseconds. Default: 5000. */
  readonly heartbeat?: number | undefined
  /** How long the platform lets a request take, in milliseconds. Default: it does not end them. */
  readonly timeLimit?: number | undefined
  /** How long what runs may go on when the server is to end, in milliseconds. Default: 8000. */
  readonly drainTimeout?: number | undefined
  /** How large the body of a request may be, in bytes. Default: 1 MiB. */
  readonly bodyBytes?: number | undefined
  /** How large the headers of a request may be together, in bytes. Default: 16 KiB. */
  readonly headerBytes?: number | undefined
  /** How long the headers of a request may take to come, in milliseconds. Default: 10000. */
  readonly headersTimeout?: number | undefined
  /** How long a whole request may take to come, in milliseconds. Default: 30000. */
  readonly requestTimeout?: number | undefined
  /** How long a client may leave a stream of events unread, in milliseconds; at least three heartbeats. Default: 60000. */
  readonly sendTimeout?: number | undefined
  /** How long a connection is kept for the next request, in milliseconds. Default: 65000; on Cloud Run 620000. */
  readonly keepAliveTimeout?: number | undefined
  /** How many connections there may be at once. Default: 256. */
  readonly maxConnections?: number | undefined
  /** Which worker it is, in answers and events. Default: the host's name and the process; on Cloud Run, the revision. */
  readonly workerId?: string | undefined
}

/** How a service on Cloud Run works. */
export interface CloudRunServerOptions extends Omit<WorkerServerOptions, "workspaceDir"> {
  /** The folder that everything happens in; without a volume it is in the instance's memory. Default: `"/tmp"`. */
  readonly workspaceDir?: string | undefined
  /** The address to listen on. Default: `"0.0.0.0"`. */
  readonly host?: string | undefined
  /** The project whose traces log entries belong to. Default: the variable `GOOGLE_CLOUD_PROJECT`, which you have to set. */
  readonly projectId?: string | undefined
}

const serverRules: PromiseOptions.Rules<WorkerServerOptions> = {
  ...workerRules,
  auth: PromiseOptions.anything,
  host: PromiseOptions.text,
  concurrency: PromiseOptions.whole(1),
  heartbeat: PromiseOptions.millis,
  timeLimit: PromiseOptions.millis,
  drainTimeout: PromiseOptions.millis,
  bodyBytes: PromiseOptions.whole(0),
  headerBytes: PromiseOptions.whole(0),
  headersTimeout: PromiseOptions.millis,
  requestTimeout: PromiseOptions.millis,
  sendTimeout: PromiseOptions.millis,
  keepAliveTimeout: PromiseOptions.millis,
  maxConnections: PromiseOptions.whole(1),
  workerId: PromiseOptions.text
}

const cloudRunRules: PromiseOptions.Rules<CloudRunServerOptions> = { ...serverRules, projectId: PromiseOptions.text }

/** A server that may be started. */
export interface ServerHandle {
  /**
   * Listens, and resolves when it takes work; port 0 is one that is free. Default: 8080; on Cloud Run, what the variable
   * `PORT` says. Rejects when it cannot, and says why.
   */
  listen(port?: number): Promise<{ readonly port: number; readonly url: string }>
  /** Takes no more work, gives what runs its time, stops it, and resolves when all is over. */
  close(): Promise<void>
}

/** Makes a server for any machine. It ends when `close` is called. Throws a `TypeError` where an option is wrong. */
export const createWorkerServer = (config: WorkerServerOptions): ServerHandle => {
  PromiseOptions.check("createWorkerServer", config, serverRules, ["workspaceDir", "auth"])
  return serverOf((port) =>
    Server.layer({ ...config, ...layersOf(config), auth: authOf(config.auth), port }).pipe(
      Layer.provide(PromiseBacking.telemetryLayer(config.telemetry))
    )
  )
}

/**
 * Makes a server for Google Cloud Run. Once it listens it also ends on SIGTERM and SIGINT, within Cloud Run's ten seconds;
 * the process is over when nothing else keeps it.
 */
export const createCloudRunServer = (config: CloudRunServerOptions): ServerHandle => {
  PromiseOptions.check("createCloudRunServer", config, cloudRunRules, ["auth"])
  return serverOf(
    (port) =>
      CloudRun.layer({
        ...config,
        ...layersOf(config),
        auth: authOf(config.auth),
        port,
        telemetry: PromiseBacking.telemetryLayer(config.telemetry)
      }),
    endSignal.next
  )
}

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

const authOf = (auth: ServerAuth): RequestAuth =>
  auth.type === "shared-secret" ? { ...auth, secrets: auth.secrets.map((secret) => Redacted.make(secret)) } : auth

/** A server that listens when it is told to, and ends when it is told to or when `ended` is done. */
const serverOf = <E>(
  layer: (port: number | undefined) => Layer.Layer<Server.WorkerServer, E>,
  ended: Effect.Effect<void> = Effect.never
): ServerHandle => {
  let current: { readonly close: () => Promise<void> } | undefined

  const listen: ServerHandle["listen"] = (port) => {
    if (current !== undefined) return Promise.reject(new Error("the server listens already: close it first"))
    const runtime = ManagedRuntime.make(layer(port))
    const waiting = new AbortController()
    const own = {
      close: () => {
        waiting.abort()
        return runtime.dispose().finally(() => {
          if (current === own) current = undefined
        })
      }
    }
    current = own
    // What waits for that is told when the server is closed.
    Effect.runPromise(ended, { signal: waiting.signal }).then(own.close, () => {})
    return runtime.runPromise(Server.WorkerServer).then(
      ({ port, url }) => ({ port, url }),
      (error: unknown) => {
        const told = waiting.signal.aborted ? new Error("the server was closed before it took any work") : error
        return own.close().then(() => {
          throw told
        })
      }
    )
  }

  return { listen, close: () => current?.close() ?? Promise.resolve() }
}
