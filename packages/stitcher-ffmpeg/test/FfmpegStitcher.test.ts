import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { type StitchError, type StitchRequest, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as Environment from "@helios-infra/process/Environment"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const stitch = (request: StitchRequest, options?: FfmpegStitcher.Options) =>
  Effect.flatMap(
    real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath, ...options })),
    (stitcher) => stitcher.stitch(request)
  )

const failure = (request: StitchRequest, options?: FfmpegStitcher.Options) => Effect.flip(stitch(request, options))

const assertReason = (
  error: StitchError,
  tag: StitchError["reason"]["_tag"],
  chunkId: number | undefined,
  text: RegExp
) => {
  assert.strictEqual(error.reason._tag, tag, error.message)
  assert.strictEqual(error.chunkId, chunkId, error.message)
  assert.match(error.message, text)
}

const hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=3:open-gop=0 -pix_fmt yuv420p".split(
  " "
)
const prores = "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le".split(" ")
// With frames that are not shown, which others are made of.
const vp9 = "-c:v libvpx-vp9 -cpu-used 8 -lag-in-frames 16 -auto-alt-ref 1 -pix_fmt yuv420p".split(" ")

const wholeOf = (files: ReadonlyArray<string>) =>
  Effect.map(Effect.forEach(files, real.decodedFrames), (frames) => frames.flat())

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

describe("a .gif", () => {
  it.live.each([
    ["30", real.bFrames],
    ["25", real.x264],
    ["30000/1001", real.x264],
    ["50", real.x264]
  ] as const)("shows every frame when it should be, and none of the sound, at %s fps", ([fps, video]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [8, 3, 13]
      const files = yield* real.renderChunks(dir, lengths, { fps, video, audio: real.pcm }, "mov")
      const output = path.join(dir, "out.gif")
      yield* stitch(real.request(files, lengths, output, fps))
      const streams = yield* real.ffprobe(output)
      assert.lengthOf(streams, 1)
      assert.deepInclude(streams[0], { codec_name: "gif", width: 64, height: 64, nb_read_packets: "24" })
      // Each picture is the chunks' own, in 256 colours: nearer to it than to those before and behind.
      const gray = (file: string) =>
        Effect.map(
          real.ffmpeg("-i", file, "-map", "0:v", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"),
          (bytes) =>
            Array.from({ length: bytes.length / 4096 }, (_, index) => bytes.subarray(index * 4096, (index + 1) * 4096))
        )
      const drawn = yield* gray(output)
      const own = (yield* Effect.forEach(files, gray)).flat()
      assert.lengthOf(drawn, 24)
      const distance = (a: Buffer | undefined, b: Buffer) =>
        a === undefined ? Infinity : a.reduce((sum, value, at) => sum + Math.abs(value - (b[at] ?? 0)), 0)
      for (const [index, picture] of drawn.entries()) {
        const here = distance(own[index], picture)
        assert.isBelow(here, distance(own[index - 1], picture), `${index}`)
        assert.isBelow(here, distance(own[index + 1], picture), `${index}`)
      }
    })
  )

  it.live("is refused where it would be too fast, or chunks were encoded in several ways", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [4, 4], {})
      const fast = yield* real.renderChunks(yield* real.folder, [4, 4], { fps: "60" })
      const output = path.join(dir, "out.gif")
      assertReason(
        yield* failure(real.request(fast, [4, 4], output, "60")),
        "CannotJoin",
        undefined,
        /50 frames a second at most/
      )
      yield* real.render(files[1] ?? "", { from: 4, to: 8, video: [...real.x264, "-coder", "1", "-refs", "3"] })
      const request = real.request(files, [4, 4], output)
      assertReason(yield* failure(request), "CannotJoin", 11, /other settings.*option reencode/)
      yield* stitch(request, { reencode: { codec: "libx264" } })
      assert.include(yield* real.listing(dir), "out.gif")
    })
  )
})

describe("the sound", () => {
  it.live("is the samples of the chunks, to the last one, where the container keeps PCM", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [10, 1, 25, 14]
      const files = yield* real.renderChunks(dir, lengths, { audio: real.pcm }, "mov")
      const output = path.join(dir, "out.mov")
      yield* stitch(real.request(files, lengths, output))
      const whole = yield* real.render(path.join(dir, "whole.mov"), { from: 0, to: 50, audio: real.pcm })
      assert.deepStrictEqual(yield* real.decodedSamples(output), yield* real.decodedSamples(whole))
    })
  )

  const encoded = [
    ["aac in .mp4", "30", "mp4", 1024],
    ["aac in .mp4 at 29.97 fps, where no chunk ends with a whole sample", "30000/1001", "mp4", 1024],
    ["opus in .mkv", "30", "mkv", 4096]
  ] as const
  it.live.each(encoded)("is encoded once, without a seam: %s", ([, fps, extension, block]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [17, 8, 21, 16, 13]
      const files = yield* real.renderChunks(dir, lengths, { fps, audio: real.pcm }, "mov")
      const output = path.join(dir, `out.${extension}`)
      yield* stitch(real.request(files, lengths, output, fps), extension === "mkv" ? { audioCodec: "libopus" } : {})

      const [rate = 0, per = 1] = fps.split("/").map(Number)
      const exact = Math.floor((75 * 48_000 * per) / rate)
      const samples = yield* real.decodedSamples(output)
      assert.isAtLeast(samples.length, exact)
      assert.isAtMost(samples.length, exact + block)

      // What one encoder makes of the sound that was never cut, at most 1 dB away in every 10 ms.
      const whole = path.join(dir, `whole.${extension}`)
      const codec = extension === "mkv" ? "libopus" : "aac"
      yield* real.render(whole, { from: 0, to: 75, fps, audio: ["-c:a", codec, "-b:a", "192k"] })
      const reference = real.loudness((yield* real.decodedSamples(whole)).subarray(0, exact), 480)
      const levels = real.loudness(samples.subarray(0, exact), 480)
      assert.lengthOf(levels, reference.length)
      for (const [index, level] of levels.entries()) assert.closeTo(level, reference[index] ?? 0, 1, `${index * 10} ms`)
    })
  )

  it.live("does not drift where chunks are cut between samples", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = Array.from({ length: 12 }, () => 7)
      const files = yield* real.renderChunks(dir, lengths, { fps: "60000/1001", audio: real.pcm }, "mov")
      const output = path.join(dir, "out.mov")
      yield* stitch(real.request(files, lengths, output, "60000/1001"))
      assert.strictEqual((yield* real.decodedSamples(output)).length, Math.floor(84 * 800.8))
    })
  )

  it.live.each([
    ["short", -2, /expected 8000 samples of sound for 5 frames, found 7998 samples/],
    ["long", 300, /found 8300 samples/]
  ] as const)("must be as long as the picture: %s", ([, extraSamples, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [5, 5], { audio: real.pcm }, "mov")
      yield* real.render(files[0] ?? "", { from: 0, to: 5, audio: real.pcm, extraSamples })
      assertReason(yield* failure(real.request(files, [5, 5], path.join(dir, "out.mp4"))), "ChunkInvalid", 10, text)
    })
  )
})

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
    ["a folder", (file) => Effect.promise(() => fs.rm(file).then(() => fs.mkdir(file))), "ChunkInvalid", /no file/],
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
          video: ["-vf", "trim=end_frame=30,setpts='if(lt(N,10),N,N+3)/30/TB'", "-vsync", "vfr", ...real.x264]
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

describe("the request", () => {
  it.live("is refused when its counts do not agree", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const good = real.request(files, [3, 3], path.join(dir, "out.mp4"))
      assertReason(yield* failure({ ...good, frames: 7 }), "CannotJoin", undefined, /add up to 6 frames/)
      assertReason(
        yield* failure({ ...good, inputs: Stream.take(good.inputs, 1) }),
        "InputsNotConsumed",
        undefined,
        /1 of 2/
      )
      assertReason(
        yield* failure({ ...good, inputs: Stream.empty, total: 0, frames: 0, frameCounts: [] }),
        "CannotJoin",
        undefined,
        /no chunks/
      )
      assertReason(yield* failure({ ...good, fps: "fast" }), "CannotJoin", undefined, /30000\/1001/)
      assertReason(
        yield* failure({ ...good, output: path.join(dir, "out.avi") }),
        "CannotJoin",
        undefined,
        /"avi" is no container/
      )
      assertReason(
        yield* failure({ ...good, output: path.join(dir, "out.webm") }),
        "CannotJoin",
        undefined,
        /cannot hold h264/
      )
      assert.deepStrictEqual(yield* real.listing(dir), ["part_0.mp4", "part_1.mp4"])
    })
  )

  it.live("may name the container", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const output = path.join(dir, "final")
      yield* stitch({ ...real.request(files, [3, 3], output), format: "mp4" })
      assert.lengthOf(yield* real.decodedFrames(output), 6)
    })
  )

  it.live(
    "of 500 chunks takes one ffmpeg to join and a few to read",
    () =>
      Effect.gen(function* () {
        const dir = yield* real.folder
        const two = yield* real.renderChunks(dir, [1, 1], { audio: real.pcm }, "mov")
        const files = Array.from({ length: 500 }, (_, index) => two[index % 2] ?? "")
        const output = path.join(dir, "out.mp4")
        yield* stitch(
          real.request(
            files,
            files.map(() => 1),
            output
          )
        )
        const frames = yield* real.decodedFrames(output)
        assert.lengthOf(frames, 500)
        const [a, b] = (yield* Effect.forEach(two, real.decodedFrames)).flat()
        assert.isTrue(frames.every((hash, index) => hash === (index % 2 === 0 ? a : b)))
      }),
    120_000
  )
})

describe("the output", () => {
  it.live.each([
    ["by its name", (file: string) => Effect.succeed(file)],
    [
      "by another path",
      (file: string) =>
        Effect.succeed(path.join(path.dirname(file), "../", path.basename(path.dirname(file)), path.basename(file)))
    ],
    [
      "by a link",
      (file: string) =>
        Effect.as(
          Effect.promise(() => fs.link(file, `${file}-link.mp4`)),
          `${file}-link.mp4`
        )
    ]
  ] as const)("is none of the chunks: %s", ([, as]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const before = yield* wholeOf(files)
      const error = yield* failure(real.request(files, [3, 3], yield* as(files[1] ?? "")))
      assertReason(error, "CannotJoin", 11, /is the output, and this chunk as well: choose another name/)
      assert.deepStrictEqual(yield* wholeOf(files), before)
    })
  )

  const unwritable: ReadonlyArray<readonly [string, (dir: string) => string, RegExp]> = [
    ["in a folder that is not there", (dir) => path.join(dir, "nowhere/out.mp4"), /create it/],
    ["below a file", (dir) => path.join(dir, "part_0.mp4/out.mp4"), /not a folder/],
    ["where a folder is", (dir) => dir, /no file is there/],
    ["where a device is", () => "/dev/full", /no file is there/],
    ["in a folder that nobody may write to", () => "/proc/self/out.mp4", /could not be written/]
  ]
  it.live.each(unwritable)("cannot be written: %s", ([, where, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3], {})
      const error = yield* failure({ ...real.request(files, [3], where(dir)), format: "mp4" })
      assertReason(error, "OutputUnwritable", undefined, text)
    })
  )

  it.live("cannot be written: the disk is full", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      // Stands for a full disk: sends what ffmpeg writes to the device that is always full.
      const full = path.join(dir, "ffmpeg-full")
      const script = `#!/bin/bash\nlast="\${@: -1}"\nif [[ "$last" == joined* ]]; then exec '${real.ffmpegPath}' -y "\${@:1:$#-1}" -f mp4 /dev/full; fi\nexec '${real.ffmpegPath}' "$@"\n`
      yield* Effect.promise(() => fs.writeFile(full, script, { mode: 0o755 }))
      const error = yield* failure(real.request(files, [3, 3], path.join(dir, "out.mp4")), { ffmpegPath: full })
      assertReason(error, "OutputUnwritable", undefined, /No space left/)
      assert.notInclude(yield* real.listing(dir), "out.mp4")
    })
  )

  it.live("replaces an older one, which stays when joining fails", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const output = path.join(dir, "out.mp4")
      yield* Effect.promise(() => fs.writeFile(output, "older"))
      const files = yield* real.renderChunks(dir, [3, 3], {})
      yield* failure(real.request(files, [3, 4], output))
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(output, "utf8")), "older")
      yield* stitch(real.request(files, [3, 3], output))
      assert.lengthOf(yield* real.decodedFrames(output), 6)
    })
  )

  it.live("is thrown away when ffmpeg succeeds and frames are missing", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [6, 6], {})
      // Stands for an ffmpeg that loses frames without a word, as its concat demuxer does.
      const lossy = path.join(dir, "ffmpeg-lossy")
      const script = `#!/bin/bash\nlast="\${@: -1}"\nif [[ "$last" == joined* ]]; then exec '${real.ffmpegPath}' "\${@:1:$#-1}" -frames:v 11 "$last"; fi\nexec '${real.ffmpegPath}' "$@"\n`
      yield* Effect.promise(() => fs.writeFile(lossy, script, { mode: 0o755 }))
      const error = yield* failure(real.request(files, [6, 6], path.join(dir, "out.mp4")), { ffmpegPath: lossy })
      assertReason(error, "ResultInvalid", undefined, /expected 12 frames, found 11 frames/)
      assert.notInclude(yield* real.listing(dir), "out.mp4")
    })
  )
})

describe("stopping", () => {
  it.live("leaves neither a process nor a file", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const before = yield* real.listing(dir)
      // An ffmpeg that writes half a file, says where it runs, and never ends.
      const hanging = path.join(dir, "../", `${path.basename(dir)}-hanging`)
      const pidFile = `${hanging}.pid`
      yield* Effect.addFinalizer(() =>
        Effect.promise(() => Promise.all([fs.rm(hanging, { force: true }), fs.rm(pidFile, { force: true })]))
      )
      const script = `#!/bin/bash\nlast="\${@: -1}"\nif [[ "$last" == joined* ]]; then echo half > "$last"; trap '' TERM; sleep 1000 & echo "$! $$" > '${pidFile}'; wait; sleep 1000; fi\nexec '${real.ffmpegPath}' "$@"\n`
      yield* Effect.promise(() => fs.writeFile(hanging, script, { mode: 0o755 }))
      const fiber = yield* Effect.forkChild(
        stitch(real.request(files, [3, 3], path.join(dir, "out.mp4")), { ffmpegPath: hanging })
      )
      const pids = yield* Effect.promise(() => fs.readFile(pidFile, "utf8")).pipe(
        Effect.filterOrFail((text) => text.endsWith("\n")),
        Effect.sandbox,
        Effect.eventually
      )
      assert.isAbove((yield* real.listing(dir)).length, before.length)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* real.listing(dir), before)
      for (const pid of pids.trim().split(" ")) {
        const alive = yield* Effect.promise(() => fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone"))
        // A dead process that nobody has waited for is a zombie, and runs no more.
        assert.match(alive, /^gone$|\) Z /)
      }
    })
  )
})

describe("ffmpeg", () => {
  it.live("is asked for when it is missing", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3], {})
      const error = yield* failure(real.request(files, [3], path.join(dir, "out.mp4")), { ffmpegPath: undefined }).pipe(
        Effect.provideService(Environment.ParentEnvironment, { PATH: dir })
      )
      assertReason(error, "ToolMissing", undefined, /apt install ffmpeg/)
    })
  )

  it.live("is asked for in another version, where it lacks an encoder or an option, and not tried again", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], { audio: real.pcm }, "mov")
      const request = real.request(files, [3, 3], path.join(dir, "out.mp4"))
      const encoder = yield* failure(request, { audioCodec: "libnone" })
      assertReason(
        encoder,
        "ToolMissing",
        undefined,
        /ffmpeg \(\S+\) cannot .*Unknown encoder 'libnone'.*ffmpeg 4\.1 or later/
      )
      const starts = path.join(dir, "starts")
      const ffmpegPath = yield* real.ffmpegThat(
        path.join(dir, "ffmpeg-old"),
        `echo start >> '${starts}'; echo "[error] Unrecognized option 'moov_size'." >&2; exit 1`
      )
      const old = yield* failure(request, { ffmpegPath })
      assertReason(old, "ToolMissing", undefined, /ffmpeg-old \(\S+\).*'moov_size'.*FFMPEG_PATH/)
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(starts, "utf8")), "start\n")
      assert.deepStrictEqual(yield* real.listing(dir), ["ffmpeg-old", "part_0.mov", "part_1.mov", "starts"])
    })
  )
})
