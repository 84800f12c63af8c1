/** Hashes of files. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { pipeline } from "node:stream/promises"

/** The SHA-256 of files, one after the other, in lower-case hexadecimal. */
export const sha256 = (files: ReadonlyArray<string>): Effect.Effect<string, Cause.UnknownError> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    const add = (file: string) =>
      Effect.tryPromise((signal) =>
        pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal, end: false })
      )
    return Effect.forEach(files, add, { discard: true }).pipe(Effect.map(() => hash.digest("hex")))
  })
