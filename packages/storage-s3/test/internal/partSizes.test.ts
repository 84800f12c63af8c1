import { assert, describe, it } from "@effect/vitest"
import { largestPart, mostParts, partSizes } from "../../src/internal/partSizes.ts"

const mebibyte = 1024 ** 2
const gibibyte = 1024 ** 3
const tebibyte = 1024 ** 4

/** How many parts an artifact has. */
const countOf = (bytes: number, sizeOf: (number: number) => number): number => {
  let number = 0
  for (let left = bytes; left > 0; left -= sizeOf(number)) number++
  return number
}

describe("partSizes", () => {
  it("are those that were asked for, as long as that suffices", () => {
    const sizeOf = partSizes(8 * mebibyte, 5 * gibibyte)
    assert.isDefined(sizeOf)
    assert.strictEqual(sizeOf(1), 8 * mebibyte)
    assert.strictEqual(countOf(5 * gibibyte, sizeOf), 640)
  })

  it.each([5 * gibibyte, 78 * gibibyte, 79 * gibibyte, 5 * tebibyte, 5 * tebibyte - 1, 48 * tebibyte])(
    "are equal and few enough for %d bytes",
    (bytes) => {
      const sizeOf = partSizes(8 * mebibyte, bytes)
      assert.isDefined(sizeOf)
      assert.isAtMost(countOf(bytes, sizeOf), mostParts)
      assert.strictEqual(sizeOf(1), sizeOf(mostParts))
      assert.isAtMost(sizeOf(1), largestPart)
    }
  )

  it("are none for what does not fit", () => {
    assert.isUndefined(partSizes(8 * mebibyte, largestPart * mostParts + 1))
    assert.isDefined(partSizes(8 * mebibyte, largestPart * mostParts))
  })

  it("grow where nobody knows how much comes, so that 5 TB fit", () => {
    const sizeOf = partSizes(8 * mebibyte)
    assert.isDefined(sizeOf)
    assert.strictEqual(sizeOf(1000), 8 * mebibyte)
    assert.strictEqual(sizeOf(1001), 16 * mebibyte)
    assert.strictEqual(countOf(5 * gibibyte, sizeOf), 640)
    assert.isAtMost(countOf(5 * tebibyte, sizeOf), mostParts)
    for (let number = 2; number <= mostParts; number++) {
      assert.isAtLeast(sizeOf(number), sizeOf(number - 1))
      assert.isAtMost(sizeOf(number), largestPart)
    }
    assert.strictEqual(partSizes(gibibyte)?.(mostParts), largestPart)
  })
})
