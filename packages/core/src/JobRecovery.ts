/**
 * Takes up jobs whose process died: runs them on, lets those be that were being stopped, and gives up those that end
 * their processes.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { JobError } from "./JobError.ts"
import type { ErrorSummary } from "./JobEvent.ts"
import type { JobSummary, RepositoryError } from "./JobRepository.ts"
import { type JobState, runsBrokenOff } from "./JobState.ts"
import { annotations } from "./Telemetry.ts"

/** Which jobs `recover` runs on, and how. */
export interface Options {
  /**
   * Runs a job on; `options` belong among those of `start`, `resume` or `run`. The next job waits for it. Default: `start`,
   * in the background, with the final file of its last run.
   */
  readonly run?:
    | ((job: JobState, options: { readonly takeOver: "if-dead" | "always" }) => Effect.Effect<unknown, JobError>)
    | undefined
  /**
   * `always` takes jobs over of whose process nobody here knows whether it lives, such as one on another machine: only
   * when it is known to be gone. Default: `if-dead`.
   */
  readonly takeOver?: "if-dead" | "always" | undefined
  /**
   * How many runs in a row may break off without having accepted a chunk before a job is given up, for it may be the job
   * that ends its processes. Default: 3.
   */
  readonly brokenOff?: number | undefined
}

/**
 * What became of a job whose process died.
 *
 * - `resumed`: it is run on.
 * - `settled`: it had been told to stop, and now stands as `cancelled` or `paused`.
 * - `given-up`: too many of its runs broke off; it now stands as `failed`, and can be resumed by hand.
 * - `error`: nothing was done; somebody else was faster, for one.
 */
export type Recovered =
  | { readonly jobId: string; readonly how: "resumed" | "settled" | "given-up" }
  | { readonly jobId: string; readonly how: "error"; readonly error: JobError }

/** From whom a job may be taken. */
interface TakeOver {
  readonly takeOver: "if-dead" | "always"
}

/** What it does with jobs. */
interface Jobs {
  /** Those that are running as far as their journals know, the newest first. */
  readonly list: Stream.Stream<JobSummary, RepositoryError>
  readonly get: (jobId: string) => Effect.Effect<JobState, JobError>
  readonly start: (jobId: string, options: TakeOver) => Effect.Effect<void, JobError>
  /** Writes down how a job that nobody runs has ended. */
  readonly settle: (
    jobId: string,
    how: "cancelled" | "failed" | "paused",
    options: TakeOver & { readonly error?: ErrorSummary }
  ) => Effect.Effect<void, JobError>
}

/** How many runs in a row may break off without an accepted chunk when nobody says. */
const defaultBrokenOff = 3

/** Makes what `JobManager.recover` does. */
export const make = ({ get, list, settle, start }: Jobs) => {
  const recoverOne = Effect.fnUntraced(function* (
    jobId: string,
    { brokenOff = defaultBrokenOff, run, takeOver = "if-dead" }: Options
  ): Effect.fn.Return<Recovered, JobError> {
    const state = yield* get(jobId)
    // Somebody was faster: it stands as they wanted it.
    if (state.status !== "running") return { jobId, how: "settled" }
    if (state.stopping !== undefined) {
      yield* settle(jobId, state.stopping, { takeOver })
      return { jobId, how: "settled" }
    }
    const broken = runsBrokenOff(state)
    if (broken >= brokenOff) {
      const message = `its process died in ${broken} runs in a row, none of which accepted a chunk: find out why (its log, memory, disk), then resume it by hand`
      yield* Effect.logError(`job ${jobId} is given up: ${message}`)
      yield* settle(jobId, "failed", { takeOver, error: { _tag: "BrokenOff", message } })
      return { jobId, how: "given-up" }
    }
    yield* run === undefined ? start(jobId, { takeOver }) : run(state, { takeOver })
    return { jobId, how: "resumed" }
  })

  return Effect.fnUntraced(function* (options: Options = {}): Effect.fn.Return<ReadonlyArray<Recovered>, JobError> {
    const isLost = ({ owner }: JobSummary) =>
      owner === "dead" || owner === "none" || (owner === "unknown" && options.takeOver === "always")
    const orphans = yield* Stream.runCollect(Stream.filter(list, isLost)).pipe(
      Effect.mapError((reason) => new JobError({ reason }))
    )
    return yield* Effect.forEach(orphans.toReversed(), ({ id }) =>
      Effect.catch(recoverOne(id, options), (error) =>
        Effect.succeed<Recovered>({ jobId: id, how: "error", error })
      ).pipe(Effect.annotateLogs(annotations.job, id))
    )
  })
}
