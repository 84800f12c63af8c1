/**
 * What this package offers to configurations: `{ "type": "ffmpeg", "audioBitrate": "256k" }`.
 *
 * The stitcher brings its check of chunks along: what one ffmpeg will have to join, the same ffmpeg looks into first.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import type { Workspace } from "@helios-infra/core/Workspace"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as FfmpegOutputCheck from "./FfmpegOutputCheck.ts"
import * as FfmpegStitcher from "./FfmpegStitcher.ts"

/** The options of {@link stitcher}: `FfmpegStitcher.Options`, and `decode` and `silentChunks` of `FfmpegOutputCheck.Options`. */
export const StitcherConfig = Schema.Struct({
  ffmpegPath: Schema.optionalKey(Schema.NonEmptyString),
  audioCodec: Schema.optionalKey(Schema.NonEmptyString),
  audioBitrate: Schema.optionalKey(Schema.NonEmptyString),
  audioTracks: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        path: Schema.NonEmptyString,
        startSeconds: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
        volume: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)))
      })
    )
  ),
  manifest: Schema.optionalKey(Schema.NonEmptyString),
  hashResult: Schema.optionalKey(Schema.Boolean),
  reencode: Schema.optionalKey(
    Schema.Struct({
      codec: Schema.NonEmptyString,
      args: Schema.optionalKey(Schema.Array(Schema.String)),
      pixelFormat: Schema.optionalKey(Schema.NonEmptyString)
    })
  ),
  preview: Schema.optionalKey(
    Schema.Struct({
      folder: Schema.NonEmptyString,
      format: Schema.optionalKey(Schema.Literals(["hls", "mp4"]))
    })
  ),
  incremental: Schema.optionalKey(Schema.Boolean),
  faststart: Schema.optionalKey(Schema.Boolean),
  decode: Schema.optionalKey(Schema.Literals(["keyframes", "full", "packets"])),
  silentChunks: Schema.optionalKey(Schema.Literals(["allow", "reject"]))
})

/** Joins chunks with ffmpeg, and checks them with it. */
export const stitcher: Plugin.Plugin<"stitcher", typeof StitcherConfig, never, Workspace> = Plugin.definePlugin({
  kind: "stitcher",
  type: "ffmpeg",
  apiVersion: 1,
  config: StitcherConfig,
  layer: ({ decode, silentChunks, ...options }) =>
    Layer.merge(
      FfmpegStitcher.layer(options),
      FfmpegOutputCheck.layer({ ffmpegPath: options.ffmpegPath, decode, silentChunks })
    )
})
