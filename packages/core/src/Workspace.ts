/**
 * The job's files, for a core that knows no file system.
 *
 * A workspace belongs to one folder: the job file's, or the one that was given. Attempts write to places of their own
 * below it, accepted outputs stay where they are, and the final file appears whole or not at all.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Defect from "./internal/Defect.ts"
import type { OutputRef } from "./WorkerAdapter.ts"

/** A file of the job could not be placed, found, published or removed. */
export class WorkspaceError extends Schema.TaggedError<WorkspaceError>()("WorkspaceError", {
  path: Schema.String,
  /**
   * - `Outside`: the name leads out of the job's folder.
   * - `NotFound`: there is no such file.
   * - `NoSpace`: the disk is full.
   * - `ReadOnly`: the folder cannot be written to.
   * - `Unavailable`: anything else; `cause` has it.
   */
  reason: Schema.Literals(["Outside", "NotFound", "NoSpace", "ReadOnly", "Unavailable"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    switch (this.reason) {
      case "Outside":
        return `${this.path} leads out of the job's folder: name outputs relative to it`
      case "NotFound":
        return `${this.path} is not there`
      case "NoSpace":
        return `no space left for ${this.path}: free some, then run the job again`
      case "ReadOnly":
        return `${this.path} cannot be written: check the folder's permissions, or choose another one`
      case "Unavailable":
        return `${this.path}: ${Defect.describe(this.cause)}`
    }
  }
}

/** A place where the final file is made before it appears under its name. */
export interface StagedOutput {
  /**
   * The absolute path to write to: on the final file's disk, with its extension, in a folder that nobody else uses.
   * What is written beside it goes with it.
   */
  readonly path: string
  /** The absolute path that it will have. */
  readonly finalPath: string
  /** Gives the staged file its final name, atomically, in place of one that is there; `bytes` where its size is known. */
  readonly publish: Effect.Effect<{ readonly bytes?: number }, WorkspaceError>
}

/** A file of the job's folder that commands read. */
export interface Asset {
  /** Its name from the job's folder, with `/` between folders. */
  readonly path: string
  readonly bytes: number
  /** The content's SHA-256 in lower-case hexadecimal. */
  readonly sha256: string
  readonly content: Stream.Stream<Uint8Array, WorkspaceError>
}

/** A file that was received. */
export interface ReceivedFile {
  /** Where it is, absolute. */
  readonly path: string
  readonly bytes: number
  /** The content's SHA-256 in lower-case hexadecimal. */
  readonly sha256: string
}

/**
 * What brings the job's files to its storage and back, from workspaces that have real files.
 *
 * - `assets`: the files that are named, and those below folders that are named; each once, whatever names lead to it.
 *   Names are meant from the workspace's `root`; neither they nor links may lead out of it.
 * - `receive`: writes what comes from elsewhere to a place of its own among the job's attempts, with the extension of
 *   `name`. When the stream fails, so does this, and nothing is left.
 */
export interface Transfer {
  readonly assets: (names: ReadonlyArray<string>) => Stream.Stream<Asset, WorkspaceError>
  readonly receive: <E>(
    jobId: string,
    name: string,
    content: Stream.Stream<Uint8Array, E>
  ) => Effect.Effect<ReceivedFile, WorkspaceError | E>
}

/**
 * The job's files.
 *
 * - `root`: the job's folder, absolute. Commands run here.
 * - `place`: an absolute path for one attempt's output, never given twice, with the extension of `outputFile`; its
 *   folder is there.
 * - `locate`: the local path of an output.
 * - `stat`: whether an output is there, and how large it is.
 * - `publish`: puts an accepted output under the name that the job file gives it.
 * - `stage`: a place for the final file. `outputFile` is meant from `root` unless it is absolute. Fails at once where
 *   the folder cannot be written. What was not published when the scope closes is removed.
 * - `remove`: removes the job's attempts, what was received for it, and staged files that a dead process left, but for the
 *   locations in `keep`.
 * - `transfer`: what jobs with workers elsewhere need beside that.
 */
export class Workspace extends Context.Service<
  Workspace,
  {
    readonly root: string
    readonly place: (attempt: {
      readonly jobId: string
      readonly run: number
      readonly chunkId: number
      readonly attempt: number
      readonly outputFile: string
    }) => Effect.Effect<string, WorkspaceError>
    readonly locate: (output: OutputRef) => Effect.Effect<string, WorkspaceError>
    readonly stat: (output: OutputRef) => Effect.Effect<Option.Option<{ readonly bytes: number }>, WorkspaceError>
    readonly publish: (output: OutputRef, outputFile: string) => Effect.Effect<void, WorkspaceError>
    readonly stage: (jobId: string, outputFile: string) => Effect.Effect<StagedOutput, WorkspaceError, Scope.Scope>
    readonly remove: (jobId: string, keep: ReadonlyArray<string>) => Effect.Effect<void, WorkspaceError>
    readonly transfer?: Transfer | undefined
  }
>()("@helios-infra/core/Workspace") {}
