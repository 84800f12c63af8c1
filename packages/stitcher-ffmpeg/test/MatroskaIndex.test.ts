import * as Ffmpeg from "@helios-infra/stitcher-ffmpeg/Ffmpeg"
import * as MatroskaIndex from "@helios-infra/stitcher-ffmpeg/MatroskaIndex"
import * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const probed = (file: string) =>
  Effect.flatMap(Ffmpeg.find({ ffmpegPath: real.ffmpegPath }), (ffmpeg) => MediaProbe.probe(ffmpeg, file))

const vp9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p".split(" ")

describe("the heads of blocks", () => {
  it.live.each([
    ["H.264 with B-frames, silent", "mkv", real.bFrames, undefined],
    ["PCM", "mkv", real.x264, real.pcm],
    ["24-bit PCM", "mkv", real.x264, ["-c:a", "pcm_s24le"]],
    ["floating point PCM", "mkv", real.x264, ["-c:a", "pcm_f32le"]],
    ["Opus", "webm", vp9, ["-c:a", "libopus"]],
    ["Opus in packets of 5 ms", "webm", vp9, ["-c:a", "libopus", "-frame_duration", "5"]],
    ["Opus in packets of 60 ms", "webm", vp9, ["-c:a", "libopus", "-frame_duration", "60", "-ac", "1"]],
    ["FLAC", "mkv", real.x264, ["-c:a", "flac"]],
    ["FLAC with another block size", "mkv", real.x264, ["-c:a", "flac", "-frame_size", "1000"]],
    ["AAC", "mkv", real.x264, ["-c:a", "aac"]]
  ] as const)("say what reading all of it says: %s", ([, extension, video, audio]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const piece = audio === undefined ? { video } : { video, audio }
      const file = yield* real.render(path.join(dir, `a.${extension}`), {
        from: 0,
        to: 77,
        fps: "30000/1001",
        ...piece
      })
      const media = yield* probed(file)
      const tracks = yield* MatroskaIndex.read(file)
      const picture = tracks.find(({ kind }) => kind === "Video")
      // ffmpeg counts from the first packet, which may be one of sound before the first sample.
      const fromFirst = (timestamps: ReadonlyArray<number> = []) => timestamps.map((at) => at - (timestamps[0] ?? 0))
      assert.deepStrictEqual(fromFirst(picture?.timestamps), fromFirst(media.video?.timestamps))
      assert.lengthOf(picture?.timestamps ?? [], 77)
      assert.deepStrictEqual(picture?.tick, media.video?.tick)
      const sound = tracks.find(({ kind }) => kind === "Audio")
      // What comes before the first sample of AAC, later builds declare in Matroska, and decode all the same.
      const delay = media.audio?.codec === "aac" && sound?.samples !== media.audio.samples ? 1024 : 0
      assert.strictEqual(sound?.samples === undefined ? undefined : sound.samples + delay, media.audio?.samples)
    })
  )

  it.live("are found beside alpha, and of sound that does not say how long it is only that", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const alpha = path.join(dir, "alpha.webm")
      yield* real.ffmpeg(
        ..."-f lavfi -i color=red@0.3:s=64x64:r=30,format=yuva420p -frames:v 20".split(" "),
        ..."-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -auto-alt-ref 0 -pix_fmt yuva420p".split(" "),
        alpha
      )
      const [picture] = yield* MatroskaIndex.read(alpha)
      assert.deepStrictEqual(picture?.timestamps, (yield* probed(alpha)).video?.timestamps)
      const vorbis = yield* real.render(path.join(dir, "vorbis.mkv"), {
        from: 0,
        to: 20,
        audio: ["-c:a", "libvorbis"]
      })
      const [, sound] = yield* MatroskaIndex.read(vorbis)
      assert.deepInclude(sound, { kind: "Audio", samples: undefined })
    })
  )

  it.live("are read while the file is written, in whatever pieces, and once", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const file = yield* real.render(path.join(dir, "a.mkv"), { from: 0, to: 60, audio: ["-c:a", "flac"] })
      const whole = yield* MatroskaIndex.read(file)
      const bytes = yield* Effect.promise(() => fs.readFile(file))
      for (const step of [7, 1000, 8192]) {
        const growing = path.join(dir, `growing-${step}.mkv`)
        const follower = yield* MatroskaIndex.follow(growing)
        // Not there yet.
        yield* follower.advance
        yield* Effect.promise(() => fs.writeFile(growing, ""))
        // In few bytes where what is described ends and blocks begin.
        const end = step < 100 ? 1500 : bytes.length
        for (let at = 0; at < end; at += step) {
          yield* Effect.promise(() => fs.appendFile(growing, bytes.subarray(at, Math.min(at + step, end))))
          yield* follower.advance
        }
        yield* Effect.promise(() => fs.appendFile(growing, bytes.subarray(end)))
        assert.deepStrictEqual(yield* follower.finish, whole)
      }
    })
  )

  const broken: ReadonlyArray<readonly [string, (bytes: Buffer) => Buffer, RegExp]> = [
    ["cut inside a block", (bytes) => bytes.subarray(0, bytes.length / 2), /it ends inside a block/],
    [
      "cut where a block ends",
      (bytes) => bytes.subarray(0, bytes.lastIndexOf("1c53bb6b", undefined, "hex")),
      /no index \(Cues\)/
    ],
    [
      "a text",
      () => Buffer.from("no video at all, and longer than a head of a block would ever be"),
      /ends inside|no index/
    ],
    ["empty", () => Buffer.alloc(0), /no index/],
    [
      "laced",
      (bytes) => {
        const changed = Buffer.from(bytes)
        const block = changed.indexOf(Buffer.from("a3", "hex"), changed.indexOf("1f43b675", "hex") + 12)
        // Its flags stand behind a size of 8 bytes at most, the stream and the time.
        const width = Math.clz32(changed[block + 1] ?? 0) - 23
        changed[block + 1 + width + 3] = 0x86
        return changed
      },
      /laced/
    ]
  ]
  it.live.each(broken)("are refused where the file is not whole: %s", ([, breakIt, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const file = yield* real.render(path.join(dir, "a.mkv"), { from: 0, to: 40, size: "320x240" })
      const bytes = yield* Effect.promise(() => fs.readFile(file))
      yield* Effect.promise(() => fs.writeFile(file, breakIt(bytes)))
      assert.match((yield* Effect.flip(MatroskaIndex.read(file))).detail, text)
    })
  )

  it.live("are not looked for in a file that is not there", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(MatroskaIndex.read("/nowhere/a.mkv"))
      assert.match(error.message, /ENOENT/)
    })
  )
})
