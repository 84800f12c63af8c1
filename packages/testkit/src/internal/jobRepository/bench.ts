/** What the promises of a repository are put to the test with. */
import { JobRepository, type RepositoryError } from "@helios-infra/core/JobRepository"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { background, eventually, failureOf, holds, type Mismatch, type Patience, same, within } from "../check.ts"
import { cancel, created } from "./journals.ts"

type Repository = JobRepository["Service"]

/** Opens the store once more. */
export class Reopen extends Context.Service<Reopen, Effect.Effect<Repository, Mismatch, Scope.Scope>>()(
  "@helios-infra/testkit/JobRepositoryContract/Reopen"
) {}

/** A group of promises; `undefined` for those that were not asked for. */
export type Promises = Readonly<
  Record<string, Effect.Effect<void, Error, JobRepository | Reopen | Scope.Scope> | undefined>
>

/** What a repository is held to. */
export interface Demands {
  readonly fencing: boolean
  readonly crossProcess: boolean
  /** Whether the store can be opened again. */
  readonly reopens: boolean
  /** Whether what was appended is stored before a run has ended. */
  readonly keepsAll: boolean
  readonly timing: Patience
}

/** A writer whose scope closes when it is told to, or with the case. */
export const open = Effect.fnUntraced(function* (
  jobs: Repository,
  jobId: string,
  takeOver: "if-dead" | "always" = "if-dead"
) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* jobs.openWriter(jobId, { takeOver }).pipe(Scope.provide(scope))
  return { ...writer, close: Scope.close(scope, Exit.void) }
})

export const failsWith = <A, R>(
  what: string,
  reason: RepositoryError["reason"]["_tag"],
  jobId: string,
  effect: Effect.Effect<A, RepositoryError, R>
): Effect.Effect<RepositoryError, Mismatch, R> =>
  failureOf(what, effect).pipe(
    Effect.tap((error) => same(`${what} should fail with ${reason}`, error.reason._tag, reason)),
    Effect.tap((error) => same(`the job that the error of ${what} names`, error.jobId, jobId)),
    Effect.tap((error) =>
      holds(`the message of ${what} should name the job`, error.message.includes(jobId), error.message)
    )
  )

/** Every operation on a job that must exist. */
export const operations = (
  jobs: Repository,
  jobId: string
): ReadonlyArray<readonly [string, Effect.Effect<unknown, RepositoryError, Scope.Scope>]> => [
  ["openWriter", jobs.openWriter(jobId, { takeOver: "if-dead" })],
  ["openWriter to take over", jobs.openWriter(jobId, { takeOver: "always" })],
  ["read", Stream.runDrain(jobs.read(jobId))],
  ["changes", Stream.runDrain(jobs.changes(jobId, 0))],
  ["request", jobs.request(jobId, cancel)],
  ["requests", Stream.runDrain(jobs.requests(jobId))],
  ["delete", jobs.delete(jobId)]
]

/** Makes the bench. */
export const make = (demands: Demands) => {
  const { timing } = demands

  /** A promise about a repository with one job, `job`. */
  const withJob = <A, E2 extends Error>(
    promise: (jobs: Repository) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2 | RepositoryError, JobRepository | Scope.Scope> =>
    Effect.flatMap(JobRepository, (jobs) => Effect.andThen(jobs.create("job", created), promise(jobs))).pipe(
      Effect.asVoid
    )

  /** A promise about a repository, and another one that has the same store open. */
  const withTwo = <A, E2 extends Error>(
    promise: (jobs: Repository, others: Repository) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2 | RepositoryError | Mismatch, JobRepository | Reopen | Scope.Scope> =>
    Effect.gen(function* () {
      const jobs = yield* JobRepository
      yield* jobs.create("job", created)
      yield* promise(jobs, yield* yield* Reopen)
    })

  const aside = <A, E2, R>(effect: Effect.Effect<A, E2, R>) => background(timing, effect)

  /** What a stream has given so far. */
  const collecting = Effect.fnUntraced(function* <A>(stream: Stream.Stream<A, RepositoryError>) {
    const seen: Array<A> = []
    const fiber = yield* Stream.runForEach(stream, (value) => Effect.sync(() => void seen.push(value))).pipe(aside)
    return { seen, fiber }
  })

  const sees = (what: string, seen: ReadonlyArray<unknown>, count: number) =>
    eventually(
      timing,
      `${what} should see ${count}`,
      Effect.sync(() => seen.length >= count)
    )

  const ends = <A, E2>(what: string, fiber: Fiber.Fiber<A, E2>) =>
    within(timing, `${what} should end`, Fiber.join(fiber))

  return { ...demands, aside, collecting, ends, sees, withJob, withTwo }
}

/** The type of what {@link make} gives. */
export type Bench = ReturnType<typeof make>
