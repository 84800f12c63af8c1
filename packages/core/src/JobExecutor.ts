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
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AcceptedPrefix from "./AcceptedPrefix.ts"
import * as ChunkScheduler from "./ChunkScheduler.ts"
import * as FrameRate from "./FrameRate.ts"
import { InvalidRequest, JobCancelled, JobError, JobPaused, type JobReason } from "./JobError.ts"
import type { ErrorSummary, JobEvent, RunOutcome } from "./JobEvent.ts"
import { type JobWriter, RepositoryError, Unavailable } from "./JobRepository.ts"
import * as JobSpec from "./JobSpec.ts"
import type { JobState } from "./JobState.ts"
import * as OutputCheck from "./OutputCheck.ts"
import * as VideoFormat from "./VideoFormat.ts"
import { type ChunkOutput, InputsNotConsumed, StitchError, VideoStitcher } from "./VideoStitcher.ts"
import type { OutputRef, WorkerJob } from "./WorkerAdapter.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { isRetryable, type WorkerError } from "./WorkerError.ts"
import * as Workspace from "./Workspace.ts"

/** How a job is run. */
export interface Options extends ChunkScheduler.RetryPolicy {
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
  readonly writer: JobWriter
  readonly options: Options
  /** Completes when somebody wants the run to stop. */
  readonly stop: Effect.Effect<"cancelled" | "paused">
  /** Done once the run stands in the journal; what is wrong with the options is known by then. */
  readonly onStarted?: Effect.Effect<unknown> | undefined
  /** Told of everything that attempts say while they run; must not throw. */
  readonly onSignal?: ChunkScheduler.Options["onSignal"] | undefined
}

/** How long attempts may take to stop before the run ends without them and says so. */
const stopTimeout = Duration.seconds(60)

/** How long the journal may take for the end of a run. */
const lastAppendTimeout = Duration.seconds(10)

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
export const run = Effect.fn("JobExecutor.run")(function* (
  request: Run
): Effect.fn.Return<void, JobError, WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace> {
  const { job, onSignal, options, stop, writer } = request
  const workspace = yield* Workspace.Workspace
  const chunks = JobSpec.chunksInOrder(job.spec)
  const outputOf = makeOutputOf(chunks)
  const prefix = AcceptedPrefix.make(chunks.length)
  const kept: Array<string> = []
  const leftover: Array<string> = []
  let format = JobSpec.format(job.spec)

  const accept = (chunkId: number, attempt: number, output: OutputRef): void => {
    kept.push(output.location)
    prefix.accept(outputOf(chunkId, attempt, output))
  }
  const open = new Set(job.chunks.map((chunk) => chunk.id))
  for (const { acceptedBy, id, output } of job.chunks) {
    if (output === undefined || acceptedBy === undefined) continue
    open.delete(id)
    accept(id, acceptedBy.attempt, output)
    format = VideoFormat.complete(format, output.format ?? {})
  }

  const commit = Effect.fnUntraced(function* (events: ReadonlyArray<ChunkScheduler.ChunkEvent>) {
    yield* writer.append(events)
    for (const event of events) {
      if (event._tag === "ChunkAccepted") accept(event.chunk, event.attempt, event.output)
      if (event._tag === "AttemptEnded" && event.detail !== undefined) {
        leftover.push(`chunk ${event.chunk}, attempt ${event.attempt}: ${event.detail}`)
      }
    }
  })

  /** The last words of a run. The journal may be what has failed, so nobody waits for it for ever. */
  const end = Effect.fnUntraced(function* (events: ReadonlyArray<JobEvent>) {
    const appending = yield* Effect.forkDetach(writer.append(events))
    const late = Effect.as(Effect.sleep(lastAppendTimeout), Exit.fail(journalLate(job.id)))
    const appended = yield* Effect.raceFirst(Fiber.await(appending), late)
    appending.interruptUnsafe()
    return yield* appended
  })

  const conduct = Effect.fnUntraced(function* (
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    const finish = yield* makeFinish(request, prefix)
    yield* writer.append([{ _tag: "RunStarted", run: writer.run, owner: writer.owner }])
    yield* request.onStarted ?? Effect.void
    const halt = Deferred.makeUnsafe<void>()
    const rendering = yield* ChunkScheduler.run(
      chunks.filter((chunk) => open.has(chunk.id)),
      {
        ...options,
        jobId: job.id,
        run: writer.run,
        format,
        halt: Deferred.await(halt),
        onSignal
      }
    ).pipe(Stream.runForEachArray(commit), Effect.forkDetach)

    const stopped = Effect.flatMap(stop, (how) =>
      Effect.fail(how === "cancelled" ? new JobCancelled() : new JobPaused())
    )
    const work = Effect.all([Fiber.join(rendering), finish.make], { concurrency: "unbounded", discard: true })
    const exit = yield* restore(Effect.raceFirst(work, stopped)).pipe(
      // From here on the job is done: to stop it now would only throw away what was paid for.
      Effect.andThen(finish.publish),
      Effect.exit
    )
    if (Exit.isSuccess(exit)) {
      const stitched: ReadonlyArray<JobEvent> = exit.value === undefined ? [] : [{ _tag: "Stitched", ...exit.value }]
      yield* end([...stitched, { _tag: "RunEnded", run: writer.run, how: "completed", leftover }])
      yield* Effect.ignore(workspace.remove(job.id, []), { log: "Warn" })
      return
    }

    yield* Deferred.succeed(halt, undefined)
    const inTime = yield* Effect.raceFirst(
      Effect.as(Fiber.await(rendering), true),
      Effect.as(Effect.sleep(stopTimeout), false)
    )
    if (!inTime) {
      rendering.interruptUnsafe()
      leftover.push(`attempts had not stopped ${Duration.format(stopTimeout)} after they were told to`)
    }
    yield* Effect.catch(workspace.remove(job.id, kept), (error) => Effect.sync(() => leftover.push(error.message)))
    const how = outcome(exit.cause)
    const error = how === "failed" ? { error: summary(exit.cause) } : undefined
    yield* Effect.ignore(end([{ _tag: "RunEnded", run: writer.run, how, ...error, leftover }]), { log: "Warn" })
    return yield* Effect.failCause(exit.cause)
  })

  return yield* Effect.uninterruptibleMask(conduct).pipe(
    Effect.scoped,
    Effect.mapError((reason) => new JobError({ jobId: job.id, reason }))
  )
})

const journalLate = (jobId: string): RepositoryError =>
  new RepositoryError({
    jobId,
    reason: new Unavailable({
      cause: new Error(`the journal gave no answer within ${Duration.format(lastAppendTimeout)}`)
    })
  })

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

const makeOutputOf = (chunks: ReadonlyArray<JobSpec.Chunk>) => {
  const places = new Map(chunks.map((chunk, index) => [chunk.id, { index, frameCount: chunk.frameCount }]))
  return (chunkId: number, attempt: number, output: OutputRef): ChunkOutput => ({
    index: 0,
    frameCount: 0,
    ...places.get(chunkId),
    ...output,
    chunkId,
    attempt
  })
}

/** By the stitcher, where there is one; else by the job file's merge command; else the chunks are the result. */
const makeFinish = Effect.fnUntraced(function* (
  { job, options, writer }: Run,
  prefix: AcceptedPrefix.AcceptedPrefix
): Effect.fn.Return<
  Finish,
  JobReason,
  WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace | Scope.Scope
> {
  const workspace = yield* Workspace.Workspace
  const stitcher = yield* Effect.serviceOption(VideoStitcher)
  const { outputFile } = options
  const { chunks, mergeCommand, metadata } = job.spec
  const total = chunks.length

  if (Option.isSome(stitcher)) {
    if (outputFile === undefined) {
      return yield* new InvalidRequest({ fix: "a stitcher needs an outputFile: say where the final file goes" })
    }
    const staged = yield* workspace.stage(outputFile)
    const stitching = Effect.suspend(() =>
      stitcher.value.stitch({
        inputs: prefix.outputs,
        total,
        frames: metadata.totalFrames,
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
    return { make: Effect.andThen(stitching, consumed), publish: publish(staged) }
  }

  const fileNames = new Map(chunks.map((chunk) => [chunk.id, chunk.outputFile]))
  const publishChunks = Stream.runForEach(prefix.outputs, (output) =>
    workspace.publish(output, fileNames.get(output.chunkId) ?? output.location)
  )
  if (mergeCommand === undefined) return { make: publishChunks, publish: Effect.undefined }

  const adapter = options.mergeAdapter ?? (yield* WorkerAdapter.WorkerAdapter)
  const outputCheck = yield* OutputCheck.OutputCheck
  // A merge command that does not name the final file writes where it likes, and what it wrote is its own affair.
  const staged =
    outputFile !== undefined && WorkerAdapter.namesOutput(mergeCommand, outputFile)
      ? yield* workspace.stage(outputFile)
      : undefined
  const merge = Effect.fnUntraced(function* (attempt: number): Effect.fn.Return<void, WorkerError> {
    const mergeJob: WorkerJob = {
      id: `${job.id}/merge/${writer.run}.${attempt}`,
      command: mergeCommand,
      meta: {
        _tag: "Merge",
        jobId: job.id,
        run: writer.run,
        attempt,
        output: { _tag: "File", path: staged?.path ?? workspace.root }
      },
      cwd: workspace.root,
      ...(staged === undefined || outputFile === undefined ? undefined : { outputFile }),
      ...(options.env === undefined ? undefined : { env: options.env })
    }
    const merging = Effect.suspend(() => adapter.execute(mergeJob, () => {}))
    const checked =
      staged === undefined ? merging : Effect.tap(merging, (result) => outputCheck.check(mergeJob, result))
    yield* Effect.catch(checked, (error) =>
      isRetryable(error.reason) && attempt <= (options.retries ?? ChunkScheduler.defaults.retries)
        ? ChunkScheduler.backoff(options, attempt).pipe(
            Effect.flatMap((ms) => Effect.sleep(ms)),
            Effect.andThen(Effect.suspend(() => merge(attempt + 1)))
          )
        : Effect.fail(error)
    )
  })
  return {
    make: Effect.andThen(publishChunks, merge(1)),
    publish: staged === undefined ? Effect.succeed({}) : publish(staged)
  }
})

const publish = (staged: Workspace.StagedOutput) =>
  Effect.map(staged.publish, ({ bytes }) => ({ outputFile: staged.finalPath, bytes }))
