/**
 * A folder for each attempt below the workspace, which is gone when the attempt is over, however it ends.
 *
 * ```
 * <workspace>/.helios-worker/
 *   assets/               the cache of assets
 *   <uuid>/               one attempt
 *     owner.json          the process that runs it
 *     job/  tmp/  …
 * ```
 *
 * What a process left that was killed is removed when the next one starts, along with what still runs of its commands.
 */
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import * as Liveness from "@helios-infra/adapter-local/Liveness"
import { Owner } from "@helios-infra/core/JobEvent"
import * as Strays from "@helios-infra/process/Strays"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** One attempt's folder. */
interface ScratchFolder {
  readonly path: string
  /** What the markers of commands that run for it begin with, so that they are found when this process is gone. */
  readonly marker: string
  /** Where the command's temporary files go. */
  readonly tmp: string
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

const OwnerJson = Schema.fromJsonString(Owner)
const decodeOwner = Schema.decodeUnknownOption(OwnerJson)
const encodeOwner = Schema.encodeSync(OwnerJson)

/** Removes what dead processes left below `workspaceDir`, and gives folders there. */
export const make = Effect.fnUntraced(function* (
  workspaceDir: string
): Effect.fn.Return<Scratch, LocalFiles.FileError> {
  const base = path.join(workspaceDir, ".helios-worker")
  const assets = path.join(base, "assets")
  const owner = yield* Liveness.self

  const open = Effect.acquireRelease(
    Effect.gen(function* () {
      const marker = randomUUID()
      const folder = path.join(base, marker)
      const tmp = path.join(folder, "tmp")
      yield* LocalFiles.file(() =>
        fs
          .mkdir(tmp, { recursive: true, mode: 0o700 })
          .then(() => fs.writeFile(path.join(folder, ownerName), encodeOwner(owner)))
      ).pipe(Effect.onError(() => remove(folder)))
      return { path: folder, marker, tmp }
    }),
    (folder) => Effect.andThen(remove(folder.path), Effect.ignore(LocalFiles.file(() => fs.rmdir(base))))
  )

  const sweepOne = Effect.fnUntraced(function* (folder: string) {
    const text = yield* Effect.option(LocalFiles.file(() => fs.readFile(path.join(folder, ownerName), "utf8")))
    const left = Option.flatMap(text, decodeOwner)
    const lives = Option.isSome(left) ? yield* Liveness.of(left.value) : "unknown"
    if (lives === "alive") return
    if (lives === "unknown") {
      const { mtimeMs } = yield* LocalFiles.file(() => fs.stat(folder))
      if ((yield* Clock.currentTimeMillis) - mtimeMs < Duration.toMillis(abandonedAfter)) return
    }
    const strays = yield* Strays.find(path.basename(folder))
    if (strays.length > 0) yield* Strays.end(strays.map(({ marker }) => marker))
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
