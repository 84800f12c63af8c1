import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as LogTail from "../../src/internal/LogTail.ts"

const Line = Arbitrary.map(Arbitrary.schema(Schema.String), (text) => text.replaceAll("\n", "😀"))

const textOf = (limit: number, lines: ReadonlyArray<string>): string | undefined => {
  const tail = LogTail.make(limit)
  for (const line of lines) tail.push(line)
  return tail.text()
}

describe("LogTail", () => {
  it("is nothing before anything was printed", () => assert.isUndefined(textOf(100, [])))

  it("keeps all of it while it fits, empty lines as well", () =>
    assert.strictEqual(textOf(100, ["a", "", "b", ""]), "a\n\nb\n"))

  it("drops whole lines from the start", () => {
    assert.strictEqual(textOf(10, ["1234", "5678"]), "1234\n5678")
    assert.strictEqual(textOf(10, ["1234", "5678", "9"]), "5678\n9")
    assert.strictEqual(textOf(10, ["1234", "5678", "9", "0"]), "5678\n9\n0".slice(-8))
  })

  it("keeps the end of a line that alone is too long, and what follows it", () => {
    assert.strictEqual(textOf(10, ["first", "abcdefghijklmnop"]), "hijklmnop")
    assert.strictEqual(textOf(10, ["abcdefghijklmnop", "x"]), "x")
  })

  it("cuts no character in two", () => {
    assert.strictEqual(textOf(6, ["😀😀😀😀"]), "😀😀")
    assert.strictEqual(textOf(5, ["😀😀😀😀"]), "😀😀")
    assert.strictEqual(textOf(4, ["😀😀😀😀"]), "😀")
    assert.strictEqual(textOf(2, ["😀😀😀😀"]), "")
    assert.strictEqual(textOf(2, ["", "😀"]), "")
  })

  it("is not told apart by what is read from it in between", () => {
    const tail = LogTail.make(10)
    tail.push("a")
    assert.strictEqual(tail.text(), "a")
    tail.push("b")
    assert.strictEqual(tail.text(), "a\nb")
    assert.strictEqual(tail.text(), "a\nb")
  })

  it.prop(
    "is the end of what was printed, within the limit, and as long as whole lines allow",
    [Arbitrary.array(Line), Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60 }))],
    ([lines, limit]) => {
      const text = textOf(limit, lines)
      if (text === undefined) return assert.strictEqual(lines.length, 0)
      assert.isBelow(text.length, limit)
      assert.isTrue(lines.join("\n").endsWith(text))
      const kept = text.split("\n").length
      // A line that is cut stands alone, with what came after it.
      if (lines.slice(-kept).some((line) => line.length >= limit)) return
      const one = lines.at(-kept - 1)
      if (one !== undefined && one.length < limit) assert.isAbove(one.length + 1 + text.length + 1, limit)
    },
    { arbitrary: { runs: 500, size: 30 } }
  )

  it("holds no more than its limit, whatever is printed", () => {
    const tail = LogTail.make(4096)
    const line = "x".repeat(79)
    for (let i = 0; i < 200_000; i++) tail.push(line)
    for (let i = 0; i < 200_000; i++) tail.push("")
    tail.push("y".repeat(10_000_000))
    assert.strictEqual(tail.text()?.length, 4095)
  })
})
