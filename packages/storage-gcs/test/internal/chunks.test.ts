import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { chunks } from "../../src/internal/chunks.ts"

const bytes = (count: number, from = 0) => Uint8Array.from({ length: count }, (_, index) => (from + index) % 251)

const cut = (pieces: ReadonlyArray<Uint8Array>, size: number) =>
  Stream.runCollect(chunks(Stream.fromIterable(pieces), size))

describe("chunks", () => {
  it.effect.prop(
    "are the same bytes in chunks of one size, however they come",
    [
      Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30_000 }))),
      Schema.Int.check(Schema.isBetween({ minimum: 100, maximum: 20_000 }))
    ],
    ([lengths, size]) =>
      Effect.gen(function* () {
        let at = 0
        const pieces = lengths.map((length) => bytes(length, (at += length) - length))
        const found = yield* cut(pieces, size)
        assert.isTrue(Buffer.concat(found.map(({ content }) => content)).equals(Buffer.concat(pieces)))
        for (const [index, { content, from, last }] of found.entries()) {
          assert.strictEqual(from, index * size)
          assert.strictEqual(last, index === found.length - 1)
          if (last) assert.isAtMost(content.length, size)
          else assert.strictEqual(content.length, size)
          if (found.length > 1) assert.isAbove(content.length, 0)
        }
      })
  )

  it.effect("are one, and empty, for nothing", () =>
    Effect.gen(function* () {
      for (const pieces of [[], [bytes(0)], [bytes(0), bytes(0)]]) {
        assert.deepStrictEqual(yield* cut(pieces, 10), [{ from: 0, content: bytes(0), last: true }])
      }
    })
  )

  it.effect("do not end with an empty one", () =>
    Effect.gen(function* () {
      const found = yield* cut([bytes(20)], 10)
      assert.deepStrictEqual(
        found.map(({ content, last }) => [content.length, last]),
        [
          [10, false],
          [10, true]
        ]
      )
    })
  )

  it.effect("have no last one when the stream fails", () =>
    Effect.gen(function* () {
      const seen: Array<boolean> = []
      const failing = chunks(Stream.concat(Stream.make(bytes(25)), Stream.fail("broken")), 10)
      const error = yield* Effect.flip(
        Stream.runForEach(failing, ({ last }) => Effect.sync(() => void seen.push(last)))
      )
      assert.strictEqual(error, "broken")
      assert.deepStrictEqual(seen, [false, false])
    })
  )

  it.effect("take as long for many pieces as for their bytes", () =>
    Effect.gen(function* () {
      const piece = bytes(1)
      const found = yield* Stream.runCollect(
        chunks(Stream.fromIterable(Array.from({ length: 300_000 }, () => piece)), 1_000_000)
      )
      assert.strictEqual(found[0]?.content.length, 300_000)
    })
  )
})
