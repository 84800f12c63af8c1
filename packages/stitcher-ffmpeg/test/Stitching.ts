/** A stitcher with the tests' ffmpeg, and what is said of how it fails. */
import { type StitchError, type StitchRequest, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as real from "./RealVideos.ts"

export const stitch = (request: StitchRequest, options?: FfmpegStitcher.Options) =>
  Effect.flatMap(
    real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath, ...options })),
    (stitcher) => stitcher.stitch(request)
  )

export const failure = (request: StitchRequest, options?: FfmpegStitcher.Options) =>
  Effect.flip(stitch(request, options))

export const assertReason = (
  error: StitchError,
  tag: StitchError["reason"]["_tag"],
  chunkId: number | undefined,
  text: RegExp
): void => {
  assert.strictEqual(error.reason._tag, tag, error.message)
  assert.strictEqual(error.chunkId, chunkId, error.message)
  assert.match(error.message, text)
}
