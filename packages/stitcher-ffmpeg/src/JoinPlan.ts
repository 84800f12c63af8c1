/**
 * What will be joined, and how: the chunks held against the job and against each other, and the options that make ffmpeg
 * join them to the sample.
 *
 * Decided from what was read of the chunks (`MediaProbe`), before anything is written. It reads no file and runs nothing.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import * as VideoFormat from "@helios-infra/core/VideoFormat"
import {
  ChunkInvalid,
  type ChunkOutput,
  InputsNotConsumed,
  type StitchError,
  type StitchRequest
} from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as path from "node:path"
import * as ChunkFit from "./ChunkFit.ts"
import * as FrameGrid from "./FrameGrid.ts"
import { cannotJoin, failWith } from "./internal/stitchFailure.ts"
import * as MediaProbe from "./MediaProbe.ts"

/** How to join, where the caller has a choice. */
export interface Options {
  /**
   * The ffmpeg encoder for PCM sound. Default: what the container needs, `aac` for `.mp4` and `libopus` for `.webm`;
   * `.mov` and `.mkv` keep the chunks' PCM.
   */
  readonly audioCodec?: string | undefined
  /** The bitrate of encoded sound, as ffmpeg takes it. Default: `"192k"`. */
  readonly audioBitrate?: string | undefined
  /** Whether `.mp4` and `.mov` files start with their index, so that players need not load them whole. Default: true. */
  readonly faststart?: boolean | undefined
}

/** What the request asks for, in numbers. */
export interface Target {
  readonly container: Container
  readonly rate: FrameRate.FrameRate
  readonly frames: number
}

/** A kind of file to join into. */
export interface Container {
  readonly extension: "mp4" | "mov" | "mkv" | "webm"
  /** The video codecs that it can hold; all when absent. */
  readonly codecs?: ReadonlyArray<string>
  /** The encoder for PCM sound; the chunks' own codec when absent. */
  readonly audioCodec?: string
}

/** A chunk that was read, and is what the job file says of it. */
export interface Chunk {
  readonly output: ChunkOutput
  readonly video: MediaProbe.VideoTrack
  readonly audio: MediaProbe.AudioTrack | undefined
  readonly format: VideoFormat.VideoFormat
}

/** Chunks that fit together, and how they are joined. */
export interface JoinPlan extends Target {
  readonly chunks: ReadonlyArray<Chunk>
  /** The chunk that the others are like. */
  readonly first: Chunk
  /** The sound; none for a silent video. */
  readonly sound: Sound | undefined
  /** Chunks whose codec was set up in another way than the first one's. */
  readonly differing: ReadonlyArray<Chunk>
  readonly faststart: boolean
}

/** How the sound is made. */
export interface Sound {
  /** ffmpeg's options for it. */
  readonly args: ReadonlyArray<string>
  /** How many samples it should have, and how many more it can have. */
  readonly samples: number
  readonly tolerance: number
}

/** What is asked for; fails with `CannotJoin` where that is no container or no rate. */
export const targetOf = (request: StitchRequest): Effect.Effect<Target, StitchError> => {
  const name = (request.format ?? path.extname(request.output).slice(1)).toLowerCase()
  const container = Object.hasOwn(containers, name) ? containers[name] : undefined
  if (container === undefined) {
    return cannotJoin(
      `${JSON.stringify(name)} is no container for this stitcher: name the output .mp4, .mov, .mkv or .webm, or give one of these as its format`
    )
  }
  return Option.match(FrameRate.parse(request.fps), {
    onNone: () => cannotJoin(`${JSON.stringify(request.fps)} is no frame rate: give one like "30" or "30000/1001"`),
    onSome: (rate) => Effect.succeed({ container, rate, frames: request.frames })
  })
}

/** Fails unless the chunks that came are as many, and have as many frames, as the request says. */
export const checkCounts = (
  request: StitchRequest,
  outputs: ReadonlyArray<ChunkOutput>
): Effect.Effect<void, StitchError> => {
  if (outputs.length !== request.total) {
    return failWith(new InputsNotConsumed({ read: outputs.length, total: request.total }))
  }
  if (outputs.length === 0) return cannotJoin("there are no chunks: a video needs one at least")
  const frames = outputs.reduce((sum, output) => sum + output.frameCount, 0)
  return frames === request.frames
    ? Effect.void
    : cannotJoin(
        `the chunks add up to ${frames} frames and the video should have ${request.frames}: plan the job again`
      )
}

/** A chunk from what was read of it; fails with `ChunkInvalid` where that is not what the job file says. */
export const chunkOf = (
  output: ChunkOutput,
  media: MediaProbe.Media,
  rate: FrameRate.FrameRate
): Effect.Effect<Chunk, StitchError> => {
  const misfit = ChunkFit.misfit(media, output.frameCount, Option.some(rate))
  if (misfit !== undefined) return failWith(new ChunkInvalid(misfit), output.chunkId)
  const { audio, video } = media
  if (video === undefined) return Effect.die("a chunk without video fits nothing")
  // Its rate is known to be the job's; coarse timestamps alone might not tell.
  const { fps: _, ...format } = MediaProbe.formatOf(media)
  return Effect.succeed({ output, video, audio, format })
}

/** Plans a join; fails with `ChunkInvalid` or `CannotJoin` where the chunks do not fit together, or into the container. */
export const make = Effect.fnUntraced(function* (
  chunks: ReadonlyArray<Chunk>,
  target: Target,
  options?: Options
): Effect.fn.Return<JoinPlan, StitchError> {
  const { container, rate } = target
  const first = chunks[0]
  if (first === undefined) return yield* Effect.die("no chunks")
  if (container.codecs?.includes(first.video.codec) === false) {
    return yield* cannotJoin(
      `.${container.extension} files cannot hold ${first.video.codec} video: name the output ${first.video.codec === "vp8" ? ".webm" : ".mov"} or .mkv`
    )
  }
  if (isMov(container) && !FrameGrid.isExactIn(rate, first.video.tick)) {
    return yield* cannotJoin(
      `the chunks' timestamps are rounded (one tick is ${first.video.tick.numerator}/${first.video.tick.denominator} s): render the chunks as .mov or .mp4, or name the output .mkv`
    )
  }
  for (const chunk of chunks) yield* checkAgainst(first, chunk)
  return {
    ...target,
    chunks,
    first,
    sound: first.audio === undefined ? undefined : yield* soundOf(chunks, first.audio, target, options),
    differing: chunks.filter((chunk) => chunk.video.setup !== first.video.setup),
    faststart: options?.faststart ?? true
  }
})

/**
 * The list for the concat demuxer. Without a `duration` ffmpeg would take each chunk's length from its header, where it
 * is rounded up to a millisecond. Positions are rounded, not lengths, so that nothing adds up.
 */
export const concatList = ({ chunks, rate }: JoinPlan, files: ReadonlyArray<string>): string => {
  const lines = ["ffconcat version 1.0"]
  let frames = 0
  for (const [index, { output }] of chunks.entries()) {
    const next = frames + output.frameCount
    const length = FrameRate.microseconds(next, rate) - FrameRate.microseconds(frames, rate)
    lines.push(`file ${path.basename(files[index] ?? "")}`, `duration ${(length / 1_000_000).toFixed(6)}`)
    frames = next
  }
  return `${lines.join("\n")}\n`
}

/** ffmpeg's options for the output, to stand before its name. */
export const outputArgs = ({ container, faststart, first, sound }: JoinPlan): ReadonlyArray<string> => [
  ..."-c:v copy -max_muxing_queue_size 65536 -map".split(" "),
  `0:${first.video.index}`,
  // QuickTime plays HEVC under this name only.
  ...(isMov(container) && first.video.codec === "hevc" ? ["-tag:v", "hvc1"] : []),
  ...(first.audio === undefined || sound === undefined ? [] : ["-map", `0:${first.audio.index}`, ...sound.args]),
  ...(isMov(container) && faststart ? ["-movflags", "+faststart"] : [])
]

// ---
// containers
// ---

const containers: Readonly<Record<string, Container>> = {
  mp4: { extension: "mp4", codecs: ["h264", "hevc", "av1", "vp9", "mpeg4"], audioCodec: "aac" },
  m4v: { extension: "mp4", codecs: ["h264", "hevc", "av1", "vp9", "mpeg4"], audioCodec: "aac" },
  mov: { extension: "mov" },
  mkv: { extension: "mkv" },
  matroska: { extension: "mkv" },
  webm: { extension: "webm", codecs: ["vp8", "vp9", "av1"], audioCodec: "libopus" }
}

const isMov = ({ extension }: Container): boolean => extension === "mp4" || extension === "mov"

// ---
// chunks beside each other
// ---

const checkAgainst = (first: Chunk, chunk: Chunk): Effect.Effect<void, StitchError> => {
  const { chunkId } = chunk.output
  const reference = `chunk ${first.output.chunkId}`
  if ((chunk.audio === undefined) !== (first.audio === undefined)) {
    const [has, hasNot] = chunk.audio === undefined ? [reference, "it"] : ["it", reference]
    return cannotJoin(`${has} has sound and ${hasNot} has none: render all chunks with sound, or all without`, chunkId)
  }
  const difference = VideoFormat.difference(first.format, chunk.format)
  if (difference !== undefined) {
    const { expected, found } = difference
    return failWith(new ChunkInvalid({ expected: `${expected}, like ${reference}`, found }), chunkId)
  }
  const { tick } = chunk.video
  if (tick.numerator !== first.video.tick.numerator || tick.denominator !== first.video.tick.denominator) {
    return cannotJoin(
      `it counts time in 1/${tick.denominator} s and ${reference} in 1/${first.video.tick.denominator} s: render all chunks with the same settings (ffmpeg: -video_track_timescale)`,
      chunkId
    )
  }
  if (chunk.video.index !== first.video.index || chunk.audio?.index !== first.audio?.index) {
    return cannotJoin(
      `its streams are in another order than those of ${reference}: write them in the same order`,
      chunkId
    )
  }
  return Effect.void
}

// ---
// the sound
// ---

/** The samples that an encoder's last block can have over, for the codecs that it is known of. */
const blockOf: Readonly<Record<string, number>> = { aac: 1024 }
const largestBlock = 4096

const soundOf = Effect.fnUntraced(function* (
  chunks: ReadonlyArray<Chunk>,
  first: MediaProbe.AudioTrack,
  { container, frames, rate }: Target,
  options: Options | undefined
): Effect.fn.Return<Sound, StitchError> {
  const samples = FrameRate.samples(frames, rate, first.sampleRate)
  if (!ChunkFit.isPcm(first)) {
    if (chunks.length === 1) return { args: ["-c:a", "copy"], samples, tolerance: largestBlock }
    return yield* cannotJoin(
      `their sound is ${first.codec}, which begins and ends in blocks: joined, it would click at every seam. Render chunks with PCM sound (-c:a pcm_s16le, as .mov or .mkv); it is encoded once, over the whole video`
    )
  }
  let heard = 0
  let shown = 0
  for (const { audio, output } of chunks) {
    if (audio === undefined) continue
    heard += audio.samples
    shown += output.frameCount
    const drift = Math.abs(heard - FrameGrid.unitsOf(rate, shown, first.sampleRate)) / first.sampleRate
    if (drift > ChunkFit.maxDrift) {
      return yield* cannotJoin(
        `up to here, sound and picture are ${(drift * 1000).toFixed(1)} ms apart: cut chunks where a frame starts with a whole sample (at ${FrameRate.format(rate)} frames per second, multiples of ${FrameGrid.framesOfWhole(rate, first.sampleRate)} frames)`,
        output.chunkId
      )
    }
  }
  const codec = options?.audioCodec ?? container.audioCodec ?? first.codec
  // Timestamps from the count of samples: at a seam, the chunks' own may be off by the rounding of one.
  const filter = [
    "asetpts=N/SR/TB",
    ...(heard === samples ? [] : [`apad=whole_len=${samples}`, `atrim=end_sample=${samples}`])
  ]
  const bitrate = codec.startsWith("pcm_") ? [] : ["-b:a", options?.audioBitrate ?? "192k"]
  return {
    args: ["-c:a", codec, ...bitrate, "-af", filter.join(",")],
    samples,
    tolerance: codec.startsWith("pcm_") ? 0 : (blockOf[codec] ?? largestBlock)
  }
})
