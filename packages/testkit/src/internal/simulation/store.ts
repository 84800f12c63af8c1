/**
 * Jobs outside of every orchestrator, as a database would keep them: what a crash of one does not take with it.
 *
 * Fences like core's repository in memory, and knows which of its users are alive. Whoever uses it sees the others.
 */
import type { JobEvent, JobRecord, Owner } from "@helios-infra/core/JobEvent"
import {
  AlreadyExists,
  Fenced,
  JobRepository,
  type JobRequest,
  type JobSummary,
  NotFound,
  RepositoryError,
  Running
} from "@helios-infra/core/JobRepository"
import { type JobFold, makeFold } from "@helios-infra/core/JobState"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** Somebody who uses the store. */
export interface User {
  readonly name: string
  readonly alive: () => boolean
  /** Tells it something, unless it is dead. */
  readonly tell: (news: () => void) => void
}

/** A job as it is stored. */
export interface StoredJob {
  readonly id: string
  readonly records: Array<JobRecord>
  readonly fold: JobFold
  readonly requests: Array<JobRequest>
  /** Those who want to know when something of it changes. */
  readonly listeners: Set<() => void>
  run: number
  /** Who writes its run. */
  writer: User | undefined
  /** It was deleted. */
  over: boolean
}

/** What is stored, and who is told of it. */
export interface Store {
  readonly jobs: Map<string, StoredJob>
  /** Whether a writer that was taken over is refused; a store without that is for tests of what notices. */
  readonly fencing: boolean
  /** Told of every record that was appended, by whom. */
  readonly onAppend: (job: StoredJob, records: ReadonlyArray<JobRecord>, by: User) => void
  /** Told of every run that begins. */
  readonly onOpen: (job: StoredJob, by: User) => void
}

/** Makes an empty store. */
export const make = (options: Partial<Omit<Store, "jobs">> = {}): Store => ({
  fencing: true,
  onAppend: () => {},
  onOpen: () => {},
  ...options,
  jobs: new Map()
})

/** Whether somebody who is alive writes the job. */
export const isRun = (job: StoredJob): boolean => job.writer !== undefined && job.writer.alive()

const ownerOf = (user: User): Owner => ({ host: user.name })

const fail = (jobId: string, reason: RepositoryError["reason"]) => Effect.fail(new RepositoryError({ jobId, reason }))

const changed = (job: StoredJob): void => {
  const listeners = [...job.listeners]
  job.listeners.clear()
  for (const heard of listeners) heard()
}

/** The store as one of its users sees it. */
export const repository = (store: Store, user: User): JobRepository["Service"] => {
  const on = <A>(
    jobId: string,
    step: (job: StoredJob) => Effect.Effect<A, RepositoryError>
  ): Effect.Effect<A, RepositoryError> =>
    Effect.suspend(() => {
      // What a dead user asks reaches nobody.
      if (!user.alive()) return Effect.never
      const job = store.jobs.get(jobId)
      return job === undefined ? fail(jobId, new NotFound()) : step(job)
    })

  const write = (job: StoredJob, run: number, at: number, events: ReadonlyArray<JobEvent>) => {
    const before = job.records.length
    const records = events.map((event, index) => ({ revision: before + index + 1, run, at, event }))
    job.records.push(...records)
    records.forEach(job.fold.apply)
    store.onAppend(job, records, user)
    changed(job)
    return records
  }

  const follow = <A>(job: StoredJob, from: number, after: (seen: number) => ReadonlyArray<A>, over: () => boolean) =>
    Stream.unfold(from, (seen: number) => {
      const pull: Effect.Effect<readonly [ReadonlyArray<A>, number] | undefined> = Effect.suspend(() => {
        if (over()) return Effect.undefined
        const found = after(seen)
        if (found.length > 0) return Effect.succeed([found, seen + found.length] as const)
        if (job.over) return Effect.undefined
        const news = Effect.callback<void>((resume) => {
          const heard = () => user.tell(() => resume(Effect.void))
          job.listeners.add(heard)
          return Effect.sync(() => job.listeners.delete(heard))
        })
        return Effect.andThen(news, pull)
      })
      return pull
    }).pipe(Stream.flatMap(Stream.fromIterable))

  const summary = ({ fold, writer }: StoredJob): JobSummary | undefined => {
    const state = fold.state()
    if (state === undefined) return undefined
    const { createdAt, id, progress, run, status, updatedAt } = state
    const owner = writer === undefined ? "none" : writer.alive() ? "alive" : "dead"
    return { id, status, run, progress, createdAt, updatedAt, owner }
  }

  return JobRepository.of({
    guarantees: { fencing: store.fencing, crossProcess: true, durable: "none" },
    create: Effect.fnUntraced(function* (jobId, first) {
      const at = yield* Clock.currentTimeMillis
      if (!user.alive()) return yield* Effect.never
      if (store.jobs.has(jobId)) return yield* fail(jobId, new AlreadyExists())
      const job: StoredJob = {
        id: jobId,
        records: [],
        fold: makeFold(jobId),
        requests: [],
        listeners: new Set(),
        run: 0,
        writer: undefined,
        over: false
      }
      store.jobs.set(jobId, job)
      write(job, 0, at, [first])
    }),
    openWriter: Effect.fnUntraced(function* (jobId, options) {
      const take = on(jobId, (job) => {
        if (job.writer !== undefined && job.writer.alive() && options.takeOver === "if-dead") {
          return fail(jobId, new Running({ owner: ownerOf(job.writer), alive: "yes" }))
        }
        job.run++
        job.writer = user
        job.requests.length = 0
        store.onOpen(job, user)
        changed(job)
        return Effect.succeed({ job, run: job.run })
      })
      let open = false
      const { job, run } = yield* Effect.acquireRelease(
        Effect.tap(take, () => Effect.sync(() => (open = true))),
        ({ job, run }) =>
          Effect.sync(() => {
            open = false
            if (user.alive() && job.run === run) job.writer = undefined
          })
      )
      const append = (events: ReadonlyArray<JobEvent>) =>
        Effect.flatMap(Clock.currentTimeMillis, (at) => {
          if (!user.alive()) return Effect.never
          if (job.over) return fail(jobId, new NotFound())
          if (!open || (store.fencing && job.run !== run)) return fail(jobId, new Fenced({ run }))
          return Effect.succeed(write(job, run, at, events))
        })
      return { run, owner: ownerOf(user), append }
    }),
    read: (jobId, after = 0) =>
      Stream.unwrap(on(jobId, (job) => Effect.succeed(Stream.fromIterable(job.records.slice(after))))),
    changes: (jobId, after) =>
      Stream.unwrap(
        on(jobId, (job) =>
          Effect.succeed(
            follow(
              job,
              after,
              (seen) => job.records.slice(seen),
              () => false
            )
          )
        )
      ),
    list: (options = {}) =>
      Stream.unwrap(
        user.alive()
          ? Effect.sync(() =>
              Stream.fromIterable(
                Array.from(store.jobs.values(), summary)
                  .filter((job) => job !== undefined)
                  .filter((job) => options.status?.includes(job.status) ?? true)
                  .filter((job) => job.updatedAt > (options.updatedAfter ?? -Infinity))
                  .toReversed()
              )
            )
          : Effect.never
      ),
    request: (jobId, request) =>
      on(jobId, (job) => {
        job.requests.push(request)
        changed(job)
        return Effect.void
      }),
    requests: (jobId) =>
      Stream.unwrap(
        on(jobId, (job) => {
          const { run } = job
          return Effect.succeed(
            follow(
              job,
              0,
              (seen) => job.requests.slice(seen),
              () => job.run !== run
            )
          )
        })
      ),
    delete: (jobId) =>
      on(jobId, (job) => {
        if (job.writer !== undefined && job.writer.alive()) {
          return fail(jobId, new Running({ owner: ownerOf(job.writer), alive: "yes" }))
        }
        store.jobs.delete(jobId)
        job.over = true
        changed(job)
        return Effect.void
      })
  })
}
