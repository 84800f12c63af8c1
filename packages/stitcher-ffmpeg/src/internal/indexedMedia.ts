/** What `MediaProbe` would read of a whole file, from its header and its index. */
import * as Option from "effect/Option"
import * as FrameGrid from "../FrameGrid.ts"
import type * as MatroskaIndex from "../MatroskaIndex.ts"
import type * as MediaProbe from "../MediaProbe.ts"

/** What an index says of a stream. */
export interface Track extends Pick<MatroskaIndex.Track, "kind" | "lastDuration" | "tick" | "timestamps"> {
  readonly startsClosed?: boolean
  /** How much sound there is: in samples, or in ticks. */
  readonly samples?: number | undefined
  readonly length?: number
}

/** The header, which is that of the first frame, with all that the index has; `undefined` where that has not enough. */
export const make = (header: MediaProbe.Media, tracks: ReadonlyArray<Track>): MediaProbe.Media | undefined => {
  const picture = tracks.find(({ kind }) => kind === "Video")
  const sound = tracks.find(({ kind }) => kind === "Audio")
  const { audio, video } = header
  const samples =
    audio === undefined || sound?.length === undefined
      ? sound?.samples
      : (sound.length * audio.sampleRate) / sound.tick.denominator
  if ((audio !== undefined && samples === undefined) || (video !== undefined && picture === undefined)) return undefined
  // Where its first frame is, only the header's own says.
  if (video?.timestamps.length === 0) return undefined
  return {
    ...header,
    video: video && picture && videoOf(video, picture),
    audio: audio && samples !== undefined ? { ...audio, samples } : undefined
  }
}

const videoOf = (
  video: MediaProbe.VideoTrack,
  { lastDuration, startsClosed = video.startsClosed, tick, timestamps }: Track
): MediaProbe.VideoTrack => {
  // The index has a frame's place among the others; where the first is beside the sound, only the header says.
  const late = (video.timestamps[0] ?? 0) - (timestamps[0] ?? 0)
  const shown = timestamps.map((at) => at + late)
  const claimed = Option.getOrUndefined(Option.map(video.rate, ({ denominator, numerator }) => numerator / denominator))
  return {
    ...video,
    tick,
    timestamps: shown,
    startsClosed,
    lastDuration,
    rate: FrameGrid.fromTimestamps(tick, shown, lastDuration, claimed)
  }
}
