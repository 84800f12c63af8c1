/** What chunks may be called, and those that are not what they should be. */
import type { StitchError } from "@helios-infra/core/VideoStitcher"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"
import { assertReason, failure, stitch } from "./Stitching.ts"

describe("names", () => {
  it.live("may hold whatever a file system lets them", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const names = [
        "it's",
        `"q"`,
        "new\nline",
        "-dash",
        "back\\slash",
        " a  b ",
        "ünï 日本 🎬",
        "100%d",
        "file:x",
        "#1?a=b&c",
        "a|b:c,[d];e",
        "*"
      ]
      const inner = path.join(dir, "folder with 'quotes'\nand ?#%")
      yield* Effect.promise(() => fs.mkdir(inner))
      const lengths = names.map(() => 2)
      const files = yield* Effect.forEach(names, (name, index) =>
        real.render(path.join(inner, `${name}.mp4`), { from: index * 2, to: index * 2 + 2 })
      )
      const output = path.join(inner, "-out 'x'\n\"%d#?.mp4")
      yield* stitch(real.request(files, lengths, output))
      const expected = (yield* Effect.forEach(files, real.decodedFrames)).flat()
      assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
    })
  )
})

describe("chunks that are not what they should be", () => {
  const broken: ReadonlyArray<
    readonly [string, (file: string) => Effect.Effect<unknown>, StitchError["reason"]["_tag"], RegExp]
  > = [
    ["missing", (file) => Effect.promise(() => fs.rm(file)), "ChunkInvalid", /found no file/],
    ["empty", (file) => Effect.promise(() => fs.truncate(file)), "ChunkInvalid", /found an empty file/],
    ["a folder", (file) => Effect.promise(() => fs.rm(file).then(() => fs.mkdir(file))), "ChunkInvalid", /no pictures/],
    [
      "truncated",
      (file) => Effect.promise(async () => fs.truncate(file, Math.floor((await fs.stat(file)).size / 2))),
      "ChunkInvalid",
      /\.mov, \.mp4, .*found .*(moov atom|Invalid data)/s
    ],
    [
      "truncated behind its index",
      (file) =>
        Effect.gen(function* () {
          yield* real.render(file, { from: 30, to: 60, video: [...real.x264, "-movflags", "+faststart"] })
          yield* Effect.promise(async () => fs.truncate(file, (await fs.stat(file)).size - 4000))
        }),
      "ChunkInvalid",
      /expected 30 frames, found \d+ frames/
    ],
    [
      "17 of 30 frames",
      (file) => real.render(file, { from: 30, to: 47 }),
      "ChunkInvalid",
      /expected 30 frames, found 17/
    ],
    [
      "another size",
      (file) => real.render(file, { from: 30, to: 60, size: "32x64" }),
      "ChunkInvalid",
      /width 64.*found width 32/
    ],
    [
      "another rate",
      (file) => real.render(file, { from: 30, to: 60, fps: "25" }),
      "ChunkInvalid",
      /expected 30 frames per second, found 25/
    ],
    [
      "nearly the rate",
      (file) => real.render(file, { from: 30, to: 60, fps: "30000/1001" }),
      "ChunkInvalid",
      /expected 30 frames per second, found 30000\/1001/
    ],
    [
      "a variable rate",
      (file) =>
        real.render(file, {
          from: 0,
          to: 0,
          video: ["-vf", "trim=end_frame=30,setpts='if(lt(N,10),N,N+3)/30/TB'", ...real.frameMode("vfr"), ...real.x264]
        }),
      "ChunkInvalid",
      /found a variable frame rate/
    ],
    [
      "another pixel format",
      (file) => real.render(file, { from: 30, to: 60, video: [...real.x264, "-pix_fmt", "yuv444p"] }),
      "ChunkInvalid",
      /pixelFormat yuv420p.*found pixelFormat yuv444p/
    ],
    [
      "another codec",
      (file) => real.render(file, { from: 30, to: 60, video: ["-c:v", "mpeg4"] }),
      "ChunkInvalid",
      /codec h264.*found codec mpeg4/
    ],
    [
      "another time base",
      (file) => real.render(file, { from: 30, to: 60, video: [...real.x264, "-video_track_timescale", "90000"] }),
      "CannotJoin",
      /video_track_timescale/
    ],
    [
      "a text",
      (file) => Effect.promise(() => fs.writeFile(file, "no video\n")),
      "ChunkInvalid",
      /expected a \.mov, \.mp4/
    ],
    [
      "a playlist of other files",
      (file) => Effect.promise(() => fs.writeFile(file, "ffconcat version 1.0\nfile part_0.mp4\n")),
      "ChunkInvalid",
      /whitelist/
    ],
    [
      "sound only",
      (file) => real.ffmpeg("-f", "lavfi", "-i", real.tone(48_000), "-t", "1", file),
      "ChunkInvalid",
      /expected a video stream, found none/
    ],
    [
      "two pictures",
      (file) =>
        real.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=30:d=1", "-map", "0", "-map", "0", ...real.x264, file),
      "ChunkInvalid",
      /found 2 video/
    ]
  ]
  it.live.each(broken)("are named: %s", ([, breakIt, tag, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [30, 30, 30], {})
      yield* breakIt(files[1] ?? "")
      const before = yield* real.listing(dir)
      assertReason(yield* failure(real.request(files, [30, 30, 30], path.join(dir, "out.mp4"))), tag, 11, text)
      assert.deepStrictEqual(yield* real.listing(dir), before)
    })
  )

  it.live("are joined when only their encoder's settings differ and the result decodes to the same pictures", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [6, 6], {})
      yield* real.render(files[1] ?? "", {
        from: 6,
        to: 12,
        video: [...real.x264, "-coder", "1", "-refs", "3", "-8x8dct", "1"]
      })
      const output = path.join(dir, "out.mp4")
      yield* stitch(real.request(files, [6, 6], output))
      assert.deepStrictEqual(
        yield* real.decodedFrames(output),
        (yield* Effect.forEach(files, real.decodedFrames)).flat()
      )
    })
  )

  it.live("are refused when the first chunk's set-up does not fit a later one", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const hevc = (bits: string) => [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        `log-level=none:${bits}`,
        "-pix_fmt",
        "yuv420p"
      ]
      const files = yield* real.renderChunks(dir, [6, 6], { video: hevc("ctu=32:sao=0") })
      yield* real.render(files[1] ?? "", { from: 6, to: 12, video: hevc("ctu=16:sao=1:min-cu-size=8") })
      const error = yield* failure(real.request(files, [6, 6], path.join(dir, "out.mp4")))
      assertReason(error, "CannotJoin", 11, /same encoder and settings/)
    })
  )

  it.live("with rounded timestamps go into a container that rounds, and into no other", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [5, 5], {}, "mkv")
      assertReason(
        yield* failure(real.request(files, [5, 5], path.join(dir, "out.mp4"))),
        "CannotJoin",
        undefined,
        /timestamps are rounded.*\.mkv/
      )
    })
  )
})
