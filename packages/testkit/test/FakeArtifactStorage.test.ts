import { assert, describe, it } from "@effect/vitest"
import type { ArtifactStorage } from "@helios-infra/core"
import { FakeArtifactStorage } from "@helios-infra/testkit"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"

const bytes = (text: string) => Stream.make(new TextEncoder().encode(text))
const text = (storage: ArtifactStorage.ArtifactStorage["Service"], key: string) =>
  Stream.mkString(Stream.decodeText(storage.get(key)))
const reasonOf = <A>(effect: Effect.Effect<A, ArtifactStorage.ArtifactError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("FakeArtifactStorage", () => {
  it.effect("shows what is in it and what was asked of it", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.store("a", "first")
      const stored = yield* storage.put("b", bytes("second"))
      assert.strictEqual(yield* text(storage, "a"), "first")
      assert.deepStrictEqual(fake.artifacts.get("b")?.info, stored)
      assert.deepStrictEqual(fake.calls, [
        { operation: "put", key: "b" },
        { operation: "get", key: "a" }
      ])
    })
  )

  it.effect("gives another etag to the same content: not even that is the same artifact", () =>
    Effect.gen(function* () {
      const { storage } = yield* FakeArtifactStorage.make()
      const first = yield* storage.put("a", bytes("same"))
      const second = yield* storage.put("a", bytes("same"))
      assert.notStrictEqual(first.etag, second.etag)
      assert.strictEqual(first.sha256, second.sha256)
    })
  )

  it.effect("goes wrong as often as it is told to, for the calls that are meant", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.trouble({ operation: "put", key: /^a/, times: 2, fault: { _tag: "Fails", reason: "Unavailable" } })
      assert.strictEqual(yield* reasonOf(storage.put("a/1", bytes("x"))), "Unavailable")
      yield* storage.put("b", bytes("x"))
      assert.strictEqual(yield* reasonOf(storage.put("a/2", bytes("x"))), "Unavailable")
      yield* storage.put("a/2", bytes("x"))
      fake.trouble({ fault: { _tag: "Fails", reason: "Unauthorized" } })
      assert.strictEqual(yield* reasonOf(storage.head("b")), "Unauthorized")
      assert.deepStrictEqual([...fake.artifacts.keys()], ["b", "a/2"])
    })
  )

  it.effect("takes its time", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.trouble({ operation: "put", fault: { _tag: "Slow", by: "1 hour" } })
      const putting = yield* Effect.forkChild(storage.put("a", bytes("x")))
      yield* TestClock.adjust("59 minutes")
      assert.isUndefined(fake.artifacts.get("a"))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(putting)
      assert.isDefined(fake.artifacts.get("a"))
    })
  )

  it.effect("damages what is on its way, and tells nobody", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.store("a", "content")
      fake.store("empty", "")
      fake.trouble({ operation: "get", times: 2, fault: { _tag: "Corrupt" } })
      const damaged = yield* text(storage, "a")
      assert.notStrictEqual(damaged, "content")
      assert.lengthOf(damaged, 7)
      assert.lengthOf(yield* text(storage, "empty"), 1)
      assert.strictEqual(yield* text(storage, "a"), "content")
      const { sha256 = "" } = yield* storage.put("b", bytes("content"))
      fake.trouble({ operation: "put", fault: { _tag: "Corrupt" } })
      assert.strictEqual(yield* reasonOf(storage.put("c", bytes("content"), { sha256 })), "Corrupt")
      assert.isUndefined(fake.artifacts.get("c"))
    })
  )

  it.effect("breaks off in the middle", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.store("a", "x".repeat(200_000))
      fake.trouble({ fault: { _tag: "Cut", after: 150_000 }, times: 2 })
      let seen = 0
      const reading = Stream.runForEach(storage.get("a"), (piece) => Effect.sync(() => void (seen += piece.length)))
      assert.strictEqual(yield* reasonOf(reading), "Unavailable")
      assert.strictEqual(seen, 150_000)
      assert.strictEqual(yield* reasonOf(storage.put("b", bytes("short"))), "Unavailable")
      assert.isUndefined(fake.artifacts.get("b"))
    })
  )

  it.effect("takes no artifact over its limit", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make({ maxBytes: 4 })
      assert.strictEqual(yield* reasonOf(storage.put("a", bytes("12345"))), "TooLarge")
      yield* storage.put("a", bytes("1234"))
      assert.strictEqual(fake.artifacts.get("a")?.info.bytes, 4)
    })
  )

  it.effect("lets its URLs expire by the test's clock", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.store("a", "content")
      const url = yield* storage.url("a", { method: "GET", expires: "1 hour" })
      const status = Effect.promise(() => fetch(url).then((response) => response.status))
      assert.strictEqual(yield* status, 200)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* status, 403)
      const error = yield* reasonOf(storage.url("a", { method: "GET", expires: "8 days" }))
      assert.strictEqual(error, "Unsupported")
    })
  )

  it.effect("knows no hash of what came to a URL", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      const url = yield* storage.url("a", { method: "PUT", expires: "1 hour" })
      yield* Effect.promise(() => fetch(url, { method: "PUT", body: "content" }))
      assert.strictEqual(yield* text(storage, "a"), "content")
      assert.isUndefined(fake.artifacts.get("a")?.info.sha256)
    })
  )

  it.live("closes its server with its scope", () =>
    Effect.gen(function* () {
      const url = yield* FakeArtifactStorage.make().pipe(
        Effect.flatMap(({ storage }) => storage.url("a", { method: "GET", expires: "1 hour" })),
        Effect.scoped
      )
      const closed = yield* Effect.promise(() => fetch(url).catch(() => "closed"))
      assert.strictEqual(closed, "closed")
    })
  )
})
