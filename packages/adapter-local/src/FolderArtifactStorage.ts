/**
 * Artifacts in a folder of this machine, or of a disk that several machines share.
 *
 * ```
 * <dir>/
 *   jobs+/trailer+/chunks+/0+/1.1+/output.mov   a link for each key, to what is stored under it
 *   .content/
 *     5d41402abc4b.<sha256>                     the bytes, and their hash in the name
 *     7d793037a076.part                         what is on its way; only a crash leaves one behind
 * ```
 *
 * A link is made or replaced in one step of the file system: that is why an artifact is whole or not there, why of two
 * that create it one wins, and why who reads keeps what he has begun with. There are no URLs: whoever could use them can
 * read the folder. Needs a disk with symbolic links, as those of Linux and macOS are.
 */
import {
  ArtifactError,
  type ArtifactInfo,
  ArtifactStorage,
  checkContent,
  checkKey,
  type PutOptions
} from "@helios-infra/core/ArtifactStorage"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as artifactNames from "./internal/artifactNames.ts"
import { discard, file, type FileError, ifThere, unless } from "./internal/files.ts"
import * as fileStreams from "./internal/fileStreams.ts"

/** Where the artifacts are. */
export interface Options {
  /** The folder; made with the first artifact, for its user alone, when it is not there. */
  readonly dir: string
}

/** How often something is tried again because somebody else has changed it in the same moment. */
const attempts = 20

/** How many artifacts are looked at or deleted at once. */
const atOnce = 8

/**
 * A storage in a folder. The etag of an artifact is the SHA-256 of its content.
 *
 * Several processes can share the folder. When two replace the same artifact in the same moment, one of the two contents
 * that nobody can reach any more may stay on the disk.
 */
export const make = (options: Options): Effect.Effect<ArtifactStorage["Service"]> =>
  Effect.gen(function* () {
    const root = path.resolve(options.dir)
    const contents = path.join(root, ".content")
    // So that each of this process's puts removes what it has replaced.
    const linking = yield* Semaphore.make(1)

    const linkOf = (key: string): string => path.join(root, ...artifactNames.namesOf(key))

    /** The name of what a link leads to; `undefined` where there is no link. */
    const contentAt = Effect.fnUntraced(function* (key: string, link: string) {
      const target = yield* about(key, ifThere(file(() => fs.readlink(link))))
      if (target === undefined) return undefined
      const content = path.basename(target)
      if (hashIn(content) === undefined) {
        return yield* failure(key, "Unavailable", `${link} was not made by this storage: remove it`)
      }
      return content
    })

    /** Does something with the content of a key, which may go away between the link and that: then there is another one. */
    const withContent = <A, R>(
      key: string,
      link: string,
      use: (file: string) => Effect.Effect<A | undefined, FileError, R>
    ): Effect.Effect<{ readonly used: A; readonly sha256: string } | undefined, ArtifactError, R> =>
      Effect.gen(function* () {
        const content = yield* contentAt(key, link)
        if (content === undefined) return undefined
        const used = yield* about(key, use(path.join(contents, content)))
        if (used === undefined) return yield* failure(key, "NotFound", `${link} leads nowhere`)
        return { used, sha256: hashIn(content) ?? "" }
      }).pipe(Effect.retry({ times: attempts, while: ({ reason }) => reason === "NotFound" }))

    const infoAt = (key: string, link: string): Effect.Effect<Option.Option<ArtifactInfo>, ArtifactError> =>
      Effect.map(
        withContent(key, link, (content) => ifThere(file(() => fs.stat(content)))),
        (found) => (found === undefined ? Option.none() : Option.some(infoOf(key, found.used.size, found.sha256)))
      )

    /** Does something in a folder, which is made first: with the last link in a folder, that is removed as well. */
    const inFolder = <A>(key: string, folder: string, act: Effect.Effect<A, FileError>) =>
      about(
        key,
        Effect.andThen(makeFolder(folder), act).pipe(
          Effect.retry({ times: attempts, while: ({ code }) => code === "ENOENT" })
        )
      )

    const create = Effect.fnUntraced(function* (key: string, content: string) {
      const link = linkOf(key)
      const folder = path.dirname(link)
      const made = file(() => fs.symlink(targetFrom(folder, contents, content), link))
      const done = yield* inFolder(key, folder, made.pipe(Effect.as(true), unless("EEXIST")))
      if (done === undefined) return yield* exists(key)
    })

    const replace = Effect.fnUntraced(function* (key: string, content: string) {
      const link = linkOf(key)
      const folder = path.dirname(link)
      const fresh = path.join(folder, `.${token()}`)
      const replaced = yield* contentAt(key, link)
      const made = file(() => fs.symlink(targetFrom(folder, contents, content), fresh)).pipe(
        Effect.andThen(file(() => fs.rename(fresh, link))),
        Effect.tapError(() => discard(fresh))
      )
      yield* inFolder(key, folder, made)
      if (replaced !== undefined) yield* discard(path.join(contents, replaced))
    })

    /** Writes a body to a file of its own, and checks that it is what was told. */
    const receive = <E>(key: string, part: string, body: Stream.Stream<Uint8Array, E>, told: PutOptions) =>
      fileStreams
        .write(part, counted(key, body, told.bytes), meaning(key), { sync: true })
        .pipe(Effect.tap((came) => checkContent(key, told, came)))

    const put: ArtifactStorage["Service"]["put"] = Effect.fn("FolderArtifactStorage.put")(function* (
      key,
      body,
      told = {}
    ) {
      yield* checkKey(key)
      const ifAbsent = told.ifAbsent === true
      if (ifAbsent && (yield* contentAt(key, linkOf(key))) !== undefined) return yield* exists(key)
      yield* about(key, makeFolder(contents))
      const name = token()
      const part = path.join(contents, `${name}.part`)
      return yield* Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const came = yield* restore(receive(key, part, body, told)).pipe(Effect.onError(() => discard(part)))
          const content = `${name}.${came.sha256}`
          const stored = path.join(contents, content)
          yield* about(
            key,
            file(() => fs.rename(part, stored))
          )
          yield* linking
            .withPermit((ifAbsent ? create : replace)(key, content))
            .pipe(Effect.onError(() => discard(stored)))
          return infoOf(key, came.bytes, came.sha256)
        })
      )
    })

    const get: ArtifactStorage["Service"]["get"] = (key, options = {}) =>
      Stream.unwrap(
        Effect.gen(function* () {
          yield* checkKey(key)
          const found = yield* withContent(key, linkOf(key), open)
          if (found === undefined) return yield* failure(key, "NotFound", "there is none of that name")
          if (options.etag !== undefined && options.etag !== found.sha256) {
            return yield* failure(key, "Changed", `its etag is ${found.sha256}, not ${options.etag}`)
          }
          return Stream.mapError(fileStreams.readHandle(found.used, options), meaning(key))
        })
      )

    /** The links in a folder whose keys begin with a prefix, and those in the folders below. */
    const linksIn = (
      folder: string,
      above: string,
      prefix: string
    ): Stream.Stream<{ readonly key: string; readonly link: string }, ArtifactError> =>
      Stream.fromIterableEffect(
        Effect.map(
          about(prefix, ifThere(file(() => fs.readdir(folder, { withFileTypes: true })))),
          (entries) => entries ?? []
        )
      ).pipe(
        Stream.flatMap((entry) => {
          const name = path.join(folder, entry.name)
          if (entry.isSymbolicLink()) {
            const key = artifactNames.keyOf(above, entry.name)
            return key?.startsWith(prefix) === true ? Stream.make({ key, link: name }) : Stream.empty
          }
          const beginning = entry.isDirectory() ? artifactNames.below(above, entry.name) : undefined
          const wanted = artifactNames.encode(prefix)
          return beginning !== undefined && (beginning.startsWith(wanted) || wanted.startsWith(beginning))
            ? linksIn(name, beginning, prefix)
            : Stream.empty
        })
      )

    const list = (prefix: string): Stream.Stream<ArtifactInfo, ArtifactError> =>
      linksIn(root, "", prefix).pipe(
        Stream.mapEffect(({ key, link }) => infoAt(key, link), { concurrency: atOnce }),
        // One that was deleted since is none.
        Stream.flatMap(Option.match({ onNone: () => Stream.empty, onSome: Stream.succeed }))
      )

    const remove = Effect.fnUntraced(function* (key: string) {
      const link = linkOf(key)
      if ((yield* contentAt(key, link)) === undefined) return
      // What was taken away is what is removed, whoever puts another one there meanwhile.
      const taken = path.join(contents, `${token()}.gone`)
      const there = yield* about(key, file(() => fs.rename(link, taken)).pipe(Effect.as(true), ifThere))
      if (there === undefined) return
      const content = yield* contentAt(key, taken)
      yield* discard(taken)
      if (content !== undefined) yield* discard(path.join(contents, content))
      yield* removeEmpty(path.dirname(link), root)
    }, Effect.uninterruptible)

    return ArtifactStorage.of({
      put,
      get,
      head: (key) => Effect.andThen(checkKey(key), infoAt(key, linkOf(key))),
      list,
      delete: Effect.fn("FolderArtifactStorage.delete")(function* (keys) {
        const all = [...keys]
        yield* Effect.forEach(all, checkKey, { discard: true })
        yield* Effect.forEach(all, remove, { concurrency: atOnce, discard: true })
      }),
      url: (key) =>
        Effect.andThen(checkKey(key), failure(key, "Unsupported", "there are no URLs of a folder's artifacts"))
    })
  })

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<ArtifactStorage> => Layer.effect(ArtifactStorage, make(options))

// ---
// names
// ---

const token = (): string => randomBytes(8).toString("hex")

/** The hash that the name of a content holds. */
const hashIn = (content: string): string | undefined => /^[0-9a-f]{16}\.([0-9a-f]{64})$/.exec(content)?.[1]

/** Relative, so that the whole folder can be moved. */
const targetFrom = (folder: string, contents: string, content: string): string =>
  path.join(path.relative(folder, contents), content)

// ---
// what came
// ---

const infoOf = (key: string, bytes: number, sha256: string): ArtifactInfo => ({ key, bytes, sha256, etag: sha256 })

/** Ends a body that is longer than was told, before it fills the disk. */
const counted = <E>(
  key: string,
  body: Stream.Stream<Uint8Array, E>,
  told: number | undefined
): Stream.Stream<Uint8Array, E | ArtifactError> => {
  if (told === undefined) return body
  return Stream.suspend(() => {
    let bytes = 0
    return Stream.tap(body, (piece) => {
      bytes += piece.length
      return bytes > told ? failure(key, "Corrupt", `more than the ${told} bytes came that were told`) : Effect.void
    })
  })
}

// ---
// errors
// ---

const failure = (key: string, reason: ArtifactError["reason"], why: string): ArtifactError =>
  new ArtifactError({ key, reason, cause: new Error(why) })

const exists = (key: string): ArtifactError => failure(key, "Exists", "there is one of that name")

const reasonOf = ({ code }: FileError): ArtifactError["reason"] => {
  switch (code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "Unauthorized"
    case "EFBIG":
      return "TooLarge"
    default:
      return "Unavailable"
  }
}

const meaning =
  (key: string) =>
  (error: FileError): ArtifactError =>
    new ArtifactError({ key, reason: reasonOf(error), cause: error.cause })

/** Says what the failure of a file operation means for the artifact that it was about. */
const about = <A, R>(key: string, operation: Effect.Effect<A, FileError, R>): Effect.Effect<A, ArtifactError, R> =>
  Effect.mapError(operation, meaning(key))

// ---
// file operations
// ---

/** A file for as long as it is read; `undefined` where there is none. */
const open = (name: string) =>
  Effect.acquireRelease(ifThere(file(() => fs.open(name, "r"))), (handle) =>
    handle === undefined ? Effect.void : Effect.ignore(file(() => handle.close()))
  )

/** Files and folders are for their user alone, as far as nobody has made the folders before. */
const makeFolder = (folder: string) => file(() => fs.mkdir(folder, { recursive: true, mode: 0o700 }))

/** Removes a folder and those that it is in, up to the root, as far as nothing is in them. */
const removeEmpty = (folder: string, root: string): Effect.Effect<void> =>
  folder === root
    ? Effect.void
    : file(() => fs.rmdir(folder)).pipe(
        Effect.andThen(Effect.suspend(() => removeEmpty(path.dirname(folder), root))),
        // Another artifact is in it, or has come in between.
        Effect.ignore
      )
