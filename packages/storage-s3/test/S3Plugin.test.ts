import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage, Plugin } from "@helios-infra/core"
import { S3Plugin } from "@helios-infra/storage-s3"
import { Effect, Stream } from "effect"
import * as StrictS3 from "./StrictS3.ts"

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([S3Plugin.storage])
  return yield* registry.resolve("storage", { type: "s3", ...options })
})

describe('{ "type": "s3" }', () => {
  it.live("keeps artifacts in the bucket that it names, with the key that AWS's tools find", () =>
    Effect.gen(function* () {
      const s3 = yield* StrictS3.start
      process.env["AWS_ACCESS_KEY_ID"] = StrictS3.credentials.accessKeyId
      process.env["AWS_SECRET_ACCESS_KEY"] = StrictS3.credentials.secretAccessKey
      const layer = yield* resolve({
        bucket: StrictS3.bucket,
        prefix: "team",
        region: StrictS3.region,
        endpoint: s3.endpoint,
        forcePathStyle: true,
        partBytes: 5 * 1024 ** 2,
        encryption: "AES256"
      })
      const put = ArtifactStorage.ArtifactStorage.use((storage) => storage.put("a", Stream.make(new Uint8Array(3))))
      yield* Effect.provide(put, layer)
      assert.deepStrictEqual(s3.keys(), ["team/a"])
    })
  )

  it.effect.each([
    [{}, "bucket is missing"],
    [{ bucket: "b", partBytes: 1024 }, "partBytes must be"],
    [{ bucket: "b", concurrency: 0 }, "concurrency must be"],
    [{ bucket: "b", encryption: "rot13" }, "encryption must be"],
    [{ bucket: "b", buckets: "b" }, 'buckets is not an option: did you mean "bucket"?'],
    [{ bucket: "b", credentials: {} }, "credentials is not an option"]
  ] as const)("says what is wrong with %j", ([options, words]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve(options))
      assert.isTrue(error.message.startsWith('storage "s3": '), error.message)
      assert.include(error.message, words)
    })
  )

  it.effect("cannot start with a prefix that no key has", () =>
    Effect.gen(function* () {
      const layer = yield* resolve({ bucket: "b", prefix: "../up" })
      const error = yield* Effect.flip(Effect.provide(ArtifactStorage.ArtifactStorage, layer))
      assert.strictEqual(error.reason._tag, "CannotStart")
    })
  )
})
