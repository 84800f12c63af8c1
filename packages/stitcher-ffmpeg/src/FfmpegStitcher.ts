/**
 * Joins chunks with ffmpeg: the picture packet by packet, never encoded again; the sound as one stream.
 *
 * ```
 * chunks ─probe─▶ JoinPlan ─concat demuxer─┬─ video: copied ─────────────▶ a file of its own ─JoinedFile─▶ renamed
 *                                          └─ PCM audio: one encoder run ─┘
 * ```
 *
 * ffmpeg's own joining succeeds on missing frames, other picture sizes, other time bases and truncated files. So what
 * goes in is read and compared first, and what comes out is counted, frame by frame, before it gets its name. Chunks are
 * read when the last one is there, not while others are still rendered.
 */
import type * as FrameRate from "@helios-infra/core/FrameRate"
import {
  ChunkInvalid,
  type ChunkOutput,
  OutputUnwritable,
  StitchError,
  type StitchRequest,
  type StitchResult,
  ToolFailed,
  VideoStitcher
} from "@helios-infra/core/VideoStitcher"
import * as Workspace from "@helios-infra/core/Workspace"
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
import * as Ffmpeg from "./Ffmpeg.ts"
import { failWith, toolBroken, toolMissing } from "./internal/stitchFailure.ts"
import * as JoinedFile from "./JoinedFile.ts"
import * as JoinPlan from "./JoinPlan.ts"
import * as MediaProbe from "./MediaProbe.ts"

/** How to join. */
export interface Options extends Ffmpeg.Options, JoinPlan.Options {}

/** Makes the stitcher. ffmpeg is looked for at each stitch: where it is missing, that fails with `ToolMissing`. */
export const make = (options?: Options): Effect.Effect<VideoStitcher["Service"], never, Workspace.Workspace> =>
  Effect.gen(function* () {
    const workspace = yield* Workspace.Workspace
    return VideoStitcher.of({
      stitch: Effect.fn("FfmpegStitcher.stitch")(function* (
        request: StitchRequest
      ): Effect.fn.Return<StitchResult, StitchError, Scope> {
        const target = yield* JoinPlan.targetOf(request)
        const ffmpeg = yield* Ffmpeg.find(options).pipe(Effect.mapError(toolMissing))
        const outputs = yield* Stream.runCollect(request.inputs)
        const startedAt = yield* Clock.monotonicTimeNanos
        yield* JoinPlan.checkCounts(request, outputs)
        const files = yield* Effect.forEach(outputs, (output) => localFile(workspace, output), { concurrency: 8 })
        const folder = yield* workFolder(request.output)
        const links = yield* linkAll(folder, files, request.output)
        const chunks = yield* readAll(ffmpeg, outputs, links, target.rate)
        const plan = yield* JoinPlan.make(chunks, target, options)
        const joined = path.join(folder, `joined.${target.container.extension}`)
        yield* join(ffmpeg, joined, plan, links, request.output)
        yield* JoinedFile.verify(ffmpeg, joined, plan, links)
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

const readAll = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  outputs: ReadonlyArray<ChunkOutput>,
  links: ReadonlyArray<string>,
  rate: FrameRate.FrameRate
): Effect.fn.Return<ReadonlyArray<JoinPlan.Chunk>, StitchError> {
  const all = yield* MediaProbe.probeAll(ffmpeg, links, (index, error) => {
    const chunkId = outputs[index]?.chunkId
    const reason = new ChunkInvalid({ expected: "a .mov, .mp4, .mkv or .webm video", found: error.detail })
    return new StitchError({ reason, ...(chunkId === undefined ? {} : { chunkId }) })
  }).pipe(Effect.catchTag("ProcessError", toolBroken))
  return yield* Effect.forEach(outputs, (output, index) => {
    const media = all[index]
    return media === undefined
      ? Effect.die(`no probe of chunk ${output.chunkId}`)
      : JoinPlan.chunkOf(output, media, rate)
  })
})

// ---
// joining
// ---

const join = Effect.fnUntraced(function* (
  ffmpeg: Ffmpeg.Ffmpeg,
  joined: string,
  plan: JoinPlan.JoinPlan,
  links: ReadonlyArray<string>,
  output: string
): Effect.fn.Return<void, StitchError> {
  const folder = path.dirname(joined)
  const input = yield* inputOf(folder, plan, links, output)
  // Relative names: a folder's name can hold what ffmpeg would take for a part of a URL.
  const run = yield* ffmpeg
    .run([...input, ...JoinPlan.outputArgs(plan), path.basename(joined)], { cwd: folder })
    .pipe(Effect.catchTag("ProcessError", toolBroken))
  // Older builds exit with 0 when the end of the file could not be written.
  const full = run.errors.find((error) => /No space left on device|Disk quota exceeded|File too large/.test(error))
  if (full !== undefined) return yield* failWith(new OutputUnwritable({ path: output, detail: full }))
  if (run.exitCode !== 0) {
    return yield* failWith(new ToolFailed({ exitCode: run.exitCode, stderrTail: Ffmpeg.describe(run) }))
  }
})

const inputOf = Effect.fnUntraced(function* (
  folder: string,
  plan: JoinPlan.JoinPlan,
  links: ReadonlyArray<string>,
  output: string
): Effect.fn.Return<ReadonlyArray<string>, StitchError> {
  const [only, ...others] = links
  // The concat demuxer takes what an encoder puts before the first sample for a part of the video.
  if (only !== undefined && others.length === 0) return [...MediaProbe.confined, "-i", path.basename(only)]
  const list = "chunks.ffconcat"
  yield* unwritable(output, () => fs.writeFile(path.join(folder, list), JoinPlan.concatList(plan, links)))
  return [
    ..."-protocol_whitelist file,pipe -format_whitelist".split(" "),
    `concat,${MediaProbe.containers}`,
    // Decoding times are made anew from the display times: a chunk of one or two frames has no B-frames to wait for, so
    // that its own would overlap with its neighbours'.
    ..."-fflags +igndts -f concat -i".split(" "),
    list
  ]
})

// ---
// failures
// ---

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
