/**
 * Writes one run of a journal: appends that come at the same time are written and synced together.
 *
 * An append counts once it is written, synced, and no later run had a file when that was done. Where there is one, its
 * header says whether the append still counts. What a full disk tore off is cut away again.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import type { JobEvent, JobRecord } from "@helios-infra/core/JobEvent"
import { Fenced, NotFound, type RepositoryError } from "@helios-infra/core/JobRepository"
import type * as fs from "node:fs/promises"
import * as path from "node:path"
import { file, type FileError } from "./files.ts"
import * as journalFolder from "./journalFolder.ts"
import * as journalLines from "./journalLines.ts"

/** What is to be written to. */
export interface Target {
  readonly journal: journalFolder.Journal
  readonly run: number
  /** The run's file, open for appending, with its header in it. */
  readonly handle: fs.FileHandle
  readonly bytes: number
  /** The last record before the run. */
  readonly revision: number
}

/** The right to append, until it is released. */
export interface JournalWriter {
  readonly append: (events: ReadonlyArray<JobEvent>) => Effect.Effect<ReadonlyArray<JobRecord>, RepositoryError>
  /** Waits for appends under way, says that the run is free to be followed, and closes its file. */
  readonly release: Effect.Effect<void>
}

interface Append {
  readonly at: number
  readonly events: ReadonlyArray<JobEvent>
  /** Each event as JSON. */
  readonly json: ReadonlyArray<string>
  readonly done: Deferred.Deferred<ReadonlyArray<JobRecord>, RepositoryError>
}

/** An append whose line has been put together. */
interface Line {
  readonly append: Append
  readonly records: ReadonlyArray<JobRecord>
  /** Where it ends in the file, in bytes. */
  readonly end: number
}

/**
 * Runs that were released by this process, which could not write that down: the disk was full. Its own later runs need
 * not wait for it to end.
 */
const released = new Set<string>()

const ending = (() => {
  const lines = new journalLines.LineBuffer()
  lines.released()
  return Buffer.concat([Buffer.from("\n"), lines.bytes])
})()

const releasedKey = (journal: journalFolder.Journal, run: number): string => `${journal.id}/${run}`

/** Remembers that a run of this process is over, where the disk does not say so. */
export const letGo = (journal: journalFolder.Journal, run: number): void => void released.add(releasedKey(journal, run))

/** Whether a run has been released. */
export const isReleased = Effect.fnUntraced(function* (journal: journalFolder.Journal, run: number) {
  if (run === 0 || released.has(releasedKey(journal, run))) return true
  const target = journalFolder.segmentFile(journal, run)
  return yield* journalFolder.withFile(
    journal.jobId,
    target,
    Effect.fnUntraced(function* (handle) {
      const { size } = yield* file(() => handle.stat()).pipe(journalFolder.about(journal.jobId, "read", target))
      const from = Math.max(0, size - ending.length)
      return ending.equals(
        yield* journalFolder.readAt(journal.jobId, target, handle, from, Buffer.alloc(ending.length))
      )
    })
  )
})

/** Begins to write. */
export const make = ({ handle, journal, run, ...begun }: Target): JournalWriter => {
  const { jobId } = journal
  const target = journalFolder.segmentFile(journal, run)
  const writing = Semaphore.makeUnsafe(1)
  const lines = new journalLines.LineBuffer()
  /** How much of the file is whole lines. */
  let { bytes, revision } = begun
  let pending: Array<Append> = []
  /** Whether a write that failed has left part of a line after `bytes`. */
  let torn = false
  /** Why nothing can be appended any more. */
  let over: Effect.Effect<never, RepositoryError> | undefined

  const failed = (error: FileError): RepositoryError => journalFolder.fileFailure(jobId, "write", target, error)

  /** Somebody else's turn, unless the job is gone. */
  const stale = Effect.scoped(journalFolder.open(path.dirname(journal.folder), jobId)).pipe(
    Effect.flatMap(({ id }) =>
      Effect.fail(journalFolder.failure(jobId, id === journal.id ? new Fenced({ run }) : new NotFound()))
    )
  )

  const mend = Effect.suspend(() =>
    torn
      ? Effect.map(
          file(() => handle.truncate(bytes)),
          () => void (torn = false)
        )
      : Effect.void
  )

  /** Writes what was put together, of which a line ends at each of `ends`; `bytes` says afterwards how far it got. */
  const write = Effect.fnUntraced(function* (ends: ReadonlyArray<number>) {
    const mended = yield* Effect.result(mend)
    if (Result.isFailure(mended)) return failed(mended.failure)
    const written = yield* Effect.result(file(() => handle.appendFile(lines.bytes)))
    if (Result.isSuccess(written)) {
      bytes = ends.at(-1) ?? bytes
      return undefined
    }
    const found = yield* Effect.result(file(() => handle.stat()))
    const size = Result.isSuccess(found) ? found.success.size : bytes
    bytes = ends.findLast((end) => end <= size) ?? bytes
    torn = Result.isFailure(found) || size > bytes
    yield* Effect.ignore(mend)
    return failed(written.failure)
  })

  const sync = file(() => handle.datasync()).pipe(Effect.mapError(failed))

  /** How many bytes of the file count, as others see it. */
  const counting = Effect.gen(function* () {
    if (!(yield* journal.isThere)) return 0
    if (!(yield* journalFolder.hasRun(journal, run + 1))) return Infinity
    const { last, segments } = yield* journalFolder.settle(journal, 0)
    const mine = segments.find((segment) => segment.run === run)
    if (mine === undefined || mine.counts !== undefined) return mine?.counts ?? 0
    return yield* journalFolder.unavailable(
      jobId,
      `${journalFolder.segmentFile(journal, last)}: a process began to take the job over and got no further; whether what was appended last counts, the next run will say`
    )
  }).pipe(Effect.catchReason("RepositoryError", "NotFound", () => Effect.succeed(0)))

  /** Puts the lines of appends together, each to follow the one before. */
  const compose = (appends: ReadonlyArray<Append>): ReadonlyArray<Line> => {
    lines.clear()
    let after = revision
    return appends.map((append) => {
      const { at, events, json } = append
      lines.append(after + 1, at, json)
      const records = events.map((event, index) => ({ revision: after + index + 1, run, at, event }))
      after += records.length
      return { append, records, end: bytes + lines.length }
    })
  }

  const flush = Effect.gen(function* () {
    const appends = pending
    pending = []
    if (appends.length === 0) return
    if (over !== undefined) {
      const exit = yield* Effect.exit(over)
      for (const { done } of appends) Deferred.doneUnsafe(done, exit)
      return
    }
    const composed = compose(appends)
    const error = yield* write(composed.map(({ end }) => end))
    const whole = composed.filter(({ end }) => end <= bytes)
    if (error !== undefined) {
      for (const { append } of composed.slice(whole.length)) Deferred.doneUnsafe(append.done, Exit.fail(error))
    }
    revision = whole.at(-1)?.records.at(-1)?.revision ?? revision
    const counts = yield* Effect.result(Effect.all([counting, sync], { concurrency: "unbounded" }))
    // After a sync that failed, nobody knows what the disk holds.
    if (Result.isFailure(counts)) over = Effect.fail(counts.failure)
    else if (counts.success[0] !== Infinity) over = stale
    const refused = over === undefined ? undefined : yield* Effect.exit(over)
    for (const { append, end, records } of whole) {
      const counted = refused === undefined || (Result.isSuccess(counts) && end <= counts.success[0])
      Deferred.doneUnsafe(append.done, counted ? Exit.succeed(records) : refused)
    }
  })

  const append = Effect.fnUntraced(function* (
    events: ReadonlyArray<JobEvent>
  ): Effect.fn.Return<ReadonlyArray<JobRecord>, RepositoryError> {
    if (events.length === 0) return over === undefined ? [] : yield* over
    const at = yield* Clock.currentTimeMillis
    const json = Result.try({
      try: () => events.map(journalLines.eventJson),
      catch: (cause) => journalFolder.unavailable(jobId, "an event cannot be written as JSON", cause)
    })
    if (Result.isFailure(json)) return yield* json.failure
    const mine: Append = { at, events: [...events], json: json.success, done: Deferred.makeUnsafe() }
    pending.push(mine)
    yield* writing
      .withPermit(Effect.uninterruptible(flush))
      .pipe(Effect.onInterrupt(() => Effect.sync(() => (pending = pending.filter((other) => other !== mine)))))
    return yield* Deferred.await(mine.done)
  })

  const release = writing.withPermit(
    Effect.gen(function* () {
      lines.clear()
      lines.released()
      const noted =
        over === undefined &&
        (yield* write([bytes + lines.length])) === undefined &&
        Result.isSuccess(yield* Effect.result(sync))
      if (!noted) letGo(journal, run)
      over = stale
      yield* Effect.ignore(file(() => handle.close()))
    })
  )

  return { append, release }
}
