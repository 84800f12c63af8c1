import * as JoinedFile from "@helios-infra/stitcher-ffmpeg/JoinedFile"
import * as JoinPlan from "@helios-infra/stitcher-ffmpeg/JoinPlan"
import type * as MediaProbe from "@helios-infra/stitcher-ffmpeg/MediaProbe"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as read from "./ReadVideos.ts"

/** What is wrong with the join of two chunks of 30 frames, in words; `undefined` when nothing is. */
const misfit = Effect.fnUntraced(function* (joined: MediaProbe.Media, output: string) {
  const sound = joined.audio === undefined ? {} : { sound: {} }
  const target = yield* JoinPlan.targetOf({ inputs: Stream.empty, total: 2, frames: 60, fps: "30", output })
  const chunks = yield* Effect.forEach([0, 1], (index) =>
    JoinPlan.chunkOf(read.output(index, 30), read.media(sound), target.rate)
  )
  const found = JoinedFile.misfit(joined, yield* JoinPlan.make(chunks, target))
  return found === undefined ? undefined : `expected ${found.expected}, found ${found.found}`
})

const sixty = (from: Parameters<typeof read.media>[0] = {}) => read.media({ frames: 60, ...from })

describe("a joined file", () => {
  it.effect.each([
    ["silent", sixty(), "/out.mp4"],
    ["with PCM to the sample", sixty({ sound: {} }), "/out.mov"],
    [
      "with a block of encoded sound over",
      sixty({ sound: { codec: "aac", samples: 96_000 + 1024 }, seconds: 2.02 }),
      "/out.mp4"
    ],
    ["that does not say how long its last frame is", sixty({ video: { lastDuration: 0 } }), "/out.mkv"]
  ] as const)("is what was planned: %s", ([, joined, output]) =>
    Effect.gen(function* () {
      assert.isUndefined(yield* misfit(joined, output))
    })
  )

  const wrong: ReadonlyArray<readonly [string, MediaProbe.Media, string]> = [
    [
      "no picture",
      { ...sixty(), video: undefined, streams: { video: 0, audio: 0 } },
      "expected 1 video and 0 audio streams, found 0 video and 0 audio streams"
    ],
    [
      "lost sound",
      { ...sixty({ sound: {} }), streams: { video: 1, audio: 0 } },
      "expected 1 video and 1 audio streams, found 1 video and 0 audio streams"
    ],
    ["a lost frame", sixty({ video: { timestamps: read.grid(59) } }), "expected 60 frames, found 59 frames"],
    [
      "a shifted chunk",
      sixty({ video: { timestamps: read.grid(60).map((at, frame) => (frame < 30 ? at : at + 1)) } }),
      "expected frame 30 at 1.000000 s, found it at 1.000065 s"
    ],
    [
      "a long last frame",
      sixty({ video: { lastDuration: 1024 } }),
      "expected a last frame of 512 ticks, found one of 1024 ticks"
    ],
    ["a header that is longer", sixty({ seconds: 2.1 }), "expected a length of 2.000 s, found 2.1 s"],
    ["a header that is shorter", sixty({ seconds: 1.9 }), "expected a length of 2.000 s, found 1.9 s"],
    ["another size", sixty({ video: { height: 32 } }), "expected height 64, found height 32"],
    ["a sample short", sixty({ sound: { samples: 95_999 } }), "expected 96000 samples, found 95999 samples"],
    ["a sample over", sixty({ sound: { samples: 96_001 } }), "expected 96000 samples, found 96001 samples"]
  ]
  it.effect.each(wrong)("is thrown away: %s", ([, joined, text]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* misfit(joined, "/out.mov"), text)
    })
  )
})
