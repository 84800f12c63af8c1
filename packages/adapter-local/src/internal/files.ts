/** What both the workspace and the adapter need to know of files, with errors that are told apart by their code. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** A file operation failed, with the system's code (`"ENOENT"`) where it gave one. */
export class FileError extends Data.TaggedError("FileError")<{
  readonly code: string | undefined
  readonly cause: unknown
}> {
  override get message(): string {
    return this.cause instanceof Error ? this.cause.message : String(this.cause)
  }
}

/** A file operation. */
export const file = <A>(run: () => Promise<A>): Effect.Effect<A, FileError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new FileError({
        code: Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? cause.code : undefined,
        cause
      })
  })

/** Gives `undefined` in place of a failure with one of these codes. */
export const unless =
  (...codes: ReadonlyArray<string>) =>
  <A>(self: Effect.Effect<A, FileError>): Effect.Effect<A | undefined, FileError> =>
    Effect.catchIf(
      self,
      ({ code }) => code !== undefined && codes.includes(code),
      () => Effect.undefined
    )

/** Gives `undefined` in place of the failure that there is no such file; below a file, there is none either. */
export const ifThere: <A>(self: Effect.Effect<A, FileError>) => Effect.Effect<A | undefined, FileError> = unless(
  "ENOENT",
  "ENOTDIR"
)

/** Whether one absolute path lies below another one, by their names alone. */
export const isBelow = (folder: string, target: string): boolean => {
  const relative = path.relative(folder, target)
  return relative !== "" && relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative)
}

/** Where the deepest existing part of a path really is, its links followed. */
export const realpathOfExisting = (target: string): Effect.Effect<string, FileError> =>
  file(() => fs.realpath(target)).pipe(
    ifThere,
    Effect.filterOrElse(Predicate.isNotUndefined, () => realpathOfExisting(path.dirname(target)))
  )

/** Removes a file or a whole folder if it is there; what cannot be removed stays. */
export const discard = (target: string): Effect.Effect<void> =>
  Effect.ignore(file(() => fs.rm(target, { recursive: true, force: true })))

/**
 * How large an output is: a file, or a folder of files, of which folders below it are no part. None where there is neither.
 */
export const outputSize = (target: string): Effect.Effect<number | undefined, FileError> => {
  const look = (name: string) => ifThere(file(() => fs.stat(name)))
  return Effect.flatMap(look(target), (found) => {
    if (found?.isDirectory() !== true) return Effect.succeed(found?.isFile() === true ? found.size : undefined)
    return file(() => fs.readdir(target)).pipe(
      Effect.flatMap(Effect.forEach((name) => look(path.join(target, name)), { concurrency: 16 })),
      Effect.map((files) => files.reduce((sum, one) => sum + (one?.isFile() === true ? one.size : 0), 0))
    )
  })
}

/** Whether there is a folder of that name. */
export const isFolder = (target: string): Effect.Effect<boolean, FileError> =>
  Effect.map(ifThere(file(() => fs.stat(target))), (found) => found?.isDirectory() === true)
