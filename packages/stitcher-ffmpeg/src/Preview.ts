/**
 * What is joined so far as something to watch: an HLS playlist that grows while chunks are rendered (RFC 8216, an event).
 *
 * It is a second output of the ffmpeg that joins, of the same packets, and stays when the video is whole: players that began
 * early go on to its end. It is gone when joining fails. Only H.264 and HEVC can be in it.
 */
import { CannotJoin, OutputUnwritable, StitchError } from "@helios-infra/core/VideoStitcher"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as workFolder from "./internal/workFolder.ts"

/** Where to write it. */
export interface Options {
  /** The folder, made where it is missing. It gets `index.m3u8` and the segments that this names. */
  readonly folder: string
  /** Told when the first second can be played, and how long after the start of the stitch that was, in milliseconds. */
  readonly onPlayable?: ((afterMs: number) => Effect.Effect<void>) | undefined
}

/** The name of the playlist in its folder. */
export const playlist = "index.m3u8"

/** How often the playlist is looked at until there is something to play. */
const lookEvery = "100 millis"

/** A folder in that of the stitch that leads to that of the preview: ffmpeg takes a name for a pattern. */
const linkName = "preview"

/** Makes the folder; what an earlier stitch left in it goes, and so does all of this one when the scope closes with a failure. */
export const open = Effect.fnUntraced(function* (
  { folder }: Options,
  stitchFolder: string
): Effect.fn.Return<void, StitchError, Scope> {
  const target = path.resolve(folder)
  const clear = Effect.gen(function* () {
    const names = yield* Effect.tryPromise(() => fs.readdir(target))
    const own = names.filter((name) => /^(?:index\.m3u8(?:\.tmp)?|\d+\.ts)$/.test(name))
    yield* Effect.forEach(own, (name) => Effect.tryPromise(() => fs.rm(path.join(target, name), { force: true })), {
      concurrency: 8,
      discard: true
    })
  })
  yield* Effect.acquireRelease(
    Effect.tryPromise(() => fs.mkdir(target, { recursive: true })).pipe(
      Effect.andThen(clear),
      Effect.andThen(Effect.tryPromise(() => fs.symlink(target, path.join(stitchFolder, linkName)))),
      Effect.catch((error) =>
        Effect.fail(
          new StitchError({
            reason: new OutputUnwritable({ path: target, detail: `the preview: ${workFolder.detailOf(error)}` })
          })
        )
      )
    ),
    (_, exit) =>
      Exit.isSuccess(exit)
        ? Effect.void
        : Effect.ignore(
            Effect.andThen(
              clear,
              Effect.tryPromise(() => fs.rmdir(target))
            )
          )
  )
})

/** Fails with `CannotJoin` for a codec that cannot be in it. */
export const checkCodec = (codec: string): Effect.Effect<void, StitchError> =>
  codec === "h264" || codec === "hevc"
    ? Effect.void
    : Effect.fail(
        new StitchError({
          reason: new CannotJoin({
            fix: `a preview can hold H.264 and HEVC, and they are ${codec}: leave the preview out`
          })
        })
      )

/** ffmpeg's options and name for it, to stand behind what is mapped into it. */
export const outputArgs: ReadonlyArray<string> = [
  ..."-f hls -hls_time 1 -hls_list_size 0 -hls_playlist_type event -hls_segment_filename".split(" "),
  `${linkName}/%d.ts`,
  `${linkName}/${playlist}`
]

/** Waits until the first second can be played, and tells. Never done where there never is one. */
export const watch = Effect.fnUntraced(function* (
  { folder, onPlayable }: Options,
  startedAt: bigint
): Effect.fn.Return<number> {
  const file = path.join(path.resolve(folder), playlist)
  const seconds = Effect.tryPromise(() => fs.readFile(file, "utf8")).pipe(
    Effect.map((text) =>
      [...text.matchAll(/^#EXTINF:([\d.]+)/gm)].reduce((sum, [, length]) => sum + Number(length), 0)
    ),
    Effect.option,
    Effect.map(Option.getOrElse(() => 0))
  )
  yield* Effect.repeat(seconds, { schedule: Schedule.spaced(lookEvery), until: (found) => found >= 1 })
  const afterMs = Number((yield* Clock.monotonicTimeNanos) - startedAt) / 1e6
  yield* Effect.logInfo(`the first second can be played after ${(afterMs / 1000).toFixed(1)} s: ${file}`)
  yield* onPlayable?.(afterMs) ?? Effect.void
  return afterMs
})
