/**
 * The Promise API of this package: chunks joined with ffmpeg, for
 * `new JobManager().runJob(id, { stitcher: new FfmpegStitcher(), outputFile: "film.mp4", … })`.
 */
import type {
  OutputCheck,
  OutputRef,
  StitchContext,
  VideoStitcher,
  WorkerJob,
  WorkerResult
} from "@helios-infra/core/promise"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import * as Effect from "effect/Effect"
import * as FfmpegOutputCheck from "./FfmpegOutputCheck.ts"
import * as Ffmpeg from "./FfmpegStitcher.ts"
import * as localFiles from "./internal/localFiles.ts"
import * as stitchRequest from "./internal/stitchRequest.ts"

/** How to join and check. */
export interface FfmpegStitcherOptions {
  /** The path of ffmpeg, or a name to look for in `PATH`. Default: `FFMPEG_PATH`, else `ffmpeg-static`, else `PATH`. */
  readonly ffmpegPath?: string | undefined
  /** The ffmpeg encoder for PCM sound. Default: what the container needs. */
  readonly audioCodec?: string | undefined
  /** The bitrate of encoded sound, as ffmpeg takes it. Default: `"192k"`. */
  readonly audioBitrate?: string | undefined
  /**
   * Sound from elsewhere that is mixed with that of the chunks, once, over the whole video: files of this machine, when
   * each begins (in seconds, default 0), and how loud it is (default 1). Default: none.
   */
  readonly audioTracks?:
    | ReadonlyArray<{
        readonly path: string
        readonly startSeconds?: number | undefined
        readonly volume?: number | undefined
      }>
    | undefined
  /**
   * How to encode every chunk again, for chunks that cannot be joined as they are: ffmpeg's name of the encoder, its options,
   * and the pixel format. Default: not at all.
   */
  readonly reencode?:
    | {
        readonly codec: string
        readonly args?: ReadonlyArray<string> | undefined
        readonly pixelFormat?: string | undefined
      }
    | undefined
  /**
   * The folder for an HLS playlist (`index.m3u8`) of what is joined, or with the format `"mp4"` for a fragmented MP4
   * (`preview.mp4`), which can be played before the file is whole. Default: nowhere.
   */
  readonly preview?: { readonly folder: string; readonly format?: "hls" | "mp4" | undefined } | undefined
  /** Where to write what the joined file is made of, as JSON: chunks with their hashes, and every seam. Default: nowhere. */
  readonly manifest?: string | undefined
  /** Whether that has the SHA-256 of the joined file, which is read once more for it. Default: false. */
  readonly hashResult?: boolean | undefined
  /**
   * Whether joining begins with the first chunk, while later ones are still rendered, or when all of them are there.
   * Default: true.
   */
  readonly incremental?: boolean | undefined
  /** Whether `.mp4` and `.mov` files start with their index. Default: true. */
  readonly faststart?: boolean | undefined
  /**
   * How far the check of a chunk looks into its picture: decodes its key frames, all of it, or none. Default:
   * `"keyframes"`.
   */
  readonly decode?: "keyframes" | "full" | "packets" | undefined
  /**
   * Whether a chunk may come without sound, and be silent among others, or is rendered again. Default: `"allow"`.
   */
  readonly silentChunks?: "allow" | "reject" | undefined
}

const tracksRule: PromiseOptions.Rule = (value, name) =>
  Array.isArray(value)
    ? value
        .map((track: unknown, index) => PromiseOptions.issue(track, trackRules, `${name}[${index}]`))
        .find((issue) => issue !== undefined)
    : `${name} must be a list`

const number = PromiseOptions.must("a number from 0", (value) => Number.isFinite(value) && Number(value) >= 0)

const trackRules: PromiseOptions.Rules<NonNullable<FfmpegStitcherOptions["audioTracks"]>[number]> = {
  path: PromiseOptions.text,
  startSeconds: number,
  volume: number
}

const reencodeRules: PromiseOptions.Rules<NonNullable<FfmpegStitcherOptions["reencode"]>> = {
  codec: PromiseOptions.text,
  args: PromiseOptions.texts,
  pixelFormat: PromiseOptions.text
}

const previewRules: PromiseOptions.Rules<NonNullable<FfmpegStitcherOptions["preview"]>> = {
  folder: PromiseOptions.text,
  format: PromiseOptions.oneOf("hls", "mp4")
}

const rules: PromiseOptions.Rules<FfmpegStitcherOptions> = {
  ffmpegPath: PromiseOptions.text,
  audioCodec: PromiseOptions.text,
  audioBitrate: PromiseOptions.text,
  audioTracks: tracksRule,
  reencode: (value, name) => PromiseOptions.issue(value, reencodeRules, name),
  preview: (value, name) => PromiseOptions.issue(value, previewRules, name),
  manifest: PromiseOptions.text,
  hashResult: PromiseOptions.flag,
  incremental: PromiseOptions.flag,
  faststart: PromiseOptions.flag,
  decode: PromiseOptions.oneOf("keyframes", "full", "packets"),
  silentChunks: PromiseOptions.oneOf("allow", "reject")
}

/**
 * Joins chunks with ffmpeg, while later ones are still rendered, video never encoded again; checks every chunk before it
 * counts.
 */
export class FfmpegStitcher implements VideoStitcher {
  /** Reads a chunk: every frame there, at the size, rate and format of the job, its key frames decoded. */
  readonly outputCheck: OutputCheck
  readonly #options: FfmpegStitcherOptions

  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(options: FfmpegStitcherOptions = {}) {
    PromiseOptions.check("FfmpegStitcher", options, rules)
    this.#options = options
    PromiseBacking.backStitcher(this, FfmpegStitcher.prototype, Ffmpeg.layer(options))
    const checking = Effect.provide(FfmpegOutputCheck.make(options), localFiles.layer)
    this.outputCheck = {
      check: (job: WorkerJob, result: WorkerResult, { signal }: { readonly signal: AbortSignal }): Promise<OutputRef> =>
        PromiseBacking.run(
          Effect.flatMap(checking, ({ check }) => check(job, result)),
          signal
        )
    }
  }

  /**
   * Joins local files, in the order given. Used by itself, without a context, it takes the frames of each file as it finds
   * them, and the rate of the first. Rejects with a `StitchError`.
   */
  stitch(inputs: ReadonlyArray<string>, output: string, context: Partial<StitchContext> = {}): Promise<WorkerResult> {
    const options = this.#options
    const stitching = Effect.gen(function* () {
      const request = yield* stitchRequest.make(inputs, output, context, options)
      const stitcher = yield* Ffmpeg.make(options)
      const { bytes, durationMs, frames, outputFile } = yield* stitcher.stitch(request)
      const found = { location: outputFile, bytes, frames }
      return { exitCode: 0, stdout: "", stderr: "", outputFile, durationMs, output: found }
    })
    return PromiseBacking.run(Effect.provide(stitching, localFiles.layer), context.signal)
  }
}
