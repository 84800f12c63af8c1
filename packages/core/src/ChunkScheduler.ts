/**
 * Renders chunks: which attempt starts when, how many at once, what is tried again, and when to give up.
 *
 * ```
 * chunks ──▶ slots (as many as the concurrency) ──▶ attempt: place ─▶ adapter ─▶ output check ─▶ same format?
 *   ▲                                                  │ failed, may be tried again
 *   └───────────── due again after a delay ◀───────────┘
 * ```
 *
 * It emits what happened as a stream of events and keeps nothing: the reader of the stream stores them. A reader that
 * is slow holds up new attempts, never running ones; one that goes away stops everything. Reading the stream twice
 * renders everything twice.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as ChunkTelemetry from "./internal/ChunkTelemetry.ts"
import * as Defect from "./internal/Defect.ts"
import * as LogTail from "./internal/LogTail.ts"
import type { JobEvent } from "./JobEvent.ts"
import type { Chunk } from "./JobSpec.ts"
import * as OutputCheck from "./OutputCheck.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import * as Telemetry from "./Telemetry.ts"
import * as TraceContext from "./TraceContext.ts"
import * as VideoFormat from "./VideoFormat.ts"
import type { OutputRef, WorkerJob, WorkerSignal } from "./WorkerAdapter.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { OutputInvalid, Stalled, TimedOut, WorkerError, WorkerLost, type WorkerReason } from "./WorkerError.ts"
import * as Workspace from "./Workspace.ts"

/** What to schedule, beside the chunks. */
export interface Options extends RetryPolicy.RetryPolicy {
  readonly jobId: string
  readonly run: number
  /** How many attempts at once. Default: what suits the adapter; never more than it can take. */
  readonly concurrency?: number | undefined
  /** What is known of the picture and sound that every chunk must have. */
  readonly format?: VideoFormat.VideoFormat | undefined
  /** Variables for the commands. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Chunks that come later, such as those whose output is found to be lost: there can be `most` of them. */
  readonly later?: { readonly chunks: Stream.Stream<Chunk>; readonly most: number } | undefined
  /** When this effect completes, no further attempt starts, and the stream ends when those that run have ended. */
  readonly drain?: Effect.Effect<unknown> | undefined
  /** When this effect completes, running attempts are stopped, and the stream ends after telling so. */
  readonly halt?: Effect.Effect<unknown> | undefined
  /** Told of everything that attempts say while they run; must not throw. */
  readonly onSignal?: ((chunkId: number, attempt: number, signal: WorkerSignal) => void) | undefined
}

/** What the scheduler tells. */
export type ChunkEvent = Extract<
  JobEvent,
  { _tag: "AttemptStarted" | "AttemptAssigned" | "AttemptEnded" | "ChunkAccepted" }
>

/** A chunk could not be rendered: its last attempt failed, and no further one is allowed or makes sense. */
export class ChunkFailed extends Schema.TaggedError<ChunkFailed>()("ChunkFailed", {
  chunkId: Schema.Int,
  attempts: Schema.Int,
  last: WorkerError
}) {
  override get message(): string {
    return `chunk ${this.chunkId} failed after ${this.attempts} ${this.attempts === 1 ? "attempt" : "attempts"}; the last: ${this.last.message}`
  }
}

/** How many characters of what an attempt printed go into its last event. */
const logLimit = 4096

/** How many events may wait for their reader before no new attempt starts: at least so many, and some for each slot. */
const backlog = { least: 256, perSlot: 8 }

/** A chunk on its way. */
interface Entry {
  readonly chunk: Chunk
  readonly tries: RetryPolicy.Tries
  /** How often it was started. */
  attempts: number
  /** Since when it waits for a slot, or will. */
  dueAt: number
}

/** An attempt under way. */
interface Running {
  readonly fiber: Fiber.Fiber<OutputRef, WorkerError>
  readonly startedAt: number
  readonly signs: Signs
  readonly span: Tracer.Span | undefined
  /** Why the watch stopped it. */
  stopped: WorkerReason | undefined
}

/** What an attempt has told so far. */
interface Signs {
  /** Whether it has ended: what it tells now is no news. */
  over: boolean
  lastAt: number
  frames: number
  notStopped: string | undefined
  /** Who makes it. */
  workerId: string | undefined
  readonly log: LogTail.LogTail
}

/** What is to be done with a chunk after an attempt. */
type Verdict =
  | { readonly _tag: "Settled" }
  | { readonly _tag: "Retry"; readonly afterMs: number; readonly throttled: boolean }
  | { readonly _tag: "GiveUp"; readonly error: ChunkFailed }

const settled: Effect.Effect<Verdict> = Effect.succeed({ _tag: "Settled" })

/**
 * Renders the chunks, in the order given, and tells what happens.
 *
 * Fails with `ChunkFailed` as soon as one chunk is given up, with `WorkspaceError` when there is no place for an
 * output; either way every other attempt has been stopped, and the events before the failure say so.
 */
export const run = (
  chunks: ReadonlyArray<Chunk>,
  options: Options
): Stream.Stream<
  ChunkEvent,
  ChunkFailed | Workspace.WorkspaceError,
  WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace
> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { info } = yield* WorkerAdapter.WorkerAdapter
      const slots = Math.min(
        WorkerAdapter.concurrencyOf(info, options.concurrency),
        chunks.length + (options.later?.most ?? 0)
      )
      const most = Math.max(backlog.least, backlog.perSlot * slots)
      const events = yield* Queue.unbounded<ChunkEvent, ChunkFailed | Workspace.WorkspaceError | Cause.Done>()
      const room = Latch.makeUnsafe(true)
      const telemetry = yield* ChunkTelemetry.make(options, info)
      const rendering = renderAll(chunks, options, {
        slots,
        room,
        telemetry,
        emit: (event) => {
          Queue.offerUnsafe(events, event)
          if (Queue.sizeUnsafe(events) >= most) room.closeUnsafe()
        }
      })
      yield* Effect.raceFirst(rendering, options.halt ?? Effect.never).pipe(
        Effect.ensuring(Effect.sync(telemetry.close)),
        Effect.onExit((exit) => (Exit.isSuccess(exit) ? Queue.end(events) : Queue.failCause(events, exit.cause))),
        Effect.forkScoped
      )
      const pull = Effect.tap(Queue.takeAll(events), () => {
        telemetry.flush()
        return room.open
      })
      return Stream.fromPull(Effect.succeed(pull))
    })
  )

/** How many attempts run at once, where their events go, whether there is room for more, and what else is told of them. */
interface Dispatch {
  readonly slots: number
  readonly emit: (event: ChunkEvent) => void
  readonly room: Latch.Latch
  readonly telemetry: ChunkTelemetry.ChunkTelemetry
}

/** Renders all chunks, a slot for each attempt that may run at once. */
const renderAll = Effect.fnUntraced(function* (
  chunks: ReadonlyArray<Chunk>,
  options: Options,
  { emit, room, slots, telemetry }: Dispatch
) {
  const adapter = yield* WorkerAdapter.WorkerAdapter
  const outputCheck = yield* OutputCheck.OutputCheck
  const workspace = yield* Workspace.Workspace
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const attemptTimeout = options.attemptTimeout === undefined ? Infinity : Duration.toMillis(options.attemptTimeout)
  const stallTimeout = options.stallTimeout === undefined ? Infinity : Duration.toMillis(options.stallTimeout)

  const due = yield* Queue.unbounded<Entry, Cause.Done>()
  const running = new Set<Running>()
  const drained = Deferred.makeUnsafe<void>()
  let draining = false
  let next = 0
  /** How many chunks are not accepted; one more while others can come. */
  let remaining = chunks.length + 1
  let format = options.format ?? {}
  let lastSuccess = now()
  const beganAt = lastSuccess
  telemetry.added(chunks.length)

  const entryOf = (chunk: Chunk, dueAt: number): Entry => ({
    chunk,
    tries: RetryPolicy.makeTries(),
    attempts: 0,
    dueAt
  })
  const oneLess = (): void => {
    if (--remaining === 0) Queue.endUnsafe(due)
  }
  // What is due again goes before what was never tried: the stitcher waits for it. Ends after the last acceptance.
  const take: Effect.Effect<Entry, Cause.Done> = Effect.suspend(() => {
    if (draining) return Cause.done()
    const chunk = Queue.sizeUnsafe(due) === 0 ? chunks[next] : undefined
    if (chunk === undefined) return Queue.take(due)
    next++
    return Effect.succeed(entryOf(chunk, beganAt))
  })

  const comeLater = Stream.runForEach(options.later?.chunks ?? Stream.empty, (chunk) =>
    Effect.sync(() => {
      remaining++
      telemetry.added(1)
      Queue.offerUnsafe(due, entryOf(chunk, now()))
    })
  ).pipe(Effect.andThen(Effect.sync(oneLess)))

  const drain = Effect.andThen(
    options.drain ?? Effect.never,
    Effect.sync(() => {
      draining = true
      Deferred.doneUnsafe(drained, Effect.void)
      Queue.endUnsafe(due)
    })
  )

  const failure = (entry: Entry, reason: WorkerReason): WorkerError =>
    new WorkerError({
      adapter: adapter.info.name,
      jobId: options.jobId,
      chunkId: entry.chunk.id,
      attempt: entry.attempts,
      reason
    })

  const render = (
    entry: Entry,
    place: string,
    signs: Signs,
    span: Tracer.Span | undefined
  ): Effect.Effect<OutputRef, WorkerError> => {
    const { attempts: attempt, chunk } = entry
    const trace = span === undefined ? telemetry.trace : TraceContext.ofSpan(span)
    const job: WorkerJob = {
      id: `${options.jobId}/${chunk.id}/${options.run}.${attempt}`,
      command: chunk.command,
      meta: {
        _tag: "Chunk",
        jobId: options.jobId,
        run: options.run,
        attempt,
        output: { _tag: "File", path: place },
        chunkId: chunk.id,
        startFrame: chunk.startFrame,
        frameCount: chunk.frameCount,
        format,
        ...(attemptTimeout === Infinity ? {} : { deadlineMs: signs.lastAt + attemptTimeout }),
        ...trace
      },
      cwd: workspace.root,
      outputFile: chunk.outputFile,
      ...(options.env === undefined ? {} : { env: options.env })
    }
    const signal = (signal: WorkerSignal): void => {
      if (signs.over) return
      signs.lastAt = now()
      switch (signal._tag) {
        case "Assigned": {
          const { _tag, ...assigned } = signal
          signs.workerId = assigned.workerId ?? signs.workerId
          emit({ _tag: "AttemptAssigned", chunk: chunk.id, attempt, ...assigned })
          break
        }
        case "Frames":
          signs.frames = Math.max(signs.frames, signal.done)
          break
        case "Line":
          signs.log.push(signal.text)
          break
        case "NotStopped":
          signs.notStopped = signal.detail
          break
        case "Heartbeat":
      }
      options.onSignal?.(chunk.id, attempt, signal)
    }
    let asked = "adapter"
    const checked = Effect.flatMap(
      Effect.suspend(() => adapter.execute(job, signal)),
      (result) => {
        asked = "output check"
        signs.workerId = result.workerId ?? signs.workerId
        const check = outputCheck.check(job, result)
        return span === undefined ? check : Telemetry.withSpan(Telemetry.spans.check)(check)
      }
    )
    return Effect.catchDefect(checked, (defect) =>
      Effect.fail(failure(entry, new WorkerLost({ detail: `its ${asked} threw: ${Defect.describe(defect)}` })))
    )
  }

  /** Whether an output may stand among the accepted ones; the first of them says what the others must be. */
  const accept = (entry: Entry, output: OutputRef): WorkerError | undefined => {
    const { frameCount } = entry.chunk
    if (output.frames !== undefined && output.frames !== frameCount) {
      return failure(entry, new OutputInvalid({ expected: `${frameCount} frames`, found: `${output.frames} frames` }))
    }
    if (output.format === undefined) return undefined
    const difference = VideoFormat.difference(format, output.format)
    if (difference !== undefined) {
      const expected = `${difference.expected}, as the job and its first accepted chunk have it`
      return failure(entry, new OutputInvalid({ expected, found: difference.found }))
    }
    format = VideoFormat.complete(format, output.format)
    return undefined
  }

  /**
   * Makes one attempt at a chunk. Whoever interrupts it waits until nothing of the attempt is left.
   *
   * No generator: this is what each chunk costs.
   */
  const attempt = (entry: Entry): Effect.Effect<Verdict, Workspace.WorkspaceError> =>
    Effect.uninterruptibleMask((restore) => {
      const { chunk } = entry
      const place = workspace.place({
        jobId: options.jobId,
        run: options.run,
        chunkId: chunk.id,
        attempt: ++entry.attempts,
        outputFile: chunk.outputFile
      })
      return Effect.flatMap(place, (place) => {
        const startedAt = now()
        const log = LogTail.make(logLimit)
        const signs: Signs = {
          over: false,
          lastAt: startedAt,
          frames: 0,
          notStopped: undefined,
          workerId: undefined,
          log
        }
        emit({ _tag: "AttemptStarted", chunk: chunk.id, attempt: entry.attempts })
        telemetry.started(entry.attempts === 1 ? "pending" : "retrying", startedAt - entry.dueAt)
        const begin = (span: Tracer.Span | undefined) => {
          const rendering = telemetry.within(render(entry, place, signs, span), chunk.id, entry.attempts, span)
          return Effect.flatMap(Effect.forkChild(rendering, { startImmediately: true }), (fiber) => {
            const state: Running = { fiber, startedAt, signs, span, stopped: undefined }
            running.add(state)
            return Effect.flatMap(Effect.exit(restore(Fiber.await(fiber))), (waited) => {
              const interrupted = Exit.isFailure(waited)
              // An output that was there before the interruption arrived is paid for: it counts.
              const ended = interrupted ? Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber)) : waited
              return Effect.flatMap(ended, (exit) => {
                signs.over = true
                running.delete(state)
                return settle(entry, state, exit, interrupted)
              })
            })
          })
        }
        return telemetry.begin === undefined
          ? begin(undefined)
          : Effect.flatMap(telemetry.begin(chunk, entry.attempts), begin)
      })
    })

  const settle = (
    entry: Entry,
    { signs, span, startedAt, stopped }: Running,
    exit: Exit.Exit<OutputRef, WorkerError>,
    interrupted: boolean
  ): Effect.Effect<Verdict> => {
    const { attempts, chunk } = entry
    const traced = span === undefined ? undefined : { span, workerId: signs.workerId }
    const text = signs.log.text()
    const log = text === undefined ? undefined : { log: text }
    let error: WorkerError | undefined
    if (Exit.isSuccess(exit)) {
      error = accept(entry, exit.value)
      if (error === undefined) {
        lastSuccess = now()
        const durationMs = lastSuccess - startedAt
        const by = signs.workerId === undefined ? undefined : { workerId: signs.workerId }
        telemetry.ended(chunk, durationMs, { outcome: "accepted", output: exit.value }, "done", traced)
        emit({
          _tag: "ChunkAccepted",
          chunk: chunk.id,
          attempt: attempts,
          output: exit.value,
          durationMs,
          ...by,
          ...log
        })
        oneLess()
        return settled
      }
    } else if (stopped !== undefined) {
      error = failure(entry, stopped)
    } else {
      error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      if (error === undefined && !interrupted) {
        error = failure(entry, new WorkerLost({ detail: "its adapter ended the attempt without a result" }))
      }
    }
    const how = signs.notStopped !== undefined ? "not-stopped" : error === undefined ? "interrupted" : "failed"
    const tell = (next: ChunkTelemetry.Next) =>
      telemetry.ended(chunk, now() - startedAt, { outcome: how, error }, next, traced)
    const ended = {
      _tag: "AttemptEnded",
      chunk: chunk.id,
      attempt: attempts,
      how,
      ...(error === undefined ? undefined : { error }),
      ...(signs.notStopped === undefined ? undefined : { detail: signs.notStopped }),
      ...log
    } as const
    if (error === undefined || interrupted) {
      tell("left")
      emit(ended)
      return settled
    }
    const last = error
    // Two processes that write one file would spoil each other's work.
    const unsafe = signs.notStopped !== undefined && !WorkerAdapter.namesOutput(chunk.command, chunk.outputFile)
    const delay = unsafe ? Effect.undefined : RetryPolicy.delayOf(options, entry.tries, last.reason, now(), lastSuccess)
    return Effect.map(delay, (afterMs) => {
      if (afterMs !== undefined) entry.dueAt = now() + afterMs
      tell(afterMs === undefined ? "done" : { retryInMs: afterMs })
      emit(afterMs === undefined ? ended : { ...ended, retryInMs: afterMs })
      return afterMs === undefined
        ? { _tag: "GiveUp", error: new ChunkFailed({ chunkId: chunk.id, attempts, last }) }
        : { _tag: "Retry", afterMs, throttled: last.reason._tag === "Throttled" }
    })
  }

  /** Stops attempts that are over their time; sleeps until the next one can be. */
  const watch = Effect.gen(function* () {
    while (true) {
      const at = now()
      let wakeAt = at + Math.min(attemptTimeout, stallTimeout)
      for (const state of running) {
        if (state.stopped !== undefined) continue
        const timeout = state.startedAt + attemptTimeout
        const stall = state.signs.lastAt + stallTimeout
        if (Math.min(timeout, stall) > at) {
          wakeAt = Math.min(wakeAt, timeout, stall)
          continue
        }
        state.stopped =
          timeout <= at
            ? new TimedOut({ limit: "attempt", afterMs: attemptTimeout })
            : new Stalled({ silentMs: stallTimeout, frames: state.signs.frames })
        state.fiber.interruptUnsafe()
      }
      yield* Effect.sleep(Math.max(1, wakeAt - at))
    }
  })

  const slot = Effect.gen(function* () {
    const scope = yield* Effect.scope
    while (true) {
      yield* room.await
      const entry = yield* take
      let verdict = yield* attempt(entry)
      // A throttled chunk keeps its slot while it waits, so that fewer attempts run against a platform that is full.
      while (verdict._tag === "Retry" && verdict.throttled) {
        yield* Effect.raceFirst(Effect.sleep(verdict.afterMs), Deferred.await(drained))
        if (draining) return
        yield* room.await
        verdict = yield* attempt(entry)
      }
      if (verdict._tag === "GiveUp") return yield* verdict.error
      if (verdict._tag === "Retry") {
        yield* Effect.forkIn(Effect.delay(Queue.offer(due, entry), verdict.afterMs), scope)
      }
    }
  }).pipe(Effect.catchIf(Cause.isDone, () => Effect.void))

  const slotsAtWork = Effect.forEach(Array.from({ length: slots }), () => slot, {
    concurrency: "unbounded",
    discard: true
  })
  const work = Effect.gen(function* () {
    yield* Effect.forkScoped(comeLater, { startImmediately: true })
    yield* Effect.forkScoped(drain, { startImmediately: true })
    yield* slotsAtWork
  })
  const limited = attemptTimeout === Infinity && stallTimeout === Infinity ? work : Effect.raceFirst(work, watch)
  return yield* Effect.scoped(limited)
})
