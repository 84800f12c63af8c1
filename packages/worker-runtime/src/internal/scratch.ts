/**
 * A folder for each attempt below the workspace, which is gone when the attempt is over, however it ends.
 *
 * ```
 * <workspace>/.helios-worker/
 *   assets/               the cache of assets
 *   <uuid>/               one attempt
 *     owner.json          the process that runs it, and the marker of its command
 *     job/  tmp/  …
 * ```
 *
 * What a process left that was killed is removed when the next one starts, along with what still runs of its commands.
 */
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import * as Liveness from "@helios-infra/adapter-local/Liveness"
import { Owner } from "@helios-infra/core/JobEvent"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { writeFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** One attempt's folder. */
export interface ScratchFolder {
  readonly path: string
  /** Where the command's temporary files go. */
  readonly tmp: string
  /** Notes the marker of the command that runs here, for whoever cleans up after this process. Never throws. */
  readonly runs: (marker: string) => void
}

/** Gives folders. */
export interface Scratch {
  /** Where assets can be kept: on the same disk. */
  readonly assets: string
  /** A new folder, removed with all that is in it when the scope closes. */
  readonly open: Effect.Effect<ScratchFolder, LocalFiles.FileError, Scope.Scope>
}

const ownerName = "owner.json"

/** After this long, what a process of another machine left is taken for abandoned: nobody here can ask whether it lives. */
const abandonedAfter = Duration.hours(24)

const Note = Schema.fromJsonString(Schema.Struct({ owner: Owner, marker: Schema.optionalKey(Schema.String) }))
const decodeNote = Schema.decodeUnknownOption(Note)
const encodeNote = Schema.encodeSync(Note)

/** Removes what dead processes left below `workspaceDir`, and gives folders there; `end` ends processes by their marker. */
export const make = Effect.fnUntraced(function* (
  workspaceDir: string,
  end: (marker: string) => Effect.Effect<unknown>
): Effect.fn.Return<Scratch, LocalFiles.FileError> {
  const base = path.join(workspaceDir, ".helios-worker")
  const assets = path.join(base, "assets")
  const owner = yield* Liveness.self

  const open = Effect.acquireRelease(
    Effect.gen(function* () {
      const folder = path.join(base, randomUUID())
      const tmp = path.join(folder, "tmp")
      const note = path.join(folder, ownerName)
      yield* LocalFiles.file(() =>
        fs.mkdir(tmp, { recursive: true, mode: 0o700 }).then(() => fs.writeFile(note, encodeNote({ owner })))
      ).pipe(Effect.onError(() => remove(folder)))
      const runs = (marker: string): void => {
        Result.try(() => writeFileSync(note, encodeNote({ owner, marker })))
      }
      return { path: folder, tmp, runs }
    }),
    (folder) => Effect.andThen(remove(folder.path), Effect.ignore(LocalFiles.file(() => fs.rmdir(base))))
  )

  const sweepOne = Effect.fnUntraced(function* (folder: string) {
    const text = yield* Effect.option(LocalFiles.file(() => fs.readFile(path.join(folder, ownerName), "utf8")))
    const note = Option.flatMap(text, decodeNote)
    const lives = Option.isSome(note) ? yield* Liveness.of(note.value.owner) : "unknown"
    if (lives === "alive") return
    if (lives === "unknown") {
      const { mtimeMs } = yield* LocalFiles.file(() => fs.stat(folder))
      if ((yield* Clock.currentTimeMillis) - mtimeMs < Duration.toMillis(abandonedAfter)) return
    }
    const marker = Option.isSome(note) ? note.value.marker : undefined
    if (lives === "dead" && marker !== undefined) yield* end(marker)
    yield* remove(folder)
  })

  const names = yield* LocalFiles.ifThere(LocalFiles.file(() => fs.readdir(base)))
  yield* Effect.forEach(
    (names ?? []).filter((name) => path.join(base, name) !== assets),
    (name) => Effect.ignore(sweepOne(path.join(base, name))),
    { concurrency: 8, discard: true }
  )
  return { assets, open }
})

/** Removes a folder, also where a command took the right to do so from its own folders. */
const remove = (folder: string): Effect.Effect<void> => {
  const removing = LocalFiles.file(() => fs.rm(folder, { recursive: true, force: true, maxRetries: 3 }))
  return removing.pipe(
    Effect.catch(() => Effect.andThen(unlock(folder), removing)),
    Effect.catch((error) => Effect.logWarning(`${folder} could not be removed: ${error.message}`))
  )
}

const unlock: (folder: string) => Effect.Effect<void, LocalFiles.FileError> = Effect.fnUntraced(function* (folder) {
  yield* LocalFiles.file(() => fs.chmod(folder, 0o700))
  const entries = yield* LocalFiles.file(() => fs.readdir(folder, { withFileTypes: true }))
  yield* Effect.forEach(
    entries.filter((entry) => entry.isDirectory()),
    (entry) => unlock(path.join(folder, entry.name)),
    { discard: true }
  )
})
