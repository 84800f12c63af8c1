import * as Ffmpeg from "@helios-infra/stitcher-ffmpeg/Ffmpeg"
import * as Holes from "@helios-infra/stitcher-ffmpeg/Holes"
import * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const find = Ffmpeg.find({ ffmpegPath: real.ffmpegPath })

/** Reads a file, then makes holes in it one after the other, and gives those that are noticed. */
const noticed = Effect.fnUntraced(function* (
  file: string,
  holes: ReadonlyArray<readonly [start: number, length: number]>
) {
  const ffmpeg = yield* find
  const media = yield* MediaProbe.probe(ffmpeg, file)
  const whole = yield* Effect.promise(() => fs.readFile(file))
  return yield* Effect.filter(
    holes,
    Effect.fnUntraced(function* ([start, length]) {
      yield* Effect.promise(() => fs.writeFile(file, Buffer.from(whole).fill(0, start, start + length)))
      return yield* Holes.isIn(ffmpeg, file, media)
    })
  )
})

const isIn = Effect.fnUntraced(function* (file: string) {
  const ffmpeg = yield* find
  return yield* Holes.isIn(ffmpeg, file, yield* MediaProbe.probe(ffmpeg, file))
})

/** Lossless, so that there is something to make holes in. */
const lossless = (codec: "libx264" | "libx265") =>
  codec === "libx264"
    ? [...real.x264, "-qp", "0"]
    : [..."-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params".split(" "), "lossless=1:log-level=none"]

describe("a hole", () => {
  it.live.each(["libx264", "libx265"] as const)("is noticed wherever it is in the picture: %s", (codec) =>
    Effect.gen(function* () {
      const file = path.join(yield* real.folder, "a.mov")
      yield* real.render(file, { from: 0, to: 30, size: "320x180", video: lossless(codec) })
      const { size } = yield* Effect.promise(() => fs.stat(file))
      // The picture begins behind the first box and ends before the index, which takes less than 8 KiB.
      const holes = Array.from(
        { length: 12 },
        (_, step) => [64 + Math.floor(((size - 12_288) / 12) * step), 4096] as const
      )
      assert.deepStrictEqual(yield* noticed(file, holes), holes)
    })
  )

  it.live("is a sector at least, and may lie across two reads of the file", () =>
    Effect.gen(function* () {
      const file = path.join(yield* real.folder, "a.mov")
      yield* real.render(file, { from: 0, to: 30, size: "1280x720", video: lossless("libx264") })
      const read = 1 << 18
      assert.isAbove((yield* Effect.promise(() => fs.stat(file))).size, read + 12_288)
      const holes = [read - 511, read - 256, read - 1].map((start) => [start, 512] as const)
      assert.deepStrictEqual(yield* noticed(file, [...holes, [read - 128, 256]]), holes)
    })
  )

  it.live("is told from silence and from room that was set aside", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      for (const extension of ["mov", "mkv"]) {
        const file = path.join(dir, `a.${extension}`)
        const sources = "-f lavfi -i testsrc2=s=320x180:r=30:d=1 -f lavfi -i anullsrc=r=48000:cl=stereo -t 1"
        yield* real.ffmpeg(...sources.split(" "), ...lossless("libx264"), ...real.pcm, file)
        const bytes = yield* Effect.promise(() => fs.readFile(file))
        assert.isTrue(bytes.includes(Buffer.alloc(Holes.smallest)), "there are zeros in the file")
        assert.isFalse(yield* isIn(file))
        // In the first picture, which is larger than all the sound before the second.
        assert.lengthOf(yield* noticed(file, [[6000, Holes.smallest]]), 1)
      }
      const reserved = yield* real.render(path.join(dir, "b.mov"), { from: 0, to: 2 })
      yield* Effect.promise(() =>
        fs.appendFile(
          reserved,
          Buffer.concat([Buffer.from("00004000", "hex"), Buffer.from("free"), Buffer.alloc(0x3ff8)])
        )
      )
      assert.isFalse(yield* isIn(reserved))
    })
  )

  it.live("is not looked for in codecs that can hold zeros", () =>
    Effect.gen(function* () {
      const file = path.join(yield* real.folder, "black.mov")
      yield* real.ffmpeg(..."-f lavfi -i color=black:s=64x64:r=30:d=1 -c:v rawvideo -pix_fmt rgb24".split(" "), file)
      assert.isFalse(yield* isIn(file))
    })
  )

  it.live("cannot be looked for in a file that is gone", () =>
    Effect.gen(function* () {
      const file = yield* real.render(path.join(yield* real.folder, "a.mov"), { from: 0, to: 2 })
      const ffmpeg = yield* find
      const media = yield* MediaProbe.probe(ffmpeg, file)
      yield* Effect.promise(() => fs.rm(file))
      const error = yield* Effect.flip(Holes.isIn(ffmpeg, file, media))
      assert.strictEqual(error._tag, "MediaUnreadable")
    })
  )
})
