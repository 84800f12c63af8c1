/**
 * Brings jobs to an end from outside of their runs: whoever runs a job is asked, and one that nobody runs gets its end
 * written into its journal.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ErrorSummary, RunOutcome } from "../JobEvent.ts"
import type { JobRepository, JobRequest, RepositoryError } from "../JobRepository.ts"
import { hasEnded } from "../JobState.ts"
import * as JobJournal from "./JobJournal.ts"

/** How a job that nobody runs is to stand. */
interface Settling {
  readonly takeOver: "if-dead" | "always"
  readonly error?: ErrorSummary
}

/** Ends jobs of a repository; `active` has the runs that are under way here, each done when nothing of it is left. */
export const make = (repository: JobRepository["Service"], active: ReadonlyMap<string, Deferred.Deferred<void>>) => {
  const { follow, read } = JobJournal.make(repository)

  /** Says how a job that nobody runs has ended, unless it has meanwhile. Fails with `Running` where somebody does. */
  const settle = Effect.fnUntraced(function* (
    jobId: string,
    how: Exclude<RunOutcome, "completed">,
    { error, takeOver }: Settling
  ): Effect.fn.Return<void, RepositoryError> {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const writer = yield* repository.openWriter(jobId, { takeOver })
        const { status, stopping } = yield* read(jobId)
        if (hasEnded(status) || status === how) return
        const why = error === undefined ? undefined : { error }
        // Its process died while it cancelled the job: to pause it now would undo that.
        const end = how === "paused" && stopping === "cancelled" ? stopping : how
        yield* writer.append([{ _tag: "RunEnded", run: writer.run, how: end, ...why, leftover: [] }])
      })
    )
  })

  /** Waits for the end of the run that is under way. Elsewhere, it stands in the journal a moment before it is over. */
  const ended = (jobId: string, after: number): Effect.Effect<void, RepositoryError> => {
    const here = active.get(jobId)
    if (here !== undefined) return Deferred.await(here)
    return repository.changes(jobId, after).pipe(
      Stream.takeUntil(({ event }) => event._tag === "RunEnded"),
      Stream.runDrain,
      Effect.andThen(Effect.sleep("10 millis"))
    )
  }

  /**
   * Ends a job that nobody runs; else asks whoever does, and waits until nobody does. Looks again every second: its owner
   * may have died, or another run have begun, which has to be asked as well.
   */
  const end = Effect.fnUntraced(function* (
    jobId: string,
    after: number,
    request: JobRequest
  ): Effect.fn.Return<void, RepositoryError> {
    const { readOn } = follow(jobId)
    let asked: number | undefined
    while (true) {
      const idle = yield* settle(jobId, outcomeOf(request), { takeOver: "if-dead" }).pipe(
        Effect.as(true),
        Effect.catchReason("RepositoryError", "Running", () => Effect.succeed(false))
      )
      if (idle) return
      const { run } = yield* readOn
      if (run !== asked) yield* repository.request(jobId, request)
      asked = run
      yield* Effect.timeoutOption(ended(jobId, after), "1 second")
    }
  })

  return { end, settle }
}

/** How a run ends of which this is asked. */
export const outcomeOf = (request: JobRequest): "cancelled" | "paused" =>
  request._tag === "Cancel" ? "cancelled" : "paused"
