/**
 * A job's journal in memory, with what is asked of its run and a signal for those who wait for either.
 *
 * It decides nothing: who may append, and what is stored elsewhere, is its repository's business.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { JobEvent, JobRecord, Owner } from "../JobEvent.ts"
import { type JobFold, type JobState, makeFold } from "../JobState.ts"

/** Who runs a job whose runs only this process knows of. */
export const owner: Owner = { host: "this process" }

/** Events that were appended at once. Their records are made when somebody reads them: most would only lie there. */
interface Appended {
  /** The last record before them. */
  readonly after: number
  readonly run: number
  readonly at: number
  readonly events: ReadonlyArray<JobEvent>
}

export interface MemoryJournal<Request> {
  readonly jobId: string
  readonly appended: Array<Appended>
  readonly fold: JobFold
  readonly requests: Array<Request>
  /** The last record's. */
  revision: number
  run: number
  /** Whether its run has a writer. */
  open: boolean
  /** Nothing more will come. */
  over: boolean
  /** Done, and replaced, whenever something of the job changes. */
  changed: Deferred.Deferred<void>
}

/** Makes a journal whose first record comes after `revision`. */
export const make = <Request>(jobId: string, revision: number = 0): MemoryJournal<Request> => ({
  jobId,
  appended: [],
  fold: makeFold(jobId),
  requests: [],
  revision,
  run: 0,
  open: false,
  over: false,
  changed: Deferred.makeUnsafe()
})

/** Appends events; nobody who waits hears of it before `notify`. */
export const append = (
  journal: MemoryJournal<unknown>,
  run: number,
  at: number,
  events: ReadonlyArray<JobEvent>
): ReadonlyArray<JobRecord> => {
  const appended = { after: journal.revision, run, at, events: [...events] }
  journal.appended.push(appended)
  journal.revision += events.length
  return recordsOf(appended)
}

/** Wakes those who wait. */
export const notify = (journal: MemoryJournal<unknown>): void => {
  const waiting = journal.changed
  journal.changed = Deferred.makeUnsafe()
  Deferred.doneUnsafe(waiting, Effect.void)
}

/** Says that nothing more will come. */
export const finish = (journal: MemoryJournal<unknown>): void => {
  journal.over = true
  notify(journal)
}

const recordsOf = ({ after, at, events, run }: Appended): ReadonlyArray<JobRecord> =>
  events.map((event, i) => ({ revision: after + i + 1, run, at, event }))

/** The records after a revision; what it costs does not depend on what there is before them. */
export const recordsAfter = ({ appended }: MemoryJournal<unknown>, revision: number): ReadonlyArray<JobRecord> => {
  const first = appended.findLastIndex(({ after }) => after <= revision)
  return appended
    .slice(Math.max(0, first))
    .flatMap(recordsOf)
    .filter((record) => record.revision > revision)
}

/** What it amounts to now, folded on from where it was left. Changes with the next call. */
export const state = (journal: MemoryJournal<unknown>): JobState | undefined => {
  recordsAfter(journal, journal.fold.state()?.revision ?? 0).forEach(journal.fold.apply)
  return journal.fold.state()
}

/** The records after a revision, then those that are still to come. */
export const changes = (journal: MemoryJournal<unknown>, revision: number): Stream.Stream<JobRecord> => {
  const from = Math.max(revision, journal.appended[0]?.after ?? 0)
  return follow(journal, (seen) => recordsAfter(journal, seen), from)
}

/** What is asked of the run that is under way, until the next one begins. */
export const requests = <Request>(journal: MemoryJournal<Request>): Stream.Stream<Request> => {
  const { run } = journal
  const isPast = () => journal.run !== run
  return follow(journal, (seen) => journal.requests.slice(seen), 0, isPast)
}

/** What there is after the first `seen`, then what is added to it, until the journal or what `until` says is over. */
const follow = <A>(
  journal: MemoryJournal<unknown>,
  after: (seen: number) => ReadonlyArray<A>,
  from: number,
  until: () => boolean = () => false
): Stream.Stream<A> =>
  Stream.unfold(from, (seen: number) => {
    const pull: Effect.Effect<readonly [ReadonlyArray<A>, number] | undefined> = Effect.suspend(() => {
      if (until()) return Effect.undefined
      const found = after(seen)
      if (found.length > 0) return Effect.succeed([found, seen + found.length] as const)
      if (journal.over) return Effect.undefined
      return Effect.andThen(Deferred.await(journal.changed), pull)
    })
    return pull
  }).pipe(Stream.flatMap(Stream.fromIterable))
