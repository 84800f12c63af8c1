/**
 * What the SDK tells of itself while it works: the names of its spans and their attributes, of its metrics, and of what
 * its log entries are marked with.
 *
 * These names are part of the public API. Other spans carry the name of the function that they are about, such as
 * `JobManager.run`, and may come and go with it. Nothing is sent anywhere from here: spans go to the `Tracer` in
 * Effect's context, metrics are in its registry, entries go to its loggers; without one that was put there, no span of a
 * chunk or an attempt is made. `docs/observability.md` has the tables, and how to turn it on.
 *
 * ```
 * helios.job                        one run of a job
 * ├─ helios.chunk                   from its first attempt to its acceptance
 * │  └─ helios.attempt              one attempt
 * │     ├─ helios.check             its output is looked at
 * │     └─ helios.worker            the same attempt, on a worker elsewhere
 * │        ├─ helios.worker.fetch   the job file and assets come
 * │        ├─ helios.worker.render  the command runs, its output is looked at
 * │        └─ helios.worker.send    output and log go
 * └─ helios.stitch                  chunks become one file, while others are rendered
 *    └─ helios.attempt              one attempt at the merge command, where that does it
 * ```
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Tracer from "effect/Tracer"

/** The names of spans. */
export const spans = {
  /** One run of a job; linked to the run before it, where that one was traced. */
  job: "helios.job",
  /** A chunk, from its first attempt of a run until it is accepted, given up, or left when the run ends. */
  chunk: "helios.chunk",
  /** One attempt at a chunk or at the merge command, the check of its output included. */
  attempt: "helios.attempt",
  /** The check of an attempt's output. */
  check: "helios.check",
  /** Making one file of the chunks; begins with the run where the stitcher reads chunks as they come. */
  stitch: "helios.stitch",
  /** An attempt as the worker elsewhere sees it; its parent is the orchestrator's `helios.attempt`. */
  worker: "helios.worker",
  /** A worker reads the job file and the assets. */
  workerFetch: "helios.worker.fetch",
  /** A worker's command runs, and its output is checked. */
  workerRender: "helios.worker.render",
  /** A worker sends output and log. */
  workerSend: "helios.worker.send"
} as const

/** The keys of the attributes of spans and metrics. Those of metrics have few values each, and never a job's id. */
export const attributes = {
  jobId: "helios.job.id",
  /** The run of the job, counted from 1. */
  run: "helios.job.run",
  /** How many chunks the job has. */
  chunks: "helios.job.chunks",
  /** How many frames the job has. */
  frames: "helios.job.frames",
  chunkId: "helios.chunk.id",
  /** A chunk's first frame, as the job file counts. */
  startFrame: "helios.chunk.start_frame",
  /** How many frames a chunk has. */
  frameCount: "helios.chunk.frames",
  /** Where a chunk is: `pending`, `running`, `retrying` or `accepted`. Of metrics. */
  chunkState: "helios.chunk.state",
  /** How often a chunk was started since it was opened in this run; one whose output is lost is opened again. */
  attempts: "helios.chunk.attempts",
  /** Which attempt it is, counted from 1 within a run. */
  attempt: "helios.attempt.number",
  /** After how many milliseconds the chunk is tried again. */
  retryDelay: "helios.attempt.retry_delay",
  /** The adapter's name: `local`, `aws-lambda`, `http` … */
  adapter: "helios.worker.adapter",
  /** Which worker it is: a process, an invocation, an instance. */
  workerId: "helios.worker.id",
  /** What a worker reads: `job` or `assets`. */
  fetched: "helios.worker.fetched",
  /** The size of an output in bytes. */
  outputSize: "helios.output.size",
  /** What makes one file of the chunks: `stitcher` or `merge-command`. */
  stitchedBy: "helios.stitch.by",
  /**
   * How it ended. A run: `completed`, `failed`, `cancelled`, `paused`. A chunk: `accepted`, `failed`, `interrupted`. An
   * attempt at a chunk: `accepted`, `failed`, `interrupted`, `not-stopped`. Anything else, an attempt at the merge command
   * too: `completed`, `failed`, `interrupted`; on workers also `cancelled`.
   */
  outcome: "helios.outcome",
  /** OpenTelemetry's own: the tag of the reason why it failed, such as `RenderFailed`; absent where it did not. */
  errorType: "error.type"
} as const

/** What log entries are marked with. */
export const annotations = {
  job: "job",
  run: "run",
  chunk: "chunk",
  attempt: "attempt"
} as const

/** The names of metrics. */
export const metrics = {
  /** Runs under way, an up-down counter. */
  activeJobs: "helios.job.active",
  /** How long runs took, a histogram in milliseconds; by `helios.outcome` and `error.type`. */
  jobDuration: "helios.job.duration",
  /** Chunks of runs under way, an up-down counter; by `helios.chunk.state`. */
  chunks: "helios.chunk.count",
  /** How long chunks that were due waited for a slot, a histogram in milliseconds; by `helios.worker.adapter`. */
  queueDuration: "helios.chunk.queue.duration",
  /** How long attempts took, a histogram in milliseconds; by `helios.worker.adapter`, `helios.outcome`, `error.type`. */
  attemptDuration: "helios.attempt.duration",
  /** Attempts that are followed by another one, a counter; by `helios.worker.adapter` and `error.type`. */
  retries: "helios.attempt.retries",
  /** Attempts that were told to come again, for the platform is full, a counter; by `helios.worker.adapter`. */
  throttles: "helios.attempt.throttles",
  /** Bytes of accepted outputs, a counter; by `helios.worker.adapter`. */
  outputBytes: "helios.output.io",
  /** Frames of accepted chunks, a counter; by `helios.worker.adapter`. */
  outputFrames: "helios.output.frames",
  /** How long making one file took, the time in which chunks were waited for included, a histogram in milliseconds. */
  stitchDuration: "helios.stitch.duration",
  /** How much of that came after the last chunk was accepted, a histogram in milliseconds. */
  stitchTail: "helios.stitch.tail.duration"
} as const

/** The upper bounds of the buckets of durations, in milliseconds: 10 ms to an hour. */
export const durationBoundaries: ReadonlyArray<number> = [
  10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000
]

/** Attributes of a metric; exporters of Effect's read its unit from the one called `unit`. */
type Series = Readonly<Record<string, string>>

const of = (unit: string, description: string, series: Series) => ({ description, attributes: { ...series, unit } })

const durations = (name: string, description: string, series: Series): Metric.Histogram<number> =>
  Metric.histogram(name, { ...of("ms", description, series), boundaries: durationBoundaries })

const total = (name: string, unit: string, description: string, series: Series): Metric.Counter<number> =>
  Metric.counter(name, { ...of(unit, description, series), incremental: true })

/** {@link metrics} as Effect's, for the values of their attributes that are given. */
export const metric = {
  activeJobs: (): Metric.Counter<number> => Metric.counter(metrics.activeJobs, of("{job}", "Runs under way", {})),
  jobDuration: (series: Series): Metric.Histogram<number> =>
    durations(metrics.jobDuration, "How long runs took", series),
  chunks: (state: "pending" | "running" | "retrying" | "accepted"): Metric.Counter<number> =>
    Metric.counter(metrics.chunks, of("{chunk}", "Chunks of runs under way", { [attributes.chunkState]: state })),
  queueDuration: (series: Series): Metric.Histogram<number> =>
    durations(metrics.queueDuration, "How long chunks that were due waited for a slot", series),
  attemptDuration: (series: Series): Metric.Histogram<number> =>
    durations(metrics.attemptDuration, "How long attempts took", series),
  retries: (series: Series): Metric.Counter<number> =>
    total(metrics.retries, "{retry}", "Attempts that are followed by another one", series),
  throttles: (series: Series): Metric.Counter<number> =>
    total(metrics.throttles, "{throttle}", "Attempts that were told to come again", series),
  outputBytes: (series: Series): Metric.Counter<number> =>
    total(metrics.outputBytes, "By", "Bytes of accepted outputs", series),
  outputFrames: (series: Series): Metric.Counter<number> =>
    total(metrics.outputFrames, "{frame}", "Frames of accepted chunks", series),
  stitchDuration: (series: Series): Metric.Histogram<number> =>
    durations(metrics.stitchDuration, "How long making one file of the chunks took", series),
  stitchTail: (series: Series): Metric.Histogram<number> =>
    durations(metrics.stitchTail, "How long making one file took once the last chunk was accepted", series)
} as const

/** What `error.type` says of an error: its reason, a word or the tag of one, where it has one; else its own tag. */
export const errorType = (error: unknown): string => {
  if (Predicate.hasProperty(error, "reason")) {
    if (hasTag(error.reason)) return error.reason._tag
    if (hasTag(error) && Predicate.isString(error.reason)) return error.reason
  }
  return hasTag(error) ? error._tag : "Defect"
}

const hasTag = (value: unknown): value is { readonly _tag: string } =>
  Predicate.hasProperty(value, "_tag") && Predicate.isString(value._tag)

/** How work ended: `helios.outcome`, and `error.type` where it failed. */
export const ending = (exit: Exit.Exit<unknown, unknown>): Readonly<Record<string, string>> => {
  if (Exit.isSuccess(exit)) return { [attributes.outcome]: "completed" }
  if (Cause.hasInterruptsOnly(exit.cause)) return { [attributes.outcome]: "interrupted" }
  return {
    [attributes.outcome]: "failed",
    [attributes.errorType]: errorType(Option.getOrUndefined(Cause.findErrorOption(exit.cause)))
  }
}

/** Does work in a span of its own, which in the end says how it {@link ending | ended}. */
export const withSpan =
  (name: string, options: Tracer.SpanOptionsNoTrace = {}) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.useSpan(name, options, (span) =>
      self.pipe(
        Effect.onExit((exit) => Effect.sync(() => annotate(span, ending(exit)))),
        Effect.withParentSpan(span, { captureStackTrace: false })
      )
    )

/** Sets several attributes of a span. */
export const annotate = (span: Tracer.Span, values: Readonly<Record<string, unknown>>): void => {
  for (const [key, value] of Object.entries(values)) span.attribute(key, value)
}
