/**
 * The job's files in a folder of this machine.
 *
 * ```
 * <dir>/
 *   part_0.mov                                  an accepted output, published for a merge command
 *   .helios/
 *     .gitignore                                keeps all of it out of the user's repository
 *     <job>-<hash>/                             one folder per job, whatever characters its id has
 *       1.0.2-x7k3p0qz.mov                      run 1, chunk 0, attempt 2
 *       received-x7k3p0qz.mov                   an output that was rendered elsewhere
 *       staged-x7k3p0qz                         where the final file is being made: its folder's path
 *   .helios-x7k3p0qz/                           that folder, beside the final file
 * ```
 *
 * Accepted outputs stay where their attempts wrote them; {@link make} never moves one. It holds no lock: two
 * orchestrators can work in one folder, since no place is given twice.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { OutputRef } from "@helios-infra/core/WorkerAdapter"
import { type Asset, type StagedOutput, type Transfer, Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import { createHash, randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import {
  discard,
  file,
  type FileError,
  ifThere,
  isBelow,
  isFolder,
  outputSize,
  realpathOfExisting,
  unless
} from "./internal/files.ts"
import * as fileStreams from "./internal/fileStreams.ts"

/** How many assets are hashed at once. */
const hashing = 4

/** The folder below the workspace in which attempts write. */
export const attemptsFolder = ".helios"

/** Where the job's files are. */
export interface Options {
  /** The job's folder: the job file's, or any other. It must exist. */
  readonly dir: string
}

/**
 * A workspace in a folder. Fails when the folder is not there.
 *
 * - The parent folders of a published or staged file are made when they are missing.
 * - An accepted output and the file it is published as share their bytes where the disk can do that (a hard link), and
 *   are copies of each other elsewhere.
 * - A relative name that leads out of the folder, by `..` or through a symbolic link, fails with `Outside`; an absolute
 *   name for the final file is the caller's own choice.
 * - Assets that are links are what the links lead to; a link to a folder that it is itself in is left out, as is what is
 *   neither file nor folder. The attempts' folder is no asset.
 */
export const make: (options: Options) => Effect.Effect<Workspace["Service"], WorkspaceError> = Effect.fnUntraced(
  function* (options) {
    const root = path.resolve(options.dir)
    const realRoot = yield* about(
      root,
      file(() => fs.realpath(root))
    )
    if (
      !(yield* about(
        root,
        file(() => fs.stat(root))
      )).isDirectory()
    ) {
      return yield* failure(root, "Unavailable", new Error("it is not a folder"))
    }
    const attempts = path.join(root, attemptsFolder)

    /** An absolute path from a name that must not lead out of the folder. */
    const inside = Effect.fnUntraced(function* (name: string) {
      const absolute = path.resolve(root, name)
      if (name === "" || !isBelow(root, absolute)) {
        return yield* failure(name, "Outside", new Error(`${absolute} is not below ${root}`))
      }
      return absolute
    })

    /** Makes a folder, unless that would happen somewhere else, through a symbolic link. */
    const makeFolder = Effect.fnUntraced(function* (folder: string) {
      yield* checkLinks(folder)
      yield* about(folder, makeFolders(folder))
    })

    /** The part of the path that exists must be below the folder once its links are followed. */
    const checkLinks = Effect.fnUntraced(function* (folder: string) {
      const real = yield* about(folder, realpathOfExisting(folder))
      if (real !== realRoot && !isBelow(realRoot, real)) {
        return yield* failure(folder, "Outside", new Error(`${folder} is a link to ${real}`))
      }
    })

    const place = Effect.fn("LocalWorkspace.place")(function* (
      attemptOf: Parameters<Workspace["Service"]["place"]>[0]
    ) {
      const { attempt: number, chunkId, jobId, outputFile, run } = attemptOf
      const folder = path.join(attempts, jobFolder(jobId))
      yield* makeFolder(folder)
      yield* about(attempts, ignoreInGit(attempts))
      return path.join(folder, `${run}.${chunkId}.${number}-${token()}${extension(outputFile)}`)
    })

    const stat = (output: OutputRef): Effect.Effect<Option.Option<{ readonly bytes: number }>, WorkspaceError> =>
      Effect.map(about(output.location, outputSize(path.resolve(root, output.location))), (bytes) =>
        bytes === undefined ? Option.none() : Option.some({ bytes })
      )

    const locate = Effect.fnUntraced(function* (output: OutputRef) {
      const found = yield* stat(output)
      if (Option.isNone(found)) {
        return yield* failure(output.location, "NotFound", new Error(`no file at ${output.location}`))
      }
      return path.resolve(root, output.location)
    })

    const publish = Effect.fn("LocalWorkspace.publish")(function* (output: OutputRef, outputFile: string) {
      const source = yield* locate(output)
      const target = yield* inside(outputFile)
      if (target === source) return
      if (yield* about(source, isFolder(source))) {
        const why = "it is a folder of pictures, which a stitcher joins: run the job with one, or render files"
        return yield* failure(target, "Unavailable", new Error(why))
      }
      const folder = path.dirname(target)
      yield* makeFolder(folder)
      const temporary = path.join(folder, hiddenName(outputFile))
      yield* about(target, linkOrCopy(source, temporary)).pipe(
        Effect.andThen(
          about(
            target,
            file(() => fs.rename(temporary, target))
          )
        ),
        // Also after success: renaming one link of a file to another one of it does nothing.
        Effect.ensuring(discard(temporary))
      )
    })

    const stage = Effect.fn("LocalWorkspace.stage")(function* (
      jobId: string,
      outputFile: string
    ): Effect.fn.Return<StagedOutput, WorkspaceError, Scope.Scope> {
      const finalPath = path.isAbsolute(outputFile) ? path.resolve(outputFile) : yield* inside(outputFile)
      const folder = path.dirname(finalPath)
      if (path.isAbsolute(outputFile)) yield* about(folder, makeFolders(folder))
      else yield* makeFolder(folder)
      // The name itself may be too long, or a folder's: better known now than after hours of rendering.
      const there = yield* about(finalPath, ifThere(file(() => fs.lstat(finalPath))))
      if (there?.isDirectory() === true || /[/\\]$/.test(outputFile)) {
        return yield* failure(finalPath, "Unavailable", new Error("there is a folder of that name: name a file"))
      }
      const staging = path.join(folder, hiddenName(""))
      const jobsOwn = path.join(attempts, jobFolder(jobId))
      yield* makeFolder(jobsOwn)
      yield* about(attempts, ignoreInGit(attempts))
      // Should this process be killed, `remove` finds by this what it has left, wherever that is.
      const note = path.join(jobsOwn, `${stagedNote}${token()}`)
      yield* Effect.addFinalizer(() =>
        Effect.ignore(
          removeStaging(note).pipe(Effect.andThen(removeIfEmpty(jobsOwn)), Effect.andThen(removeIfUnused(attempts)))
        )
      )
      yield* about(
        note,
        file(() => fs.writeFile(note, staging, { flag: "wx" }))
      )
      // Whether the folder can be written to is only known by writing.
      yield* about(
        finalPath,
        file(() => fs.mkdir(staging))
      )
      const staged = path.join(staging, `final${extension(outputFile)}`)
      return {
        path: staged,
        finalPath,
        publish: about(finalPath, publishWhole(staged, finalPath))
      }
    })

    const remove = Effect.fn("LocalWorkspace.remove")(function* (jobId: string, keep: ReadonlyArray<string>) {
      const folder = path.join(attempts, jobFolder(jobId))
      yield* checkLinks(folder)
      const kept = new Set(keep.map((location) => path.resolve(root, location)))
      const names = yield* about(folder, namesIn(folder))
      yield* Effect.forEach(
        names.map((name) => path.join(folder, name)).filter((one) => !kept.has(one)),
        (one) =>
          about(
            one,
            path.basename(one).startsWith(stagedNote)
              ? removeStaging(one)
              : file(() => fs.rm(one, { recursive: true, force: true }))
          ),
        { concurrency: 8, discard: true }
      )
      yield* about(folder, removeIfEmpty(folder))
      yield* about(attempts, removeIfUnused(attempts))
    })

    /** Where a name of the folder really leads, through links; that must be in the folder as well. */
    const assetAt = Effect.fnUntraced(function* (absolute: string) {
      const real = yield* about(
        absolute,
        file(() => fs.realpath(absolute))
      )
      if (real !== realRoot && !isBelow(realRoot, real)) {
        return yield* failure(absolute, "Outside", new Error(`${absolute} is a link to ${real}`))
      }
      const found = yield* about(
        absolute,
        file(() => fs.stat(real))
      )
      return { real, found }
    })

    /** Every file at or below a path; `above` are the folders that lead there, so that links cannot lead in a circle. */
    const filesBelow: (
      absolute: string,
      above: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyArray<string>, WorkspaceError> = Effect.fnUntraced(function* (absolute, above) {
      const { found, real } = yield* assetAt(absolute)
      if (found.isFile()) return [absolute]
      if (!found.isDirectory()) {
        if (above.length > 0) return []
        return yield* failure(absolute, "Unavailable", new Error("it is neither a file nor a folder"))
      }
      if (above.includes(real)) return []
      const names = yield* about(absolute, namesIn(real))
      const below = names.filter((name) => !isOwn(name)).map((name) => path.join(absolute, name))
      const files = yield* Effect.forEach(below, (one) => filesBelow(one, [...above, real]), { concurrency: 8 })
      return files.flat()
    })

    const assets: Transfer["assets"] = (names) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const named = yield* Effect.forEach(names, (name) =>
            path.resolve(root, name) === root ? Effect.succeed(root) : inside(name)
          )
          const files = yield* Effect.forEach(named, (absolute) => filesBelow(absolute, []))
          const once = new Set(files.flat().map((absolute) => path.relative(root, absolute)))
          return Stream.fromIterable([...once].toSorted())
        })
      ).pipe(Stream.mapEffect(assetOf, { concurrency: hashing }))

    const assetOf = Effect.fnUntraced(function* (relative: string): Effect.fn.Return<Asset, WorkspaceError> {
      const absolute = path.join(root, relative)
      const content = Stream.mapError(fileStreams.read(absolute), meaning(absolute))
      return {
        path: relative.replaceAll(path.sep, "/"),
        ...(yield* fileStreams.contentOf(content)),
        content
      }
    })

    const receive: Transfer["receive"] = Effect.fn("LocalWorkspace.receive")(function* (jobId, name, content) {
      const folder = path.join(attempts, jobFolder(jobId))
      yield* makeFolder(folder)
      yield* about(attempts, ignoreInGit(attempts))
      const target = path.join(folder, `received-${token()}${extension(name)}`)
      const written = yield* fileStreams
        .write(target, content, meaning(target))
        .pipe(Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : discard(target))))
      return { path: target, ...written }
    })

    return Workspace.of({ root, place, locate, stat, publish, stage, remove, transfer: { assets, receive } })
  }
)

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<Workspace, WorkspaceError> =>
  Layer.effect(Workspace, make(options))

// ---
// names
// ---

/** A folder name for a job id: readable, whatever the id is, and different for different ids. */
const jobFolder = (jobId: string): string => {
  const readable = jobId.replace(/[^\w-]+/g, "_").slice(0, 40)
  return `${readable}-${createHash("sha256").update(jobId).digest("hex").slice(0, 16)}`
}

const token = (): string => randomUUID().replaceAll("-", "").slice(0, 12)

/** Tools read the container from it. Longer ones than any container has are no extensions. */
const extension = (file: string): string => {
  const found = path.extname(file)
  return /^\.[^/\\\0\n]{1,16}$/.test(found) ? found : ""
}

/** Whether a name is one that is given here: what attempts wrote, and what is not published yet, is no asset. */
const isOwn = (name: string): boolean => name === attemptsFolder || /^\.helios-[0-9a-f]{12}(\.|$)/.test(name)

/** What the names of the notes begin with that say where a final file is being made. */
const stagedNote = "staged-"

const hiddenName = (file: string): string => `.helios-${token()}${extension(file)}`

// ---
// errors
// ---

const failure = (file: string, reason: WorkspaceError["reason"], cause: unknown): WorkspaceError =>
  new WorkspaceError({ path: file, reason, cause })

const reasonOf = ({ code }: FileError): WorkspaceError["reason"] => {
  switch (code) {
    case "ENOENT":
      return "NotFound"
    case "ENOSPC":
    case "EDQUOT":
      return "NoSpace"
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return "ReadOnly"
    default:
      return "Unavailable"
  }
}

/** Says what the failure of a file operation means for the file of the job that it was about. */
const about = <A>(named: string, operation: Effect.Effect<A, FileError>): Effect.Effect<A, WorkspaceError> =>
  Effect.mapError(operation, meaning(named))

const meaning =
  (named: string) =>
  (error: FileError): WorkspaceError =>
    failure(named, reasonOf(error), error.cause)

// ---
// file operations
// ---

const makeFolders = (folder: string) => file(() => fs.mkdir(folder, { recursive: true }))

const namesIn = (folder: string): Effect.Effect<ReadonlyArray<string>, FileError> =>
  Effect.map(ifThere(file(() => fs.readdir(folder))), (names) => names ?? [])

/** Hard links are not possible everywhere: across disks, and on some of them at all. */
const linkOrCopy = (source: string, target: string): Effect.Effect<void, FileError> =>
  file(() => fs.link(source, target)).pipe(
    Effect.catch(() =>
      file(() => fs.copyFile(source, target, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE))
    )
  )

/** Nothing appears under the final name before all its bytes are on the disk. A folder takes nobody's place. */
const publishWhole = Effect.fnUntraced(function* (staged: string, finalPath: string) {
  const bytes = yield* syncAll(staged)
  yield* file(() => fs.rename(staged, finalPath))
  yield* syncFolder(path.dirname(finalPath))
  return { bytes }
})

/** Brings a file, or a folder with all that is in it, onto the disk; gives its size. */
const syncAll = Effect.fnUntraced(function* (staged: string): Effect.fn.Return<number, FileError> {
  if (!(yield* isFolder(staged))) {
    const { size } = yield* withHandle(staged, "r+", (handle) => handle.sync().then(() => handle.stat()))
    return size
  }
  const sizes = yield* Effect.forEach(yield* namesIn(staged), (name) => syncAll(path.join(staged, name)), {
    concurrency: 16
  })
  yield* syncFolder(staged)
  return sizes.reduce((sum, size) => sum + size, 0)
})

// The name itself is on the disk once its folder is, on systems where folders can be synced.
const syncFolder = (folder: string) => Effect.ignore(withHandle(folder, "r", (handle) => handle.sync()))

const withHandle = <A>(
  name: string,
  flags: string,
  use: (handle: fs.FileHandle) => Promise<A>
): Effect.Effect<A, FileError> =>
  Effect.acquireUseRelease(
    file(() => fs.open(name, flags)),
    (handle) => file(() => use(handle)),
    (handle) => Effect.ignore(file(() => handle.close()))
  )

/** Removes a folder in which a final file was made, and then the note that says where it is. */
const removeStaging = Effect.fnUntraced(function* (note: string) {
  const staging = yield* ifThere(file(() => fs.readFile(note, "utf8")))
  // The note lies where commands can write as well: nothing goes by it that has not the name of such a folder.
  if (staging !== undefined && path.isAbsolute(staging) && isOwn(path.basename(staging))) {
    yield* file(() => fs.rm(staging, { recursive: true, force: true }))
  }
  yield* file(() => fs.rm(note, { force: true }))
})

const gitignore = ".gitignore"

const ignoreInGit = (folder: string): Effect.Effect<void, FileError> =>
  file(() => fs.writeFile(path.join(folder, gitignore), "*\n", { flag: "wx" })).pipe(unless("EEXIST"))

const removeIfEmpty = (folder: string): Effect.Effect<void, FileError> =>
  file(() => fs.rmdir(folder)).pipe(unless("ENOENT", "ENOTEMPTY", "EEXIST"))

/** Removes the folder when it holds nothing but our own `.gitignore`. */
const removeIfUnused = Effect.fnUntraced(function* (folder: string) {
  const names = yield* namesIn(folder)
  if (names.some((name) => name !== gitignore)) return
  yield* discard(path.join(folder, gitignore))
  yield* removeIfEmpty(folder)
  // Another job may have come in between.
  yield* ifThere(ignoreInGit(folder))
})
