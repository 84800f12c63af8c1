import * as JoinedSound from "@helios-infra/stitcher-ffmpeg/JoinedSound"
import * as JoinPlan from "@helios-infra/stitcher-ffmpeg/JoinPlan"
import type * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import type { StitchError, StitchRequest } from "@helios-infra/core/VideoStitcher"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import * as read from "./ReadVideos.ts"

const request = (output: string, fps = "30"): StitchRequest => ({
  inputs: Stream.empty,
  total: 2,
  frames: 60,
  fps,
  output
})

const plan = Effect.fnUntraced(function* (
  media: ReadonlyArray<MediaProbe.Media>,
  output: string = "/out.mp4",
  options?: JoinPlan.Options
) {
  const { container, rate } = yield* JoinPlan.targetOf(request(output))
  const chunks = yield* Effect.forEach(media, (one, index) =>
    JoinPlan.chunkOf(read.output(index, one.video?.timestamps.length ?? 0), one, rate)
  )
  const frames = chunks.reduce((sum, chunk) => sum + chunk.output.frameCount, 0)
  return yield* JoinPlan.make(chunks, { container, rate, frames }, options)
})

const refusal = (...args: Parameters<typeof plan>) => Effect.flip(plan(...args))

const assertReason = (
  error: StitchError,
  tag: StitchError["reason"]["_tag"],
  chunkId: number | undefined,
  text: RegExp
) => {
  assert.strictEqual(error.reason._tag, tag, error.message)
  assert.strictEqual(error.chunkId, chunkId, error.message)
  assert.match(error.message, text)
}

describe("the target", () => {
  it.effect("is named by the output's extension, in any case, or by the request", () =>
    Effect.gen(function* () {
      const extension = (output: string, format?: string) =>
        Effect.map(JoinPlan.targetOf({ ...request(output), format }), (target) => target.container.extension)
      assert.strictEqual(yield* extension("/out.MP4"), "mp4")
      assert.strictEqual(yield* extension("/out.m4v"), "mp4")
      assert.strictEqual(yield* extension("/out", "Matroska"), "mkv")
      for (const name of ["/out", "/out.avi", "/out.constructor"]) {
        assertReason(yield* Effect.flip(JoinPlan.targetOf(request(name))), "CannotJoin", undefined, /is no container/)
      }
    })
  )

  it.effect("has a rate that is one", () =>
    Effect.gen(function* () {
      const { rate } = yield* JoinPlan.targetOf(request("/out.mp4", "30000/1001"))
      assert.deepStrictEqual(rate, { numerator: 30_000, denominator: 1001 })
      assertReason(
        yield* Effect.flip(JoinPlan.targetOf(request("/out.mp4", "0"))),
        "CannotJoin",
        undefined,
        /is no frame rate/
      )
    })
  )
})

describe("chunks that fit together", () => {
  it.effect("are copied, and their sound is encoded once for what the container holds", () =>
    Effect.gen(function* () {
      const chunks = [read.media({ sound: {} }), read.media({ sound: {} })]
      const args = (output: string, options?: JoinPlan.Options) =>
        Effect.map(plan(chunks, output, options), (made) => JoinPlan.outputArgs(made).join(" "))
      assert.strictEqual(
        yield* args("/out.mp4"),
        "-c:v copy -max_muxing_queue_size 65536 -map 0:0 -map 0:1 -c:a aac -b:a 192k -af asetpts=N/SR/TB,apad=whole_len=96000,atrim=end_sample=96000 -moov_size 70368"
      )
      assert.include(yield* args("/out.mov"), "-c:a pcm_s16le -af")
      assert.notInclude(yield* args("/out.mkv"), "-moov_size")
      assert.include(
        yield* args("/out.mp4", { audioCodec: "libmp3lame", audioBitrate: "64k", faststart: false }),
        "-c:a libmp3lame -b:a 64k -af asetpts=N/SR/TB"
      )
      assert.notInclude(yield* args("/out.mp4", { faststart: false }), "-moov_size")
      const moved = JoinPlan.outputArgs(yield* plan(chunks), "moved").join(" ")
      assert.match(moved, /-movflags \+faststart$/)
    })
  )

  it.effect("are HEVC under the name that QuickTime plays", () =>
    Effect.gen(function* () {
      const made = yield* plan([read.media({ video: { codec: "hevc" } })])
      assert.include(JoinPlan.outputArgs(made).join(" "), "-tag:v hvc1")
    })
  )

  it.effect("may have been set up in different ways, which the join then has to prove harmless", () =>
    Effect.gen(function* () {
      const made = yield* plan([read.media(), read.media({ video: { setup: "other" } }), read.media()])
      assert.deepStrictEqual(
        made.differing.map((chunk) => chunk.output.chunkId),
        [11]
      )
    })
  )

  it.effect("are listed with exact lengths that do not add up to a drift", () =>
    Effect.gen(function* () {
      const made = yield* plan(Array.from({ length: 3 }, () => read.media({ frames: 1 })))
      assert.strictEqual(
        JoinPlan.concatList(made, (index) => `${index}.mov`),
        [
          "ffconcat version 1.0",
          "file 0.mov",
          "duration 0.033333",
          "file 1.mov",
          "duration 0.033333",
          "file 2.mov",
          "duration 0.033334",
          ""
        ].join("\n")
      )
    })
  )

  it.effect("count from where their picture begins in its file, when their sound comes from elsewhere", () =>
    Effect.gen(function* () {
      // An encoder's 1024 samples before the first one, which ffmpeg counts from, in ticks.
      const timestamps = read.grid(30).map((at) => at + 328)
      const aac = {
        ...read.media({ video: { timestamps }, sound: { codec: "aac", start: 1024, samples: 48_000 } }),
        start: -0.021333
      }
      const made = yield* plan([aac, aac], "/out.mkv")
      assert.strictEqual(made.sound?.from, "assembled")
      assert.include(JoinPlan.concatList(made, String), "inpoint 0.000000\n")
      assert.deepStrictEqual(JoinPlan.inputArgs(made), ["-copyts"])
      assert.deepStrictEqual(JoinPlan.inputArgs(yield* plan([read.media({ sound: {} })])), [])
    })
  )

  it.effect(
    "are moved as a whole by an old ffmpeg, where Matroska gets what encoders put before the first sample",
    () =>
      Effect.gen(function* () {
        const old = (output: string, options?: JoinPlan.Options) =>
          Effect.map(
            plan([read.media({ sound: {} }), read.media({ sound: {} })], output, options),
            JoinPlan.oldOutputArgs
          )
        assert.deepStrictEqual(yield* old("/out.mkv", { audioCodec: "aac" }), ["-output_ts_offset", "0.021"])
        assert.deepStrictEqual(yield* old("/out.mkv"), [])
        assert.deepStrictEqual(yield* old("/out.mp4"), [])
      })
  )
})

describe("chunks that do not fit together", () => {
  const misfits: ReadonlyArray<readonly [string, MediaProbe.Media, StitchError["reason"]["_tag"], RegExp]> = [
    ["a frame short", read.media({ frames: 29 }), "ChunkInvalid", /expected 30 frames, found 29/],
    [
      "of another size",
      read.media({ video: { width: 32 } }),
      "ChunkInvalid",
      /width 64, like chunk 10.*found width 32/
    ],
    ["of another codec", read.media({ video: { codec: "hevc" } }), "ChunkInvalid", /codec h264.*found codec hevc/],
    [
      "with another time base",
      read.media({
        video: { tick: { numerator: 1, denominator: 90_000 }, timestamps: read.grid(30, 3000), lastDuration: 3000 }
      }),
      "CannotJoin",
      /1\/90000 s and chunk 10 in 1\/15360 s.*-video_track_timescale/
    ],
    [
      "with more B-frames",
      read.media({ video: { setup: "other", ahead: 1024 } }),
      "CannotJoin",
      /more of its frames are stored in another order .* than of chunk 10.*reencode/
    ],
    ["with its streams in another order", read.media({ video: { index: 1 } }), "CannotJoin", /in another order/]
  ]
  it.effect.each(misfits)("are named: %s", ([, second, tag, text]) =>
    Effect.gen(function* () {
      const { container, rate } = yield* JoinPlan.targetOf(request("/out.mp4"))
      const error = yield* Effect.flip(
        Effect.flatMap(
          Effect.forEach([read.media(), second], (one, index) => JoinPlan.chunkOf(read.output(index, 30), one, rate)),
          (chunks) => JoinPlan.make(chunks, { container, rate, frames: 60 })
        )
      )
      assertReason(error, tag, 11, text)
    })
  )

  it.effect("are not those that only say less of their B-frames, being short, or set up alike", () =>
    Effect.gen(function* () {
      const one = read.media({ frames: 1 })
      const many = read.media({ video: { ahead: 1024 } })
      yield* plan([one, many])
      yield* plan([read.media({ frames: 2 }), read.media({ video: { ahead: 1024, setup: "other" } })])
      yield* plan([many, read.media({ video: { setup: "other" } })])
    })
  )

  it.effect(
    "are those whose picture begins elsewhere, when the first one shows that sound is joined apart from it",
    () =>
      Effect.gen(function* () {
        const late = { timestamps: read.grid(30).map((at) => at + 1024) }
        const silent = read.media()
        const stray = read.media({ video: late })
        const pcm = read.media({ sound: {} })
        const text = /its picture begins 66\.7 ms into its file, and that of chunk 10 0\.0 ms/
        assertReason(yield* refusal([pcm, stray]), "CannotJoin", 11, text)
        assertReason(yield* refusal([silent, stray, silent, pcm]), "CannotJoin", 11, text)
        // Where ffmpeg reads both from the same files, it counts from where each begins.
        yield* plan([silent, stray])
        yield* plan([pcm, read.media({ video: late, sound: { start: 3200 } })])
      })
  )

  it.effect("with the container are told which would do", () =>
    Effect.gen(function* () {
      assertReason(
        yield* refusal([read.media({ video: { codec: "prores" } })]),
        "CannotJoin",
        undefined,
        /\.mp4 files cannot hold prores video: name the output \.mov or \.mkv/
      )
      assertReason(
        yield* refusal([read.media({ video: { codec: "vp8" } })]),
        "CannotJoin",
        undefined,
        /name the output \.webm or \.mkv/
      )
      const rounded = {
        tick: { numerator: 1, denominator: 1000 },
        timestamps: Array.from({ length: 30 }, (_, frame) => Math.round((frame * 1000) / 30)),
        lastDuration: 33
      }
      assertReason(yield* refusal([read.media({ video: rounded })]), "CannotJoin", undefined, /name the output \.mkv/)
      assert.strictEqual((yield* plan([read.media({ video: rounded })], "/out.mkv")).frames, 30)
    })
  )
})

describe("the sound", () => {
  const soundOf = (media: ReadonlyArray<MediaProbe.Media>, output?: string) =>
    Effect.map(plan(media, output), ({ sound }) => sound && [sound.from, sound.codec, sound.samples, sound.tolerance])
  const silent = read.media()
  const pcm = read.media({ sound: {} })
  const aac = read.media({ sound: { codec: "aac", samples: 48_640 } })

  it.effect("of plain samples is joined, and encoded where the container wants that", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* soundOf([pcm, pcm]), ["joined", "aac", 96_000, 1024])
      assert.deepStrictEqual(yield* soundOf([pcm, pcm], "/out.mov"), ["joined", "pcm_s16le", 96_000, 0])
      assert.isUndefined(yield* soundOf([silent, silent]))
    })
  )

  it.effect("that is encoded is cut to its frames, and encoded again as it was; one alone is copied", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* soundOf([aac, aac]), ["assembled", "aac", 96_000, 1024])
      assert.deepStrictEqual(yield* soundOf([aac, aac], "/out.mov"), ["assembled", "aac", 96_000, 1024])
      assert.deepStrictEqual(yield* soundOf([aac]), ["copied", "copy", 48_000, 5696])
      const made = yield* plan([aac, aac])
      assert.include(JoinPlan.outputArgs(made).join(" "), "-map 0:0 -map 1:0 -c:a aac")
    })
  )

  it.effect("is there for the whole video as soon as one chunk has some", () =>
    Effect.gen(function* () {
      for (const media of [
        [pcm, silent],
        [silent, pcm],
        [silent, pcm, silent]
      ]) {
        const samples = media.length * 48_000
        assert.deepStrictEqual(yield* soundOf(media, "/out.mov"), ["assembled", "pcm_s16le", samples, 0])
      }
    })
  )

  it.effect("that does not say where it begins is refused, unless there is no seam", () =>
    Effect.gen(function* () {
      for (const sound of [{ codec: "aac", samples: 49_152 }, { codec: "mp3" }]) {
        const media = read.media({ sound })
        assertReason(yield* refusal([media, media]), "CannotJoin", 10, /would click at every seam.*pcm_s16le/)
        assertReason(yield* refusal([silent, media]), "CannotJoin", 11, /does not say where it begins/)
        assert.strictEqual((yield* plan([media])).sound?.from, "copied")
      }
    })
  )

  it.effect("that ends early is refused, unless nobody hears that: it is short, or there is no seam behind it", () =>
    Effect.gen(function* () {
      const of = (samples: number) => read.media({ sound: { codec: "aac", samples } })
      const [whole, early, nearly] = [of(48_640), of(47_552), of(47_904)]
      const text = /aac sound ends 9\.3 ms before the picture, .* at every seam.*-t/
      assertReason(yield* refusal([whole, early, whole]), "CannotJoin", 11, text)
      assertReason(yield* refusal([early, whole]), "CannotJoin", 10, text)
      yield* plan([whole, nearly, whole])
      yield* plan([whole, early])
      yield* plan([early])
    })
  )

  it.effect("must be of one kind wherever there is some", () =>
    Effect.gen(function* () {
      const other = read.media({ sound: { layout: "mono" } })
      assertReason(yield* refusal([silent, pcm, other]), "ChunkInvalid", 12, /stereo.*found audio pcm_s16le 48000 mono/)
    })
  )
})

describe("the counts", () => {
  it.effect("must be those of the request", () =>
    Effect.gen(function* () {
      const asked = request("/out.mp4")
      const outputs = [30, 30]
      yield* JoinPlan.checkCounts(asked, outputs)
      assertReason(
        yield* Effect.flip(JoinPlan.checkCounts(asked, outputs.slice(1))),
        "InputsNotConsumed",
        undefined,
        /1 of 2/
      )
      assertReason(
        yield* Effect.flip(JoinPlan.checkCounts({ ...asked, frames: 61 }, outputs)),
        "CannotJoin",
        undefined,
        /add up to 60 frames and the video should have 61/
      )
      assertReason(
        yield* Effect.flip(JoinPlan.checkCounts({ ...asked, total: 0, frames: 0 }, [])),
        "CannotJoin",
        undefined,
        /there are no chunks/
      )
    })
  )
})

describe("a rate with frames that are no whole number of samples", () => {
  const ntsc = { numerator: 30_000, denominator: 1001 }
  const sound = (frames: number, samples: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      const { container } = yield* JoinPlan.targetOf(request("/out.mov"))
      const video = {
        tick: { numerator: 1, denominator: 30_000 },
        timestamps: read.grid(frames, 1001),
        lastDuration: 1001,
        rate: Option.some(ntsc)
      }
      const chunks = yield* Effect.forEach(samples, (count, index) =>
        JoinPlan.chunkOf(read.output(index, frames), read.media({ frames, video, sound: { samples: count } }), ntsc)
      )
      const target = { container, rate: ntsc, frames: frames * samples.length }
      return (yield* JoinPlan.make(chunks, target)).sound
    })

  it.effect("is joined as it is where what is rounded adds up, whichever way", () =>
    Effect.gen(function* () {
      // A chunk of 4 frames has 6406.4 samples.
      const positions = Array.from({ length: 101 }, (_, index) => index * 6406.4)
      for (const rounded of [Math.round, Math.floor, Math.ceil]) {
        const samples = positions.slice(1).map((at, index) => rounded(at) - rounded(positions[index] ?? 0))
        assert.deepInclude(yield* sound(4, samples), { from: "joined", samples: 640_640 })
      }
    })
  )

  it.effect("has each chunk's sound cut to its frames where lengths are rounded one by one, and would drift", () =>
    Effect.gen(function* () {
      const same = (count: number, chunks: number) =>
        sound(
          4,
          Array.from({ length: chunks }, () => count)
        )
      assert.strictEqual((yield* same(6407, 1))?.from, "joined")
      assert.deepInclude(yield* same(6407, 200), { from: "assembled", samples: 1_281_280 })
      assert.deepInclude(yield* same(6406, 200), { from: "assembled", samples: 1_281_280 })
      const made = yield* same(6407, 2)
      assert(made !== undefined)
      const at = (frame: number) => JoinedSound.sampleAt({ rate: ntsc }, made.track, frame)
      assert.deepStrictEqual([0, 4, 8, 12].map(at), [0, 6406, 12_813, 19_219])
    })
  )
})
