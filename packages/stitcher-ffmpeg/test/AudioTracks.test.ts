import { type StitchError, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

/** How loud a frequency is in a tenth of a second, as its amplitude. */
const amplitude = (samples: Float32Array, frequency: number, from: number): number => {
  let [inPhase, quadrature] = [0, 0]
  for (let at = from; at < from + 4800; at++) {
    const angle = (2 * Math.PI * frequency * at) / 48_000
    inPhase += (samples[at] ?? 0) * Math.sin(angle)
    quadrature += (samples[at] ?? 0) * Math.cos(angle)
  }
  return (2 * Math.hypot(inPhase, quadrature)) / 4800
}

const lengths = [20, 13, 27]
const own = "0.2*sin(2*PI*1000*t)"

/** A second of another tone, at another rate. */
const music = (file: string, frequency: number, seconds = 1) =>
  real.ffmpeg("-f", "lavfi", "-i", `aevalsrc='0.2*sin(2*PI*${frequency}*t)':s=44100:c=stereo`, "-t", `${seconds}`, file)

const stitch = Effect.fnUntraced(function* (
  dir: string,
  piece: Omit<real.Piece, "from" | "to">,
  audioTracks: FfmpegStitcher.Options["audioTracks"],
  extension = "mov"
) {
  const files = yield* real.renderChunks(dir, lengths, piece, "mov")
  const output = path.join(dir, `out.${extension}`)
  const stitcher = yield* real.service(
    VideoStitcher,
    FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath, audioTracks })
  )
  yield* stitcher.stitch(real.request(files, lengths, output))
  return yield* real.decodedSamples(output)
})

describe("tracks from elsewhere", () => {
  const cases = [
    ["PCM chunks", { audio: real.pcm, heard: own }, 0.2],
    ["AAC chunks", { audio: ["-c:a", "aac", "-b:a", "192k"], heard: own }, 0.2],
    ["silent chunks", {}, 0]
  ] as const
  it.live.each(cases)("are heard where and as loud as they should be, with %s", ([, piece, ownAmplitude]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const [one, two] = [path.join(dir, "one.wav"), path.join(dir, "two.flac")]
      yield* music(one, 3000)
      yield* music(two, 5000, 5)
      const samples = yield* stitch(dir, piece, [
        { path: one, startSeconds: 0.5 },
        { path: two, volume: 0.5 }
      ])
      // AAC in .mov has a block over at most; what is beside the video of two seconds is not heard.
      assert.isAtLeast(samples.length, 96_000)
      assert.isAtMost(samples.length, 96_000 + 1024)
      for (const from of [2000, 26_000, 50_000, 74_000, 90_000]) {
        const within = from >= 24_000 && from + 4800 <= 72_000
        assert.closeTo(amplitude(samples, 1000, from), ownAmplitude, 0.02, `${from}`)
        assert.closeTo(amplitude(samples, 3000, from), within ? 0.2 : 0, 0.01, `${from}`)
        assert.closeTo(amplitude(samples, 5000, from), 0.1, 0.01, `${from}`)
      }
    })
  )

  it.live("begin to the sample, and are encoded once with the rest", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const click = path.join(dir, "click.wav")
      yield* real.ffmpeg("-f", "lavfi", "-i", "aevalsrc='0.5*eq(n,0)':s=48000:c=stereo:d=0.01", click)
      const samples = yield* stitch(dir, {}, [{ path: click, startSeconds: 1.25 }])
      assert.strictEqual(samples.length, 96_000)
      assert.strictEqual(
        samples.findIndex((sample) => Math.abs(sample) > 0.4),
        60_000
      )
      assert.strictEqual(samples.filter((sample) => sample !== 0).length, 1)
      yield* stitch(dir, {}, [{ path: click }], "mp4")
      const streams = yield* real.ffprobe(path.join(dir, "out.mp4"))
      assert.deepStrictEqual(
        streams.map((stream) => stream["codec_name"]),
        ["h264", "aac"]
      )
    })
  )

  const wrong: ReadonlyArray<readonly [string, (dir: string) => Effect.Effect<unknown>, object, RegExp]> = [
    ["there is none of that name", () => Effect.void, {}, /music\.wav cannot be read.*No such file/s],
    [
      "it has no sound",
      (dir) => real.ffmpeg("-f", "lavfi", "-i", "testsrc2=d=0.1", "-f", "mp4", path.join(dir, "music.wav")),
      {},
      /cannot be read/
    ],
    [
      "it is a text",
      (dir) => Effect.promise(() => fs.writeFile(path.join(dir, "music.wav"), "la la la")),
      {},
      /cannot be read/
    ],
    [
      "it is a playlist",
      (dir) =>
        Effect.promise(() => fs.writeFile(path.join(dir, "music.wav"), "ffconcat version 1.0\nfile part_0.mov\n")),
      {},
      /cannot be read/
    ],
    [
      "it begins before the video",
      (dir) => music(path.join(dir, "music.wav"), 1000),
      { startSeconds: -1 },
      /begins at -1/
    ],
    ["its volume is no number", (dir) => music(path.join(dir, "music.wav"), 1000), { volume: Number.NaN }, /volume NaN/]
  ]
  it.live.each(wrong)("are refused before anything is joined: %s", ([, make, options, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      yield* make(dir)
      const error: StitchError = yield* Effect.flip(
        stitch(dir, {}, [{ path: path.join(dir, "music.wav"), ...options }])
      )
      assert.strictEqual(error.reason._tag, "CannotJoin")
      assert.match(error.message, text)
    })
  )
})
