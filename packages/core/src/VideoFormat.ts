/**
 * What is known of a chunk's picture and sound, so that chunks can be compared before they are joined.
 *
 * A key that is absent is not known and is not compared. This module reads no files: implementations of `OutputCheck`
 * fill a `VideoFormat` in, the scheduler compares it.
 */
import * as Schema from "effect/Schema"

/** The picture and sound of one chunk, as far as they are known. */
export const VideoFormat = Schema.Struct({
  /** Picture width in pixels. */
  width: Schema.optionalKey(Schema.Int),
  /** Picture height in pixels. */
  height: Schema.optionalKey(Schema.Int),
  /** Frames per second as a whole number or a fraction: `"30"`, `"30000/1001"`. */
  fps: Schema.optionalKey(Schema.String),
  /** The video codec's name as ffmpeg gives it: `"h264"`. */
  codec: Schema.optionalKey(Schema.String),
  /** The pixel format's name as ffmpeg gives it: `"yuv420p"`. */
  pixelFormat: Schema.optionalKey(Schema.String),
  /** Codec, sample rate in Hz and channel layout of the sound: `"pcm_s16le 48000 stereo"`; `"none"` for a silent file. */
  audio: Schema.optionalKey(Schema.String)
})

/** The type of {@link VideoFormat}. */
export type VideoFormat = typeof VideoFormat.Type

const keys = ["width", "height", "fps", "codec", "pixelFormat", "audio"] as const

/**
 * Says where two formats differ, in words, or gives `undefined` when everything that both of them know agrees.
 *
 * ```ts
 * import * as VideoFormat from "@helios-infra/core/VideoFormat"
 *
 * VideoFormat.difference({ width: 1280, fps: "30" }, { width: 640, fps: "30" })
 * // => { expected: "width 1280", found: "width 640" }
 * ```
 */
export const difference = (
  expected: VideoFormat,
  found: VideoFormat
): { readonly expected: string; readonly found: string } | undefined => {
  const differing = keys.filter(
    (key) => expected[key] !== undefined && found[key] !== undefined && expected[key] !== found[key]
  )
  if (differing.length === 0) return undefined
  const describe = (format: VideoFormat) => differing.map((key) => `${key} ${format[key]}`).join(", ")
  return { expected: describe(expected), found: describe(found) }
}

/** Fills what `known` does not know from `more`; what `known` knows stays. */
export const complete = (known: VideoFormat, more: VideoFormat): VideoFormat => ({ ...more, ...known })
