/**
 * The base of classes of the Promise API that keep jobs as journals: whole jobs, as `save`, `get` and `list` have them, are
 * folded from those and turned into those. A `JobManager` uses the journals themselves.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import { JobRepository, NotFound, RepositoryError } from "./JobRepository.ts"
import * as JobState from "./JobState.ts"
import type { JobRepository as PlainRepository, JobState as PlainState } from "./promise/JobRepository.ts"
import * as PromiseBacking from "./PromiseBacking.ts"
import * as WholeJobRepository from "./WholeJobRepository.ts"

/** Opens its repository when it is first used; `close` lets go of it. */
export class RepositoryClass implements PlainRepository {
  readonly #runtime: ManagedRuntime.ManagedRuntime<JobRepository, RepositoryError>

  constructor(repository: PromiseBacking.RepositoryLayer) {
    this.#runtime = ManagedRuntime.make(repository)
    PromiseBacking.backRepository(this, Layer.effectContext(this.#runtime.contextEffect))
  }

  /** The job; `null` where there is none. */
  get(jobId: string): Promise<PlainState | null> {
    return this.#run(JobRepository.use((jobs) => stateOf(jobs, jobId)))
  }

  /** All jobs, the newest first. */
  list(): Promise<Array<PlainState>> {
    return this.#run(JobRepository.use(statesOf))
  }

  /** Removes a job that nobody runs; does nothing where there is none. */
  delete(jobId: string): Promise<void> {
    return this.#run(JobRepository.use((jobs) => remove(jobs, jobId)))
  }

  /**
   * Takes a job over from elsewhere, in place of the one with the same id that nobody runs: as one run, with what was
   * accepted. A `JobManager` does not need it.
   */
  save(job: PlainState): Promise<void> {
    return this.#run(JobRepository.use((jobs) => take(jobs, job)))
  }

  /** Lets go of what the repository holds open, such as the connections of a database. */
  close(): Promise<void> {
    return this.#runtime.dispose()
  }

  #run<A>(effect: Effect.Effect<A, RepositoryError, JobRepository>): Promise<A> {
    return PromiseBacking.run(Effect.flatMap(this.#runtime.contextEffect, (context) => Effect.provide(effect, context)))
  }
}

type Jobs = JobRepository["Service"]

const stateOf = (jobs: Jobs, jobId: string): Effect.Effect<PlainState | null, RepositoryError> => {
  const folding = JobState.makeFold(jobId)
  return Stream.runForEach(jobs.read(jobId), (record) => Effect.sync(() => folding.apply(record))).pipe(
    Effect.map(() => folding.state() ?? null),
    Effect.catchReason("RepositoryError", "NotFound", () => Effect.succeed(null))
  )
}

const statesOf = Effect.fnUntraced(function* (jobs: Jobs): Effect.fn.Return<Array<PlainState>, RepositoryError> {
  const summaries = yield* Stream.runCollect(jobs.list())
  const states = yield* Effect.forEach(summaries, ({ id }) => stateOf(jobs, id))
  return states.filter((state) => state !== null)
})

const remove = (jobs: Jobs, jobId: string): Effect.Effect<void, RepositoryError> =>
  Effect.catchReason(jobs.delete(jobId), "RepositoryError", "NotFound", () => Effect.void)

const take = Effect.fnUntraced(function* (jobs: Jobs, job: PlainState): Effect.fn.Return<void, RepositoryError> {
  const [created, ...events] = WholeJobRepository.journalOf(job).map(({ event }) => event)
  if (created === undefined) return yield* new RepositoryError({ jobId: job.id, reason: new NotFound() })
  yield* remove(jobs, job.id)
  yield* jobs.create(job.id, created)
  if (events.length === 0) return
  const append = Effect.flatMap(jobs.openWriter(job.id, { takeOver: "if-dead" }), ({ append, run }) =>
    append(events.map((event) => ("run" in event ? { ...event, run } : event)))
  )
  yield* Effect.scoped(append)
})
