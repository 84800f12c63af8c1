/**
 * Reads a journal piece by piece, while others may write it: what it has given stays part of the journal.
 */
import * as Effect from "effect/Effect"
import type { JobRecord } from "@helios-infra/core/JobEvent"
import { NotFound, type RepositoryError } from "@helios-infra/core/JobRepository"
import * as journalFolder from "./journalFolder.ts"
import * as journalLines from "./journalLines.ts"

/** How much is read at once, in bytes; more where a line is longer. */
const pieceBytes = 1 << 18

/** A journal that is being read. */
export interface JournalReader {
  /**
   * The next records; `undefined` when there are no more for now. Fails with `NotFound` when the journal is gone. Not to
   * be asked by two at once.
   */
  readonly next: Effect.Effect<ReadonlyArray<JobRecord> | undefined, RepositoryError>
  /** How far it has come; `undefined` before the first record. */
  readonly reached: () => Reached | undefined
}

/** A place in the file of a run. */
export interface Reached {
  readonly run: number
  readonly place: journalLines.Place
}

/** Reads the records after a revision. */
export const make = (journal: journalFolder.Journal, after: number): JournalReader => {
  const { jobId } = journal
  const readPiece = pieceReader(jobId, journalLines.parseLines)
  let segments: ReadonlyArray<journalFolder.Segment> = []
  let place = start(undefined)
  let given = after

  /** Looks which files there are, and finds its place among them again. */
  const refresh = Effect.fnUntraced(function* () {
    const current = segments[0]?.run
    const found = (yield* journalFolder.settle(journal, given)).segments
    const index = found.findIndex(({ run }) => run === current)
    segments = found.slice(Math.max(0, index))
    if (index < 0) place = start(segments[0])
  })

  const next = Effect.gen(function* () {
    if (segments.length === 0) yield* refresh()
    while (true) {
      const segment = segments[0]
      if (segment === undefined) return undefined
      const piece = yield* readPiece(segment, place)
      if (segment.counts === undefined && (yield* journalFolder.hasRun(journal, segment.run + 1))) {
        yield* refresh()
        // Unless the later run has never begun, it says how much of this one counts.
        if (segments[0]?.run !== segment.run || segments[0].counts !== undefined) continue
      }
      if (!(yield* journal.isThere)) return yield* journalFolder.failure(jobId, new NotFound())
      if (piece.damage !== undefined) return yield* journalFolder.damaged(jobId, segment.file, piece.damage)
      const moved = piece.place.offset > place.offset
      place = piece.place
      const records = place.revision > given ? piece.records.filter(({ revision }) => revision > given) : []
      given = Math.max(given, place.revision)
      if (records.length > 0) return records
      if (moved) continue
      if (segment.counts === undefined) return undefined
      if (place.offset < segment.counts) {
        return yield* journalFolder.corrupt(jobId, `${segment.file}, byte ${place.offset}: its end is missing`)
      }
      const { revision } = place
      segments = segments.slice(1)
      place = start(segments[0])
      if (place.revision !== revision) {
        return yield* journalFolder.corrupt(jobId, `${segment.file}: record ${place.revision} is missing at its end`)
      }
    }
  })

  const reached = () => segments[0] && { run: segments[0].run, place }
  return { next, reached }
}

/** Where the whole lines of a run's file end, whoever else may have made a later one; `known` is a place on the way. */
export const readToEnd = Effect.fnUntraced(function* (
  jobId: string,
  segment: journalFolder.Segment,
  known?: Reached
): Effect.fn.Return<journalLines.Place, RepositoryError> {
  const readPiece = pieceReader(jobId, journalLines.skipLines)
  let place = known?.run === segment.run ? known.place : start(segment)
  while (true) {
    const piece = yield* readPiece(segment, place)
    if (piece.damage !== undefined) return yield* journalFolder.damaged(jobId, segment.file, piece.damage)
    if (piece.place.offset === place.offset) return place
    place = piece.place
  }
})

const start = (segment: journalFolder.Segment | undefined): journalLines.Place => ({
  offset: 0,
  line: 0,
  revision: segment?.header.revision ?? 0
})

/** Reads whole lines of files, into memory that is used again. */
const pieceReader = <Piece extends ReturnType<typeof journalLines.skipLines>>(
  jobId: string,
  take: (bytes: Buffer, from: journalLines.Place, run: number) => Piece
) => {
  let memory = Buffer.allocUnsafe(pieceBytes)
  return (
    { counts = Infinity, file, run }: journalFolder.Segment,
    place: journalLines.Place
  ): Effect.Effect<Piece, RepositoryError> =>
    journalFolder.withFile(
      jobId,
      file,
      Effect.fnUntraced(function* (handle) {
        while (true) {
          const into = memory.subarray(0, Math.min(memory.length, counts - place.offset))
          const bytes = yield* journalFolder.readAt(jobId, file, handle, place.offset, into)
          const piece = take(bytes, place, run)
          if (piece.place.offset > place.offset || piece.damage !== undefined || bytes.length < memory.length)
            return piece
          memory = Buffer.allocUnsafe(memory.length * 4)
        }
      })
    )
}
