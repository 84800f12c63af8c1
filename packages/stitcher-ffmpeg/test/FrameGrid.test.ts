import * as FrameRate from "@helios-infra/core/FrameRate"
import * as FrameGrid from "@helios-infra/stitcher-ffmpeg/FrameGrid"
import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"

const ntsc = { numerator: 30_000, denominator: 1001 }
const thirty = { numerator: 30, denominator: 1 }

describe("FrameGrid", () => {
  it("knows how many frames fit a whole number of samples", () => {
    assert.strictEqual(FrameGrid.framesOfWhole(ntsc, 48_000), 5)
    assert.strictEqual(FrameGrid.framesOfWhole(thirty, 48_000), 1)
    assert.strictEqual(FrameGrid.framesOfWhole({ numerator: 24, denominator: 1 }, 44_100), 2)
    assert.strictEqual(FrameGrid.unitsOf(ntsc, 5, 48_000), 8008)
  })

  it("keeps an exact grid where frames are whole ticks", () => {
    const tick = { numerator: 1, denominator: 30_000 }
    assert.isUndefined(FrameGrid.firstOffGrid(ntsc, tick, [500, 1501, 2502]))
    assert.strictEqual(FrameGrid.firstOffGrid(ntsc, tick, [0, 1001, 2003]), 2)
    assert.strictEqual(FrameGrid.firstOffGrid(ntsc, tick, [0, 1001, 1001]), 2)
    assert.strictEqual(FrameGrid.firstOffGrid(ntsc, tick, [0, 2002]), 1)
  })

  it("allows one tick of rounding where they are not, and never adds it up", () => {
    const tick = { numerator: 1, denominator: 1000 }
    const rounded = Array.from({ length: 3000 }, (_, frame) => Math.round((frame * 1001) / 30))
    assert.isUndefined(FrameGrid.firstOffGrid(ntsc, tick, rounded))
    assert.strictEqual(FrameGrid.firstOffGrid(thirty, tick, rounded), 26)
    assert.strictEqual(
      FrameGrid.firstOffGrid({ numerator: 1000, denominator: 1 }, { numerator: 1, denominator: 999 }, [0, 1]),
      0
    )
  })

  it("finds the rate that timestamps keep", () => {
    const found = (tick: number, timestamps: ReadonlyArray<number>, last: number, claimed?: number) =>
      Option.map(
        FrameGrid.fromTimestamps({ numerator: 1, denominator: tick }, timestamps, last, claimed),
        FrameRate.format
      )
    assert.deepStrictEqual(found(30_000, [0, 1001, 2002], 1001, 29.97), Option.some("30000/1001"))
    assert.deepStrictEqual(found(15_360, [0], 512, 30), Option.some("30"))
    assert.deepStrictEqual(found(1000, [0, 33], 33, 30), Option.some("30"))
    assert.deepStrictEqual(found(1000, [0, 33, 67, 100], 33, 29.97), Option.some("30000/1001"))
    assert.deepStrictEqual(found(1000, [0, 40, 80], 40, 25), Option.some("25"))
    assert.deepStrictEqual(found(15_360, [0, 512, 2048], 512, 22.5), Option.none())
    assert.deepStrictEqual(found(15_360, [], 0), Option.none())
  })
})
