/**
 * What this package offers to configurations: `{ "type": "ffmpeg", "audioBitrate": "256k" }` joins chunks,
 * `{ "type": "ffmpeg", "decode": "full" }` checks them.
 *
 * The stitcher brings its check of chunks along: what one ffmpeg will have to join, the same ffmpeg looks into first. The
 * check alone is for jobs that something else joins.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import type { Workspace } from "@helios-infra/core/Workspace"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as FfmpegOutputCheck from "./FfmpegOutputCheck.ts"
import * as FfmpegStitcher from "./FfmpegStitcher.ts"

const fromZero = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

const ffmpegPath = Schema.optionalKey(Schema.NonEmptyString).annotateKey({
  description:
    "The absolute path of ffmpeg, or a name to look for in PATH. Default: FFMPEG_PATH, else ffmpeg-static, else PATH."
})

const decode = Schema.optionalKey(Schema.Literals(["keyframes", "full", "packets"])).annotateKey({
  description:
    "How far the check of a chunk looks into its picture: decodes its key frames, all of it, or none. Default: keyframes."
})

const silentChunks = Schema.optionalKey(Schema.Literals(["allow", "reject"])).annotateKey({
  description: "Whether the check lets a chunk come without sound, or has it rendered again. Default: allow."
})

/** The options of {@link stitcher}: `FfmpegStitcher.Options`, and `decode` and `silentChunks` of `FfmpegOutputCheck.Options`. */
export const StitcherConfig = Schema.Struct({
  ffmpegPath,
  audioCodec: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The ffmpeg encoder for PCM sound. Default: what the container needs."
  }),
  audioBitrate: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The bitrate of encoded sound, as ffmpeg takes it. Default: 192k."
  }),
  audioTracks: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        path: Plugin.FilePath.annotateKey({ description: "A file of this machine." }),
        startSeconds: Schema.optionalKey(fromZero).annotateKey({ description: "When it begins. Default: 0." }),
        volume: Schema.optionalKey(fromZero).annotateKey({ description: "How loud it is. Default: 1." })
      })
    )
  ).annotateKey({
    description:
      "Sound from elsewhere that is mixed with that of the chunks, once, over the whole video. Default: none."
  }),
  manifest: Schema.optionalKey(Plugin.FilePath).annotateKey({
    description:
      "Where to write what the joined file is made of, as JSON: chunks with their hashes, and every seam. Default: nowhere."
  }),
  hashResult: Schema.optionalKey(Schema.Boolean).annotateKey({
    description:
      "Whether the manifest has the SHA-256 of the joined file, which is read once more for it. Default: false."
  }),
  reencode: Schema.optionalKey(
    Schema.Struct({
      codec: Schema.NonEmptyString.annotateKey({ description: "The encoder's name in ffmpeg." }),
      args: Schema.optionalKey(Schema.Array(Schema.String)).annotateKey({ description: "Options of the encoder." }),
      pixelFormat: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
        description: "The pixel format. Default: that of the chunks."
      })
    })
  ).annotateKey({
    description: "How to encode every chunk again, for chunks that cannot be joined as they are. Default: not at all."
  }),
  preview: Schema.optionalKey(
    Schema.Struct({
      folder: Plugin.FilePath.annotateKey({ description: "The folder of the playlist or the movie." }),
      format: Schema.optionalKey(Schema.Literals(["hls", "mp4"])).annotateKey({
        description: "An HLS playlist (index.m3u8), or one fragmented MP4 (preview.mp4). Default: hls."
      })
    })
  ).annotateKey({
    description: "What is joined so far, which can be played before the file is whole. Default: none."
  }),
  incremental: Schema.optionalKey(Schema.Boolean).annotateKey({
    description:
      "Whether joining begins with the first chunk, while later ones are still rendered, or when all of them are there. Default: true."
  }),
  faststart: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "Whether .mp4 and .mov files start with their index. Default: true."
  }),
  decode,
  silentChunks
})

/** Joins chunks with ffmpeg, and checks them with it. */
export const stitcher: Plugin.Plugin<"stitcher", typeof StitcherConfig, never, Workspace, "ffmpeg"> =
  Plugin.definePlugin({
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

/** The options of {@link outputCheck}: `FfmpegOutputCheck.Options`. */
export const OutputCheckConfig = Schema.Struct({ ffmpegPath, decode, silentChunks })

/** Checks chunks with ffmpeg, whatever joins them. */
export const outputCheck: Plugin.Plugin<"outputCheck", typeof OutputCheckConfig, never, Workspace, "ffmpeg"> =
  Plugin.definePlugin({
    kind: "outputCheck",
    type: "ffmpeg",
    apiVersion: 1,
    config: OutputCheckConfig,
    layer: FfmpegOutputCheck.layer
  })
