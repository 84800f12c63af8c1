/**
 * Joins the chunks of a job into one file: the contract that a class with promises fulfils, and the errors that it may
 * reject with.
 */
import type { OutputCheck } from "./OutputCheck.ts"
import type { WorkerResult } from "./WorkerAdapter.ts"

export {
  CannotJoin,
  ChunkInvalid,
  InputsNotConsumed,
  OutputUnwritable,
  ResultInvalid,
  StitchError,
  StitchTimedOut,
  ToolFailed,
  ToolMissing
} from "../VideoStitcher.ts"

/** What a stitcher is given beside the files. */
export interface StitchContext {
  /** Aborted when the job has to stop; the stitcher has 10 seconds to settle then. */
  readonly signal: AbortSignal
  /** How many frames the chunks add up to. */
  readonly frames: number
  /** Frames per second as a whole number or a fraction: `"30"`, `"30000/1001"`. */
  readonly fps: string
  /** What is known of each input, in the same order. */
  readonly chunks: ReadonlyArray<{ readonly chunkId: number; readonly attempt: number; readonly frameCount: number }>
}

/**
 * Joins chunks. `inputs` are local paths in the order of the frames, all of them there; `output` is where the joined
 * file is to be written. A result with an exit code other than 0 is a failure, as is a rejection.
 */
export interface VideoStitcher {
  stitch(inputs: Array<string>, output: string, context: StitchContext): Promise<WorkerResult>
  /** How what this stitcher joins is checked, where nobody says otherwise. */
  readonly outputCheck?: OutputCheck | undefined
}
