import * as Ffmpeg from "@helios-infra/stitcher-ffmpeg/Ffmpeg"
import * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import * as MovIndex from "@helios-infra/stitcher-ffmpeg/MovIndex"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const piece = { from: 0, to: 40 }

/** Writes a number into a table, so many bytes behind its name. */
const poke = (table: string, at: number, value: number) => (bytes: Buffer) => {
  bytes.writeUInt32BE(value, bytes.indexOf(table) + at)
  return bytes
}

describe("MovIndex", () => {
  it.live.each([
    ["H.264", "mp4", { ...piece }],
    ["B-frames and AAC", "mp4", { ...piece, video: real.bFrames, audio: ["-c:a", "aac"] }],
    ["B-frames at 29.97 and PCM", "mov", { ...piece, fps: "30000/1001", video: real.bFrames, audio: real.pcm }],
    ["an index in front", "mp4", { ...piece, audio: ["-c:a", "aac", "-movflags", "+faststart"] }],
    ["room for an index in front", "mov", { ...piece, audio: [...real.pcm, "-moov_size", "50000"] }]
  ] as const)("says what reading every packet says: %s", ([, extension, from]) =>
    Effect.gen(function* () {
      const ffmpeg = yield* Ffmpeg.find({ ffmpegPath: real.ffmpegPath })
      const file = yield* real.render(path.join(yield* real.folder, `a.${extension}`), from)
      const tracks = yield* MovIndex.read(file)
      const { audio, video } = yield* MediaProbe.probe(ffmpeg, file)
      const [picture, sound] = tracks
      assert.strictEqual(picture?.kind, "Video")
      assert.deepStrictEqual(picture?.tick, video?.tick)
      assert.deepStrictEqual(picture?.timestamps, video?.timestamps)
      assert.strictEqual(picture?.lastDuration, video?.lastDuration)
      assert.lengthOf(picture?.timestamps ?? [], 40)
      if (audio === undefined) return assert.isUndefined(sound)
      assert.strictEqual(sound?.kind, "Audio")
      assert.strictEqual(sound?.tick.denominator, 48_000)
      // What decodes to silence behind the end is not in the index.
      assert.isAtMost(Math.abs(audio.samples - (sound?.length ?? 0)), 1024)
      assert.closeTo(sound?.length ?? 0, (video?.timestamps.length ?? 0) * (from.to === 40 ? 1600 : 0), 1100)
    })
  )

  const damages: ReadonlyArray<readonly [string, (bytes: Buffer) => Buffer, RegExp]> = [
    ["cut off inside its samples", (bytes) => bytes.subarray(0, bytes.indexOf("mdat") + 1000), /ends inside its mdat/],
    ["cut off inside its index", (bytes) => bytes.subarray(0, -100), /ends inside its moov/],
    ["without an index", (bytes) => bytes.subarray(0, bytes.lastIndexOf("moov") - 4), /no index/],
    ["with a place behind its end", poke("stco", 12, 0xf0_00_00_00), /points behind its end/],
    ["with a time too few", poke("stts", 12, 39), /39 times for 40/],
    ["with a table that is longer than it is", poke("stts", 8, 9000), /damaged/],
    ["with tables of another name", poke("stsz", 0, 0x73_74_78_78), /no stsz/],
    ["empty", () => Buffer.alloc(0), /no index/],
    ["a text", () => Buffer.from("this is no video at all"), /ends inside|no index/]
  ]
  it.live.each(damages)("finds a file unreadable that is %s", ([, damage, text]) =>
    Effect.gen(function* () {
      const file = yield* real.render(path.join(yield* real.folder, "a.mp4"), piece)
      yield* Effect.promise(async () => fs.writeFile(file, damage(await fs.readFile(file))))
      const error = yield* Effect.flip(MovIndex.read(file))
      assert.strictEqual(error._tag, "MediaUnreadable")
      assert.match(error.detail, text)
    })
  )
})
