/** The picture of a joined file: every frame once, in its place, as the chunks have it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"
import { assertReason, failure, stitch } from "./Stitching.ts"

const hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3:open-gop=0 -pix_fmt yuv420p".split(
  " "
)
const prores = "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le".split(" ")
// With frames that are not shown, which others are made of.
const vp9 = "-c:v libvpx-vp9 -cpu-used 8 -lag-in-frames 16 -auto-alt-ref 1 -pix_fmt yuv420p".split(" ")

describe("the picture", () => {
  const cases = [
    ["30 fps", "30", real.x264, "mp4", "mp4"],
    ["30 fps with B-frames", "30", real.bFrames, "mp4", "mp4"],
    ["24 fps with B-frames", "24", real.bFrames, "mov", "mp4"],
    ["23.976 fps", "24000/1001", real.x264, "mp4", "mov"],
    ["29.97 fps with B-frames", "30000/1001", real.bFrames, "mp4", "mp4"],
    ["59.94 fps with B-frames", "60000/1001", real.bFrames, "mov", "mp4"],
    ["30 fps with B-frames, into Matroska", "30", real.bFrames, "mp4", "mkv"],
    ["29.97 fps from Matroska into Matroska", "30000/1001", real.x264, "mkv", "mkv"],
    ["HEVC with B-frames at 59.94 fps", "60000/1001", hevc, "mp4", "mov"],
    ["ProRes with alpha at 23.976 fps", "24000/1001", prores, "mov", "mov"],
    ["Motion JPEG", "25", ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"], "mov", "mkv"],
    ["PNG pictures with alpha", "30", ["-c:v", "png", "-pix_fmt", "rgba"], "mov", "mov"],
    ["VP9 in .webm", "30", vp9, "webm", "webm"],
    ["30 fps VP8", "30", ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"], "webm", "webm"]
  ] as const
  it.live.each(cases)("has every frame once, in order and on the grid: %s", ([, fps, video, from, to]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [7, 1, 20, 13, 2]
      const files = yield* real.renderChunks(dir, lengths, { fps, video }, from)
      const output = path.join(dir, `out.${to}`)
      const result = yield* stitch(real.request(files, lengths, output, fps))

      const chunkFrames = (yield* Effect.forEach(files, real.decodedFrames)).flat()
      assert.deepStrictEqual(yield* real.decodedFrames(output), chunkFrames)
      assert.strictEqual(new Set(chunkFrames).size, 43)
      assert.strictEqual(result.frames, 43)
      assert.strictEqual(result.bytes, (yield* Effect.promise(() => fs.stat(output))).size)

      const streams = yield* real.ffprobe(output)
      assert.strictEqual(streams.length, 1)
      assert.strictEqual(streams[0]?.["nb_read_packets"], "43")
      if (to !== "mkv" && to !== "webm") {
        const [rate = 0, per = 1] = fps.split("/").map(Number)
        assert.strictEqual(streams[0]?.["avg_frame_rate"], `${rate}/${per}`)
        assert.closeTo(Number(streams[0]?.["duration"]), (43 * per) / rate, 1e-6)
        assert.strictEqual(Number(streams[0]?.["start_time"]), 0)
      }
      assert.deepStrictEqual(
        (yield* real.listing(dir)).filter((name) => name.startsWith(".")),
        []
      )
    })
  )
})

describe("what decodes only with more than its frames", () => {
  it.live("keeps the alpha of VP9, which is beside its frames", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [5, 8, 3]
      const video = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -auto-alt-ref 0 -pix_fmt yuva420p".split(" ")
      const files = yield* Effect.forEach(lengths, (frames, index) => {
        const file = path.join(dir, `part_${index}.webm`)
        const picture = `color=red@0.${index + 2}:s=64x64:r=30,format=yuva420p`
        return Effect.as(real.ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", `${frames}`, ...video, file), file)
      })
      const output = path.join(dir, "out.webm")
      yield* stitch(real.request(files, lengths, output))
      // Only libvpx looks at it.
      const alphaOf = (file: string) =>
        real.ffmpeg(
          "-c:v",
          "libvpx-vp9",
          "-i",
          file,
          "-vf",
          "alphaextract,scale=1:1",
          "-f",
          "rawvideo",
          "-pix_fmt",
          "gray",
          "-"
        )
      const expected = Buffer.concat(yield* Effect.forEach(files, alphaOf))
      assert.lengthOf(expected, 16)
      assert.lengthOf([...new Set(expected)], 3)
      assert.deepStrictEqual(yield* alphaOf(output), expected)
    })
  )

  const gops = "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=2:b-adapt=0"
  it.live.each([
    ["x264", [...real.x264, "-bf", "2", "-x264-params", gops]],
    [
      "x265",
      ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", `log-level=none:${gops}`]
    ]
  ] as const)("is refused where a chunk begins inside an open GOP, encoded again or not: %s", ([, video]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const long = yield* real.render(path.join(dir, "long.mp4"), { from: 0, to: 48, video })
      const first = yield* real.render(path.join(dir, "first.mp4"), { from: 0, to: 12, video })
      const cut = path.join(dir, "cut.mp4")
      yield* real.ffmpeg("-ss", "0.8", "-i", long, "-c", "copy", "-frames:v", "12", "-copyts", cut)
      const request = real.request([first, cut], [12, 12], path.join(dir, "out.mp4"))
      for (const reencode of [undefined, { codec: "libx264" }]) {
        assertReason(yield* failure(request, { reencode }), "ChunkInvalid", 11, /open GOP/)
      }
    })
  )
})
