/**
 * Joins chunks with ffmpeg: the picture packet by packet, encoded again only where that is asked for; the sound as one
 * stream.
 *
 * ```
 * chunks, as they land ─probe─▶ JoinPlan ─▶ loopback ─concat demuxer─┬─ video: copied ───────▶ a file of its own ─JoinedFile─▶ renamed
 *                                                                  └─ audio: one encoder run ─┘
 * ```
 *
 * ffmpeg's own joining succeeds on missing frames, other picture sizes, other time bases and truncated files. So what
 * goes in is read and compared first, and what comes out is counted, frame by frame, before it gets its name. It begins
 * with the first chunk, where the request says how many frames the others will have: when the last one lands, all that is
 * left to do is to copy that one.
 */
import {
  type ChunkOutput,
  ResultInvalid,
  type StitchError,
  type StitchRequest,
  type StitchResult,
  VideoStitcher
} from "@helios-infra/core/VideoStitcher"
import * as Workspace from "@helios-infra/core/Workspace"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as AudioTracks from "./AudioTracks.ts"
import * as Ffmpeg from "./Ffmpeg.ts"
import * as alignment from "./internal/alignment.ts"
import * as chunkReading from "./internal/chunkReading.ts"
import * as fileHash from "./internal/fileHash.ts"
import * as gate from "./internal/gate.ts"
import * as joiner from "./internal/joining.ts"
import { cannotJoin, failWith, toolMissing } from "./internal/stitchFailure.ts"
import * as workFolder from "./internal/workFolder.ts"
import * as JoinedFile from "./JoinedFile.ts"
import * as JoinPlan from "./JoinPlan.ts"
import * as Preview from "./Preview.ts"
import type * as Reencode from "./Reencode.ts"
import * as StitchManifest from "./StitchManifest.ts"

/** How to join. */
export interface Options extends Ffmpeg.Options, JoinPlan.Options {
  /**
   * Whether joining begins with the first chunk, while later ones are still rendered, or when all of them are there.
   * Default: true.
   */
  readonly incremental?: boolean | undefined
  /**
   * How to encode every chunk again when it lands, for chunks that cannot be joined as they are. Default: not at all, the
   * picture is copied.
   */
  readonly reencode?: Reencode.Reencode | undefined
  /**
   * Where to write what the joined file is made of (`StitchManifest`), as JSON. Each chunk is hashed for it when it lands, and
   * held against the hash that came with it. Default: nowhere.
   */
  readonly manifest?: string | undefined
  /**
   * Whether the manifest has the SHA-256 of the joined file as well. The file is read once more for it when it is whole,
   * which takes the longer the larger it is: a second for one or two GB that are still in memory. A folder of pictures has
   * none. Default: false.
   */
  readonly hashResult?: boolean | undefined
}

/** How long a preview that is whole is looked for. */
const lastLook = "500 millis"

/** Makes the stitcher. ffmpeg is looked for at each stitch: where it is missing, that fails with `ToolMissing`. */
export const make = (options?: Options): Effect.Effect<VideoStitcher["Service"], never, Workspace.Workspace> =>
  Effect.gen(function* () {
    const workspace = yield* Workspace.Workspace
    return VideoStitcher.of({
      readsRemote: true,
      stitch: Effect.fn("FfmpegStitcher.stitch")(function* (
        request: StitchRequest
      ): Effect.fn.Return<StitchResult, StitchError, Scope> {
        const target = yield* JoinPlan.targetOf(request)
        const ffmpeg = yield* Ffmpeg.find(options).pipe(Effect.mapError(toolMissing))
        yield* AudioTracks.check(ffmpeg, options?.audioTracks ?? [])
        const known = request.frameCounts === undefined ? yield* collected(request) : told(request, request.frameCounts)
        yield* JoinPlan.checkCounts(request, known.frameCounts)
        if (options?.manifest !== undefined) yield* StitchManifest.checkPlace(options.manifest, request.output)
        const isSequence = JoinPlan.isSequence(target.container)
        const folder = yield* workFolder.make(request.output, isSequence ? "folder" : "file")
        const { preview } = options ?? {}
        const began = yield* Clock.monotonicTimeNanos
        if (preview !== undefined) yield* Preview.open(preview, folder)
        const playable = preview && (yield* Effect.forkScoped(Preview.watch(preview, began)))
        const joined = path.join(folder, isSequence ? "joined" : `joined.${target.container.extension}`)
        if (isSequence) yield* workFolder.writing(request.output, () => fs.mkdir(joined))
        const joinedName = isSequence ? `joined/${JoinPlan.pictureNames(target)}` : path.basename(joined)
        const landed = gate.make<chunkReading.Landed>()
        const plans = makePlans(known.frameCounts, target, options)

        let startedAt = yield* Clock.monotonicTimeNanos
        let arrived = 0
        const outputs = Stream.tap(known.request.inputs, () =>
          Effect.map(Clock.monotonicTimeNanos, (now) => {
            if (++arrived === request.total) startedAt = now
          })
        )
        const reading = chunkReading
          .read(
            {
              ffmpeg,
              folder,
              final: request.output,
              total: request.total,
              target,
              workspace,
              hashes: options?.manifest !== undefined,
              reencode: options?.reencode
            },
            { ...known.request, inputs: outputs },
            (one) =>
              plans.take(one.chunk).pipe(
                Effect.flatMap((join) => alignment.align(ffmpeg, join, one, request.output)),
                Effect.map((aligned) => landed.open(one.chunk.output.index, aligned))
              )
          )
          .pipe(
            Effect.andThen(
              Effect.suspend(() =>
                JoinPlan.checkCounts(
                  request,
                  landed.values.map((one) => one?.chunk.output.frameCount ?? 0)
                )
              )
            )
          )
        const early = known.early && options?.incremental !== false && request.total > 1
        const joining = plans.follow((join) =>
          joiner.run({ ffmpeg, folder, joined: joinedName, output: request.output, landed, early }, join)
        )
        const { done, join } = early
          ? (yield* Effect.all([joining, reading], { concurrency: "unbounded" }))[0]
          : yield* Effect.andThen(reading, joining)

        const all = landed.values.flatMap((one) => (one === undefined ? [] : [one]))
        const plan = JoinPlan.complete(
          join,
          all.map(({ chunk }) => chunk)
        )
        const media = yield* JoinedFile.verify(ffmpeg, joined, plan, all.map(chunkReading.fileOf), done.follower)
        const bytes = yield* workFolder.writing(request.output, () => workFolder.sizeOf(joined))
        if (options?.manifest !== undefined) {
          const sha256 =
            options.hashResult === true && !isSequence
              ? yield* Effect.catch(fileHash.sha256([joined]), (error) =>
                  failWith(new ResultInvalid({ expected: "a file to hash", found: workFolder.detailOf(error) }))
                )
              : undefined
          yield* StitchManifest.write(
            options.manifest,
            StitchManifest.make({ request, plan, media, bytes, sha256, files: withHashes(all, done.hashes) })
          )
        }
        yield* Effect.uninterruptible(workFolder.writing(request.output, () => fs.rename(joined, request.output)))
        const seen =
          playable === undefined ? Option.none() : yield* Effect.timeoutOption(Fiber.join(playable), lastLook)
        const endedAt = yield* Clock.monotonicTimeNanos
        return {
          outputFile: request.output,
          bytes,
          frames: request.frames,
          durationMs: Number(endedAt - startedAt) / 1e6,
          ...(Option.isSome(seen) ? { playableAfterMs: seen.value } : {})
        }
      }, Effect.scoped)
    })
  })

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<VideoStitcher, never, Workspace.Workspace> =>
  Layer.effect(VideoStitcher, make(options))

/** Chunks elsewhere are hashed when they are read, which is when they are joined. */
const withHashes = (
  landed: ReadonlyArray<chunkReading.Landed>,
  hashes: ReadonlyMap<number, string>
): ReadonlyArray<chunkReading.Landed> =>
  landed.map((one, index) => ({ ...one, sha256: hashes.get(index) ?? one.sha256 }))

// ---
// what is known before chunks land
// ---

interface Known {
  readonly request: StitchRequest
  readonly frameCounts: ReadonlyArray<number>
  /** Whether that was known before the last chunk landed. */
  readonly early: boolean
}

const told = (request: StitchRequest, frameCounts: ReadonlyArray<number>): Known => ({
  request,
  frameCounts,
  early: true
})

/** Waits for the last chunk: only the chunks say how many frames they have. */
const collected = Effect.fnUntraced(function* (request: StitchRequest): Effect.fn.Return<Known> {
  const outputs = yield* Stream.runCollect(request.inputs)
  const frameCounts = outputs.map(({ frameCount }: ChunkOutput) => frameCount)
  return { request: { ...request, inputs: Stream.fromIterable(outputs) }, frameCounts, early: false }
})

/**
 * How the chunks are joined, as far as those that have landed say. That changes when the first one is found that has sound
 * where others have none, or the other way round, and when sound and picture begin to drift apart.
 */
const makePlans = (frameCounts: ReadonlyArray<number>, target: JoinPlan.Target, options: Options | undefined) => {
  const versions = gate.make<JoinPlan.Join>()
  let current: JoinPlan.Join | undefined
  let version = 0

  const take = Effect.fnUntraced(function* (chunk: JoinPlan.Chunk): Effect.fn.Return<JoinPlan.Join, StitchError> {
    const { chunkId, frameCount, index } = chunk.output
    const asked = frameCounts[index]
    if (frameCount !== asked) {
      return yield* cannotJoin(
        `it came with ${frameCount} frames and should have ${asked}: plan the job again`,
        chunkId
      )
    }
    const next =
      current === undefined
        ? yield* JoinPlan.begin(chunk, frameCounts, target, options)
        : yield* JoinPlan.take(current, chunk)
    const changed = current === undefined || next.sound !== current.sound
    current = next
    if (changed) versions.open(version++, next)
    return next
  })

  /** Joins by the first version, and from the start by a later one when there is one; gives that which it ended with, and what came of it. */
  const follow = Effect.fnUntraced(function* <A>(
    run: (join: JoinPlan.Join) => Effect.Effect<A, StitchError, Scope>
  ): Effect.fn.Return<{ readonly join: JoinPlan.Join; readonly done: A }, StitchError> {
    let join = yield* versions.at(0)
    for (let next = 1; ; next++) {
      if (versions.values[next] === undefined) {
        const running = Effect.map(Effect.scoped(run(join)), Option.some)
        const done = yield* Effect.raceFirst(running, Effect.as(versions.at(next), Option.none<A>()))
        if (versions.values[next] === undefined && Option.isSome(done)) return { join, done: done.value }
      }
      join = versions.values[next] ?? join
    }
  })

  return { take, follow }
}
