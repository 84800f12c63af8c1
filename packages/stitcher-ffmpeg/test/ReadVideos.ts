/**
 * What `MediaProbe` would have read of videos that were never made: 30 frames per second of 64x64 H.264, as `.mp4` counts
 * time, unless said otherwise.
 */
import type { ChunkOutput } from "@helios-infra/core/VideoStitcher"
import type * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import { Option } from "effect"

const ticksPerFrame = 512

/** The times of frames, in ticks. */
export const grid = (frames: number, ticks = ticksPerFrame): ReadonlyArray<number> =>
  Array.from({ length: frames }, (_, frame) => frame * ticks)

/** A video; without `sound`, a silent one. */
export const media = (
  from: {
    readonly frames?: number
    readonly video?: Partial<MediaProbe.VideoTrack>
    readonly sound?: Partial<MediaProbe.AudioTrack>
    readonly seconds?: number
  } = {}
): MediaProbe.Media => {
  const { frames = 30, sound } = from
  return {
    container: "mov,mp4,m4a,3gp,3g2,mj2",
    start: 0,
    seconds: from.seconds ?? frames / 30,
    streams: { video: 1, audio: sound === undefined ? 0 : 1 },
    video: {
      index: 0,
      codec: "h264",
      pixelFormat: "yuv420p",
      width: 64,
      height: 64,
      tick: { numerator: 1, denominator: 30 * ticksPerFrame },
      timestamps: grid(frames),
      startsClosed: true,
      ahead: 0,
      lastDuration: ticksPerFrame,
      rate: Option.some({ numerator: 30, denominator: 1 }),
      decodedFrames: undefined,
      setup: "",
      ...from.video
    },
    audio:
      sound === undefined
        ? undefined
        : {
            index: 1,
            codec: "pcm_s16le",
            sampleRate: 48_000,
            layout: "stereo",
            samples: frames * 1600,
            start: 0,
            ...sound
          }
  }
}

/** The output of a chunk; ids are 10, 11, ... so that they cannot be taken for positions. */
export const output = (index: number, frameCount: number): ChunkOutput => ({
  index,
  chunkId: 10 + index,
  attempt: 1,
  frameCount,
  location: `/chunks/${index}.mov`,
  bytes: 1
})
