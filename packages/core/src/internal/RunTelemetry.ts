/**
 * What `JobExecutor` tells of a run beside its events: its span, the one of joining its chunks, their metrics, and whose
 * log entries are whose. What is told of chunks is `ChunkTelemetry`'s.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type * as Tracer from "effect/Tracer"
import type { JobError, JobReason } from "../JobError.ts"
import type { RunOutcome } from "../JobEvent.ts"
import type { JobState } from "../JobState.ts"
import { annotate, annotations, attributes, ending, metric, spans, withSpan } from "../Telemetry.ts"
import * as TraceContext from "../TraceContext.ts"

/** Which run it is. */
export interface RunId {
  readonly job: JobState
  readonly run: number
}

/** Does the work of a run: all of it belongs to the run's span, and its log entries say which job and run they are of. */
export const within =
  ({ job, run }: RunId, adapter: string, outcomeOf: (cause: Cause.Cause<JobReason>) => RunOutcome) =>
  <R>(work: Effect.Effect<void, JobError, R>): Effect.Effect<void, JobError, R> =>
    Effect.useSpan(spans.job, spanOptions({ job, run }, adapter), (span) =>
      work.pipe(
        (work) => counted(work, (exit) => endingOf(exit, outcomeOf)),
        Effect.onExit((exit) =>
          Effect.map(Clock.currentTimeNanos, (now) => {
            const told = endingOf(exit, outcomeOf)
            annotate(span, told)
            // To be told to stop is no error. What ends the span a second time changes nothing.
            span.end(now, told[attributes.outcome] === "failed" ? exit : stopped(exit))
          })
        ),
        Effect.withParentSpan(span, { captureStackTrace: false }),
        Effect.annotateLogs({ [annotations.job]: job.id, [annotations.run]: run })
      )
    )

const stopped = (exit: Exit.Exit<void, JobError>): Exit.Exit<void, JobError> =>
  Exit.isSuccess(exit) ? exit : Exit.interrupt()

const spanOptions = ({ job, run }: RunId, adapter: string): Tracer.SpanOptionsNoTrace => {
  const before = TraceContext.parse(job)
  const { chunks, metadata } = job.spec
  return {
    attributes: {
      [attributes.jobId]: job.id,
      [attributes.run]: run,
      [attributes.chunks]: chunks.length,
      [attributes.frames]: metadata.totalFrames,
      [attributes.adapter]: adapter
    },
    ...(before === undefined ? undefined : { links: [{ span: before, attributes: { [attributes.run]: job.run } }] })
  }
}

const endingOf = (
  exit: Exit.Exit<void, JobError>,
  outcomeOf: (cause: Cause.Cause<JobReason>) => RunOutcome
): Readonly<Record<string, string>> => {
  if (Exit.isSuccess(exit)) return ending(exit)
  const cause = Cause.map(exit.cause, ({ reason }) => reason)
  const outcome = outcomeOf(cause)
  return outcome === "failed" ? ending(Exit.failCause(cause)) : { [attributes.outcome]: outcome }
}

const counted = <R>(
  work: Effect.Effect<void, JobError, R>,
  endingOf: (exit: Exit.Exit<void, JobError>) => Readonly<Record<string, string>>
): Effect.Effect<void, JobError, R> =>
  Effect.acquireUseRelease(
    Effect.tap(Clock.currentTimeMillis, () => Metric.update(metric.activeJobs(), 1)),
    () => work,
    (startedAt, exit) =>
      Effect.gen(function* () {
        yield* Metric.update(metric.activeJobs(), -1)
        yield* Metric.update(metric.jobDuration(endingOf(exit)), (yield* Clock.currentTimeMillis) - startedAt)
      })
  )

/** Where the run's span is, for whoever looks at the job later; `undefined` where nobody records spans. */
export const traceparent: Effect.Effect<string | undefined> = Effect.contextWith((context: Context.Context<never>) =>
  TraceContext.isTraced(context) ? Effect.map(TraceContext.current, (trace) => trace?.traceparent) : Effect.undefined
)

/** Makes one file of the chunks. `lastAcceptedAt` says when the last of them was accepted, in this run. */
export const stitching =
  ({ job, run }: RunId, by: "stitcher" | "merge-command", lastAcceptedAt: () => number | undefined) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
      Effect.onExit(work, (exit) =>
        Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          yield* Metric.update(metric.stitchDuration(ending(exit)), now - startedAt)
          if (Exit.isFailure(exit)) return
          yield* Metric.update(metric.stitchTail({}), now - (lastAcceptedAt() ?? startedAt))
        })
      )
    ).pipe(
      withSpan(spans.stitch, {
        attributes: {
          [attributes.jobId]: job.id,
          [attributes.run]: run,
          [attributes.stitchedBy]: by,
          [attributes.frames]: job.spec.metadata.totalFrames
        }
      })
    )
