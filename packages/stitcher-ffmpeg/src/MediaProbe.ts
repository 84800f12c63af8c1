/**
 * What a video file holds, read with ffmpeg alone: streams, every frame's timestamp, the number of samples.
 *
 * Frames are counted from the packets, and on request decoded as well; nothing is believed that only the header says.
 * It judges nothing: whether a file is what it should be is the business of `FfmpegOutputCheck` and `FfmpegStitcher`.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import type * as VideoFormat from "@helios-infra/core/VideoFormat"
import type { ProcessError } from "@helios-infra/process/ProcessError"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Ffmpeg from "./Ffmpeg.ts"
import * as FrameGrid from "./FrameGrid.ts"

/** A file's picture. */
export interface VideoTrack {
  /** The stream's number in the file. */
  readonly index: number
  /** The codec's name as ffmpeg gives it: `"h264"`. */
  readonly codec: string
  /**
   * The pixel format's name as ffmpeg gives it: `"yuv420p"`; `"yuva420p"` for VP8 and VP9 with alpha, which is beside the
   * frames of these, and which ffmpeg's own decoders leave out.
   */
  readonly pixelFormat: string | undefined
  readonly width: number
  readonly height: number
  /** The length of one tick of its timestamps. */
  readonly tick: FrameGrid.TimeBase
  /** When each frame is shown, in ticks, ascending. */
  readonly timestamps: ReadonlyArray<number>
  /**
   * Whether the frame that is stored first is the one that is shown first. Frames that are shown before a key frame and
   * stored behind it (an open GOP) need what was before the file to be decoded.
   */
  readonly startsClosed: boolean
  /**
   * How long before it is shown the first frame is decoded, in ticks: as long as frames wait where they are stored in another
   * order than they are shown in (B-frames). A file of fewer frames than that need not say.
   */
  readonly ahead: number
  /** How long the last frame is shown, in ticks; 0 when the file does not say. */
  readonly lastDuration: number
  /** The rate, when it is constant. */
  readonly rate: Option.Option<FrameRate.FrameRate>
  /** How many frames could be decoded; `undefined` unless all were tried. */
  readonly decodedFrames: number | undefined
  /** A hash of the codec's set-up data; empty when there is none. */
  readonly setup: string
}

/** A file's sound. */
export interface AudioTrack {
  /** The stream's number in the file. */
  readonly index: number
  /** The codec's name as ffmpeg gives it: `"pcm_s16le"`. */
  readonly codec: string
  /** Samples per second. */
  readonly sampleRate: number
  /** The channel layout's name as ffmpeg gives it: `"stereo"`. */
  readonly layout: string
  /** How many samples each channel decodes to. */
  readonly samples: number
  /** When the first sample is heard, in samples. */
  readonly start: number
}

/** What a file holds. */
export interface Media {
  /** The names of the container as ffmpeg gives them: `"mov,mp4,m4a,3gp,3g2,mj2"`. */
  readonly container: string
  /** When the file starts and how long it is by its header, in seconds; 0 when that does not say. */
  readonly start: number
  readonly seconds: number
  /** How many streams of each kind there are; cover pictures are no video. */
  readonly streams: { readonly video: number; readonly audio: number }
  /** The first of the video streams. */
  readonly video: VideoTrack | undefined
  /** The first of the audio streams. */
  readonly audio: AudioTrack | undefined
}

/** ffmpeg cannot make sense of the file; `detail` is what it says of it. */
export class MediaUnreadable extends Schema.TaggedError<MediaUnreadable>()("MediaUnreadable", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.path} is no video that ffmpeg can read: ${this.detail}`
  }
}

/** The containers that are read. Playlists, which would lead ffmpeg to other files and addresses, are not among them. */
export const containers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif"

/** Options before `-i` that keep ffmpeg to files, and to those containers. */
export const confined: ReadonlyArray<string> = ["-protocol_whitelist", "file,pipe", "-format_whitelist", containers]

/**
 * How far to look into the picture:
 *
 * - `"packets"` reads every packet and decodes none.
 * - `"keyframes"` decodes the key frames too, and takes every packet of H.264 and HEVC apart into its slices.
 * - `"full"` decodes every frame, which takes as long as decoding does.
 */
export type Decode = "packets" | "keyframes" | "full"

/** How to read a file. */
export interface ProbeOptions {
  /** Default: `"packets"`. */
  readonly decode?: Decode | undefined
  /** ffmpeg's options that open it, `-i` and its name included. Default: those for a file of {@link containers}. */
  readonly input?: ReadonlyArray<string> | undefined
}

/**
 * Reads a file. Where `decode` has pictures decoded, anything ffmpeg calls an error on the way makes the file unreadable.
 * Sound is always decoded: its length cannot be known otherwise.
 */
export const probe = Effect.fn("MediaProbe.probe")(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  path: string,
  options?: ProbeOptions
): Effect.fn.Return<Media, MediaUnreadable | ProcessError> {
  const { decode = "packets", input } = options ?? {}
  if (decode !== "keyframes") return yield* probeAt(ffmpeg, path, decode, [], input)
  // Key frames of open GOPs come out of order when they are decoded alone, which ffmpeg calls an error. What looks wrong
  // is decoded whole before it is called so.
  return yield* Effect.catchTag(probeAt(ffmpeg, path, decode, [], input), "MediaUnreadable", () =>
    probeAt(ffmpeg, path, "full", [], input)
  )
})

/**
 * Reads what the header and the first packets of a file say: its streams, however long they are. It has frames and sound of
 * the first half second.
 */
export const probeHeader = Effect.fn("MediaProbe.probeHeader")(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  path: string
): Effect.fn.Return<Media, MediaUnreadable | ProcessError> {
  // By length, not by number: new builds end all streams with the first that has its number.
  return yield* probeAt(ffmpeg, path, "packets", ["-t", "0.5"])
})

const probeAt = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  path: string,
  decode: Decode,
  limit: ReadonlyArray<string> = [],
  input: ReadonlyArray<string> = [...confined, "-i", Ffmpeg.fileUrl(path)]
): Effect.fn.Return<Media, MediaUnreadable | ProcessError> {
  const report = makeReport(decode)
  const run = yield* ffmpeg.run(
    [
      // Threads that share a frame cost nothing where there is one; threads with a frame each cost as much as decoding it.
      ...(decode === "keyframes" ? "-skip_frame:v nokey -thread_type:v slice".split(" ") : []),
      ...input,
      // The null output comes first: `frame=` in the progress report counts the first output's frames.
      ...(decode === "packets" ? [] : ["-map", "0:V:0", "-f", "null", "-"]),
      ...packetsOf(1, limit)
    ],
    { onLine: report.line }
  )
  const media = report.media(0)
  const broken = decode !== "packets" && (run.errors.length > 0 || report.decodedFrames() === 0)
  if (run.exitCode !== 0 || media === undefined || broken) {
    return yield* new MediaUnreadable({ path, detail: Ffmpeg.describe(run) })
  }
  return media
})

/** How many ffmpegs read at once, and how many files each: starting one takes as long as reading a few small ones. */
const readers = 2
const leastFiles = 4
const mostFiles = 32

/**
 * Reads many files, in their order, without decoding pictures. Calls `onUnreadable` for the first that cannot be read.
 */
export const probeAll = Effect.fn("MediaProbe.probeAll")(function* <E>(
  ffmpeg: Ffmpeg.Ffmpeg,
  paths: ReadonlyArray<string>,
  onUnreadable: (index: number, error: MediaUnreadable) => E
): Effect.fn.Return<ReadonlyArray<Media>, E | ProcessError> {
  const indexed = paths.map((path, index) => ({ path, index }))
  const filesEach = Math.min(mostFiles, Math.max(leastFiles, Math.ceil(paths.length / readers)))
  const batches = yield* Effect.forEach(
    Arr.chunksOf(indexed, filesEach),
    Effect.fnUntraced(function* (batch) {
      const report = makeReport("packets")
      const run = yield* ffmpeg.run(
        [...batch.flatMap(({ path }) => [...confined, "-i", Ffmpeg.fileUrl(path)]), ...packetsOf(batch.length)],
        { onLine: report.line }
      )
      const media = batch.map((_, input) => report.media(input))
      if (run.exitCode === 0 && media.every((one) => one !== undefined)) return media
      // One of them is to blame, and only reading them one by one tells which.
      return yield* Effect.forEach(batch, ({ path, index }) =>
        probe(ffmpeg, path).pipe(Effect.catchTag("MediaUnreadable", (error) => Effect.fail(onUnreadable(index, error))))
      )
    }),
    { concurrency: readers }
  )
  return batches.flat()
})

/**
 * A hash of each decoded frame, in order.
 */
export const frameHashes = Effect.fn("MediaProbe.frameHashes")(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  path: string
): Effect.fn.Return<ReadonlyArray<string>, MediaUnreadable | ProcessError> {
  const hashes: Array<string> = []
  const run = yield* ffmpeg.run(
    [...confined, "-i", Ffmpeg.fileUrl(path), "-map", "0:V:0", "-f", "framemd5", "pipe:1"],
    {
      onLine: (stream, line) => {
        if (stream === "stdout" && !line.startsWith("#")) hashes.push(line.slice(line.lastIndexOf(",") + 1).trim())
      }
    }
  )
  if (run.exitCode !== 0) return yield* new MediaUnreadable({ path, detail: Ffmpeg.describe(run) })
  return hashes
})

/**
 * ffmpeg's options before `-i` that have a picture decoded with all that belongs to it; none where it does so by itself.
 */
export const decoderArgs = ({
  codec,
  pixelFormat
}: Pick<VideoTrack, "codec" | "pixelFormat">): ReadonlyArray<string> => {
  const decoder = pixelFormat?.startsWith("yuva") === true ? withAlpha[codec] : undefined
  return decoder === undefined ? [] : ["-c:v", decoder]
}

/** The decoders that look at the alpha beside a frame. */
const withAlpha: Readonly<Record<string, string>> = { vp8: "libvpx", vp9: "libvpx-vp9" }

/** The picture and sound of a file as core compares them. */
export const formatOf = (media: Media): VideoFormat.VideoFormat => {
  const { audio, video } = media
  return {
    ...(video === undefined ? {} : { width: video.width, height: video.height, codec: video.codec }),
    ...(video?.pixelFormat === undefined ? {} : { pixelFormat: video.pixelFormat }),
    ...(video === undefined || Option.isNone(video.rate) ? {} : { fps: FrameRate.format(video.rate.value) }),
    audio: audio === undefined ? "none" : soundFormat(audio)
  }
}

/** The sound of a file as core compares it. */
export const soundFormat = (audio: AudioTrack): string => `${audio.codec} ${audio.sampleRate} ${audio.layout}`

// One line per packet on stdout, and before them one block of `#` lines that describes each stream.
const packetsOf = (inputs: number, limit: ReadonlyArray<string> = []): ReadonlyArray<string> => [
  ...Arr.range(0, inputs - 1).flatMap((input) => ["-map", `${input}:V:0?`, "-map", `${input}:a:0?`]),
  ..."-c:v copy -c:a pcm_s16le -max_muxing_queue_size 65536".split(" "),
  ...limit,
  ..."-f framemd5 pipe:1".split(" ")
]

interface Input {
  readonly container: string
  readonly streams: Map<number, InputStream>
  start: number
  seconds: number
}

interface InputStream {
  readonly kind: "Video" | "Audio"
  readonly fields: ReadonlyArray<string>
  /** Whether its frames have their alpha beside them. */
  alphaBeside: boolean
}

interface OutputStream {
  readonly header: Map<string, string>
  readonly presented: Array<number>
  /** When its first packet is decoded, in ticks. */
  decoded: number | undefined
  /** In ticks, all packets together. */
  total: number
  last: { presented: number; duration: number }
}

/** Makes sense of what ffmpeg prints; where pictures are decoded, the output that does stands before the list of packets. */
const makeReport = (decode: Decode) => {
  const output = decode === "packets" ? 0 : 1
  const inputs = new Map<number, Input>()
  const outputs = new Map<number, OutputStream>()
  const mapping = new Map<string, number>()
  let input: number | undefined
  let described: InputStream | undefined
  let decodedFrames: number | undefined

  const outputStream = (index: number): OutputStream => {
    const known = outputs.get(index)
    if (known !== undefined) return known
    const fresh = {
      header: new Map(),
      presented: [],
      decoded: undefined,
      total: 0,
      last: { presented: -Infinity, duration: 0 }
    }
    outputs.set(index, fresh)
    return fresh
  }

  const stderr = (line: string): void => {
    const frames = /^frame=(\d+)$/.exec(line)
    if (frames !== null && output === 1) decodedFrames = Number(frames[1])
    const text = line.startsWith("[info] ") ? line.slice(7) : line
    const opened = /^Input #(\d+), (.*?), from '/.exec(text)
    if (opened !== null) {
      input = Number(opened[1])
      inputs.set(input, { container: opened[2] ?? "", streams: new Map(), start: 0, seconds: 0 })
    } else if (/^(?:Stream mapping:|Output #)/.test(text)) {
      input = undefined
    }
    const current = input === undefined ? undefined : inputs.get(input)
    const length = /^\s*Duration: (\d+):(\d+):([\d.]+)(?:, start: (-?[\d.]+))?/.exec(text)
    if (length !== null && current !== undefined) {
      current.seconds = Number(length[1]) * 3600 + Number(length[2]) * 60 + Number(length[3])
      current.start = Number(length[4] ?? 0)
    }
    const stream = /^\s*Stream #\d+:(\d+)(?:\[[^\]]*\])?(?:\([^)]*\))?: (Video|Audio): (.*)$/.exec(text)
    if (stream !== null && current !== undefined && !text.includes("(attached pic)")) {
      const kind = stream[2] === "Video" ? "Video" : "Audio"
      described = { kind, fields: topLevelFields(stream[3] ?? ""), alphaBeside: false }
      current.streams.set(Number(stream[1]), described)
    } else if (current !== undefined && described !== undefined && /^\s+alpha_mode\s*: 1$/i.test(text)) {
      described.alphaBeside = true
    }
    const mapped = /^\s*Stream #(\d+):(\d+) -> #(\d+):(\d+)/.exec(text)
    if (mapped !== null && Number(mapped[3]) === output) mapping.set(`${mapped[1]}:${mapped[2]}`, Number(mapped[4]))
  }

  const stdout = (line: string): void => {
    const header = /^#(\w+) (\d+): *(.*)$/.exec(line) ?? /^#(extradata) (\d+), *\d+, *(\w+)/.exec(line)
    if (header !== null) {
      outputStream(Number(header[2])).header.set(header[1] ?? "", header[3] ?? "")
    } else if (!line.startsWith("#")) {
      const [index, decoded, presented, duration] = line.split(",", 4).map(Number)
      if (index === undefined || presented === undefined || duration === undefined) return
      const stream = outputStream(index)
      stream.decoded ??= decoded
      stream.presented.push(presented)
      stream.total += duration
      if (presented > stream.last.presented) stream.last = { presented, duration }
    }
  }

  const media = (index: number): Media | undefined => {
    const found = inputs.get(index)
    if (found === undefined) return undefined
    const streams = [...found.streams]
    const first = (kind: InputStream["kind"]) => {
      const entry = streams.find(([, stream]) => stream.kind === kind)
      if (entry === undefined) return undefined
      const [number, { alphaBeside, fields }] = entry
      const mapped = mapping.get(`${index}:${number}`)
      const packets = mapped === undefined ? undefined : outputs.get(mapped)
      const [numerator, denominator] = (packets?.header.get("tb") ?? "").split("/").map(Number)
      if (packets === undefined || !numerator || !denominator) return undefined
      return { number, fields, alphaBeside, packets, tick: { numerator, denominator } }
    }
    const video = first("Video")
    const audio = first("Audio")
    return {
      container: found.container,
      start: found.start,
      seconds: found.seconds,
      streams: {
        video: streams.filter(([, stream]) => stream.kind === "Video").length,
        audio: streams.filter(([, stream]) => stream.kind === "Audio").length
      },
      video: video === undefined ? undefined : videoTrack(video, decode === "full" ? decodedFrames : undefined),
      audio: audio === undefined ? undefined : audioTrack(audio)
    }
  }

  return {
    line: (stream: "stdout" | "stderr", text: string): void => (stream === "stdout" ? stdout(text) : stderr(text)),
    media,
    decodedFrames: () => decodedFrames
  }
}

interface MappedStream extends Omit<InputStream, "kind"> {
  readonly number: number
  readonly packets: OutputStream
  readonly tick: FrameGrid.TimeBase
}

const videoTrack = (stream: MappedStream, decodedFrames: number | undefined): VideoTrack => {
  const { alphaBeside, fields, number, packets, tick } = stream
  const timestamps = packets.presented.toSorted((a, b) => a - b)
  const [width = 0, height = 0] = (packets.header.get("dimensions") ?? "").split("x").map(Number)
  const claimed = fields.map((field) => /^([\d.]+) fps$/.exec(field)?.[1]).find((fps) => fps !== undefined)
  const pixelFormat = /^[a-z]\w*/.exec(fields[1] ?? "")?.[0]
  return {
    index: number,
    codec: packets.header.get("codec_id") ?? firstWord(fields[0]),
    pixelFormat:
      pixelFormat === "none" ? undefined : alphaBeside ? pixelFormat?.replace(/^yuv4/, "yuva4") : pixelFormat,
    width,
    height,
    tick,
    timestamps,
    startsClosed: packets.presented[0] === timestamps[0],
    ahead: aheadOf(packets),
    lastDuration: packets.last.duration,
    rate: FrameGrid.fromTimestamps(
      tick,
      timestamps,
      packets.last.duration,
      claimed === undefined ? undefined : Number(claimed)
    ),
    decodedFrames,
    setup: packets.header.get("extradata") ?? ""
  }
}

const aheadOf = ({ decoded, presented }: OutputStream): number => {
  const ahead = (presented[0] ?? 0) - (decoded ?? NaN)
  return Number.isNaN(ahead) ? 0 : ahead
}

const audioTrack = ({ fields, number, packets, tick }: MappedStream): AudioTrack => {
  // Encoded to PCM, a tick is one sample.
  const sampleRate = tick.denominator / tick.numerator
  return {
    index: number,
    codec: firstWord(fields[0]),
    sampleRate,
    layout: fields[2] ?? "",
    samples: packets.total,
    start: packets.presented[0] ?? 0
  }
}

const firstWord = (text: string | undefined): string => /^\S*/.exec(text ?? "")?.[0] ?? ""

// Splits at the commas that stand in no brackets: `h264 (High) (avc1 / 0x31), yuv420p(tv, bt709), 64x64 [SAR 1:1]`.
const topLevelFields = (text: string): ReadonlyArray<string> => {
  const fields: Array<string> = []
  let depth = 0
  let start = 0
  for (let at = 0; at <= text.length; at++) {
    const char = text[at]
    if (char === "(" || char === "[") depth++
    else if (char === ")" || char === "]") depth--
    else if (char === undefined || (char === "," && depth === 0)) {
      fields.push(text.slice(start, at).trim())
      start = at + 1
    }
  }
  return fields
}
