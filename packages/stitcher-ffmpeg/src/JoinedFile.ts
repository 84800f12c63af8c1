/**
 * Whether a joined file is what its plan says: its streams, each frame's place, its length, its sound.
 *
 * ffmpeg reports success for joins that lose frames, so the file itself is looked at again, in a way that takes as long for a
 * long film as for a short one: by the index of `.mp4` and `.mov`, by the heads of the blocks of `.mkv` and `.webm`, which can
 * be looked at while they are written. Others are read whole. Pictures are the chunks' own, packet by packet, and were
 * checked there. It repairs nothing.
 */
import * as VideoFormat from "@helios-infra/core/VideoFormat"
import { ResultInvalid, type StitchError } from "@helios-infra/core/VideoStitcher"
import type { ProcessError } from "@helios-infra/process/ProcessError"
import * as Effect from "effect/Effect"
import * as ChunkFit from "./ChunkFit.ts"
import type * as Ffmpeg from "./Ffmpeg.ts"
import * as FrameGrid from "./FrameGrid.ts"
import * as indexedMedia from "./internal/indexedMedia.ts"
import { cannotJoin, failWith, toolBroken } from "./internal/stitchFailure.ts"
import * as ImageSequence from "./ImageSequence.ts"
import * as JoinPlan from "./JoinPlan.ts"
import * as MatroskaIndex from "./MatroskaIndex.ts"
import * as MediaProbe from "./MediaProbe.ts"
import * as Reencode from "./Reencode.ts"
import * as MovIndex from "./MovIndex.ts"

/**
 * Reads a joined file and fails unless it is what the plan says; `files` are those of the plan's chunks, `follower` is what
 * has looked at it while it was written. Gives what it has read.
 */
export const verify = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  joined: string,
  plan: JoinPlan.JoinPlan,
  files: ReadonlyArray<Effect.Effect<string, StitchError>>,
  follower?: MatroskaIndex.Follower
): Effect.fn.Return<MediaProbe.Media, StitchError> {
  const { container } = plan
  const reading = JoinPlan.isMov(container)
    ? byIndex(ffmpeg, joined, MovIndex.read(joined))
    : JoinPlan.isMatroska(container)
      ? byIndex(ffmpeg, joined, follower?.finish ?? MatroskaIndex.read(joined))
      : JoinPlan.isSequence(container)
        ? pictures(ffmpeg, joined, plan)
        : MediaProbe.probe(ffmpeg, joined)
  const media = yield* reading.pipe(
    Effect.catchTags({
      MediaUnreadable: ({ detail }) =>
        failWith(new ResultInvalid({ expected: "a file that ffmpeg can read", found: detail })),
      ProcessError: toolBroken
    })
  )
  const wrong = misfit(media, plan)
  if (wrong !== undefined) return yield* failWith(new ResultInvalid(wrong))
  if (plan.differing.length > 0) yield* verifyPictures(ffmpeg, joined, plan, files)
  return media
})

/** What `MediaProbe` would read of a file, from its header and its index; it is read whole where these do not say. */
const byIndex = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  joined: string,
  index: Effect.Effect<ReadonlyArray<indexedMedia.Track>, MediaProbe.MediaUnreadable>
): Effect.fn.Return<MediaProbe.Media, MediaProbe.MediaUnreadable | ProcessError> {
  const tracks = yield* index
  const header = yield* MediaProbe.probeHeader(ffmpeg, joined)
  return indexedMedia.make(header, tracks) ?? (yield* MediaProbe.probe(ffmpeg, joined))
})

const pictures = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  joined: string,
  { rate }: JoinPlan.JoinPlan
): Effect.fn.Return<MediaProbe.Media, MediaProbe.MediaUnreadable | ProcessError> {
  const sequence = yield* ImageSequence.read(joined)
  return yield* MediaProbe.probe(ffmpeg, joined, { input: ImageSequence.inputArgs(sequence, rate) })
})

/** The first thing that is not as planned, or `undefined`. */
export const misfit = (media: MediaProbe.Media, plan: JoinPlan.JoinPlan): ChunkFit.Misfit | undefined => {
  const { audio, streams, video } = media
  const sounds = plan.sound === undefined ? 0 : 1
  if (video === undefined || streams.video !== 1 || streams.audio !== sounds) {
    return {
      expected: `1 video and ${sounds} audio streams`,
      found: `${streams.video} video and ${streams.audio} audio streams`
    }
  }
  const { audio: _, ...copied } = plan.first.format
  const { drawn } = plan.container
  // What is drawn again keeps its size alone.
  const { height, width } = copied
  const picture =
    drawn === undefined
      ? copied
      : {
          codec: drawn.codec,
          ...(width === undefined ? {} : { width }),
          ...(height === undefined ? {} : { height })
        }
  return (
    frameMisfit(video, plan) ??
    // A .gif does not say how long it is, beyond how long each frame is.
    (drawn === undefined ? lengthMisfit(media, plan) : undefined) ??
    VideoFormat.difference(picture, MediaProbe.formatOf(media)) ??
    (audio === undefined ? undefined : (soundMisfit(audio, plan) ?? startMisfit(video, audio, plan)))
  )
}

const frameMisfit = (
  { lastDuration, tick, timestamps }: MediaProbe.VideoTrack,
  { frames, rate }: JoinPlan.JoinPlan
): ChunkFit.Misfit | undefined => {
  if (timestamps.length !== frames) return { expected: `${frames} frames`, found: `${timestamps.length} frames` }
  const off = FrameGrid.firstOffGrid(rate, tick, timestamps)
  if (off !== undefined) {
    const found = (((timestamps[off] ?? 0) - (timestamps[0] ?? 0)) * tick.numerator) / tick.denominator
    return {
      expected: `frame ${off} at ${FrameGrid.unitsOf(rate, off, 1).toFixed(6)} s`,
      found: `it at ${found.toFixed(6)} s`
    }
  }
  const frameTicks = FrameGrid.unitsOf(rate, 1, tick.denominator) / tick.numerator
  return lastDuration === 0 || Math.abs(lastDuration - frameTicks) < 1
    ? undefined
    : { expected: `a last frame of ${frameTicks} ticks`, found: `one of ${lastDuration} ticks` }
}

const lengthMisfit = (
  { audio, seconds, start }: MediaProbe.Media,
  { frames, rate, sound }: JoinPlan.JoinPlan
): ChunkFit.Misfit | undefined => {
  // The header rounds to hundredths, and sound may be a block longer than the picture.
  const length = FrameGrid.unitsOf(rate, frames, 1)
  const over = seconds - length
  const block = audio === undefined || sound === undefined ? 0 : sound.tolerance / audio.sampleRate
  const halfFrame = FrameGrid.unitsOf(rate, 1, 1) / 2
  return over >= -halfFrame - 0.01 && over <= halfFrame + 0.01 + block + start
    ? undefined
    : { expected: `a length of ${length.toFixed(3)} s`, found: `${seconds} s` }
}

const soundMisfit = (audio: MediaProbe.AudioTrack, { sound }: JoinPlan.JoinPlan): ChunkFit.Misfit | undefined => {
  if (sound === undefined) return undefined
  // An encoder may know other rates than that of the chunks.
  const scale = audio.sampleRate / sound.track.sampleRate
  const [samples, tolerance] = [Math.round(sound.samples * scale), Math.ceil(sound.tolerance * scale)]
  // Copied sound is as long as it was accepted to be; nothing was cut or filled.
  const isCopied = sound.from === "copied"
  const fewer = isCopied ? tolerance : Math.min(tolerance, 1)
  return audio.samples >= samples - fewer && audio.samples <= samples + tolerance
    ? undefined
    : {
        expected: `${samples} samples${tolerance === 0 ? "" : ` (and ${tolerance} over${isCopied ? ", or too few," : ""} at most)`}`,
        found: `${audio.samples} samples`
      }
}

/** Sound that is copied brings what its encoder put before the first sample; elsewhere that can only be too early. */
const startMisfit = (
  { tick, timestamps }: MediaProbe.VideoTrack,
  { sampleRate, start }: MediaProbe.AudioTrack,
  { sound }: JoinPlan.JoinPlan
): ChunkFit.Misfit | undefined => {
  if (sound === undefined || sound.from === "copied") return undefined
  const late = start / sampleRate - ((timestamps[0] ?? 0) * tick.numerator) / tick.denominator
  const rounding = ChunkFit.maxDrift + tick.numerator / tick.denominator
  return late <= rounding && late >= -rounding - sound.delay / sampleRate
    ? undefined
    : {
        expected: "sound and picture that start together",
        found: `sound that starts ${Math.abs(late * 1000).toFixed(1)} ms ${late > 0 ? "later" : "earlier"}`
      }
}

/**
 * Where a chunk's codec was set up in another way than the first one's, the joined file may decode to other pictures
 * than the chunk does. Whether it does, only decoding both tells.
 */
const verifyPictures = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  joined: string,
  { chunks, differing, first }: JoinPlan.JoinPlan,
  files: ReadonlyArray<Effect.Effect<string, StitchError>>
): Effect.fn.Return<void, StitchError> {
  const hashesOf = (file: string) =>
    MediaProbe.frameHashes(ffmpeg, file).pipe(
      Effect.catchTags({
        MediaUnreadable: (error) =>
          failWith(new ResultInvalid({ expected: "a file that decodes", found: error.detail })),
        ProcessError: toolBroken
      })
    )
  const result = yield* hashesOf(joined)
  let start = 0
  for (const [index, chunk] of chunks.entries()) {
    const end = start + chunk.output.frameCount
    if (differing.includes(chunk)) {
      const own = yield* Effect.flatMap(files[index] ?? Effect.die("a chunk without a file"), hashesOf)
      if (own.length !== end - start || own.some((hash, frame) => hash !== result[start + frame])) {
        return yield* cannotJoin(
          `its video was encoded with other settings than that of chunk ${first.output.chunkId}: render all chunks with the same encoder and settings, ${Reencode.hint}`,
          chunk.output.chunkId
        )
      }
    }
    start = end
  }
})
