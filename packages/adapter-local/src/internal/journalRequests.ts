/** What somebody asks of a run, as files beside the journal: one for each request, whole or not there at all. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type JobRequest, NotFound, type RepositoryError } from "@helios-infra/core/JobRepository"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { discard, file, unless } from "./files.ts"
import * as journalFolder from "./journalFolder.ts"

const Request = Schema.fromJsonString(
  Schema.TaggedUnion({
    Cancel: { by: Schema.String },
    Pause: { mode: Schema.Literals(["drain", "interrupt"]) }
  })
)
const encode = Schema.encodeSync(Request)
const decode = Schema.decodeUnknownOption(Request)

const prefix = (run: number): string => `request-${String(run).padStart(4, "0")}-`

/** Asks something of a run. */
export const ask = Effect.fnUntraced(function* (
  journal: journalFolder.Journal,
  run: number,
  request: JobRequest
): Effect.fn.Return<void, RepositoryError> {
  const { folder, jobId } = journal
  const name = `${prefix(run)}${yield* journalFolder.uniqueName}.json`
  const target = path.join(folder, name)
  const temporary = path.join(folder, `.${name}`)
  const written = yield* file(() =>
    fs
      .writeFile(temporary, `${encode(request)}\n`, { flag: "wx", mode: journalFolder.fileMode })
      .then(() => fs.rename(temporary, target))
      .then(() => true)
  ).pipe(
    unless("ENOENT"),
    Effect.onError(() => discard(temporary)),
    journalFolder.about(jobId, "write", target)
  )
  if (written === undefined) return yield* journalFolder.failure(jobId, new NotFound())
})

/** Those of a run among these names that were not seen before, in the order in which they were made. */
export const unseen = Effect.fnUntraced(function* (
  journal: journalFolder.Journal,
  run: number,
  names: ReadonlyArray<string>,
  seen: Set<string>
): Effect.fn.Return<ReadonlyArray<JobRequest>, RepositoryError> {
  const found: Array<JobRequest> = []
  for (const name of names.filter((name) => name.startsWith(prefix(run)) && !seen.has(name)).toSorted()) {
    const target = path.join(journal.folder, name)
    const text = yield* file(() => fs.readFile(target, "utf8")).pipe(
      unless("ENOENT", "EISDIR"),
      journalFolder.about(journal.jobId, "read", target)
    )
    seen.add(name)
    // Whatever else lies there is not ours to judge.
    const request = decode(text)
    if (Option.isSome(request)) found.push(request.value)
  }
  return found
})

/** Removes the requests of earlier runs. */
export const removeBefore = Effect.fnUntraced(function* (journal: journalFolder.Journal, run: number) {
  const names = yield* journalFolder.names(journal)
  const past = names.filter((name) => Number(/^request-(\d+)-/.exec(name)?.[1]) < run)
  yield* Effect.forEach(past, (name) => discard(path.join(journal.folder, name)), { concurrency: 8, discard: true })
})
