/**
 * One job's folder: which files its journal is made of, in which order, and how much of each counts.
 *
 * ```
 * <dir>/trailer-<hash>/
 *   run-0000.ndjson                  the job's creation
 *   run-0001.ndjson                  one file per run, made exclusively: whoever makes it is the next writer
 *   request-0001-<time>-<n>.json     what somebody asks of run 1
 *   summary.json                     what `list` made of a journal that nobody writes; may be deleted at any time
 * ```
 *
 * A run's file takes over in two steps. To make it fences the writer before; only then does the new one look how much
 * that one has written, and says so in its header. So whoever has read or written something, and finds **after that** no
 * later file, knows that it counts. A later file without a header yet leaves it open; one that stays so has never begun.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Corrupt, NewerVersion, NotFound, RepositoryError, Unavailable } from "@helios-infra/core/JobRepository"
import { createHash, randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { file, type FileError, unless } from "./files.ts"
import * as journalLines from "./journalLines.ts"

/** How long a run may take from its file to its header before it is taken for dead. */
const beginMs = 1000

/** How long to wait between looks at a run that is about to begin. */
const beginPauseMs = 5

/** Jobs name secrets: what is made here is for its user alone. */
export const folderMode = 0o700
export const fileMode = 0o600

// ---
// names
// ---

/** A folder for a job id: readable, whatever the id is, and different for different ids, whatever case they are in. */
export const folderName = (jobId: string): string => {
  const readable = jobId
    .toLowerCase()
    .replace(/[^\w-]+/g, "_")
    .slice(0, 40)
  // Not as UTF-8, in which halves of characters are all the same.
  const hash = createHash("sha256").update(Buffer.from(jobId, "utf16le")).digest("hex").slice(0, 32)
  return `${readable}-${hash}`
}

export const segmentName = (run: number): string => `run-${String(run).padStart(4, "0")}.ndjson`

/** The runs that have files among these names, the last first. */
export const runsOf = (names: ReadonlyArray<string>): ReadonlyArray<number> =>
  names
    .map((name) => Number(/^run-(\d{4,})\.ndjson$/.exec(name)?.[1]))
    .filter((run) => Number.isSafeInteger(run))
    .toSorted((a, b) => b - a)

/** A name that nobody else has, which sorts by time: in nanoseconds, padded. */
export const uniqueName: Effect.Effect<string> = Effect.map(
  Clock.currentTimeNanos,
  (now) => `${String(now).padStart(20, "0")}-${randomUUID().slice(0, 8)}`
)

// ---
// errors
// ---

export const failure = (jobId: string, reason: RepositoryError["reason"]): RepositoryError =>
  new RepositoryError({ jobId, reason })

/** The store failed, in words. */
export const unavailable = (jobId: string, message: string, cause?: unknown): RepositoryError =>
  failure(jobId, new Unavailable({ cause: new Error(message, cause === undefined ? undefined : { cause }) }))

/** Which file or folder could not be read or written, and what to do about it. */
export const fileFailure = (
  jobId: string,
  doing: "read" | "write" | "remove",
  target: string,
  error: FileError
): RepositoryError => unavailable(jobId, `cannot ${doing} ${target}: ${advice(error)}`, error.cause)

/** Gives a file operation the error of {@link fileFailure}. */
export const about =
  (jobId: string, doing: "read" | "write" | "remove", target: string) =>
  <A, R>(operation: Effect.Effect<A, FileError, R>): Effect.Effect<A, RepositoryError, R> =>
    Effect.mapError(operation, (error) => fileFailure(jobId, doing, target, error))

const advice = (error: FileError): string => {
  switch (error.code) {
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full: make room, then run the job on"
    case "EFBIG":
      return "the file may not grow any more: raise the limit (ulimit -f), then run the job on"
    case "EIO":
      return "the disk failed: look at what the system says of it, then run the job on"
    case "EROFS":
      return "the file system is read-only: use a folder that can be written to"
    case "EACCES":
    case "EPERM":
      return "this user may not: change the owner or the mode of the folder, or use another one"
    case "ENOTDIR":
    case "EEXIST":
    case "EISDIR":
    case "ENOTEMPTY":
      return "something else is in its place: use another folder, or move that away"
    case "EMFILE":
    case "ENFILE":
      return "too many files are open: raise the limit (ulimit -n)"
    default:
      return error.message
  }
}

export const corrupt = (jobId: string, where: string): RepositoryError => failure(jobId, new Corrupt({ where }))

export const damaged = (jobId: string, target: string, { line, offset, why }: journalLines.Damage): RepositoryError =>
  corrupt(jobId, `${target}, line ${line}, byte ${offset}: ${why}`)

// ---
// the journal
// ---

/** A journal that was there when it was opened. */
export interface Journal {
  readonly jobId: string
  readonly folder: string
  /** As its headers have it. */
  readonly id: string
  /** Whether it is still there: not deleted, and not replaced by that of a new job of the same id. */
  readonly isThere: Effect.Effect<boolean, RepositoryError>
}

/** One run's file, and how many bytes of it count; `undefined` for the last one. */
export interface Segment {
  readonly run: number
  readonly file: string
  readonly header: journalLines.Header
  readonly counts: number | undefined
}

const ifFound = unless("ENOENT")

/** Opens the journal of a job. Fails with `NotFound`, `NewerVersion`, `Corrupt` or `Unavailable`. */
export const open = Effect.fnUntraced(function* (
  dir: string,
  jobId: string
): Effect.fn.Return<Journal, RepositoryError, Scope.Scope> {
  const folder = path.join(dir, folderName(jobId))
  const first = path.join(folder, segmentName(0))
  // As long as it is open, no other file gets its number.
  const handle = yield* Effect.acquireRelease(file(() => fs.open(first, "r")).pipe(ifFound), (handle) =>
    Effect.ignore(file(() => handle?.close() ?? Promise.resolve()))
  ).pipe(about(jobId, "read", first))
  if (handle === undefined) return yield* failure(jobId, new NotFound())
  const { ino } = yield* file(() => handle.stat({ bigint: true })).pipe(about(jobId, "read", first))
  const header = yield* readHeader(jobId, first, handle)
  if (header === undefined) return yield* corrupt(jobId, `${first}, line 1: it is not whole`)
  if (header.jobId !== jobId) return yield* corrupt(jobId, `${first}, line 1: it is of job ${header.jobId}`)
  const isThere = file(() => fs.stat(first, { bigint: true })).pipe(
    ifFound,
    about(jobId, "read", first),
    Effect.map((found) => found?.ino === ino)
  )
  return { jobId, folder, id: header.journal, isThere }
})

/** The job in the folder of this name; `undefined` when the folder is something else. */
export const jobIn = Effect.fnUntraced(function* (
  dir: string,
  name: string
): Effect.fn.Return<string | undefined, RepositoryError> {
  if (!/-[0-9a-f]{32}$/.test(name)) return undefined
  const first = path.join(dir, name, segmentName(0))
  const found = yield* file(() => fs.stat(first)).pipe(unless("ENOENT", "ENOTDIR"), about(name, "read", first))
  if (found === undefined) return undefined
  const header = yield* withFile(name, first, (handle) => readHeader(name, first, handle))
  return header !== undefined && folderName(header.jobId) === name ? header.jobId : undefined
})

export const segmentFile = (journal: Journal, run: number): string => path.join(journal.folder, segmentName(run))

/** The names in the folder. Fails with `NotFound` when it is gone. */
export const names = (journal: Journal): Effect.Effect<ReadonlyArray<string>, RepositoryError> =>
  file(() => fs.readdir(journal.folder)).pipe(
    ifFound,
    about(journal.jobId, "read", journal.folder),
    Effect.filterOrFail(Predicate.isNotUndefined, () => failure(journal.jobId, new NotFound()))
  )

/** Whether a run has a file. */
export const hasRun = (journal: Journal, run: number): Effect.Effect<boolean, RepositoryError> => {
  const segment = segmentFile(journal, run)
  return file(() => fs.stat(segment)).pipe(
    ifFound,
    about(journal.jobId, "read", segment),
    Effect.map(Predicate.isNotUndefined)
  )
}

/** Reads a file for as long as it is open. Fails with `NotFound` when there is none. */
export const withFile = <A, E>(
  jobId: string,
  target: string,
  use: (handle: fs.FileHandle) => Effect.Effect<A, E>
): Effect.Effect<A, E | RepositoryError> =>
  Effect.acquireUseRelease(
    file(() => fs.open(target, "r")).pipe(
      ifFound,
      about(jobId, "read", target),
      Effect.filterOrFail(Predicate.isNotUndefined, () => failure(jobId, new NotFound()))
    ),
    use,
    (handle) => Effect.ignore(file(() => handle.close()))
  )

/** The bytes from a place on, as many as are there and fit. They stand in `into`. */
export const readAt = (
  jobId: string,
  target: string,
  handle: fs.FileHandle,
  position: number,
  into: Buffer
): Effect.Effect<Buffer, RepositoryError> =>
  file(() => handle.read(into, 0, into.length, position)).pipe(
    Effect.map(({ bytesRead }) => into.subarray(0, bytesRead)),
    about(jobId, "read", target)
  )

/** A file's header; `undefined` while there is none. */
const readHeader = Effect.fnUntraced(function* (
  jobId: string,
  target: string,
  handle: fs.FileHandle
): Effect.fn.Return<journalLines.Header | undefined, RepositoryError> {
  for (let length = 4096; ; length *= 8) {
    const bytes = yield* readAt(jobId, target, handle, 0, Buffer.allocUnsafe(length))
    const header = journalLines.parseHeader(bytes)
    if (Result.isFailure(header)) return yield* damaged(jobId, target, header.failure)
    if (typeof header.success === "number") {
      return yield* failure(
        jobId,
        new NewerVersion({ found: header.success, writtenBy: "@helios-infra/adapter-local" })
      )
    }
    if (header.success !== undefined || bytes.length < length) return header.success
  }
})

/**
 * The files that the journal is made of as they stand, in order, from the one with the record after `after` on, and the
 * last run that has a file at all. Runs from `below` on are left out, and so are those that have not begun.
 */
export const look = Effect.fnUntraced(function* (
  journal: Journal,
  { after, below = Infinity }: { readonly after: number; readonly below?: number }
): Effect.fn.Return<{ readonly segments: ReadonlyArray<Segment>; readonly last: number }, RepositoryError> {
  const { jobId } = journal
  const runs = runsOf(yield* names(journal)).filter((run) => run < below)
  const segments: Array<Segment> = []
  let wanted: { readonly run: number; readonly bytes: number } | undefined
  for (const run of runs) {
    if (wanted !== undefined && run > wanted.run) continue
    if (wanted !== undefined && run < wanted.run) break
    const target = segmentFile(journal, run)
    const header = yield* withFile(jobId, target, (handle) => readHeader(jobId, target, handle))
    if (header === undefined && wanted === undefined) continue
    if (header === undefined || header.run !== run) return yield* corrupt(jobId, `${target}, line 1: it is not its own`)
    if (header.journal !== journal.id) return yield* failure(jobId, new NotFound())
    segments.unshift({ run, file: target, header, counts: wanted?.bytes })
    wanted = header.previous
    if (wanted === undefined || header.revision <= after) return { segments, last: runs[0] ?? run }
  }
  if (!(yield* journal.isThere)) return yield* failure(jobId, new NotFound())
  return yield* corrupt(jobId, `${segmentFile(journal, wanted?.run ?? 0)}: it is missing`)
})

/**
 * The same once it is settled: no run is about to begin. `settled` is false when one is, but has not done so in a
 * second: its process is dead or stands still.
 */
export const settle = Effect.fnUntraced(function* (journal: Journal, after: number) {
  const startedAt = yield* Clock.monotonicTimeNanos
  while (true) {
    const { last, segments } = yield* look(journal, { after })
    const current = segments.at(-1)
    if (current?.run === last) {
      // Nobody has come since its header was read, so what the header says holds.
      if (!(yield* hasRun(journal, last + 1))) return { segments, last, settled: true }
      continue
    }
    const waitedMs = Number((yield* Clock.monotonicTimeNanos) - startedAt) / 1e6
    if (waitedMs >= beginMs || (yield* ageMs(journal, last)) >= beginMs) return { segments, last, settled: false }
    yield* Effect.sleep(beginPauseMs)
  }
})

const ageMs = Effect.fnUntraced(function* (journal: Journal, run: number) {
  const segment = segmentFile(journal, run)
  const found = yield* file(() => fs.stat(segment)).pipe(ifFound, about(journal.jobId, "read", segment))
  return (yield* Clock.currentTimeMillis) - (found?.mtimeMs ?? 0)
})
