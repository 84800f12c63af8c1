/**
 * A `JobRepository` over a store that can only save, get, list and delete whole jobs.
 *
 * ```
 * append ─▶ journal in memory ─▶ JobState ─at most every 250 ms, at a run's end, when it is closed─▶ store.save
 * get, read ◀─ journal in memory while a run is open here, else a journal made from what store.get gives
 * ```
 *
 * Such a store cannot fence, and nobody sees what another process does: one process at a time may run a job. After a
 * crash, what happened since the last save is gone, and the chunks accepted in that time are rendered again. Logs and
 * the history of attempts are not stored; they are kept in memory for the jobs that this process ran last.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as MemoryJournal from "./internal/MemoryJournal.ts"
import * as StoredJob from "./internal/StoredJob.ts"
import type { JobEvent, JobRecord } from "./JobEvent.ts"
import {
  AlreadyExists,
  Fenced,
  JobRepository,
  type JobRequest,
  type JobSummary,
  NotFound,
  RepositoryError,
  Running,
  Unavailable
} from "./JobRepository.ts"
import type { JobState } from "./JobState.ts"

/** The store failed; `cause` is what it said. */
export class StoreError extends Data.TaggedError("StoreError")<{ readonly cause: unknown }> {}

/**
 * What such a store can do. What it gives back is checked: a job that is not one fails with `Corrupt`.
 *
 * - `save` stores a job in place of the one with the same id.
 * - `get` gives a job as it was saved, `null` or `undefined` where there is none.
 * - `list` gives all jobs, in any order.
 * - `delete` removes a job.
 */
export interface Store {
  readonly save: (job: JobState) => Effect.Effect<unknown, StoreError>
  readonly get: (jobId: string) => Effect.Effect<unknown, StoreError>
  readonly list: () => Effect.Effect<unknown, StoreError>
  readonly delete: (jobId: string) => Effect.Effect<unknown, StoreError>
}

/** How long the changes of a running job wait for each other before they are saved together. */
export const saveInterval = Duration.millis(250)

/** How long a writer that is closed waits for the store to take what was appended last. */
const closeTimeout = Duration.seconds(10)

/** How many jobs whose run has ended keep their journal, and with it their logs, in memory. */
const remembered = 32

type Journal = MemoryJournal.MemoryJournal<JobRequest>

const failure = (jobId: string, reason: RepositoryError["reason"]): RepositoryError =>
  new RepositoryError({ jobId, reason })

/** The shortest journal that amounts to a state: its fold is the state again. */
export const journalOf: (state: JobState) => ReadonlyArray<JobRecord> = StoredJob.journalOf

/** A journal in memory that amounts to a state. */
const journalFrom = (state: JobState): Journal => {
  const records = journalOf(state)
  const journal = MemoryJournal.make<JobRequest>(state.id, (records[0]?.revision ?? 1) - 1)
  for (const { at, event, run } of records) MemoryJournal.append(journal, run, at, [event])
  journal.run = state.run
  return journal
}

/** The state as it is now: the fold's own changes with the next event. */
const snapshot = (journal: Journal): JobState | undefined => {
  const state = MemoryJournal.state(journal)
  return state === undefined ? undefined : { ...state, chunks: state.chunks.map((chunk) => ({ ...chunk })) }
}

const summaryOf = (state: JobState, owner: JobSummary["owner"]): JobSummary => {
  const { createdAt, id, progress, run, status, updatedAt } = state
  return { id, status, run, progress, createdAt, updatedAt, owner }
}

/**
 * A repository over a store of whole jobs. It says of itself that it cannot fence and that a crash costs the last
 * moments (`durable: "interval"`).
 *
 * A job is saved when it is created, at most every {@link saveInterval} while it runs, when a run ends, and when its writer
 * is closed before that. A save that fails in between is made up for by the next one; one that fails at the beginning or
 * at the end is an error (`Unavailable`), and the store keeps what it had.
 */
export const fromStore = (store: Store): JobRepository["Service"] => {
  /** Jobs with an open run, and the last ones that had one. */
  const journals = new Map<string, Journal>()
  const creating = new Set<string>()

  const ask = <A>(jobId: string, operation: () => Effect.Effect<A, StoreError>): Effect.Effect<A, RepositoryError> =>
    Effect.suspend(operation).pipe(
      Effect.catchDefect((cause) => Effect.fail(new StoreError({ cause }))),
      Effect.mapError(({ cause }) => failure(jobId, new Unavailable({ cause })))
    )

  const saveNow = (journal: Journal): Effect.Effect<void, RepositoryError> =>
    Effect.suspend(() => {
      const state = snapshot(journal)
      return state === undefined ? Effect.void : ask(journal.jobId, () => store.save(state))
    })

  const fetch = Effect.fnUntraced(function* (
    jobId: string
  ): Effect.fn.Return<Option.Option<JobState>, RepositoryError> {
    const stored = yield* ask(jobId, () => store.get(jobId))
    return stored === null || stored === undefined ? Option.none() : Option.some(yield* StoredJob.decode(jobId, stored))
  })

  /** The journal of a job: the one in memory as long as it says what the store says. */
  const load = Effect.fnUntraced(function* (jobId: string): Effect.fn.Return<Journal, RepositoryError> {
    const before = journals.get(jobId)
    if (before?.open === true) return before
    const state = yield* fetch(jobId)
    const known = journals.get(jobId)
    // A run may have begun while the store was asked.
    if (known?.open === true) return known
    if (Option.isNone(state)) {
      forget(jobId)
      return yield* failure(jobId, new NotFound())
    }
    if (known !== undefined && known.revision === state.value.revision) return known
    forget(jobId)
    return keep(journalFrom(state.value))
  })

  const keep = (journal: Journal): Journal => {
    journals.set(journal.jobId, journal)
    const closed = Array.from(journals.values()).filter(({ open }) => !open)
    for (const { jobId } of closed.slice(0, Math.max(0, closed.length - remembered))) forget(jobId)
    return journal
  }

  const forget = (jobId: string): void => {
    const journal = journals.get(jobId)
    journals.delete(jobId)
    if (journal !== undefined) MemoryJournal.finish(journal)
  }

  const create = Effect.fn("JobRepository.create")(function* (jobId: string, first: JobEvent) {
    const at = yield* Clock.currentTimeMillis
    if (creating.has(jobId) || journals.get(jobId)?.open === true) return yield* failure(jobId, new AlreadyExists())
    creating.add(jobId)
    const journal = MemoryJournal.make<JobRequest>(jobId)
    MemoryJournal.append(journal, 0, at, [first])
    yield* Effect.gen(function* () {
      if (Option.isSome(yield* fetch(jobId))) return yield* failure(jobId, new AlreadyExists())
      yield* saveNow(journal)
    }).pipe(Effect.ensuring(Effect.sync(() => creating.delete(jobId))))
  })

  const openWriter = Effect.fn("JobRepository.openWriter")(function* (
    jobId: string,
    options: { readonly takeOver: "if-dead" | "always" }
  ) {
    const journal = yield* load(jobId)
    const take = Effect.suspend(() => {
      if (journal.over) return Effect.fail(failure(jobId, new NotFound()))
      if (journal.open && options.takeOver === "if-dead") {
        return Effect.fail(failure(jobId, new Running({ owner: MemoryJournal.owner, alive: "yes" })))
      }
      journal.run++
      journal.open = true
      journal.requests.length = 0
      MemoryJournal.notify(journal)
      return Effect.succeed(journal.run)
    })
    const run = yield* Effect.acquireRelease(take, (run) =>
      Effect.sync(() => {
        if (journal.run !== run) return
        journal.open = false
        // Last in, so that it is remembered longest.
        journals.delete(jobId)
        if (!journal.over) keep(journal)
      })
    )
    const save = yield* saver(journal, run)

    const append = Effect.fnUntraced(function* (events: ReadonlyArray<JobEvent>) {
      const at = yield* Clock.currentTimeMillis
      if (journal.over) return yield* failure(jobId, new NotFound())
      if (journal.run !== run) return yield* failure(jobId, new Fenced({ run }))
      const records = MemoryJournal.append(journal, run, at, events)
      const ended = events.some((event) => event._tag === "RunEnded")
      // What the store does not have is not so: nobody hears of it, and the next reader sees what the store has.
      const undo = Effect.sync(() => {
        journal.appended.pop()
        MemoryJournal.finish(journal)
      })
      yield* ended ? Effect.tapError(save.last, () => undo) : save.soon
      MemoryJournal.notify(journal)
      return records
    })
    return { run, owner: MemoryJournal.owner, append }
  })

  /** Saves a journal of a run, one save at a time and each with the newest state, until the scope closes. */
  const saver = Effect.fnUntraced(function* (
    journal: Journal,
    run: number
  ): Effect.fn.Return<
    { readonly soon: Effect.Effect<unknown>; readonly last: Effect.Effect<void, RepositoryError> },
    never,
    Scope.Scope
  > {
    const changed = Latch.makeUnsafe(false)
    const alone = Semaphore.makeUnsafe(1)
    let failing = false
    let saved = journal.revision
    const once = Effect.suspend(() => {
      changed.closeUnsafe()
      const revision = journal.revision
      return Effect.map(saveNow(journal), () => {
        failing = false
        saved = revision
      })
    })
    const again = Effect.fnUntraced(function* (error: RepositoryError) {
      if (!failing) yield* Effect.logWarning(`${error.message}; trying again`)
      failing = true
      changed.openUnsafe()
    })
    const next = changed.await.pipe(
      Effect.andThen(alone.withPermit(once)),
      Effect.catch(again),
      Effect.andThen(Effect.sleep(saveInterval))
    )
    yield* Effect.forkScoped(Effect.forever(next))
    const rest = Effect.suspend(() =>
      journal.over || journal.run !== run || saved === journal.revision ? Effect.void : once
    )
    // Runs before the fiber above is told to stop: a save under way comes first.
    yield* Effect.addFinalizer(() =>
      Effect.interruptible(alone.withPermit(rest)).pipe(
        Effect.timeout(closeTimeout),
        Effect.catch((error) => Effect.logWarning(`job ${journal.jobId}: what was appended last is not saved`, error))
      )
    )
    return { soon: changed.open, last: alone.withPermit(once) }
  })

  const journalStream = <A>(jobId: string, of: (journal: Journal) => Stream.Stream<A>) =>
    Stream.unwrap(Effect.map(load(jobId), of))

  const list: JobRepository["Service"]["list"] = (options = {}) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const stored = yield* ask("(all jobs)", store.list)
        if (!Array.isArray(stored))
          return yield* StoredJob.corrupt("(all jobs)", "the list that the store gave, which is none")
        const states = yield* Effect.forEach(stored, (job: unknown, index) => {
          const id = Predicate.hasProperty(job, "id") && Predicate.isString(job.id) ? job.id : `(number ${index})`
          const live = journals.get(id)
          const state = live?.open === true ? MemoryJournal.state(live) : undefined
          return state === undefined
            ? Effect.map(StoredJob.decode(id, job), (state) => summaryOf(state, "none"))
            : Effect.succeed(summaryOf(state, "alive"))
        })
        return Stream.fromIterable(
          states
            .filter((job) => options.status?.includes(job.status) ?? true)
            .filter((job) => job.updatedAt > (options.updatedAfter ?? -Infinity))
            .toSorted((a, b) => b.createdAt - a.createdAt)
        )
      })
    )

  return JobRepository.of({
    guarantees: { fencing: false, crossProcess: false, durable: "interval" },
    create,
    openWriter,
    read: (jobId, after = 0) =>
      journalStream(jobId, (journal) => Stream.fromIterable(MemoryJournal.recordsAfter(journal, after))),
    changes: (jobId, after) => journalStream(jobId, (journal) => MemoryJournal.changes(journal, after)),
    list,
    request: Effect.fn("JobRepository.request")(function* (jobId, request) {
      const journal = yield* load(jobId)
      journal.requests.push(request)
      MemoryJournal.notify(journal)
    }),
    requests: (jobId) => journalStream(jobId, MemoryJournal.requests),
    delete: Effect.fn("JobRepository.delete")(function* (jobId) {
      const journal = yield* load(jobId)
      if (journal.open) return yield* failure(jobId, new Running({ owner: MemoryJournal.owner, alive: "yes" }))
      yield* ask(jobId, () => store.delete(jobId))
      forget(jobId)
    })
  })
}

/** {@link fromStore} as a layer. */
export const layer = (store: Store): Layer.Layer<JobRepository> => Layer.succeed(JobRepository, fromStore(store))
