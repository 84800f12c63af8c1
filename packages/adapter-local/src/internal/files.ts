/** What both the workspace and the adapter need to know of files. Promises; their callers make effects of them. */
import * as Predicate from "effect/Predicate"
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** The `code` of a Node error: `"ENOENT"`. */
export const errorCode = (error: unknown): unknown => (Predicate.hasProperty(error, "code") ? error.code : undefined)

/** `undefined` in place of the failure that there is no such file; below a file, there is none either. */
export const ifThere = <A>(operation: Promise<A>): Promise<A | undefined> =>
  operation.catch((error: unknown) =>
    errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR" ? undefined : Promise.reject(error)
  )

/** Whether one absolute path lies below another one, by their names alone. */
export const isBelow = (folder: string, file: string): boolean => {
  const relative = path.relative(folder, file)
  return relative !== "" && relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative)
}

/** Where the deepest existing part of a path really is, its links followed. */
export const realpathOfExisting = (file: string): Promise<string> =>
  ifThere(fs.realpath(file)).then((real) => real ?? realpathOfExisting(path.dirname(file)))
