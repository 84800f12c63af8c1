import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as path from "node:path"
import * as attemptLog from "../src/internal/attemptLog.ts"
import * as Rig from "./Rig.ts"

const open = Effect.fnUntraced(function* (maxBytes: number) {
  const log = yield* attemptLog.make(path.join(yield* Rig.folder, "log.txt"), maxBytes)
  const content = Effect.gen(function* () {
    const { bytes, content } = yield* log.body
    const all = Buffer.concat(yield* Stream.runCollect(content))
    assert.strictEqual(all.length, bytes)
    return all.toString()
  })
  return { ...log, content }
})

describe("a log", () => {
  it.live("has every line, in any language, and can be read again", () =>
    Effect.gen(function* () {
      const { content, line } = yield* open(1000)
      assert.strictEqual(yield* content, "")
      line("eins")
      line("")
      line("zwölf 🎬")
      assert.strictEqual(yield* content, "eins\n\nzwölf 🎬\n")
      line("more")
      assert.strictEqual(yield* content, "eins\n\nzwölf 🎬\nmore\n")
    })
  )

  it.live("has its first half and its end at every length, once it is too long", () =>
    Effect.gen(function* () {
      for (const count of [10, 11, 12, 15, 16, 17, 22, 23, 1000, 20_000]) {
        const { content, line } = yield* open(101)
        const lines = Array.from({ length: count }, (_, index) => `line${String(index).padStart(5, "0")}`)
        for (const one of lines) line(one)
        const whole = lines.map((one) => `${one}\n`).join("")
        const left = whole.length - 101
        const expected =
          left <= 0 ? whole : `${whole.slice(0, 50)}\n[${left} bytes are left out here]\n${whole.slice(-51)}`
        assert.strictEqual(yield* content, expected, String(count))
      }
    })
  )

  it.live("takes lines of any length", () =>
    Effect.gen(function* () {
      const { content, line } = yield* open(2 ** 20)
      const long = "é".repeat(8192)
      for (let index = 0; index < 20; index++) line(long)
      assert.strictEqual(yield* content, `${long}\n`.repeat(20))
    })
  )
})
