/**
 * What can be put around a `VideoStitcher`: logs, metrics, limits, or a function of one's own.
 *
 * A stitcher begins with the job and waits for its chunks, so what is measured here is mostly waiting; what joining itself
 * took is the result's `durationMs`. Results, errors and interruption pass through as they are.
 *
 * ```ts
 * import * as StitcherMiddleware from "@helios-infra/core/StitcherMiddleware"
 * import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
 *
 * export const stitcher = FfmpegStitcher.layer().pipe(
 *   StitcherMiddleware.onLayer(StitcherMiddleware.limitTime("10 minutes"), StitcherMiddleware.logging())
 * )
 * ```
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Limits from "./internal/Limits.ts"
import * as Observation from "./internal/Observation.ts"
import { StitchError, StitchTimedOut, VideoStitcher } from "./VideoStitcher.ts"

type Stitcher = VideoStitcher["Service"]

/** Makes a stitcher of a stitcher. */
export type Middleware = (stitcher: Stitcher) => Stitcher

/**
 * Puts a function around every join: what it makes of `stitch` is called in its place.
 *
 * ```ts
 * import * as StitcherMiddleware from "@helios-infra/core/StitcherMiddleware"
 * import * as Effect from "effect/Effect"
 *
 * export const announcing = StitcherMiddleware.around((stitch) => (request) =>
 *   Effect.tap(stitch(request), ({ bytes, outputFile }) => Effect.logInfo("joined", outputFile, bytes))
 * )
 * ```
 */
export const around =
  (wrap: (stitch: Stitcher["stitch"]) => Stitcher["stitch"]): Middleware =>
  (stitcher) =>
    // What a stitcher throws is what its join ends with.
    VideoStitcher.of({ ...stitcher, stitch: wrap((request) => Effect.suspend(() => stitcher.stitch(request))) })

/** Puts middleware around the stitcher of a layer, in the order of a pipe: the last is the outermost. */
export const onLayer =
  (...middleware: ReadonlyArray<Middleware>) =>
  <A, E, R>(layer: Layer.Layer<A | VideoStitcher, E, R>): Layer.Layer<A | VideoStitcher, E, R> =>
    Layer.provideMerge(
      Layer.effect(
        VideoStitcher,
        Effect.map(VideoStitcher, (stitcher) => middleware.reduce((inner, around) => around(inner), stitcher))
      ),
      layer
    )

/**
 * Logs how each join ends and how long it took, waiting included: `Info` when it is done or stopped, `Warning` when it
 * failed; and at `Debug` that it begins. Whatever is logged meanwhile has the same annotations: `output`, `chunks`.
 */
export const logging = (): Middleware =>
  around(
    (stitch) => (request) =>
      Effect.logDebug("stitch begins").pipe(
        Effect.andThen(stitch(request)),
        Effect.onExit((exit) => {
          if (Exit.isSuccess(exit)) return Effect.logInfo("stitch done", `${exit.value.frames} frames`)
          const error = Option.getOrUndefined(Exit.findErrorOption(exit))
          if (error !== undefined) return Effect.logWarning("stitch failed", error.message)
          return Exit.hasInterrupts(exit)
            ? Effect.logInfo("stitch stopped")
            : Effect.logWarning("stitch died", exit.cause)
        }),
        Effect.withLogSpan("stitch"),
        Effect.annotateLogs({ output: request.output, chunks: request.total })
      )
  )

const meters = Observation.meters("helios.stitcher", "joins")

/**
 * `helios.stitcher.duration`: how long joins took, in milliseconds and waiting for chunks included, by `helios.outcome`
 * (`completed`, `failed`, `interrupted`) and `error.type`. Its count is how many there were.
 */
export const stitchDuration: Metric.Histogram<number> = meters.duration

/** `helios.stitcher.active`: how many joins are under way. */
export const stitchesActive: Metric.Counter<number> = meters.active

/**
 * Keeps {@link stitchDuration} and {@link stitchesActive}, of stitchers that are used without a `JobManager` as well;
 * `attributes` come with each of them.
 */
export const metrics = (attributes: Readonly<Record<string, string>> = {}): Middleware =>
  around((stitch) => {
    const measured = Observation.within(Observation.makeMeter(meters, attributes))
    return (request) => measured(stitch(request))
  })

/**
 * At most so many joins at once, of all jobs that use the stitcher; further ones wait. As each waits for the chunks of its
 * job, jobs beyond the limit are joined when those before them are done, and are rendered meanwhile.
 *
 * Throws a `RangeError` unless `most` is a whole number from 1.
 */
export const limitConcurrency = (most: number): Middleware => {
  Limits.checkCount("most", most)
  return around((stitch) => {
    const slots = Semaphore.makeUnsafe(most)
    return (request) => slots.withPermit(stitch(request))
  })
}

/**
 * Stops a join that is not done so long after its last chunk was there, and fails it with `StitchTimedOut`.
 *
 * Throws a `RangeError` unless the limit is more than 0.
 */
export const limitTime = (limit: Duration.Input): Middleware => {
  const most = Limits.checkTime("limit", limit)
  const late = Effect.suspend(() =>
    Effect.fail(new StitchError({ reason: new StitchTimedOut({ afterMs: Math.round(Duration.toMillis(most)) }) }))
  )
  return around(
    (stitch) => (request) =>
      Effect.suspend(() => {
        const complete = Deferred.makeUnsafe<void>()
        const inputs = Stream.tap(request.inputs, ({ index }) =>
          index === request.total - 1 ? Deferred.succeed(complete, undefined) : Effect.void
        )
        const tooLate = Deferred.await(complete).pipe(Effect.andThen(Effect.sleep(most)), Effect.andThen(late))
        return Effect.raceFirst(stitch({ ...request, inputs }), tooLate)
      })
  )
}
