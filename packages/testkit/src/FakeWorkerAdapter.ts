/**
 * Workers that do as they are told: how long an attempt takes, how it fails, what it tells and what it writes. On
 * whatever clock there is: with the test clock, hours of rendering pass in no time.
 *
 * Files go to {@link FakeFiles}. What every attempt did can be read from {@link FakeWorkers}.
 */
import {
  failure,
  make as makeAdapter,
  chunkId as chunkIdOf,
  WorkerAdapter,
  type WorkerAdapterInfo,
  type WorkerJob,
  type WorkerResult,
  type WorkerSignal
} from "@helios-infra/core/WorkerAdapter"
import { type WorkerError, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { type FakeFile, FakeFiles, video } from "./FakeFiles.ts"

/** What a worker does for one attempt. Everything can be left out: then it writes the chunk's frames at once. */
export interface Step {
  /** How long it takes; `"Infinity"` for one that never ends. */
  readonly takes?: Duration.Input | undefined
  /** What it tells, one after the other, spread evenly over the time it takes. */
  readonly signals?: ReadonlyArray<WorkerSignal> | undefined
  /** Why it fails when its time is over. */
  readonly fails?: WorkerReason | undefined
  /** What it writes when its time is over. Default: the chunk's frames, every one. */
  readonly output?: FakeFile | "nothing" | undefined
  readonly stdout?: string | undefined
  readonly stderr?: string | undefined
}

/** Which attempt a script is asked about; `chunkId` is absent for the merge command. */
export interface Attempt {
  readonly chunkId: number | undefined
  /** Counted from 1 within a run. */
  readonly attempt: number
  readonly job: WorkerJob
}

/** Says what a worker does for each attempt. */
export type Script = (attempt: Attempt) => Step

/**
 * A script by chunk id: the first step for the first attempt, and so on. Attempts and chunks that it does not name do
 * their work at once.
 */
export const scripted =
  (steps: Readonly<Record<number, ReadonlyArray<Step>>>): Script =>
  ({ attempt, chunkId }) =>
    (chunkId === undefined ? undefined : steps[chunkId]?.[attempt - 1]) ?? {}

/** One attempt that was made, and how it ended, once it has. */
export interface Made {
  readonly job: WorkerJob
  readonly chunkId: number | undefined
  readonly attempt: number
  /** When it began, in milliseconds of the clock. */
  readonly at: number
  readonly ended: "done" | "failed" | "interrupted" | undefined
}

/** What the workers of one adapter have done so far. */
export class FakeWorkers extends Context.Service<
  FakeWorkers,
  {
    /** Every attempt, in the order of their beginnings. */
    readonly attempts: ReadonlyArray<Made>
    readonly running: () => number
    /** The most that ran at the same time. */
    readonly mostRunning: () => number
  }
>()("@helios-infra/testkit/FakeWorkerAdapter/FakeWorkers") {}

/** How the workers behave. */
export interface Options {
  /** Default: every attempt succeeds at once. */
  readonly script?: Script | undefined
  /**
   * What the adapter says of itself. With a `stop` other than `"always"`, an attempt that is interrupted is reported as
   * `NotStopped`, goes on, and writes late.
   */
  readonly info?: Partial<WorkerAdapterInfo> | undefined
}

const tailLength = 4096

/** Makes an adapter, and the record of what its workers do. */
export const make = (
  options: Options = {}
): Effect.Effect<
  { readonly adapter: WorkerAdapter["Service"]; readonly workers: FakeWorkers["Service"] },
  never,
  FakeFiles
> =>
  Effect.gen(function* () {
    const files = yield* FakeFiles
    const script: Script = options.script ?? (() => ({}))
    const info: WorkerAdapterInfo = { name: "fake", where: "local", stop: "always", concurrency: 2, ...options.info }
    const attempts: Array<{ -readonly [K in keyof Made]: Made[K] }> = []
    const live = new Map<
      string,
      { readonly kill: Deferred.Deferred<never, WorkerError>; readonly over: Deferred.Deferred<void> }
    >()
    let mostRunning = 0

    const execute = Effect.fnUntraced(function* (job: WorkerJob, signal: (signal: WorkerSignal) => void) {
      const chunkId = chunkIdOf(job)
      const { attempt, output } = job.meta
      const step = script({ attempt, chunkId, job })
      const at = yield* Clock.currentTimeMillis
      const made: (typeof attempts)[number] = { job, chunkId, attempt, at, ended: undefined }
      const workerId = `fake-${attempts.push(made)}`
      const handle = `${job.id}~${workerId}`
      const kill = yield* Deferred.make<never, WorkerError>()
      const over = yield* Deferred.make<void>()

      const work = Effect.gen(function* () {
        signal({ _tag: "Assigned", workerId, handle })
        const told = step.signals ?? []
        const takes = Duration.fromInputUnsafe(step.takes ?? 0)
        for (const one of told) {
          yield* pass(Duration.divideUnsafe(takes, told.length + 1))
          signal(one)
        }
        yield* pass(Duration.divideUnsafe(takes, told.length + 1))
        if (step.fails !== undefined) return yield* failure(info.name, job, step.fails, workerId)
        const stdout = (step.stdout ?? "").slice(-tailLength)
        const stderr = (step.stderr ?? "").slice(-tailLength)
        const result = { exitCode: 0, stdout, stderr, durationMs: Duration.toMillis(takes), workerId }
        if (step.output === "nothing" || (job.meta._tag === "Merge" && step.output === undefined)) return result
        const location = output._tag === "File" ? output.path : output.key
        const file =
          step.output ?? (job.meta._tag === "Chunk" ? video(job.meta.startFrame, job.meta.frameCount) : video(0, 0))
        files.set(location, file)
        return { ...result, output: { location, bytes: file.bytes } }
      }).pipe(Effect.raceFirst(Deferred.await(kill)))
      const end = Effect.onExit((exit: Exit.Exit<WorkerResult, WorkerError>) =>
        Effect.sync(() => {
          made.ended = Exit.isSuccess(exit) ? "done" : Exit.hasInterrupts(exit) ? "interrupted" : "failed"
          live.delete(handle)
          Deferred.doneUnsafe(over, Effect.void)
        })
      )

      const begin = Effect.sync(() => {
        live.set(handle, { kill, over })
        mostRunning = Math.max(mostRunning, live.size)
      })
      if (info.stop === "always") return yield* end(Effect.andThen(begin, work))
      // Somebody else's machine: it goes on when nobody listens any more.
      return yield* Effect.uninterruptibleMask((restore) =>
        begin.pipe(
          Effect.andThen(Effect.forkDetach(end(Effect.interruptible(work)))),
          Effect.flatMap((remote) => restore(Fiber.join(remote))),
          Effect.onInterrupt(() => Effect.sync(() => signal({ _tag: "NotStopped", detail: `${workerId} goes on` })))
        )
      )
    })

    const reap = Effect.fnUntraced(function* (_jobId: string, handles: ReadonlyArray<string>) {
      for (const handle of handles) {
        const found = live.get(handle)
        const job = attempts.find((made) => handle.startsWith(`${made.job.id}~`))?.job
        if (found === undefined || job === undefined) continue
        yield* Deferred.fail(found.kill, failure(info.name, job, new WorkerLost({ detail: "it was reaped" })))
        yield* Deferred.await(found.over)
      }
      return { leftover: [] }
    })

    return {
      adapter: makeAdapter({ info, execute, reap }),
      workers: { attempts, running: () => live.size, mostRunning: () => mostRunning }
    }
  })

const pass = (time: Duration.Duration): Effect.Effect<void> =>
  Duration.isFinite(time) ? Effect.sleep(time) : Effect.never

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<WorkerAdapter | FakeWorkers, never, FakeFiles> =>
  Layer.effectContext(
    Effect.map(make(options), ({ adapter, workers }) =>
      Context.make(WorkerAdapter, adapter).pipe(Context.add(FakeWorkers, workers))
    )
  )
