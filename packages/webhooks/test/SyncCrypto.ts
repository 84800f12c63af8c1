/**
 * WebCrypto that answers at once, for tests on the test clock: the real one computes on other threads, which take the time
 * that they take. What it signs is looked at by no receiver.
 */
import { Effect } from "effect"
import { createHash, createHmac } from "node:crypto"
import { afterAll, beforeAll, vi } from "vitest"

const bytesOf = (data: ArrayBuffer | ArrayBufferView): Uint8Array =>
  ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)

/** For the tests of one file. */
export const install = (): void => {
  beforeAll(() => {
    const { subtle } = globalThis.crypto
    vi.spyOn(subtle, "digest").mockImplementation((_, data) =>
      Promise.resolve(new Uint8Array(createHash("sha256").update(bytesOf(data)).digest()).buffer)
    )
    // Its keys cannot be read; those of the tests are all the same.
    vi.spyOn(subtle, "sign").mockImplementation((_, __, data) =>
      Promise.resolve(new Uint8Array(createHmac("sha256", "key").update(bytesOf(data)).digest()).buffer)
    )
  })
  afterAll(() => void vi.restoreAllMocks())
}

/** Lets everything that can go on without time passing go on. */
export const settle: Effect.Effect<void> = Effect.promise(
  () => new Promise<void>((resume) => setImmediate(resume))
).pipe(Effect.repeat({ times: 20 }), Effect.asVoid)
