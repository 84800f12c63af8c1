import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage, FromPromises, PromiseBacking } from "@helios-infra/core"
import { ArtifactError, type ArtifactStorage as PlainStorage } from "@helios-infra/core/promise"
import { FakeArtifactStorage } from "@helios-infra/testkit"
import { artifactStorageContract } from "@helios-infra/testkit/Vitest"
import { Effect, Layer, Option, Stream } from "effect"

const inMemory = Layer.effect(
  ArtifactStorage.ArtifactStorage,
  Effect.map(FakeArtifactStorage.make(), ({ storage }) => storage)
)

class MemoryStorage extends PromiseBacking.StorageClass {
  constructor() {
    super(inMemory)
  }
}

/** The same methods, as a user would have written them: nothing stands behind this object. */
const plain = (storage: PlainStorage, changed: Partial<PlainStorage> = {}): PlainStorage => ({
  put: (key, body, options, context) => storage.put(key, body, options, context),
  get: (key, options) => storage.get(key, options),
  head: (key) => storage.head(key),
  list: (prefix) => storage.list(prefix),
  delete: (keys) => storage.delete(keys),
  url: (key, options) => storage.url(key, options),
  ...changed
})

artifactStorageContract(
  "a storage written with promises",
  Layer.unwrap(Effect.sync(() => FromPromises.artifactStorage(plain(new MemoryStorage())))),
  { big: 300_000, many: 50 }
)

describe("a storage class", () => {
  it("stores and gives with promises alone", async () => {
    const storage = new MemoryStorage()
    const body = async function* () {
      yield new TextEncoder().encode("hello ")
      yield new TextEncoder().encode("there")
    }
    const info = await storage.put("a/b", body())
    assert.strictEqual(info.bytes, 11)
    assert.deepStrictEqual(await storage.head("a/b"), info)
    assert.isNull(await storage.head("c"))
    let text = ""
    for await (const bytes of storage.get("a/b", { from: 6 })) text += new TextDecoder().decode(bytes)
    assert.strictEqual(text, "there")
    const keys: Array<string> = []
    for await (const { key } of storage.list("a/")) keys.push(key)
    assert.deepStrictEqual(keys, ["a/b"])
    const url = await storage.url("a/b", { method: "GET", expiresMs: 10_000 })
    assert.strictEqual(await (await fetch(url)).text(), "hello there")
    await storage.delete(["a/b"])
    assert.isNull(await storage.head("a/b"))
    await storage.close()
  })

  it("rejects with the error that says why, and with what the body threw", async () => {
    const storage = new MemoryStorage()
    const rejection = (promise: Promise<unknown>) =>
      promise.then(
        () => assert.fail("it did not reject"),
        (error: unknown) => error
      )
    const missing = await rejection(storage.get("nothing")[Symbol.asyncIterator]().next())
    assert.instanceOf(missing, ArtifactError)
    assert.strictEqual(missing.reason, "NotFound")
    const thrown = new Error("no more")
    const body = async function* () {
      yield new Uint8Array(3)
      throw thrown
    }
    assert.strictEqual(await rejection(storage.put("a", body())), thrown)
    assert.isNull(await storage.head("a"))
    const aborted = AbortSignal.abort(new Error("enough"))
    assert.match(String(await rejection(storage.put("a", body(), {}, { signal: aborted }))), /enough/)
  })

  it("is the service behind it, for core", async () => {
    const storage = new MemoryStorage()
    assert.isTrue(Option.isSome(PromiseBacking.storageOf(storage)))
    const same = ArtifactStorage.ArtifactStorage.use((service) =>
      service.put("a", Stream.make(new Uint8Array(2)))
    ).pipe(Effect.provide(FromPromises.artifactStorage(storage)))
    await Effect.runPromise(same)
    assert.strictEqual((await storage.head("a"))?.bytes, 2)
  })
})

describe("a storage written with promises that misbehaves", () => {
  const failureOf = (changed: object) => {
    const storage: PlainStorage = { ...plain(new MemoryStorage()), ...changed }
    const use = Effect.gen(function* () {
      const service = yield* ArtifactStorage.ArtifactStorage
      yield* service.put("a", Stream.make(new Uint8Array(2)))
      yield* service.head("a")
      yield* Stream.runDrain(service.get("a"))
      yield* Stream.runDrain(service.list(""))
      yield* service.url("a", { method: "GET", expires: "1 minute" })
      yield* service.delete(["a"])
    })
    return Effect.flip(Effect.provide(use, FromPromises.artifactStorage(storage)))
  }

  for (const [name, changed, cause] of [
    // oxlint-disable-next-line prefer-promise-reject-errors -- users do
    ["rejects with a string", { put: () => Promise.reject("no room") }, /no room/],
    [
      "throws at once",
      {
        get: () => {
          throw new Error("not today")
        }
      },
      /not today/
    ],
    ["resolves with nothing", { put: async () => undefined }, /its put gave something else/],
    ["resolves head with nothing", { head: async () => undefined }, /its head gave something else/],
    ["gives no bytes", { get: () => Stream.toAsyncIterable(Stream.make("text")) }, /its get gave something else/],
    ["gives no iterable", { list: () => 7 }, /asyncIterator/],
    ["gives no URL", { url: async () => new URL("https://a.example") }, /its url gave something else/],
    [
      "lists garbage",
      {
        async *list() {
          yield { key: 7 }
        }
      },
      /its list gave something else/
    ]
  ] as const) {
    it.effect(`and ${name} is unavailable`, () =>
      Effect.gen(function* () {
        const error = yield* failureOf(changed)
        assert.strictEqual(error.reason, "Unavailable")
        assert.match(error.message, cause)
      })
    )
  }

  it.effect("and says why is believed", () =>
    Effect.gen(function* () {
      const refused = new ArtifactError({ key: "a", reason: "Unauthorized", cause: "no" })
      assert.strictEqual(yield* failureOf({ head: () => Promise.reject(refused) }), refused)
    })
  )
})
