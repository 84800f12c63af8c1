/**
 * What a journal amounts to, for lists: kept beside it once nobody writes it, so that it need not be read again. Never
 * the truth: a summary counts while the journal's last file is the one, and as long, as it was made of.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { JobSummary, RepositoryError } from "@helios-infra/core/JobRepository"
import { makeFold } from "@helios-infra/core/JobState"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { discard, file } from "./files.ts"
import * as journalFolder from "./journalFolder.ts"
import * as journalReader from "./journalReader.ts"

/** A summary, but for who runs the job, which changes without a word in the journal. */
export type Summary = Omit<JobSummary, "owner">

const Kept = Schema.fromJsonString(
  Schema.Struct({
    version: Schema.Literal(1),
    /** The journal that it was made of, its last run's file, and how long that was. */
    journal: Schema.String,
    run: Schema.Int,
    bytes: Schema.Int,
    summary: Schema.Struct({
      id: Schema.String,
      status: Schema.Literals(["pending", "running", "paused", "completed", "failed", "cancelled"]),
      run: Schema.Int,
      progress: Schema.Finite,
      createdAt: Schema.Finite,
      updatedAt: Schema.Finite
    })
  })
)
const decode = Schema.decodeUnknownOption(Kept)
const encode = Schema.encodeSync(Kept)

/** Sums a journal up whose last file is that of run `last`; `keep` says whether to keep what it took to read it. */
export const of = Effect.fnUntraced(function* (
  journal: journalFolder.Journal,
  last: number,
  keep: boolean
): Effect.fn.Return<Summary | undefined, RepositoryError> {
  const place = path.join(journal.folder, "summary.json")
  const segment = journalFolder.segmentFile(journal, last)
  const size = file(() => fs.stat(segment)).pipe(
    Effect.map((found) => found.size),
    journalFolder.about(journal.jobId, "read", segment)
  )
  const bytes = yield* size
  const text = yield* file(() => fs.readFile(place, "utf8")).pipe(Effect.option)
  const kept = Option.getOrUndefined(Option.flatMap(text, decode))
  if (kept?.journal === journal.id && kept.run === last && kept.bytes === bytes) return kept.summary

  const summary = yield* fold(journal)
  if (summary !== undefined && keep && (yield* size) === bytes) {
    const json = encode({ version: 1, journal: journal.id, run: last, bytes, summary })
    yield* Effect.ignore(replace(place, json))
  }
  return summary
})

const fold = Effect.fnUntraced(function* (journal: journalFolder.Journal) {
  const folding = makeFold(journal.jobId)
  const reader = journalReader.make(journal, 0)
  for (let piece = yield* reader.next; piece !== undefined; piece = yield* reader.next) {
    for (const record of piece) folding.apply(record)
  }
  const state = folding.state()
  if (state === undefined) return undefined
  const { createdAt, id, progress, run, status, updatedAt } = state
  return { id, status, run, progress, createdAt, updatedAt }
})

const replace = Effect.fnUntraced(function* (place: string, text: string) {
  const temporary = path.join(path.dirname(place), `.summary-${yield* journalFolder.uniqueName}.json`)
  yield* file(() =>
    fs.writeFile(temporary, text, { flag: "wx", mode: journalFolder.fileMode }).then(() => fs.rename(temporary, place))
  ).pipe(Effect.onError(() => discard(temporary)))
})
