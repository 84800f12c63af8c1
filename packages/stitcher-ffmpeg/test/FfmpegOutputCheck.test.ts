import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import type * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import { OutputCheck } from "@helios-infra/core/OutputCheck"
import type { VideoFormat } from "@helios-infra/core/VideoFormat"
import type { WorkerJob, WorkerResult } from "@helios-infra/core/WorkerAdapter"
import type { WorkerError } from "@helios-infra/core/WorkerError"
import * as Environment from "@helios-infra/process/Environment"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const attempt = (file: string, meta?: { readonly frameCount?: number; readonly format?: VideoFormat }): WorkerJob => ({
  id: "job/4/1.2",
  command: "render",
  meta: {
    _tag: "Chunk",
    jobId: "job",
    run: 1,
    attempt: 2,
    output: { _tag: "File", path: file },
    chunkId: 4,
    startFrame: 0,
    frameCount: 30,
    format: { width: 64, height: 64, fps: "30" },
    ...meta
  }
})

const ended = (file: string | undefined): WorkerResult => ({
  exitCode: 0,
  stdout: "",
  stderr: "",
  durationMs: 1,
  workerId: "w1",
  ...(file === undefined ? {} : { output: { location: file, bytes: 0 } })
})

const check = (job: WorkerJob, result: WorkerResult, options?: FfmpegOutputCheck.Options) =>
  Effect.flatMap(
    real.service(OutputCheck, FfmpegOutputCheck.layer({ ffmpegPath: real.ffmpegPath, ...options })),
    (service) => service.check(job, result)
  )

const assertInvalid = (error: WorkerError, text: RegExp) => {
  assert.strictEqual(error.reason._tag, "OutputInvalid", error.message)
  assert.deepInclude(error, { jobId: "job", chunkId: 4, attempt: 2, workerId: "w1" })
  assert.match(error.reason.message, text)
}

describe("a good chunk", () => {
  const good = [
    ["24 fps", "24", real.bFrames, undefined, "mp4"],
    ["23.976 fps", "24000/1001", real.x264, undefined, "mp4"],
    ["29.97 fps with B-frames and PCM", "30000/1001", real.bFrames, real.pcm, "mov"],
    ["30 fps with AAC", "30", real.x264, ["-c:a", "aac"], "mp4"],
    ["30 fps with PCM in Matroska", "30", real.bFrames, real.pcm, "mkv"],
    ["59.94 fps in Matroska", "60000/1001", real.x264, undefined, "mkv"]
  ] as const
  it.live.each(good)("is accepted, with what is known of it: %s", ([, fps, video, audio, extension]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const file = path.join(dir, `-a 'chunk'\n%d.${extension}`)
      yield* real.render(file, { from: 3, to: 34, fps, video, ...(audio === undefined ? {} : { audio }) })
      for (const format of [{ width: 64, height: 64, fps }, {}]) {
        const output = yield* check(attempt(file, { frameCount: 31, format }), ended(file))
        assert.deepStrictEqual(output, {
          location: file,
          bytes: (yield* Effect.promise(() => fs.stat(file))).size,
          frames: 31,
          format: {
            width: 64,
            height: 64,
            fps,
            codec: "h264",
            pixelFormat: "yuv420p",
            ...(audio === undefined ? {} : { audio: `${audio[1]} 48000 stereo` })
          }
        })
      }
    })
  )

  it.live("may be a single frame", () =>
    Effect.gen(function* () {
      const file = yield* real.render(path.join(yield* real.folder, "one.mp4"), { from: 7, to: 8, video: real.bFrames })
      const output = yield* check(attempt(file, { frameCount: 1 }), ended(file))
      assert.strictEqual(output.format?.fps, "30")
      assertInvalid(
        yield* Effect.flip(check(attempt(file, { frameCount: 1, format: { fps: "25" } }), ended(file))),
        /expected 25 frames per second, found 30/
      )
    })
  )
})

describe("a bad chunk", () => {
  const bad: ReadonlyArray<readonly [string, (file: string) => Effect.Effect<unknown>, RegExp]> = [
    ["missing", () => Effect.void, /expected a file at .*found no file/],
    ["empty", (file) => Effect.promise(() => fs.writeFile(file, "")), /found an empty file/],
    [
      "a text",
      (file) => Effect.promise(() => fs.writeFile(file, "not a video\n")),
      /expected a video of 30 frames, found /
    ],
    [
      "truncated",
      (file) =>
        Effect.andThen(real.render(file, { from: 0, to: 30 }), () =>
          Effect.promise(async () => fs.truncate(file, (await fs.stat(file)).size - 100))
        ),
      /expected a video of 30 frames, found \S/
    ],
    [
      "truncated behind its index",
      (file) =>
        Effect.andThen(real.render(file, { from: 0, to: 30, video: [...real.x264, "-movflags", "+faststart"] }), () =>
          Effect.promise(async () => fs.truncate(file, (await fs.stat(file)).size - 4000))
        ),
      /found /
    ],
    [
      "broken inside",
      (file) =>
        Effect.andThen(real.render(file, { from: 0, to: 30 }), () =>
          Effect.promise(async () => {
            const bytes = await fs.readFile(file)
            bytes.fill(0x5a, Math.floor(bytes.length * 0.3), Math.floor(bytes.length * 0.5))
            await fs.writeFile(file, bytes)
          })
        ),
      /expected a video of 30 frames, found /
    ],
    ["17 of 30 frames", (file) => real.render(file, { from: 0, to: 17 }), /expected 30 frames, found 17 frames/],
    ["31 of 30 frames", (file) => real.render(file, { from: 0, to: 31 }), /expected 30 frames, found 31 frames/],
    [
      "another size",
      (file) => real.render(file, { from: 0, to: 30, size: "64x32" }),
      /expected height 64, found height 32/
    ],
    [
      "another rate",
      (file) => real.render(file, { from: 0, to: 30, fps: "25" }),
      /expected 30 frames per second, found 25/
    ],
    [
      "nearly the rate",
      (file) => real.render(file, { from: 0, to: 30, fps: "30000/1001" }),
      /expected 30 frames per second, found 30000\/1001/
    ],
    [
      "a variable rate",
      (file) =>
        real.render(file, {
          from: 0,
          to: 0,
          video: ["-vf", "trim=end_frame=30,setpts='if(lt(N,10),N,N+3)/30/TB'", ...real.frameMode("vfr"), ...real.x264]
        }),
      /found a variable frame rate/
    ],
    [
      "less sound than picture",
      (file) => real.render(file, { from: 0, to: 30, audio: real.pcm, extraSamples: -480 }),
      /expected 48000 samples of sound for 30 frames, found 47520/
    ],
    [
      "sound that starts late",
      (file) =>
        Effect.gen(function* () {
          const on = yield* real.render(`${file}-on.mov`, { from: 0, to: 30, audio: real.pcm })
          yield* real.ffmpeg(
            "-i",
            on,
            ..."-itsoffset 0.05 -i".split(" "),
            on,
            ..."-map 0:v -map 1:a -c copy -f mov".split(" "),
            `file:${file}`
          )
        }),
      /found sound that starts 50\.0 ms later/
    ]
  ]
  it.live.each(bad)("is told what it was: %s", ([, make, text]) =>
    Effect.gen(function* () {
      const file = path.join(yield* real.folder, "chunk.mov")
      yield* make(file)
      assertInvalid(yield* Effect.flip(check(attempt(file), ended(file))), text)
    })
  )

  it.live("is told by the pixel format, codec and sound that the first chunk had", () =>
    Effect.gen(function* () {
      const file = yield* real.render(path.join(yield* real.folder, "chunk.mov"), { from: 0, to: 30, audio: real.pcm })
      const against = (format: VideoFormat) => Effect.flip(check(attempt(file, { format }), ended(file)))
      assertInvalid(
        yield* against({ pixelFormat: "yuv444p" }),
        /expected pixelFormat yuv444p, found pixelFormat yuv420p/
      )
      assertInvalid(yield* against({ codec: "hevc" }), /expected codec hevc, found codec h264/)
      const silent = yield* real.render(`${file}-silent.mov`, { from: 0, to: 30 })
      const sounding = attempt(silent, { format: { audio: "pcm_s16le 48000 stereo" } })
      assert.notProperty((yield* check(sounding, ended(silent))).format, "audio")
      assertInvalid(yield* against({ audio: "none" }), /expected audio none, found audio pcm_s16le 48000 stereo/)
    })
  )

  it.live("is told when the attempt names no output", () =>
    Effect.gen(function* () {
      assertInvalid(
        yield* Effect.flip(check(attempt("/place"), ended(undefined))),
        /a file at \/place, found no output/
      )
    })
  )
})

describe("how far a check looks", () => {
  const ways: ReadonlyArray<MediaProbe.Decode> = ["packets", "keyframes", "full"]

  /** A second of large frames with a key frame every 10 frames, and where each frame begins and how long it is. */
  const large = Effect.fnUntraced(function* (dir: string) {
    const file = path.join(dir, "chunk.mov")
    const video = [...real.x264, ..."-qp 4 -g 10 -x264-params scenecut=0".split(" ")]
    yield* real.render(file, { from: 0, to: 30, size: "320x180", video })
    const packets = yield* real.packets(file)
    assert.deepStrictEqual(
      packets.flatMap(({ isKey }, frame) => (isKey ? [frame] : [])),
      [0, 10, 20]
    )
    return { file, packets, bytes: yield* Effect.promise(() => fs.readFile(file)) }
  })

  /** The ways that notice a damage. */
  const noticing = Effect.fnUntraced(function* (file: string, bytes: Uint8Array) {
    yield* Effect.promise(() => fs.writeFile(file, bytes))
    return yield* Effect.filter(
      ways,
      (decode) =>
        check(attempt(file, { format: {} }), ended(file), { decode }).pipe(
          Effect.match({ onFailure: (error) => error.reason._tag === "OutputInvalid", onSuccess: () => false })
        ),
      { concurrency: 3 }
    )
  })

  /** Turns the bits of a frame's second half over. */
  const changed = (bytes: Buffer, frame: real.Packet | undefined) => {
    assert(frame !== undefined)
    const middle = frame.position + Math.floor(frame.size / 2)
    return bytes.map((byte, at) => (at >= middle && at < frame.position + frame.size ? byte ^ 0xff : byte))
  }

  it.live("by default, at the key frames", () =>
    Effect.gen(function* () {
      const { bytes, file, packets } = yield* large(yield* real.folder)
      yield* Effect.promise(() => fs.writeFile(file, changed(bytes, packets[10])))
      assertInvalid(
        yield* Effect.flip(check(attempt(file, { format: {} }), ended(file))),
        /expected a video of 30 frames, found /
      )
    })
  )

  it.live("decides whether bytes that were changed inside a picture are noticed", () =>
    Effect.gen(function* () {
      const { bytes, file, packets } = yield* large(yield* real.folder)
      assert.deepStrictEqual(yield* noticing(file, bytes), [])
      assert.deepStrictEqual(yield* noticing(file, changed(bytes, packets[10])), ["keyframes", "full"])
      assert.deepStrictEqual(yield* noticing(file, changed(bytes, packets[14])), ["full"])
    })
  )

  it.live(
    "does not matter to what was never written, or was cut off, wherever that is",
    () =>
      Effect.gen(function* () {
        const { bytes, file } = yield* large(yield* real.folder)
        for (let step = 0; step < 6; step++) {
          const at = Math.floor(((bytes.length - 4096) / 5) * step)
          const hole = Buffer.from(bytes).fill(0, at, at + 4096)
          assert.sameMembers([...(yield* noticing(file, hole))], [...ways], `hole at ${at}`)
          const left = Math.floor((bytes.length / 6) * step)
          assert.sameMembers([...(yield* noticing(file, bytes.subarray(0, left)))], [...ways], `cut at ${left}`)
        }
      }),
    60_000
  )

  it.live("is no reason to refuse a chunk whose key frames do not decode alone", () =>
    Effect.gen(function* () {
      const file = path.join(yield* real.folder, "chunk.mov")
      const openGop = "-preset fast -x264-params open-gop=1:keyint=10:bframes=3:scenecut=0:b-adapt=0".split(" ")
      yield* real.render(file, { from: 0, to: 30, video: [...real.x264, ...openGop] })
      for (const decode of ways) {
        assert.strictEqual((yield* check(attempt(file), ended(file), { decode })).frames, 30)
      }
    })
  )
})

describe("a merge command", () => {
  const merge: WorkerJob = {
    id: "job/merge/1.1",
    command: "merge",
    meta: { _tag: "Merge", jobId: "job", run: 1, attempt: 1, output: { _tag: "File", path: "/place/out.mp4" } },
    outputFile: "out.mp4"
  }

  it.live("must have written its file", () =>
    Effect.gen(function* () {
      const file = path.join(yield* real.folder, "out.mp4")
      const missing = yield* Effect.flip(check(merge, ended(file)))
      assert.match(missing.message, /merge command.*found no file/)
      yield* Effect.promise(() => fs.writeFile(file, "whatever it writes"))
      assert.deepStrictEqual(yield* check(merge, ended(file)), { location: file, bytes: 18 })
      assert.match((yield* Effect.flip(check(merge, ended(undefined)))).message, /found no output/)
    })
  )
})

describe("ffmpeg", () => {
  it.live("that is missing is not a reason to render again", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const file = yield* real.render(path.join(dir, "chunk.mp4"), { from: 0, to: 30 })
      const error = yield* Effect.flip(check(attempt(file), ended(file), { ffmpegPath: undefined })).pipe(
        Effect.provideService(Environment.ParentEnvironment, { PATH: dir })
      )
      assert.deepInclude(error.reason, { _tag: "Refused", why: "NotFound" })
      assert.match(error.message, /apt install ffmpeg/)
    })
  )
})

describe("a chunk that is no video", () => {
  it.live("is accepted where it is a .gif whose frames are as near to the grid as hundredths can be", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      for (const fps of ["30", "24", "50", "30000/1001"]) {
        const file = yield* real.render(path.join(dir, "a.gif"), { from: 0, to: 30, fps, video: [] })
        const { format, frames } = yield* check(attempt(file, { format: { fps } }), ended(file))
        assert.strictEqual(frames, 30)
        assert.deepInclude(format, { codec: "gif", fps, width: 64 })
        const other = yield* Effect.flip(check(attempt(file, { format: { fps: "20" } }), ended(file)))
        assertInvalid(other, /expected 20 frames per second/)
      }
    })
  )

  it.live("is accepted where it is a folder of pictures, one for each frame, that decode", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      yield* real.ffmpeg(
        ..."-f lavfi -i testsrc2=s=64x64:r=30 -frames:v 30 -start_number 100".split(" "),
        path.join(dir, "frame_%04d.png")
      )
      const output = yield* check(attempt(dir), ended(dir))
      assert.deepInclude(output, { location: dir, frames: 30 })
      assert.deepInclude(output.format, { codec: "png", fps: "30", width: 64, height: 64 })
      // A rate is nothing that pictures have.
      assert.notProperty((yield* check(attempt(dir, { format: {} }), ended(dir))).format, "fps")
      assertInvalid(yield* Effect.flip(check(attempt(dir, { frameCount: 31 }), ended(dir))), /31 frames.*30 frames/)
      assertInvalid(yield* Effect.flip(check(attempt(dir, { format: { width: 32 } }), ended(dir))), /found width 64/)
      const picture = path.join(dir, "frame_0112.png")
      yield* Effect.promise(async () => fs.truncate(picture, Math.floor((await fs.stat(picture)).size / 2)))
      assertInvalid(yield* Effect.flip(check(attempt(dir), ended(dir))), /expected a video of 30 frames/)
      yield* Effect.promise(() => fs.rm(picture))
      assertInvalid(yield* Effect.flip(check(attempt(dir), ended(dir))), /"frame_0112.png" is not there/)
    })
  )
})

describe("a chunk without sound", () => {
  it.live("is rendered again where every chunk is to have some, and accepted elsewhere", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const silent = yield* real.render(path.join(dir, "silent.mov"), { from: 0, to: 30 })
      const sounding = yield* real.render(path.join(dir, "sounding.mov"), { from: 0, to: 30, audio: real.pcm })
      // Whether others have sound does not matter: the first of them may have lost it.
      for (const format of [{}, { audio: "pcm_s16le 48000 stereo" }]) {
        const error = yield* Effect.flip(check(attempt(silent, { format }), ended(silent), { silentChunks: "reject" }))
        assertInvalid(error, /expected sound, which silentChunks: "reject" asks of every chunk, found none/)
        for (const silentChunks of ["allow", undefined] as const) {
          yield* check(attempt(silent, { format }), ended(silent), { silentChunks })
        }
        yield* check(attempt(sounding, { format }), ended(sounding), { silentChunks: "reject" })
      }
    })
  )
})
