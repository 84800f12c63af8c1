import { assert, describe, it } from "@effect/vitest"
import * as FrameProgress from "@helios-infra/adapter-local/FrameProgress"

describe("FrameProgress.parse", () => {
  it.each<[string, string, number | undefined]>([
    [
      "ffmpeg's status",
      "frame=   42 fps= 24 q=28.0 size=     256kB time=00:00:01.40 bitrate=1497.6kbits/s speed=0.8x",
      42
    ],
    ["ffmpeg's status, passed on by Helios", "ffmpeg: frame=   42 fps=0.0 q=0.0 size=0kB", 42],
    ["ffmpeg's -progress", "frame=42", 42],
    ["Helios's count", "Progress: Rendered 40 / 80 frames", 40],
    ["a count of another length, scaled", "Progress: Rendered 10 / 40 frames", 20],
    ["Remotion's count", "Rendered 40/80, time remaining: 3s", 40],
    ["a percentage", "Progress: 45.00%", 36],
    ["a rounded percentage", "[render] progress 99.9 %", 79],
    ["a count of nothing", "Rendered 0 / 0 frames", undefined],
    ["another number", "Duration: 00:00:10.00, start: 0.000000, bitrate: 1205 kb/s", undefined],
    ["another percentage", "CPU 45%", undefined],
    ["another key", "drop_frame=7 keyframe=3", undefined],
    ["an empty line", "", undefined]
  ])("reads %s", (_, line, frames) => {
    assert.strictEqual(FrameProgress.parse(line, 80), frames)
  })
})

describe("FrameProgress.make", () => {
  it("never goes back, never repeats itself, and never goes beyond the chunk", () => {
    const follow = FrameProgress.make(30)
    const lines = [
      "frame=0",
      "frame=5",
      "frame=5",
      "noise",
      "frame=3",
      "Progress: 50%",
      "frame=31",
      "frame=99999999999"
    ]
    assert.deepStrictEqual(
      lines.map((line) => follow(line)),
      [undefined, 5, undefined, undefined, undefined, 15, 30, undefined]
    )
  })
})
