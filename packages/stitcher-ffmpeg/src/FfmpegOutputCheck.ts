/**
 * Checks a chunk by reading it: every frame there and in its place, at the size, rate and pixel format of the job, its key
 * frames (or all) decoded, no part of it left unwritten.
 *
 * What it learns of the file goes into the `OutputRef` (frames and format), so that core can compare the chunks of a job
 * with each other; comparing is not its business.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import * as OutputCheck from "@helios-infra/core/OutputCheck"
import * as VideoFormat from "@helios-infra/core/VideoFormat"
import type { OutputRef, WorkerJob, WorkerResult } from "@helios-infra/core/WorkerAdapter"
import { OutputInvalid, Refused, type WorkerError, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as Workspace from "@helios-infra/core/Workspace"
import type { ProcessError } from "@helios-infra/process/ProcessError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ChunkFit from "./ChunkFit.ts"
import * as Ffmpeg from "./Ffmpeg.ts"
import * as Holes from "./Holes.ts"
import * as ImageSequence from "./ImageSequence.ts"
import * as probedFiles from "./internal/probedFiles.ts"
import * as MediaProbe from "./MediaProbe.ts"

/** How to check. */
export interface Options extends Ffmpeg.Options {
  /**
   * How far to look into the picture. Each way finds what is missing, cut off, misplaced or of another format, and, in
   * H.264 and HEVC, what was never written ({@link Holes}).
   *
   * - `"keyframes"` decodes the key frames, and finds slices that do not fit into their packet: that the chunk decodes,
   *   for a fraction of the time. In ProRes, MJPEG and the like every frame is a key frame.
   * - `"full"` decodes every frame: finds bytes that were changed inside a picture, as far as the decoder notices.
   * - `"packets"` decodes nothing.
   *
   * Default: `"keyframes"`.
   */
  readonly decode?: MediaProbe.Decode | undefined
  /**
   * Whether a chunk may come without sound. The stitcher joins it as silence among chunks that have some: right where a
   * renderer writes no sound for what is silent, and wrong where one has lost it, which nothing in the file tells apart.
   *
   * - `"allow"` takes it.
   * - `"reject"` asks for sound in every chunk, so that one without is rendered again: for jobs whose renderer always
   *   writes some.
   *
   * Default: `"allow"`.
   */
  readonly silentChunks?: "allow" | "reject" | undefined
}

/** Makes the check. ffmpeg is looked for at each check: where it is missing, that fails with `Refused`. */
export const make = (
  options?: Options
): Effect.Effect<OutputCheck.OutputCheck["Service"], never, Workspace.Workspace> =>
  Effect.gen(function* () {
    const workspace = yield* Workspace.Workspace
    const check = Effect.fn("FfmpegOutputCheck.check")(function* (
      job: WorkerJob,
      result: WorkerResult
    ): Effect.fn.Return<OutputRef, WorkerError> {
      const output = yield* OutputCheck.findOutput(workspace, job, result)
      if (job.meta._tag === "Merge") return output
      const { frameCount } = job.meta
      const invalid = (detail: { readonly expected: string; readonly found: string }) =>
        Effect.fail(OutputCheck.failure(job, result, new OutputInvalid(detail)))

      const ffmpeg = yield* Ffmpeg.find(options).pipe(
        Effect.mapError(({ fix }) => OutputCheck.failure(job, result, new Refused({ why: "NotFound", fix })))
      )
      const file = yield* workspace
        .locate(output)
        .pipe(Effect.catch((error) => invalid({ expected: `a file at ${output.location}`, found: error.message })))
      const read = <A>(reading: Effect.Effect<A, MediaProbe.MediaUnreadable | ProcessError>) =>
        Effect.catchTags(reading, {
          MediaUnreadable: ({ detail }) => invalid({ expected: `a video of ${frameCount} frames`, found: detail }),
          ProcessError: (error) => Effect.fail(OutputCheck.failure(job, result, reasonOf(error)))
        })
      // The rate is held against the timestamps: as words, "60/2" and "30" would differ.
      const { fps, ...others } = job.meta.format
      const rate = fps === undefined ? Option.none() : FrameRate.parse(fps)
      const state = Option.getOrUndefined(yield* Effect.option(probedFiles.stateOf(file)))
      const input = state?.isFolder === true ? yield* read(picturesOf(file, rate)) : undefined
      const media = yield* read(MediaProbe.probe(ffmpeg, file, { decode: options?.decode ?? "keyframes", input }))
      const { audio, ...picture } = MediaProbe.formatOf(media)
      // A chunk without sound fits among others that have some: nothing is heard there.
      const found = media.audio === undefined || audio === undefined ? picture : { ...picture, audio }
      if (media.audio === undefined && options?.silentChunks === "reject") {
        return yield* invalid({ expected: `sound, which silentChunks: "reject" asks of every chunk`, found: "none" })
      }
      const wrong = ChunkFit.misfit(media, frameCount, rate) ?? VideoFormat.difference(others, found)
      if (wrong !== undefined) return yield* invalid(wrong)
      if (yield* read(Holes.isIn(ffmpeg, file, media))) {
        return yield* invalid({
          expected: "a file written from end to end",
          found: `${Holes.smallest} or more zero bytes in a row, which ${media.video?.codec} never has`
        })
      }
      if (state?.isFile === true) (yield* probedFiles.ProbedFiles).keep(state.identity, media)
      const { fps: kept, ...rest } = found
      // Pictures in a folder have no rate.
      const known = Option.match(rate, {
        onNone: () => (input === undefined && kept !== undefined ? { ...rest, fps: kept } : rest),
        onSome: (asked) => ({ ...rest, fps: FrameRate.format(asked) })
      })
      return { ...output, frames: frameCount, format: known }
    })
    return OutputCheck.OutputCheck.of({ check })
  })

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<OutputCheck.OutputCheck, never, Workspace.Workspace> =>
  Layer.effect(OutputCheck.OutputCheck, make(options))

/** Opens a folder of pictures. They have no rate of their own, so that any will do where the job says none. */
const picturesOf = (folder: string, rate: Option.Option<FrameRate.FrameRate>) =>
  Effect.map(ImageSequence.read(folder), (sequence) =>
    ImageSequence.inputArgs(
      sequence,
      Option.getOrElse(rate, () => ({ numerator: 25, denominator: 1 }))
    )
  )

/** Why ffmpeg, which was found, could not be run: for good, or because the machine had no room for it just now. */
const reasonOf = (error: ProcessError): WorkerReason =>
  error.reason._tag === "ProgramNotFound" || error.reason._tag === "NotExecutable"
    ? new Refused({ why: "NotFound", fix: error.message })
    : new WorkerLost({ detail: `its output could not be checked: ${error.message}` })
