import { S3Client } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage } from "@helios-infra/core"
import * as S3ArtifactStorage from "@helios-infra/storage-s3/S3ArtifactStorage"
import { ConfigProvider, Config, Effect, Fiber, Layer, Logger, Option, Redacted, Schedule, Stream } from "effect"
import { createHash } from "node:crypto"
import * as StrictS3 from "./StrictS3.ts"

const part = StrictS3.smallestPart

const setUp = Effect.fnUntraced(function* (options: Partial<S3ArtifactStorage.Options> = {}) {
  const s3 = yield* StrictS3.start
  const storage = yield* S3ArtifactStorage.make({
    bucket: StrictS3.bucket,
    region: StrictS3.region,
    credentials: StrictS3.credentials,
    endpoint: s3.endpoint,
    forcePathStyle: true,
    partBytes: part,
    ...options
  })
  return { s3, storage }
})

/** A client that tries everything twice, and not for long. */
const impatient = ({ endpoint }: { readonly endpoint: string }) =>
  new S3Client({
    endpoint,
    region: StrictS3.region,
    credentials: StrictS3.credentials,
    forcePathStyle: true,
    maxAttempts: 2
  })

const large = Uint8Array.from({ length: 4 * part + 1000 }, (_, index) => (index * 7 + (index >> 8)) % 256)
const sha256 = createHash("sha256").update(large).digest("hex")
const small = new TextEncoder().encode("small")

const body = (bytes: Uint8Array) =>
  Stream.fromIterable(Array.from({ length: Math.ceil(bytes.length / 100_000) }, (_, index) => index * 100_000)).pipe(
    Stream.rechunk(1),
    Stream.map((start) => bytes.subarray(start, start + 100_000))
  )

const read = (storage: ArtifactStorage.ArtifactStorage["Service"], key: string, options?: ArtifactStorage.GetOptions) =>
  Effect.map(Stream.runCollect(storage.get(key, options)), (pieces) => Buffer.concat(pieces))

const errorOf = <A, E>(effect: Effect.Effect<A, E>) => Effect.flip(effect)
const reasonOf = <A>(effect: Effect.Effect<A, ArtifactStorage.ArtifactError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const until = (condition: () => boolean) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout("20 seconds")
  )

describe("put", () => {
  it.live("is one request for what fits in a part, with its hash", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      yield* storage.put("a", body(large.subarray(0, part)))
      assert.strictEqual(s3.requests.length, 1)
      assert.strictEqual(
        s3.metadata("a")?.["sha256"],
        createHash("sha256").update(large.subarray(0, part)).digest("hex")
      )
    })
  )

  it.live("sends parts side by side, but never more than it may", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp({ concurrency: 2 })
      s3.trouble({ on: "UploadPart", fault: { slow: 50 }, times: 5 })
      const info = yield* storage.put("a", body(large), { bytes: large.length, sha256 })
      assert.strictEqual(s3.mostAtOnce(), 2)
      assert.deepStrictEqual(s3.parts("a"), [part, part, part, part, 1000])
      assert.deepInclude(info, { bytes: large.length, sha256 })
      assert.deepStrictEqual(yield* storage.head("a"), Option.some(info))
    })
  )

  it.live("makes parts larger when 10 000 would not do", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp({ partBytes: 16 })
      const bytes = 10_000 * 16 + 1
      yield* storage.put("a", body(large.subarray(0, bytes)), { bytes })
      assert.deepStrictEqual(s3.parts("a"), [bytes])
      const tooMuch = storage.put("b", Stream.empty, { bytes: 10_000 * 5 * 1024 ** 3 + 1 })
      assert.strictEqual(yield* reasonOf(tooMuch), "TooLarge")
      assert.deepStrictEqual(s3.keys(), ["a"])
    })
  )

  it.live("completes nothing that is not what was told", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      for (const told of [{ sha256: "0".repeat(64) }, { bytes: large.length + 1 }, { bytes: large.length - 1 }]) {
        assert.strictEqual(yield* reasonOf(storage.put("a", body(large), told)), "Corrupt")
      }
      assert.strictEqual(s3.count("CompleteMultipartUpload"), 0)
      assert.deepStrictEqual(s3.uploads(), [])
      assert.strictEqual(s3.count("AbortMultipartUpload"), 3)
    })
  )

  it.live("leaves no upload behind when it is interrupted, and sends nothing more", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      s3.trouble({ on: "UploadPart", fault: { slow: 60_000 }, times: Infinity })
      const putting = yield* Effect.forkChild(storage.put("a", body(large)))
      yield* until(() => s3.count("UploadPart") === 4)
      yield* Fiber.interrupt(putting)
      assert.deepStrictEqual(s3.uploads(), [])
      const seen = s3.requests.length
      yield* Effect.sleep("50 millis")
      assert.strictEqual(s3.requests.length, seen)
      assert.strictEqual(s3.requests.at(-1)?.operation, "AbortMultipartUpload")
    })
  )

  it.live("fails with what its body failed with, also when the upload cannot be aborted", () =>
    Effect.gen(function* () {
      const s3 = yield* StrictS3.start
      const storage = yield* S3ArtifactStorage.make({ bucket: StrictS3.bucket, client: impatient(s3), partBytes: part })
      s3.trouble({ on: "AbortMultipartUpload", fault: { error: [500, "InternalError"] }, times: Infinity })
      const failing = Stream.concat(body(large), Stream.fail("the disk is gone"))
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      const error = yield* Effect.provide(errorOf(storage.put("a", failing)), Logger.layer([logger]))
      assert.strictEqual(error, "the disk is gone")
      assert.match(warnings.join(), /upload .* of a could not be aborted: .* until a lifecycle rule removes it/)
      assert.deepStrictEqual(s3.keys(), [])
    })
  )

  it.live("sends a part again that arrived damaged", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      s3.trouble({ on: "UploadPart", fault: { damage: "request" }, after: 1 })
      s3.trouble({ on: "PutObject", fault: { damage: "request" } })
      yield* storage.put("a", body(large), { sha256 })
      yield* storage.put("b", body(small))
      assert.strictEqual(s3.count("UploadPart"), 6)
      assert.strictEqual(s3.count("PutObject"), 2)
      assert.isTrue((yield* read(storage, "a")).equals(large))
    })
  )

  it.live("gives up what arrives damaged again and again", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp({ partChecksum: "md5" })
      s3.trouble({ on: "UploadPart", fault: { damage: "request" }, times: Infinity })
      assert.strictEqual(yield* reasonOf(storage.put("a", body(large))), "Corrupt")
      assert.deepStrictEqual([s3.keys(), s3.uploads()], [[], []])
    })
  )

  it.live("gets over resets, errors and throttling", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      s3.trouble({ on: "PutObject", fault: { error: [503, "SlowDown"] } })
      s3.trouble({ on: "CreateMultipartUpload", fault: { error: [500, "InternalError"] } })
      s3.trouble({ on: "UploadPart", fault: { reset: "before" }, after: 1 })
      s3.trouble({ on: "UploadPart", fault: { reset: "after" }, after: 2 })
      s3.trouble({ on: "CompleteMultipartUpload", fault: { error: [503, "ServiceUnavailable"] } })
      yield* storage.put("a", body(small))
      yield* storage.put("b", body(large), { sha256 })
      assert.isTrue((yield* read(storage, "b")).equals(large))
    })
  )

  it.live("does not take what it has stored itself for somebody else's, when an answer was lost", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      s3.trouble({ on: "PutObject", fault: { reset: "after" } })
      s3.trouble({ on: "CompleteMultipartUpload", fault: { reset: "after" }, times: 2 })
      const first = yield* storage.put("a", body(small), { ifAbsent: true })
      const second = yield* storage.put("b", body(large), { ifAbsent: true, sha256 })
      const third = yield* storage.put("c", body(large), { sha256 })
      assert.deepStrictEqual(yield* storage.head("a"), Option.some(first))
      assert.deepStrictEqual(yield* storage.head("b"), Option.some(second))
      assert.deepStrictEqual(yield* storage.head("c"), Option.some(third))
    })
  )

  it.live("tries again where somebody else is at work on the key, and then looks", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      const conflict = { error: [409, "ConditionalRequestConflict"] } as const
      s3.trouble({ on: "PutObject", fault: conflict, times: 2 })
      yield* storage.put("a", body(small), { ifAbsent: true })
      s3.trouble({ on: "PutObject", fault: conflict, times: Infinity })
      assert.strictEqual(yield* reasonOf(storage.put("b", body(small), { ifAbsent: true })), "Unavailable")
      const theirs = storage.put("a", body(small), { ifAbsent: true })
      assert.strictEqual(yield* reasonOf(theirs), "Exists")
    })
  )

  it.live("sends no large artifact that is there already", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      yield* Effect.promise(() => s3.store("a", "there"))
      assert.strictEqual(yield* reasonOf(storage.put("a", body(large), { ifAbsent: true })), "Exists")
      assert.strictEqual(s3.count("CreateMultipartUpload"), 0)
    })
  )

  it.live("makes nothing public, and encrypts as it is told", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp({ encryption: "aws:kms", kmsKeyId: "key" })
      yield* storage.put("a", body(small))
      yield* storage.put("b", body(large))
      for (const { headers, operation } of s3.requests) {
        assert.isEmpty(Object.keys(headers).filter((name) => /acl|grant/.test(name)))
        if (operation !== "PutObject" && operation !== "CreateMultipartUpload") continue
        assert.strictEqual(headers["x-amz-server-side-encryption"], "aws:kms")
        assert.strictEqual(headers["x-amz-server-side-encryption-aws-kms-key-id"], "key")
      }
    })
  )
})

describe("get", () => {
  const stored = Effect.fnUntraced(function* (options?: Partial<S3ArtifactStorage.Options>) {
    const made = yield* setUp(options)
    const info = yield* made.storage.put("a", body(large), { sha256 })
    const ranges = () =>
      made.s3.requests.filter(({ operation }) => operation === "GetObject").map(({ headers }) => headers.range)
    return { ...made, info, ranges }
  })

  it.live("asks for parts side by side, each for the same artifact, and gives them in order", () =>
    Effect.gen(function* () {
      const { info, s3, storage } = yield* stored({ concurrency: 3 })
      s3.trouble({ on: "GetObject", fault: { slow: 100 }, after: 1, times: 2 })
      assert.isTrue((yield* read(storage, "a")).equals(large))
      const [first, ...others] = s3.requests.filter(({ operation }) => operation === "GetObject")
      assert.isUndefined(first?.headers["if-match"])
      assert.lengthOf(others, 4)
      for (const { headers } of others) assert.strictEqual(headers["if-match"], info.etag)
      assert.isAtMost(s3.mostAtOnce(), 4)
    })
  )

  it.live("asks for the rest of what broke off", () =>
    Effect.gen(function* () {
      const { info, ranges, s3, storage } = yield* stored()
      s3.trouble({ on: "GetObject", fault: { cut: 100_000 } })
      s3.trouble({ on: "GetObject", fault: { reset: "before" } })
      assert.isTrue((yield* read(storage, "a")).equals(large))
      assert.deepStrictEqual(ranges().slice(0, 3), [
        `bytes=0-${part - 1}`,
        `bytes=100000-${part - 1}`,
        `bytes=100000-${part - 1}`
      ])
      assert.strictEqual(
        s3.requests.find(({ headers }) => headers.range?.includes("100000"))?.headers["if-match"],
        info.etag
      )
    })
  )

  it.live("does not go on with another artifact", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* stored()
      s3.trouble({ on: "GetObject", fault: { cut: 100_000 }, after: 1 })
      s3.trouble({ on: "GetObject", fault: { slow: 300 }, after: 1 })
      const reading = yield* Effect.forkChild(reasonOf(read(storage, "a")))
      yield* until(() => s3.count("GetObject") >= 2)
      yield* Effect.promise(() => s3.store("a", "other"))
      assert.strictEqual(yield* Fiber.join(reading), "Changed")
    })
  )

  it.live("gives up what breaks off again and again", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* stored()
      s3.trouble({ on: "GetObject", fault: { cut: 0 }, times: Infinity })
      assert.strictEqual(yield* reasonOf(read(storage, "a")), "Unavailable")
      assert.strictEqual(s3.count("GetObject"), 5)
    })
  )

  it.live("finds damage in what it has read whole", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* stored()
      s3.trouble({ on: "GetObject", fault: { damage: "answer" }, after: 2 })
      const error = yield* errorOf(read(storage, "a"))
      assert.strictEqual(error.reason, "Corrupt")
      assert.match(error.message, /its SHA-256 is .* when it was stored/)
      assert.isTrue((yield* read(storage, "a")).equals(large))
    })
  )

  it.live("believes no server that gives something else than was asked for", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* stored()
      s3.trouble({ on: "GetObject", fault: { ignoreRange: true }, times: Infinity })
      const error = yield* errorOf(read(storage, "a", { from: 10, to: 20 }))
      assert.strictEqual(error.reason, "Unavailable")
      assert.match(error.message, /asked for bytes=10-19, it gave something else/)
    })
  )

  it.live("stops its requests when nobody reads on", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* stored()
      s3.trouble({ on: "GetObject", fault: { slow: 60_000 }, after: 1, times: Infinity })
      const reading = yield* Effect.forkChild(read(storage, "a"))
      yield* until(() => s3.count("GetObject") >= 4)
      yield* Fiber.interrupt(reading)
      yield* until(() => s3.open() === 0)
    })
  )
})

describe("whatever is asked", () => {
  const operations = (storage: ArtifactStorage.ArtifactStorage["Service"]) =>
    [
      ["PutObject", storage.put("a", body(small))],
      ["CreateMultipartUpload", storage.put("a", body(large))],
      ["UploadPart", storage.put("a", body(large))],
      ["CompleteMultipartUpload", storage.put("a", body(large))],
      ["GetObject", read(storage, "there")],
      ["HeadObject", storage.head("there")],
      ["ListObjectsV2", Stream.runCollect(storage.list(""))],
      ["DeleteObjects", storage.delete(["b"])]
    ] as const

  const failing = Effect.fnUntraced(function* (fault: StrictS3.Fault) {
    const s3 = yield* StrictS3.start
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => impatient(s3)),
      (client) => Effect.sync(() => client.destroy())
    )
    const storage = yield* S3ArtifactStorage.make({ bucket: StrictS3.bucket, client, partBytes: part, concurrency: 1 })
    yield* Effect.promise(() => s3.store("there", "content"))
    const found: Array<readonly [string, string, number]> = []
    for (const [on, operation] of operations(storage)) {
      const before = s3.count(on)
      s3.trouble({ on, fault, times: 2 })
      const reason = yield* reasonOf(Effect.asVoid(operation))
      found.push([on, reason, s3.count(on) - before])
      s3.calm()
    }
    return found
  })

  it.live("a refusal is Unauthorized, at once", () =>
    Effect.gen(function* () {
      for (const [on, reason, tries] of yield* failing({ error: [403, "AccessDenied"] })) {
        assert.deepStrictEqual([on, reason, tries], [on, "Unauthorized", 1])
      }
    })
  )

  it.live("trouble that does not end is Unavailable, after retries", () =>
    Effect.gen(function* () {
      for (const fault of [{ error: [503, "SlowDown"] }, { reset: "before" }] as const) {
        for (const [on, reason, tries] of yield* failing(fault)) {
          assert.deepStrictEqual([on, reason, tries], [on, "Unavailable", 2])
        }
      }
    })
  )

  it.live("what is too large for the service is TooLarge", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      s3.trouble({ on: "PutObject", fault: { error: [400, "EntityTooLarge"] } })
      assert.strictEqual(yield* reasonOf(storage.put("a", body(small))), "TooLarge")
      s3.trouble({ on: "CompleteMultipartUpload", fault: { error: [400, "EntityTooLarge"] } })
      assert.strictEqual(yield* reasonOf(storage.put("a", body(large))), "TooLarge")
      assert.deepStrictEqual(s3.uploads(), [])
    })
  )

  it.live("a bucket that is not there is no artifact that is not there", () =>
    Effect.gen(function* () {
      const { storage } = yield* setUp({ bucket: "elsewhere" })
      for (const operation of [storage.put("a", body(small)), read(storage, "a"), Stream.runDrain(storage.list(""))]) {
        const error = yield* errorOf(Effect.asVoid(operation))
        assert.strictEqual(error.reason, "Unavailable")
        assert.match(error.message, /NoSuchBucket/)
      }
    })
  )

  it.live("a wrong key, and none, are Unauthorized", () =>
    Effect.gen(function* () {
      const wrong = { ...StrictS3.credentials, secretAccessKey: "wrong" }
      const none = () => Promise.reject(Object.assign(new Error("no keys found"), { name: "CredentialsProviderError" }))
      for (const credentials of [wrong, none]) {
        const { storage } = yield* setUp({ credentials })
        assert.strictEqual(yield* reasonOf(storage.put("a", body(small))), "Unauthorized")
        assert.strictEqual(yield* reasonOf(storage.head("a")), "Unauthorized")
      }
    })
  )

  it.live("a server that cannot be reached is Unavailable", () =>
    Effect.gen(function* () {
      const client = impatient({ endpoint: "http://127.0.0.1:9" })
      const storage = yield* S3ArtifactStorage.make({ bucket: StrictS3.bucket, client })
      assert.strictEqual(yield* reasonOf(storage.head("a")), "Unavailable")
      client.destroy()
    })
  )

  it.live("a request ends with its fiber", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      s3.trouble({ on: "HeadObject", fault: { slow: 60_000 } })
      const asking = yield* Effect.forkChild(storage.head("a"))
      yield* until(() => s3.count("HeadObject") === 1)
      yield* Fiber.interrupt(asking)
      yield* until(() => s3.open() === 0)
    })
  )
})

describe("delete", () => {
  it.live("takes 1 000 keys at a time", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      yield* storage.delete(Array.from({ length: 2500 }, (_, index) => `many/${index % 2400}`))
      assert.strictEqual(s3.count("DeleteObjects"), 3)
    })
  )

  it.live("names a key that could not be deleted; the others are gone", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp({ prefix: "team" })
      for (const key of ["a", "b", "c"]) yield* storage.put(key, body(small))
      s3.refuse("team/b", "AccessDenied")
      const error = yield* errorOf(storage.delete(["a", "b", "c"]))
      assert.deepInclude(error, { key: "b", reason: "Unauthorized" })
      assert.deepStrictEqual(s3.keys(), ["team/b"])
    })
  )

  it.live("tries those again that the service could not delete just then", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp()
      for (const key of ["a", "b"]) yield* storage.put(key, body(small))
      s3.refuse("b", "InternalError", 2)
      yield* storage.delete(["a", "b"])
      assert.deepStrictEqual(s3.keys(), [])
    })
  )
})

describe("a prefix", () => {
  it.live("holds the keys of one storage, and hides the others", () =>
    Effect.gen(function* () {
      const { s3, storage } = yield* setUp({ prefix: "/renders/" })
      for (const key of ["other/a", "renders", "renders2/a", "renders/folder/", "renders//x"]) {
        yield* Effect.promise(() => s3.store(key, "theirs"))
      }
      yield* storage.put("a", body(small))
      assert.include(s3.keys(), "renders/a")
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
          yield* reasonOf(Effect.scoped(S3ArtifactStorage.make({ bucket: "b", prefix }))),
          "InvalidKey"
        )
      }
    })
  )
})

describe("url", () => {
  it.live("works for 7 days at most", () =>
    Effect.gen(function* () {
      const { storage } = yield* setUp()
      const url = yield* storage.url("a", { method: "GET", expires: "7 days" })
      assert.strictEqual(new URL(url).searchParams.get("X-Amz-Expires"), "604800")
      assert.strictEqual(yield* reasonOf(storage.url("a", { method: "GET", expires: "169 hours" })), "Unsupported")
    })
  )

  it.live("asks for no header that a plain request has not", () =>
    Effect.gen(function* () {
      const s3 = yield* StrictS3.start
      const storage = yield* S3ArtifactStorage.make({
        bucket: StrictS3.bucket,
        client: impatient(s3),
        encryption: "AES256"
      })
      for (const method of ["GET", "PUT"] as const) {
        const { searchParams } = new URL(yield* storage.url("a", { method, expires: "1 hour" }))
        assert.strictEqual(searchParams.get("X-Amz-SignedHeaders"), "host")
        assert.isEmpty(
          [...searchParams.keys()].filter((name) => /checksum-crc|checksum-algorithm|encryption/.test(name))
        )
      }
    })
  )
})

describe("make", () => {
  it.live("leaves a client alone that it was given", () =>
    Effect.gen(function* () {
      const s3 = yield* StrictS3.start
      const client = impatient(s3)
      const put = Effect.flatMap(S3ArtifactStorage.make({ bucket: StrictS3.bucket, client }), (storage) =>
        storage.put("a", body(small))
      )
      yield* Effect.scoped(put)
      yield* Effect.scoped(put)
      client.destroy()
    })
  )

  it.live("lets go of its connections with its scope", () =>
    Effect.gen(function* () {
      const s3 = yield* StrictS3.start
      yield* S3ArtifactStorage.make({
        bucket: StrictS3.bucket,
        region: StrictS3.region,
        credentials: {
          accessKeyId: StrictS3.credentials.accessKeyId,
          secretAccessKey: Redacted.make(StrictS3.credentials.secretAccessKey)
        },
        endpoint: s3.endpoint,
        forcePathStyle: true
      }).pipe(
        Effect.flatMap((storage) => storage.put("a", body(small))),
        Effect.tap(() => Effect.sync(() => assert.isAbove(s3.sockets(), 0))),
        Effect.scoped
      )
      yield* until(() => s3.sockets() === 0)
    })
  )

  it.live("takes its options from Config", () =>
    Effect.gen(function* () {
      const s3 = yield* StrictS3.start
      const layer = S3ArtifactStorage.layerConfig({
        bucket: Config.String("BUCKET"),
        prefix: Config.String("PREFIX").pipe(Config.withDefault("renders")),
        region: Config.succeed(StrictS3.region),
        endpoint: Config.succeed(s3.endpoint),
        forcePathStyle: Config.succeed(true),
        credentials: Config.all({
          accessKeyId: Config.String("KEY_ID"),
          secretAccessKey: Config.Redacted("SECRET")
        })
      })
      const env = ConfigProvider.layer(
        ConfigProvider.fromEnvRecord({
          BUCKET: StrictS3.bucket,
          KEY_ID: StrictS3.credentials.accessKeyId,
          SECRET: StrictS3.credentials.secretAccessKey
        })
      )
      const put = ArtifactStorage.ArtifactStorage.use((storage) => storage.put("a", body(small)))
      yield* Effect.provide(put, Layer.provide(layer, env))
      assert.deepStrictEqual(s3.keys(), ["renders/a"])
    })
  )
})
