/**
 * The disk of the fakes: videos in memory, which are lists of frame labels.
 *
 * All fakes of one test share one, so that what a fake worker wrote is what the fake stitcher joins, and a test can look
 * at it: `frames` of the final file says which frames are in it, in which order.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

/** A video in memory. */
export interface FakeFile {
  /** {@link bytesPerFrame} for every frame, unless something is wrong with it. */
  readonly bytes: number
  /** What tells each frame from the others: its number, as text. */
  readonly frames: ReadonlyArray<string>
  /** The picture's size: `"64x64"`. */
  readonly picture: string
}

/** The files by absolute path. */
export class FakeFiles extends Context.Service<FakeFiles, Map<string, FakeFile>>()("@helios-infra/testkit/FakeFiles") {}

/** The bytes that a frame takes. */
export const bytesPerFrame = 100

/** A whole video of the frames from `startFrame` on. */
export const video = (startFrame: number, frameCount: number): FakeFile =>
  join(Array.from({ length: frameCount }, (_, index) => String(startFrame + index)))

/** A whole video of these frames. */
export const join = (frames: ReadonlyArray<string>): FakeFile => ({
  frames,
  bytes: frames.length * bytesPerFrame,
  picture: "64x64"
})

/** Whether a file has the bytes that its frames need. */
export const isWhole = (file: FakeFile): boolean => file.bytes === file.frames.length * bytesPerFrame

/** An empty disk. */
export const layer: Layer.Layer<FakeFiles> = Layer.sync(FakeFiles, () => new Map())
