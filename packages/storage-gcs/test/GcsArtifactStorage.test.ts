import { assert, describe, it } from "@effect/vitest"
import type { ArtifactStorage } from "@helios-infra/core"
import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import { Effect, Fiber, Logger, Option, Schedule, Stream } from "effect"
import { createHash } from "node:crypto"
import { EventEmitter, once } from "node:events"
import * as StrictGcs from "./StrictGcs.ts"

const chunk = StrictGcs.partUnit

const setUp = Effect.fnUntraced(function* (options: Partial<GcsArtifactStorage.Options> = {}) {
  const gcs = yield* StrictGcs.start
  const storage = yield* GcsArtifactStorage.make({
    bucket: StrictGcs.bucket,
    credentials: StrictGcs.keyFile,
    apiEndpoint: gcs.endpoint,
    partBytes: chunk,
    ...options
  })
  return { gcs, storage }
})

const large = Uint8Array.from({ length: 4 * chunk + 1000 }, (_, index) => (index * 7 + (index >> 8)) % 256)
const sha256 = createHash("sha256").update(large).digest("hex")
const small = new TextEncoder().encode("small")

const body = (bytes: Uint8Array) =>
  Stream.fromIterable(Array.from({ length: Math.ceil(bytes.length / 100_000) }, (_, index) => index * 100_000)).pipe(
    Stream.rechunk(1),
    Stream.map((start) => bytes.subarray(start, start + 100_000))
  )

const read = (storage: ArtifactStorage.ArtifactStorage["Service"], key: string, options?: ArtifactStorage.GetOptions) =>
  Effect.map(Stream.runCollect(storage.get(key, options)), (pieces) => Buffer.concat(pieces))

const reasonOf = <A>(effect: Effect.Effect<A, ArtifactStorage.ArtifactError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const until = (condition: () => boolean) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout("20 seconds")
  )

/** The ranges of an upload's requests, or of a download's. */
const rangesOf = (gcs: StrictGcs.StrictGcs) =>
  gcs.requests.flatMap(({ headers }) => headers["content-range"] ?? headers.range ?? [])

describe("put", () => {
  it.live("is one request for what fits in a chunk, with its hash", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      const content = large.subarray(0, chunk)
      const info = yield* storage.put("a", body(content))
      assert.deepStrictEqual(
        gcs.requests.map(({ operation }) => operation),
        ["InsertObject"]
      )
      assert.strictEqual(info.sha256, createHash("sha256").update(content).digest("hex"))
      assert.strictEqual(gcs.metadata("a")?.["sha256"], info.sha256)
      assert.deepStrictEqual(yield* storage.head("a"), Option.some(info))
    })
  )

  it.live("sends what is larger chunk by chunk, and the checksum of all with the last", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      const info = yield* storage.put("a", body(large), { bytes: large.length, sha256 })
      assert.deepStrictEqual(rangesOf(gcs), [
        `bytes 0-${chunk - 1}/*`,
        `bytes ${chunk}-${2 * chunk - 1}/*`,
        `bytes ${2 * chunk}-${3 * chunk - 1}/*`,
        `bytes ${3 * chunk}-${4 * chunk - 1}/*`,
        `bytes ${4 * chunk}-${large.length - 1}/${large.length}`
      ])
      const hashes = gcs.requests.map(({ headers }) => headers["x-goog-hash"])
      assert.match(String(hashes.at(-1)), /^crc32c=/)
      assert.isEmpty(hashes.slice(0, -1).filter((hash) => hash !== undefined))
      assert.deepInclude(info, { bytes: large.length, sha256 })
      assert.deepStrictEqual(yield* storage.head("a"), Option.some(info))
    })
  )

  it.live("has chunks of which the service takes several sizes only", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp({ partBytes: chunk + 1 })
      yield* storage.put("a", body(large))
      assert.strictEqual(rangesOf(gcs)[0], `bytes 0-${2 * chunk - 1}/*`)
    })
  )

  it.live("completes nothing that is not what was told", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      for (const told of [{ sha256: "0".repeat(64) }, { bytes: large.length + 1 }, { bytes: large.length - 1 }]) {
        assert.strictEqual(yield* reasonOf(storage.put("a", body(large), told)), "Corrupt")
      }
      assert.isEmpty(rangesOf(gcs).filter((range) => !range.endsWith("/*")))
      assert.deepStrictEqual([gcs.keys(), gcs.uploads()], [[], []])
      assert.strictEqual(gcs.count("CancelUpload"), 3)
    })
  )

  it.live("sends nothing of what is too large for the service", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      const tooLarge = storage.put("a", body(large), { bytes: 5 * 1024 ** 4 + 1 })
      assert.strictEqual(yield* reasonOf(tooLarge), "TooLarge")
      assert.isEmpty(gcs.requests)
    })
  )

  it.live("leaves no upload behind when it is interrupted, and sends nothing more", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "UploadChunk", fault: { slow: 60_000 }, after: 1 })
      const putting = yield* Effect.forkChild(storage.put("a", body(large)))
      yield* until(() => gcs.count("UploadChunk") === 2)
      yield* Fiber.interrupt(putting)
      assert.deepStrictEqual([gcs.keys(), gcs.uploads()], [[], []])
      assert.strictEqual(gcs.requests.at(-1)?.operation, "CancelUpload")
      yield* until(() => gcs.open() === 0)
      assert.strictEqual(gcs.requests.at(-1)?.operation, "CancelUpload")
    })
  )

  it.live("takes back what it has stored when it is interrupted before it hears of it", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      for (const [on, after, content] of [
        ["InsertObject", 0, small],
        ["UploadChunk", 4, large]
      ] as const) {
        gcs.trouble({ on, after, fault: { lost: true } })
        const putting = yield* Effect.forkChild(storage.put("a", body(content), { ifAbsent: true }))
        yield* until(() => gcs.keys().length === 1)
        yield* Fiber.interrupt(putting)
        assert.deepStrictEqual(gcs.keys(), [])
      }
    })
  )

  it.live("takes back nothing of somebody else's", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "InsertObject", fault: { slow: 60_000 } })
      const putting = yield* Effect.forkChild(storage.put("a", body(small), { ifAbsent: true }))
      yield* until(() => gcs.count("InsertObject") === 1)
      yield* Effect.promise(() => gcs.store("a", "theirs"))
      yield* Fiber.interrupt(putting)
      assert.deepStrictEqual(gcs.keys(), ["a"])
      assert.strictEqual(gcs.count("DeleteObject"), 0)
    })
  )

  it.live("fails with what its body failed with, also when the upload cannot be cancelled", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp({ attempts: 1 })
      gcs.trouble({ on: "CancelUpload", fault: { error: [500, "backendError"] } })
      const failing = Stream.concat(body(large), Stream.fail("the disk is gone"))
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      const error = yield* Effect.provide(Effect.flip(storage.put("a", failing)), Logger.layer([logger]))
      assert.strictEqual(error, "the disk is gone")
      assert.match(warnings.join(), /an upload of a could not be cancelled: .* stays with the service for a week/)
      assert.deepStrictEqual(gcs.keys(), [])
    })
  )

  it.live("sends what is in memory again when it arrived damaged, and gives up in the end", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "InsertObject", fault: { damage: "request" }, times: 2 })
      yield* storage.put("a", body(small))
      assert.strictEqual(gcs.count("InsertObject"), 3)
      gcs.trouble({ on: "InsertObject", fault: { damage: "request" }, times: Infinity })
      assert.strictEqual(yield* reasonOf(storage.put("b", body(small))), "Corrupt")
      assert.deepStrictEqual(gcs.keys(), ["a"])
    })
  )

  it.live("stores nothing of which a chunk arrived damaged", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "UploadChunk", fault: { damage: "request" }, after: 1 })
      const error = yield* Effect.flip(storage.put("a", body(large)))
      assert.strictEqual(error.reason, "Corrupt")
      assert.match(error.message, /doesn't match calculated CRC32C/)
      assert.deepStrictEqual([gcs.keys(), gcs.uploads()], [[], []])
    })
  )

  it.live("removes what the service has otherwise than it was sent", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "InsertObject", fault: { wrongCrc: true } })
      gcs.trouble({ on: "UploadChunk", fault: { wrongCrc: true }, after: 4 })
      for (const content of [small, large]) {
        const error = yield* Effect.flip(storage.put("a", body(content)))
        assert.strictEqual(error.reason, "Corrupt")
        assert.match(error.message, /its CRC-32C is .*, and the service has AAAAAA==/)
        assert.deepStrictEqual(gcs.keys(), [])
      }
    })
  )

  it.live("gets over resets, errors and throttling", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "InsertObject", fault: { error: [429, "rateLimitExceeded"] } })
      gcs.trouble({ on: "StartUpload", fault: { error: [403, "userRateLimitExceeded"] } })
      gcs.trouble({ on: "UploadChunk", fault: { error: [503, "backendError"] } })
      gcs.trouble({ on: "UploadChunk", fault: { reset: "before" }, after: 1 })
      gcs.trouble({ on: "QueryUpload", fault: { error: [502, ""] } })
      const putting = [storage.put("a", body(small)), storage.put("b", body(large), { sha256 })]
      yield* Effect.all(putting, { concurrency: "unbounded" })
      assert.isTrue((yield* read(storage, "b")).equals(large))
    })
  )

  it.live("asks what arrived when an answer was lost, and sends only what did not", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "UploadChunk", fault: { reset: "after" }, after: 1 })
      yield* storage.put("a", body(large))
      assert.isTrue((yield* read(storage, "a")).equals(large))
      assert.deepStrictEqual(rangesOf(gcs).slice(1, 4), [
        `bytes ${chunk}-${2 * chunk - 1}/*`,
        "bytes */*",
        `bytes ${2 * chunk}-${3 * chunk - 1}/*`
      ])
    })
  )

  it.live("sends the rest of a chunk of which only a part was taken", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp({ partBytes: 2 * chunk })
      gcs.trouble({ on: "UploadChunk", fault: { takes: chunk } })
      gcs.trouble({ on: "UploadChunk", fault: { takes: 10 }, after: 2 })
      yield* storage.put("a", body(large))
      assert.isTrue((yield* read(storage, "a")).equals(large))
      assert.deepStrictEqual(rangesOf(gcs).slice(0, 2), [
        `bytes 0-${2 * chunk - 1}/*`,
        `bytes ${chunk}-${2 * chunk - 1}/*`
      ])
      assert.deepInclude(rangesOf(gcs), `bytes ${4 * chunk + 10}-${large.length - 1}/${large.length}`)
    })
  )

  it.live("gives up when nothing is taken any more", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp({ attempts: 2 })
      gcs.trouble({ on: "UploadChunk", fault: { takes: 0 }, times: Infinity })
      const error = yield* Effect.flip(storage.put("a", body(large)))
      assert.strictEqual(error.reason, "Unavailable")
      assert.match(error.message, /took nothing of 262144 bytes/)
      assert.deepStrictEqual(gcs.uploads(), [])
    })
  )

  it.live("does not take what it has stored itself for somebody else's, when an answer was lost", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "InsertObject", fault: { reset: "after" } })
      const first = yield* storage.put("a", body(small), { ifAbsent: true })
      assert.deepStrictEqual(yield* storage.head("a"), Option.some(first))
      gcs.trouble({ on: "UploadChunk", fault: { reset: "after" }, after: 4 })
      const second = yield* storage.put("b", body(large), { ifAbsent: true, sha256 })
      assert.deepStrictEqual(yield* storage.head("b"), Option.some(second))
    })
  )

  it.live("finds what it has stored when its upload is forgotten before it hears of it", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "UploadChunk", fault: { reset: "after" }, after: 4 })
      const putting = yield* Effect.forkChild(storage.put("a", body(large), { ifAbsent: true }))
      yield* until(() => gcs.keys().length === 1)
      gcs.forgetUploads()
      const { etag } = yield* Fiber.join(putting)
      assert.strictEqual(Option.getOrThrow(yield* storage.head("a")).etag, etag)
    })
  )

  it.live("says that an upload is gone that the service has forgotten", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      const forgetful = Stream.tap(body(large), () =>
        Effect.sync(() => (gcs.count("UploadChunk") >= 1 ? gcs.forgetUploads() : undefined))
      )
      const error = yield* Effect.flip(storage.put("a", forgetful))
      assert.strictEqual(error.reason, "Unavailable")
      assert.match(error.message, /was answered with 404/)
    })
  )

  it.live("finds that somebody else was faster, also in its last request", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      const slow = Stream.concat(body(large), Stream.fromEffectDrain(Effect.promise(() => gcs.store("a", "theirs"))))
      assert.strictEqual(yield* reasonOf(storage.put("a", slow, { ifAbsent: true })), "Exists")
      assert.strictEqual((yield* read(storage, "a")).toString(), "theirs")
      assert.deepStrictEqual(gcs.uploads(), [])
    })
  )

  it.live("sends no large artifact that is there already", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      yield* Effect.promise(() => gcs.store("a", "there"))
      assert.strictEqual(yield* reasonOf(storage.put("a", body(large), { ifAbsent: true })), "Exists")
      assert.strictEqual(gcs.count("StartUpload"), 0)
    })
  )

  it.live("makes nothing public, and encrypts as it is told", () =>
    Effect.gen(function* () {
      const kmsKeyName = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
      const { gcs, storage } = yield* setUp({ kmsKeyName })
      yield* storage.put("a", body(small))
      yield* storage.put("b", body(large))
      for (const { operation, query } of gcs.requests) {
        assert.isFalse(query.has("predefinedAcl"))
        if (operation === "InsertObject" || operation === "StartUpload") {
          assert.strictEqual(query.get("kmsKeyName"), kmsKeyName)
        }
      }
    })
  )
})

describe("get", () => {
  const stored = Effect.fnUntraced(function* (options?: Partial<GcsArtifactStorage.Options>) {
    const made = yield* setUp(options)
    const info = yield* made.storage.put("a", body(large), { sha256 })
    const asked = () =>
      made.gcs.requests
        .filter(({ operation }) => operation === "DownloadObject")
        .map(({ headers, query }) => [headers.range, query.get("ifGenerationMatch")])
    return { ...made, info, asked }
  })

  it.live("is one request", () =>
    Effect.gen(function* () {
      const { asked, storage } = yield* stored()
      assert.isTrue((yield* read(storage, "a")).equals(large))
      assert.deepStrictEqual(asked(), [[undefined, null]])
    })
  )

  it.live("asks for the rest of what broke off, of the same artifact", () =>
    Effect.gen(function* () {
      const { asked, gcs, info, storage } = yield* stored()
      gcs.trouble({ on: "DownloadObject", fault: { cut: 100_000 } })
      gcs.trouble({ on: "DownloadObject", fault: { reset: "before" } })
      gcs.trouble({ on: "DownloadObject", fault: { error: [503, ""] } })
      assert.isTrue((yield* read(storage, "a")).equals(large))
      assert.deepStrictEqual(asked(), [
        [undefined, null],
        [`bytes=100000-${large.length - 1}`, info.etag],
        [`bytes=100000-${large.length - 1}`, info.etag],
        [`bytes=100000-${large.length - 1}`, info.etag]
      ])
    })
  )

  it.live("asks for the rest of a range that broke off", () =>
    Effect.gen(function* () {
      const { asked, gcs, info, storage } = yield* stored()
      gcs.trouble({ on: "DownloadObject", fault: { cut: 1000 } })
      assert.isTrue((yield* read(storage, "a", { from: 10, to: 5000 })).equals(large.subarray(10, 5000)))
      assert.deepStrictEqual(asked(), [
        ["bytes=10-4999", null],
        ["bytes=1010-4999", info.etag]
      ])
    })
  )

  it.live("does not go on with another artifact", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* stored()
      gcs.trouble({ on: "DownloadObject", fault: { cut: 100_000 } })
      const events = new EventEmitter()
      gcs.trouble({ on: "DownloadObject", fault: { waits: once(events, "replaced") } })
      const reading = yield* Effect.forkChild(reasonOf(read(storage, "a")))
      yield* until(() => gcs.count("DownloadObject") === 2)
      yield* Effect.promise(() => gcs.store("a", "other"))
      events.emit("replaced")
      assert.strictEqual(yield* Fiber.join(reading), "Changed")
    })
  )

  it.live("goes on as long as something comes, and gives up when nothing does", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* stored({ attempts: 2 })
      gcs.trouble({ on: "DownloadObject", fault: { cut: 100_000 }, times: 4 })
      assert.isTrue((yield* read(storage, "a")).equals(large))
      assert.strictEqual(gcs.count("DownloadObject"), 5)
      gcs.trouble({ on: "DownloadObject", fault: { cut: 0 }, times: Infinity })
      assert.strictEqual(yield* reasonOf(read(storage, "a")), "Unavailable")
      assert.strictEqual(gcs.count("DownloadObject"), 7)
    })
  )

  it.live("finds damage in what it has read whole", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* stored()
      gcs.trouble({ on: "DownloadObject", fault: { damage: "answer" } })
      const error = yield* Effect.flip(read(storage, "a"))
      assert.strictEqual(error.reason, "Corrupt")
      assert.match(error.message, /its CRC-32C is .*, and the service has .*/)
      assert.isTrue((yield* read(storage, "a")).equals(large))
    })
  )

  it.live("finds damage also in what came over several connections", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* stored()
      gcs.trouble({ on: "DownloadObject", fault: { cut: 100_000 } })
      gcs.trouble({ on: "DownloadObject", fault: { damage: "answer" } })
      assert.strictEqual(yield* reasonOf(read(storage, "a")), "Corrupt")
    })
  )

  it.live("believes no server that gives something else than was asked for", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* stored({ attempts: 2 })
      gcs.trouble({ on: "DownloadObject", fault: { ignoreRange: true }, times: Infinity })
      const error = yield* Effect.flip(read(storage, "a", { from: 10, to: 20 }))
      assert.strictEqual(error.reason, "Unavailable")
      assert.match(error.message, /asked for bytes=10-19, the service gave something else/)
    })
  )

  it.live("knows that an etag is another artifact's which no artifact here has", () =>
    Effect.gen(function* () {
      const { storage } = yield* stored()
      for (const etag of ["", "abc", '"d41d8cd98f00b204e9800998ecf8427e"', "1"]) {
        assert.strictEqual(yield* reasonOf(read(storage, "a", { etag })), "Changed")
        assert.strictEqual(yield* reasonOf(read(storage, "never", { etag })), "NotFound")
      }
    })
  )

  it.live("stops its request when nobody reads on", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* stored()
      gcs.trouble({ on: "DownloadObject", fault: { slow: 60_000 } })
      const reading = yield* Effect.forkChild(read(storage, "a"))
      yield* until(() => gcs.count("DownloadObject") === 1)
      yield* Fiber.interrupt(reading)
      yield* until(() => gcs.open() === 0)
    })
  )
})

describe("delete", () => {
  it.live("names a key that could not be deleted; the others are gone", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp({ prefix: "team" })
      for (const key of ["a", "b", "c"]) yield* storage.put(key, body(small))
      gcs.refuse("team/b", 403, "forbidden")
      const error = yield* Effect.flip(storage.delete(["a", "b", "c"]))
      assert.deepInclude(error, { key: "b", reason: "Unauthorized" })
      assert.deepStrictEqual(gcs.keys(), ["team/b"])
    })
  )

  it.live("stops soon when it may not delete at all", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      gcs.trouble({ on: "DeleteObject", fault: { error: [403, "forbidden"] }, times: Infinity })
      const keys = Array.from({ length: 1000 }, (_, index) => `many/${index}`)
      assert.strictEqual(yield* reasonOf(storage.delete(keys)), "Unauthorized")
      assert.isAtMost(gcs.count("DeleteObject"), 100)
    })
  )

  it.live("tries those again that the service could not delete just then, whose answer was lost too", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp()
      for (const key of ["a", "b"]) yield* storage.put(key, body(small))
      gcs.trouble({ on: "DeleteObject", fault: { error: [503, "backendError"] } })
      gcs.trouble({ on: "DeleteObject", fault: { reset: "after" } })
      yield* storage.delete(["a", "b"])
      assert.deepStrictEqual(gcs.keys(), [])
    })
  )
})

describe("a prefix", () => {
  it.live("holds the keys of one storage, and hides the others", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* setUp({ prefix: "/renders/" })
      for (const key of ["other/a", "renders", "renders2/a", "renders/folder/", "renders//x"]) {
        yield* Effect.promise(() => gcs.store(key, "theirs"))
      }
      yield* storage.put("a", body(small))
      assert.include(gcs.keys(), "renders/a")
      const listed = yield* Stream.runCollect(storage.list(""))
      assert.deepStrictEqual(
        listed.map(({ key }) => key),
        ["a"]
      )
    })
  )

  it.live("is one that keys can have", () =>
    Effect.gen(function* () {
      for (const prefix of ["..", "a//b", "a\\b", "x".repeat(121)]) {
        assert.strictEqual(
          yield* reasonOf(Effect.scoped(GcsArtifactStorage.make({ bucket: "b", prefix }))),
          "InvalidKey"
        )
      }
    })
  )
})
