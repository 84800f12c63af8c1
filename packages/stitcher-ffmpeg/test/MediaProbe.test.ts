import * as Ffmpeg from "@helios-infra/stitcher-ffmpeg/Ffmpeg"
import * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const find = Ffmpeg.find({ ffmpegPath: real.ffmpegPath })

describe("probe", () => {
  it.live("tells of every frame and sample", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* find
      const dir = yield* real.folder
      const file = path.join(dir, "a.mov")
      yield* real.render(file, { from: 0, to: 12, fps: "30000/1001", video: real.bFrames, audio: real.pcm })
      const media = yield* MediaProbe.probe(ffmpeg, file, { decode: "full" })
      assert.deepStrictEqual(media.streams, { video: 1, audio: 1 })
      assert.include(media.container, "mov")
      assert.deepInclude(media.video, {
        index: 0,
        codec: "h264",
        pixelFormat: "yuv420p",
        width: 64,
        height: 64,
        tick: { numerator: 1, denominator: 30_000 },
        timestamps: Array.from({ length: 12 }, (_, frame) => frame * 1001),
        lastDuration: 1001,
        ahead: 2002,
        rate: Option.some({ numerator: 30_000, denominator: 1001 }),
        decodedFrames: 12
      })
      assert.deepStrictEqual(media.audio, {
        index: 1,
        codec: "pcm_s16le",
        sampleRate: 48_000,
        layout: "stereo",
        samples: Math.round(12 * 1601.6),
        start: 0
      })
      assert.strictEqual(media.seconds, 0.4)
      for (const decode of ["packets", "keyframes"] as const) {
        const less = yield* MediaProbe.probe(ffmpeg, file, { decode })
        assert.isUndefined(less.video?.decodedFrames)
        assert.deepStrictEqual(less.video?.timestamps, media.video?.timestamps)
        assert.deepStrictEqual(less.audio, media.audio)
      }
    })
  )

  it.live("has the first frame and the first sample of a header, whichever comes first", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* find
      const dir = yield* real.folder
      const vp8 = "-c:v libvpx -deadline realtime -pix_fmt yuv420p".split(" ")
      for (const [extension, video, audio] of [
        ["webm", vp8, ["-c:a", "libopus"]],
        ["mkv", real.x264, ["-c:a", "aac"]],
        ["mp4", real.bFrames, ["-c:a", "aac"]],
        ["mov", real.bFrames, real.pcm]
      ] as const) {
        const file = yield* real.render(path.join(dir, `a.${extension}`), { from: 0, to: 100, fps: "24", video, audio })
        const whole = yield* MediaProbe.probe(ffmpeg, file)
        const header = yield* MediaProbe.probeHeader(ffmpeg, file)
        assert.strictEqual(header.video?.timestamps[0], whole.video?.timestamps[0], extension)
        assert.strictEqual(header.audio?.start, whole.audio?.start, extension)
        assert.isBelow(header.video?.timestamps.length ?? 100, 20, extension)
      }
    })
  )

  it.live("counts the samples that sound decodes to, however it is encoded", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* find
      const dir = yield* real.folder
      for (const [extension, ...audio] of [
        ["mkv", "-c:a", "pcm_s24le"],
        ["mov", "-c:a", "pcm_f32le", "-ac", "1"],
        ["mkv", "-c:a", "flac"]
      ] as const) {
        const file = yield* real.render(path.join(dir, `a.${extension}`), {
          from: 0,
          to: 25,
          sampleRate: 44_100,
          audio
        })
        const media = yield* MediaProbe.probe(ffmpeg, file)
        assert.deepInclude(media.audio, { samples: 36_750, sampleRate: 44_100, codec: audio[1] })
      }
    })
  )

  it.live("calls a file that is no video unreadable", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* find
      const file = path.join(yield* real.folder, "a.mp4")
      yield* Effect.promise(() => fs.writeFile(file, "no video"))
      const error = yield* Effect.flip(MediaProbe.probe(ffmpeg, file))
      assert.instanceOf(error, MediaProbe.MediaUnreadable)
      assert.include(error.message, file)
    })
  )
})

describe("probeAll", () => {
  it.live("reads many files in order, and says which one it cannot read", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* find
      const dir = yield* real.folder
      const lengths = [3, 5, 4]
      const three = yield* real.renderChunks(dir, lengths, { audio: real.pcm }, "mov")
      const files = Array.from({ length: 70 }, (_, index) => three[index % 3] ?? "")
      const all = yield* MediaProbe.probeAll(ffmpeg, files, (index) => index)
      assert.deepStrictEqual(
        all.map((media) => [media.video?.timestamps.length, media.audio?.samples]),
        files.map((_, index) => [lengths[index % 3], (lengths[index % 3] ?? 0) * 1600])
      )
      files[41] = path.join(dir, "missing.mov")
      assert.strictEqual(yield* Effect.flip(MediaProbe.probeAll(ffmpeg, files, (index) => index)), 41)
      assert.deepStrictEqual(yield* MediaProbe.probeAll(ffmpeg, [], (index) => index), [])
    })
  )

  it.live("reads files with and without sound side by side", () =>
    Effect.gen(function* () {
      const ffmpeg = yield* find
      const dir = yield* real.folder
      const silent = yield* real.render(path.join(dir, "silent.mp4"), { from: 0, to: 2 })
      const sounding = yield* real.render(path.join(dir, "sounding.mov"), { from: 0, to: 2, audio: real.pcm })
      const all = yield* MediaProbe.probeAll(ffmpeg, [silent, sounding, silent], (index) => index)
      assert.deepStrictEqual(
        all.map((media) => MediaProbe.formatOf(media).audio),
        ["none", "pcm_s16le 48000 stereo", "none"]
      )
    })
  )
})
