/**
 * What will be joined, and how: the chunks held against the job and against each other, and the options that make ffmpeg
 * join them to the sample.
 *
 * It begins with the first chunk, which the others have to be like, and takes each of them as it comes. Decided from what
 * was read of the chunks (`MediaProbe`); it reads no file and runs nothing.
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
import * as Ffmpeg from "./Ffmpeg.ts"
import * as FrameGrid from "./FrameGrid.ts"
import { cannotJoin, failWith } from "./internal/stitchFailure.ts"
import * as JoinedSound from "./JoinedSound.ts"
import * as MediaProbe from "./MediaProbe.ts"
import * as Preview from "./Preview.ts"
import * as Reencode from "./Reencode.ts"

/** How to join, where the caller has a choice. */
export interface Options extends JoinedSound.Options {
  /** Whether `.mp4` and `.mov` files start with their index, so that players need not load them whole. Default: true. */
  readonly faststart?: boolean | undefined
  /** Where to write what is joined so far as something to watch, while chunks are rendered. Default: nowhere. */
  readonly preview?: Preview.Options | undefined
}

/** What the request asks for, in numbers. */
export interface Target {
  readonly container: Container
  readonly rate: FrameRate.FrameRate
  readonly frames: number
}

/** A kind of file, or of pictures in a folder, to join into. */
export interface Container {
  readonly extension: "mp4" | "mov" | "mkv" | "webm" | "gif" | "png" | "jpg" | "tiff"
  /** The video codecs that it can hold; all when absent. */
  readonly codecs?: ReadonlyArray<string>
  /** The encoder for sound; one that keeps what the chunks have when absent. */
  readonly audioCodec?: string
  /** How pictures are drawn again where it holds no video; it holds no sound either then. */
  readonly drawn?: Drawn
}

/** How pictures are drawn again. */
export interface Drawn {
  /** ffmpeg's name of what they are then. */
  readonly codec: string
  /** ffmpeg's options that draw them. */
  readonly args: ReadonlyArray<string>
  /** Whether each is a file of its own, in a folder. */
  readonly isSequence: boolean
}

/** A chunk that was read, and is what the job file says of it. */
export interface Chunk {
  readonly output: ChunkOutput
  /** Its picture, without the frames' times: these are on the grid, from `start` (in seconds, as its file counts) on. */
  readonly video: Omit<MediaProbe.VideoTrack, "timestamps"> & { readonly start: number }
  readonly audio: MediaProbe.AudioTrack | undefined
  readonly format: VideoFormat.VideoFormat
}

/** How chunks like the first one are joined. */
export interface Join extends Target {
  /** The chunk that the others are like. */
  readonly first: Chunk
  /** How many frames each chunk has, in frame order. */
  readonly frameCounts: ReadonlyArray<number>
  /** The sound; none for a silent video. */
  readonly sound: JoinedSound.JoinedSound | undefined
  /** How many frames, and how many samples of sound, the chunks have so far. */
  readonly taken: { readonly frames: number; readonly samples: number }
  /** A chunk whose picture begins elsewhere in its file than that of the first, and cannot be moved. */
  readonly stray: Chunk | undefined
  readonly faststart: boolean
  readonly options: Options | undefined
}

/** Chunks that fit together, and how they are joined. */
export interface JoinPlan extends Join {
  readonly chunks: ReadonlyArray<Chunk>
  /** Chunks whose codec was set up in another way than the first one's. */
  readonly differing: ReadonlyArray<Chunk>
}

/** What is asked for; fails with `CannotJoin` where that is no container or no rate. */
export const targetOf = (request: StitchRequest): Effect.Effect<Target, StitchError> => {
  const name = (request.format ?? path.extname(request.output).slice(1)).toLowerCase()
  const container = Object.hasOwn(containers, name) ? containers[name] : undefined
  if (container === undefined) {
    return cannotJoin(
      `${JSON.stringify(name)} is no container for this stitcher: name the output .mp4, .mov, .mkv, .webm or .gif, or give one of these, or png, jpg or tiff for a folder of pictures, as its format (in a job: as its container)`
    )
  }
  if (isSequence(container) && request.format === undefined) {
    return cannotJoin(
      `a .${name} is a single picture: to have one for each frame, name a folder as the output, and give ${JSON.stringify(name)} as its format (in a job: as its container)`
    )
  }
  return Option.match(FrameRate.parse(request.fps), {
    onNone: () => cannotJoin(`${JSON.stringify(request.fps)} is no frame rate: give one like "30" or "30000/1001"`),
    onSome: (rate) => Effect.succeed({ container, rate, frames: request.frames })
  })
}

/** Fails unless chunks of these lengths are as many, and have as many frames, as the request says. */
export const checkCounts = (
  request: StitchRequest,
  frameCounts: ReadonlyArray<number>
): Effect.Effect<void, StitchError> => {
  if (frameCounts.length !== request.total) {
    return failWith(new InputsNotConsumed({ read: frameCounts.length, total: request.total }))
  }
  if (frameCounts.length === 0) return cannotJoin("there are no chunks: a video needs one at least")
  const frames = frameCounts.reduce((sum, count) => sum + count, 0)
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
  const { audio } = media
  if (media.video === undefined) return Effect.die("a chunk without video fits nothing")
  const { timestamps, ...picture } = media.video
  const tick = tickOf(picture)
  // What was read counts from where the file starts, rounded to a tick.
  const start = Math.round((timestamps[0] ?? 0) + media.start / tick) * tick
  const video = { ...picture, start }
  // Its rate is known to be the job's; coarse timestamps alone might not tell.
  const { fps: __, ...format } = MediaProbe.formatOf(media)
  return Effect.succeed({ output, video, audio, format })
}

/** Begins with the first chunk; fails with `CannotJoin` where it does not fit into the container. */
export const begin = Effect.fnUntraced(function* (
  first: Chunk,
  frameCounts: ReadonlyArray<number>,
  target: Target,
  options?: Options
): Effect.fn.Return<Join, StitchError> {
  const { container, rate } = target
  if (first.video.codec === "gif") {
    return yield* cannotJoin(`.gif files are no video: name the output .gif, ${Reencode.hint}`)
  }
  if (container.codecs?.includes(first.video.codec) === false) {
    return yield* cannotJoin(
      `.${container.extension} files cannot hold ${first.video.codec} video: name the output ${first.video.codec === "vp8" ? ".webm" : ".mov"} or .mkv, ${Reencode.hint}`
    )
  }
  if (isMov(container) && !FrameGrid.isExactIn(rate, first.video.tick)) {
    return yield* cannotJoin(
      `the chunks' timestamps are rounded (one tick is ${first.video.tick.numerator}/${first.video.tick.denominator} s): render the chunks as .mov or .mp4, or name the output .mkv, ${Reencode.hint}`
    )
  }
  if (container.extension === "gif" && rate.numerator > mostDrawn * rate.denominator) {
    return yield* cannotJoin(
      `.${container.extension} files count time in hundredths of a second, and show ${mostDrawn} frames a second at most: render fewer than ${FrameRate.format(rate)}, or name the output .mp4`
    )
  }
  const join = { ...target, first, frameCounts, faststart: options?.faststart ?? true, options }
  const { audio, output } = first
  yield* checkSound(join, first)
  if (options?.preview !== undefined) yield* Preview.checkCodec(first.video.codec, options.preview)
  return {
    ...join,
    sound: container.drawn === undefined ? JoinedSound.of(join, audio) : undefined,
    taken: { frames: output.frameCount, samples: audio?.samples ?? 0 },
    stray: undefined
  }
})

/**
 * Takes a further chunk; fails with `ChunkInvalid` or `CannotJoin` where it is not like the first one. Where only some of
 * the chunks have sound, or theirs and the picture drift apart, the join that comes back has another `sound` than before.
 */
export const take = Effect.fnUntraced(function* (join: Join, chunk: Chunk): Effect.fn.Return<Join, StitchError> {
  yield* checkAgainst(join, chunk)
  yield* checkSound(join, chunk)
  const { container, first } = join
  const { audio, output, video } = chunk
  if (container.drawn !== undefined && video.setup !== first.video.setup) {
    return yield* cannotJoin(
      `its video was encoded with other settings than that of chunk ${first.output.chunkId}: render all chunks with the same encoder and settings, ${Reencode.hint}`,
      output.chunkId
    )
  }
  const taken = {
    frames: join.taken.frames + output.frameCount,
    samples: join.taken.samples + (audio?.samples ?? 0)
  }
  const stray = join.stray ?? (isStray(first, chunk) && !isMovable(chunk) ? chunk : undefined)
  const next = { ...join, taken, stray, sound: soundWith(join, taken, audio) }
  yield* checkStarts(next)
  return next
})

/** The sound of a join that has taken so much, the last of it with this sound. */
const soundWith = (
  join: Join,
  taken: Join["taken"],
  audio: MediaProbe.AudioTrack | undefined
): JoinedSound.JoinedSound | undefined => {
  const { container, rate, sound } = join
  const heard = sound?.from === "tracks" ? undefined : sound?.track
  const track = heard ?? audio
  if (track === undefined || container.drawn !== undefined || sound?.from === "assembled") return sound
  const fits =
    heard !== undefined &&
    audio !== undefined &&
    Math.abs(taken.samples - FrameGrid.unitsOf(rate, taken.frames, track.sampleRate)) < 1
  return fits ? sound : JoinedSound.assembled(join, track)
}

/** Plans a join of chunks that are all there. Fails as {@link begin} and {@link take} do. */
export const make = Effect.fnUntraced(function* (
  chunks: ReadonlyArray<Chunk>,
  target: Target,
  options?: Options
): Effect.fn.Return<JoinPlan, StitchError> {
  const [first, ...others] = chunks
  if (first === undefined) return yield* Effect.die("no chunks")
  const frameCounts = chunks.map(({ output }) => output.frameCount)
  let join = yield* begin(first, frameCounts, target, options)
  for (const chunk of others) join = yield* take(join, chunk)
  return complete(join, chunks)
})

/** A join whose chunks are all there. */
export const complete = (join: Join, chunks: ReadonlyArray<Chunk>): JoinPlan => ({
  ...join,
  chunks,
  differing: chunks.filter((chunk) => chunk.video.setup !== join.first.video.setup)
})

/**
 * The list for the concat demuxer; `files` are its chunks, in words that need no quotes. Without a `duration` ffmpeg would
 * take each chunk's length from its header, where it is rounded up to a millisecond. Positions are rounded, not lengths,
 * so that nothing adds up.
 *
 * A chunk counts from its first packet, which is one of sound where an encoder puts something before the first sample.
 * Sound that is not read from the chunks must not move their picture: there, each counts from where its picture begins, and
 * `inputArgs` keep what comes of that.
 */
export const concatList = ({ first, frameCounts, rate, sound }: Join, files: (index: number) => string): string => {
  const lines = ["ffconcat version 1.0"]
  const from = sound?.from === "assembled" ? [`inpoint ${first.video.start.toFixed(6)}`] : []
  let frames = 0
  for (const [index, frameCount] of frameCounts.entries()) {
    const next = frames + frameCount
    const length = FrameRate.microseconds(next, rate) - FrameRate.microseconds(frames, rate)
    lines.push(`file ${files(index)}`, ...from, `duration ${(length / 1_000_000).toFixed(6)}`)
    frames = next
  }
  return `${lines.join("\n")}\n`
}

/**
 * ffmpeg's options before the inputs. By itself it counts from the first packet that it finds, one of the chunks' own sound
 * among them, though that is read from elsewhere.
 */
export const inputArgs = ({ sound }: Join): ReadonlyArray<string> => (sound?.from === "assembled" ? ["-copyts"] : [])

/**
 * ffmpeg's options for the output, to stand before its name. With `"reserved"`, room for an index in front is left before
 * anything is written, as much as it can come to; with `"moved"`, the whole file is moved behind it at the end.
 */
export const outputArgs = (join: Join, index: "reserved" | "moved" = "reserved"): ReadonlyArray<string> => {
  const { container, faststart, first, sound } = join
  const inFront = index === "moved" ? ["-movflags", "+faststart"] : ["-moov_size", String(indexSize(join))]
  return [
    ...(container.drawn === undefined ? ["-c:v", "copy"] : drawnArgs(container.drawn, join)),
    ..."-max_muxing_queue_size 65536 -map".split(" "),
    `0:${first.video.index}`,
    // QuickTime plays HEVC under this name only.
    ...(isMov(container) && first.video.codec === "hevc" ? ["-tag:v", "hvc1"] : []),
    ...(sound === undefined ? [] : JoinedSound.outputArgs(sound, join.options?.preview !== undefined)),
    ...(isMov(container) && faststart ? inFront : [])
  ]
}

/**
 * More of ffmpeg's options for the output, of one that is old (`Ffmpeg.isOld`). It would move what it writes into Matroska
 * when it finds something that begins too early, and not what it has written before.
 */
export const oldOutputArgs = ({ container, sound }: Join): ReadonlyArray<string> => {
  if (isSequence(container)) return Ffmpeg.oldEachFrameOnce
  if (!isMatroska(container) || sound === undefined || sound.delay === 0) return []
  const milliseconds = Math.round((sound.delay * 1000) / sound.track.sampleRate)
  return ["-output_ts_offset", (milliseconds / 1000).toFixed(3)]
}

/** ffmpeg's second output, with its name; nothing where no preview is asked for. */
export const previewArgs = ({ first, options, sound }: Join): ReadonlyArray<string> =>
  options?.preview === undefined
    ? []
    : [
        ..."-c:v copy -max_muxing_queue_size 65536 -map".split(" "),
        `0:${first.video.index}`,
        ...(sound === undefined ? [] : JoinedSound.previewArgs(sound)),
        ...(options.preview.format === "mp4" && first.video.codec === "hevc" ? ["-tag:v", "hvc1"] : []),
        ...Preview.outputArgs(options.preview)
      ]

// Frames are where their number puts them, so that none is dropped or doubled for a time that was rounded.
const drawnArgs = ({ args, isSequence }: Drawn, { rate }: Join): ReadonlyArray<string> =>
  isSequence
    ? ["-vf", `settb=${rate.denominator}/${rate.numerator},setpts=N`, "-r", FrameRate.format(rate), ...args]
    : args

/** The names of pictures in a folder, as ffmpeg writes them. The first is 0. */
export const pictureNames = ({ container, frames }: Target): string =>
  `frame_%0${Math.max(5, String(frames - 1).length)}d.${container.extension}`

/** Whether a container is a folder of pictures. */
export const isSequence = ({ drawn }: Container): boolean => drawn?.isSequence === true

/** Whether a container has its index in one place: `.mp4` and `.mov`. */
export const isMov = ({ extension }: Container): boolean => extension === "mp4" || extension === "mov"

/** Whether a container has its index spread over it: `.mkv` and `.webm`. */
export const isMatroska = ({ extension }: Container): boolean => extension === "mkv" || extension === "webm"

// What one frame, one packet of sound and one seam can take of an index at most, in bytes: size, place (64 bits) and run of
// a frame, whether it is a key frame, and how late it is shown; the same of a packet; lengths that change at a seam.
const indexOfFrame = 4 + 8 + 12 + 4 + 8
const indexOfPacket = 4 + 8 + 12
const indexOfSeam = 8 * 8
/** Everything that does not grow with the video: what the streams are, and how their codecs are set up. */
const indexOfStreams = 1 << 16

const indexSize = ({ frameCounts, frames, sound }: Join): number =>
  indexOfStreams +
  frames * indexOfFrame +
  frameCounts.length * indexOfSeam +
  (sound === undefined ? 0 : JoinedSound.packets(sound, frameCounts.length) * indexOfPacket)

// ---
// containers
// ---

/** Two hundredths of a second are the shortest that players keep. */
const mostDrawn = 50

const pictures = (extension: Container["extension"], codec: string, args = ""): Container => ({
  extension,
  drawn: { codec, args: `-c:v ${codec}${args} -f image2 -start_number 0`.split(" "), isSequence: true }
})

const containers: Readonly<Record<string, Container>> = {
  mp4: { extension: "mp4", codecs: ["h264", "hevc", "av1", "vp9", "mpeg4"], audioCodec: "aac" },
  m4v: { extension: "mp4", codecs: ["h264", "hevc", "av1", "vp9", "mpeg4"], audioCodec: "aac" },
  mov: { extension: "mov" },
  mkv: { extension: "mkv" },
  matroska: { extension: "mkv" },
  webm: { extension: "webm", codecs: ["vp8", "vp9", "av1"], audioCodec: "libopus" },
  gif: {
    extension: "gif",
    drawn: {
      codec: "gif",
      // A palette for each picture: one for all would be known only when the last chunk has landed.
      args: ["-vf", "split[a][b];[a]palettegen=stats_mode=single[palette];[b][palette]paletteuse=new=1"],
      isSequence: false
    }
  },
  png: pictures("png", "png"),
  jpg: pictures("jpg", "mjpeg", " -q:v 2"),
  jpeg: pictures("jpg", "mjpeg", " -q:v 2"),
  tiff: pictures("tiff", "tiff"),
  tif: pictures("tiff", "tiff")
}

// ---
// chunks beside each other
// ---

const checkAgainst = ({ first, rate, sound }: Join, chunk: Chunk): Effect.Effect<void, StitchError> => {
  const { chunkId } = chunk.output
  const reference = `chunk ${first.output.chunkId}`
  const { audio: _, ...picture } = first.format
  const difference =
    VideoFormat.difference(picture, chunk.format) ??
    (sound === undefined || sound.from === "tracks" || chunk.audio === undefined
      ? undefined
      : VideoFormat.difference({ audio: MediaProbe.soundFormat(sound.track) }, chunk.format))
  if (difference !== undefined) {
    const { expected, found } = difference
    // Encoding again gives all chunks one codec and pixel format, and none another size.
    const helps = difference.found.includes("codec ") || difference.found.includes("pixelFormat ")
    const like = `${expected}, like ${reference}${helps ? ` (${Reencode.hint})` : ""}`
    return failWith(new ChunkInvalid({ expected: like, found }), chunkId)
  }
  const { tick } = chunk.video
  if (tick.numerator !== first.video.tick.numerator || tick.denominator !== first.video.tick.denominator) {
    return cannotJoin(
      `it counts time in 1/${tick.denominator} s and ${reference} in 1/${first.video.tick.denominator} s: render all chunks with the same settings (ffmpeg: -video_track_timescale), ${Reencode.hint}`,
      chunkId
    )
  }
  // ffmpeg counts decoding times by the first chunk's set-up. A chunk of fewer frames than would wait does not say how many do.
  const tellsOf = FrameGrid.unitsOf(rate, first.output.frameCount, tick.denominator) / tick.numerator
  if (chunk.video.setup !== first.video.setup && chunk.video.ahead > first.video.ahead && tellsOf > chunk.video.ahead) {
    return cannotJoin(
      `more of its frames are stored in another order than they are shown in (B-frames) than of ${reference}: render all chunks with the same encoder and settings, ${Reencode.hint}`,
      chunkId
    )
  }
  const soundMoved = sound?.from === "joined" && chunk.audio !== undefined && chunk.audio.index !== first.audio?.index
  if (chunk.video.index !== first.video.index || soundMoved) {
    return cannotJoin(
      `its streams are in another order than those of ${reference}: write them in the same order, ${Reencode.hint}`,
      chunkId
    )
  }
  return Effect.void
}

/** A tick, in seconds. */
const tickOf = ({ tick }: Pick<MediaProbe.VideoTrack, "tick">): number => tick.numerator / tick.denominator

/** Whether a chunk's picture begins elsewhere in its file than the first one's. */
export const isStray = (first: Chunk, { video }: Chunk): boolean =>
  Math.abs(video.start - first.video.start) >= tickOf(video) / 2

/** Whether it is Matroska's, which counts milliseconds: in a copy it can begin at any of them. */
export const isMovable = ({ video }: Chunk): boolean => tickOf(video) === 0.001

/** Where the picture is read apart from the sound, `concatList` has one place at which it begins for all. */
const checkStarts = ({ first, sound, stray }: Join): Effect.Effect<void, StitchError> => {
  if (sound?.from !== "assembled" || stray === undefined) return Effect.void
  const [own, others] = [stray, first].map(({ video }) => (video.start * 1000).toFixed(1))
  return cannotJoin(
    `its picture begins ${own} ms into its file, and that of chunk ${first.output.chunkId} ${others} ms, beside sound that is joined apart from it: render all chunks with the same encoder and settings, ${Reencode.hint}`,
    stray.output.chunkId
  )
}

const checkSound = (
  { frameCounts, rate }: Pick<Join, "frameCounts" | "rate">,
  { audio, output }: Chunk
): Effect.Effect<void, StitchError> => {
  const refusal =
    audio === undefined || frameCounts.length === 1
      ? undefined
      : JoinedSound.refusal({ rate }, audio, output.frameCount, output.index + 1 === frameCounts.length)
  return refusal === undefined ? Effect.void : cannotJoin(refusal, output.chunkId)
}
