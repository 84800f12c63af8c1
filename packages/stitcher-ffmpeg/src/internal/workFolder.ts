/**
 * A folder for what is being made, beside the final file: on its file system, so that the last step is a rename; gone with
 * its scope, whatever happened in it.
 */
import { OutputUnwritable, type StitchError } from "@helios-infra/core/VideoStitcher"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { Scope } from "effect/Scope"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { failWith } from "./stitchFailure.ts"

/** Makes the folder of an output, which is a folder itself or a file. Nobody else can look into it. */
export const make = Effect.fnUntraced(function* (
  output: string,
  kind: "folder" | "file"
): Effect.fn.Return<string, StitchError, Scope> {
  const existing = yield* Effect.tryPromise(() => fs.stat(output)).pipe(Effect.option)
  if (Option.isSome(existing) && (kind === "folder" || !existing.value.isFile())) {
    const detail =
      kind === "folder"
        ? "something is there already, and a folder replaces nothing: remove it, or choose another name"
        : "something that is no file is there: choose another name"
    return yield* failWith(new OutputUnwritable({ path: output, detail }))
  }
  return yield* Effect.acquireRelease(
    writing(output, () => fs.mkdtemp(path.join(path.dirname(output), ".stitching-"))),
    (folder) =>
      Effect.tryPromise(() => fs.rm(folder, { recursive: true, force: true, maxRetries: 3 })).pipe(
        Effect.ignore({ log: "Warn" })
      )
  )
})

/**
 * Gives a chunk a plain name in the folder: ffmpeg prints names, and takes some for patterns. It is a link, which costs
 * nothing.
 */
export const link = (
  folder: string,
  index: number,
  file: string,
  output: string
): Effect.Effect<string, StitchError> => {
  const name = path.join(folder, `${index}${/^\.\w+$/.exec(path.extname(file))?.[0] ?? ""}`)
  return Effect.as(
    writing(output, () => fs.symlink(file, name)),
    name
  )
}

/** How many bytes a file has, or the files of a folder together, of which folders below it are no part. */
export const sizeOf = (name: string): Promise<number> =>
  fs.stat(name).then((found) =>
    found.isDirectory()
      ? fs
          .readdir(name)
          .then((names) => Promise.all(names.map((one) => fs.stat(path.join(name, one)))))
          .then((stats) => stats.reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0))
      : found.size
  )

/** Fails with `OutputUnwritable`, in words, when the file system does not let us write. */
export const writing = <A>(output: string, attempt: () => Promise<A>): Effect.Effect<A, StitchError> =>
  Effect.tryPromise(attempt).pipe(
    Effect.catch((error) => {
      const known: Readonly<Record<string, string>> = {
        ENOENT: "its folder is not there: create it",
        ENOTDIR: "its folder is not a folder",
        EACCES: "no permission to write to its folder",
        EPERM: "no permission to write to its folder",
        EROFS: "its folder is on a read-only file system",
        ENOSPC: "no space left on the device: free some",
        ENOTEMPTY: "something is there already: choose another name",
        EEXIST: "something is there already: choose another name",
        EDQUOT: "the disk quota is used up: free some space"
      }
      return failWith(new OutputUnwritable({ path: output, detail: known[codeOf(error)] ?? detailOf(error) }))
    })
  )

/** The system's code of what went wrong; empty where there is none. */
export const codeOf = (error: Cause.UnknownError): string =>
  Predicate.hasProperty(error.cause, "code") && Predicate.isString(error.cause.code) ? error.cause.code : ""

/** What went wrong, in the system's words. */
export const detailOf = (error: Cause.UnknownError): string =>
  error.cause instanceof Error ? error.cause.message : String(error.cause)
