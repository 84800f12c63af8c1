import * as OutputLines from "@helios-infra/process/OutputLines"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { memoryUsage } from "node:process"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const bytes = (text: string) => new TextEncoder().encode(text)

/** What `lines` tells of a text that arrives in reads of `size` bytes. */
const linesOf = (text: string, size = Number.POSITIVE_INFINITY, maxLength?: number): Array<string> => {
  const told: Array<string> = []
  const lines = OutputLines.lines((line) => told.push(line), maxLength)
  const all = bytes(text)
  for (let at = 0; at < all.length; at += size) lines.push(all.subarray(at, at + size))
  lines.end()
  return told
}

describe("OutputLines.lines", () => {
  it("tells complete lines, and the last one without an end", () => {
    assert.deepStrictEqual(linesOf("one\ntwo\n\nthree"), ["one", "two", "", "three"])
    assert.deepStrictEqual(linesOf("one\n"), ["one"])
    assert.deepStrictEqual(linesOf(""), [])
  })

  it("takes \\n, \\r\\n and a lone \\r for one end each, however they are cut", () => {
    for (const size of [1, 2, 3, 100]) {
      assert.deepStrictEqual(linesOf("a\r\nb\rc\n\r\nd\r\r\n\n", size), ["a", "b", "c", "", "d", "", ""])
    }
  })

  it("tells a progress line before the next one begins", () => {
    const told: Array<string> = []
    const lines = OutputLines.lines((line) => told.push(line))
    lines.push(bytes("frame=1\r"))
    assert.deepStrictEqual(told, ["frame=1"])
    lines.push(bytes("frame=2\r"))
    assert.deepStrictEqual(told, ["frame=1", "frame=2"])
  })

  it("keeps characters whole across reads", () => {
    const text = "ビデオ é 🎬🎞\nünï\n"
    for (const size of [1, 2, 3, 5, 7]) assert.deepStrictEqual(linesOf(text, size), ["ビデオ é 🎬🎞", "ünï"])
  })

  it("shows bytes that are no UTF-8 as replacement characters", () => {
    const told: Array<string> = []
    const lines = OutputLines.lines((line) => told.push(line))
    lines.push(Uint8Array.of(0x61, 0xff, 0x62, 0x0a, 0xe3, 0x83))
    lines.end()
    assert.deepStrictEqual(told, ["a\ufffdb", "\ufffd"])
  })

  it("cuts a line that does not end, never inside a character", () => {
    const told = linesOf("x".repeat(25), 4, 10)
    assert.deepStrictEqual(told, ["x".repeat(10), "x".repeat(10), "x".repeat(5)])
    const film = linesOf(`x${"🎬".repeat(20)}`, 3, 10)
    assert.strictEqual(film.join(""), `x${"🎬".repeat(20)}`)
    for (const piece of film) {
      assert.isAtMost(piece.length, 11)
      assert.isFalse(/^[\udc00-\udfff]|[\ud800-\udbff]$/.test(piece))
    }
  })

  it("goes on when the observer throws", () => {
    const told: Array<string> = []
    const lines = OutputLines.lines((line) => {
      told.push(line)
      throw new Error("observer")
    })
    lines.push(bytes("a\nb\n"))
    assert.deepStrictEqual(told, ["a", "b"])
  })

  it("lets go of what was printed around a line that is kept", () => {
    setFlagsFromString("--expose-gc")
    // oxlint-disable-next-line typescript/no-unsafe-assignment -- V8 gives it no type
    const gc: () => void = runInNewContext("gc")
    const read = bytes(`${"0".repeat(99)}\n`.repeat(655))
    const kept: Array<string> = []
    let told = 0
    const lines = OutputLines.lines((line) => {
      if (told++ % 655 === 0) kept.push(line)
    })
    gc()
    const before = memoryUsage().heapUsed
    for (let reads = 0; reads < 500; reads++) lines.push(read)
    gc()
    assert.lengthOf(kept, 500)
    // 32 MB were read.
    assert.isBelow(memoryUsage().heapUsed - before, 8e6)
  })

  it.prop(
    "does not depend on how the output was cut into reads",
    [Schema.Array(Schema.Literals(["a", "é", "🎬", "\n", "\r", "\r\n"])), Schema.Literals([1, 2, 3, 7])],
    ([parts, size]) => assert.deepStrictEqual(linesOf(parts.join(""), size), linesOf(parts.join("")))
  )
})

describe("OutputLines.tail", () => {
  const tailOf = (limit: number, ...reads: ReadonlyArray<string>) => {
    const tail = OutputLines.tail(limit)
    for (const read of reads) tail.push(bytes(read))
    return tail.text()
  }

  it("keeps all of what is short, and the end of what is long", () => {
    assert.strictEqual(tailOf(10, "abc", "def"), "abcdef")
    assert.strictEqual(tailOf(4, "abc", "def"), "cdef")
    assert.strictEqual(tailOf(4, "abcdefghij"), "ghij")
    assert.strictEqual(tailOf(0, "abc"), "")
  })

  it("begins with a whole character", () => {
    assert.strictEqual(tailOf(5, "ビデオ"), "オ")
    assert.strictEqual(tailOf(6, "🎬🎬"), "🎬")
    assert.strictEqual(tailOf(6, "ビ", "デオ"), "デオ")
  })

  it.prop(
    "is the end of everything, within its limit",
    [Schema.Array(Schema.Literals(["abc", "é", "🎬", "\n"])), Schema.Literals([1, 4, 9])],
    ([reads, limit]) => {
      const kept = tailOf(limit, ...reads)
      assert.isTrue(reads.join("").endsWith(kept))
      assert.isAtMost(bytes(kept).length, limit)
      assert.isAbove(bytes(kept).length, Math.min(limit, bytes(reads.join("")).length) - 4)
    }
  )
})
