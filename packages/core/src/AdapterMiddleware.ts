/**
 * What can be put around a `WorkerAdapter`: logs, metrics, limits, or a function of one's own.
 *
 * A middleware makes an adapter from an adapter, so that any number of them go around any adapter, and around a pool of
 * them. Results, errors, signals and interruption pass through as they are; what an adapter says of itself stays true.
 *
 * ```ts
 * import * as AdapterMiddleware from "@helios-infra/core/AdapterMiddleware"
 * import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
 *
 * export const workers = LocalWorkerAdapter.layer().pipe(
 *   AdapterMiddleware.onLayer(AdapterMiddleware.limitConcurrency(2), AdapterMiddleware.logging())
 * )
 * ```
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as Limits from "./internal/Limits.ts"
import * as Observation from "./internal/Observation.ts"
import * as Telemetry from "./Telemetry.ts"
import type { WorkerAdapterInfo, WorkerJob, WorkerSignal } from "./WorkerAdapter.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { TimedOut, WorkerError } from "./WorkerError.ts"

export type { Rate } from "./internal/Limits.ts"

type Adapter = WorkerAdapter.WorkerAdapter["Service"]

/** Makes an adapter of an adapter. */
export type Middleware = (adapter: Adapter) => Adapter

/**
 * Puts a function around every attempt: what it makes of `execute` is called in its place. `says` tells what that changes
 * in what the adapter says of itself.
 *
 * ```ts
 * import * as AdapterMiddleware from "@helios-infra/core/AdapterMiddleware"
 * import * as Effect from "effect/Effect"
 *
 * export const traced = AdapterMiddleware.around((execute, info) => (job, signal) =>
 *   execute(job, signal).pipe(Effect.withSpan("attempt", { attributes: { adapter: info.name, job: job.id } }))
 * )
 * ```
 */
export const around =
  (
    wrap: (execute: Adapter["execute"], info: WorkerAdapterInfo) => Adapter["execute"],
    says: (info: WorkerAdapterInfo) => Partial<WorkerAdapterInfo> = () => ({})
  ): Middleware =>
  (adapter) => {
    const { info } = adapter
    return WorkerAdapter.make({
      info: { ...info, ...says(info) },
      // What an adapter throws is what its attempt ends with.
      execute: wrap((job, signal) => Effect.suspend(() => adapter.execute(job, signal)), info),
      reap: (jobId, handles) => adapter.reap(jobId, handles)
    })
  }

/** Puts middleware around the adapter of a layer, in the order of a pipe: the last is the outermost. */
export const onLayer =
  (...middleware: ReadonlyArray<Middleware>) =>
  <A, E, R>(
    layer: Layer.Layer<A | WorkerAdapter.WorkerAdapter, E, R>
  ): Layer.Layer<A | WorkerAdapter.WorkerAdapter, E, R> =>
    Layer.provideMerge(
      Layer.effect(
        WorkerAdapter.WorkerAdapter,
        Effect.map(WorkerAdapter.WorkerAdapter, (adapter) =>
          middleware.reduce((inner, around) => around(inner), adapter)
        )
      ),
      layer
    )

/** Gives an adapter another name, as errors, handles, logs and metrics have it: for two of a kind in one pool. */
export const named = (name: string): Middleware =>
  around(
    (execute, info) => (job, signal) =>
      Effect.mapError(execute(job, signal), (error) =>
        error.adapter === info.name ? new WorkerError({ ...error, adapter: name }) : error
      ),
    () => ({ name })
  )

// ---------------------------------------------
// what is seen of attempts
// ---------------------------------------------

const placeOf = ({ info, job }: { readonly info: WorkerAdapterInfo; readonly job: WorkerJob }) => ({
  adapter: info.name,
  [Telemetry.annotations.job]: job.meta.jobId,
  [Telemetry.annotations.run]: job.meta.run,
  [Telemetry.annotations.chunk]: WorkerAdapter.chunkId(job) ?? "merge",
  [Telemetry.annotations.attempt]: job.meta.attempt
})

/**
 * Logs how each attempt ends and how long it took: `Info` when it is done, stopped or throttled, `Warning` when it failed
 * or could not be stopped; and at `Debug` that it begins. Whatever is logged meanwhile has the same annotations:
 * `adapter`, `job`, `run`, `chunk`, `attempt`.
 */
export const logging = (): Middleware =>
  around(
    (execute, info) => (job, signal) =>
      Effect.suspend(() => {
        let runsOn: string | undefined
        const tell = (said: WorkerSignal): void => {
          if (said._tag === "NotStopped") runsOn = said.detail
          signal(said)
        }
        return Effect.logDebug("attempt begins").pipe(
          Effect.andThen(execute(job, tell)),
          Effect.onExit((exit) => {
            const error = Option.getOrUndefined(Exit.findErrorOption(exit))
            const ended =
              error === undefined
                ? Exit.isFailure(exit) && !Exit.hasInterrupts(exit)
                  ? Effect.logWarning("attempt died", exit.cause)
                  : Effect.logInfo(Exit.isSuccess(exit) ? "attempt done" : "attempt stopped")
                : error.reason._tag === "Throttled"
                  ? Effect.logInfo("attempt throttled", error.reason.message)
                  : Effect.logWarning("attempt failed", error.reason.message)
            return runsOn === undefined ? ended : Effect.andThen(ended, Effect.logWarning("attempt runs on", runsOn))
          }),
          Effect.withLogSpan("attempt"),
          Effect.annotateLogs(placeOf({ info, job }))
        )
      })
  )

const meters = Observation.meters("helios.adapter.attempt", "attempts")

/**
 * `helios.adapter.attempt.duration`: how long attempts took, in milliseconds, by `helios.worker.adapter`, `helios.outcome`
 * (`completed`, `failed`, `interrupted`) and `error.type`. Its count is how many there were.
 */
export const attemptDuration: Metric.Histogram<number> = meters.duration

/** `helios.adapter.attempt.active`: how many attempts are under way, by `helios.worker.adapter`. */
export const attemptsActive: Metric.Counter<number> = meters.active

/**
 * Keeps {@link attemptDuration} and {@link attemptsActive} of one adapter, such as one of a pool: `Telemetry.metrics`, which
 * are always kept, know the pool alone. `attributes` come with each of them.
 */
export const metrics = (attributes: Readonly<Record<string, string>> = {}): Middleware =>
  around((execute, info) => {
    const meter = Observation.makeMeter(meters, { [Telemetry.attributes.adapter]: info.name, ...attributes })
    const measured = Observation.within(meter)
    return (job, signal) => measured(execute(job, signal))
  })

// ---------------------------------------------
// limits
// ---------------------------------------------

/** How often an attempt that waits for its turn shows that it lives, so that nobody takes it for stalled. */
const beat = Duration.seconds(1)

const beating = (signal: (signal: WorkerSignal) => void): Effect.Effect<never> =>
  Effect.forever(
    Effect.andThen(
      Effect.sleep(beat),
      Effect.sync(() => signal({ _tag: "Heartbeat" }))
    )
  )

/**
 * At most so many attempts at once, of all jobs that use the adapter; further ones wait. One job alone never waits: the
 * adapter says that it can take no more. Waiting counts as part of the attempt where it has a time limit.
 *
 * Throws a `RangeError` unless `most` is a whole number from 1.
 */
export const limitConcurrency = (most: number): Middleware => {
  Limits.checkCount("most", most)
  return around(
    (execute) => {
      const slots = Semaphore.makeUnsafe(most)
      const atOnce = slots.withPermitsIfAvailable(1)
      let queued = 0
      const inTurn: typeof execute = (job, signal) => {
        let isQueued = false
        const enter = Effect.suspend(() => {
          queued++
          isQueued = true
          return Effect.forkChild(beating(signal))
        })
        const leave = Effect.sync(() => {
          if (isQueued) queued--
          isQueued = false
        })
        return Effect.ensuring(
          Effect.flatMap(enter, (beats) =>
            slots.withPermit(Effect.andThen(Effect.andThen(leave, Fiber.interrupt(beats)), execute(job, signal)))
          ),
          leave
        )
      }
      return (job, signal) =>
        Effect.flatMap(
          // A free slot is for who waits already.
          Effect.suspend(() => (queued > 0 ? Effect.succeedNone : atOnce(execute(job, signal)))),
          (done) => (Option.isSome(done) ? Effect.succeed(done.value) : Effect.suspend(() => inTurn(job, signal)))
        )
    },
    (info) => ({
      concurrency: Math.min(WorkerAdapter.concurrencyOf(info), most),
      maxConcurrency: Math.min(info.maxConcurrency ?? most, most)
    })
  )
}

/**
 * At most so many attempts begin in so much time, of all jobs that use the adapter; further ones wait for their turn.
 * Waiting counts as part of the attempt where it has a time limit.
 *
 * Throws a `RangeError` unless `most` is a whole number from 1 and `per` is more than 0.
 */
export const limitRate = (rate: Limits.Rate): Middleware => {
  Limits.checkRate(rate)
  return around((execute) => {
    const turn = Limits.makeTurns(rate)
    return (job, signal) => Effect.andThen(Effect.raceFirst(turn, beating(signal)), execute(job, signal))
  })
}

/**
 * Stops an attempt that takes longer, and fails it with `TimedOut`; the adapter says that it takes no longer ones. For
 * one of several adapters: `attemptTimeout` is the limit for all attempts of a job.
 *
 * Throws a `RangeError` unless the limit is more than 0.
 */
export const limitTime = (limit: Duration.Input): Middleware => {
  const most = Limits.checkTime("limit", limit)
  return around(
    (execute, info) => (job, signal) =>
      Effect.timeoutOrElse(execute(job, signal), {
        duration: most,
        orElse: () =>
          Effect.fail(
            WorkerAdapter.failure(
              info.name,
              job,
              new TimedOut({ limit: "attempt", afterMs: Math.round(Duration.toMillis(most)) })
            )
          )
      }),
    ({ maxDuration = most }) => ({ maxDuration: Duration.min(Duration.fromInputUnsafe(maxDuration), most) })
  )
}
