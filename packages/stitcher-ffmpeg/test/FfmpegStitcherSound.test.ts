/** The sound of a joined file. At its seams, `JoinedSound.test.ts` listens. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"
import { assertReason, failure, stitch } from "./Stitching.ts"

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

  it.live("of AAC chunks is AAC in Matroska, where old builds do not declare what is before the first sample", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [20, 10, 25]
      const files = yield* real.renderChunks(dir, lengths, { audio: ["-c:a", "aac"] })
      const output = path.join(dir, "out.mkv")
      yield* stitch(real.request(files, lengths, output))
      const [, sound] = yield* real.ffprobe(output)
      assert.strictEqual(sound?.["codec_name"], "aac")
      const { length } = yield* real.decodedSamples(output)
      assert.isAtLeast(length, 88_000)
      assert.isAtMost(length, 88_000 + 2048)
    })
  )

  const aac = ["-c:a", "aac"]
  const opus = "-c:a libopus -strict -2".split(" ")
  it.live.each([
    ["mp4", aac, 3, real.x264],
    ["mov", aac, 3, real.x264],
    ["mkv", aac, 3, real.x264],
    ["mp4", real.pcm, 3, real.x264],
    ["mp4", opus, 3, real.x264],
    ["mp4", aac, 1, real.x264],
    ["mp4", aac, 0, real.x264],
    ["mkv", aac, 0, real.x264],
    // With B-frames, ffmpeg finds packets of the chunks' own sound that are before the first one of the picture.
    ["mp4", aac, 3, real.bFrames],
    ["mkv", aac, 3, real.bFrames],
    ["mp4", aac, 0, real.bFrames],
    ["mkv", aac, 1, real.bFrames]
  ] as const)("begins with the picture: .%s from %s, silent in the chunk %i, %s", ([extension, audio, silent, video]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [20, 15, 25]
      const piece = { audio, video, heard: "0.5*sin(2*PI*1000*t)" }
      const from = audio === opus ? "mp4" : "mov"
      const files = yield* real.renderChunks(dir, lengths, piece, from)
      // The sound of one is lost, unless it is the third of two.
      const mute = files[silent]
      if (mute !== undefined) {
        yield* real.ffmpeg("-i", mute, "-an", "-c", "copy", `${mute}.mov`)
        yield* Effect.promise(() => fs.rename(`${mute}.mov`, mute))
      }
      const output = path.join(dir, `out.${extension}`)
      yield* stitch(real.request(files, lengths, output))
      const whole = (yield* Effect.forEach(files, real.decodedFrames)).flat()
      assert.deepStrictEqual(yield* real.decodedFrames(output), whole)
      const [picture] = yield* real.ffprobe(output)
      // With the picture's first frame, as players show it, comes the first sample, whatever is before it in the file.
      const start = Math.round(Number(picture?.["start_time"]) * 48_000)
      assert.isAtMost(start, extension === "mkv" ? 1024 : 0)
      const samples = yield* real.decodedSamples(output)
      const heard = real.loudness(samples, 480).findIndex((level) => level > -20) * 480
      const expected = start + (silent === 0 ? 32_000 : 0)
      assert.closeTo(heard, expected, 1024)
    })
  )

  it.live.each([
    ["webm", 1, true],
    ["webm", 0, true],
    ["webm", 2, false],
    ["mkv", 1, true]
  ] as const)(
    "may be missing in a chunk of Matroska, whose picture begins earlier then: .%s, the chunk %i, incremental %s",
    ([extension, silent, incremental]) =>
      Effect.gen(function* () {
        const dir = yield* real.folder
        const lengths = [20, 15, 25]
        const video = "-c:v libvpx -deadline realtime -cpu-used 8".split(" ")
        const piece = { audio: ["-c:a", "libopus"], video, heard: "0.5*sin(2*PI*1000*t)" }
        const files = yield* real.renderChunks(dir, lengths, piece, extension)
        const mute = files[silent] ?? ""
        yield* real.ffmpeg("-i", mute, "-an", "-c", "copy", `${mute}.mute.${extension}`)
        yield* Effect.promise(() => fs.rename(`${mute}.mute.${extension}`, mute))
        const output = path.join(dir, `out.${extension}`)
        yield* stitch(real.request(files, lengths, output), { incremental })
        const whole = (yield* Effect.forEach(files, real.decodedFrames)).flat()
        assert.deepStrictEqual(yield* real.decodedFrames(output), whole)
        const starts = [0, 20, 35, 60].map((frame) => frame * 1600)
        const [from = 0, to = 0] = starts.slice(silent)
        const levels = real.loudness(yield* real.decodedSamples(output), 480)
        for (const [index, level] of levels.entries()) {
          const at = index * 480
          if (at > from + 1500 && at < to - 1500) assert.isBelow(level, -60, `${at}`)
          else if ((at < from - 1500 || at > to + 1500) && at > 1500 && at < 94_000) assert.isAbove(level, -20, `${at}`)
        }
      })
  )

  it.live.each(["aac", "ac3", "libmp3lame", "libopus", "libvorbis", "flac"])(
    "begins with the picture in Matroska, whatever the encoder puts before it: %s",
    (audioCodec) =>
      Effect.gen(function* () {
        const dir = yield* real.folder
        const lengths = [20, 15, 25]
        const files = yield* real.renderChunks(dir, lengths, { audio: real.pcm, video: real.bFrames }, "mov")
        const output = path.join(dir, "out.mkv")
        yield* stitch(real.request(files, lengths, output), { audioCodec })
        const whole = (yield* Effect.forEach(files, real.decodedFrames)).flat()
        assert.deepStrictEqual(yield* real.decodedFrames(output), whole)
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

  it.live("that ends a part of a block early is refused where it lands, also to be encoded again", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [31, 17, 40]
      const aac = { audio: ["-c:a", "aac"] }
      const files = yield* real.renderChunks(dir, lengths, aac)
      // What -frames:v leaves of it: whole blocks.
      yield* real.render(files[1] ?? "", { from: 31, to: 48, extraSamples: 26 * 1024 - 17 * 1600, ...aac })
      const request = real.request(files, lengths, path.join(dir, "out.mp4"))
      for (const options of [{}, { reencode: { codec: "libx264" } }]) {
        assertReason(yield* failure(request, options), "CannotJoin", 11, /aac sound ends .* ms before the picture/)
      }
      const last = real.request(files.slice(0, 2), lengths.slice(0, 2), path.join(dir, "last.mp4"))
      yield* stitch(last)
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
