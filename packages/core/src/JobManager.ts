/**
 * The life of jobs: create, run, watch, cancel, and run on what was paused or failed.
 *
 * Everything a manager says of a job comes from the job's journal; in memory it holds no more than the runs that are
 * under way here. It adds no behaviour of its own to a run: that is `JobExecutor`.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import * as ArtifactLayout from "./ArtifactLayout.ts"
import { ArtifactStorage } from "./ArtifactStorage.ts"
import * as JobArtifacts from "./JobArtifacts.ts"
import { InvalidRequest, JobCancelled, JobError, type JobReason } from "./JobError.ts"
import * as JobEnding from "./internal/JobEnding.ts"
import * as JobJournal from "./internal/JobJournal.ts"
import type { OpenAttempt } from "./internal/OpenAttempts.ts"
import type { JobRecord } from "./JobEvent.ts"
import * as JobExecutor from "./JobExecutor.ts"
import * as JobRecovery from "./JobRecovery.ts"
import { Fenced, JobRepository, type JobRequest, type JobSummary, RepositoryError } from "./JobRepository.ts"
import * as JobSpec from "./JobSpec.ts"
import { hasEnded, type JobState, type JobStatus } from "./JobState.ts"
import * as OutputCheck from "./OutputCheck.ts"
import * as Progress from "./Progress.ts"
import { annotations } from "./Telemetry.ts"
import * as VideoStitcher from "./VideoStitcher.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import * as Workspace from "./Workspace.ts"

/** How a job is run: `JobExecutor.Options`, and services for this run in place of the manager's own. */
export interface RunOptions extends JobExecutor.Options {
  readonly workerAdapter?: WorkerAdapter.WorkerAdapter["Service"] | undefined
  readonly stitcher?: VideoStitcher.VideoStitcher["Service"] | undefined
  readonly outputCheck?: OutputCheck.OutputCheck["Service"] | undefined
  readonly workspace?: Workspace.Workspace["Service"] | undefined
  /** Where workers elsewhere read the job and put their outputs; without one they are on their own. */
  readonly storage?: ArtifactStorage["Service"] | undefined
  /** How the storage is used. */
  readonly artifacts?: JobArtifacts.Options | undefined
  /**
   * Whether to take a job over that somebody else runs, or may: `always` fences whoever that is, who stops at its next
   * append at the latest. Default: `if-dead`, which fails with `Running` and says who it is.
   */
  readonly takeOver?: "if-dead" | "always" | undefined
}

/**
 * How a manager runs jobs where `run`, `resume` and `start` are not told: each option counts that they leave out. Read when
 * the manager's layer is built. Default: no options.
 */
export const RunDefaults: Context.Reference<RunOptions> = Context.Reference(
  "@helios-infra/core/JobManager/RunDefaults",
  {
    defaultValue: () => ({})
  }
)

/** One attempt's last words. */
export interface AttemptLog {
  readonly run: number
  readonly chunkId: number
  readonly attempt: number
  /** When the attempt ended, in milliseconds since the epoch. */
  readonly at: number
  readonly outcome: "accepted" | "failed" | "interrupted" | "not-stopped"
  /** The bounded tail of what it printed. */
  readonly log: string
}

/**
 * Creates, runs, watches and stops jobs. Every failure is a `JobError`.
 *
 * - `create` checks a job file and stores it as a new job. Its id is `options.id`, else the file's, else a new one.
 *   Fails with `JobSpecError` or `AlreadyExists`; nothing was started.
 * - `run` runs a job that is pending, paused or failed, keeping the chunks that were accepted, and gives its state at
 *   the end; a job that is completed is left as it is. Interruption pauses the run: it can be run on. Fails with
 *   `JobCancelled` when the job was cancelled, before or meanwhile.
 * - `resume` is `run` for jobs that were cancelled as well. Any process can run a job on: what its journal says was
 *   accepted is kept, once its output was seen to be there; what a dead process left is ended before its chunk is tried
 *   again; everything else is rendered.
 * - `recover` does so with all jobs whose process died, the oldest first; in the background, unless it is told how.
 * - `start` does the same in the background, until the manager's layer is closed (which pauses it); it returns when the
 *   run has begun.
 * - `get` gives a job's state, `list` the jobs, newest first, `logs` what attempts printed last.
 * - `watch` gives progress, at most every 100 ms (an option), and ends when the job is completed, failed, cancelled, or
 *   paused while one watches.
 * - `cancel` stops the job and returns when nothing of it is left; a job that has ended stays as it ended.
 * - `pause` does the same to a job that is running, so that it can be run on; any other job stays as it is. With the
 *   mode `drain`, attempts that run are waited for, and so is the final file where no chunk is left.
 * - `delete` removes a job: cancels it where it is running, then removes its attempts and outputs, here and in the
 *   storage, then its journal. Its final file stays.
 * - `fullLog` gives all that an attempt elsewhere printed, where the worker sent it to the storage. It is there
 *   while the job runs, and longer with `artifacts: { keep: true }`.
 */
export class JobManager extends Context.Service<
  JobManager,
  {
    readonly create: (
      spec: unknown,
      options?: { readonly id?: string | undefined }
    ) => Effect.Effect<JobState, JobError>
    readonly run: (jobId: string, options?: RunOptions) => Effect.Effect<JobState, JobError>
    readonly resume: (jobId: string, options?: RunOptions) => Effect.Effect<JobState, JobError>
    readonly start: (jobId: string, options?: RunOptions) => Effect.Effect<void, JobError>
    readonly recover: (options?: JobRecovery.Options) => Effect.Effect<ReadonlyArray<JobRecovery.Recovered>, JobError>
    readonly get: (jobId: string) => Effect.Effect<JobState, JobError>
    readonly list: (options?: {
      readonly status?: ReadonlyArray<JobStatus> | undefined
    }) => Stream.Stream<JobSummary, RepositoryError>
    readonly logs: (jobId: string) => Stream.Stream<AttemptLog, JobError>
    readonly watch: (
      jobId: string,
      options?: { readonly every?: Duration.Input | undefined }
    ) => Stream.Stream<Progress.JobProgress, JobError>
    readonly cancel: (
      jobId: string,
      options?: { readonly by?: string | undefined }
    ) => Effect.Effect<JobState, JobError>
    readonly pause: (
      jobId: string,
      options?: { readonly mode?: "drain" | "interrupt" | undefined }
    ) => Effect.Effect<JobState, JobError>
    readonly delete: (
      jobId: string,
      /** Where its files and artifacts are, if not where the manager's own are. */
      options?: Pick<RunOptions, "workspace" | "storage">
    ) => Effect.Effect<void, JobError>
    readonly fullLog: (
      jobId: string,
      attempt: Pick<AttemptLog, "run" | "chunkId" | "attempt">
    ) => Stream.Stream<Uint8Array, JobError>
  }
>()("@helios-infra/core/JobManager") {}

/** Frames that a running attempt has told. */
interface FramesDone {
  readonly jobId: string
  readonly run: number
  readonly chunkId: number
  readonly attempt: number
  readonly done: number
}

/** What sets one way to run a job apart from another. */
interface How {
  readonly evenCancelled?: boolean
  readonly onStarted?: Effect.Effect<unknown>
}

/** How many signals a slow watcher may miss before the oldest are dropped. */
const signalCapacity = 1024

/** How long an adapter may take to end what a dead process left. */
const reapTimeout = Duration.seconds(60)

/** Marks the log entries of what is done with a job. */
const marked = (jobId: string) => Effect.annotateLogs(annotations.job, jobId)

/** How often `watch` gives progress when nobody says. */
const watchInterval = Duration.millis(100)

const make = Effect.gen(function* () {
  const repository = yield* JobRepository
  const services = yield* Effect.context<WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace>()
  const stitcher = Option.getOrUndefined(yield* Effect.serviceOption(VideoStitcher.VideoStitcher))
  const storage = Option.getOrUndefined(yield* Effect.serviceOption(ArtifactStorage))
  const defaults = yield* RunDefaults
  const scope = yield* Effect.scope
  const signals = yield* PubSub.sliding<FramesDone>(signalCapacity)
  /** The runs that are under way here; each is done when nothing of it is left. */
  const active = new Map<string, Deferred.Deferred<void>>()

  const failing =
    (jobId: string) =>
    (reason: JobReason): JobError =>
      new JobError({ jobId, reason })

  const { follow, read } = JobJournal.make(repository)
  const { end, settle } = JobEnding.make(repository, active)

  const create: JobManager["Service"]["create"] = Effect.fn("JobManager.create")(function* (input, options = {}) {
    const spec = yield* JobSpec.decode(input).pipe(Effect.mapError((reason) => new JobError({ reason })))
    const jobId = options.id ?? spec.id ?? (yield* newId)
    if (!Schema.is(JobSpec.JobId)(jobId)) {
      const fix = `a job's id has 1 to 200 characters, none of them a control character: ${JSON.stringify(jobId)} has not`
      return yield* new JobError({ reason: new InvalidRequest({ fix }) })
    }
    return yield* repository
      .create(jobId, { _tag: "JobCreated", version: 1, spec })
      .pipe(Effect.andThen(read(jobId)), Effect.mapError(failing(jobId)))
  })

  /** The services of one run: the manager's own, but for those that were given; with a storage around them. */
  const servicesOf = Effect.fnUntraced(function* (
    { id, spec }: JobState,
    options: RunOptions
  ): Effect.fn.Return<JobArtifacts.Services & Partial<JobArtifacts.StoredJob>> {
    const given = {
      workerAdapter: options.workerAdapter ?? Context.get(services, WorkerAdapter.WorkerAdapter),
      outputCheck: options.outputCheck ?? Context.get(services, OutputCheck.OutputCheck),
      workspace: options.workspace ?? Context.get(services, Workspace.Workspace),
      stitcher: options.stitcher ?? stitcher
    }
    const store = options.storage ?? storage
    return store === undefined ? given : yield* JobArtifacts.make(store, { id, spec }, given, options.artifacts)
  })

  const execute = Effect.fnUntraced(function* (jobId: string, options: RunOptions, how: How = {}) {
    const { apply, openAttempts, readOn } = follow(jobId)
    const before = yield* readOn
    if (before.status === "completed") return before
    const ended = Deferred.makeUnsafe<void>()
    yield* Effect.addFinalizer(() => {
      if (active.get(jobId) === ended) active.delete(jobId)
      return Deferred.succeed(ended, undefined)
    })
    const writer = yield* repository.openWriter(jobId, { takeOver: options.takeOver ?? "if-dead" })
    active.set(jobId, ended)
    // Looked at again: from here on nobody else writes.
    const job = yield* readOn
    if (job.status === "completed") return job
    if (job.status === "cancelled" && how.evenCancelled !== true) return yield* new JobCancelled()
    const { fence, outputCheck, stitcher, upload, workerAdapter, workspace } = yield* servicesOf(job, options)
    const makesFile = stitcher !== undefined || job.spec.mergeCommand !== undefined
    const target = makesFile ? job.target : undefined
    const left = openAttempts()
    // What a run that ended could not stop stands in its own end.
    const cleanUp =
      job.status === "running"
        ? Effect.andThen(fence?.(left) ?? Effect.void, reapAll(workerAdapter, options.mergeAdapter, jobId, left))
        : Effect.succeed([])
    yield* JobExecutor.run({
      job,
      apply,
      writer,
      options: {
        ...options,
        outputFile: options.outputFile ?? target?.outputFile,
        container: options.container ?? target?.container
      },
      stitcher,
      prepare: Effect.tap(cleanUp, () => upload ?? Effect.void),
      requests: requestsOf(jobId, writer.run),
      onStarted: how.onStarted,
      onSignal: (chunkId, attempt, signal) => {
        if (signal._tag === "Frames") {
          PubSub.publishUnsafe(signals, { jobId, run: writer.run, chunkId, attempt, done: signal.done })
        }
      }
    }).pipe(
      Effect.provideService(WorkerAdapter.WorkerAdapter, workerAdapter),
      Effect.provideService(OutputCheck.OutputCheck, outputCheck),
      Effect.provideService(Workspace.Workspace, workspace)
    )
    return job
  }, Effect.scoped)

  /**
   * What is asked of a run. Without its requests a run can still finish; but where they end because a later run has
   * begun, it must not.
   */
  const requestsOf = (jobId: string, run: number): Stream.Stream<JobRequest, RepositoryError> =>
    repository.requests(jobId).pipe(
      Stream.catch((error) =>
        Stream.unwrap(
          Effect.as(
            Effect.logWarning(`requests to job ${jobId} are not heard any more: ${error.message}`),
            Stream.never
          )
        )
      ),
      Stream.concat(
        repository.guarantees.fencing
          ? Stream.fail(new RepositoryError({ jobId, reason: new Fenced({ run }) }))
          : Stream.never
      )
    )

  /** Ends what a dead process left of a job; gives what could not be ended. */
  const reap = (
    adapter: WorkerAdapter.WorkerAdapter["Service"],
    jobId: string,
    handles: ReadonlyArray<string>
  ): Effect.Effect<ReadonlyArray<string>> =>
    adapter.reap(jobId, handles).pipe(
      Effect.map(({ leftover }) => leftover),
      Effect.timeout(reapTimeout),
      Effect.catchCause((cause) =>
        Effect.as(Effect.logWarning(`what an earlier run of job ${jobId} left may still run`, cause), [
          "what an earlier run left could not be looked for, and may still run"
        ])
      )
    )

  /** Of both adapters. What a merge command runs as is in no journal: its adapter finds what it can by the job's id. */
  const reapAll = (
    adapter: WorkerAdapter.WorkerAdapter["Service"],
    mergeAdapter: WorkerAdapter.WorkerAdapter["Service"] | undefined,
    jobId: string,
    left: ReadonlyArray<OpenAttempt>
  ): Effect.Effect<ReadonlyArray<string>> =>
    Effect.zipWith(
      reap(adapter, jobId, left.map(({ handle }) => handle).filter(Predicate.isNotUndefined)),
      mergeAdapter === undefined ? Effect.succeed([]) : reap(mergeAdapter, jobId, []),
      (chunks, merge) => [...chunks, ...merge]
    )

  const completed = (options: RunOptions): RunOptions => {
    const left = Struct.keys(options).filter((key) => options[key] === undefined)
    return { ...defaults, ...Struct.omit(options, left) }
  }

  const runJob = (jobId: string, options: RunOptions, how?: How) =>
    execute(jobId, completed(options), how).pipe(
      Effect.mapError((error) => (error._tag === "JobError" ? error : failing(jobId)(error))),
      marked(jobId)
    )

  const run: JobManager["Service"]["run"] = Effect.fn("JobManager.run")((jobId, options = {}) => runJob(jobId, options))

  const resume: JobManager["Service"]["resume"] = Effect.fn("JobManager.resume")((jobId, options = {}) =>
    runJob(jobId, options, { evenCancelled: true })
  )

  const start: JobManager["Service"]["start"] = Effect.fn("JobManager.start")(function* (jobId, options = {}) {
    const begun = yield* Deferred.make<void, JobError>()
    const running = yield* runJob(jobId, options, { onStarted: Deferred.succeed(begun, undefined) }).pipe(
      // Any other failure stands in the job's journal.
      Effect.tapError((error) =>
        error.reason._tag === "RepositoryError" ? Effect.logWarning(error.message) : Effect.void
      ),
      marked(jobId),
      Effect.forkIn(scope)
    )
    yield* Effect.raceFirst(Deferred.await(begun), Fiber.join(running))
  })

  const get: JobManager["Service"]["get"] = Effect.fn("JobManager.get")((jobId) =>
    Effect.mapError(read(jobId), failing(jobId))
  )

  const recover: JobManager["Service"]["recover"] = Effect.fn("JobManager.recover")(
    JobRecovery.make({
      list: Stream.filter(repository.list({ status: ["running"] }), ({ id }) => !active.has(id)),
      get,
      start,
      settle: (jobId, how, options) => Effect.mapError(settle(jobId, how, options), failing(jobId))
    })
  )

  const logs: JobManager["Service"]["logs"] = (jobId) =>
    repository.read(jobId).pipe(
      Stream.map(attemptLog),
      Stream.filter((log) => log !== undefined),
      Stream.mapError(failing(jobId))
    )

  const watch: JobManager["Service"]["watch"] = (jobId, options = {}) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const told = Stream.fromSubscription(yield* PubSub.subscribe(signals)).pipe(
          Stream.filter((frames) => frames.jobId === jobId)
        )
        const state = yield* read(jobId)
        const tracker = Progress.make(jobId, state.spec)
        let revision = 0
        const snapshot = Effect.map(Clock.currentTimeMillis, tracker.snapshot)
        const take = (item: JobRecord | FramesDone): void => {
          if ("event" in item) {
            revision = item.revision
            tracker.apply(item)
          } else {
            tracker.framesDone(item)
          }
        }
        yield* Stream.runForEachArray(repository.read(jobId), (records) => Effect.sync(() => records.forEach(take)))
        const seen = revision
        const news = repository.changes(jobId, seen).pipe(
          Stream.merge(told, { haltStrategy: "left" }),
          Stream.groupedWithin(signalCapacity, options.every ?? watchInterval),
          Stream.mapEffect((items) =>
            Effect.andThen(
              Effect.sync(() => items.forEach(take)),
              snapshot
            )
          )
        )
        return Stream.concat(Stream.fromEffect(snapshot), news).pipe(
          Stream.takeUntil(({ status }) => hasEnded(status) || (status === "paused" && revision > seen))
        )
      })
    ).pipe(Stream.mapError(failing(jobId)))

  const cancel: JobManager["Service"]["cancel"] = Effect.fn("JobManager.cancel")(
    function* (jobId: string, options: { readonly by?: string | undefined } = {}) {
      const state = yield* read(jobId)
      if (hasEnded(state.status)) return state
      yield* end(jobId, state.revision, { _tag: "Cancel", by: options.by ?? "JobManager.cancel" })
      return yield* read(jobId)
    },
    (effect, jobId) => effect.pipe(Effect.mapError(failing(jobId)), marked(jobId))
  )

  const pause: JobManager["Service"]["pause"] = Effect.fn("JobManager.pause")(
    function* (jobId: string, { mode = "interrupt" }: { readonly mode?: "drain" | "interrupt" | undefined } = {}) {
      const state = yield* read(jobId)
      if (state.status !== "running") return state
      yield* end(jobId, state.revision, { _tag: "Pause", mode })
      return yield* read(jobId)
    },
    (effect, jobId) => effect.pipe(Effect.mapError(failing(jobId)), marked(jobId))
  )

  const stopBeforeDelete = Effect.fnUntraced(function* (jobId: string) {
    const state = yield* read(jobId)
    if (state.status === "running") yield* end(jobId, state.revision, { _tag: "Cancel", by: "JobManager.delete" })
  })

  const remove: JobManager["Service"]["delete"] = Effect.fn("JobManager.delete")(
    function* (jobId: string, options: Pick<RunOptions, "workspace" | "storage"> = {}) {
      yield* stopBeforeDelete(jobId).pipe(
        // What cannot be read has no run either.
        Effect.catchReason("RepositoryError", "Corrupt", () => Effect.void),
        Effect.mapError(failing(jobId))
      )
      const workspace = options.workspace ?? Context.get(services, Workspace.Workspace)
      const store = options.storage ?? storage
      // As long as this holds the job nobody begins a run of it, which would find that its outputs are gone.
      const hold = repository
        .openWriter(jobId, { takeOver: "if-dead" })
        .pipe(Effect.catchReason("RepositoryError", "Corrupt", () => Effect.void))
      yield* Effect.andThen(hold, workspace.remove(jobId, [])).pipe(
        Effect.andThen(store === undefined ? Effect.void : JobArtifacts.remove(store, jobId)),
        Effect.scoped,
        // Last: as long as the journal is there, it can be tried again.
        Effect.andThen(repository.delete(jobId)),
        Effect.mapError(failing(jobId))
      )
    },
    (effect, jobId) => marked(jobId)(effect)
  )

  const fullLog: JobManager["Service"]["fullLog"] = (jobId, { attempt, chunkId, run }) =>
    (storage === undefined
      ? Stream.fail(new InvalidRequest({ fix: "there is no storage that could hold logs: give the manager one" }))
      : storage.get(ArtifactLayout.logKey({ jobId, run, chunkId, attempt }))
    ).pipe(Stream.mapError(failing(jobId)))

  return JobManager.of({
    create,
    run,
    resume,
    start,
    recover,
    get,
    list: (options) => repository.list(options),
    logs,
    watch,
    cancel,
    pause,
    delete: remove,
    fullLog
  })
})

/** Manages jobs with the services given. A `VideoStitcher` is used where there is one. */
export const layer: Layer.Layer<
  JobManager,
  never,
  JobRepository | WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace
> = Layer.effect(JobManager, make)

const attemptLog = ({ at, event, run }: JobRecord): AttemptLog | undefined => {
  if (event._tag !== "AttemptEnded" && event._tag !== "ChunkAccepted") return undefined
  const outcome = event._tag === "ChunkAccepted" ? "accepted" : event.how
  return { run, chunkId: event.chunk, attempt: event.attempt, at, outcome, log: event.log ?? "" }
}

/** Sortable by time, and unlike any other: 36 bits of time in milliseconds, 50 of chance. */
const newId: Effect.Effect<string> = Effect.gen(function* () {
  const now = yield* Clock.currentTimeMillis
  const chance = yield* Random.nextIntBetween(0, 2 ** 50)
  return `job-${now.toString(36).padStart(9, "0")}-${chance.toString(36).padStart(10, "0")}`
})
