/**
 * What a joined file is made of, and what was checked of it, as JSON beside it: for archives, and for whoever has to prove
 * where a frame comes from.
 *
 * It is written once the file was checked, just before that gets its name; it tells of the file and is no part of it. The
 * bytes of the joined file are hashed only where that is asked for: it takes as long as the file is, since what stands in
 * front of it, and so begins the hash, is written last.
 */
import * as FrameRate from "@helios-infra/core/FrameRate"
import { OutputUnwritable, type StitchError, type StitchRequest } from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as FrameGrid from "./FrameGrid.ts"
import { failWith } from "./internal/stitchFailure.ts"
import * as JoinedSound from "./JoinedSound.ts"
import type { JoinPlan } from "./JoinPlan.ts"
import type * as MediaProbe from "./MediaProbe.ts"

/** A chunk of the file. */
export const Chunk = Schema.Struct({
  /** Its position in frame order, counted from 0. */
  index: Schema.Int,
  chunkId: Schema.Int,
  /** The attempt that was accepted, counted within its run, and that run of the job; absent where there is none. */
  attempt: Schema.Int,
  run: Schema.optionalKey(Schema.Int),
  /** How many attempts at it were started, in all runs. */
  attempts: Schema.optionalKey(Schema.Int),
  /** Who rendered it, and how many milliseconds that took, where that is known. */
  workerId: Schema.optionalKey(Schema.String),
  durationMs: Schema.optionalKey(Schema.Finite),
  /** Where its file was. */
  location: Schema.String,
  bytes: Schema.Int,
  sha256: Schema.String,
  /** Its first frame in the joined file, and how many it has. */
  startFrame: Schema.Int,
  frames: Schema.Int,
  /** Whether it has sound; where others have some, it is silent for as long as it is. */
  hasSound: Schema.Boolean
})

/** Where two chunks meet, as it was found in the joined file. */
export const Seam = Schema.Struct({
  /** The chunks before and behind it. */
  before: Schema.Int,
  behind: Schema.Int,
  /** The frame that is the first behind it. */
  frame: Schema.Int,
  /** When that frame is shown, and when it should be, in seconds. */
  seconds: Schema.Finite,
  expectedSeconds: Schema.Finite,
  /** How long after the last frame before it, in ticks, and how long a frame is. */
  gapTicks: Schema.Finite,
  frameTicks: Schema.Finite,
  /** Whether both chunks' codecs were set up alike, or decoding has shown that it makes no difference. */
  setup: Schema.Literals(["same", "decoded"]),
  /** The sample with which the sound behind it begins; absent in silent videos. */
  sample: Schema.optionalKey(Schema.Int)
})

/** The manifest. */
export const StitchManifest = Schema.Struct({
  version: Schema.Literal(1),
  output: Schema.String,
  bytes: Schema.Int,
  /** The joined file's SHA-256 in hexadecimal, as `sha256sum` prints it; absent unless it was asked for. */
  sha256: Schema.optionalKey(Schema.String),
  frames: Schema.Int,
  fps: Schema.String,
  /** The picture's codec, and how its sound was made: `"joined"`, `"assembled"`, `"copied"`, `"tracks"` or `"none"`. */
  video: Schema.String,
  sound: Schema.String,
  chunks: Schema.Array(Chunk),
  seams: Schema.Array(Seam)
})

/** The type of {@link StitchManifest}. */
export type StitchManifest = typeof StitchManifest.Type

/** A manifest as the text of a file. */
export const json = Schema.fromJsonString(StitchManifest)

/** What is known of a joined file. */
export interface Source {
  readonly request: StitchRequest
  readonly plan: JoinPlan
  /** What was read of the joined file. */
  readonly media: MediaProbe.Media
  readonly bytes: number
  /** The joined file's hash, where it was asked for. */
  readonly sha256?: string | undefined
  /** The chunks' hashes and sizes, in frame order. */
  readonly files: ReadonlyArray<{ readonly sha256: string; readonly bytes: number }>
}

/** The manifest of a joined file. */
export const make = ({ bytes, files, media, plan, request, sha256 }: Source): StitchManifest => {
  const { rate, sound } = plan
  const tick = media.video?.tick ?? { numerator: 1, denominator: 1 }
  const timestamps = media.video?.timestamps ?? []
  const shown = (frame: number) => timestamps[frame] ?? 0
  const seconds = (frame: number) => ((shown(frame) - shown(0)) * tick.numerator) / tick.denominator
  const starts: Array<number> = []
  let frames = 0
  for (const { output } of plan.chunks) {
    starts.push(frames)
    frames += output.frameCount
  }
  const behind = plan.chunks.slice(1)
  const differing = new Set(plan.differing)
  return {
    version: 1,
    output: request.output,
    bytes,
    ...(sha256 === undefined ? undefined : { sha256 }),
    frames,
    fps: FrameRate.format(rate),
    video: plan.first.video.codec,
    sound: sound?.from ?? "none",
    chunks: plan.chunks.map(({ audio, output }, index) => ({
      index,
      chunkId: output.chunkId,
      attempt: output.attempt,
      ...(output.run === undefined ? undefined : { run: output.run }),
      ...(output.attempts === undefined ? undefined : { attempts: output.attempts }),
      ...(output.workerId === undefined ? undefined : { workerId: output.workerId }),
      ...(output.durationMs === undefined ? undefined : { durationMs: output.durationMs }),
      location: output.location,
      bytes: files[index]?.bytes ?? 0,
      sha256: files[index]?.sha256 ?? "",
      startFrame: starts[index] ?? 0,
      frames: output.frameCount,
      hasSound: audio !== undefined
    })),
    seams: behind.map((chunk, index) => {
      const frame = starts[index + 1] ?? 0
      const before = plan.chunks[index]
      return {
        before: before?.output.chunkId ?? 0,
        behind: chunk.output.chunkId,
        frame,
        seconds: seconds(frame),
        expectedSeconds: FrameGrid.unitsOf(rate, frame, 1),
        gapTicks: shown(frame) - shown(frame - 1),
        frameTicks: FrameGrid.unitsOf(rate, 1, tick.denominator) / tick.numerator,
        setup: differing.has(chunk) || (before !== undefined && differing.has(before)) ? "decoded" : "same",
        ...(sound === undefined ? {} : { sample: JoinedSound.sampleAt({ rate }, sound.track, frame) })
      }
    })
  }
}

/** Fails with `OutputUnwritable` where a manifest cannot be: better before the first chunk than behind the last one. */
export const checkPlace = (file: string, output: string): Effect.Effect<void, StitchError> => {
  const target = path.resolve(file)
  const unwritable = (detail: string) =>
    failWith(new OutputUnwritable({ path: target, detail: `the manifest: ${detail}` }))
  if (target === path.resolve(output)) return unwritable("the joined file has that name: choose another one")
  return Effect.tryPromise(() => fs.access(path.dirname(target), fs.constants.W_OK)).pipe(
    Effect.catch(({ cause }) => unwritable(String(cause)))
  )
}

/** Writes a manifest, whole or not at all; fails with `OutputUnwritable`. */
export const write = Effect.fnUntraced(function* (
  file: string,
  manifest: StitchManifest
): Effect.fn.Return<void, StitchError> {
  const text = yield* Effect.orDie(Schema.encodeEffect(json)(manifest))
  const target = path.resolve(file)
  const temporary = path.join(path.dirname(target), `.${randomUUID()}`)
  yield* Effect.tryPromise(() => fs.writeFile(temporary, `${text}\n`, { flag: "wx" })).pipe(
    Effect.andThen(Effect.tryPromise(() => fs.rename(temporary, target))),
    Effect.ensuring(Effect.ignore(Effect.tryPromise(() => fs.rm(temporary, { force: true })))),
    Effect.catch(({ cause }) =>
      failWith(new OutputUnwritable({ path: target, detail: `the manifest: ${String(cause)}` }))
    )
  )
})
