/**
 * The sound of a joined file: where its samples come from, and how many there are.
 *
 * Chunks of plain samples that add up are read by ffmpeg one after the other (`joined`). Whatever else there is (encoded
 * sound, chunks that are each rounded to whole samples, chunks without any) is cut or filled to the samples of its frames
 * first, and handed to ffmpeg as one stream (`assembled`). Both are encoded once, so that there is no seam. Only a video of
 * one chunk keeps its encoded sound as it is (`copied`). Tracks from elsewhere are mixed into it, or are all there is to hear
 * (`tracks`).
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import * as AudioTracks from "./AudioTracks.ts"
import * as ChunkFit from "./ChunkFit.ts"
import * as FrameGrid from "./FrameGrid.ts"
import type * as MediaProbe from "./MediaProbe.ts"

/** How sound is encoded. */
export interface Options {
  /**
   * The ffmpeg encoder for sound. Default: what the container needs, `aac` for `.mp4` and `libopus` for `.webm`; `.mov` and
   * `.mkv` keep the chunks' PCM, or are encoded as the chunks are.
   */
  readonly audioCodec?: string | undefined
  /** The bitrate of encoded sound, as ffmpeg takes it. Default: `"192k"`. */
  readonly audioBitrate?: string | undefined
  /** Sound from elsewhere that is mixed with that of the chunks, once, over the whole video. Default: none. */
  readonly audioTracks?: ReadonlyArray<AudioTracks.AudioTrack> | undefined
}

/** The video that it is the sound of. */
export interface Video {
  readonly container: { readonly extension: string; readonly audioCodec?: string }
  readonly rate: FrameRate.FrameRate
  readonly frames: number
  /** How many frames each chunk has, in frame order. */
  readonly frameCounts: ReadonlyArray<number>
  readonly options: Options | undefined
}

/** How the sound is made. */
export interface JoinedSound {
  readonly from: "copied" | "joined" | "assembled" | "tracks"
  /** The sound of the first chunk that has any: what the others must be like. Where none has, what tracks are made like. */
  readonly track: MediaProbe.AudioTrack
  /** What is mixed with it. */
  readonly tracks: ReadonlyArray<AudioTracks.AudioTrack>
  /** ffmpeg's name of the encoder, or `"copy"`. */
  readonly codec: string
  readonly bitrate: string | undefined
  /** How many samples it should have, and how many more it can have: as many fewer, where it is copied. */
  readonly samples: number
  readonly tolerance: number
  /** How many samples can be before the first of them, which is heard with the first frame. */
  readonly delay: number
}

/** The sound of chunks that all have some, like the first one, or none; `undefined` where there is nothing to hear. */
export const of = (video: Video, track: MediaProbe.AudioTrack | undefined): JoinedSound | undefined => {
  const { frameCounts, options } = video
  const tracks = options?.audioTracks ?? []
  if (track === undefined) {
    return tracks.length === 0 ? undefined : { ...assembled(video, silence), from: "tracks" }
  }
  if (ChunkFit.isPcm(track)) return { ...assembled(video, track), from: "joined" }
  if (frameCounts.length > 1) return assembled(video, track)
  const made = assembled(video, track)
  return tracks.length > 0
    ? { ...made, from: "joined" }
    : {
        ...made,
        from: "copied",
        codec: "copy",
        bitrate: undefined,
        tolerance: Math.ceil(ChunkFit.slackOf(video.rate, track))
      }
}

/** What tracks are made like where no chunk has sound. */
const silence: MediaProbe.AudioTrack = {
  index: 0,
  codec: "pcm_s16le",
  sampleRate: 48_000,
  layout: "stereo",
  samples: 0,
  start: 0
}

/** The sound of chunks that do not all have some, or whose sound must be cut. */
export const assembled = ({ container, frames, options, rate }: Video, track: MediaProbe.AudioTrack): JoinedSound => {
  const own = ChunkFit.isPcm(track) ? track.codec : (encoders[track.codec] ?? "pcm_s16le")
  const codec = options?.audioCodec ?? container.audioCodec ?? own
  const isPlain = codec.startsWith("pcm_")
  const isMatroska = container.extension === "mkv" || container.extension === "webm"
  const delay = isMatroska && !isPlain ? (delayOf[codec] ?? largestDelay) : 0
  return {
    from: "assembled",
    track,
    tracks: options?.audioTracks ?? [],
    codec,
    bitrate: isPlain ? undefined : (options?.audioBitrate ?? "192k"),
    samples: FrameRate.samples(frames, rate, track.sampleRate),
    tolerance: isPlain ? 0 : (blockOf[codec] ?? largestBlock) + delay,
    delay
  }
}

/**
 * Why encoded sound of a chunk among others cannot be cut to its frames, in words; `undefined` where it can. Encoders put
 * silence in front, which the file has to declare: where it does not, what decodes is a block longer than the picture. Where
 * sound ends early, nothing can be put in its place; behind the last chunk (`isLast`) there is no seam at which that is heard.
 */
export const refusal = (
  { rate }: Pick<Video, "rate">,
  track: MediaProbe.AudioTrack,
  frames: number,
  isLast: boolean
): string | undefined => {
  if (ChunkFit.isPcm(track)) return undefined
  const over = track.samples - FrameGrid.unitsOf(rate, frames, track.sampleRate)
  const most = declared[track.codec]
  const missing = -over / track.sampleRate
  if (most !== undefined && over < most) {
    return isLast || missing <= longestGap
      ? undefined
      : `their ${track.codec} sound ends ${(missing * 1000).toFixed(1)} ms before the picture, which would be heard at every seam: render as much of both (ffmpeg: -t with the chunk's length as an option of the output; -frames:v cuts the last block of the sound off)`
  }
  return `their ${track.codec} sound does not say where it begins${most === undefined ? "" : ", or is longer than the picture"}, and would click at every seam: render chunks with PCM sound (-c:a pcm_s16le, as .mov or .mkv), or with AAC as .mp4 or .mov that is not fragmented`
}

/** The longest silence that is put behind a chunk's encoded sound, in seconds: a fifth of the 10 ms that loudness is heard in. */
const longestGap = 0.002

/** Codecs of which files declare what is before the first sample, and how many samples can be over at the end all the same. */
const declared: Readonly<Record<string, number>> = { aac: 1024, alac: 4096, flac: 4608, opus: 2880, vorbis: 4096 }

/** The sample with which a frame begins: the nearest, as a renderer would take it. */
export const sampleAt = ({ rate }: Pick<Video, "rate">, track: MediaProbe.AudioTrack, frame: number): number =>
  Math.round(FrameGrid.unitsOf(rate, frame, track.sampleRate))

/** ffmpeg's options for the sound, to stand before the output's name; `preview` says whether there is one beside it. */
export const outputArgs = (sound: JoinedSound, preview: boolean): ReadonlyArray<string> => {
  const { bitrate, codec, from, tracks } = sound
  const encoder = ["-c:a", codec, ...(bitrate === undefined ? [] : ["-b:a", bitrate])]
  if (from === "copied") return ["-map", streamOf(sound), ...encoder]
  if (tracks.length > 0) return ["-filter_complex", mixOf(sound, preview), "-map", "[mixed]", ...encoder]
  return ["-map", streamOf(sound), ...encoder, "-af", exact(sound)]
}

/** The same for a preview, whose sound is AAC. */
export const previewArgs = (sound: JoinedSound): ReadonlyArray<string> => {
  const { from, track, tracks } = sound
  const encoder = "-c:a aac -b:a 192k".split(" ")
  if (from === "copied") return ["-map", streamOf(sound), ...(track.codec === "aac" ? ["-c:a", "copy"] : encoder)]
  if (tracks.length > 0) return ["-map", "[preview]", ...encoder]
  return ["-map", streamOf(sound), ...encoder, "-af", exact(sound)]
}

const streamOf = ({ from, track }: JoinedSound): string => (from === "assembled" ? "1:0" : `0:${track.index}`)

// Timestamps from the count of samples: at a seam, the chunks' own may be off by the rounding of one. A single chunk can have
// the part of a sample too much or too little.
const exact = ({ samples }: JoinedSound): string =>
  ["asetpts=N/SR/TB", `apad=whole_len=${samples}`, `atrim=end_sample=${samples}`].join(",")

const mixOf = (sound: JoinedSound, preview: boolean): string => {
  const { from, samples, track, tracks } = sound
  const { layout, sampleRate } = track
  const stream = from === "tracks" ? undefined : streamOf(sound)
  const bed = { stream, sampleRate, layout, channels: channelsOf(track), samples }
  return AudioTracks.mix(bed, tracks, from === "assembled" ? 2 : 1, preview)
}

/** How many packets it takes at most, in a file of so many chunks. */
export const packets = ({ codec, samples }: JoinedSound, chunks: number): number =>
  Math.ceil(samples / (packetOf[codec] ?? smallestPacket)) + 2 * chunks + 8

/** How many channels a layout has, by ffmpeg's name of it. */
export const channelsOf = ({ layout }: MediaProbe.AudioTrack): number => {
  const counted = /^(\d+) channels/.exec(layout)?.[1]
  if (counted !== undefined) return Number(counted)
  const known: Readonly<Record<string, number>> = {
    mono: 1,
    stereo: 2,
    downmix: 2,
    quad: 4,
    hexagonal: 6,
    octagonal: 8
  }
  // `5.1(side)` has six: what stands on both sides of the points, added up.
  const [name = ""] = layout.split("(")
  return known[name] ?? name.split(".").reduce((sum, count) => sum + (Number(count) || 0), 0)
}

/** The encoders for sound that the container can keep as the chunks have it. */
const encoders: Readonly<Record<string, string>> = {
  aac: "aac",
  alac: "alac",
  flac: "flac",
  mp3: "libmp3lame",
  opus: "libopus",
  vorbis: "libvorbis"
}

/** The samples that an encoder's last block can have over, for the codecs that it is known of. */
const blockOf: Readonly<Record<string, number>> = { aac: 1024, flac: 0, alac: 0 }
const largestBlock = 4096

/** What encoders put before the first sample, which Matroska moves the picture for, and old builds do not declare there. */
const delayOf: Readonly<Record<string, number>> = {
  aac: 1024,
  alac: 0,
  flac: 0,
  libmp3lame: 1105,
  libopus: 312,
  libvorbis: 128
}
/** The most of those that are not known here: macOS's AAC has 2112. */
const largestDelay = 2112

/** How many samples a packet has, for the codecs that it is known of. */
const packetOf: Readonly<Record<string, number>> = { aac: 1024, copy: 1024, libmp3lame: 1152 }
const smallestPacket = 256
