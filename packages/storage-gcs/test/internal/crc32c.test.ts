import { CRC32C } from "@google-cloud/storage"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Crc32c } from "../../src/internal/crc32c.ts"

const digestOf = (...pieces: ReadonlyArray<Uint8Array>): string => {
  const made = new Crc32c()
  for (const piece of pieces) made.update(piece)
  return made.digest()
}

describe("Crc32c", () => {
  it("is the checksum of the standard", () => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(0xe3069283)
    assert.strictEqual(digestOf(new TextEncoder().encode("123456789")), bytes.toString("base64"))
    assert.strictEqual(digestOf(), "AAAAAA==")
  })

  it.prop("is the SDK's, whatever the pieces", [Schema.Array(Schema.Uint8Array)], ([pieces]) => {
    const theirs = new CRC32C()
    for (const piece of pieces) theirs.update(Buffer.from(piece))
    assert.strictEqual(digestOf(...pieces), theirs.toString())
  })

  it("is the SDK's for much", () => {
    const bytes = Uint8Array.from({ length: 100_003 }, (_, index) => (index * 7 + (index >> 8)) % 256)
    const theirs = new CRC32C()
    theirs.update(Buffer.from(bytes))
    assert.strictEqual(digestOf(bytes.subarray(0, 33_333), bytes.subarray(33_333)), theirs.toString())
  })
})
