import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import * as FrameRate from "../src/FrameRate.ts"

const rate = (input: number | string): FrameRate.FrameRate => Option.getOrThrow(FrameRate.parse(input))
const text = (input: number | string): string =>
  Option.match(FrameRate.parse(input), { onNone: () => "none", onSome: FrameRate.format })

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

const Term = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))
const Frame = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))
const SmallTerm = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1001 }))

describe("FrameRate.parse", () => {
  it.each([
    [30, "30"],
    ["30", "30"],
    [" 25 ", "25"],
    ["030", "30"],
    ["30/1", "30"],
    ["30000/1001", "30000/1001"],
    ["60000/2002", "30000/1001"],
    ["30.000", "30"],
    ["1/60", "1/60"],
    [1, "1"],
    [1000, "1000"]
  ])("reads %s as %s", (input, expected) => assert.strictEqual(text(input), expected))

  it.each([
    [23.976, "24000/1001"],
    [23.98, "24000/1001"],
    ["23.9760239", "24000/1001"],
    [24000 / 1001, "24000/1001"],
    [29.97, "30000/1001"],
    ["29.970", "30000/1001"],
    [30000 / 1001, "30000/1001"],
    [47.952, "48000/1001"],
    [47.95, "48000/1001"],
    [59.94, "60000/1001"],
    [60000 / 1001, "60000/1001"],
    [119.88, "120000/1001"]
  ])("takes the decimal %s for the NTSC rate %s", (input, expected) => assert.strictEqual(text(input), expected))

  it.each([
    [12.5, "25/2"],
    [14.985, "2997/200"],
    [23.97, "2397/100"],
    [29.96, "749/25"],
    ["29.98", "1499/50"],
    [0.5, "1/2"]
  ])("takes the decimal %s as it is written: %s", (input, expected) => assert.strictEqual(text(input), expected))

  it.each([
    0,
    -0,
    -30,
    NaN,
    Infinity,
    1e21,
    1e-7,
    1001,
    "0",
    "0/1",
    "30/0",
    "0/0",
    "-30",
    "+30",
    "",
    " ",
    "30 fps",
    "30/1001/2",
    "1e2",
    "0x1e",
    "Infinity",
    ".5",
    "30.",
    "29,97",
    "1000.0001",
    "2147483648/2147483649",
    0.1 + 0.2,
    1 / 3,
    "9".repeat(1_000_000),
    "30" + " ".repeat(1_000_000)
  ])("does not take a number that is no rate (case %#)", (input) =>
    assert.isTrue(Option.isNone(FrameRate.parse(input)))
  )

  it.prop("gives lowest terms that its own text is read back to", [Term, Term], ([numerator, denominator]) => {
    const parsed = FrameRate.parse(`${numerator}/${denominator}`)
    if (numerator > denominator * FrameRate.maxFramesPerSecond) return Option.isNone(parsed)
    const lowest = Option.getOrThrow(parsed)
    assert.strictEqual(lowest.numerator * denominator, lowest.denominator * numerator)
    assert.strictEqual(gcd(lowest.numerator, lowest.denominator), 1)
    assert.deepStrictEqual(FrameRate.parse(FrameRate.format(lowest)), parsed)
    return true
  })
})

describe("FrameRate times", () => {
  it("gives seconds with six digits, rounded down", () => {
    assert.strictEqual(FrameRate.seconds(0, rate(30)), "0.000000")
    assert.strictEqual(FrameRate.seconds(1, rate(30)), "0.033333")
    assert.strictEqual(FrameRate.seconds(2, rate(30)), "0.066666")
    assert.strictEqual(FrameRate.seconds(75, rate(30)), "2.500000")
    assert.strictEqual(FrameRate.seconds(75, rate(29.97)), "2.502500")
    assert.strictEqual(FrameRate.seconds(1, rate("1/60")), "60.000000")
    assert.strictEqual(FrameRate.microseconds(1, rate(60)), 16_666)
  })

  it("does not drift in ten hours of NTSC video", () => {
    const tenHours = 10 * 3600 * 30
    assert.strictEqual(FrameRate.seconds(tenHours, rate(29.97)), "36036.000000")
    assert.strictEqual(FrameRate.samples(tenHours, rate(29.97), 48_000), 36_036 * 48_000)
  })

  it("counts the samples before a frame, rounded down", () => {
    assert.deepStrictEqual(
      [0, 1, 2, 3, 5].map((frame) => FrameRate.samples(frame, rate(29.97), 48_000)),
      [0, 1601, 3203, 4804, 8008]
    )
    assert.strictEqual(FrameRate.samples(1, rate(30), 44_100), 1470)
  })

  it.prop(
    "begins a frame at most a microsecond early and never late",
    [Frame, Term, SmallTerm],
    ([frame, numerator, denominator]) => {
      const fps = Option.getOrUndefined(FrameRate.parse(`${numerator}/${denominator}`))
      if (fps === undefined) return true
      // early <= frame / fps < early + 1 microsecond, in whole numbers
      const early = BigInt(FrameRate.microseconds(frame, fps)) * BigInt(numerator)
      const exact = BigInt(frame) * BigInt(denominator) * 1_000_000n
      assert.isTrue(early <= exact && exact < early + BigInt(numerator))
      assert.strictEqual(
        FrameRate.seconds(frame, fps)
          .replace(".", "")
          .replace(/^0+(?=\d)/, ""),
        String(FrameRate.microseconds(frame, fps))
      )
      return true
    }
  )
})
