/**
 * One run of a job, from its first attempt to the final file.
 *
 * ```
 * chunks ─▶ ChunkScheduler ─events─▶ journal (one append for all that is pending)
 *                                       │ when it returns, chunks are accepted
 *                                       ▼
 *                                 AcceptedPrefix ─read by─▶ VideoStitcher ─▶ staged file ─publish─▶ final file
 * ```
 *
 * The executor drives the scheduler; the stitcher only reads. Whatever ends the run (done, failed, stopped,
 * interrupted), attempts and stitcher are stopped first, then the journal gets what is left to say, then the run's end.
 * That part is not interruptible and bounded in time.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ChunkIndex from "./internal/ChunkIndex.ts"
import * as Defect from "./internal/Defect.ts"
import * as JobEnding from "./internal/JobEnding.ts"
import * as RunTelemetry from "./internal/RunTelemetry.ts"
import * as AcceptedPrefix from "./AcceptedPrefix.ts"
import * as ChunkScheduler from "./ChunkScheduler.ts"
import * as FrameRate from "./FrameRate.ts"
import { InvalidRequest, JobCancelled, JobError, JobPaused, type JobReason } from "./JobError.ts"
import type { ErrorSummary, JobEvent, RunOutcome } from "./JobEvent.ts"
import { type JobRequest, type JobWriter, RepositoryError, Unavailable } from "./JobRepository.ts"
import * as JobSpec from "./JobSpec.ts"
import type { JobFold, JobState } from "./JobState.ts"
import * as OutputCheck from "./OutputCheck.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import { annotations, attributes, spans, withSpan } from "./Telemetry.ts"
import * as TraceContext from "./TraceContext.ts"
import * as VideoFormat from "./VideoFormat.ts"
import { type ChunkOutput, InputsNotConsumed, StitchError, type VideoStitcher } from "./VideoStitcher.ts"
import type { OutputRef, WorkerJob, WorkerSignal } from "./WorkerAdapter.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { TimedOut, type WorkerError, WorkerLost, type WorkerReason } from "./WorkerError.ts"
import * as Workspace from "./Workspace.ts"

/** How a job is run. */
export interface Options extends RetryPolicy.RetryPolicy {
  /** The final file, meant from the job's folder unless it is absolute. A stitcher needs one. */
  readonly outputFile?: string | undefined
  /** The final file's container as the stitcher knows it. Default: the file's extension says. */
  readonly container?: string | undefined
  /** How many attempts at once. Default: what suits the adapter; never more than it can take. */
  readonly concurrency?: number | undefined
  /** Variables for the commands, beside those that the adapter lets through. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Where the job file's merge command runs. Default: where chunks do. Not used when there is a stitcher. */
  readonly mergeAdapter?: WorkerAdapter.WorkerAdapter["Service"] | undefined
}

/** One run: the job as it stands, the right to write it, and how to run it. */
export interface Run {
  readonly job: JobState
  /** Brings `job` up to date with a record of the run. */
  readonly apply: JobFold["apply"]
  readonly writer: JobWriter
  readonly options: Options
  /** What makes one file of the chunks. Without one the merge command does, or the chunks are the result. */
  readonly stitcher: VideoStitcher["Service"] | undefined
  /** Done before the first attempt; gives what is left of earlier runs and could not be ended. */
  readonly prepare?: Effect.Effect<ReadonlyArray<string>, JobReason> | undefined
  /** What others ask of the run; fails when it is nobody's to go on with any more. */
  readonly requests: Stream.Stream<JobRequest, RepositoryError>
  /** Done once the run stands in the journal; what is wrong with the options is known by then. */
  readonly onStarted?: Effect.Effect<unknown> | undefined
  /** Told of everything that attempts say while they run; must not throw. */
  readonly onSignal?: ChunkScheduler.Options["onSignal"] | undefined
}

/** How long attempts and stitcher may take to stop before the run ends without them and says so. */
const stopTimeout = Duration.seconds(60)

/** How long the journal may take for the wish that a run should end, before it is obeyed all the same. */
const wishAppendTimeout = Duration.seconds(1)

/** How many outputs of earlier runs are looked for at once. */
const looksAtOnce = 16

/** How long the journal may take for the end of a run. */
const lastAppendTimeout = Duration.seconds(10)

/** How long the final file may take to get onto the disk and its name. */
const publishTimeout = Duration.minutes(10)

/** What makes the final file. */
interface Finish {
  /** Goes on beside the rendering; done when the file is whole. */
  readonly make: Effect.Effect<void, JobReason>
  /** Puts the file in place. */
  readonly publish: Effect.Effect<{ readonly outputFile?: string; readonly bytes?: number } | undefined, JobReason>
}

/**
 * Runs a job to its end.
 *
 * Fails with a `JobError` whose reason is `ChunkFailed`, `StitchError`, `WorkerError` (the merge command's),
 * `WorkspaceError`, `RepositoryError`, `JobCancelled`, `JobPaused` or `InvalidRequest`. Interruption ends the run as
 * paused. When it returns, whichever way, nothing of the run is under way any more; what could not be stopped stands
 * in the job's `leftover`.
 */
export const run: (
  request: Run
) => Effect.Effect<void, JobError, WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace> =
  Effect.fnUntraced(function* (request) {
    const { info } = yield* WorkerAdapter.WorkerAdapter
    const id = { job: request.job, run: request.writer.run }
    yield* execute(request).pipe(RunTelemetry.within(id, info.name, outcome))
  })

const execute = Effect.fnUntraced(function* (
  request: Run
): Effect.fn.Return<void, JobError, WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace> {
  const { job, options, writer } = request
  const workspace = yield* Workspace.Workspace
  const chunks = JobSpec.chunksInOrder(job.spec)
  /** Chunks that earlier runs accepted, and whose outputs nobody has looked at in this one. */
  const unseen = new Map<number, JobSpec.Chunk>()
  const indexOf = ChunkIndex.make(job.chunks)
  const prefix = AcceptedPrefix.make(chunks.length, acceptedOutputs(job, chunks, unseen))
  const kept: Array<string> = []
  const leftover: Array<string> = []
  let format = JobSpec.format(job.spec)
  const clock = yield* Clock.Clock
  let lastAcceptedAt: number | undefined

  for (const chunk of chunks) {
    const { output } = job.chunks[indexOf(chunk.id)] ?? {}
    if (output === undefined) continue
    unseen.set(chunk.id, chunk)
    kept.push(output.location)
    if (output.format !== undefined) format = VideoFormat.complete(format, output.format)
  }
  const open = chunks.filter(({ id }) => !unseen.has(id))

  const append = (events: ReadonlyArray<JobEvent>) =>
    Effect.map(writer.append(events), (records) => records.forEach(request.apply))

  /** Done when what is open has begun: looking at what is not comes second. */
  const begun = Deferred.makeUnsafe<void>()
  if (open.length === 0) Deferred.doneUnsafe(begun, Effect.void)

  const commit = Effect.fnUntraced(function* (events: ReadonlyArray<ChunkScheduler.ChunkEvent>) {
    Deferred.doneUnsafe(begun, Effect.void)
    // Before the append: one that fails may have been written after all.
    const before = kept.length
    for (const event of events) if (event._tag === "ChunkAccepted") kept.push(event.output.location)
    yield* append(events)
    if (kept.length > before) lastAcceptedAt = clock.currentTimeMillisUnsafe()
    prefix.grow()
  })

  const notStopped = (attempt: string, signal: WorkerSignal): void => {
    if (signal._tag === "NotStopped") leftover.push(`${attempt}: ${signal.detail}`)
  }

  /** Looks whether outputs of earlier runs are still there, and opens the chunks of those that are not again. */
  const lookForOutputs = (reopened: Queue.Queue<JobSpec.Chunk, Cause.Done>) =>
    Effect.forEach(
      [...unseen.values()],
      Effect.fnUntraced(function* (chunk) {
        const { acceptedBy, output } = job.chunks[indexOf(chunk.id)] ?? {}
        const found = yield* lookFor(workspace, output)
        if (found === undefined) {
          unseen.delete(chunk.id)
          return prefix.grow()
        }
        yield* append([{ _tag: "OutputLost", chunk: chunk.id, attempt: acceptedBy?.attempt ?? 1, found }])
        unseen.delete(chunk.id)
        yield* Queue.offer(reopened, chunk)
      }),
      { concurrency: looksAtOnce, discard: true }
    ).pipe(Effect.ensuring(Queue.end(reopened)))

  const halt = Deferred.makeUnsafe<void>()
  const drain = Deferred.makeUnsafe<void>()
  const schedule = (reopened: Queue.Queue<JobSpec.Chunk, Cause.Done>) =>
    ChunkScheduler.run(open, {
      ...options,
      jobId: job.id,
      run: writer.run,
      format,
      later: { chunks: Stream.fromQueue(reopened), most: unseen.size },
      drain: Deferred.await(drain),
      halt: Deferred.await(halt),
      onSignal: (chunkId, attempt, signal) => {
        notStopped(`chunk ${chunkId}, attempt ${attempt}`, signal)
        request.onSignal?.(chunkId, attempt, signal)
      }
    }).pipe(Stream.runForEachArray(commit))

  const render = Effect.gen(function* () {
    const reopened = yield* Queue.unbounded<JobSpec.Chunk, Cause.Done>()
    const looking = Effect.raceFirst(
      Effect.andThen(Deferred.await(begun), lookForOutputs(reopened)),
      Deferred.await(halt)
    )
    // Drained before anything began, nothing will: whoever waits for that waits no longer.
    const scheduling = Effect.ensuring(schedule(reopened), Deferred.succeed(begun, undefined))
    yield* Effect.all([scheduling, looking], { concurrency: "unbounded", discard: true })
    // Drained with chunks left over; one that has them all goes on to the final file.
    if (job.chunks.some(({ status }) => status !== "accepted")) return yield* new JobPaused()
  })

  /** Waits for what was told to stop, but not for ever. */
  const settled = Effect.fnUntraced(function* (fiber: Fiber.Fiber<unknown, unknown>, what: string) {
    const inTime = yield* Effect.raceFirst(
      Effect.as(Fiber.await(fiber), true),
      Effect.as(Effect.sleep(stopTimeout), false)
    )
    if (inTime) return
    fiber.interruptUnsafe()
    leftover.push(`${what} had not stopped ${Duration.format(stopTimeout)} after being told to`)
  })

  const conduct = Effect.fnUntraced(function* (
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    const traceparent = yield* RunTelemetry.traceparent
    const finish = yield* restore(makeFinish(request, chunks, prefix, notStopped, () => lastAcceptedAt))
    const stopping: Array<Effect.Effect<void>> = []
    // Fibers of their own: who ends this run tells them to stop, and does not wait for them for ever.
    const begin = Effect.uninterruptible(
      Effect.gen(function* () {
        const rendering = yield* Effect.forkDetach(render)
        const finishing = yield* Effect.forkDetach(finish.make)
        stopping.push(
          Effect.andThen(Deferred.succeed(halt, undefined), settled(rendering, "attempts, or the journal,")),
          Effect.suspend(() => {
            finishing.interruptUnsafe()
            return settled(finishing, "the stitcher")
          })
        )
        return [Fiber.join(rendering), Fiber.join(finishing)]
      })
    )
    const { container, outputFile } = options
    const asked = {
      ...(outputFile === undefined ? undefined : { outputFile }),
      ...(container === undefined ? undefined : { container }),
      ...(traceparent === undefined ? undefined : { traceparent })
    }
    // Goes on when the run is stopped; whatever else is to be recorded comes after it.
    const starting = yield* Effect.forkDetach(
      append([{ _tag: "RunStarted", run: writer.run, owner: writer.owner, ...asked }])
    )
    const appendLater = (events: ReadonlyArray<JobEvent>) => Effect.andThen(Fiber.await(starting), append(events))
    const work = Fiber.join(starting).pipe(
      Effect.andThen(request.onStarted ?? Effect.void),
      Effect.andThen(request.prepare ?? Effect.succeed([])),
      Effect.tap((left) => Effect.sync(() => leftover.push(...left))),
      Effect.andThen(begin),
      Effect.flatMap((joins) => Effect.all(joins, { concurrency: "unbounded", discard: true }))
    )
    const obey = Effect.fnUntraced(function* (wish: JobRequest) {
      const how = JobEnding.outcomeOf(wish)
      // On record first: should this process die before the run has ended, nobody runs it on unasked.
      yield* appendLater([{ _tag: "StopRequested", how }]).pipe(Effect.timeout(wishAppendTimeout), Effect.ignore)
      if (how === "cancelled") return yield* new JobCancelled()
      if (wish._tag === "Pause" && wish.mode === "drain") return yield* Deferred.succeed(drain, undefined)
      return yield* new JobPaused()
    })
    const wish = Effect.andThen(Stream.runForEach(request.requests, obey), Effect.never)
    const exit = yield* restore(Effect.raceFirst(work, wish)).pipe(
      // From here on the job is done: to stop it now would only throw away what was paid for.
      Effect.andThen(within(finish.publish, publishTimeout, tooLate(job.id, "the final file"))),
      Effect.exit
    )
    const conclude = (events: ReadonlyArray<JobEvent>) =>
      within(appendLater(events), lastAppendTimeout, tooLate(job.id, "the journal"))
    const remove = (keep: ReadonlyArray<string>) =>
      within(workspace.remove(job.id, keep), stopTimeout, tooLate(job.id, "the workspace")).pipe(
        Effect.catchCause((cause) => Effect.logWarning(`attempts of job ${job.id} could not be removed`, cause))
      )
    if (Exit.isSuccess(exit)) {
      const stitched: ReadonlyArray<JobEvent> = exit.value === undefined ? [] : [{ _tag: "Stitched", ...exit.value }]
      yield* conclude([...stitched, { _tag: "RunEnded", run: writer.run, how: "completed", leftover }])
      yield* remove([])
      return
    }

    yield* Effect.all(stopping, { concurrency: "unbounded", discard: true })
    const how = outcome(exit.cause)
    const error = how === "failed" ? { error: summary(exit.cause) } : undefined
    yield* conclude([{ _tag: "RunEnded", run: writer.run, how, ...error, leftover }]).pipe(
      // Who cannot write the job's journal any more leaves its files alone: they may be somebody else's by now.
      Effect.andThen(remove(kept)),
      Effect.catchCause((cause) =>
        Effect.logWarning(`the end of run ${writer.run} of job ${job.id} is not recorded`, cause)
      )
    )
    return yield* Effect.failCause(exit.cause)
  })

  return yield* Effect.uninterruptibleMask(conduct).pipe(
    Effect.scoped,
    Effect.mapError((reason) => new JobError({ jobId: job.id, reason }))
  )
})

/** Runs what must not hold up the end of a run for ever. */
const within = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  limit: Duration.Duration,
  late: E2
): Effect.Effect<A, E | E2, R> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Effect.raceFirst(Fiber.await(fiber), Effect.as(Effect.sleep(limit), Exit.fail(late))).pipe(
      Effect.flatMap((exit: Exit.Exit<A, E | E2>) => {
        fiber.interruptUnsafe()
        return exit
      })
    )
  )

const tooLate = (jobId: string, what: string): RepositoryError =>
  new RepositoryError({ jobId, reason: new Unavailable({ cause: new Error(`${what} gave no answer in time`) }) })

const outcome = (cause: Cause.Cause<JobReason>): RunOutcome => {
  if (Cause.hasInterruptsOnly(cause)) return "paused"
  const reason = Option.getOrUndefined(Cause.findErrorOption(cause))
  return reason?._tag === "JobCancelled" ? "cancelled" : reason?._tag === "JobPaused" ? "paused" : "failed"
}

const summary = (cause: Cause.Cause<JobReason>): ErrorSummary => {
  const reason = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (reason === undefined) return { _tag: "Defect", message: Cause.pretty(cause) }
  const chunkId = "chunkId" in reason ? reason.chunkId : undefined
  return { _tag: reason._tag, message: reason.message, ...(chunkId === undefined ? undefined : { chunkId }) }
}

/** What is wrong with an output of an earlier run, in words; `undefined` where it is there, or nobody can tell. */
const lookFor = (
  workspace: Workspace.Workspace["Service"],
  output: OutputRef | undefined
): Effect.Effect<string | undefined> =>
  output === undefined
    ? Effect.succeed("nothing")
    : workspace.stat(output).pipe(
        Effect.map(
          Option.match({
            onNone: () => "no file",
            onSome: ({ bytes }) => (output.bytes === 0 || output.bytes === bytes ? undefined : `${bytes} bytes`)
          })
        ),
        Effect.catch((error) =>
          error.reason === "NotFound" || error.reason === "Outside"
            ? Effect.succeed(error.message)
            : Effect.as(Effect.logWarning(`an accepted output could not be looked for`, error), undefined)
        )
      )

/** What is accepted of a job and was seen to be there, by the chunks' places in frame order. */
const acceptedOutputs = (
  { chunks: states, spec }: JobState,
  chunks: ReadonlyArray<JobSpec.Chunk>,
  unseen: ReadonlyMap<number, unknown>
) => {
  const indexOf = ChunkIndex.make(spec.chunks)
  return (index: number): ChunkOutput | undefined => {
    const chunk = chunks[index]
    if (chunk === undefined || unseen.has(chunk.id)) return undefined
    const { acceptedBy, attempts, output } = states[indexOf(chunk.id)] ?? {}
    if (acceptedBy === undefined || output === undefined) return undefined
    return { ...output, ...acceptedBy, index, chunkId: chunk.id, attempts, frameCount: chunk.frameCount }
  }
}

/** By the stitcher, where there is one; else by the job file's merge command; else the chunks are the result. */
const makeFinish = Effect.fnUntraced(function* (
  { job, options, stitcher, writer }: Run,
  chunks: ReadonlyArray<JobSpec.Chunk>,
  prefix: AcceptedPrefix.AcceptedPrefix,
  notStopped: (attempt: string, signal: WorkerSignal) => void,
  lastAcceptedAt: () => number | undefined
): Effect.fn.Return<
  Finish,
  JobReason,
  WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace | Scope.Scope
> {
  const workspace = yield* Workspace.Workspace
  const { outputFile } = options
  const { mergeCommand, metadata } = job.spec
  const total = chunks.length
  const wrong = invalid(options)
  if (wrong !== undefined) return yield* new InvalidRequest({ fix: wrong })

  if (stitcher !== undefined) {
    if (outputFile === undefined) {
      return yield* new InvalidRequest({ fix: "a stitcher needs an outputFile: say where the final file goes" })
    }
    const staged = yield* workspace.stage(job.id, outputFile)
    const stitching = Effect.suspend(() =>
      stitcher.stitch({
        inputs: prefix.outputs,
        total,
        frames: metadata.totalFrames,
        frameCounts: chunks.map(({ frameCount }) => frameCount),
        fps: FrameRate.format(JobSpec.frameRate(job.spec)),
        output: staged.path,
        format: options.container
      })
    )
    const consumed = Effect.suspend(() =>
      prefix.read() === total
        ? Effect.void
        : Effect.fail(new StitchError({ reason: new InputsNotConsumed({ read: prefix.read(), total }) }))
    )
    const make = Effect.andThen(stitching, consumed).pipe(
      RunTelemetry.stitching({ job, run: writer.run }, "stitcher", lastAcceptedAt)
    )
    return { make, publish: publish(staged) }
  }

  const publishChunks = Stream.runForEach(prefix.outputs, (output) =>
    workspace.publish(output, chunks[output.index]?.outputFile ?? output.location)
  )
  if (mergeCommand === undefined) {
    if (outputFile !== undefined) {
      const fix = `nothing makes one file of the chunks: give a stitcher, or a job file with a mergeCommand, or no outputFile`
      return yield* new InvalidRequest({ fix })
    }
    return { make: publishChunks, publish: Effect.undefined }
  }

  const adapter = options.mergeAdapter ?? (yield* WorkerAdapter.WorkerAdapter)
  const outputCheck = yield* OutputCheck.OutputCheck
  // A merge command that does not name the final file writes where it likes, and what it wrote is its own affair.
  const staged =
    outputFile !== undefined && WorkerAdapter.namesOutput(mergeCommand, outputFile)
      ? yield* workspace.stage(job.id, outputFile)
      : undefined
  const tries = RetryPolicy.makeTries()
  const limit = Duration.fromInputUnsafe(options.attemptTimeout ?? Infinity)
  const attemptMerge = Effect.fnUntraced(
    function* (attempt: number): Effect.fn.Return<void, WorkerError> {
      const mergeJob: WorkerJob = {
        id: `${job.id}/merge/${writer.run}.${attempt}`,
        command: mergeCommand,
        meta: {
          _tag: "Merge",
          jobId: job.id,
          run: writer.run,
          attempt,
          output: { _tag: "File", path: staged?.path ?? workspace.root },
          ...(yield* TraceContext.current)
        },
        cwd: workspace.root,
        ...(staged === undefined || outputFile === undefined ? undefined : { outputFile }),
        ...(options.env === undefined ? undefined : { env: options.env })
      }
      const failure = (reason: WorkerReason) => Effect.fail(WorkerAdapter.failure(adapter.info.name, mergeJob, reason))
      yield* Effect.suspend(() =>
        adapter.execute(mergeJob, (signal) => notStopped(`the merge command, attempt ${attempt}`, signal))
      ).pipe(
        Effect.tap((result) => (staged === undefined ? Effect.void : outputCheck.check(mergeJob, result))),
        Effect.catchDefect((defect) =>
          failure(new WorkerLost({ detail: `its adapter or its check threw: ${Defect.describe(defect)}` }))
        ),
        Effect.timeoutOrElse({
          duration: limit,
          orElse: () => failure(new TimedOut({ limit: "attempt", afterMs: Duration.toMillis(limit) }))
        })
      )
    },
    (attempting, attempt) =>
      attempting.pipe(
        withSpan(spans.attempt, {
          kind: adapter.info.where === "remote" ? "client" : "internal",
          attributes: {
            [attributes.jobId]: job.id,
            [attributes.run]: writer.run,
            [attributes.attempt]: attempt,
            [attributes.adapter]: adapter.info.name
          }
        }),
        Effect.annotateLogs(annotations.attempt, attempt)
      )
  )
  const merge = (attempt: number): Effect.Effect<void, WorkerError> =>
    Effect.catch(attemptMerge(attempt), (error) =>
      Effect.gen(function* () {
        const afterMs = yield* RetryPolicy.delayOf(options, tries, error.reason, yield* Clock.currentTimeMillis)
        if (afterMs === undefined) return yield* error
        yield* Effect.sleep(afterMs)
        yield* merge(attempt + 1)
      })
    )
  return {
    make: Effect.andThen(publishChunks, merge(1)).pipe(
      RunTelemetry.stitching({ job, run: writer.run }, "merge-command", lastAcceptedAt)
    ),
    publish: staged === undefined ? Effect.succeed({}) : publish(staged)
  }
})

/** What is wrong with the numbers in the options: `Number(undefined)` is one that TypeScript does not see. */
const invalid = (options: Options): string | undefined => {
  const whole = (name: "concurrency" | "retries", least: number) => {
    const value = options[name]
    if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return undefined
    return `${name} must be a whole number from ${least}, is ${value}`
  }
  const positive = (name: "attemptTimeout" | "stallTimeout" | "throttleTimeout") => {
    const value = options[name]
    if (value === undefined || Duration.toMillis(value) > 0) return undefined
    return `${name} must be more than 0: leave it out for no limit`
  }
  return (
    whole("concurrency", 1) ??
    whole("retries", 0) ??
    positive("attemptTimeout") ??
    positive("stallTimeout") ??
    positive("throttleTimeout")
  )
}

const publish = (staged: Workspace.StagedOutput) =>
  Effect.map(staged.publish, (published) => ({ outputFile: staged.finalPath, ...published }))
