/**
 * A workspace in memory, over {@link FakeFiles}. Strict: a file that nobody wrote is not there.
 *
 * On the way to a storage and back a file is its frames as text, filled up to its size, and becomes the same file again.
 */
import type { OutputRef } from "@helios-infra/core/WorkerAdapter"
import { type Asset, type Transfer, Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { type FakeFile, FakeFiles } from "./FakeFiles.ts"

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

const FramesAsText = Schema.fromJsonString(
  Schema.Struct({ frames: Schema.Array(Schema.String), picture: Schema.String })
)
const encodeFrames = Schema.encodeSync(FramesAsText)
const decodeFrames = Schema.decodeUnknownOption(FramesAsText)

/** The bytes of a file: as many as it has. */
export const contentOf = (file: FakeFile): Uint8Array => {
  const text = new TextEncoder().encode(encodeFrames(file))
  const content = new Uint8Array(file.bytes).fill(0x20)
  content.set(text.subarray(0, file.bytes))
  return content
}

/** The file that such bytes are; any others are a file of no frames. */
export const fileOf = (content: Uint8Array): FakeFile => ({
  bytes: content.length,
  ...Option.getOrElse(decodeFrames(new TextDecoder().decode(content)), () => ({ frames: [], picture: "" }))
})

const sha256Of = (content: Uint8Array): string => createHash("sha256").update(content).digest("hex")

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

    /** The files that a name leads to. */
    const named = Effect.fnUntraced(function* (name: string) {
      const path = name.startsWith("/") ? normalize(name) : normalize(`${root}/${name}`)
      if (path !== root && !path.startsWith(`${root}/`)) return yield* fail(name, "Outside")
      const found = [...files.keys()].filter(
        (file) => (file === path || file.startsWith(`${path}/`)) && !/\/\.helios\/|\.staged(\.|$)/.test(file)
      )
      return found.length === 0 && path !== root ? yield* fail(name, "NotFound") : found
    })

    const assets: Transfer["assets"] = (names) =>
      Stream.fromIterableEffect(
        Effect.map(Effect.forEach(names, named), (found) => [...new Set(found.flat())].toSorted())
      ).pipe(
        Stream.mapEffect((path): Effect.Effect<Asset, WorkspaceError> => {
          const read = Effect.suspend(() => {
            const file = files.get(path)
            return file === undefined ? fail(path, "NotFound") : Effect.succeed(contentOf(file))
          })
          return Effect.map(read, (content) => ({
            path: path.slice(root.length + 1),
            bytes: content.length,
            sha256: sha256Of(content),
            content: Stream.fromEffect(read)
          }))
        })
      )

    const receive: Transfer["receive"] = Effect.fnUntraced(function* (jobId, name, content) {
      const received = Buffer.concat(yield* Stream.runCollect(content))
      const path = `${folderOf(jobId)}/received-${++places}${extensionOf(name)}`
      files.set(path, fileOf(received))
      return { path, bytes: received.length, sha256: sha256Of(received) }
    })

    return Workspace.of({
      root,
      transfer: { assets, receive },
      place: ({ attempt, chunkId, jobId, outputFile, run }) =>
        Effect.sync(() => `${folderOf(jobId)}/${run}.${chunkId}.${attempt}-${++places}${extensionOf(outputFile)}`),
      locate: (output) =>
        Effect.flatMap(stat(output), (found) =>
          Option.isNone(found) ? fail(output.location, "NotFound") : Effect.succeed(output.location)
        ),
      stat,
      publish: (output, outputFile) =>
        Effect.flatMap(inside(outputFile), (path) => copy(output.location, path)).pipe(Effect.asVoid),
      stage: Effect.fnUntraced(function* (_jobId, outputFile) {
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
