import { type ChunkOutput, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import * as StitchManifest from "@helios-infra/stitcher-ffmpeg/StitchManifest"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const lengths = [7, 3, 5]
const fps = "30000/1001"

const stitch = Effect.fnUntraced(function* (
  dir: string,
  files: ReadonlyArray<string>,
  change: (output: ChunkOutput) => ChunkOutput = (output) => output,
  manifest: string = path.join(dir, "out.json"),
  hashResult?: boolean
) {
  const request = real.request(files, lengths, path.join(dir, "out.mp4"), fps)
  const options = { ffmpegPath: real.ffmpegPath, manifest, hashResult }
  const stitcher = yield* real.service(VideoStitcher, FfmpegStitcher.layer(options))
  return yield* stitcher.stitch({ ...request, inputs: Stream.map(request.inputs, change) })
})

const chunks = (dir: string) => real.renderChunks(dir, lengths, { fps, audio: real.pcm }, "mov")

const sha256 = (file: string) =>
  Effect.promise(async () =>
    createHash("sha256")
      .update(await fs.readFile(file))
      .digest("hex")
  )

describe("a manifest", () => {
  it.live("says of every chunk what it was, and of every seam how it was found", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* chunks(dir)
      const { bytes } = yield* stitch(dir, files, (output) => ({ ...output, attempt: output.index + 1 }))
      const text = yield* Effect.promise(() => fs.readFile(path.join(dir, "out.json"), "utf8"))
      const manifest = yield* Schema.decodeEffect(StitchManifest.json)(text)
      assert.deepInclude(manifest, {
        version: 1,
        output: path.join(dir, "out.mp4"),
        bytes,
        frames: 15,
        fps,
        video: "h264",
        sound: "joined"
      })
      assert.lengthOf(manifest.chunks, 3)
      for (const [index, chunk] of manifest.chunks.entries()) {
        const file = files[index] ?? ""
        assert.deepStrictEqual(chunk, {
          index,
          chunkId: 10 + index,
          attempt: index + 1,
          location: file,
          bytes: (yield* Effect.promise(() => fs.stat(file))).size,
          sha256: yield* sha256(file),
          startFrame: [0, 7, 10][index] ?? 0,
          frames: lengths[index] ?? 0,
          hasSound: true
        })
      }
      assert.lengthOf(manifest.seams, 2)
      for (const [index, seam] of manifest.seams.entries()) {
        const frame = [7, 10][index] ?? 0
        assert.deepInclude(seam, {
          before: 10 + index,
          behind: 11 + index,
          frame,
          setup: "same",
          sample: Math.round(frame * 1601.6)
        })
        assert.closeTo(seam.seconds, (frame * 1001) / 30_000, 1e-9)
        assert.closeTo(seam.expectedSeconds, seam.seconds, 1e-9)
        assert.strictEqual(seam.gapTicks, seam.frameTicks)
      }
      assert.deepStrictEqual(yield* real.listing(dir), [
        "out.json",
        "out.mp4",
        "part_0.mov",
        "part_1.mov",
        "part_2.mov"
      ])
    })
  )

  it.live("says who rendered a chunk, and how long that took, and the hash of the result where that is asked for", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const told = [
        { run: 2, attempts: 5, workerId: "arn:aws:lambda:eu-west-1:1:function:render", durationMs: 1234.5 },
        { run: 1, attempts: 1 },
        {}
      ]
      const file = path.join(dir, "out.json")
      yield* stitch(dir, yield* chunks(dir), (output) => ({ ...output, ...told[output.index] }), file, true)
      const text = yield* Effect.promise(() => fs.readFile(file, "utf8"))
      const manifest = yield* Schema.decodeEffect(StitchManifest.json)(text)
      assert.deepStrictEqual(
        manifest.chunks.map(({ attempts, durationMs, run, workerId }) =>
          JSON.stringify({ run, attempts, workerId, durationMs })
        ),
        told.map((one) => JSON.stringify(one))
      )
      assert.strictEqual(manifest.sha256, yield* sha256(path.join(dir, "out.mp4")))
      yield* stitch(dir, yield* chunks(dir))
      const without = yield* Schema.decodeEffect(StitchManifest.json)(
        yield* Effect.promise(() => fs.readFile(file, "utf8"))
      )
      assert.isUndefined(without.sha256)
    })
  )

  it.live("is not written of chunks that are not what came with them", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* chunks(dir)
      const hashes = yield* Effect.forEach(files, sha256)
      const sent = (output: ChunkOutput) => ({ ...output, sha256: hashes[output.index] ?? "" })
      yield* stitch(dir, files, sent)
      yield* Effect.promise(() => Promise.all([fs.rm(path.join(dir, "out.json")), fs.rm(path.join(dir, "out.mp4"))]))
      hashes[1] = hashes[0] ?? ""
      const error = yield* Effect.flip(stitch(dir, files, sent))
      assert.strictEqual(error.reason._tag, "ChunkInvalid")
      assert.strictEqual(error.chunkId, 11)
      assert.match(error.message, /SHA-256/)
      assert.deepStrictEqual(yield* real.listing(dir), ["part_0.mov", "part_1.mov", "part_2.mov"])
    })
  )

  it.live("that cannot be written is an error that names it, before the first chunk is there", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      yield* chunks(dir)
      const stitcher = yield* real.service(
        VideoStitcher,
        FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath, manifest: path.join(dir, "nowhere/out.json") })
      )
      const request = { ...real.request(["a"], [3], path.join(dir, "out.mp4")), inputs: Stream.never }
      const error = yield* Effect.flip(stitcher.stitch(request))
      assert.strictEqual(error.reason._tag, "OutputUnwritable")
      assert.match(error.message, /nowhere\/out\.json could not be written: the manifest/)
      assert.deepStrictEqual(yield* real.listing(dir), ["part_0.mov", "part_1.mov", "part_2.mov"])
      const same = yield* Effect.flip(stitch(dir, yield* chunks(dir), undefined, path.join(dir, "out.mp4")))
      assert.match(same.message, /out\.mp4 could not be written: the manifest: the joined file has that name/)
    })
  )
})
