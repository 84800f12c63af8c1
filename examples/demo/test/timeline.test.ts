import { assert, describe, it } from "@effect/vitest"
import { bar, width } from "../src/timeline.ts"

const axis = { from: 1000, to: 11_000 }

/** The columns of a bar, without its label and its time. */
const columns = (from: number, to: number): string => bar("stitch", axis, { from, to }).slice(10, 10 + width)

describe("bar", () => {
  it("begins and ends where its time does", () => {
    assert.strictEqual(columns(1000, 11_000), "▇".repeat(48))
    assert.strictEqual(columns(6000, 8500), " ".repeat(24) + "▇".repeat(12) + " ".repeat(12))
    assert.match(bar("stitch", axis, { from: 6000, to: 8500 }), /^ {2}stitch .* 2\.5 s$/)
  })

  it("is one column for what was too short for one, at the very end as well", () => {
    assert.strictEqual(columns(1000, 1001), `▇${" ".repeat(47)}`)
    assert.strictEqual(columns(10_990, 11_000), `${" ".repeat(47)}▇`)
    assert.strictEqual(columns(11_000, 11_000), `${" ".repeat(47)}▇`)
  })
})
