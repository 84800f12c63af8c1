/**
 * Jobs in a folder of this machine, or one that several machines share: a journal per job, as lines of JSON.
 *
 * ```
 * <dir>/
 *   trailer-<hash>/              one folder per job, whatever characters its id has
 *     run-0000.ndjson            the job's creation
 *     run-0001.ndjson            what its first run wrote
 * ```
 *
 * An append is on the disk when it returns. Several processes can share the folder: whoever makes the next run's file is
 * the writer, and whoever wrote before finds that out at its next append. There is no lock and no server. It keeps no
 * chunk outputs, which are the workspace's, and no logs but the tails that events hold.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { JobEvent, JobRecord, Owner } from "@helios-infra/core/JobEvent"
import {
  AlreadyExists,
  type JobRequest,
  JobRepository,
  type JobSummary,
  type JobWriter,
  NotFound,
  type RepositoryError,
  Running
} from "@helios-infra/core/JobRepository"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { discard, file, unless } from "./internal/files.ts"
import * as folderChanges from "./internal/folderChanges.ts"
import * as journalFolder from "./internal/journalFolder.ts"
import * as journalLines from "./internal/journalLines.ts"
import * as journalReader from "./internal/journalReader.ts"
import * as journalRequests from "./internal/journalRequests.ts"
import * as journalSummary from "./internal/journalSummary.ts"
import * as journalWriter from "./internal/journalWriter.ts"
import * as liveness from "./internal/liveness.ts"

/** Where jobs are kept. */
export interface Options {
  /** The folder that holds one folder per job. Made with the first job, when it is not there. */
  readonly dir: string
}

/** Somebody who follows a journal here, and wants what is left of it before it is deleted. */
interface Follower {
  readonly readRest: Effect.Effect<void, RepositoryError>
}

/** A run's file that was made just now, and holds nothing. */
interface Claim {
  readonly run: number
  readonly handle: fs.FileHandle
}

/** Of how many journals it is remembered where they ended. */
const remembered = 16

/** How long what a crash left of a creation or deletion lies around, in milliseconds. */
const leftoverMs = 3_600_000

/**
 * A repository in a folder.
 *
 * - An append is synced before it returns; those that come at once share one sync. One that fails leaves the journal as it
 *   was.
 * - `openWriter` with `if-dead` takes over when the last writer let go or its process has ended. One on another host is
 *   `unknown`, and kept.
 * - `changes` and `requests` hear of other processes within a fifth of a second, mostly at once. A follower in another
 *   process may miss the last records before a deletion.
 * - `list` leaves out jobs whose journal cannot be read, and logs a warning for each.
 * - Files and folders are made for their user alone (0600, 0700): job files hold commands and addresses.
 */
export const make: (options: Options) => Effect.Effect<JobRepository["Service"]> = Effect.fnUntraced(
  function* (options) {
    const dir = path.resolve(options.dir)
    const owner = yield* liveness.self
    const followers = new Map<string, Set<Follower>>()
    /** Where the journals end that were read last, by their own ids: who reads one often means to write it next. */
    const lately = new Map<string, journalReader.Reached>()
    const remember = (journal: journalFolder.Journal, reached: journalReader.Reached | undefined): void => {
      lately.delete(journal.id)
      if (reached !== undefined) lately.set(journal.id, reached)
      const [oldest] = lately.keys()
      if (oldest !== undefined && lately.size > remembered) lately.delete(oldest)
    }

    const create = Effect.fn("JobRepository.create")(function* (
      jobId: string,
      first: JobEvent
    ): Effect.fn.Return<void, RepositoryError> {
      const at = yield* Clock.currentTimeMillis
      const folder = path.join(dir, journalFolder.folderName(jobId))
      const unique = yield* journalFolder.uniqueName
      const temporary = path.join(dir, `.new-${unique}`)
      const lines = new journalLines.LineBuffer()
      lines.header({
        format: "helios-journal",
        version: journalLines.formatVersion,
        jobId,
        journal: unique,
        run: 0,
        revision: 0
      })
      const json = yield* Effect.try({
        try: () => journalLines.eventJson(first),
        catch: (cause) => journalFolder.unavailable(jobId, "the job cannot be written as JSON", cause)
      })
      lines.append(1, at, [json])
      // The job is there with its first event, or it is not.
      yield* file(() => fs.mkdir(temporary, { recursive: true, mode: journalFolder.folderMode })).pipe(
        Effect.andThen(writeSynced(path.join(temporary, journalFolder.segmentName(0)), lines.bytes)),
        Effect.andThen(syncFolder(temporary)),
        journalFolder.about(jobId, "write", dir),
        Effect.andThen(putInPlace(jobId, temporary, folder)),
        Effect.andThen(syncFolder(dir)),
        Effect.ensuring(discard(temporary))
      )
    }, Effect.uninterruptible)

    /** Who may write a job now, as far as this machine can tell. */
    const holder = Effect.fnUntraced(function* (
      journal: journalFolder.Journal,
      last: journalFolder.Segment | undefined
    ): Effect.fn.Return<{ readonly owner: Owner; readonly is: JobSummary["owner"] }, RepositoryError> {
      if (last?.header.owner === undefined) return { owner, is: "none" }
      const is = (yield* journalWriter.isReleased(journal, last.run)) ? "none" : yield* liveness.of(last.header.owner)
      return { owner: last.header.owner, is }
    })

    /** The run that comes next. Fails with `Running` when the last one must not be taken over. */
    const nextRun = Effect.fnUntraced(function* (
      journal: journalFolder.Journal,
      takeOver: "if-dead" | "always"
    ): Effect.fn.Return<number, RepositoryError> {
      if (takeOver === "always") return (journalFolder.runsOf(yield* journalFolder.names(journal))[0] ?? 0) + 1
      const { last, segments } = yield* journalFolder.settle(journal, Infinity)
      const { is, owner } = yield* holder(journal, segments.at(-1))
      if (is === "none" || is === "dead") return last + 1
      const alive = is === "alive" ? "yes" : "unknown"
      return yield* journalFolder.failure(journal.jobId, new Running({ owner, alive }))
    })

    /** Makes the next run's file, which fences the run before it. */
    const claim = Effect.fnUntraced(function* (
      journal: journalFolder.Journal,
      takeOver: "if-dead" | "always"
    ): Effect.fn.Return<Claim, RepositoryError> {
      while (true) {
        const run = yield* nextRun(journal, takeOver)
        const segment = journalFolder.segmentFile(journal, run)
        const handle = yield* makeSegment(segment).pipe(
          unless("EEXIST", "ENOENT"),
          journalFolder.about(journal.jobId, "write", segment)
        )
        if (handle !== undefined) return { run, handle }
      }
    })

    /** Says in a run's file, which fences the run before it, how much of that one counts. */
    const begin = Effect.fnUntraced(function* (
      journal: journalFolder.Journal,
      { handle, run }: Claim
    ): Effect.fn.Return<journalWriter.Target, RepositoryError> {
      const { jobId } = journal
      const segment = journalFolder.segmentFile(journal, run)
      const { segments } = yield* journalFolder.look(journal, { after: Infinity, below: run })
      const previous = segments.at(-1)
      if (previous === undefined) return yield* journalFolder.failure(jobId, new NotFound())
      const end = yield* journalReader.readToEnd(jobId, previous, lately.get(journal.id))
      const lines = new journalLines.LineBuffer()
      lines.header({
        format: "helios-journal",
        version: journalLines.formatVersion,
        jobId,
        journal: journal.id,
        run,
        revision: end.revision,
        owner,
        previous: { run: previous.run, bytes: end.offset }
      })
      // What it counts must stay, also that which its writer had not synced yet.
      yield* syncFile(previous.file).pipe(journalFolder.about(jobId, "write", previous.file))
      yield* file(() => handle.appendFile(lines.bytes).then(() => handle.sync())).pipe(
        journalFolder.about(jobId, "write", segment)
      )
      yield* syncFolder(journal.folder)
      return { journal, run, handle, bytes: lines.length, revision: end.revision }
    })

    const takeOver = Effect.fnUntraced(function* (
      journal: journalFolder.Journal,
      how: "if-dead" | "always"
    ): Effect.fn.Return<journalWriter.Target, RepositoryError> {
      while (true) {
        const claimed = yield* claim(journal, how)
        const close = Effect.ignore(file(() => claimed.handle.close()))
        // Its header may be in its file by now, and says that this process writes it.
        const giveUp = Effect.andThen(
          Effect.sync(() => journalWriter.letGo(journal, claimed.run)),
          close
        )
        const target = yield* begin(journal, claimed).pipe(Effect.onError(() => giveUp))
        // Somebody took this process for dead while it began.
        if (how === "always" || !(yield* journalFolder.hasRun(journal, claimed.run + 1))) return target
        yield* close
      }
    })

    const openWriter = Effect.fn("JobRepository.openWriter")(function* (
      jobId: string,
      options: { readonly takeOver: "if-dead" | "always" }
    ): Effect.fn.Return<JobWriter, RepositoryError, Scope.Scope> {
      const journal = yield* journalFolder.open(dir, jobId)
      const { run, writer } = yield* Effect.acquireRelease(
        Effect.map(takeOver(journal, options.takeOver), (target) => ({
          run: target.run,
          writer: journalWriter.make(target)
        })),
        ({ writer }) => writer.release
      )
      yield* Effect.ignore(journalRequests.removeBefore(journal, run))
      return { run, owner, append: writer.append }
    })

    const read = (jobId: string, after = 0): Stream.Stream<JobRecord, RepositoryError> =>
      Stream.unwrap(
        Effect.gen(function* () {
          const journal = yield* journalFolder.open(dir, jobId)
          const { next, reached } = journalReader.make(journal, after)
          return pieces(
            Effect.tap(next, (records) =>
              records === undefined ? Effect.sync(() => remember(journal, reached())) : Effect.void
            )
          )
        })
      )

    const changes = (jobId: string, after: number): Stream.Stream<JobRecord, RepositoryError> =>
      Stream.unwrap(
        Effect.gen(function* () {
          const journal = yield* journalFolder.open(dir, jobId)
          const changed = yield* folderChanges.watch(journal.folder, "contents")
          const reader = journalReader.make(journal, after)
          const reading = Semaphore.makeUnsafe(1)
          let rest: Array<JobRecord> | undefined
          const readRest = Effect.gen(function* () {
            const left: Array<JobRecord> = []
            for (let piece = yield* reader.next; piece !== undefined; piece = yield* reader.next) left.push(...piece)
            rest = left
          })
          yield* registered(followers, journal.folder, { readRest: reading.withPermit(readRest) })
          const look = reading.withPermit(
            Effect.suspend(() => {
              if (rest === undefined) return Effect.map(reader.next, (records) => ({ records, ended: false }))
              const records = rest
              rest = []
              return Effect.succeed({ records, ended: true })
            })
          )
          const next: Effect.Effect<ReadonlyArray<JobRecord> | undefined, RepositoryError> = Effect.suspend(() =>
            Effect.flatMap(look, ({ ended, records }) => {
              if (records !== undefined && records.length > 0) return Effect.succeed(records)
              return ended ? Effect.undefined : Effect.andThen(changed.next, next)
            })
          )
          return pieces(untilGone(next))
        })
      )

    const requests = (jobId: string): Stream.Stream<JobRequest, RepositoryError> =>
      Stream.unwrap(
        Effect.gen(function* () {
          const journal = yield* journalFolder.open(dir, jobId)
          const changed = yield* folderChanges.watch(journal.folder, "names")
          const run = journalFolder.runsOf(yield* journalFolder.names(journal))[0] ?? 0
          const seen = new Set<string>()
          const next: Effect.Effect<ReadonlyArray<JobRequest> | undefined, RepositoryError> = Effect.gen(function* () {
            while (true) {
              const names = yield* journalFolder.names(journal)
              if (!(yield* journal.isThere) || journalFolder.runsOf(names)[0] !== run) return undefined
              const found = yield* journalRequests.unseen(journal, run, names, seen)
              if (found.length > 0) return found
              yield* changed.next
            }
          })
          return pieces(untilGone(next))
        })
      )

    const request = Effect.fn("JobRepository.request")(function* (
      jobId: string,
      request: JobRequest
    ): Effect.fn.Return<void, RepositoryError, Scope.Scope> {
      const journal = yield* journalFolder.open(dir, jobId)
      const run = journalFolder.runsOf(yield* journalFolder.names(journal))[0] ?? 0
      yield* journalRequests.ask(journal, run, request)
    }, Effect.scoped)

    /** Keeps everybody from a journal that is about to be deleted. */
    const fence = Effect.fnUntraced(function* (jobId: string): Effect.fn.Return<void, RepositoryError, Scope.Scope> {
      const journal = yield* journalFolder.open(dir, jobId)
      while (true) {
        const segment = journalFolder.segmentFile(journal, yield* nextRun(journal, "if-dead"))
        const made = yield* makeSegment(segment).pipe(
          Effect.andThen((handle) => file(() => handle.close())),
          Effect.as(true),
          // To make room is why jobs are deleted.
          Effect.catchIf(
            ({ code }) => code === "ENOSPC" || code === "EDQUOT",
            () => Effect.succeed(true)
          ),
          unless("EEXIST", "ENOENT"),
          journalFolder.about(jobId, "write", segment)
        )
        if (made) return
      }
    })

    const remove = Effect.fn("JobRepository.delete")(function* (
      jobId: string
    ): Effect.fn.Return<void, RepositoryError> {
      const folder = path.join(dir, journalFolder.folderName(jobId))
      // What cannot be read has no writer either.
      yield* Effect.scoped(fence(jobId)).pipe(Effect.catchReason("RepositoryError", "Corrupt", () => Effect.void))
      yield* Effect.forEach(followers.get(folder) ?? [], ({ readRest }) => Effect.ignore(readRest), { discard: true })
      const doomed = path.join(dir, `.deleted-${yield* journalFolder.uniqueName}`)
      const moved = yield* file(() => fs.rename(folder, doomed).then(() => true)).pipe(
        unless("ENOENT"),
        journalFolder.about(jobId, "remove", folder)
      )
      if (moved === undefined) return yield* journalFolder.failure(jobId, new NotFound())
      yield* syncFolder(dir)
      yield* file(() => fs.rm(doomed, { recursive: true, force: true })).pipe(
        journalFolder.about(jobId, "remove", doomed)
      )
      yield* Effect.ignore(removeLeftovers(dir))
    }, Effect.uninterruptible)

    const list: JobRepository["Service"]["list"] = (options = {}) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const names = yield* file(() => fs.readdir(dir)).pipe(
            unless("ENOENT"),
            journalFolder.about("(any)", "read", dir)
          )
          const found = yield* Effect.forEach(names ?? [], summarize, { concurrency: 8 })
          return Stream.fromIterable(
            found
              .filter((job) => job !== undefined)
              .filter(({ summary }) => options.status?.includes(summary.status) ?? true)
              .filter(({ summary }) => summary.updatedAt > (options.updatedAfter ?? -Infinity))
              .toSorted((a, b) => b.summary.createdAt - a.summary.createdAt || (a.journal < b.journal ? 1 : -1))
              .map(({ summary }) => summary)
          )
        })
      )

    /** The job in a folder of this name, if there is one. */
    const summarize = (name: string) =>
      journalFolder.jobIn(dir, name).pipe(
        Effect.flatMap((jobId) => (jobId === undefined ? Effect.undefined : summaryOf(jobId))),
        Effect.scoped,
        Effect.catchReason("RepositoryError", "NotFound", () => Effect.undefined),
        Effect.catch((error) =>
          Effect.as(Effect.logWarning("A job is left out of the list:", error.message), undefined)
        )
      )

    const summaryOf = Effect.fnUntraced(function* (jobId: string) {
      const journal = yield* journalFolder.open(dir, jobId)
      const { last, segments } = yield* journalFolder.settle(journal, Infinity)
      const { is } = yield* holder(journal, segments.at(-1))
      const summary = yield* journalSummary.of(journal, last, is === "none" || is === "dead")
      return summary === undefined ? undefined : { journal: journal.id, summary: { ...summary, owner: is } }
    })

    return JobRepository.of({
      guarantees: { fencing: true, crossProcess: true, durable: "batch" },
      create,
      openWriter,
      read,
      changes,
      list,
      request,
      requests,
      delete: remove
    })
  }
)

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<JobRepository> => Layer.effect(JobRepository, make(options))

// ---
// streams
// ---

/** A stream of what an effect gives, until it gives nothing. */
const pieces = <A>(
  next: Effect.Effect<ReadonlyArray<A> | undefined, RepositoryError>
): Stream.Stream<A, RepositoryError> =>
  Stream.paginate(undefined, () =>
    Effect.map(next, (found) => [found ?? [], found === undefined ? Option.none() : Option.some(undefined)] as const)
  )

const untilGone: <A>(self: Effect.Effect<A, RepositoryError>) => Effect.Effect<A | undefined, RepositoryError> =
  Effect.catchReason("RepositoryError", "NotFound", () => Effect.undefined)

/** Keeps a follower of a folder in a map until the scope closes. */
const registered = (
  followers: Map<string, Set<Follower>>,
  folder: string,
  follower: Follower
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void followers.set(folder, (followers.get(folder) ?? new Set()).add(follower))),
    () =>
      Effect.sync(() => {
        const others = followers.get(folder)
        others?.delete(follower)
        if (others?.size === 0) followers.delete(folder)
      })
  )

// ---
// file operations
// ---

const makeSegment = (segment: string) => file(() => fs.open(segment, "ax", journalFolder.fileMode))

const writeSynced = (target: string, bytes: Uint8Array) =>
  file(() => fs.writeFile(target, bytes, { flag: "wx", mode: journalFolder.fileMode, flush: true }))

const syncFile = (target: string) =>
  Effect.acquireUseRelease(
    file(() => fs.open(target, "r")),
    (handle) => file(() => handle.sync()),
    (handle) => Effect.ignore(file(() => handle.close()))
  )

/** Names are on the disk once their folder is, on systems where folders can be synced. */
const syncFolder = (folder: string): Effect.Effect<void> => Effect.ignore(syncFile(folder))

/** A new job's folder gets its name, unless there is a job of that name. */
const putInPlace = (jobId: string, temporary: string, folder: string): Effect.Effect<void, RepositoryError> =>
  file(() => fs.rename(temporary, folder)).pipe(
    Effect.catchIf(
      ({ code }) => code === "ENOTEMPTY" || code === "EEXIST",
      (error) =>
        file(() => fs.stat(path.join(folder, journalFolder.segmentName(0)))).pipe(
          Effect.matchEffect({
            onSuccess: () => Effect.fail(journalFolder.failure(jobId, new AlreadyExists())),
            onFailure: () => Effect.fail(error)
          })
        )
    ),
    Effect.catchTag("FileError", (error) => Effect.fail(journalFolder.fileFailure(jobId, "write", folder, error)))
  )

/** Removes what crashes left of creations and deletions. */
const removeLeftovers = Effect.fnUntraced(function* (dir: string) {
  const now = yield* Clock.currentTimeMillis
  const names = yield* file(() => fs.readdir(dir))
  for (const name of names.filter((name) => /^\.(new|deleted)-\d{20}-/.test(name))) {
    const leftover = path.join(dir, name)
    const { mtimeMs } = yield* file(() => fs.stat(leftover))
    if (now - mtimeMs > leftoverMs) yield* discard(leftover)
  }
})
