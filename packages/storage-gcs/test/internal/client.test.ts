import { Storage } from "@google-cloud/storage"
import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage } from "@helios-infra/core"
import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import { Config, ConfigProvider, Effect, Layer, Redacted, Schedule, Stream } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { vi } from "vitest"
import * as StrictGcs from "../StrictGcs.ts"

const small = Stream.make(new TextEncoder().encode("small"))

const use = (options: Partial<GcsArtifactStorage.Options>) =>
  GcsArtifactStorage.make({ bucket: StrictGcs.bucket, attempts: 2, ...options })

/** Sends what would go to Google itself to a server here. */
const redirected = (endpoint: string) => (input: string | URL | Request, init?: RequestInit) => {
  const url = new URL(input instanceof Request ? input.url : input)
  return fetch(url.hostname.endsWith(".googleapis.com") ? `${endpoint}${url.pathname}` : url, init)
}

/** A client of somebody's own, which gets its tokens from Google. */
const ownClient = ({ endpoint }: StrictGcs.StrictGcs) => {
  const client = new Storage({
    apiEndpoint: endpoint,
    useAuthWithCustomEndpoint: true,
    clientOptions: { transporterOptions: { fetchImplementation: redirected(endpoint) } }
  })
  client.authClient.jsonContent = StrictGcs.keyFile
  return client
}

const until = (condition: () => boolean) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout("20 seconds")
  )

const temporaryFile = (content: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const directory = await fs.mkdtemp(path.join(tmpdir(), "gcs-key-"))
        await fs.writeFile(path.join(directory, "key.json"), content)
        return directory
      }),
      (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
    ),
    (directory) => path.join(directory, "key.json")
  )

describe("credentials", () => {
  it.live("are a key, or the name of a key file; neither needs Google's token address", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const { client_email, private_key } = StrictGcs.keyFile
      const keyFilename = yield* temporaryFile(JSON.stringify(StrictGcs.keyFile))
      for (const options of [
        { credentials: StrictGcs.keyFile },
        { credentials: { clientEmail: client_email, privateKey: Redacted.make(private_key) } },
        { keyFilename }
      ]) {
        const storage = yield* use({ ...options, apiEndpoint: gcs.endpoint })
        yield* storage.put("a", small)
      }
      assert.strictEqual(gcs.count("InsertObject"), 3)
      assert.strictEqual(gcs.count("Token"), 0)
    })
  )

  it.live("add a token to each request, and nothing of another one", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const storage = yield* use({ credentials: StrictGcs.keyFile, apiEndpoint: gcs.endpoint })
      yield* storage.put("a", small)
      yield* storage.head("a")
      const [put, head] = gcs.requests.map(({ headers }) => headers)
      assert.strictEqual(head?.authorization, put?.authorization)
      assert.match(put?.["content-type"] ?? "", /^multipart/)
      assert.isUndefined(head?.["content-type"])
    })
  )

  it.live("print no warning", () =>
    Effect.gen(function* () {
      const warn = vi.spyOn(console, "warn")
      const gcs = yield* StrictGcs.start
      const storage = yield* use({ credentials: StrictGcs.keyFile, apiEndpoint: gcs.endpoint })
      yield* storage.put("a", small)
      assert.isEmpty(warn.mock.calls)
      warn.mockRestore()
    })
  )

  it.live("cannot be a file that is not there, or is no key", () =>
    Effect.gen(function* () {
      const noKey = yield* temporaryFile(JSON.stringify({ type: "authorized_user", refresh_token: "1" }))
      for (const [keyFilename, words] of [
        ["/nowhere/key.json", /keyFilename \/nowhere\/key.json: .*no such file/],
        [noKey, /it has no client_email and private_key/]
      ] as const) {
        const error = yield* Effect.flip(use({ keyFilename }))
        assert.strictEqual(error.reason, "Unauthorized")
        assert.match(error.message, words)
      }
    })
  )

  it.live("that are no key at all are Unauthorized when something is asked", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const credentials = { client_email: "a@b", private_key: "not a key" }
      const storage = yield* use({ credentials, apiEndpoint: gcs.endpoint })
      const error = yield* Effect.flip(storage.head("a"))
      assert.strictEqual(error.reason, "Unauthorized")
      assert.match(error.message, /no token could be had for the credentials/)
    })
  )

  it.live("that the environment names and does not have are Unauthorized", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["GOOGLE_APPLICATION_CREDENTIALS"] = "/nowhere/key.json"
        }),
        () => Effect.sync(() => Reflect.deleteProperty(process.env, "GOOGLE_APPLICATION_CREDENTIALS"))
      )
      const storage = yield* use({ apiEndpoint: gcs.endpoint, projectId: "render-farm" })
      const error = yield* Effect.flip(storage.head("a"))
      assert.strictEqual(error.reason, "Unauthorized")
      assert.match(error.message, /GOOGLE_APPLICATION_CREDENTIALS/)
    })
  )

  it.live("are not looked for, and not sent, to an emulator", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      gcs.letIn()
      const storage = yield* use({ anonymous: true, apiEndpoint: gcs.endpoint })
      yield* storage.put("a", small)
      yield* Stream.runDrain(storage.get("a"))
      assert.isEmpty(gcs.requests.filter(({ headers }) => headers.authorization !== undefined))
    })
  )
})

describe("a client of one's own", () => {
  it.live("gets a token once, and uses it for everything", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const storage = yield* use({ client: ownClient(gcs) })
      yield* storage.put("a", small)
      assert.lengthOf(yield* Stream.runCollect(storage.get("a")), 1)
      yield* storage.delete(["a"])
      assert.strictEqual(gcs.count("Token"), 1)
      for (const { headers, operation } of gcs.requests) {
        if (operation !== "Token") assert.match(headers.authorization ?? "", /^Bearer ya29\./)
      }
    })
  )

  it.live("that is told of an emulator as the SDK's tools are asks there, below /b, without a token", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      gcs.letIn()
      const client = yield* Effect.acquireUseRelease(
        Effect.sync(() => (process.env["STORAGE_EMULATOR_HOST"] = gcs.endpoint)),
        () => Effect.sync(() => new Storage()),
        () => Effect.sync(() => Reflect.deleteProperty(process.env, "STORAGE_EMULATOR_HOST"))
      )
      const storage = yield* use({ client })
      yield* storage.put("a", small)
      assert.lengthOf(yield* Stream.runCollect(storage.list("")), 1)
      assert.isEmpty(gcs.requests.filter(({ headers }) => headers.authorization !== undefined))
    })
  )

  it.live("whose account is refused a token is Unauthorized, at once", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      gcs.trouble({ on: "Token", fault: { error: [400, "invalid_grant"] }, times: Infinity })
      const storage = yield* use({ client: ownClient(gcs) })
      const error = yield* Effect.flip(storage.head("a"))
      assert.strictEqual(error.reason, "Unauthorized")
      assert.match(error.message, /no token could be had/)
    })
  )

  it.live("waits for who gives tokens, but not for ever", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const storage = yield* use({ client: ownClient(gcs), attempts: 2 })
      gcs.trouble({ on: "Token", fault: { error: [503, "unavailable"] }, times: Infinity })
      assert.strictEqual((yield* Effect.flip(storage.head("a"))).reason, "Unavailable")
      gcs.calm()
      yield* storage.put("a", small)
    })
  )

  it.live("still works when the storage is gone", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const client = ownClient(gcs)
      const put = Effect.scoped(Effect.flatMap(use({ client }), (storage) => storage.put("a", small)))
      yield* put
      yield* put
    })
  )
})

describe("make", () => {
  it.live("lets go of its connections with its scope", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      yield* use({ credentials: StrictGcs.keyFile, apiEndpoint: gcs.endpoint }).pipe(
        Effect.flatMap((storage) => storage.put("a", small)),
        Effect.tap(() => Effect.sync(() => assert.isAbove(gcs.sockets(), 0))),
        Effect.scoped
      )
      yield* until(() => gcs.sockets() === 0)
    })
  )

  it.live("takes its options from Config", () =>
    Effect.gen(function* () {
      const gcs = yield* StrictGcs.start
      const layer = GcsArtifactStorage.layerConfig({
        bucket: Config.String("BUCKET"),
        prefix: Config.String("PREFIX").pipe(Config.withDefault("renders")),
        apiEndpoint: Config.succeed(gcs.endpoint),
        credentials: Config.all({
          clientEmail: Config.String("ACCOUNT"),
          privateKey: Config.Redacted("KEY")
        })
      })
      const env = ConfigProvider.layer(
        ConfigProvider.fromEnvRecord({
          BUCKET: StrictGcs.bucket,
          ACCOUNT: StrictGcs.keyFile.client_email,
          KEY: StrictGcs.keyFile.private_key
        })
      )
      const put = ArtifactStorage.ArtifactStorage.use((storage) => storage.put("a", small))
      yield* Effect.provide(put, Layer.provide(layer, env))
      assert.deepStrictEqual(gcs.keys(), ["renders/a"])
    })
  )
})
