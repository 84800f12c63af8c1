/**
 * Encodes chunks again, each as it lands, so that they fit together: for chunks of several encoders, with rounded timestamps or
 * other time bases, which cannot be joined as they are.
 *
 * It costs the time of an encode, while later chunks are rendered, and some quality, and the room for all chunks once more.
 * Their size, frames and rate stay what they are, and must fit as ever.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import { ChunkInvalid, StitchError, ToolMissing } from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as Ffmpeg from "./Ffmpeg.ts"
import { checkRoom, toolBroken } from "./internal/stitchFailure.ts"

/** How to encode. */
export interface Reencode {
  /** ffmpeg's name of the encoder: `"libx264"`. */
  readonly codec: string
  /** Its options, as ffmpeg takes them: `["-crf", "16", "-preset", "fast"]`. */
  readonly args?: ReadonlyArray<string> | undefined
  /** ffmpeg's name of the pixel format. Default: that of the chunk, or what the encoder has that is nearest. */
  readonly pixelFormat?: string | undefined
}

/** A chunk to encode. */
export interface Source {
  readonly chunkId: number
  /** ffmpeg's options that open it, `-i` and its name included. */
  readonly input: ReadonlyArray<string>
  /** The file to make, without its extension. */
  readonly name: string
  /** The final file, beside which that is made. */
  readonly output: string
  readonly frameCount: number
  readonly rate: FrameRate.FrameRate
  /** How many samples of sound it is to have; none for a silent one. */
  readonly samples: number | undefined
}

/** What to say where it would help. */
export const hint = "or have them encoded again, with the option reencode"

/** Without loss, for pictures that are drawn again after it: of a `.gif`, which can be joined in no other way. */
export const lossless: Reencode = { codec: "png" }

/** Encodes a chunk, with plain sound; gives the new file. Fails with `ChunkInvalid` where it does not decode, with `ToolMissing` where there is no such encoder, with `OutputUnwritable` where there is no room. */
export const run = Effect.fn("Reencode.run")(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  { chunkId, frameCount, input, name, output, rate, samples }: Source,
  { args = [], codec, pixelFormat }: Reencode
): Effect.fn.Return<string, StitchError> {
  // Matroska counts milliseconds, and takes what .mov does not.
  const isMov = !codec.startsWith("libvpx")
  const encoded = `${name}.${isMov ? "mov" : "mkv"}`
  const once = yield* Ffmpeg.eachFrameOnce(ffmpeg).pipe(Effect.catchTag("ProcessError", toolBroken))
  const ended = yield* ffmpeg
    .run([
      ...input,
      ..."-map 0:V:0".split(" "),
      // Frames are where their number puts them: that there are all of them, the check of the chunk will say.
      "-vf",
      `settb=${rate.denominator}/${rate.numerator},setpts=N`,
      // Not doubled either, for a length that says otherwise.
      ...once,
      "-r",
      FrameRate.format(rate),
      "-c:v",
      codec,
      ...(pixelFormat === undefined ? [] : ["-pix_fmt", pixelFormat]),
      ...args,
      ...(isMov ? ["-video_track_timescale", String(rate.numerator)] : []),
      ...(samples === undefined
        ? []
        : [..."-map 0:a:0 -c:a pcm_s24le -af".split(" "), `apad=whole_len=${samples},atrim=end_sample=${samples}`]),
      Ffmpeg.fileUrl(encoded)
    ])
    .pipe(Effect.catchTag("ProcessError", toolBroken))
  yield* checkRoom(output, ended)
  if (ended.exitCode === 0 && ended.errors.length === 0) return encoded
  const lacking = yield* Ffmpeg.lacking(ffmpeg, ended).pipe(Effect.catchTag("ProcessError", toolBroken))
  if (lacking !== undefined) return yield* new StitchError({ reason: new ToolMissing({ fix: lacking }) })
  const reason = new ChunkInvalid({
    expected: `${frameCount} frames that decode, to be encoded with ${codec}`,
    found: Ffmpeg.describe(ended)
  })
  return yield* new StitchError({ chunkId, reason })
})
