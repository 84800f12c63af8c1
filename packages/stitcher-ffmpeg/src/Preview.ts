/**
 * What is joined so far as something to watch, which grows while chunks are rendered: an HLS playlist (RFC 8216, an event),
 * or one fragmented MP4 (ISO/IEC 14496-12), for Media Source Extensions and whoever reads a file that others still write.
 *
 * It is a second output of the ffmpeg that joins, of the same packets, and stays when the video is whole: players that began
 * early go on to its end. It is gone when joining fails.
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
  /**
   * The folder, made where it is missing. It gets `index.m3u8` and the segments that this names, each a second long and up to
   * the next key frame; or `preview.mp4`, in fragments of a second wherever key frames are.
   */
  readonly folder: string
  /** What to write: HLS holds H.264 and HEVC; MP4 AV1, VP9 and MPEG-4 as well. Default: `"hls"`. */
  readonly format?: "hls" | "mp4" | undefined
  /** Told when the first second can be played, and how long after the start of the stitch that was, in milliseconds. */
  readonly onPlayable?: ((afterMs: number) => Effect.Effect<void>) | undefined
}

/** The name of the playlist in its folder. */
export const playlist = "index.m3u8"

/** The name of the fragmented MP4 in its folder. */
export const movie = "preview.mp4"

/** How often it is looked at until there is something to play. */
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
    const own = names.filter((name) => /^(?:index\.m3u8(?:\.tmp)?|\d+\.ts|preview\.mp4)$/.test(name))
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
export const checkCodec = (codec: string, { format = "hls" }: Options): Effect.Effect<void, StitchError> =>
  codecs[format].includes(codec)
    ? Effect.void
    : Effect.fail(
        new StitchError({
          reason: new CannotJoin({
            fix: `an ${format === "hls" ? "HLS" : "MP4"} preview can hold ${codecs[format].join(", ")}, and they are ${codec}: leave the preview out${codecs.mp4.includes(codec) ? `, or have its format "mp4"` : ""}`
          })
        })
      )

const codecs: Readonly<Record<"hls" | "mp4", ReadonlyArray<string>>> = {
  hls: ["h264", "hevc"],
  mp4: ["h264", "hevc", "av1", "vp9", "mpeg4"]
}

/** ffmpeg's options and name for it, to stand behind what is mapped into it. */
export const outputArgs = ({ format = "hls" }: Options): ReadonlyArray<string> => outputs[format]

const outputs = {
  hls: [
    ..."-f hls -hls_time 1 -hls_list_size 0 -hls_playlist_type event -hls_segment_filename".split(" "),
    `${linkName}/%d.ts`,
    `${linkName}/${playlist}`
  ],
  // What a movie is like is written with its first fragment: where its sound begins is not known before.
  mp4: [
    ..."-f mp4 -movflags +delay_moov+default_base_moof -frag_duration 1000000 -flush_packets 1 -y".split(" "),
    `${linkName}/${movie}`
  ]
} as const

/** Waits until the first second can be played, and tells. Never done where there never is one. */
export const watch = Effect.fnUntraced(function* (
  { folder, format = "hls", onPlayable }: Options,
  startedAt: bigint
): Effect.fn.Return<number> {
  const file = path.join(path.resolve(folder), format === "hls" ? playlist : movie)
  const seconds = (format === "hls" ? listed(file) : fragments(file)).pipe(
    Effect.option,
    Effect.map(Option.getOrElse(() => 0))
  )
  yield* Effect.repeat(seconds, { schedule: Schedule.spaced(lookEvery), until: (found) => found >= 1 })
  const afterMs = Number((yield* Clock.monotonicTimeNanos) - startedAt) / 1e6
  yield* Effect.logInfo(`the first second can be played after ${(afterMs / 1000).toFixed(1)} s: ${file}`)
  yield* onPlayable?.(afterMs) ?? Effect.void
  return afterMs
})

/** How long all segments are that a playlist names. */
const listed = (file: string) =>
  Effect.map(
    Effect.tryPromise(() => fs.readFile(file, "utf8")),
    (text) => [...text.matchAll(/^#EXTINF:([\d.]+)/gm)].reduce((sum, [, length]) => sum + Number(length), 0)
  )

/** How many fragments of a movie are there whole, one at most: each is a second, or the last. */
const fragments = (file: string) =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => fs.open(file)),
    Effect.fnUntraced(function* (movie) {
      const { size } = yield* Effect.tryPromise(() => movie.stat())
      const head = Buffer.alloc(8)
      let inFragment = false
      for (let at = 0; at + head.length <= size;) {
        const from = at
        yield* Effect.tryPromise(() => movie.read(head, 0, head.length, from))
        const type = head.toString("latin1", 4)
        at += Math.max(head.length, head.readUInt32BE())
        if (inFragment && type === "mdat" && at <= size) return 1
        inFragment ||= type === "moof"
      }
      return 0
    }),
    (movie) => Effect.ignore(Effect.tryPromise(() => movie.close()))
  )
