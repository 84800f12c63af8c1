import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { parts } from "../src/ArtifactParts.ts"

const bytes = (count: number, from = 0) => Uint8Array.from({ length: count }, (_, index) => (from + index) % 251)

const cut = (pieces: ReadonlyArray<Uint8Array>, sizeOf: (number: number) => number) =>
  Stream.runCollect(parts(Stream.fromIterable(pieces), sizeOf))

describe("ArtifactParts", () => {
  it.effect.prop(
    "are the same bytes in parts of the right sizes, however they come",
    [
      Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30_000 }))),
      Schema.Int.check(Schema.isBetween({ minimum: 100, maximum: 20_000 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 500 }))
    ],
    ([lengths, size, growth]) =>
      Effect.gen(function* () {
        const sizeOf = (number: number) => size + (number - 1) * growth
        let at = 0
        const pieces = lengths.map((length) => bytes(length, (at += length) - length))
        const found = yield* cut(pieces, sizeOf)
        assert.isTrue(Buffer.concat(found.map(({ content }) => content)).equals(Buffer.concat(pieces)))
        let begins = 0
        for (const [index, { content, from, last, number }] of found.entries()) {
          assert.strictEqual(number, index + 1)
          assert.strictEqual(from, begins)
          begins += content.length
          assert.strictEqual(last, index === found.length - 1)
          if (last) assert.isAtMost(content.length, sizeOf(number))
          else assert.strictEqual(content.length, sizeOf(number))
          if (found.length > 1) assert.isAbove(content.length, 0)
        }
      })
  )

  it.effect("are one, and empty, for nothing", () =>
    Effect.gen(function* () {
      for (const pieces of [[], [bytes(0)], [bytes(0), bytes(0)]]) {
        const found = yield* cut(pieces, () => 10)
        assert.deepStrictEqual(found, [{ number: 1, from: 0, content: bytes(0), last: true }])
      }
    })
  )

  it.effect("do not end with an empty one", () =>
    Effect.gen(function* () {
      const found = yield* cut([bytes(20)], () => 10)
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
      const failing = parts(Stream.concat(Stream.make(bytes(25)), Stream.fail("broken")), () => 10)
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
        parts(Stream.fromIterable(Array.from({ length: 300_000 }, () => piece)), () => 1_000_000)
      )
      assert.strictEqual(found[0]?.content.length, 300_000)
    })
  )
})
