/**
 * A stitcher that joins the frame labels of {@link FakeFiles}, and is as strict as a real one must be.
 */
import {
  CannotJoin,
  ChunkInvalid,
  InputsNotConsumed,
  OutputUnwritable,
  StitchError,
  type StitchReason,
  VideoStitcher
} from "@helios-infra/core/VideoStitcher"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type FakeFile, FakeFiles, isWhole, join } from "./FakeFiles.ts"

/** How it behaves. */
export interface Options {
  /** How long joining takes once all chunks are there. Default: no time. */
  readonly takes?: Duration.Input | undefined
  /** Why it fails when its time is over. */
  readonly fails?: StitchReason | undefined
  /** Folders that are not there: an output in one cannot be written. */
  readonly missingFolders?: ReadonlyArray<string> | undefined
}

/** Makes the stitcher. */
export const make = (options: Options = {}): Effect.Effect<VideoStitcher["Service"], never, FakeFiles> =>
  Effect.gen(function* () {
    const files = yield* FakeFiles

    const fail = (reason: StitchReason, chunkId?: number) =>
      Effect.fail(new StitchError({ reason, ...(chunkId === undefined ? {} : { chunkId }) }))

    return VideoStitcher.of({
      stitch: Effect.fnUntraced(function* (request) {
        const inputs = yield* Stream.runCollect(request.inputs)
        if (inputs.length !== request.total) {
          return yield* fail(new InputsNotConsumed({ read: inputs.length, total: request.total }))
        }
        const frames: Array<string> = []
        let picture: string | undefined
        for (const { chunkId, frameCount, location } of inputs) {
          const file = files.get(location)
          const found = file === undefined ? "no file" : wrongWith(file, frameCount, picture ?? file.picture)
          if (file === undefined || found !== undefined) {
            const expected = `${frameCount} frames of ${picture ?? "any size"} at ${location}`
            return yield* fail(new ChunkInvalid({ expected, found: found ?? "no file" }), chunkId)
          }
          picture = file.picture
          frames.push(...file.frames)
        }
        if (frames.length !== request.frames) {
          const fix = `they have ${frames.length} frames and the video should have ${request.frames}: plan the job again`
          return yield* fail(new CannotJoin({ fix }))
        }
        yield* Effect.sleep(options.takes ?? 0)
        if (options.fails !== undefined) return yield* fail(options.fails)
        const folder = request.output.slice(0, request.output.lastIndexOf("/"))
        if (options.missingFolders?.includes(folder) === true) {
          return yield* fail(new OutputUnwritable({ path: request.output, detail: "there is no such folder" }))
        }
        const joined = join(frames)
        files.set(request.output, joined)
        return {
          outputFile: request.output,
          bytes: joined.bytes,
          frames: frames.length,
          durationMs: Duration.toMillis(Duration.fromInputUnsafe(options.takes ?? 0))
        }
      })
    })
  })

const wrongWith = (file: FakeFile, frameCount: number, picture: string): string | undefined => {
  if (!isWhole(file)) return `${file.bytes} bytes for ${file.frames.length} frames`
  if (file.frames.length !== frameCount) return `${file.frames.length} frames`
  return file.picture === picture ? undefined : `pictures of ${file.picture}`
}

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<VideoStitcher, never, FakeFiles> =>
  Layer.effect(VideoStitcher, make(options))
