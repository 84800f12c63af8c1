/**
 * Joins chunks with ffmpeg: the picture packet by packet, never encoded again; the sound as one stream.
 *
 * ```
 * chunks ─probe, compare─▶ list of links ─concat demuxer─┬─ video: copied ─────────────▶ a file of its own ─probe─▶ renamed
 *                                                        └─ PCM audio: one encoder run ─┘
 * ```
 *
 * ffmpeg's own joining succeeds on missing frames, other picture sizes, other time bases and truncated files. So what
 * goes in is read and compared first, and what comes out is counted, frame by frame, before it gets its name. Chunks are
 * read when the last one is there, not while others are still rendered.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import * as VideoFormat from "@helios-infra/core/VideoFormat"
import {
  CannotJoin,
  checkCounts,
  type ChunkOutput,
  ChunkInvalid,
  OutputUnwritable,
  ResultInvalid,
  StitchError,
  type StitchReason,
  type StitchRequest,
  type StitchResult,
  ToolFailed,
  ToolMissing,
  VideoStitcher
} from "@helios-infra/core/VideoStitcher"
import * as Workspace from "@helios-infra/core/Workspace"
import type { ProcessError } from "@helios-infra/process/ProcessError"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as ChunkFit from "./ChunkFit.ts"
import * as Ffmpeg from "./Ffmpeg.ts"
import * as FrameGrid from "./FrameGrid.ts"
import * as MediaProbe from "./MediaProbe.ts"

/** How to join. */
export interface Options extends Ffmpeg.Options {
  /**
   * The ffmpeg encoder for PCM sound. Default: what the container needs, `aac` for `.mp4` and `libopus` for `.webm`;
   * `.mov` and `.mkv` keep the chunks' PCM.
   */
  readonly audioCodec?: string | undefined
  /** The bitrate of encoded sound, as ffmpeg takes it. Default: `"192k"`. */
  readonly audioBitrate?: string | undefined
  /** Whether `.mp4` and `.mov` files start with their index, so that players need not load them whole. Default: true. */
  readonly faststart?: boolean | undefined
}

/** Makes the stitcher. ffmpeg is looked for at each stitch: where it is missing, that fails with `ToolMissing`. */
export const make = (options?: Options): Effect.Effect<VideoStitcher["Service"], never, Workspace.Workspace> =>
  Effect.gen(function* () {
    const workspace = yield* Workspace.Workspace
    return VideoStitcher.of({
      stitch: Effect.fn("FfmpegStitcher.stitch")(function* (
        request: StitchRequest
      ): Effect.fn.Return<StitchResult, StitchError, Scope> {
        const container = yield* containerOf(request)
        const rate = yield* Option.match(FrameRate.parse(request.fps), {
          onNone: () =>
            cannotJoin(`${JSON.stringify(request.fps)} is no frame rate: give one like "30" or "30000/1001"`),
          onSome: Effect.succeed
        })
        const ffmpeg = yield* Ffmpeg.find(options).pipe(
          Effect.mapError(({ fix }) => new StitchError({ reason: new ToolMissing({ fix }) }))
        )
        const outputs = yield* Stream.runCollect(request.inputs)
        const startedAt = yield* Clock.monotonicTimeNanos
        yield* checkCounts(request, outputs)
        const files = yield* Effect.forEach(outputs, (output) => localFile(workspace, output), { concurrency: 8 })
        const folder = yield* workFolder(request.output)
        const links = yield* linkAll(folder, files, request.output)
        const chunks = yield* readAll(ffmpeg, outputs, links, rate)
        const plan = yield* planJoin({ chunks, container, rate, request, options: options ?? {} })
        const joined = path.join(folder, `joined.${container.extension}`)
        const joining = { folder, joined, links, chunks, plan, rate, request }
        yield* join(ffmpeg, joining)
        yield* verify(ffmpeg, joining)
        const { size } = yield* unwritable(request.output, () => fs.stat(joined))
        yield* Effect.uninterruptible(unwritable(request.output, () => fs.rename(joined, request.output)))
        const endedAt = yield* Clock.monotonicTimeNanos
        return {
          outputFile: request.output,
          bytes: size,
          frames: request.frames,
          durationMs: Number(endedAt - startedAt) / 1e6
        }
      }, Effect.scoped)
    })
  })

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<VideoStitcher, never, Workspace.Workspace> =>
  Layer.effect(VideoStitcher, make(options))

// ---
// what was asked for
// ---

interface Container {
  readonly extension: "mp4" | "mov" | "mkv" | "webm"
  /** The video codecs that it can hold; all when absent. */
  readonly codecs?: ReadonlyArray<string>
  /** The encoder for PCM sound; the chunks' own codec when absent. */
  readonly audioCodec?: string
}

const containers: Readonly<Record<string, Container>> = {
  mp4: { extension: "mp4", codecs: ["h264", "hevc", "av1", "vp9", "mpeg4"], audioCodec: "aac" },
  m4v: { extension: "mp4", codecs: ["h264", "hevc", "av1", "vp9", "mpeg4"], audioCodec: "aac" },
  mov: { extension: "mov" },
  mkv: { extension: "mkv" },
  matroska: { extension: "mkv" },
  webm: { extension: "webm", codecs: ["vp8", "vp9", "av1"], audioCodec: "libopus" }
}

const containerOf = (request: StitchRequest): Effect.Effect<Container, StitchError> => {
  const name = (request.format ?? path.extname(request.output).slice(1)).toLowerCase()
  const container = Object.hasOwn(containers, name) ? containers[name] : undefined
  return container === undefined
    ? cannotJoin(
        `${JSON.stringify(name)} is no container for this stitcher: name the output .mp4, .mov, .mkv or .webm, or give one of these as its format`
      )
    : Effect.succeed(container)
}

// ---
// the chunks as files
// ---

const localFile = Effect.fnUntraced(function* (
  workspace: Workspace.Workspace["Service"],
  output: ChunkOutput
): Effect.fn.Return<string, StitchError> {
  const invalid = (found: string) =>
    failWith(new ChunkInvalid({ expected: `a file at ${output.location}`, found }), output.chunkId)
  const file = yield* workspace.locate(output).pipe(Effect.catch((error) => invalid(error.message)))
  const stat = yield* Effect.tryPromise(() => fs.stat(file)).pipe(
    Effect.catch((error) => (codeOf(error) === "ENOENT" ? invalid("no file") : invalid(detailOf(error))))
  )
  if (!stat.isFile()) return yield* invalid("something that is no file")
  if (stat.size === 0) return yield* invalid("an empty file")
  return path.resolve(file)
})

/** A folder of our own beside the output: on its file system, so that the last step is a rename; gone with the scope. */
const workFolder = Effect.fnUntraced(function* (output: string): Effect.fn.Return<string, StitchError, Scope> {
  const existing = yield* Effect.tryPromise(() => fs.stat(output)).pipe(Effect.option)
  if (Option.isSome(existing) && !existing.value.isFile()) {
    return yield* failWith(
      new OutputUnwritable({ path: output, detail: "something that is no file is there: choose another name" })
    )
  }
  return yield* Effect.acquireRelease(
    unwritable(output, () => fs.mkdtemp(path.join(path.dirname(output), ".stitching-"))),
    (folder) =>
      Effect.tryPromise(() => fs.rm(folder, { recursive: true, force: true, maxRetries: 3 })).pipe(
        Effect.ignore({ log: "Warn" })
      )
  )
})

/**
 * Gives every chunk a plain name: a line of a concat list cannot hold a file name with a line break in it, however it is
 * quoted, and ffmpeg prints the names.
 */
const linkAll = (
  folder: string,
  files: ReadonlyArray<string>,
  output: string
): Effect.Effect<ReadonlyArray<string>, StitchError> =>
  Effect.forEach(
    files,
    (file, index) => {
      const link = path.join(folder, `${index}${/^\.\w+$/.exec(path.extname(file))?.[0] ?? ""}`)
      return Effect.as(
        unwritable(output, () => fs.symlink(file, link)),
        link
      )
    },
    { concurrency: 8 }
  )

interface Chunk {
  readonly output: ChunkOutput
  readonly video: MediaProbe.VideoTrack
  readonly audio: MediaProbe.AudioTrack | undefined
  readonly format: VideoFormat.VideoFormat
}

const readAll = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  outputs: ReadonlyArray<ChunkOutput>,
  links: ReadonlyArray<string>,
  rate: FrameRate.FrameRate
): Effect.fn.Return<ReadonlyArray<Chunk>, StitchError> {
  const all = yield* MediaProbe.probeAll(ffmpeg, links, (index, error) => {
    const chunkId = outputs[index]?.chunkId
    const reason = new ChunkInvalid({ expected: "a .mov, .mp4, .mkv or .webm video", found: error.detail })
    return new StitchError({ reason, ...(chunkId === undefined ? {} : { chunkId }) })
  }).pipe(Effect.catchTag("ProcessError", toolBroken))
  return yield* Effect.forEach(outputs, (output, index) => {
    const media = all[index]
    return media === undefined ? Effect.die(`no probe of chunk ${output.chunkId}`) : asChunk(output, media, rate)
  })
})

const asChunk = (
  output: ChunkOutput,
  media: MediaProbe.Media,
  rate: FrameRate.FrameRate
): Effect.Effect<Chunk, StitchError> => {
  const misfit = ChunkFit.misfit(media, output.frameCount, Option.some(rate))
  if (misfit !== undefined) return failWith(new ChunkInvalid(misfit), output.chunkId)
  const { audio, video } = media
  if (video === undefined) return Effect.die("a chunk without video fits nothing")
  // Its rate is known to be the job's; coarse timestamps alone might not tell.
  const { fps: _, ...format } = MediaProbe.formatOf(media)
  return Effect.succeed({ output, video, audio, format })
}

// ---
// what will be joined, and how
// ---

interface Plan {
  readonly container: Container
  readonly first: Chunk
  /** ffmpeg's options for the sound; none for a silent video. */
  readonly audio:
    | { readonly args: ReadonlyArray<string>; readonly samples: number; readonly tolerance: number }
    | undefined
  /** Chunks whose codec was set up in another way than the first one's. */
  readonly differing: ReadonlyArray<Chunk>
  readonly faststart: boolean
}

/** The samples that an encoder's last block can have over, for the codecs that it is known of. */
const blockOf: Readonly<Record<string, number>> = { aac: 1024 }
const largestBlock = 4096

const planJoin = Effect.fnUntraced(function* (from: {
  readonly chunks: ReadonlyArray<Chunk>
  readonly container: Container
  readonly rate: FrameRate.FrameRate
  readonly request: StitchRequest
  readonly options: Options
}): Effect.fn.Return<Plan, StitchError> {
  const { chunks, container, options, rate, request } = from
  const first = chunks[0]
  if (first === undefined) return yield* Effect.die("no chunks")
  if (container.codecs?.includes(first.video.codec) === false) {
    return yield* cannotJoin(
      `.${container.extension} files cannot hold ${first.video.codec} video: name the output ${first.video.codec === "vp8" ? ".webm" : ".mov"} or .mkv`
    )
  }
  const isMov = container.extension === "mp4" || container.extension === "mov"
  if (isMov && !FrameGrid.isExactIn(rate, first.video.tick)) {
    return yield* cannotJoin(
      `the chunks' timestamps are rounded (one tick is ${first.video.tick.numerator}/${first.video.tick.denominator} s): render the chunks as .mov or .mp4, or name the output .mkv`
    )
  }
  for (const chunk of chunks) yield* checkAgainst(first, chunk)
  return {
    container,
    first,
    audio:
      first.audio === undefined ? undefined : yield* planAudio({ ...from, first: first.audio, frames: request.frames }),
    differing: chunks.filter((chunk) => chunk.video.setup !== first.video.setup),
    faststart: options.faststart ?? true
  }
})

const checkAgainst = (first: Chunk, chunk: Chunk): Effect.Effect<void, StitchError> => {
  const { chunkId } = chunk.output
  const reference = `chunk ${first.output.chunkId}`
  if ((chunk.audio === undefined) !== (first.audio === undefined)) {
    const [has, hasNot] = chunk.audio === undefined ? [reference, "it"] : ["it", reference]
    return cannotJoin(`${has} has sound and ${hasNot} has none: render all chunks with sound, or all without`, chunkId)
  }
  const difference = VideoFormat.difference(first.format, chunk.format)
  if (difference !== undefined) {
    const { expected, found } = difference
    return failWith(new ChunkInvalid({ expected: `${expected}, like ${reference}`, found }), chunkId)
  }
  const { tick } = chunk.video
  if (tick.numerator !== first.video.tick.numerator || tick.denominator !== first.video.tick.denominator) {
    return cannotJoin(
      `it counts time in 1/${tick.denominator} s and ${reference} in 1/${first.video.tick.denominator} s: render all chunks with the same settings (ffmpeg: -video_track_timescale)`,
      chunkId
    )
  }
  if (chunk.video.index !== first.video.index || chunk.audio?.index !== first.audio?.index) {
    return cannotJoin(
      `its streams are in another order than those of ${reference}: write them in the same order`,
      chunkId
    )
  }
  return Effect.void
}

const planAudio = Effect.fnUntraced(function* (from: {
  readonly chunks: ReadonlyArray<Chunk>
  readonly container: Container
  readonly rate: FrameRate.FrameRate
  readonly options: Options
  readonly first: MediaProbe.AudioTrack
  readonly frames: number
}): Effect.fn.Return<NonNullable<Plan["audio"]>, StitchError> {
  const { chunks, container, first, options, rate } = from
  const samples = FrameRate.samples(from.frames, rate, first.sampleRate)
  if (!ChunkFit.isPcm(first)) {
    if (chunks.length === 1) return { args: ["-c:a", "copy"], samples, tolerance: largestBlock }
    return yield* cannotJoin(
      `their sound is ${first.codec}, which begins and ends in blocks: joined, it would click at every seam. Render chunks with PCM sound (-c:a pcm_s16le, as .mov or .mkv); it is encoded once, over the whole video`
    )
  }
  let heard = 0
  let shown = 0
  for (const { audio, output } of chunks) {
    if (audio === undefined) continue
    heard += audio.samples
    shown += output.frameCount
    const drift = Math.abs(heard - FrameGrid.unitsOf(rate, shown, first.sampleRate)) / first.sampleRate
    if (drift > ChunkFit.maxDrift) {
      return yield* cannotJoin(
        `up to here, sound and picture are ${(drift * 1000).toFixed(1)} ms apart: cut chunks where a frame starts with a whole sample (at ${FrameRate.format(rate)} frames per second, multiples of ${FrameGrid.framesOfWhole(rate, first.sampleRate)} frames)`,
        output.chunkId
      )
    }
  }
  const codec = options.audioCodec ?? container.audioCodec ?? first.codec
  // Timestamps from the count of samples: at a seam, the chunks' own may be off by the rounding of one.
  const filter = [
    "asetpts=N/SR/TB",
    ...(heard === samples ? [] : [`apad=whole_len=${samples}`, `atrim=end_sample=${samples}`])
  ]
  const bitrate = codec.startsWith("pcm_") ? [] : ["-b:a", options.audioBitrate ?? "192k"]
  return {
    args: ["-c:a", codec, ...bitrate, "-af", filter.join(",")],
    samples,
    tolerance: codec.startsWith("pcm_") ? 0 : (blockOf[codec] ?? largestBlock)
  }
})

// ---
// joining
// ---

interface Joining {
  readonly folder: string
  readonly joined: string
  readonly links: ReadonlyArray<string>
  readonly chunks: ReadonlyArray<Chunk>
  readonly plan: Plan
  readonly rate: FrameRate.FrameRate
  readonly request: StitchRequest
}

const join = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  { chunks, folder, joined, links, plan, rate, request }: Joining
): Effect.fn.Return<void, StitchError> {
  const input = yield* inputOf({ chunks, folder, links, rate, request })
  const { first } = plan
  const isMov = plan.container.extension === "mp4" || plan.container.extension === "mov"
  const run = yield* ffmpeg
    .run(
      [
        ...input,
        ..."-c:v copy -max_muxing_queue_size 65536 -map".split(" "),
        `0:${first.video.index}`,
        // QuickTime plays HEVC under this name only.
        ...(isMov && first.video.codec === "hevc" ? ["-tag:v", "hvc1"] : []),
        ...(first.audio === undefined || plan.audio === undefined
          ? []
          : ["-map", `0:${first.audio.index}`, ...plan.audio.args]),
        ...(isMov && plan.faststart ? ["-movflags", "+faststart"] : []),
        path.basename(joined)
      ],
      // Relative names: a folder's name can hold what ffmpeg would take for a part of a URL.
      { cwd: folder }
    )
    .pipe(Effect.catchTag("ProcessError", toolBroken))
  // Older builds exit with 0 when the end of the file could not be written.
  const full = run.errors.find((error) => /No space left on device|Disk quota exceeded|File too large/.test(error))
  if (full !== undefined) return yield* failWith(new OutputUnwritable({ path: request.output, detail: full }))
  if (run.exitCode !== 0) {
    return yield* failWith(new ToolFailed({ exitCode: run.exitCode, stderrTail: Ffmpeg.describe(run) }))
  }
})

const inputOf = Effect.fnUntraced(function* ({
  chunks,
  folder,
  links,
  rate,
  request
}: Pick<Joining, "chunks" | "folder" | "links" | "rate" | "request">): Effect.fn.Return<
  ReadonlyArray<string>,
  StitchError
> {
  const [only, ...others] = links
  // The concat demuxer takes what an encoder puts before the first sample for a part of the video.
  if (only !== undefined && others.length === 0) return [...MediaProbe.confined, "-i", path.basename(only)]
  const list = "chunks.ffconcat"
  yield* unwritable(request.output, () => fs.writeFile(path.join(folder, list), concatList(chunks, links, rate)))
  return [
    ..."-protocol_whitelist file,pipe -format_whitelist".split(" "),
    `concat,${MediaProbe.containers}`,
    // Decoding times are made anew from the display times: a chunk of one or two frames has no B-frames to wait for, so
    // that its own would overlap with its neighbours'.
    ..."-fflags +igndts -f concat -i".split(" "),
    list
  ]
})

/**
 * The list for the concat demuxer. Without a `duration` ffmpeg would take each chunk's length from its header, where it
 * is rounded up to a millisecond. Positions are rounded, not lengths, so that nothing adds up.
 */
const concatList = (chunks: ReadonlyArray<Chunk>, links: ReadonlyArray<string>, rate: FrameRate.FrameRate): string => {
  const lines = ["ffconcat version 1.0"]
  let frames = 0
  for (const [index, { output }] of chunks.entries()) {
    const next = frames + output.frameCount
    const length = FrameRate.microseconds(next, rate) - FrameRate.microseconds(frames, rate)
    lines.push(`file ${path.basename(links[index] ?? "")}`, `duration ${(length / 1_000_000).toFixed(6)}`)
    frames = next
  }
  return `${lines.join("\n")}\n`
}

// ---
// what came out
// ---

const verify = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  { chunks, joined, links, plan, rate, request }: Joining
): Effect.fn.Return<void, StitchError> {
  const invalid = (expected: string, found: string) => failWith(new ResultInvalid({ expected, found }))
  const media = yield* MediaProbe.probe(ffmpeg, joined).pipe(
    Effect.catchTags({
      MediaUnreadable: (error) => invalid("a file that ffmpeg can read", error.detail),
      ProcessError: toolBroken
    })
  )
  const { audio, streams, video } = media
  const sounds = plan.audio === undefined ? 0 : 1
  if (video === undefined || streams.video !== 1 || streams.audio !== sounds) {
    return yield* invalid(
      `1 video and ${sounds} audio streams`,
      `${streams.video} video and ${streams.audio} audio streams`
    )
  }
  const { tick, timestamps } = video
  if (timestamps.length !== request.frames) {
    return yield* invalid(`${request.frames} frames`, `${timestamps.length} frames`)
  }
  const off = FrameGrid.firstOffGrid(rate, tick, timestamps)
  if (off !== undefined) {
    const found = (((timestamps[off] ?? 0) - (timestamps[0] ?? 0)) * tick.numerator) / tick.denominator
    return yield* invalid(
      `frame ${off} at ${FrameGrid.unitsOf(rate, off, 1).toFixed(6)} s`,
      `it at ${found.toFixed(6)} s`
    )
  }
  const frameTicks = FrameGrid.unitsOf(rate, 1, tick.denominator) / tick.numerator
  if (video.lastDuration !== 0 && Math.abs(video.lastDuration - frameTicks) >= 1) {
    return yield* invalid(`a last frame of ${frameTicks} ticks`, `one of ${video.lastDuration} ticks`)
  }
  // The header rounds to hundredths, and sound may be a block longer than the picture.
  const over = media.seconds - FrameGrid.unitsOf(rate, request.frames, 1)
  const blockLength = audio === undefined || plan.audio === undefined ? 0 : plan.audio.tolerance / audio.sampleRate
  const frameLength = FrameGrid.unitsOf(rate, 1, 1)
  if (over < -frameLength / 2 - 0.01 || over > frameLength / 2 + 0.01 + blockLength + media.start) {
    return yield* invalid(
      `a length of ${FrameGrid.unitsOf(rate, request.frames, 1).toFixed(3)} s`,
      `${media.seconds} s`
    )
  }
  const { audio: _, ...picture } = plan.first.format
  const difference = VideoFormat.difference(picture, MediaProbe.formatOf(media))
  if (difference !== undefined) return yield* invalid(difference.expected, difference.found)
  if (plan.audio !== undefined && audio !== undefined) {
    const { samples, tolerance } = plan.audio
    if (audio.samples < samples - Math.min(tolerance, 1) || audio.samples > samples + tolerance) {
      return yield* invalid(
        `${samples} samples${tolerance === 0 ? "" : ` (and ${tolerance} over at most)`}`,
        `${audio.samples} samples`
      )
    }
  }
  if (plan.differing.length > 0) yield* verifyPictures(ffmpeg, { chunks, joined, links, plan })
})

/**
 * Where a chunk's codec was set up in another way than the first one's, the joined file may decode to other pictures
 * than the chunk does. Whether it does, only decoding both tells.
 */
const verifyPictures = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  { chunks, joined, links, plan }: Pick<Joining, "chunks" | "joined" | "links" | "plan">
): Effect.fn.Return<void, StitchError> {
  const hashesOf = (file: string) =>
    MediaProbe.frameHashes(ffmpeg, file).pipe(
      Effect.catchTags({
        MediaUnreadable: (error) =>
          failWith(new ResultInvalid({ expected: "a file that decodes", found: error.detail })),
        ProcessError: toolBroken
      })
    )
  const result = yield* hashesOf(joined)
  let start = 0
  for (const [index, chunk] of chunks.entries()) {
    const end = start + chunk.output.frameCount
    if (plan.differing.includes(chunk)) {
      const own = yield* hashesOf(links[index] ?? "")
      if (own.length !== end - start || own.some((hash, frame) => hash !== result[start + frame])) {
        return yield* cannotJoin(
          `its video was encoded with other settings than that of chunk ${plan.first.output.chunkId}: render all chunks with the same encoder and settings`,
          chunk.output.chunkId
        )
      }
    }
    start = end
  }
})

// ---
// failures
// ---

const failWith = (reason: StitchReason, chunkId?: number): Effect.Effect<never, StitchError> =>
  Effect.fail(new StitchError({ reason, ...(chunkId === undefined ? {} : { chunkId }) }))

const cannotJoin = (fix: string, chunkId?: number): Effect.Effect<never, StitchError> =>
  failWith(new CannotJoin({ fix }), chunkId)

/** ffmpeg was found and could not be run after all. */
const toolBroken = (error: ProcessError): Effect.Effect<never, StitchError> =>
  failWith(
    error.reason._tag === "ProgramNotFound" || error.reason._tag === "NotExecutable"
      ? new ToolMissing({ fix: error.message })
      : new ToolFailed({ exitCode: null, stderrTail: error.message })
  )

const unwritable = <A>(output: string, attempt: () => Promise<A>): Effect.Effect<A, StitchError> =>
  Effect.tryPromise(attempt).pipe(
    Effect.catch((error) => {
      const known: Readonly<Record<string, string>> = {
        ENOENT: "its folder is not there: create it",
        ENOTDIR: "its folder is not a folder",
        EACCES: "no permission to write to its folder",
        EPERM: "no permission to write to its folder",
        EROFS: "its folder is on a read-only file system",
        ENOSPC: "no space left on the device: free some",
        EDQUOT: "the disk quota is used up: free some space"
      }
      return failWith(new OutputUnwritable({ path: output, detail: known[codeOf(error)] ?? detailOf(error) }))
    })
  )

const codeOf = (error: Cause.UnknownError): string =>
  Predicate.hasProperty(error.cause, "code") && Predicate.isString(error.cause.code) ? error.cause.code : ""

const detailOf = (error: Cause.UnknownError): string =>
  error.cause instanceof Error ? error.cause.message : String(error.cause)
