import * as AcceptedPrefix from "@helios-infra/core/AcceptedPrefix"
import { type ChunkOutput, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const lengths = [40, 50, 60, 30]

/** A stitch of chunks that land when they are told to, with a preview. */
const begin = Effect.fnUntraced(function* (
  dir: string,
  piece: Omit<real.Piece, "from" | "to">,
  options: FfmpegStitcher.Options & { readonly format?: "hls" | "mp4"; readonly extension?: string } = {}
) {
  const { extension = "mov", format } = options
  const files = yield* real.renderChunks(dir, lengths, piece, extension)
  // A pattern to ffmpeg, if it saw the name.
  const folder = path.join(dir, "watch %d 'me'")
  const whole = real.request(files, lengths, path.join(dir, "out.mp4"))
  const outputs = yield* Stream.runCollect(whole.inputs)
  const landed: Array<ChunkOutput | undefined> = []
  const prefix = AcceptedPrefix.make(files.length, (index) => landed[index])
  const told = yield* Deferred.make<number>()
  const onPlayable = (afterMs: number) => Effect.asVoid(Deferred.succeed(told, afterMs))
  const stitcher = yield* real.service(
    VideoStitcher,
    FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath, preview: { folder, format, onPlayable }, ...options })
  )
  const fiber = yield* Effect.forkChild(stitcher.stitch({ ...whole, inputs: prefix.outputs }))
  const land = (index: number) =>
    Effect.sync(() => {
      landed[index] = outputs[index]
      prefix.grow()
    })
  return { files, fiber, folder, land, output: whole.output, playable: Deferred.await(told) }
})

describe("a preview", () => {
  it.live.each([
    ["silent", {}],
    ["with PCM", { audio: real.pcm, video: real.bFrames }],
    ["with AAC", { audio: ["-c:a", "aac"] }]
  ] as const)("can be played while later chunks are rendered, and to its end later: %s", ([, piece]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const { files, fiber, folder, land, output, playable } = yield* begin(dir, piece)
      for (const index of [0, 1, 2]) yield* land(index)
      const afterMs = yield* playable
      assert.isUndefined(fiber.pollUnsafe())
      const list = path.join(folder, "index.m3u8")
      const early = yield* Effect.promise(() => fs.readFile(list, "utf8"))
      assert.notInclude(early, "#EXT-X-ENDLIST")
      assert.include(early, "#EXT-X-PLAYLIST-TYPE:EVENT")
      const expected = (yield* Effect.forEach(files, real.decodedFrames)).flat()
      const frames = yield* real.decodedFrames(path.join(folder, "0.ts"))
      assert.isAbove(frames.length, 25)
      assert.deepStrictEqual(frames, expected.slice(0, frames.length))

      yield* land(3)
      const result = yield* Fiber.join(fiber)
      assert.strictEqual(result.playableAfterMs, afterMs)
      assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
      assert.include(yield* Effect.promise(() => fs.readFile(list, "utf8")), "#EXT-X-ENDLIST")
      const segments = (yield* real.listing(folder)).filter((name) => name.endsWith(".ts"))
      const inOrder = segments.toSorted((a, b) => parseInt(a, 10) - parseInt(b, 10))
      const watched = (yield* Effect.forEach(inOrder, (name) => real.decodedFrames(path.join(folder, name)))).flat()
      assert.deepStrictEqual(watched, expected)
    })
  )

  const vp9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 300 -pix_fmt yuv420p".split(" ")
  it.live.each([
    ["silent", { video: real.x264 }],
    ["with PCM and B-frames", { audio: real.pcm, video: real.bFrames }],
    ["with AAC", { audio: ["-c:a", "aac"] }],
    ["VP9", { video: vp9, audio: ["-c:a", "aac"] }, "mp4"]
  ] as const)(
    "as a fragmented MP4 can be played while later chunks are rendered, and to its end: %s",
    ([name, piece, extension = "mov"]) =>
      Effect.gen(function* () {
        const dir = yield* real.folder
        const { files, fiber, folder, land, output, playable } = yield* begin(dir, piece, { format: "mp4", extension })
        for (const index of [0, 1, 2]) yield* land(index)
        const afterMs = yield* playable
        assert.isUndefined(fiber.pollUnsafe())
        const movie = path.join(folder, "preview.mp4")
        const expected = (yield* Effect.forEach(files, real.decodedFrames)).flat()
        // A copy of it as it is just now, which ends anywhere.
        const early = path.join(dir, "early.mp4")
        yield* Effect.promise(() => fs.copyFile(movie, early))
        const frames = (yield* real.decodedFrames(early)).slice(0, -3) // the last may be shown behind others, not there yet
        assert.isAbove(frames.length, 25)
        assert.isBelow(frames.length, expected.length)
        assert.deepStrictEqual(frames, expected.slice(0, frames.length))
        yield* land(3)
        const result = yield* Fiber.join(fiber)
        assert.strictEqual(result.playableAfterMs, afterMs)
        assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
        assert.deepStrictEqual(yield* real.decodedFrames(movie), expected)
        if (name !== "silent") assert.strictEqual((yield* real.ffprobe(movie))[1]?.["codec_name"], "aac")
        assert.deepStrictEqual(yield* real.listing(folder), ["preview.mp4"])
      })
  )

  it.live("has the tracks that are mixed in, as the file has", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const music = path.join(dir, "music.wav")
      yield* real.ffmpeg("-f", "lavfi", "-i", "sine=f=500:d=9", music)
      const { fiber, folder, land, output } = yield* begin(dir, { audio: real.pcm }, { audioTracks: [{ path: music }] })
      for (const index of lengths.keys()) yield* land(index)
      yield* Fiber.join(fiber)
      // Both hear the music, over a second.
      const [whole, segment] = [
        yield* real.decodedSamples(output),
        yield* real.decodedSamples(path.join(folder, "0.ts"))
      ]
      const level = (samples: Float32Array) => real.loudness(samples.subarray(9600, 38_400), 28_800)[0] ?? 0
      assert.isAbove(level(whole), -20)
      assert.closeTo(level(segment), level(whole), 1)
    })
  )

  it.live("is gone when the stitch is stopped, with nothing else of its folder", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const { fiber, folder, land, playable } = yield* begin(dir, {})
      for (const index of [0, 1, 2]) yield* land(index)
      yield* playable
      yield* Effect.promise(() => fs.writeFile(path.join(folder, "notes.txt"), "mine"))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* real.listing(folder), ["notes.txt"])
      assert.notInclude(yield* real.listing(dir), "out.mp4")
    })
  )

  it.live("is refused for pictures that it cannot hold, and where its folder cannot be", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const { fiber, land } = yield* begin(dir, { video: ["-c:v", "mpeg4"] })
      yield* land(0)
      const codec = yield* Effect.flip(Fiber.join(fiber))
      assert.match(codec.message, /an HLS preview can hold h264, hevc, and they are mpeg4.*format "mp4"/)
      const preview = { folder: path.join(dir, "part_0.mov/below") }
      const other = yield* begin(dir, {}, { preview })
      const place = yield* Effect.flip(Fiber.join(other.fiber))
      assert.strictEqual(place.reason._tag, "OutputUnwritable")
      assert.match(place.message, /the preview: ENOTDIR/)
    })
  )
})
