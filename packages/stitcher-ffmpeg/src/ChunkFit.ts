/**
 * What a chunk must be whatever is done with it: all of its frames, on the grid of its rate, with as much sound as
 * picture. It compares no chunk with another one.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import * as Option from "effect/Option"
import * as FrameGrid from "./FrameGrid.ts"
import type * as MediaProbe from "./MediaProbe.ts"

/** What a chunk should be and is not, in words. */
export interface Misfit {
  readonly expected: string
  readonly found: string
}

/** How far apart sound and picture can be, in seconds, and still count as together. */
export const maxDrift = 0.001

/** How far from its frames the length of encoded sound can be, in samples: its blocks, and what encoders put before. */
const encodedSlack = 4096

/** {@link encodedSlack}, and a frame. */
export const slackOf = (rate: FrameRate.FrameRate, { sampleRate }: Pick<MediaProbe.AudioTrack, "sampleRate">): number =>
  encodedSlack + FrameGrid.unitsOf(rate, 1, sampleRate)

/** Whether the sound is plain samples, which can be cut and joined anywhere. */
export const isPcm = (audio: MediaProbe.AudioTrack): boolean => audio.codec.startsWith("pcm_")

/**
 * The first thing that does not fit, or `undefined`. `rate` is what the job asks for; without one, any constant rate will
 * do.
 */
export const misfit = (
  media: MediaProbe.Media,
  frameCount: number,
  rate: Option.Option<FrameRate.FrameRate>
): Misfit | undefined => {
  const { audio, streams, video } = media
  if (video === undefined) return { expected: "a video stream", found: "none" }
  if (streams.video > 1 || streams.audio > 1) {
    return {
      expected: "one video stream, and one audio stream at most",
      found: `${streams.video} video and ${streams.audio} audio streams`
    }
  }
  const frames = video.timestamps.length
  if (frames !== frameCount) return { expected: `${frameCount} frames`, found: `${frames} frames` }
  if (video.decodedFrames !== undefined && video.decodedFrames !== frameCount) {
    return { expected: `${frameCount} frames`, found: `${video.decodedFrames} frames that can be decoded` }
  }
  const open = openGop(video)
  if (open !== undefined) return open
  const kept = Option.isNone(rate) ? video.rate : Option.filter(rate, (asked) => keeps(video, asked))
  if (Option.isNone(kept)) {
    const expected = Option.match(rate, {
      onNone: () => "a constant frame rate",
      onSome: (asked) => `${FrameRate.format(asked)} frames per second`
    })
    return { expected, found: describeRate(video) }
  }
  return audio === undefined ? undefined : soundMisfit(video, audio, frameCount, kept.value)
}

/** That a video begins with frames that need what was before it; `undefined` where it does not. */
export const openGop = (video: MediaProbe.VideoTrack): Misfit | undefined =>
  video.startsClosed
    ? undefined
    : {
        expected: "a chunk that decodes by itself",
        found:
          "one that begins with frames of an open GOP: render chunks with closed GOPs (x264: open-gop=0), and do not cut them out of a longer video"
      }

const keeps = (video: MediaProbe.VideoTrack, rate: FrameRate.FrameRate): boolean => {
  if (video.codec === "gif" && isSteady(video, rate)) return true
  if (FrameGrid.firstOffGrid(rate, video.tick, video.timestamps) !== undefined) return false
  // A single frame has no grid, only a length.
  const length =
    (video.lastDuration * video.tick.numerator * rate.numerator) / (video.tick.denominator * rate.denominator)
  return video.timestamps.length > 1 || video.lastDuration === 0 || Math.abs(length - 1) < 0.05
}

/**
 * Whether every frame of a `.gif` is shown for the hundredths of a second that are nearest to a frame's length: what writers
 * do that do not even out the rounding, so that 30 frames take 0.9 s. When it is encoded, each gets its place. How long the
 * last one is shown, writers have to guess.
 */
const isSteady = ({ tick, timestamps }: MediaProbe.VideoTrack, rate: FrameRate.FrameRate): boolean => {
  const delay = Math.round(FrameGrid.unitsOf(rate, 1, tick.denominator) / tick.numerator)
  return timestamps.every((at, frame) => frame === 0 || at - (timestamps[frame - 1] ?? 0) === delay)
}

const describeRate = (video: MediaProbe.VideoTrack): string =>
  Option.match(video.rate, {
    onNone: () => "a variable frame rate",
    onSome: (rate) => `${FrameRate.format(rate)} frames per second`
  })

const soundMisfit = (
  video: MediaProbe.VideoTrack,
  audio: MediaProbe.AudioTrack,
  frameCount: number,
  rate: FrameRate.FrameRate
): Misfit | undefined => {
  const exact = FrameGrid.unitsOf(rate, frameCount, audio.sampleRate)
  const found = `${audio.samples} samples of sound`
  if (!isPcm(audio)) {
    return Math.abs(audio.samples - exact) <= slackOf(rate, audio)
      ? undefined
      : { expected: `about ${Math.round(exact)} samples of sound for ${frameCount} frames`, found }
  }
  if (Math.abs(audio.samples - exact) >= 1) {
    const whole = Number.isInteger(exact) ? `${exact}` : `${Math.floor(exact)} or ${Math.ceil(exact)}`
    return { expected: `${whole} samples of sound for ${frameCount} frames`, found }
  }
  const picture = ((video.timestamps[0] ?? 0) * video.tick.numerator) / video.tick.denominator
  const late = audio.start / audio.sampleRate - picture
  return Math.abs(late) <= maxDrift
    ? undefined
    : {
        expected: "sound and picture that start together",
        found: `sound that starts ${Math.abs(late * 1000).toFixed(1)} ms ${late > 0 ? "later" : "earlier"}`
      }
}
