import { assert, describe, it } from "@effect/vitest"
import { OutputCheck, Plugin, VideoStitcher } from "@helios-infra/core"
import { FfmpegPlugin } from "@helios-infra/stitcher-ffmpeg"
import { Effect, Layer } from "effect"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([FfmpegPlugin.stitcher])
  return yield* registry.resolve("stitcher", { type: "ffmpeg", ffmpegPath: real.ffmpegPath, ...options })
})

const job = (file: string, frameCount: number) => ({
  id: "job/0/1.1",
  command: "render",
  meta: {
    _tag: "Chunk" as const,
    jobId: "job",
    run: 1,
    attempt: 1,
    chunkId: 0,
    startFrame: 0,
    frameCount,
    format: {},
    output: { _tag: "File" as const, path: file }
  }
})

describe('{ "type": "ffmpeg" }', () => {
  it.live("joins as its options say", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [5, 5]
      const files = yield* real.renderChunks(dir, lengths, { audio: real.pcm }, "mov")
      const layer = yield* resolve({ audioCodec: "libmp3lame", audioBitrate: "64k", faststart: false })
      const stitcher = yield* real.service(VideoStitcher.VideoStitcher, Layer.orDie(layer))
      const output = path.join(dir, "out.mp4")
      yield* stitcher.stitch(real.request(files, lengths, output))
      const [, sound] = yield* real.ffprobe(output)
      assert.strictEqual(sound?.["codec_name"], "mp3")
    })
  )

  it.live("brings a check that looks into what the same ffmpeg will have to join", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const file = yield* real.render(path.join(dir, "part.mp4"), { from: 0, to: 4 })
      const layer = yield* resolve({ decode: "packets" })
      const { check } = yield* real.service(OutputCheck.OutputCheck, Layer.orDie(layer))
      const ended = { exitCode: 0, stdout: "", stderr: "", durationMs: 1, output: { location: file, bytes: 0 } }
      assert.strictEqual((yield* check(job(file, 4), ended)).format?.codec, "h264")
      assert.match((yield* Effect.flip(check(job(file, 5), ended))).message, /expected 5 frames, found 4/)
    })
  )

  it.live("is a check alone, for jobs that something else joins", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const file = yield* real.render(path.join(dir, "part.mp4"), { from: 0, to: 4 })
      const registry = yield* Plugin.registry([FfmpegPlugin.outputCheck])
      const layer = yield* registry.resolve("outputCheck", {
        type: "ffmpeg",
        ffmpegPath: real.ffmpegPath,
        decode: "full"
      })
      const { check } = yield* real.service(OutputCheck.OutputCheck, Layer.orDie(layer))
      const ended = { exitCode: 0, stdout: "", stderr: "", durationMs: 1, output: { location: file, bytes: 0 } }
      assert.strictEqual((yield* check(job(file, 4), ended)).format?.codec, "h264")
      assert.match((yield* Effect.flip(check(job(file, 5), ended))).message, /expected 5 frames, found 4/)
    })
  )

  it.effect.each([
    [{ faststart: "yes" }, "faststart"],
    [{ decode: "all" }, "decode"],
    [{ audiocodec: "aac" }, "audiocodec"],
    [{ ffmpegPath: "" }, "ffmpegPath"]
  ] as const)("names the option that is wrong: %j", ([options, field]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve(options))
      assert(error.reason._tag === "InvalidConfig")
      assert.deepStrictEqual(
        error.reason.issues.map((issue) => issue.path),
        [field]
      )
      assert.match(error.message, /^stitcher "ffmpeg": /)
    })
  )
})
