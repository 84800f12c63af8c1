// oxlint-disable eslint/no-await-in-loop -- the cases of these tests go one after the other
import { path as ffmpegPath } from "@ffmpeg-installer/ffmpeg"
import {
  JobError,
  JobExecutor,
  type JobSpec,
  type StitchContext,
  StitchError,
  type WorkerJob
} from "@helios-infra/core/promise"
import { FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg/promise"
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { setTimeout } from "node:timers/promises"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"

const ffmpeg = (...args: ReadonlyArray<string>) => promisify(execFile)(ffmpegPath, ["-v", "error", "-y", ...args])

const video = (file: string, frames: number, size = "64x64") =>
  ffmpeg("-f", "lavfi", "-i", `testsrc=size=${size}:rate=30`, "-frames:v", String(frames), "-pix_fmt", "yuv420p", file)

const framesOf = async (file: string): Promise<number> => {
  const { stdout } = await ffmpeg("-i", file, "-map", "0:v:0", "-f", "framemd5", "-")
  return stdout.split("\n").filter((line) => line.startsWith("0,")).length
}

const inFolder = async (test: (at: (name: string) => string) => Promise<void>) => {
  const folder = await fs.realpath(await fs.mkdtemp(path.join(tmpdir(), "stitcher-promise-")))
  try {
    await test((name) => path.join(folder, name))
  } finally {
    await fs.rm(folder, { recursive: true, force: true })
  }
}

const job = (frames: ReadonlyArray<number>): JobSpec => ({
  metadata: { totalFrames: frames.reduce((a, b) => a + b, 0), fps: 30, width: 64, height: 64 },
  chunks: frames.map((frameCount, id) => ({
    id,
    startFrame: frames.slice(0, id).reduce((a, b) => a + b, 0),
    frameCount,
    outputFile: `part_${id}.mov`,
    command: `render part_${id}.mov`
  }))
})

/** A user's own adapter: writes what it is told to write, where the job file says. */
const adapter = (work: (file: string, frames: number, attempt: number) => Promise<unknown>) => ({
  execute: async ({ meta }: WorkerJob) => {
    assert(meta._tag === "Chunk" && meta.output._tag === "File")
    await work(meta.output.path, meta.frameCount, meta.attempt)
    return { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }
  }
})

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: unknown) => error
  )

/** Returns when there is a file; a test that waits for one that never comes runs out of its time. */
const appears = async (file: string): Promise<void> => {
  while (!(await fs.stat(file).catch(() => undefined))) await setTimeout(20)
}

const stitcher = new FfmpegStitcher({ ffmpegPath })

describe("FfmpegStitcher", () => {
  it("says at once which option there is not, and which value is none", () => {
    const make = (options: unknown): unknown => Reflect.construct(FfmpegStitcher, [options])
    const wrong: ReadonlyArray<readonly [unknown, string]> = [
      [{ fastStart: false }, "there is no option fastStart: did you mean faststart?"],
      [{ decode: "all" }, 'decode must be "keyframes" or "full" or "packets", is "all"'],
      [
        { audioTracks: [{ path: "a.wav" }, { file: "b.wav" }] },
        "there is no option file: there are path, startSeconds, volume"
      ],
      [{ audioTracks: [{ path: "a.wav", volume: -1 }] }, "volume must be a number from 0, is -1"],
      [{ reencode: "libx264" }, 'reencode must be an object, is "libx264"'],
      [{ preview: { folder: "live", format: "dash" } }, 'format must be "hls" or "mp4", is "dash"']
    ]
    for (const [options, message] of wrong) {
      assert.throws(() => make(options), TypeError, `FfmpegStitcher: ${message}`)
    }
    assert.instanceOf(make({ manifest: undefined }), FfmpegStitcher)
  })

  it("joins what a user's own adapter rendered, and checks it on the way", () =>
    inFolder(async (at) => {
      const workerAdapter = adapter((file, frames, attempt) => video(file, attempt === 1 ? frames - 1 : frames))
      const options = { workerAdapter, stitcher, outputFile: "film.mp4", jobDir: at(""), retryDelay: 1 }
      const result = await new JobExecutor(job([5, 7]), options).execute()
      assert.strictEqual(result.outputFile, at("film.mp4"))
      assert.strictEqual(await framesOf(at("film.mp4")), 12, "the second attempts had all of their frames")
    }))

  it("joins the first chunks while the last is rendered", () =>
    inFolder(async (at) => {
      const lengths = [60, 60, 60, 5]
      const workerAdapter = adapter(async (file, frames) => {
        if (frames === lengths.at(-1)) await appears(at("preview/index.m3u8"))
        await video(file, frames)
      })
      const early = new FfmpegStitcher({ ffmpegPath, preview: { folder: at("preview") } })
      const options = { workerAdapter, stitcher: early, outputFile: "film.mp4", jobDir: at("") }
      await new JobExecutor(job(lengths), options).execute()
      assert.strictEqual(await framesOf(at("film.mp4")), 185)
    }))

  it("is asked to join in its own way where a subclass has one", () =>
    inFolder(async (at) => {
      const asked: Array<number> = []
      class Own extends FfmpegStitcher {
        override stitch(inputs: ReadonlyArray<string>, output: string, context?: Partial<StitchContext>) {
          asked.push(inputs.length)
          return super.stitch(inputs, output, context)
        }
      }
      const workerAdapter = adapter((file, frames) => video(file, frames))
      const options = { workerAdapter, stitcher: new Own({ ffmpegPath }), outputFile: "film.mp4", jobDir: at("") }
      await new JobExecutor(job([5, 7]), options).execute()
      assert.deepStrictEqual(asked, [2])
    }))

  it("says which chunk is not what it should be", () =>
    inFolder(async (at) => {
      const workerAdapter = adapter((file, frames) => video(file, file.endsWith("1.mov") ? 3 : frames))
      const options = { workerAdapter, stitcher, outputFile: "film.mp4", jobDir: at(""), retries: 0 }
      const error = await rejection(new JobExecutor(job([5, 7]), options).execute())
      assert.instanceOf(error, JobError)
      assert.strictEqual(error.chunkId, 1)
      assert.match(error.message, /expected 7 frames, found 3 frames/)
    }))

  it("says when an adapter wrote nothing where it said", () =>
    inFolder(async (at) => {
      const options = {
        workerAdapter: adapter(async () => {}),
        stitcher,
        outputFile: "film.mp4",
        jobDir: at(""),
        retries: 0
      }
      const error = await rejection(new JobExecutor(job([5]), options).execute())
      assert.instanceOf(error, JobError)
      assert.match(error.message, /no file/)
    }))

  it("joins files by itself, with the frames and the rate that they have", () =>
    inFolder(async (at) => {
      await video(at("a.mov"), 4)
      await video(at("b.mov"), 6)
      const result = await stitcher.stitch([at("a.mov"), at("b.mov")], at("film.mp4"))
      assert.deepStrictEqual([result.exitCode, result.outputFile, result.output?.frames], [0, at("film.mp4"), 10])
      assert.strictEqual(await framesOf(at("film.mp4")), 10)
    }))

  it("rejects files that do not fit together, or are none, and leaves nothing", () =>
    inFolder(async (at) => {
      await video(at("a.mov"), 4)
      await video(at("b.mov"), 4, "128x64")
      await fs.writeFile(at("c.mov"), "no video")
      for (const other of ["b.mov", "c.mov", "missing.mov"]) {
        const error = await rejection(stitcher.stitch([at("a.mov"), at(other)], at("film.mp4")))
        assert.instanceOf(error, StitchError)
      }
      assert.sameMembers(await fs.readdir(at("")), ["a.mov", "b.mov", "c.mov"])
    }))

  it("rejects with the signal's reason and leaves nothing", () =>
    inFolder(async (at) => {
      await video(at("a.mov"), 4)
      const signal = AbortSignal.abort("enough")
      assert.strictEqual(await rejection(stitcher.stitch([at("a.mov")], at("film.mp4"), { signal })), "enough")
      assert.deepStrictEqual(await fs.readdir(at("")), ["a.mov"])
    }))

  it("says how to get ffmpeg when there is none", async () => {
    const error = await rejection(new FfmpegStitcher({ ffmpegPath: "/not/there" }).stitch(["a.mov"], "film.mp4"))
    assert.instanceOf(error, StitchError)
    assert.strictEqual(error.reason._tag, "ToolMissing")
  })
})
