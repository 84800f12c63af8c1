import { assert, describe, it } from "@effect/vitest"
import { ArtifactError } from "@helios-infra/core/promise"
import { GcsArtifactStorage } from "@helios-infra/storage-gcs/promise"
import { Effect } from "effect"
import { vi } from "vitest"
import * as StrictGcs from "./StrictGcs.ts"

/** A storage on a server of its own, for a test without Effect. */
const withStorage = (test: (storage: GcsArtifactStorage, gcs: StrictGcs.StrictGcs) => Promise<void>) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(StrictGcs.start, (gcs) =>
        Effect.promise(async () => {
          const storage = new GcsArtifactStorage({
            bucket: StrictGcs.bucket,
            credentials: StrictGcs.keyFile,
            apiEndpoint: gcs.endpoint,
            partBytes: StrictGcs.partUnit
          })
          await test(storage, gcs)
          await storage.close()
        })
      )
    )
  )

async function* bytes(...pieces: ReadonlyArray<string>) {
  for (const piece of pieces) yield new TextEncoder().encode(piece)
}

const text = async (pieces: AsyncIterable<Uint8Array>) => {
  const all: Array<Uint8Array> = []
  for await (const piece of pieces) all.push(piece)
  return Buffer.concat(all).toString()
}

describe("GcsArtifactStorage", () => {
  it("stores, reads, lists and deletes", () =>
    withStorage(async (storage) => {
      const info = await storage.put("jobs/1/output.mov", bytes("first ", "second"))
      assert.strictEqual(info.bytes, 12)
      assert.deepStrictEqual(await storage.head("jobs/1/output.mov"), info)
      assert.strictEqual(await text(storage.get("jobs/1/output.mov")), "first second")
      assert.strictEqual(await text(storage.get("jobs/1/output.mov", { from: 6, etag: info.etag })), "second")
      const keys: Array<string> = []
      for await (const { key } of storage.list("jobs/")) keys.push(key)
      assert.deepStrictEqual(keys, ["jobs/1/output.mov"])
      await storage.delete(keys)
      assert.isNull(await storage.head("jobs/1/output.mov"))
    }))

  it("gives URLs for plain requests", () =>
    withStorage(async (storage) => {
      const write = await storage.url("a", { method: "PUT", expiresMs: 60_000 })
      assert.isTrue((await fetch(write, { method: "PUT", body: "sent" })).ok)
      const read = await storage.url("a", { method: "GET", expiresMs: 60_000 })
      assert.strictEqual(await (await fetch(read)).text(), "sent")
    }))

  it("rejects with an ArtifactError", () =>
    withStorage(async (storage) => {
      const missing = await text(storage.get("never")).catch((error: unknown) => error)
      assert.instanceOf(missing, ArtifactError)
      assert.deepInclude(missing, { key: "never", reason: "NotFound" })
      await storage.put("a", bytes("there"))
      const taken = await storage.put("a", bytes("other"), { ifAbsent: true }).catch((error: unknown) => error)
      assert.deepInclude(taken, { key: "a", reason: "Exists" })
    }))

  it("stores nothing when the body throws, or the signal is aborted", () =>
    withStorage(async (storage, gcs) => {
      const gone = new Error("the disk is gone")
      async function* failing() {
        yield new Uint8Array(1_000_000)
        throw gone
      }
      assert.strictEqual(await storage.put("a", failing()).catch((error: unknown) => error), gone)
      const abort = new AbortController()
      async function* hanging() {
        yield new Uint8Array(1_000_000)
        abort.abort(new Error("not wanted"))
        await new Promise(() => {})
      }
      const aborted = await storage.put("a", hanging(), {}, { signal: abort.signal }).catch((error: unknown) => error)
      assert.strictEqual(aborted, abort.signal.reason)
      assert.deepStrictEqual([gcs.keys(), gcs.uploads()], [[], []])
    }))

  it("lets go of its connections when it is closed", () =>
    withStorage(async (storage, gcs) => {
      await storage.put("a", bytes("there"))
      assert.isAbove(gcs.sockets(), 0)
      await storage.close()
      await vi.waitFor(() => assert.strictEqual(gcs.sockets(), 0))
    }))
})

describe("an option of GcsArtifactStorage in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown => Reflect.construct(GcsArtifactStorage, [{ bucket: "renders", prefx: "a" }])
    assert.throws(make, TypeError, "GcsArtifactStorage: there is no option prefx: did you mean prefix?")
    const none = (): unknown => Reflect.construct(GcsArtifactStorage, [])
    assert.throws(none, TypeError, "GcsArtifactStorage: ")
  })
})
