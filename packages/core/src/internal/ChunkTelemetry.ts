/**
 * What `ChunkScheduler` tells of itself beside its events: spans of chunks and attempts, metrics, and whose log entries
 * are whose. Knows nothing of what is scheduled when.
 *
 * Where nobody put a tracer into the context no span is made. What is counted is noted for each chunk, and told to metrics
 * for many at a time.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { Chunk } from "../JobSpec.ts"
import { annotations, attributes, metric, spans } from "../Telemetry.ts"
import * as TraceContext from "../TraceContext.ts"
import type { OutputRef, WorkerAdapterInfo } from "../WorkerAdapter.ts"
import type { WorkerError } from "../WorkerError.ts"

/** How an attempt ended. */
export type Ending =
  | { readonly outcome: "accepted"; readonly output: OutputRef }
  | { readonly outcome: "failed" | "interrupted" | "not-stopped"; readonly error: WorkerError | undefined }

/** What becomes of the chunk: it is done with, left as it is when the run ends, or tried again after so many milliseconds. */
export type Next = "done" | "left" | { readonly retryInMs: number }

/** An attempt's span, and what is known of its worker in the end. */
export interface AttemptSpan {
  readonly span: Tracer.Span
  readonly workerId: string | undefined
}

/** What one run of the scheduler tells. */
export interface ChunkTelemetry {
  /** Begins an attempt's span, and its chunk's where it is the first one; `undefined` where nobody records spans. */
  readonly begin: ((chunk: Chunk, attempt: number) => Effect.Effect<Tracer.Span>) | undefined
  /** Where workers go on with the caller's trace when there are no spans of ours. */
  readonly trace: TraceContext.TraceContext | undefined
  /** Runs what belongs to an attempt. */
  readonly within: <A, E, R>(
    attempt: Effect.Effect<A, E, R>,
    chunk: number,
    number: number,
    span: Tracer.Span | undefined
  ) => Effect.Effect<A, E, R>
  /** There are chunks more to render. */
  readonly added: (chunks: number) => void
  /** A chunk got its slot, for the first time or again, after it had waited. */
  readonly started: (state: "pending" | "retrying", waitedMs: number) => void
  readonly ended: (chunk: Chunk, durationMs: number, ending: Ending, next: Next, span: AttemptSpan | undefined) => void
  /** Tells the metrics what was noted since the last time. */
  readonly flush: () => void
  /** Ends what is open: chunks that nobody goes on with in this run. */
  readonly close: () => void
}

/** For one run of the scheduler, told below the span that is current. */
export const make = Effect.fnUntraced(function* (
  { jobId, run }: { readonly jobId: string; readonly run: number },
  info: WorkerAdapterInfo
): Effect.fn.Return<ChunkTelemetry> {
  const context = yield* Effect.context()
  const clock = yield* Clock.Clock
  const own = { [attributes.jobId]: jobId, [attributes.run]: run }
  const counts = makeCounts(context, info.name)
  const open = new Map<number, Tracer.Span>()
  const now = () => clock.currentTimeNanosUnsafe()

  const begin = Effect.fnUntraced(function* (chunk: Chunk, attempt: number) {
    const ids = { ...own, [attributes.chunkId]: chunk.id }
    const frames = { [attributes.startFrame]: chunk.startFrame, [attributes.frameCount]: chunk.frameCount }
    let parent = open.get(chunk.id)
    if (parent === undefined) {
      parent = yield* Effect.makeSpan(spans.chunk, { attributes: { ...ids, ...frames } })
      open.set(chunk.id, parent)
    }
    parent.attribute(attributes.attempts, attempt)
    return yield* Effect.makeSpan(spans.attempt, {
      parent,
      // What is called over a network is a client's span, by OpenTelemetry's rules.
      kind: info.where === "remote" ? "client" : "internal",
      attributes: { ...ids, ...frames, [attributes.attempt]: attempt, [attributes.adapter]: info.name }
    })
  })

  const endChunk = (id: number, outcome: "accepted" | "failed" | "interrupted", exit: Exit.Exit<void, WorkerError>) => {
    const span = open.get(id)
    if (span === undefined) return
    open.delete(id)
    span.attribute(attributes.outcome, outcome)
    const error = Option.getOrUndefined(Exit.findErrorOption(exit))
    if (error !== undefined) span.attribute(attributes.errorType, error.reason._tag)
    span.end(now(), exit)
  }

  const endSpan = (chunk: Chunk, ending: Ending, next: Next, { span, workerId }: AttemptSpan): void => {
    span.attribute(attributes.outcome, ending.outcome)
    const worker = workerId ?? (ending.outcome === "accepted" ? undefined : ending.error?.workerId)
    if (worker !== undefined) span.attribute(attributes.workerId, worker)
    let exit: Exit.Exit<void, WorkerError> = Exit.void
    if (ending.outcome === "accepted") {
      span.attribute(attributes.outputSize, ending.output.bytes)
    } else {
      const { error } = ending
      if (error !== undefined) span.attribute(attributes.errorType, error.reason._tag)
      // To be stopped is no error, to have failed is one; that something of it may still run stands in its outcome.
      exit = error === undefined ? Exit.interrupt() : Exit.fail(error)
    }
    if (typeof next === "object") span.attribute(attributes.retryDelay, next.retryInMs)
    span.end(now(), exit)
    if (next === "done") endChunk(chunk.id, ending.outcome === "accepted" ? "accepted" : "failed", exit)
  }

  return {
    begin: TraceContext.isTraced(context) ? begin : undefined,
    trace: yield* TraceContext.current,
    within: (effect, chunk, number, span) =>
      Effect.updateContext(effect, (context) => {
        const marked = Context.add(context, References.CurrentLogAnnotations, {
          ...Context.get(context, References.CurrentLogAnnotations),
          [annotations.chunk]: chunk,
          [annotations.attempt]: number
        })
        return span === undefined ? marked : Context.add(marked, Tracer.ParentSpan, span)
      }),
    added: counts.added,
    started: counts.started,
    ended: (chunk, durationMs, ending, next, span) => {
      counts.ended(chunk, durationMs, ending, next)
      if (span !== undefined) endSpan(chunk, ending, next, span)
    },
    flush: counts.flush,
    close: () => {
      for (const id of open.keys()) endChunk(id, "interrupted", Exit.interrupt())
      counts.close()
    }
  }
})

type States = Record<"pending" | "running" | "retrying" | "accepted", number>

const noChunks = (): States => ({ pending: 0, running: 0, retrying: 0, accepted: 0 })

/** Metrics. What happens to every chunk is only noted, and told by `flush` for many of them at a time. */
const makeCounts = (context: Context.Context<never>, adapter: string) => {
  const series = { [attributes.adapter]: adapter }
  const queueDuration = metric.queueDuration(series)
  const outputBytes = metric.outputBytes(series)
  const outputFrames = metric.outputFrames(series)
  const accepted = metric.attemptDuration({ ...series, [attributes.outcome]: "accepted" })
  const chunks = {
    pending: metric.chunks("pending"),
    running: metric.chunks("running"),
    retrying: metric.chunks("retrying"),
    accepted: metric.chunks("accepted")
  }
  const states = noChunks()
  const told = noChunks()
  const waits: Array<number> = []
  const durations: Array<number> = []
  let frames = 0
  let bytes = 0

  const flush = (): void => {
    for (const state of ["pending", "running", "retrying", "accepted"] as const) {
      const change = states[state] - told[state]
      if (change !== 0) chunks[state].updateUnsafe(change, context)
      told[state] = states[state]
    }
    for (const wait of waits) queueDuration.updateUnsafe(wait, context)
    for (const duration of durations) accepted.updateUnsafe(duration, context)
    if (durations.length > 0) {
      outputFrames.updateUnsafe(frames, context)
      outputBytes.updateUnsafe(bytes, context)
    }
    waits.length = durations.length = frames = bytes = 0
  }

  const failed = (
    durationMs: number,
    { error, outcome }: Exclude<Ending, { outcome: "accepted" }>,
    next: Next
  ): void => {
    const why = error === undefined ? {} : { [attributes.errorType]: error.reason._tag }
    metric.attemptDuration({ ...series, [attributes.outcome]: outcome, ...why }).updateUnsafe(durationMs, context)
    if (error?.reason._tag === "Throttled") metric.throttles(series).updateUnsafe(1, context)
    if (typeof next === "object") metric.retries({ ...series, ...why }).updateUnsafe(1, context)
  }

  return {
    added: (count: number): void => {
      states.pending += count
    },
    started: (state: "pending" | "retrying", waitedMs: number): void => {
      states[state]--
      states.running++
      waits.push(waitedMs)
    },
    ended: (chunk: Chunk, durationMs: number, ending: Ending, next: Next): void => {
      states.running--
      if (typeof next === "object") states.retrying++
      if (ending.outcome !== "accepted") return failed(durationMs, ending, next)
      states.accepted++
      frames += chunk.frameCount
      bytes += ending.output.bytes
      durations.push(durationMs)
    },
    flush,
    /** None of this run's chunks are under way any more. */
    close: (): void => {
      states.pending = states.running = states.retrying = states.accepted = 0
      flush()
    }
  }
}
