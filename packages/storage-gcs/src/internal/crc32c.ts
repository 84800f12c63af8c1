/**
 * The checksum that Google Cloud Storage keeps of every object: CRC-32C, big-endian, in Base64.
 *
 * The SDK has one, which takes a second of the only thread for 80 MB; this one goes eight bytes at a time and is ten
 * times as fast. Its tables are made from the SDK's.
 */
import { CRC32C } from "@google-cloud/storage"

/** What each byte adds, by how many bytes of the eight come after it: 256 entries for each. */
const tables = (() => {
  const made = new Int32Array(8 * 256)
  made.set(CRC32C.CRC32C_EXTENSION_TABLE)
  for (let index = 256; index < made.length; index++) {
    const before = at(made, index - 256)
    made[index] = (before >>> 8) ^ at(made, before & 255)
  }
  return made
})()

function at(values: Int32Array | Uint8Array, index: number): number {
  return values[index] ?? 0
}

/** A checksum in the making. */
export class Crc32c {
  #value = 0

  update(bytes: Uint8Array): void {
    const whole = bytes.length - (bytes.length % 8)
    let value = ~this.#value
    for (let index = 0; index < whole; index += 8) {
      const first =
        value ^
        (at(bytes, index) | (at(bytes, index + 1) << 8) | (at(bytes, index + 2) << 16) | (at(bytes, index + 3) << 24))
      value =
        at(tables, 1792 + (first & 255)) ^
        at(tables, 1536 + ((first >>> 8) & 255)) ^
        at(tables, 1280 + ((first >>> 16) & 255)) ^
        at(tables, 1024 + (first >>> 24)) ^
        at(tables, 768 + at(bytes, index + 4)) ^
        at(tables, 512 + at(bytes, index + 5)) ^
        at(tables, 256 + at(bytes, index + 6)) ^
        at(tables, at(bytes, index + 7))
    }
    for (let index = whole; index < bytes.length; index++) {
      value = at(tables, (at(bytes, index) ^ value) & 255) ^ (value >>> 8)
    }
    this.#value = ~value
  }

  /** As the service writes it. */
  digest(): string {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(this.#value)
    return bytes.toString("base64")
  }
}
