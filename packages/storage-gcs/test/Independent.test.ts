/**
 * The same bucket, seen by the SDK's own code, which makes other requests: what it stores can be read here, and the other
 * way round. So the server of the tests is not made for one client only.
 */
import { Storage } from "@google-cloud/storage"
import { assert, describe, it } from "@effect/vitest"
import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import { Effect, Stream } from "effect"
import { buffer } from "node:stream/consumers"
import * as StrictGcs from "./StrictGcs.ts"

const setUp = Effect.gen(function* () {
  const gcs = yield* StrictGcs.start
  const client = new Storage({ apiEndpoint: gcs.endpoint, projectId: "render-farm", useAuthWithCustomEndpoint: true })
  client.authClient.jsonContent = StrictGcs.keyFile
  client.authClient.useJWTAccessWithScope = true
  const storage = yield* GcsArtifactStorage.make({
    bucket: StrictGcs.bucket,
    client,
    partBytes: StrictGcs.partUnit
  })
  return { gcs, storage, theirs: client.bucket(StrictGcs.bucket) }
})

const large = Buffer.from(Uint8Array.from({ length: 600_000 }, (_, index) => (index * 7 + (index >> 8)) % 256))

const read = (content: Stream.Stream<Uint8Array, Error>) =>
  Effect.map(Stream.runCollect(content), (pieces) => Buffer.concat(pieces))

describe("the SDK", () => {
  it.live("reads, with its own checks, what is stored here", () =>
    Effect.gen(function* () {
      const { storage, theirs } = yield* setUp
      for (const [key, content] of [
        ["a/small", Buffer.from("small")],
        ["b large?#%2F", large]
      ] as const) {
        const info = yield* storage.put(key, Stream.make(content))
        const file = theirs.file(key)
        const [[found], [metadata]] = yield* Effect.promise(() => Promise.all([file.download(), file.getMetadata()]))
        assert.isTrue(found.equals(content))
        assert.strictEqual(metadata.generation, info.etag)
        const part = yield* Effect.promise(() => buffer(file.createReadStream({ start: 1, end: 3 })))
        assert.isTrue(part.equals(content.subarray(1, 4)))
      }
    })
  )

  it.live("stores what is read here, in one request and in a session", () =>
    Effect.gen(function* () {
      const { gcs, storage, theirs } = yield* setUp
      // The SDK's sessions show no token to an endpoint that is not Google's.
      gcs.letIn()
      for (const resumable of [false, true]) {
        yield* Effect.promise(() =>
          theirs.file("a").save(large, { resumable, ...(resumable ? { chunkSize: StrictGcs.partUnit } : {}) })
        )
        assert.isTrue((yield* read(storage.get("a"))).equals(large))
      }
      assert.deepStrictEqual([gcs.count("InsertObject"), gcs.count("StartUpload"), gcs.count("UploadChunk")], [1, 1, 3])
    })
  )

  it.live("lists and deletes the same artifacts", () =>
    Effect.gen(function* () {
      const { storage, theirs } = yield* setUp
      yield* Effect.promise(() => theirs.file("a").save("theirs", { resumable: false }))
      yield* storage.put("b", Stream.make(large))
      const [files] = yield* Effect.promise(() => theirs.getFiles())
      assert.deepStrictEqual(
        files.map(({ name }) => name),
        (yield* Stream.runCollect(storage.list(""))).map(({ key }) => key)
      )
      yield* Effect.promise(() => theirs.file("b").delete())
      assert.isTrue((yield* storage.head("b"))._tag === "None")
    })
  )

  it.live("finds that its condition was not met", () =>
    Effect.gen(function* () {
      const { storage, theirs } = yield* setUp
      yield* storage.put("a", Stream.make(large))
      const code = yield* Effect.promise(() =>
        theirs
          .file("a", { preconditionOpts: { ifGenerationMatch: 0 } })
          .save("theirs", { resumable: false })
          .then(
            () => 200,
            (error: { readonly code?: number }) => error.code
          )
      )
      assert.strictEqual(code, 412)
    })
  )
})
