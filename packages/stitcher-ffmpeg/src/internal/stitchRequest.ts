/** What to join, from a list of files: what the caller does not say of them is read from them. */
import * as FrameRate from "@helios-infra/core/FrameRate"
import type { StitchContext } from "@helios-infra/core/promise"
import { ChunkInvalid, StitchError, type StitchRequest } from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import * as Ffmpeg from "../Ffmpeg.ts"
import * as MediaProbe from "../MediaProbe.ts"
import { cannotJoin, toolBroken, toolMissing } from "./stitchFailure.ts"

interface Known {
  readonly fps: string
  readonly chunks: StitchContext["chunks"]
}

/** Makes the request. Files are probed only where the context does not have all of it. */
export const make = Effect.fnUntraced(function* (
  inputs: ReadonlyArray<string>,
  output: string,
  context: Partial<StitchContext>,
  options: Ffmpeg.Options
): Effect.fn.Return<StitchRequest, StitchError> {
  const { chunks: told, fps: rate } = context
  const { chunks, fps } =
    told?.length === inputs.length && rate !== undefined ? { chunks: told, fps: rate } : yield* probed(inputs, options)
  return {
    inputs: Stream.fromIterable(
      inputs.map((file, index) => ({
        chunkId: index,
        attempt: 1,
        frameCount: 0,
        ...chunks[index],
        index,
        location: path.resolve(file),
        bytes: 0
      }))
    ),
    total: inputs.length,
    frames: context.frames ?? chunks.reduce((sum, chunk) => sum + chunk.frameCount, 0),
    fps,
    output: path.resolve(output)
  }
})

const probed = Effect.fnUntraced(function* (
  inputs: ReadonlyArray<string>,
  options: Ffmpeg.Options
): Effect.fn.Return<Known, StitchError> {
  const ffmpeg = yield* Ffmpeg.find(options).pipe(Effect.mapError(toolMissing))
  const files = inputs.map((file) => path.resolve(file))
  const media = yield* MediaProbe.probeAll(
    ffmpeg,
    files,
    (chunkId, { detail }) =>
      new StitchError({
        chunkId,
        reason: new ChunkInvalid({ expected: "a .mov, .mp4, .mkv or .webm video", found: detail })
      })
  ).pipe(Effect.catchTag("ProcessError", toolBroken))
  const rate = Option.flatMap(Option.fromUndefinedOr(media[0]?.video), (video) => video.rate)
  if (Option.isNone(rate)) {
    return yield* cannotJoin("the first file has no constant frame rate: say what it is, as fps")
  }
  return {
    fps: FrameRate.format(rate.value),
    chunks: media.map(({ video }, chunkId) => ({ chunkId, attempt: 1, frameCount: video?.timestamps.length ?? 0 }))
  }
})
