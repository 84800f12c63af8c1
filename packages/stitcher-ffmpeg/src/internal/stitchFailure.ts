/** Failures of a stitch, as effects. */
import {
  CannotJoin,
  OutputUnwritable,
  StitchError,
  type StitchReason,
  ToolFailed,
  ToolMissing
} from "@helios-infra/core/VideoStitcher"
import type { ProcessError } from "@helios-infra/process/ProcessError"
import * as Effect from "effect/Effect"
import type { FfmpegMissing, Run } from "../Ffmpeg.ts"

/** Fails for a reason, with the chunk to blame where there is one. */
export const failWith = (reason: StitchReason, chunkId?: number): Effect.Effect<never, StitchError> =>
  Effect.fail(new StitchError({ reason, ...(chunkId === undefined ? {} : { chunkId }) }))

/** Fails because chunks that are valid do not fit together. */
export const cannotJoin = (fix: string, chunkId?: number): Effect.Effect<never, StitchError> =>
  failWith(new CannotJoin({ fix }), chunkId)

/** ffmpeg was not found. */
export const toolMissing = ({ fix }: FfmpegMissing): StitchError =>
  new StitchError({ reason: new ToolMissing({ fix }) })

/**
 * Fails with `OutputUnwritable` where ffmpeg had no room for what it wrote beside the output: that is no fault of a chunk's.
 * Older builds exit with 0 when the end of a file could not be written.
 */
export const checkRoom = (output: string, { errors }: Run): Effect.Effect<void, StitchError> => {
  const full = errors.find((error) => /No space left on device|Disk quota exceeded|File too large/.test(error))
  return full === undefined ? Effect.void : failWith(new OutputUnwritable({ path: output, detail: full }))
}

/** ffmpeg was found and could not be run after all. */
export const toolBroken = (error: ProcessError): Effect.Effect<never, StitchError> =>
  failWith(
    error.reason._tag === "ProgramNotFound" || error.reason._tag === "NotExecutable"
      ? new ToolMissing({ fix: error.message })
      : new ToolFailed({ exitCode: null, stderrTail: error.message })
  )
