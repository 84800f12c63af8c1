/**
 * Chunks whose picture begins elsewhere in its file than the first one's. Matroska moves it by what an encoder of sound puts
 * before the first sample, so that a chunk without sound begins earlier than those that have some. Where chunks are counted
 * from is told to ffmpeg before the later ones are there, and is one place for all.
 */
import type { StitchError } from "@helios-infra/core/VideoStitcher"
import { ChunkInvalid } from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as path from "node:path"
import * as Ffmpeg from "../Ffmpeg.ts"
import * as JoinPlan from "../JoinPlan.ts"
import * as MediaProbe from "../MediaProbe.ts"
import type { Landed } from "./chunkReading.ts"
import { checkRoom, failWith, toolBroken } from "./stitchFailure.ts"
import * as workFolder from "./workFolder.ts"

/** A chunk with a picture that begins where the first one's does: the same, unless it has to be copied for that, beside `final`. */
export const align = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  { first, sound }: JoinPlan.Join,
  landed: Landed,
  final: string
): Effect.fn.Return<Landed, StitchError> {
  const { chunk } = landed
  if (sound?.from !== "assembled" || !JoinPlan.isMovable(chunk) || !JoinPlan.isStray(first, chunk)) return landed
  const late = first.video.start - chunk.video.start
  const { dir, name } = path.parse(landed.file)
  const file = path.join(dir, `${name}-aligned.mkv`)
  const run = yield* ffmpeg
    .run([
      ...MediaProbe.confined,
      ..."-copyts -i".split(" "),
      Ffmpeg.fileUrl(landed.file),
      ..."-map 0:V:0 -c copy -avoid_negative_ts disabled -output_ts_offset".split(" "),
      late.toFixed(3),
      Ffmpeg.fileUrl(file)
    ])
    .pipe(Effect.catchTag("ProcessError", toolBroken))
  yield* checkRoom(final, run)
  if (run.exitCode !== 0) {
    const reason = new ChunkInvalid({ expected: "a video that can be copied", found: Ffmpeg.describe(run) })
    return yield* failWith(reason, chunk.output.chunkId)
  }
  const bytes = yield* workFolder.writing(final, () => workFolder.sizeOf(file))
  return { ...landed, picture: { file, bytes } }
})
