/**
 * Joins the chunks of a job into one file.
 *
 * A stitcher reads its inputs in frame order, while later chunks may still be rendering; what it writes appears under
 * the final name only when it is whole: `JobExecutor` gives it a staged place and publishes that.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { OutputRef, WorkerResult } from "./WorkerAdapter.ts"
import * as Workspace from "./Workspace.ts"

/** An accepted chunk, in the order of its frames. */
export interface ChunkOutput extends OutputRef {
  /** The chunk's position in frame order, counted from 0. */
  readonly index: number
  readonly chunkId: number
  /** The attempt that was accepted, counted within its run, and that run of the job, where there is one. */
  readonly attempt: number
  readonly run?: number | undefined
  /** How many attempts at it were started, in all runs. */
  readonly attempts?: number | undefined
  /** Who rendered it, and how many milliseconds that took, where that is known. */
  readonly workerId?: string | undefined
  readonly durationMs?: number | undefined
  /** How many frames the job file gives it. */
  readonly frameCount: number
}

/** The tool that joins is not there; `fix` says how to get it. */
export class ToolMissing extends Schema.TaggedError<ToolMissing>()("ToolMissing", { fix: Schema.String }) {
  override get message(): string {
    return this.fix
  }
}

/** The tool that joins ran and failed. */
export class ToolFailed extends Schema.TaggedError<ToolFailed>()("ToolFailed", {
  exitCode: Schema.NullOr(Schema.Int),
  stderrTail: Schema.String
}) {
  override get message(): string {
    const how = this.exitCode === null ? "was ended by a signal" : `exited with ${this.exitCode}`
    return `the tool ${how}${this.stderrTail === "" ? "" : `:\n${this.stderrTail.trimEnd()}`}`
  }
}

/** A chunk is not what it was accepted as. */
export class ChunkInvalid extends Schema.TaggedError<ChunkInvalid>()("ChunkInvalid", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `expected ${this.expected}, found ${this.found}`
  }
}

/** The chunks cannot be joined as they are; `fix` names what would make it possible. */
export class CannotJoin extends Schema.TaggedError<CannotJoin>()("CannotJoin", { fix: Schema.String }) {
  override get message(): string {
    return `the chunks cannot be joined as they are: ${this.fix}`
  }
}

/** The final file could not be written. */
export class OutputUnwritable extends Schema.TaggedError<OutputUnwritable>()("OutputUnwritable", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.path} could not be written: ${this.detail}`
  }
}

/** The stitcher said that it was done before it had read every chunk. */
export class InputsNotConsumed extends Schema.TaggedError<InputsNotConsumed>()("InputsNotConsumed", {
  read: Schema.Int,
  total: Schema.Int
}) {
  override get message(): string {
    return `the stitcher ended after reading ${this.read} of ${this.total} chunks; its file was thrown away`
  }
}

/** The joined file is not what the chunks add up to. */
export class ResultInvalid extends Schema.TaggedError<ResultInvalid>()("ResultInvalid", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `the joined file is not valid: expected ${this.expected}, found ${this.found}`
  }
}

/** Joining took longer, once the last chunk was there, than somebody allows it: `StitcherMiddleware.limitTime`. */
export class StitchTimedOut extends Schema.TaggedError<StitchTimedOut>()("StitchTimedOut", {
  afterMs: Schema.Int
}) {
  override get message(): string {
    return `it was stopped ${this.afterMs} ms after the last chunk was there, the limit that was set for it: raise that, or find out what it waits for`
  }
}

/** Every reason for which joining can fail. */
export const StitchReason = Schema.Union([
  ToolMissing,
  ToolFailed,
  ChunkInvalid,
  CannotJoin,
  OutputUnwritable,
  InputsNotConsumed,
  ResultInvalid,
  StitchTimedOut
])

/** The type of {@link StitchReason}. */
export type StitchReason = typeof StitchReason.Type

/** The chunks could not be joined; `chunkId` is there when one chunk is to blame. */
export class StitchError extends Schema.TaggedError<StitchError>()("StitchError", {
  chunkId: Schema.optionalKey(Schema.Int),
  reason: StitchReason
}) {
  override get message(): string {
    return `stitching failed${this.chunkId === undefined ? "" : ` at chunk ${this.chunkId}`}: ${this.reason.message}`
  }
}

/** A chunk that is read where it is. */
export interface RemoteChunk {
  readonly bytes: number
  /**
   * The bytes from `from` up to, and not including, `to`. What comes may be fewer, or others: who reads it looks at that.
   */
  readonly read: (range: {
    readonly from: number
    readonly to: number
  }) => Stream.Stream<Uint8Array, { readonly message: string }>
}

/** What to join, and into what. */
export interface StitchRequest {
  /** The chunks in frame order: never fails, can be read again, and reading it causes no work. */
  readonly inputs: Stream.Stream<ChunkOutput>
  /** How many chunks there are. */
  readonly total: number
  /** How many frames they add up to. */
  readonly frames: number
  /**
   * How many frames each of them has, in frame order, so that joining can begin before all are there. Where it is absent,
   * only the inputs say.
   */
  readonly frameCounts?: ReadonlyArray<number> | undefined
  /** Frames per second as a whole number or a fraction: `"30"`, `"30000/1001"`. */
  readonly fps: string
  /**
   * Gives what reads a chunk that is no file of this machine, so that none need be made of it. Absent where all are files;
   * only told to stitchers that say `readsRemote`.
   */
  readonly remote?: ((output: ChunkOutput) => RemoteChunk | undefined) | undefined
  /** The absolute path to write. Its extension says the container, unless `format` does. */
  readonly output: string
  /** The container's name as the stitcher knows it: `"mp4"`. */
  readonly format?: string | undefined
}

/** What was written. */
export interface StitchResult {
  readonly outputFile: string
  readonly bytes: number
  readonly frames: number
  /** How long joining took beyond waiting for chunks, in milliseconds. */
  readonly durationMs: number
  /** When the first second could be played, after the start, in milliseconds; absent where nothing could before the end. */
  readonly playableAfterMs?: number | undefined
}

/**
 * Joins chunks into one file. Interruption ends it and leaves no file behind. One that `readsRemote` can read chunks that are
 * elsewhere in parts (`StitchRequest.remote`); the others are given files.
 */
export class VideoStitcher extends Context.Service<
  VideoStitcher,
  {
    readonly readsRemote?: boolean | undefined
    readonly stitch: (request: StitchRequest) => Effect.Effect<StitchResult, StitchError>
  }
>()("@helios-infra/core/VideoStitcher") {}

/** Fails unless the chunks that were read are all there are, and add up to the frames that were asked for. */
export const checkCounts = (
  request: StitchRequest,
  chunks: ReadonlyArray<ChunkOutput>
): Effect.Effect<void, StitchError> => {
  const fail = (reason: StitchReason) => Effect.fail(new StitchError({ reason }))
  if (chunks.length !== request.total) return fail(new InputsNotConsumed({ read: chunks.length, total: request.total }))
  if (chunks.length === 0) return fail(new CannotJoin({ fix: "there are no chunks: a video needs one at least" }))
  const frames = chunks.reduce((sum, chunk) => sum + chunk.frameCount, 0)
  if (frames === request.frames) return Effect.void
  const fix = `the chunks add up to ${frames} frames and the video should have ${request.frames}: plan the job again`
  return fail(new CannotJoin({ fix }))
}

/**
 * Makes a stitcher from a function over local paths: waits for the last chunk, brings remote ones here, then calls it
 * once. For tools that need all their inputs at once.
 */
export const fromPaths = (
  join: (inputs: ReadonlyArray<string>, output: string) => Effect.Effect<WorkerResult, StitchError>
): Effect.Effect<VideoStitcher["Service"], never, Workspace.Workspace> =>
  Effect.gen(function* () {
    const workspace = yield* Workspace.Workspace
    const stitch = Effect.fnUntraced(function* (request: StitchRequest) {
      const outputs = yield* Stream.runCollect(request.inputs)
      yield* checkCounts(request, outputs)
      const paths = yield* Effect.forEach(outputs, (output) =>
        workspace.locate(output).pipe(
          Effect.mapError(
            (error) =>
              new StitchError({
                chunkId: output.chunkId,
                reason: new ChunkInvalid({ expected: `a file at ${output.location}`, found: error.message })
              })
          )
        )
      )
      const result = yield* join(paths, request.output)
      if (result.exitCode !== 0) {
        return yield* new StitchError({
          reason: new ToolFailed({ exitCode: result.exitCode, stderrTail: result.stderr })
        })
      }
      return {
        outputFile: request.output,
        bytes: result.output?.bytes ?? 0,
        frames: request.frames,
        durationMs: result.durationMs
      }
    })
    return VideoStitcher.of({ stitch })
  })
