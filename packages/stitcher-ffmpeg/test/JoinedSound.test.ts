/** What is heard at the seams of a joined file, measured against the tone that it was cut from. */
import { VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const sampleRate = 48_000

/** A sound by its phase, in turns, at a time in seconds, and as ffmpeg takes it. */
interface Sound {
  readonly heard: string
  readonly turns: (time: number) => number
}
const tone: Sound = { heard: "0.5*sin(2*PI*1000*t)", turns: (time) => 1000 * time }
const sweep: Sound = {
  heard: "0.5*sin(2*PI*(400*t+500*t*t))",
  turns: (time) => 400 * time + 500 * time * time
}

/** How loud (in dB, against the ideal) and how late (in degrees) the sound is in a window of 10 ms. */
const measure = (samples: Float32Array, { turns }: Sound, from: number) => {
  const window = 480
  let inPhase = 0
  let quadrature = 0
  for (let at = from; at < from + window; at++) {
    const angle = 2 * Math.PI * turns(at / sampleRate)
    inPhase += (samples[at] ?? 0) * Math.sin(angle)
    quadrature += (samples[at] ?? 0) * Math.cos(angle)
  }
  return {
    decibels: 20 * Math.log10((2 * Math.hypot(inPhase, quadrature)) / window / 0.5),
    degrees: (Math.atan2(quadrature, inPhase) * 180) / Math.PI
  }
}

/**
 * The largest difference within 40 ms of any seam: in loudness against the rest of the file, which an encoder makes a little
 * louder or softer as a whole, and in phase against the ideal.
 */
const atSeams = (samples: Float32Array, sound: Sound, seams: ReadonlyArray<number>) => {
  const all = Array.from({ length: Math.floor(samples.length / 480) - 1 }, (_, index) =>
    measure(samples, sound, index * 480)
  )
  const usual = all.map(({ decibels }) => decibels).toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0
  assert.isBelow(Math.abs(usual), 1.5)
  let [decibels, degrees] = [0, 0]
  for (const seam of seams) {
    for (let from = seam - 1920; from <= seam + 1440; from += 60) {
      if (from < 0) continue
      const found = measure(samples, sound, from)
      decibels = Math.max(decibels, Math.abs(found.decibels - usual))
      degrees = Math.max(degrees, Math.abs(found.degrees))
    }
  }
  return { decibels, degrees }
}

const stitched = Effect.fnUntraced(function* (
  piece: Omit<real.Piece, "from" | "to"> & { readonly fps: string },
  lengths: ReadonlyArray<number>,
  extensions: { readonly chunks: string; readonly output: string },
  rerender?: (files: ReadonlyArray<string>) => Effect.Effect<unknown>
) {
  const dir = yield* real.folder
  const files = yield* real.renderChunks(dir, lengths, piece, extensions.chunks)
  if (rerender !== undefined) yield* rerender(files)
  const output = path.join(dir, `out.${extensions.output}`)
  const stitcher = yield* real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath }))
  yield* stitcher.stitch(real.request(files, lengths, output, piece.fps))
  const [rate = 0, per = 1] = piece.fps.split("/").map(Number)
  let frame = 0
  const seams = lengths.slice(0, -1).map((length) => Math.round(((frame += length) * sampleRate * per) / rate))
  const frames = lengths.reduce((sum, length) => sum + length, 0)
  return { output, samples: yield* real.decodedSamples(output), seams, exact: (frames * sampleRate * per) / rate }
})

const rates = ["24", "30000/1001", "30", "60000/1001", "60"]
const aac = ["-c:a", "aac", "-b:a", "192k"]
/** No length is a whole number of AAC's blocks, and most are no whole number of samples at 29.97 and 59.94. */
const lengths = [17, 8, 21, 16, 13]

describe("a joined file has no seam that can be heard", () => {
  const cases = rates.flatMap((fps) => [
    [fps, "a tone in PCM chunks", tone, real.pcm, 1, 5] as const,
    [fps, "a sweep in PCM chunks", sweep, real.pcm, 1, 5] as const,
    [fps, "a tone in AAC chunks", tone, aac, 3, 15] as const,
    [fps, "a sweep in AAC chunks", sweep, aac, 3, 15] as const
  ])
  it.live.each(cases)("at %s fps: %s", ([fps, , sound, audio, maxDecibels, maxDegrees]) =>
    Effect.gen(function* () {
      const extensions = { chunks: "mov", output: "mp4" }
      const { exact, samples, seams } = yield* stitched({ fps, audio, heard: sound.heard }, lengths, extensions)
      assert.isAtLeast(samples.length, Math.floor(exact))
      assert.isAtMost(samples.length, exact + 1024)
      const { decibels, degrees } = atSeams(samples, sound, seams)
      assert.isAtMost(decibels, maxDecibels)
      assert.isAtMost(degrees, maxDegrees)
    })
  )

  it.live("which this test would notice: a lost sample, a click of silence, a block too many", () =>
    Effect.gen(function* () {
      const extensions = { chunks: "mov", output: "mov" }
      const { samples, seams } = yield* stitched(
        { fps: "30", audio: real.pcm, heard: tone.heard },
        [20, 20],
        extensions
      )
      const seam = seams[0] ?? 0
      assert.isBelow(atSeams(samples, tone, seams).degrees, 0.1)
      const without = (count: number) =>
        Float32Array.from([...samples.subarray(0, seam), ...samples.subarray(seam + count)])
      assert.isAbove(atSeams(without(1), tone, seams).degrees, 7)
      const silenced = samples.slice().fill(0, seam, seam + 200)
      assert.isAbove(atSeams(silenced, tone, seams).decibels, 3)
      const doubled = Float32Array.from([...samples.subarray(0, seam), ...samples.subarray(seam - 1024)])
      assert.isAbove(atSeams(doubled, tone, seams).degrees, 15)
    })
  )

  it.live("in PCM, whose samples stay what they were, also where they are cut", () =>
    Effect.gen(function* () {
      const piece = { fps: "30000/1001", heard: sweep.heard, audio: real.pcm }
      const extensions = { chunks: "mov", output: "mov" }
      const whole = yield* stitched(piece, [80], extensions)
      const lengths = [16, 16, 16, 16, 16]
      const added = yield* stitched(piece, lengths, extensions)
      assert.deepStrictEqual(added.samples, whole.samples)
      // Where every chunk has its 25625.6 samples rounded up, they come apart from the picture.
      const cut = yield* stitched(piece, lengths, extensions, (files) =>
        Effect.forEach(files, (file, index) => {
          const [from, to] = [index * 16, index * 16 + 16]
          const extraSamples = 25_626 - (Math.round(to * 1601.6) - Math.round(from * 1601.6))
          return real.render(file, { ...piece, from, to, extraSamples })
        })
      )
      assert.strictEqual(cut.samples.length, 128_128)
      assert.deepStrictEqual(cut.samples, whole.samples)
    })
  )
})

describe("a silent chunk among sounding ones", () => {
  const piece = { fps: "30", heard: tone.heard, audio: real.pcm }
  it.live.each([
    ["in the middle", 1],
    ["at the end", 3],
    ["at the start", 0]
  ] as const)("is silent, and the others are where they were: %s", ([, silent]) =>
    Effect.gen(function* () {
      const lengths = [10, 7, 12, 9]
      const { samples, seams } = yield* stitched(piece, lengths, { chunks: "mov", output: "mov" }, (files) =>
        real.render(files[silent] ?? "", { from: 0, to: lengths[silent] ?? 0 })
      )
      assert.strictEqual(samples.length, 38 * 1600)
      const bounds = [0, ...seams, samples.length]
      for (const [index, from] of bounds.slice(0, -1).entries()) {
        const part = samples.subarray(from, bounds[index + 1])
        if (index === silent) assert.isTrue(part.every((sample) => sample === 0))
        else
          for (const at of [from, from + part.length - 480])
            assert.closeTo(measure(samples, tone, at).decibels, 0, 0.01)
      }
    })
  )

  it.live("is silent in encoded sound, too", () =>
    Effect.gen(function* () {
      const { exact, samples, seams } = yield* stitched(
        { ...piece, audio: aac },
        [20, 20, 20],
        { chunks: "mp4", output: "mp4" },
        (files) => real.render(files[1] ?? "", { from: 0, to: 20 })
      )
      assert.isAtMost(Math.abs(samples.length - exact), 1024)
      const [from = 0, to = 0] = seams
      assert.isTrue(samples.subarray(from + 2048, to - 2048).every((sample) => Math.abs(sample) < 0.001))
      assert.closeTo(measure(samples, tone, to + 2048).decibels, 0, 1)
    })
  )
})

describe("encoded sound", () => {
  it.live.each([
    ["30", 30, 0],
    // Where the sound ends inside a block, ffmpeg declares 16 samples too few.
    ["30000/1001", 20, 0],
    ["30", 30, -2000]
  ] as const)(
    "of a single chunk is copied, packet by packet: at %s fps, of %i frames and %i samples",
    ([fps, to, extraSamples]) =>
      Effect.gen(function* () {
        const dir = yield* real.folder
        const file = yield* real.render(path.join(dir, "one.mp4"), { from: 0, to, fps, extraSamples, audio: aac })
        const output = path.join(dir, "out.mp4")
        const stitcher = yield* real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath }))
        yield* stitcher.stitch(real.request([file], [to], output, fps))
        const packets = (of: string) =>
          Effect.map(real.ffmpeg("-i", `file:${of}`, "-map", "0:a", "-c", "copy", "-f", "md5", "-"), String)
        assert.strictEqual(yield* packets(output), yield* packets(file))
      })
  )

  it.live.each([
    [
      "Opus in .webm",
      ["-c:a", "libopus"],
      ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"],
      "webm",
      "webm"
    ],
    ["FLAC in .mkv, in six channels", ["-c:a", "flac", "-ac", "6"], real.x264, "mkv", "mkv"],
    ["AAC in .mov, at 44100", ["-c:a", "aac", "-b:a", "192k", "-ar", "44100"], real.x264, "mov", "mov"]
  ] as const)("of other kinds is joined and stays of its kind: %s", ([, audio, video, chunks, output]) =>
    Effect.gen(function* () {
      const found = yield* stitched({ fps: "30", audio, video }, [20, 25, 15], { chunks, output })
      const [own] = yield* real
        .ffprobe(found.output)
        .pipe(Effect.map((streams) => streams.filter((stream) => stream["codec_type"] === "audio")))
      assert.strictEqual(own?.["codec_name"], audio[1].replace(/^lib|lame$/g, ""))
      const rate = Number(own?.["sample_rate"])
      assert.closeTo(found.samples.length / rate, 2, 4096 / rate)
      const levels = real.loudness(found.samples.subarray(0, 1.9 * rate), rate / 50)
      const usual = levels[5] ?? 0
      for (const [index, level] of levels.entries()) if (index > 1) assert.closeTo(level, usual, 3, `${index * 20} ms`)
    })
  )
})
