import { VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const lossless = { codec: "libx264", args: ["-qp", "0", "-preset", "ultrafast", "-threads", "1"] }

const stitch = (
  files: ReadonlyArray<string>,
  lengths: ReadonlyArray<number>,
  output: string,
  options: FfmpegStitcher.Options = {},
  fps = "30"
) =>
  Effect.flatMap(
    real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath, ...options })),
    (stitcher) => stitcher.stitch(real.request(files, lengths, output, fps))
  )

const decoded = (files: ReadonlyArray<string>) =>
  Effect.map(Effect.forEach(files, real.decodedFrames), (frames) => frames.flat())

describe("chunks that cannot be joined as they are", () => {
  const video = [...real.x264, "-qp", "0"]
  const cases: ReadonlyArray<readonly [string, Partial<real.Piece>, RegExp]> = [
    ["another codec", { video: ["-c:v", "mpeg4", "-qscale:v", "1"] }, /codec h264.*option reencode.*codec mpeg4/],
    ["another time base", { video: [...video, "-video_track_timescale", "90000"] }, /option reencode/]
  ]
  it.live.each(cases)("say what would join them, and are joined by it, frame by frame: %s", ([, other, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [9, 12, 6]
      const files = [...(yield* real.renderChunks(dir, lengths, { video, audio: real.pcm }, "mov"))]
      const odd = files[1] ?? ""
      yield* real.render(odd, { from: 9, to: 21, audio: real.pcm, ...other })
      const output = path.join(dir, "out.mp4")
      const error = yield* Effect.flip(stitch(files, lengths, output))
      assert.strictEqual(error.chunkId, 11, error.message)
      assert.match(error.message, text)
      assert.notInclude(yield* real.listing(dir), "out.mp4")
      yield* stitch(files, lengths, output, { reencode: lossless })
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* decoded(files))
    })
  )

  it.live("because their timestamps are rounded come out on the grid, with their sound", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [7, 11]
      const fps = "30000/1001"
      const files = yield* real.renderChunks(dir, lengths, { fps, video, audio: real.pcm }, "mkv")
      const output = path.join(dir, "out.mov")
      yield* stitch(files, lengths, output, { reencode: lossless }, fps)
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* decoded(files))
      const [picture] = yield* real.ffprobe(output)
      assert.strictEqual(picture?.["avg_frame_rate"], fps)
      assert.strictEqual((yield* real.decodedSamples(output)).length, Math.floor(18 * 1601.6))
    })
  )

  it.live("for AAC and 24 fps, B-frames and another pixel format are joined to the frame and the sample", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [10, 13]
      const piece = { fps: "24", audio: ["-c:a", "aac"], video: real.bFrames }
      const files = yield* real.renderChunks(dir, lengths, piece, "mp4")
      const output = path.join(dir, "out.mov")
      const reencode = { codec: "prores", pixelFormat: "yuv422p10le" }
      yield* stitch(files, lengths, output, { reencode }, "24")
      const [picture, sound] = yield* real.ffprobe(output)
      assert.deepInclude(picture, { codec_name: "prores", pix_fmt: "yuv422p10le", nb_read_packets: "23" })
      assert.strictEqual(sound?.["codec_name"], "pcm_s24le")
      assert.strictEqual((yield* real.decodedSamples(output)).length, 46_000)
    })
  )

  it.live("must decode, and have the size of the others", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [6, 6], { video })
      yield* real.render(files[1] ?? "", { from: 6, to: 12, size: "32x64" })
      const output = path.join(dir, "out.mp4")
      const other = yield* Effect.flip(stitch(files, [6, 6], output, { reencode: lossless }))
      assert.match(other.message, /at chunk 11.*width 64.*found width 32/)
      yield* real.render(files[1] ?? "", { from: 6, to: 12, video })
      const [, second] = yield* real.packets(files[1] ?? "")
      assert(second !== undefined)
      yield* Effect.promise(async () => {
        const file = await fs.open(files[1] ?? "", "r+")
        await file.write(Buffer.alloc(second.size, 0xff), 0, second.size, second.position)
        await file.close()
      })
      const damaged = yield* Effect.flip(stitch(files, [6, 6], output, { reencode: lossless }))
      assert.strictEqual(damaged.reason._tag, "ChunkInvalid", damaged.message)
      assert.strictEqual(damaged.chunkId, 11)
      const unknown = yield* Effect.flip(stitch(files, [6, 6], output, { reencode: { codec: "libnone" } }))
      assert.match(unknown.message, /libnone/)
      assert.lengthOf(yield* real.listing(dir), 2)
    })
  )
})
