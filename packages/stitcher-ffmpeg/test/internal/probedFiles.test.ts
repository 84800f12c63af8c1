/** What the check has read is not read again by the stitcher, as long as the file is the one that was read. */
import { OutputCheck } from "@helios-infra/core/OutputCheck"
import { VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import type * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as probedFiles from "../../src/internal/probedFiles.ts"
import * as real from "../RealVideos.ts"

const reading = (frames: number): MediaProbe.Media => ({
  container: "mov",
  start: 0,
  seconds: 1,
  streams: { video: 1, audio: 0 },
  audio: undefined,
  video: {
    index: 0,
    codec: "h264",
    pixelFormat: "yuv420p",
    width: 64,
    height: 64,
    tick: { numerator: 1, denominator: 30 },
    timestamps: Array.from({ length: frames }, (_, frame) => frame),
    startsClosed: true,
    ahead: 0,
    lastDuration: 1,
    rate: Option.none(),
    decodedFrames: undefined,
    setup: ""
  }
})

describe("what is kept", () => {
  it("is handed out once", () => {
    const files = probedFiles.make()
    const media = reading(3)
    files.keep("a", media)
    assert.strictEqual(files.take("a"), media)
    assert.strictEqual(files.take("a"), undefined)
  })

  it("makes room for what comes later, however often the same file is read", () => {
    const files = probedFiles.make()
    for (let index = 0; index < 1000; index++) files.keep("again", reading(30_000))
    for (const name of ["a", "b", "c"]) files.keep(name, reading(30_000))
    assert.strictEqual(files.take("again"), undefined)
    for (const name of ["a", "b", "c"]) assert.isDefined(files.take(name))
    files.keep("huge", reading(100_000))
    assert.strictEqual(files.take("huge"), undefined)
  })
})

/** An ffmpeg that writes a line for every time it reads a chunk in order to learn what that holds. */
const counting = Effect.fnUntraced(function* (dir: string) {
  const program = path.join(dir, "ffmpeg")
  const log = path.join(dir, "calls")
  const script = `#!/bin/sh\ncase "$*" in *" -f framemd5 "*) echo "$*" >> '${log}' ;; esac\nexec '${real.ffmpegPath}' "$@"\n`
  yield* Effect.promise(() => fs.writeFile(program, script, { mode: 0o755 }))
  yield* Effect.promise(() => fs.writeFile(log, ""))
  const readings = Effect.promise(async () => {
    const lines = (await fs.readFile(log, "utf8")).split("\n").filter((line) => line !== "")
    await fs.writeFile(log, "")
    return lines.filter((line) => !line.includes(" -t 0.5 ")).length
  })
  return { program, readings }
})

const chunks = Effect.fnUntraced(function* (dir: string) {
  const files = [0, 1, 2].map((index) => path.join(dir, `chunk ${index}.mp4`))
  for (const [index, file] of files.entries()) yield* real.render(file, { from: index * 10, to: index * 10 + 10 })
  return files
})

const checkAll = (ffmpegPath: string, files: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { check } = yield* real.service(OutputCheck, FfmpegOutputCheck.layer({ ffmpegPath }))
    for (const [chunkId, file] of files.entries()) {
      yield* check(
        {
          id: `job/${chunkId}/1.1`,
          command: "render",
          meta: {
            _tag: "Chunk",
            jobId: "job",
            run: 1,
            attempt: 1,
            output: { _tag: "File", path: file },
            chunkId,
            startFrame: chunkId * 10,
            frameCount: 10,
            format: { width: 64, height: 64, fps: "30" }
          }
        },
        {
          exitCode: 0,
          stdout: "",
          stderr: "",
          durationMs: 1,
          workerId: "w1",
          output: { location: file, bytes: 0 }
        }
      )
    }
  })

const stitch = (ffmpegPath: string, dir: string, files: ReadonlyArray<string>) =>
  Effect.flatMap(real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath })), (stitcher) =>
    stitcher.stitch(real.request(files, [10, 10, 10], path.join(dir, "out.mp4")))
  )

describe("a stitch", () => {
  it.live("reads no chunk that has just been checked, and any other", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* chunks(dir)
      const { program, readings } = yield* counting(dir)
      yield* checkAll(program, files)
      assert.strictEqual(yield* readings, 3)
      yield* stitch(program, dir, files)
      assert.strictEqual(yield* readings, 0)
      const whole = (yield* Effect.forEach(files, real.decodedFrames)).flat()
      assert.deepStrictEqual(yield* real.decodedFrames(path.join(dir, "out.mp4")), whole)

      yield* stitch(program, dir, files)
      assert.isAtLeast(yield* readings, 1)
    }).pipe(Effect.scoped)
  )

  it.live("sees what became of a chunk after its check, even with its time set back", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* chunks(dir)
      yield* checkAll(real.ffmpegPath, files)
      const [, file = ""] = files
      yield* Effect.promise(async () => {
        const before = await fs.stat(file)
        const bytes = await fs.readFile(file)
        bytes.fill(0, 0, 200)
        await fs.writeFile(file, bytes)
        await fs.utimes(file, before.atime, before.mtime)
      })
      const error = yield* Effect.flip(stitch(real.ffmpegPath, dir, files))
      assert.strictEqual(error.reason._tag, "ChunkInvalid")
      assert.strictEqual(error.chunkId, 11)
    }).pipe(Effect.scoped)
  )
})
