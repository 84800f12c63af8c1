/**
 * One attempt on a worker elsewhere, from the request to the answer.
 *
 * ```
 * request ─▶ job file ─▶ assets ─▶ command ─▶ check ─▶ output, log ─▶ answer
 *            (allowed     (cache)   (a folder           (under the attempt's
 *             sources)               of its own)         own keys)
 * ```
 *
 * Every failure is an answer. The command is stopped in time before the platform would end it, when the orchestrator says
 * that the attempt is not wanted any more, and by interruption; nothing of it is left afterwards. Which platform this is
 * and how requests come is not known here: `AwsHandler` is one way.
 */
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import { ArtifactStorage, locationOf } from "@helios-infra/core/ArtifactStorage"
import * as Telemetry from "@helios-infra/core/Telemetry"
import * as TraceContext from "@helios-infra/core/TraceContext"
import * as ArtifactLayout from "@helios-infra/core/ArtifactLayout"
import * as OutputCheck from "@helios-infra/core/OutputCheck"
import type {
  ArtifactPlace,
  AttemptArtifacts,
  OutputRef,
  WorkerResult,
  WorkerSignal
} from "@helios-infra/core/WorkerAdapter"
import { Refused, TimedOut, WorkerError, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import { Workspace, type WorkspaceError } from "@helios-infra/core/Workspace"
import * as Environment from "@helios-infra/process/Environment"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { randomInt } from "node:crypto"
import * as fs from "node:fs/promises"
import { hostname } from "node:os"
import * as path from "node:path"
import { pid } from "node:process"
import * as AssetCache from "./AssetCache.ts"
import * as attemptLog from "./internal/attemptLog.ts"
import * as guardedHttp from "./internal/guardedHttp.ts"
import * as jobSource from "./internal/jobSource.ts"
import * as replies from "./internal/replies.ts"
import * as scratch from "./internal/scratch.ts"
import * as transfers from "./internal/transfers.ts"
import * as RenderExecutor from "./RenderExecutor.ts"
import * as Sources from "./Sources.ts"

/** What a worker may do, and with what. */
export interface Options<E = never> extends RenderExecutor.LayerOptions<E> {
  /** Where outputs and logs go, and job files and assets come from. Default: none, and outputs stay in the workspace. */
  readonly storage?: Layer.Layer<ArtifactStorage, E> | undefined
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
  /** How long before the end of its time an attempt is given up, to stop the command and send its log. Default: 10 seconds. */
  readonly margin?: Duration.Input | undefined
  /** How often to look whether the attempt is still wanted. Default: 2 seconds. */
  readonly cancelInterval?: Duration.Input | undefined
  /** How long a server may be silent. Default: 30 seconds. */
  readonly idleTimeout?: Duration.Input | undefined
  /** How long the job file, and how long the list of assets, may take to come. Default: 60 seconds. */
  readonly jobTimeout?: Duration.Input | undefined
  /** How large the job file, and how large the list of assets, may be, in bytes. Default: 32 MiB. */
  readonly jobBytes?: number | undefined
  /** How long one asset may take to come. Default: 15 minutes. */
  readonly assetTimeout?: Duration.Input | undefined
  /** How much the kept assets may take, in bytes. Default: half the disk, at most 10 GiB. */
  readonly cacheBytes?: number | undefined
  /** How much of what a command prints is sent, in bytes: its beginning and its end. Default: 64 MiB. */
  readonly logBytes?: number | undefined
  /** The worker's name in errors. Default: `"worker"`. */
  readonly name?: string | undefined
}

/** What is known of one invocation. */
export interface RunOptions {
  /** How long until the platform ends it, in milliseconds. */
  readonly remainingMs?: number | undefined
  /** Which worker it is. Default: the host's name and the process. */
  readonly workerId?: string | undefined
  /** Told what the attempt does while it runs. */
  readonly onSignal?: ((signal: WorkerSignal) => void) | undefined
}

/** The orchestrator said that the attempt is not wanted any more, and it was stopped. */
export class AttemptCancelled extends Data.TaggedError("AttemptCancelled")<{}> {
  override get message(): string {
    return "the attempt was cancelled by its orchestrator"
  }
}

/** Runs attempts for orchestrators elsewhere. */
export class WorkerRuntime extends Context.Service<
  WorkerRuntime,
  {
    /** Does what a request asks for, whatever it is; every end but interruption is an answer. */
    readonly run: (request: unknown, options?: RunOptions) => Effect.Effect<WorkerProtocol.WorkerReply>
    /** The same for a request that was read. */
    readonly execute: (
      request: WorkerProtocol.WorkerRequest,
      options?: RunOptions
    ) => Effect.Effect<WorkerResult, WorkerError | AttemptCancelled>
  }
>()("@helios-infra/worker-runtime/WorkerRuntime") {}

/** A runtime could not be made. */
export type MakeError = Sources.InvalidSource | WorkspaceError | LocalFiles.FileError

// The defaults of the options, where they say more than a number.
const defaults = {
  margin: Duration.seconds(10),
  killGrace: Duration.seconds(5),
  cancelInterval: Duration.seconds(2),
  idleTimeout: Duration.seconds(30),
  jobTimeout: Duration.seconds(60),
  assetTimeout: Duration.minutes(15),
  jobBytes: 32 * 2 ** 20,
  logBytes: 64 * 2 ** 20,
  requestEnvironment: ["HELIOS_*"]
}

/** Variables that change what is run, and so are not let through by a pattern. */
const byNameOnly = new Set(["HELIOS_BROWSER_ARGS"])

/** The runtime. Removes what an earlier process that was killed left in the workspace. */
export const make = <E = never>(
  options: Options<E>
): Effect.Effect<WorkerRuntime["Service"], MakeError | E, Scope.Scope> =>
  Effect.gen(function* () {
    const { allowLocal = false, name = "worker", workspaceDir } = options
    const duration = (key: "margin" | "killGrace" | "cancelInterval" | "idleTimeout" | "jobTimeout" | "assetTimeout") =>
      Duration.fromInputUnsafe(options[key] ?? defaults[key])
    yield* LocalFiles.file(() => fs.mkdir(workspaceDir, { recursive: true }))
    const workspace = yield* LocalWorkspace.make({ dir: workspaceDir })
    const inWorkspace = Layer.succeed(Workspace, workspace)
    const checks = yield* Layer.build(Layer.provide(options.outputCheck ?? OutputCheck.layerPresence, inWorkspace))
    const outputCheck = Context.get(checks, OutputCheck.OutputCheck)
    const storage =
      options.storage === undefined ? undefined : Context.get(yield* Layer.build(options.storage), ArtifactStorage)
    const sources = yield* Sources.make({
      sources: options.sources ?? (storage === undefined ? [workspace.root] : []),
      storage: storage !== undefined,
      allowLocal
    })
    const folders = yield* scratch.make(workspace.root)
    const cache = AssetCache.make({
      dir: folders.assets,
      maxBytes: options.cacheBytes,
      timeout: duration("assetTimeout")
    })
    const jobLimits = { maxBytes: options.jobBytes ?? defaults.jobBytes, timeout: duration("jobTimeout") }
    const margin = duration("margin")

    /** An executor that has ended its commands within a part of the margin. */
    const executorFor = (margin: Duration.Duration) =>
      RenderExecutor.make({
        allowedEnvironment: options.allowedEnvironment,
        tailBytes: options.tailBytes,
        killGrace: Duration.min(duration("killGrace"), Duration.times(margin, 0.4))
      }).pipe(Effect.provideService(OutputCheck.OutputCheck, outputCheck), Effect.provideService(Workspace, workspace))

    const fetchAssets = Effect.fnUntraced(function* (
      moves: transfers.Transfers,
      assetsUrl: string,
      folder: string,
      incoming: string
    ) {
      const assets = yield* jobSource.readAssets(moves, assetsUrl, jobLimits)
      yield* cache.provide({
        assets,
        folder,
        incoming,
        // The cache knows better how much may come.
        fetch: ({ location }) => moves.read(location, Number.MAX_SAFE_INTEGER)
      })
    })

    /** Reads the job, renders the chunk and brings its output to where it goes. */
    const attempt = Effect.fnUntraced(function* (
      request: WorkerProtocol.WorkerRequest,
      { env, margin, moves, onSignal }: AttemptTools,
      known: (jobId: string) => void
    ): Effect.fn.Return<WorkerResult, WorkerReason, Scope.Scope> {
      const { attempt: number = 1, chunkIndex: chunkId, format, run = 1 } = request
      const job = yield* fetching("job")(jobSource.readJob(moves, request.jobPath, jobLimits))
      const { spec } = job
      const jobId = request.jobId ?? job.id
      known(jobId)
      const chunk = spec.chunks.find(({ id }) => id === chunkId)
      if (chunk === undefined) {
        return yield* new Refused({ why: "InvalidJob", fix: `the job file has no chunk ${chunkId}` })
      }
      const { outputFile } = chunk
      yield* Effect.annotateCurrentSpan({
        [Telemetry.attributes.startFrame]: chunk.startFrame,
        [Telemetry.attributes.frameCount]: chunk.frameCount
      })
      const artifacts = yield* artifactsOf(request, { jobId, chunkId, attempt: number, outputFile }, storage)

      const { marker, path: own, tmp } = yield* Effect.catch(folders.open, lost)
      const isolated = artifacts !== undefined || spec.assetsUrl !== undefined
      const cwd = isolated ? path.join(own, "job") : workspace.root
      if (isolated)
        yield* Effect.catch(
          LocalFiles.file(() => fs.mkdir(cwd)),
          lost
        )
      if (spec.assetsUrl !== undefined) yield* fetching("assets")(fetchAssets(moves, spec.assetsUrl, cwd, own))

      const log = yield* Effect.catch(
        attemptLog.make(path.join(own, "log.txt"), options.logBytes ?? defaults.logBytes),
        lost
      )
      const sendLog =
        artifacts === undefined
          ? Effect.void
          : Effect.flatMap(log.body, (body) => moves.send(artifacts.log, body)).pipe(
              Effect.timeout(Duration.times(margin, 0.4)),
              Effect.catch((error) => Effect.logWarning(`the log could not be sent: ${replies.plain(error.message)}`))
            )

      const executor = yield* executorFor(margin)
      const result = yield* executor
        .executeChunk(spec, chunkId, {
          marker,
          jobId,
          run,
          attempt: number,
          format,
          cwd,
          place: path.join(own, `output${path.extname(outputFile)}`),
          env: { TMPDIR: tmp, ...options.env, ...env },
          onSignal: (signal) => {
            if (signal._tag === "Line") log.line(signal.text)
            Result.try(() => onSignal?.(signal))
          }
        })
        .pipe(
          Telemetry.withSpan(Telemetry.spans.workerRender),
          Effect.mapError(({ reason }) => reason),
          Effect.onExit((exit) => (Exit.isFailure(exit) ? sendLog : Effect.void))
        )
      const { output } = result
      if (output === undefined) return result
      if (yield* Effect.catch(LocalFiles.isFolder(output.location), lost)) {
        const fix = `the output of chunk ${chunkId} is a folder, and workers elsewhere send files: render it as a video (pictures without loss: PNG in .mov), or on the orchestrator's machine`
        return yield* new Refused({ why: "Unsupported", fix })
      }

      const { sha256 } = yield* LocalFiles.contentOf(contentOf(output))
      if (artifacts === undefined) {
        yield* Effect.catch(workspace.publish(output, outputFile), lost)
        return { ...result, output: { ...output, sha256, location: path.join(workspace.root, outputFile) } }
      }
      const parcel = { bytes: output.bytes, sha256, content: contentOf(output) }
      yield* Effect.all([moves.send(artifacts.output, parcel), sendLog], {
        concurrency: "unbounded",
        discard: true
      }).pipe(Telemetry.withSpan(Telemetry.spans.workerSend))
      return { ...result, output: { ...output, sha256, location: locationOf(artifacts.output.key) } }
    }, Effect.scoped)

    const cancelled = (moves: transfers.Transfers, place: ArtifactPlace): Effect.Effect<never, AttemptCancelled> =>
      moves.exists(place).pipe(
        Effect.timeout(Duration.seconds(10)),
        // Who cannot be asked has not said no.
        Effect.catch(() => Effect.succeed(false)),
        Effect.repeat({ until: (there) => there, schedule: Schedule.spaced(duration("cancelInterval")) }),
        Effect.andThen(Effect.fail(new AttemptCancelled()))
      )

    const perform = Effect.fnUntraced(function* (
      request: WorkerProtocol.WorkerRequest,
      { onSignal, remainingMs, workerId }: RunOptions & { readonly workerId: string },
      span: Tracer.Span
    ): Effect.fn.Return<WorkerResult, WorkerError | AttemptCancelled> {
      let { jobId = "unknown" } = request
      const limit = limitOf(request, remainingMs, yield* Clock.currentTimeMillis, margin)
      const working = Effect.gen(function* () {
        const env = yield* requestedEnvironment(request, options.requestEnvironment ?? defaults.requestEnvironment)
        const http = yield* guardedHttp.make({ allowLocal, ca: options.ca, idleTimeout: duration("idleTimeout") })
        const moves = transfers.make({ http, sources, storage })
        const work = attempt(request, { env, margin: limit.margin, moves, onSignal }, (id) => {
          jobId = id
          span.attribute(Telemetry.attributes.jobId, id)
        })
        return yield* request.artifacts === undefined
          ? work
          : Effect.raceFirst(work, cancelled(moves, request.artifacts.cancelled))
      }).pipe(Effect.scoped, inTime(limit), Effect.catchDefect(brokenBy))

      const result = yield* Effect.mapError(working, (reason) => {
        if (reason._tag === "AttemptCancelled") return reason
        const { attempt = 1, chunkIndex: chunkId } = request
        return new WorkerError({ adapter: name, jobId, chunkId, attempt, workerId, reason: replies.told(reason) })
      })
      return { ...result, workerId }
    })

    /** An attempt as a part of its orchestrator's trace; `told` says in the log how it ended. */
    const traced = (
      request: WorkerProtocol.WorkerRequest,
      options: RunOptions,
      told: (attempt: Attempt) => Attempt = (attempt) => attempt
    ): Attempt => {
      const { workerId = `${hostname()}/${pid}` } = options
      const attributes = { ...attributesOf(request), [Telemetry.attributes.workerId]: workerId }
      return Effect.useSpan(Telemetry.spans.worker, { kind: "server", attributes }, (span) =>
        told(perform(request, { ...options, workerId }, span)).pipe(
          Effect.onExit((exit) => Effect.map(Clock.currentTimeNanos, (now) => endSpan(span, exit, now))),
          Effect.withParentSpan(span, { captureStackTrace: false })
        )
      ).pipe(TraceContext.continueFrom(request), Effect.annotateLogs(replies.annotationsOf(request)))
    }

    const execute: WorkerRuntime["Service"]["execute"] = (request, options = {}) => traced(request, options)

    const run: WorkerRuntime["Service"]["run"] = (input, options = {}) => {
      const protocol = WorkerProtocol.version
      return WorkerProtocol.decodeRequest(input).pipe(
        Effect.mapError(
          (reason) =>
            new WorkerError({ adapter: name, ...replies.idsIn(input), attempt: 1, reason: replies.told(reason) })
        ),
        Effect.tapError(({ message }) => Effect.logWarning(message)),
        Effect.annotateLogs(replies.annotationsOf(input)),
        Effect.flatMap((request) => traced(request, options, logged)),
        Effect.map((result): WorkerProtocol.WorkerReply => ({ _tag: "Result", protocol, result })),
        Effect.catchTags({
          WorkerError: (error) => Effect.succeed<WorkerProtocol.WorkerReply>({ _tag: "Error", protocol, error }),
          AttemptCancelled: () => Effect.succeed<WorkerProtocol.WorkerReply>({ _tag: "Cancelled", protocol })
        })
      )
    }

    return WorkerRuntime.of({ run, execute })
  })

/** {@link make} as a layer. */
export const layer = <E = never>(options: Options<E>): Layer.Layer<WorkerRuntime, MakeError | E> =>
  Layer.effect(WorkerRuntime, make(options))

// ---
// the request
// ---

interface AttemptTools {
  readonly env: Readonly<Record<string, string>>
  readonly margin: Duration.Duration
  readonly moves: transfers.Transfers
  readonly onSignal: ((signal: WorkerSignal) => void) | undefined
}

/** What the request gives its command, if all of it may pass. */
const requestedEnvironment = Effect.fnUntraced(function* (
  { env = {} }: WorkerProtocol.WorkerRequest,
  allowed: ReadonlyArray<string>
): Effect.fn.Return<Readonly<Record<string, string>>, Refused> {
  const passing = Environment.pick(env, allowed)
  const kept = Object.keys(env).filter(
    (name) => !(name in passing) || (byNameOnly.has(name) && !allowed.includes(name))
  )
  if (kept.length > 0) {
    const fix = `the worker does not let these variables through to commands, list them in its requestEnvironment: ${kept.join(", ")}`
    return yield* new Refused({ why: "Unsupported", fix })
  }
  return passing
})

/** Where the attempt's output and log go; `undefined` where they stay in the workspace. */
const artifactsOf = Effect.fnUntraced(function* (
  { artifacts }: WorkerProtocol.WorkerRequest,
  attempt: { readonly jobId: string; readonly chunkId: number; readonly attempt: number; readonly outputFile: string },
  storage: ArtifactStorage["Service"] | undefined
): Effect.fn.Return<AttemptArtifacts | undefined, Refused> {
  if (artifacts === undefined) {
    if (storage === undefined) return undefined
    // Nobody said which run it is: one that no other attempt has.
    const run = randomInt(2 ** 48 - 1)
    return ArtifactLayout.attemptArtifacts({ ...attempt, run }, attempt.outputFile)
  }
  // Whoever may ask for chunks may not for that reason replace assets, job files or what others rendered.
  const prefix = ArtifactLayout.chunkPrefix(attempt.jobId, attempt.chunkId)
  const { cancelled, log, output } = artifacts
  const outside = [output, log, cancelled].find(({ key }) => !key.startsWith(prefix))
  if (outside !== undefined) {
    const fix = `${JSON.stringify(outside.key)} is no key of this chunk's: those begin with ${JSON.stringify(prefix)}`
    return yield* new Refused({ why: "Unauthorized", fix })
  }
  return artifacts
})

// ---
// time
// ---

interface Limit {
  /** How long the attempt may take; `undefined` where nobody said. */
  readonly after: Duration.Duration | undefined
  readonly by: TimedOut["limit"]
  /** How long there is after that. */
  readonly margin: Duration.Duration
}

/** Where there is little time, half of it is for the attempt. */
const limitOf = (
  { deadlineMs = Infinity }: WorkerProtocol.WorkerRequest,
  remainingMs: number = Infinity,
  now: number,
  margin: Duration.Duration
): Limit => {
  const untilDeadline = deadlineMs - now
  const available = Math.max(0, Math.min(untilDeadline, remainingMs))
  if (available === Infinity) return { after: undefined, by: "platform", margin }
  const kept = Math.min(Duration.toMillis(margin), available / 2)
  return {
    after: Duration.millis(available - kept),
    by: untilDeadline < remainingMs ? "attempt" : "platform",
    margin: Duration.millis(kept)
  }
}

const inTime =
  ({ after, by }: Limit) =>
  <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E | TimedOut> =>
    after === undefined
      ? work
      : Effect.timeoutOrElse(work, {
          duration: after,
          orElse: () => Effect.fail(new TimedOut({ limit: by, afterMs: Math.round(Duration.toMillis(after)) }))
        })

// ---
// what is told of an attempt
// ---

const attributesOf = ({
  attempt = 1,
  chunkIndex,
  jobId,
  run = 1
}: WorkerProtocol.WorkerRequest): Record<string, unknown> => ({
  [Telemetry.attributes.chunkId]: chunkIndex,
  [Telemetry.attributes.run]: run,
  [Telemetry.attributes.attempt]: attempt,
  ...(jobId === undefined ? undefined : { [Telemetry.attributes.jobId]: jobId })
})

type Attempt = Effect.Effect<WorkerResult, WorkerError | AttemptCancelled>

const logged = (attempt: Attempt): Attempt =>
  attempt.pipe(
    Effect.tap(({ durationMs, output }) =>
      Effect.logInfo(`rendered ${output?.bytes ?? 0} bytes, the command took ${Math.round(durationMs)} ms`)
    ),
    Effect.tapError(({ message }) => Effect.logWarning(message))
  )

const fetching = (what: "job" | "assets") =>
  Telemetry.withSpan(Telemetry.spans.workerFetch, { attributes: { [Telemetry.attributes.fetched]: what } })

/** Says how an attempt ended. To be told to stop is no error. */
const endSpan = (
  span: Tracer.Span,
  exit: Exit.Exit<WorkerResult, WorkerError | AttemptCancelled>,
  now: bigint
): void => {
  const cancelled = Option.exists(Exit.findErrorOption(exit), ({ _tag }) => _tag === "AttemptCancelled")
  Telemetry.annotate(span, cancelled ? { [Telemetry.attributes.outcome]: "cancelled" } : Telemetry.ending(exit))
  if (Exit.isSuccess(exit)) span.attribute(Telemetry.attributes.outputSize, exit.value.output?.bytes ?? 0)
  span.end(now, cancelled ? Exit.interrupt() : exit)
}

// ---
// files and failures
// ---

const lost = (error: { readonly message: string }): Effect.Effect<never, WorkerLost> =>
  Effect.fail(new WorkerLost({ detail: error.message }))

const brokenBy = (defect: unknown): Effect.Effect<never, WorkerLost> =>
  lost(defect instanceof Error ? defect : new Error(String(defect)))

/** The bytes of an output. */
const contentOf = ({ bytes, location }: OutputRef): Stream.Stream<Uint8Array, WorkerLost> =>
  Stream.mapError(
    LocalFiles.withHandle(location, "r", (handle) => LocalFiles.readHandle(handle, { to: bytes })),
    (error) => new WorkerLost({ detail: error.message })
  )
