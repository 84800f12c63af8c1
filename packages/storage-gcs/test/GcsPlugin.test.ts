import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage, Plugin } from "@helios-infra/core"
import { GcsPlugin } from "@helios-infra/storage-gcs"
import { Effect, Stream } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as StrictGcs from "./StrictGcs.ts"

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([GcsPlugin.storage])
  return yield* registry.resolve("storage", { type: "gcs", ...options })
})

const keyFile = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const directory = await fs.mkdtemp(path.join(tmpdir(), "gcs-key-"))
      await fs.writeFile(path.join(directory, "key.json"), JSON.stringify(StrictGcs.keyFile))
      return directory
    }),
    (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
  ),
  (directory) => path.join(directory, "key.json")
)

const put = ArtifactStorage.ArtifactStorage.use((storage) => storage.put("a", Stream.make(new Uint8Array(3))))

describe('{ "type": "gcs" }', () => {
  it.live("keeps artifacts in the bucket that it names, with the key of a file", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const layer = yield* resolve({
        bucket: StrictGcs.bucket,
        prefix: "team",
        projectId: "render-farm",
        keyFilename: yield* keyFile,
        apiEndpoint: gcs.endpoint,
        kmsKeyName: "k",
        partBytes: 256 * 1024,
        attempts: 3
      })
      yield* Effect.provide(put, layer)
      assert.deepStrictEqual(gcs.keys(), ["team/a"])
    })
  )

  it.live("finds the key that Google's tools find", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const file = yield* keyFile
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["GOOGLE_APPLICATION_CREDENTIALS"] = file
        }),
        () => Effect.sync(() => Reflect.deleteProperty(process.env, "GOOGLE_APPLICATION_CREDENTIALS"))
      )
      yield* Effect.provide(put, yield* resolve({ bucket: StrictGcs.bucket, apiEndpoint: gcs.endpoint }))
      assert.deepStrictEqual(gcs.keys(), ["a"])
    })
  )

  it.live("asks an emulator without any", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      gcs.letIn()
      const options = { bucket: StrictGcs.bucket, apiEndpoint: gcs.endpoint, anonymous: true }
      yield* Effect.provide(put, yield* resolve(options))
      assert.deepStrictEqual(gcs.keys(), ["a"])
    })
  )

  it.effect.each([
    [{}, "bucket is missing"],
    [{ bucket: "b", partBytes: 1024 }, "partBytes must be"],
    [{ bucket: "b", attempts: 0 }, "attempts must be"],
    [{ bucket: "b", anonymous: "yes" }, "anonymous must be"],
    [{ bucket: "b", buckets: "b" }, 'buckets is not an option: did you mean "bucket"?'],
    [{ bucket: "b", credentials: {} }, "credentials is not an option"]
  ] as const)("says what is wrong with %j", ([options, words]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve(options))
      assert.isTrue(error.message.startsWith('storage "gcs": '), error.message)
      assert.include(error.message, words)
    })
  )

  it.effect.each([{ prefix: "../up" }, { keyFilename: "/nowhere/key.json" }])("cannot start with %j", (options) =>
    Effect.gen(function* () {
      const layer = yield* resolve({ bucket: "b", ...options })
      const error = yield* Effect.flip(Effect.provide(ArtifactStorage.ArtifactStorage, layer))
      assert.strictEqual(error.reason._tag, "CannotStart")
    })
  )
})
