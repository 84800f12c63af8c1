/**
 * A workspace in memory, over {@link FakeFiles}. Strict: a file that nobody wrote is not there.
 */
import type { OutputRef } from "@helios-infra/core/WorkerAdapter"
import { Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { FakeFiles } from "./FakeFiles.ts"

/** Where the workspace is. */
export interface Options {
  /** The job's folder, absolute. Default: `"/job"`. */
  readonly root?: string | undefined
}

const normalize = (path: string): string => {
  const segments: Array<string> = []
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop()
    else if (segment !== "" && segment !== ".") segments.push(segment)
  }
  return `/${segments.join("/")}`
}

const extensionOf = (name: string): string => /\.[^./]*$/.exec(name)?.[0] ?? ""

/** Makes the workspace. */
export const make = (options: Options = {}): Effect.Effect<Workspace["Service"], never, FakeFiles> =>
  Effect.gen(function* () {
    const files = yield* FakeFiles
    const root = normalize(options.root ?? "/job")
    let places = 0

    const fail = (path: string, reason: WorkspaceError["reason"]) =>
      Effect.fail(new WorkspaceError({ path, reason, cause: undefined }))

    const inside = (name: string): Effect.Effect<string, WorkspaceError> => {
      const path = normalize(`${root}/${name}`)
      return path.startsWith(`${root}/`) ? Effect.succeed(path) : fail(name, "Outside")
    }

    const folderOf = (jobId: string) => `${root}/.helios/${encodeURIComponent(jobId)}`

    const copy = (from: string, to: string): Effect.Effect<number, WorkspaceError> =>
      Effect.suspend(() => {
        const file = files.get(from)
        if (file === undefined) return fail(from, "NotFound")
        files.set(to, file)
        return Effect.succeed(file.bytes)
      })

    const stat = ({ location }: OutputRef) =>
      Effect.sync(() => Option.map(Option.fromUndefinedOr(files.get(location)), ({ bytes }) => ({ bytes })))

    return Workspace.of({
      root,
      place: ({ attempt, chunkId, jobId, outputFile, run }) =>
        Effect.sync(() => `${folderOf(jobId)}/${run}.${chunkId}.${attempt}-${++places}${extensionOf(outputFile)}`),
      locate: (output) =>
        Effect.flatMap(stat(output), (found) =>
          Option.isNone(found) ? fail(output.location, "NotFound") : Effect.succeed(output.location)
        ),
      stat,
      publish: (output, outputFile) =>
        Effect.flatMap(inside(outputFile), (path) => copy(output.location, path)).pipe(Effect.asVoid),
      stage: Effect.fnUntraced(function* (outputFile) {
        const finalPath = outputFile.startsWith("/") ? normalize(outputFile) : yield* inside(outputFile)
        const path = `${finalPath}.${++places}.staged${extensionOf(outputFile)}`
        const discard = Effect.sync(() => files.delete(path))
        yield* Effect.addFinalizer(() => discard)
        const publish = copy(path, finalPath).pipe(
          Effect.tap(discard),
          Effect.map((bytes) => ({ bytes }))
        )
        return { path, finalPath, publish }
      }),
      remove: (jobId, keep) =>
        Effect.sync(() => {
          for (const path of files.keys()) {
            if (path.startsWith(`${folderOf(jobId)}/`) && !keep.includes(path)) files.delete(path)
          }
        })
    })
  })

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<Workspace, never, FakeFiles> =>
  Layer.effect(Workspace, make(options))
