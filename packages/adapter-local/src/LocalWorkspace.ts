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
 * ```
 *
 * Accepted outputs stay where their attempts wrote them; {@link make} never moves one. It holds no lock: two
 * orchestrators can work in one folder, since no place is given twice.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { OutputRef } from "@helios-infra/core/WorkerAdapter"
import { type StagedOutput, Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import { createHash, randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { errorCode, ifThere, isBelow, realpathOfExisting } from "./internal/files.ts"

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
 */
export const make: (options: Options) => Effect.Effect<Workspace["Service"], WorkspaceError> = Effect.fnUntraced(
  function* (options) {
    const root = path.resolve(options.dir)
    const realRoot = yield* attempt(root, () => fs.realpath(root))
    if (!(yield* attempt(root, () => fs.stat(root))).isDirectory()) {
      return yield* failure(root, "NotFound", new Error(`${root} is not a folder`))
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
      yield* attempt(folder, () => fs.mkdir(folder, { recursive: true }))
    })

    /** The part of the path that exists must be below the folder once its links are followed. */
    const checkLinks = Effect.fnUntraced(function* (folder: string) {
      const real = yield* attempt(folder, () => realpathOfExisting(folder))
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
      yield* attempt(attempts, () => ignoreInGit(attempts))
      return path.join(folder, `${run}.${chunkId}.${number}-${token()}${extension(outputFile)}`)
    })

    const stat = (output: OutputRef): Effect.Effect<Option.Option<{ readonly bytes: number }>, WorkspaceError> =>
      attempt(output.location, () => fs.stat(path.resolve(root, output.location))).pipe(
        Effect.map((found) => (found.isFile() ? Option.some({ bytes: found.size }) : Option.none())),
        Effect.catchIf(
          (error) => error.reason === "NotFound",
          () => Effect.succeedNone
        )
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
      const folder = path.dirname(target)
      yield* makeFolder(folder)
      const temporary = path.join(folder, hiddenName(outputFile))
      yield* attempt(temporary, () => linkOrCopy(source, temporary)).pipe(
        Effect.andThen(attempt(target, () => fs.rename(temporary, target))),
        // Also after success: renaming one link of a file to another one of it does nothing.
        Effect.ensuring(removeFile(temporary))
      )
    })

    const stage = Effect.fn("LocalWorkspace.stage")(function* (
      outputFile: string
    ): Effect.fn.Return<StagedOutput, WorkspaceError, Scope.Scope> {
      const finalPath = path.isAbsolute(outputFile) ? path.resolve(outputFile) : yield* inside(outputFile)
      const folder = path.dirname(finalPath)
      if (path.isAbsolute(outputFile)) yield* attempt(folder, () => fs.mkdir(folder, { recursive: true }))
      else yield* makeFolder(folder)
      // The name itself may be too long, or a folder's: better known now than after hours of rendering.
      const there = yield* attempt(finalPath, () => lstatIfThere(finalPath))
      if (there?.isDirectory() === true || /[/\\]$/.test(outputFile)) {
        return yield* failure(finalPath, "Unavailable", new Error("there is a folder of that name: name a file"))
      }
      const staged = path.join(folder, hiddenName(outputFile))
      yield* Effect.addFinalizer(() => removeFile(staged))
      // Whether the folder can be written to is only known by writing. Tools get a name that is still free.
      yield* attempt(folder, () => fs.writeFile(staged, "", { flag: "wx" }), finalPath)
      yield* removeFile(staged)
      return {
        path: staged,
        finalPath,
        publish: attempt(finalPath, () => publishWhole(staged, finalPath))
      }
    })

    const remove = Effect.fn("LocalWorkspace.remove")(function* (jobId: string, keep: ReadonlyArray<string>) {
      const folder = path.join(attempts, jobFolder(jobId))
      yield* checkLinks(folder)
      const kept = new Set(keep.map((location) => path.resolve(root, location)))
      const names = yield* attempt(folder, () => namesIn(folder))
      yield* Effect.forEach(
        names.map((name) => path.join(folder, name)).filter((file) => !kept.has(file)),
        (file) => attempt(file, () => fs.rm(file, { recursive: true, force: true })),
        { concurrency: 8, discard: true }
      )
      yield* attempt(folder, () => removeIfEmpty(folder))
      yield* attempt(attempts, () => removeIfUnused(attempts))
    })

    return Workspace.of({ root, place, locate, stat, publish, stage, remove })
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

const hiddenName = (file: string): string => `.helios-${token()}${extension(file)}`

// ---
// errors
// ---

const failure = (file: string, reason: WorkspaceError["reason"], cause: unknown): WorkspaceError =>
  new WorkspaceError({ path: file, reason, cause })

const reasonOf = (error: unknown): WorkspaceError["reason"] => {
  switch (errorCode(error)) {
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

/** A file operation, failing with what it means for the job. */
const attempt = <A>(file: string, run: () => Promise<A>, named: string = file): Effect.Effect<A, WorkspaceError> =>
  Effect.tryPromise({ try: run, catch: (error) => failure(named, reasonOf(error), error) })

// ---
// file operations
// ---

const lstatIfThere = (file: string) => ifThere(fs.lstat(file))

const namesIn = (folder: string): Promise<ReadonlyArray<string>> =>
  ifThere(fs.readdir(folder)).then((names) => names ?? [])

const removeFile = (file: string): Effect.Effect<void> =>
  Effect.ignore(Effect.tryPromise(() => fs.rm(file, { force: true })))

/** Hard links are not possible everywhere: across disks, and on some of them at all. */
const linkOrCopy = (source: string, target: string): Promise<void> =>
  fs
    .link(source, target)
    .catch(() => fs.copyFile(source, target, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE))

/** Nothing appears under the final name before all its bytes are on the disk. */
const publishWhole = (staged: string, finalPath: string): Promise<{ readonly bytes: number }> =>
  withHandle(staged, "r+", (file) => file.sync().then(() => file.stat())).then(({ size }) =>
    fs
      .rename(staged, finalPath)
      // The name itself is on the disk once its folder is.
      .then(() => withHandle(path.dirname(finalPath), "r", (folder) => folder.sync()))
      .then(() => ({ bytes: size }))
  )

const withHandle = <A>(file: string, flags: string, use: (handle: fs.FileHandle) => Promise<A>): Promise<A> =>
  fs.open(file, flags).then((handle) => use(handle).finally(() => handle.close()))

const ignoreInGit = (folder: string): Promise<void> =>
  fs
    .writeFile(path.join(folder, ".gitignore"), "*\n", { flag: "wx" })
    .catch((error: unknown) => (errorCode(error) === "EEXIST" ? undefined : Promise.reject(error)))

const removeIfEmpty = (folder: string): Promise<void> =>
  fs
    .rmdir(folder)
    .catch((error: unknown) =>
      ["ENOENT", "ENOTEMPTY", "EEXIST"].some((code) => code === errorCode(error)) ? undefined : Promise.reject(error)
    )

/** Removes the folder when it holds nothing but our own `.gitignore`. */
const removeIfUnused = (folder: string): Promise<void> =>
  namesIn(folder).then((names) =>
    names.length > 1 || names.some((name) => name !== ".gitignore")
      ? undefined
      : fs
          .rm(path.join(folder, ".gitignore"), { force: true })
          .then(() => removeIfEmpty(folder))
          // Another job may have come in between.
          .then(() => ifThere(ignoreInGit(folder)))
  )
