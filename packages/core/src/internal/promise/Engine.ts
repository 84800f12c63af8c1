/**
 * Core's `JobManager` for the classes of the Promise API: turns their options into services, and what a run comes to into
 * a value or an error.
 *
 * The classes call `valueOf` themselves, after their `await`, so that an error is made where their caller waits and its
 * stack says who that is.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ArtifactError, ArtifactStorage } from "../../ArtifactStorage.ts"
import * as FromPromises from "../../FromPromises.ts"
import * as Core from "../../JobError.ts"
import * as JobManager from "../../JobManager.ts"
import type * as JobRecovery from "../../JobRecovery.ts"
import { type JobRepository, layerMemory, type RepositoryError } from "../../JobRepository.ts"
import type { JobState } from "../../JobState.ts"
import type { JobProgress } from "../../Progress.ts"
import * as OutputCheck from "../../OutputCheck.ts"
import type { ArtifactStorage as PlainStorage } from "../../promise/ArtifactStorage.ts"
import { JobCancelled, JobError, JobPaused } from "../../promise/JobError.ts"
import { Telemetry } from "../../promise/Telemetry.ts"
import type { WorkerAdapter as PlainAdapter } from "../../promise/WorkerAdapter.ts"
import * as PromiseBacking from "../../PromiseBacking.ts"
import * as PromiseOptions from "../../PromiseOptions.ts"
import { VideoStitcher } from "../../VideoStitcher.ts"
import * as WorkerAdapter from "../../WorkerAdapter.ts"
import { Refused } from "../../WorkerError.ts"
import { annotations } from "../../Telemetry.ts"
import * as TraceContext from "../../TraceContext.ts"
import * as Workspace from "../../Workspace.ts"
import * as ChunkReports from "./ChunkReports.ts"
import type {
  ArtifactsOptions,
  DeleteOptions,
  JobExecutionOptions,
  JobManagerOptions,
  PauseOptions,
  RecoverOptions
} from "./Options.ts"
import * as OutputCheckService from "./OutputCheckService.ts"
import * as QuietStack from "./QuietStack.ts"
import * as TrustingWorkspace from "./TrustingWorkspace.ts"
import * as UserPromise from "./UserPromise.ts"
import * as VideoStitcherService from "./VideoStitcherService.ts"
import * as WorkerAdapterService from "./WorkerAdapterService.ts"

type Failure = Core.JobError | RepositoryError | ArtifactError

type Services = JobManager.JobManager | JobRepository

/** What a manager's methods run on. */
export interface Engine {
  readonly exit: <A>(effect: Effect.Effect<A, Core.JobError, Services>, call?: Call) => Promise<Exit.Exit<A, Failure>>
}

/** A call that is worth a span of its own. */
interface Call {
  readonly name: string
  /** The trace that it is a part of, where its caller says so. */
  readonly trace: TraceContext.Carrier
}

/** Makes an engine. It holds nothing that would have to be closed. */
export const make = (options: JobManagerOptions = {}): Engine => {
  const optionsIssue = PromiseOptions.issue(options, managerRules)
  if (optionsIssue !== undefined) throw errorOf(invalid(undefined, optionsIssue))
  const { repository, storage, telemetry } = options
  const manager = Option.getOrUndefined(PromiseBacking.managerOf(options))
  const outer = telemetry === undefined ? Option.none() : PromiseBacking.telemetryOf(telemetry)
  const services =
    manager === undefined
      ? JobManager.layer.pipe(
          Layer.provide([
            storage === undefined ? Layer.empty : FromPromises.artifactStorage(storage),
            nobody,
            OutputCheck.layerTrusting,
            Layer.succeed(Workspace.Workspace, TrustingWorkspace.make())
          ]),
          Layer.provideMerge(repository === undefined ? layerMemory : FromPromises.jobRepository(repository))
        )
      : Layer.merge(manager.layer, Layer.succeed(OwnFolder, manager.inFolder))
  const runtime = ManagedRuntime.make(Layer.provide(services, PromiseBacking.telemetryLayer(telemetry)))
  if (Option.isNone(outer)) return { exit: (effect, call) => runtime.runPromiseExit(calling(effect, call)) }
  const { value: telling } = outer
  return {
    exit: (effect, call) =>
      telling.runPromiseExit(
        calling(
          Effect.flatMap(runtime.contextEffect, (context) => Effect.provide(effect, context)),
          call
        )
      )
  }
}

/**
 * Gives a call its span, at once: a tracer that asks which of its own spans is active still finds the one of the code that
 * made the call.
 */
const calling = <A, E, R>(work: Effect.Effect<A, E, R>, call: Call | undefined): Effect.Effect<A, E, R> => {
  if (call === undefined) return work
  const traced = Effect.withSpan(work, call.name, { captureStackTrace: false })
  const parent = TraceContext.parse(call.trace)
  return parent === undefined ? traced : Effect.withParentSpan(traced, parent)
}

/** What a manager that has everything offers to runs; absent from one whose runs bring it. */
const OwnFolder = Context.Reference<PromiseBacking.Manager["inFolder"] | undefined>(
  "@helios-infra/core/internal/promise/Engine/OwnFolder",
  { defaultValue: () => undefined }
)

/** The adapter of runs that bring none: none of those begins. */
const nobody = WorkerAdapter.layer({
  info: { name: "none", where: "local", stop: "always" },
  execute: (job) =>
    Effect.fail(WorkerAdapter.failure("none", job, new Refused({ why: "Unsupported", fix: "name a workerAdapter" })))
})

/** The value, or an error of the Promise API; the signal's reason when it was the signal that ended it. */
export const valueOf = <A>(exit: Exit.Exit<A, Failure>, signal?: AbortSignal): A => {
  if (Exit.isSuccess(exit)) return exit.value
  signal?.throwIfAborted()
  const failure = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  throw failure === undefined ? Cause.squash(exit.cause) : errorOf(failure)
}

/** The error of the Promise API for what went wrong. */
export const errorOf = (failure: Failure): JobError | JobCancelled | JobPaused => {
  // A repository that could not even be opened knows of no job.
  const { jobId, reason } = failure._tag === "JobError" ? failure : { jobId: undefined, reason: failure }
  if (jobId !== undefined && reason._tag === "JobCancelled") return new JobCancelled({ jobId })
  if (jobId !== undefined && reason._tag === "JobPaused") return new JobPaused({ jobId })
  QuietStack.quiet(reason)
  return new JobError({ reason, ...(jobId === undefined ? undefined : { jobId }) })
}

// ---
// what a user gives
// ---

const invalid = (jobId: string | undefined, fix: string): Core.JobError =>
  new Core.JobError({ ...(jobId === undefined ? undefined : { jobId }), reason: new Core.InvalidRequest({ fix }) })

const adapterRule = PromiseOptions.methods("execute")
const storageRule = PromiseOptions.methods("put", "get", "head", "list", "delete", "url")
const takeOverRule = PromiseOptions.oneOf("if-dead", "always")

const managerRules: PromiseOptions.Rules<JobManagerOptions> = {
  repository: PromiseOptions.methods("save", "get", "list", "delete"),
  storage: storageRule,
  defaultConcurrency: PromiseOptions.whole(1),
  telemetry: (value) =>
    value instanceof Telemetry && Option.isSome(PromiseBacking.telemetryOf(value))
      ? undefined
      : PromiseBacking.notTelemetry
}

const artifactsRules: PromiseOptions.Rules<ArtifactsOptions> = {
  access: PromiseOptions.oneOf("credentials", "urls"),
  urlsExpire: PromiseOptions.millis,
  stitchFrom: PromiseOptions.oneOf("copies", "storage"),
  keep: PromiseOptions.flag
}

const runRules: PromiseOptions.Rules<JobExecutionOptions> = {
  workerAdapter: adapterRule,
  mergeAdapter: adapterRule,
  stitcher: PromiseOptions.methods("stitch"),
  outputFile: PromiseOptions.text,
  concurrency: PromiseOptions.whole(1),
  retries: PromiseOptions.whole(0),
  retryDelay: PromiseOptions.millis,
  signal: PromiseOptions.abortSignal,
  onProgress: PromiseOptions.callable,
  jobDir: PromiseOptions.text,
  outputCheck: PromiseOptions.methods("check"),
  env: PromiseOptions.variables,
  storage: storageRule,
  artifacts: (value) => PromiseOptions.issue(value, artifactsRules, "artifacts"),
  takeOver: takeOverRule,
  // These come from elsewhere: malformed ones are left out.
  traceparent: PromiseOptions.anything,
  tracestate: PromiseOptions.anything,
  telemetry: managerRules.telemetry
}

const pauseRules: PromiseOptions.Rules<PauseOptions> = { mode: PromiseOptions.oneOf("drain", "interrupt") }

const deleteRules: PromiseOptions.Rules<DeleteOptions> = {
  workerAdapter: adapterRule,
  jobDir: PromiseOptions.text,
  storage: storageRule
}

const recoverRules: PromiseOptions.Rules<RecoverOptions> = {
  options: PromiseOptions.callable,
  takeOver: takeOverRule,
  brokenOff: PromiseOptions.whole(1)
}

const checked = (
  jobId: string | undefined,
  options: unknown,
  rules: Readonly<Record<string, PromiseOptions.Rule>>
): Effect.Effect<void, Core.JobError> =>
  Effect.suspend(() => {
    const issue = PromiseOptions.issue(options, rules)
    return issue === undefined ? Effect.void : Effect.fail(invalid(jobId, issue))
  })

/** Throws where the id of a job is none. */
export const admitId = (jobId: unknown): void => {
  const issue = PromiseOptions.text(jobId, "the id of a job")
  if (issue !== undefined) throw errorOf(invalid(undefined, issue))
}

/** Throws what is wrong with the options of a run; when its signal is aborted already, the reason of that. */
export const admit = (options: JobExecutionOptions, jobId?: string): void => {
  const issue = PromiseOptions.issue(options, runRules)
  if (issue !== undefined) throw errorOf(invalid(jobId, issue))
  options.signal?.throwIfAborted()
}

/** What a run lacks. */
const lackOf = (
  { outputFile, stitcher, workerAdapter }: JobExecutionOptions,
  lastOutputFile: string | undefined,
  hasOwn: boolean
): string | undefined => {
  if (workerAdapter === undefined && !hasOwn) {
    return "there is no workerAdapter: give one, for example new LocalWorkerAdapter() of @helios-infra/adapter-local/promise"
  }
  return stitcher !== undefined && (outputFile ?? lastOutputFile ?? "") === ""
    ? "a stitcher needs an outputFile: say where the final file goes"
    : undefined
}

/** The services of one run, and their options, which were looked at before. */
const runOptions = Effect.fnUntraced(function* (
  jobId: string,
  options: JobExecutionOptions
): Effect.fn.Return<JobManager.RunOptions, Core.JobError, JobManager.JobManager | Scope.Scope> {
  const { mergeAdapter, stitcher, storage, workerAdapter } = options
  const last =
    stitcher !== undefined && options.outputFile === undefined
      ? yield* Effect.option(JobManager.JobManager.use((jobs) => jobs.get(jobId)))
      : Option.none()
  const own = yield* OwnFolder
  const issue = lackOf(options, Option.getOrUndefined(last)?.target?.outputFile, own !== undefined)
  if (issue !== undefined) return yield* invalid(jobId, issue)
  const folder = yield* own === undefined ? adapterFolder(jobId, options) : ownFolder(jobId, own(options.jobDir))
  const { outputCheck, workspace } = folder
  const files = Layer.succeed(Workspace.Workspace, workspace)
  const check = options.outputCheck ?? stitcher?.outputCheck
  return {
    workerAdapter: workerAdapter === undefined ? undefined : WorkerAdapterService.make(workerAdapter),
    mergeAdapter: mergeAdapter === undefined ? undefined : WorkerAdapterService.make(mergeAdapter),
    workspace,
    outputCheck: check === undefined ? outputCheck : OutputCheckService.make(check, workspace, outputCheck),
    stitcher:
      stitcher === undefined ? folder.stitcher : yield* Effect.provide(VideoStitcherService.make(stitcher), files),
    storage: storage === undefined ? undefined : yield* opened(jobId, storage),
    artifacts: options.artifacts,
    outputFile: options.outputFile,
    concurrency: options.concurrency,
    retries: options.retries,
    retryDelay: options.retryDelay,
    env: options.env,
    takeOver: options.takeOver
  }
})

/** What depends on where a job's files are. */
interface Folder {
  readonly workspace: Workspace.Workspace["Service"]
  readonly outputCheck: OutputCheck.OutputCheck["Service"]
  readonly stitcher: VideoStitcher["Service"] | undefined
}

const ownFolder = (
  jobId: string,
  layer: ReturnType<PromiseBacking.Manager["inFolder"]>
): Effect.Effect<Folder, Core.JobError, Scope.Scope> =>
  Layer.build(layer).pipe(
    Effect.map((context) => ({
      workspace: Context.get(context, Workspace.Workspace),
      outputCheck: Context.get(context, OutputCheck.OutputCheck),
      stitcher: Option.getOrUndefined(Context.getOption(context, VideoStitcher))
    })),
    Effect.mapError((reason) => new Core.JobError({ jobId, reason }))
  )

const adapterFolder = Effect.fnUntraced(function* (
  jobId: string,
  { jobDir, workerAdapter }: JobExecutionOptions
): Effect.fn.Return<Folder, Core.JobError, Scope.Scope> {
  const { looks, service: workspace } = yield* workspaceOf(jobId, workerAdapter, jobDir)
  const simple = looks ? OutputCheck.layerPresence : OutputCheck.layerTrusting
  const files = Layer.succeed(Workspace.Workspace, workspace)
  const outputCheck = yield* Effect.provide(OutputCheck.OutputCheck, Layer.provide(simple, files))
  return { workspace, outputCheck, stitcher: undefined }
})

const opened = (
  jobId: string,
  storage: PlainStorage
): Effect.Effect<ArtifactStorage["Service"], Core.JobError, Scope.Scope> =>
  Layer.build(FromPromises.artifactStorage(storage)).pipe(
    Effect.map((context) => Context.get(context, ArtifactStorage)),
    Effect.mapError((reason) => new Core.JobError({ jobId, reason }))
  )

const workspaceOf = Effect.fnUntraced(function* (
  jobId: string,
  adapter: PlainAdapter | undefined,
  jobDir: string | undefined
): Effect.fn.Return<
  { readonly service: Workspace.Workspace["Service"]; readonly looks: boolean },
  Core.JobError,
  Scope.Scope
> {
  if (adapter?.files === undefined) return { service: TrustingWorkspace.make(jobDir), looks: false }
  const folder = yield* Effect.try({
    try: () => adapter.files?.(jobDir),
    catch: (value) => invalid(jobId, `the workerAdapter's files failed: ${new UserPromise.Thrown({ value }).message}`)
  })
  const layer = folder === undefined ? Option.none() : PromiseBacking.workspaceOf(folder)
  if (Option.isNone(layer)) {
    const fix =
      "the workerAdapter's files must give what those of LocalWorkerAdapter give; is @helios-infra/core installed twice?"
    return yield* invalid(jobId, fix)
  }
  const context = yield* Effect.mapError(Layer.build(layer.value), (reason) => new Core.JobError({ jobId, reason }))
  return { service: Context.get(context, Workspace.Workspace), looks: true }
})

// ---
// what a manager does
// ---

/** Creates a job. What is `undefined` in its file, or in that's metadata, is not there, as in JSON. */
export const create = (spec: unknown): Effect.Effect<JobState, Core.JobError, JobManager.JobManager> =>
  JobManager.JobManager.use((jobs) => {
    const given = defined(spec)
    return jobs.create(
      Predicate.hasProperty(given, "metadata") ? { ...given, metadata: defined(given.metadata) } : given
    )
  })

const defined = (value: unknown): unknown =>
  Predicate.isObject(value) && Object.values(value).includes(undefined)
    ? Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined))
    : value

/** The job, or `null`. */
export const get = (jobId: string): Effect.Effect<JobState | null, Core.JobError, JobManager.JobManager> =>
  Effect.catchIf(
    JobManager.JobManager.use((jobs) => jobs.get(jobId)),
    isNotFound,
    () => Effect.succeed(null)
  )

const isNotFound = ({ reason }: Core.JobError): boolean =>
  reason._tag === "RepositoryError" && reason.reason._tag === "NotFound"

/** All jobs; one that is deleted meanwhile is not there. */
export const list: Effect.Effect<Array<JobState>, Core.JobError, JobManager.JobManager> = Effect.gen(function* () {
  const jobs = yield* JobManager.JobManager
  const summaries = yield* Stream.runCollect(jobs.list()).pipe(
    Effect.mapError((reason) => new Core.JobError({ reason }))
  )
  const states = yield* Effect.forEach(summaries, ({ id }) => get(id), { concurrency: 8 })
  return states.filter((state) => state !== null)
})

/** Cancels a job. */
export const cancel = (jobId: string): Effect.Effect<JobState, Core.JobError, JobManager.JobManager> =>
  JobManager.JobManager.use((jobs) => jobs.cancel(jobId))

/** Pauses a job. */
export const pause = (
  jobId: string,
  options: PauseOptions
): Effect.Effect<JobState, Core.JobError, JobManager.JobManager> =>
  Effect.andThen(
    checked(jobId, options, pauseRules),
    JobManager.JobManager.use((jobs) => jobs.pause(jobId, { mode: options.mode }))
  )

/** Deletes a job, and its files where somebody says where they are. */
export const remove = Effect.fnUntraced(function* (
  jobId: string,
  options: DeleteOptions
): Effect.fn.Return<void, Core.JobError, JobManager.JobManager | Scope.Scope> {
  yield* checked(jobId, options, deleteRules)
  const { jobDir, storage, workerAdapter } = options
  const jobs = yield* JobManager.JobManager
  const own = yield* OwnFolder
  const workspace =
    own === undefined
      ? workerAdapter && (yield* workspaceOf(jobId, workerAdapter, jobDir)).service
      : (yield* ownFolder(jobId, own(jobDir))).workspace
  yield* jobs.delete(jobId, {
    workspace,
    storage: storage && (yield* opened(jobId, storage))
  })
}, Effect.scoped)

/** Runs the jobs on whose process died, one after the other. */
export const recover = Effect.fnUntraced(function* (
  given: RecoverOptions
): Effect.fn.Return<ReadonlyArray<JobRecovery.Recovered>, Core.JobError, Services> {
  yield* checked(undefined, given, recoverRules)
  const { options, ...which } = given
  if (!Predicate.isFunction(options)) return yield* invalid(undefined, "there are no options: say how a job is run on")
  const context = yield* Effect.context<Services>()
  const jobs = yield* JobManager.JobManager
  return yield* jobs.recover({
    ...which,
    run: (job, takeOver) =>
      Effect.try({
        try: () => options(job),
        catch: (value) => invalid(job.id, `its options failed: ${new UserPromise.Thrown({ value }).message}`)
      }).pipe(
        Effect.tap((options) => checked(job.id, options, runRules)),
        Effect.flatMap((options) => run(job.id, { ...options, ...takeOver })),
        Effect.provide(context)
      )
  })
})

/** What attempts printed. */
export const logs = (
  jobId: string
): Effect.Effect<Array<JobManager.AttemptLog>, Core.JobError, JobManager.JobManager> =>
  JobManager.JobManager.use((jobs) => Stream.runCollect(jobs.logs(jobId)))

/** Progress as it comes; a failure is the last item. */
export const watch = (
  jobId: string
): Effect.Effect<AsyncIterable<Exit.Exit<JobProgress, Core.JobError>>, never, JobManager.JobManager> =>
  JobManager.JobManager.useSync((jobs) =>
    jobs.watch(jobId).pipe(
      Stream.map(Exit.succeed),
      Stream.catchCause((cause) => Stream.succeed(Exit.failCause(cause))),
      Stream.toAsyncIterable
    )
  )

/** Runs a job. */
export const run = (jobId: string, options: JobExecutionOptions): Effect.Effect<JobState, Core.JobError, Services> =>
  conduct(jobId, options, (jobs, run) => jobs.run(jobId, run))

/** Runs a job on, even a cancelled one. */
export const resume = (jobId: string, options: JobExecutionOptions): Effect.Effect<JobState, Core.JobError, Services> =>
  conduct(jobId, options, (jobs, run) => jobs.resume(jobId, run))

/** Creates and runs a job, and says how it came out as a worker would. */
export const execute = Effect.fnUntraced(function* (
  spec: unknown,
  options: JobExecutionOptions
): Effect.fn.Return<WorkerAdapter.WorkerResult, Core.JobError, Services> {
  const startedAt = yield* Clock.currentTimeMillis
  const { id } = yield* create(spec)
  const { outputFile } = yield* run(id, options)
  return {
    exitCode: 0,
    stdout: "",
    stderr: "",
    durationMs: (yield* Clock.currentTimeMillis) - startedAt,
    ...(outputFile === undefined ? undefined : { outputFile })
  }
})

/** How long the repository may take to answer before a job that is to be cancelled is stopped without it. */
const answerTimeout = Duration.seconds(10)

const conduct = Effect.fnUntraced(
  function* (
    jobId: string,
    options: JobExecutionOptions,
    begin: (
      jobs: JobManager.JobManager["Service"],
      options: JobManager.RunOptions
    ) => Effect.Effect<JobState, Core.JobError>
  ): Effect.fn.Return<JobState, Core.JobError, Services | Scope.Scope> {
    const jobs = yield* JobManager.JobManager
    const run = yield* runOptions(jobId, options)
    const reports = yield* ChunkReports.make(jobId, options.onProgress)
    const running = yield* Effect.forkChild(begin(jobs, run))
    const { signal } = options
    if (signal !== undefined) {
      yield* Effect.raceFirst(Fiber.await(running), aborted(signal))
      if (signal.aborted) {
        // The wish goes on record first, so that the run ends as cancelled, not as paused.
        const cancelling = Effect.timeout(jobs.get(jobId), answerTimeout).pipe(
          Effect.andThen(jobs.cancel(jobId, { by: "an aborted signal" })),
          Effect.ignore
        )
        yield* Effect.raceFirst(Fiber.await(running), cancelling)
        yield* Fiber.interrupt(running)
      }
    }
    const job = yield* Fiber.join(running)
    yield* reports.finish
    return job
  },
  (conducting, jobId) => conducting.pipe(Effect.scoped, Effect.annotateLogs(annotations.job, jobId))
)

const aborted = (signal: AbortSignal): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const onAbort = () => resume(Effect.void)
    signal.addEventListener("abort", onAbort, { once: true })
    if (signal.aborted) onAbort()
    return Effect.sync(() => signal.removeEventListener("abort", onAbort))
  })
