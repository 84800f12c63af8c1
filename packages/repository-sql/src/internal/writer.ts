/**
 * Writes one run of a journal: appends that come at the same time are written as one, in one transaction.
 *
 * An append counts once its transaction is committed, and none is while a later run may write. Whether one that broke off
 * was committed is found out from the journal: only this run writes records with its number.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type { JobEvent, JobRecord } from "@helios-infra/core/JobEvent"
import { Fenced, NotFound, type RepositoryError } from "@helios-infra/core/JobRepository"
import { failure, unavailable } from "./failures.ts"
import * as journal from "./journal.ts"
import * as rows from "./rows.ts"
import type { Batch, Store } from "./store.ts"

/** What is to be written to. */
export interface Target {
  readonly jobId: string
  readonly job: number
  readonly run: number
  /** What the journal amounts to before the run. */
  readonly folded: journal.Folded
}

/** The right to append, until it is released. */
export interface Writer {
  readonly append: (events: ReadonlyArray<JobEvent>) => Effect.Effect<ReadonlyArray<JobRecord>, RepositoryError>
  /** Takes no more appends, and waits for those under way. */
  readonly close: Effect.Effect<void>
}

interface Append {
  readonly events: ReadonlyArray<JobEvent>
  /** Each event as JSON. */
  readonly json: ReadonlyArray<string>
  readonly done: Deferred.Deferred<ReadonlyArray<JobRecord>, RepositoryError>
}

/** Begins to write. */
export const make = (store: Store, { job, jobId, run, ...begun }: Target): Writer => {
  const { attempt, sql, tables } = store
  /** `undefined` while it is not known what of the last batch was written. */
  let folded: journal.Folded | undefined = begun.folded
  let pending: Array<Append> = []
  let writing = false
  const idle = Latch.makeUnsafe(true)
  let closed = false
  /** Whether somebody else's turn has begun. */
  let over = false

  const current = Effect.map(
    attempt(jobId)(sql<{ run: number }>`SELECT run FROM ${sql(tables.jobs)} WHERE job = ${job}`),
    ([row]) => row?.run
  )

  /** Why nothing can be appended any more. */
  const stale = Effect.flatMap(current, (found) =>
    Effect.fail(failure(jobId, found === undefined ? new NotFound() : new Fenced({ run })))
  )

  /** Whether a batch stands in the journal: it was written by an attempt that did not hear of it. */
  const isWritten = ({ after, at, events }: Batch) =>
    Effect.map(
      sql`SELECT 1 FROM ${sql(tables.events)}
        WHERE job = ${job} AND revision = ${after + events.length}
          AND run = ${run} AND at = ${at} AND events = ${rows.batchJson(events)}`,
      (found) => found.length > 0
    )

  const write = Effect.fnUntraced(function* (
    appends: ReadonlyArray<Append>
  ): Effect.fn.Return<ReadonlyArray<ReadonlyArray<JobRecord>>, RepositoryError> {
    if (over) return yield* stale
    const written = (yield* tryToWrite(appends)) ?? ((yield* current) === run ? yield* tryToWrite(appends) : undefined)
    if (written !== undefined) return written
    if ((yield* current) === run) {
      const message = "its journal is changed by something else than its writer"
      return yield* failure(jobId, unavailable(`${message}: keep other programs from the table ${tables.events}`))
    }
    over = true
    return yield* stale
  })

  /** Gives nothing when the journal does not end where it did, or is somebody else's. */
  const tryToWrite = Effect.fnUntraced(function* (
    appends: ReadonlyArray<Append>
  ): Effect.fn.Return<ReadonlyArray<ReadonlyArray<JobRecord>> | undefined, RepositoryError> {
    const { fold, revision } = folded ?? (yield* journal.fold(store, jobId, job))
    // The fold cannot go back when this fails.
    folded = undefined
    const at = yield* Clock.currentTimeMillis
    let after = revision
    const records = appends.map(({ events }) =>
      events.map((event): JobRecord => {
        const record = { revision: ++after, run, at, event }
        fold.apply(record)
        return record
      })
    )
    const state = fold.state()
    const batch: Batch = {
      job,
      run,
      after: revision,
      at,
      events: appends.flatMap(({ json }) => json),
      summary: state && { status: state.status, run: state.run, progress: state.progress, updatedAt: state.updatedAt }
    }
    const append = Effect.flatMap(store.append(batch), (done) => (done ? Effect.succeed(true) : isWritten(batch)))
    if (!(yield* attempt(jobId)(append))) return undefined
    folded = { fold, revision: after }
    store.signals.wake(job, "events")
    return records
  })

  const flush = Effect.gen(function* () {
    while (pending.length > 0) {
      const appends = pending
      pending = []
      const exit = yield* Effect.exit(write(appends))
      for (const [index, { done }] of appends.entries()) {
        Deferred.doneUnsafe(
          done,
          Exit.map(exit, (records) => records[index] ?? [])
        )
      }
    }
    writing = false
    idle.openUnsafe()
  })

  /** Not its caller's: an append that nobody waits for any more is still written whole. */
  const begin = Effect.uninterruptible(
    Effect.suspend(() => {
      if (writing) return Effect.void
      writing = true
      idle.closeUnsafe()
      return Effect.forkDetach(flush)
    })
  )

  const append = Effect.fnUntraced(function* (
    events: ReadonlyArray<JobEvent>
  ): Effect.fn.Return<ReadonlyArray<JobRecord>, RepositoryError> {
    if (closed) return yield* stale
    if (events.length === 0) return over ? yield* stale : []
    const json = Result.try({
      try: () => events.map(rows.eventJson),
      catch: (cause) => failure(jobId, unavailable("an event cannot be written as JSON", cause))
    })
    if (Result.isFailure(json)) return yield* json.failure
    const mine: Append = { events: [...events], json: json.success, done: Deferred.makeUnsafe() }
    pending.push(mine)
    yield* begin
    return yield* Deferred.await(mine.done).pipe(
      Effect.onInterrupt(() => Effect.sync(() => (pending = pending.filter((other) => other !== mine))))
    )
  })

  const close = Effect.suspend(() => {
    closed = true
    return idle.await
  })

  return { append, close }
}
