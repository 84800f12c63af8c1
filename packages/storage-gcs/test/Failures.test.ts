/** What goes wrong with any request, and how a caller hears of it. */
import { assert, describe, it } from "@effect/vitest"
import type { ArtifactStorage } from "@helios-infra/core"
import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { generateKeyPairSync } from "node:crypto"
import * as StrictGcs from "./StrictGcs.ts"

const setUp = Effect.fnUntraced(function* (options: Partial<GcsArtifactStorage.Options> = {}) {
  const gcs = yield* StrictGcs.start
  yield* Effect.promise(() => gcs.store("there", "content"))
  const storage = yield* GcsArtifactStorage.make({
    bucket: StrictGcs.bucket,
    credentials: StrictGcs.keyFile,
    apiEndpoint: gcs.endpoint,
    partBytes: StrictGcs.partUnit,
    attempts: 2,
    ...options
  })
  return { gcs, storage }
})

const small = Stream.make(new Uint8Array(10))
const large = Stream.make(new Uint8Array(StrictGcs.partUnit + 10))

const operations = (storage: ArtifactStorage.ArtifactStorage["Service"]) =>
  [
    ["InsertObject", storage.put("a", small)],
    ["StartUpload", storage.put("a", large)],
    ["UploadChunk", storage.put("a", large)],
    ["DownloadObject", Stream.runDrain(storage.get("there"))],
    ["GetObject", storage.head("there")],
    ["ListObjects", Stream.runDrain(storage.list(""))],
    ["DeleteObject", storage.delete(["b"])]
  ] as const

/** What becomes of each operation, and how often it was tried, each on a server of its own. */
const failing = (fault: StrictGcs.Fault) =>
  Effect.forEach(
    Array.from({ length: 7 }, (_, index) => index),
    Effect.fnUntraced(function* (index) {
      const { gcs, storage } = yield* setUp()
      const [on, operation] = operations(storage)[index] ?? assert.fail("there are seven")
      gcs.trouble({ on, fault, times: Infinity })
      gcs.trouble({ on: "QueryUpload", fault, times: Infinity })
      const { key, message, reason } = yield* Effect.flip(Effect.asVoid(operation))
      assert.include(message, `artifact ${JSON.stringify(key)}`)
      return { on, reason, tries: gcs.count(on) + gcs.count("QueryUpload"), message, left: gcs.keys() }
    }),
    { concurrency: "unbounded" }
  )

const until = (condition: () => boolean) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout("20 seconds")
  )

describe("whatever is asked", () => {
  it.live("a refusal is Unauthorized, at once, in the service's words", () =>
    Effect.gen(function* () {
      const words = "farm@render-farm does not have storage.objects.create access"
      for (const status of [401, 403]) {
        for (const { message, on, reason, tries } of yield* failing({ error: [status, "forbidden", words] })) {
          assert.deepStrictEqual([on, reason, tries], [on, "Unauthorized", 1])
          assert.include(message, words)
        }
      }
    })
  )

  it.live("trouble that does not end is Unavailable, after retries", () =>
    Effect.gen(function* () {
      for (const fault of [
        { error: [503, "backendError"] },
        { error: [429, "rateLimitExceeded"] },
        { error: [403, "userRateLimitExceeded"] },
        { reset: "before" }
      ] as const) {
        for (const { left, on, reason, tries } of yield* failing(fault)) {
          assert.deepStrictEqual([on, reason, tries], [on, "Unavailable", 2])
          assert.deepStrictEqual(left, ["there"])
        }
      }
    })
  )

  it.live("what the account may not have any more of is Unavailable, at once", () =>
    Effect.gen(function* () {
      for (const { message, on, reason, tries } of yield* failing({ error: [403, "quotaExceeded", "out of quota"] })) {
        assert.deepStrictEqual([on, reason, tries], [on, "Unavailable", 1])
        assert.include(message, ": out of quota")
      }
    })
  )

  it.live("what is too large for the service is TooLarge", () =>
    Effect.gen(function* () {
      for (const { on, reason, tries } of (yield* failing({ error: [413, "uploadTooLarge"] })).slice(0, 3)) {
        assert.deepStrictEqual([on, reason, tries], [on, "TooLarge", 1])
      }
    })
  )

  it.live("an answer that makes no sense is Unavailable", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      for (const on of ["GetObject", "ListObjects", "InsertObject"] as const) {
        gcs.trouble({ on, fault: { nonsense: true }, times: Infinity })
      }
      for (const operation of [storage.head("there"), Stream.runDrain(storage.list("")), storage.put("a", small)]) {
        const { reason } = yield* Effect.flip(Effect.asVoid(operation))
        assert.strictEqual(reason, "Unavailable")
      }
    })
  )

  it.live("a bucket that is not there is no artifact that is not there", () =>
    Effect.gen(function* () {
      const { storage } = yield* setUp({ bucket: "elsewhere" })
      for (const [, operation] of operations(storage)) {
        const error = yield* Effect.flip(Effect.asVoid(operation))
        assert.strictEqual(error.reason, "Unavailable")
        assert.match(error.message, /404.*The specified bucket does not exist/)
      }
    })
  )

  it.live("a server that cannot be reached is Unavailable", () =>
    Effect.gen(function* () {
      const { storage } = yield* setUp({ apiEndpoint: "http://127.0.0.1:9" })
      const error = yield* Effect.flip(storage.head("a"))
      assert.strictEqual(error.reason, "Unavailable")
      assert.match(error.message, /ECONNREFUSED/)
    })
  )

  it.live("a key that the service does not know is Unauthorized", () =>
    Effect.gen(function* () {
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
      const private_key = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
      const { storage } = yield* setUp({ credentials: { ...StrictGcs.keyFile, private_key } })
      for (const [, operation] of operations(storage)) {
        assert.strictEqual((yield* Effect.flip(Effect.asVoid(operation))).reason, "Unauthorized")
      }
    })
  )

  it.live("errors tell neither tokens nor sessions", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "UploadChunk", fault: { error: [400, "invalid"] } })
      const error = yield* Effect.flip(storage.put("a", large))
      const { cause, message } = error
      const told = `${message} ${String(cause)} ${JSON.stringify(cause)} ${cause instanceof Error ? cause.stack : ""}`
      assert.notMatch(told, /upload_id|Bearer|ey[A-Za-z0-9_-]{10}/)
      assert.match(message, /PUT \/upload\/storage\/v1\/b\/renders\/o was answered with 400/)
    })
  )

  it.live("a request ends with its fiber", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "GetObject", fault: { slow: 60_000 } })
      const asking = yield* Effect.forkChild(storage.head("a"))
      yield* until(() => gcs.count("GetObject") === 1)
      yield* Fiber.interrupt(asking)
      yield* until(() => gcs.open() === 0)
    })
  )
})
