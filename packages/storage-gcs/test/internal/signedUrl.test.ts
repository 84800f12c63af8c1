import { Storage } from "@google-cloud/storage"
import { assert, describe, it } from "@effect/vitest"
import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as StrictGcs from "../StrictGcs.ts"

const use = (options: Partial<GcsArtifactStorage.Options>) =>
  GcsArtifactStorage.make({ bucket: StrictGcs.bucket, attempts: 2, ...options })

describe("url", () => {
  it.live("works for 7 days at most", () =>
    Effect.gen(function* () {
      const storage = yield* use({ credentials: StrictGcs.keyFile })
      const url = yield* storage.url("a", { method: "GET", expires: "7 days" })
      assert.strictEqual(new URL(url).searchParams.get("X-Goog-Expires"), "604800")
      const error = yield* Effect.flip(storage.url("a", { method: "GET", expires: "169 hours" }))
      assert.strictEqual(error.reason, "Unsupported")
    })
  )

  it.live("asks for no header that a plain request has not", () =>
    Effect.gen(function* () {
      const storage = yield* use({ credentials: StrictGcs.keyFile, kmsKeyName: "k" })
      for (const method of ["GET", "PUT"] as const) {
        const { origin, searchParams } = new URL(yield* storage.url("a", { method, expires: "1 hour" }))
        assert.strictEqual(origin, "https://storage.googleapis.com")
        assert.strictEqual(searchParams.get("X-Goog-SignedHeaders"), "host")
      }
    })
  )

  it.live("needs an account that can sign, and says so to who has none", () =>
    Effect.gen(function* () {
      const client = new Storage({ projectId: "render-farm" })
      client.authClient.jsonContent = {
        type: "authorized_user",
        client_id: "1",
        client_secret: "2",
        refresh_token: "3"
      }
      const storage = yield* use({ client })
      const error = yield* Effect.flip(storage.url("a", { method: "GET", expires: "1 hour" }))
      assert.strictEqual(error.reason, "Unsupported")
      assert.match(
        error.message,
        /belong to no service account; sign with a service account: .*serviceAccountTokenCreator/
      )
    })
  )

  it.live("cannot be signed without credentials", () =>
    Effect.gen(function* () {
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["GOOGLE_APPLICATION_CREDENTIALS"] = "/nowhere/key.json"
        }),
        () => Effect.sync(() => Reflect.deleteProperty(process.env, "GOOGLE_APPLICATION_CREDENTIALS"))
      )
      const storage = yield* use({ projectId: "render-farm" })
      const error = yield* Effect.flip(storage.url("a", { method: "GET", expires: "1 hour" }))
      assert.strictEqual(error.reason, "Unauthorized")
      assert.match(error.message, /GOOGLE_APPLICATION_CREDENTIALS.*sign with a service account/)
    })
  )

  it.live("cannot be signed with what is no key", () =>
    Effect.gen(function* () {
      const storage = yield* use({ credentials: { client_email: "a@b", private_key: "not a key" } })
      const error = yield* Effect.flip(storage.url("a", { method: "GET", expires: "1 hour" }))
      assert.strictEqual(error.reason, "Unauthorized")
    })
  )
})

/** A server that is also what a machine of Google's asks who it is. */
const machine = Effect.gen(function* () {
  const gcs = yield* StrictGcs.start
  const nothing = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "gcs-config-"))),
    (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
  )
  const environment = {
    GCE_METADATA_HOST: gcs.host,
    METADATA_SERVER_DETECTION: "assume-present",
    CLOUDSDK_CONFIG: nothing
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => Object.assign(process.env, environment)),
    () => Effect.sync(() => Object.keys(environment).forEach((name) => Reflect.deleteProperty(process.env, name)))
  )
  const client = new Storage({
    projectId: "render-farm",
    apiEndpoint: gcs.endpoint,
    useAuthWithCustomEndpoint: true,
    clientOptions: {
      transporterOptions: {
        fetchImplementation: (input: string | URL | Request, init?: RequestInit) => {
          const url = new URL(input instanceof Request ? input.url : input)
          return fetch(url.hostname === "iamcredentials.googleapis.com" ? `${gcs.endpoint}${url.pathname}` : url, init)
        }
      }
    }
  })
  return { gcs, storage: yield* use({ client }) }
})

describe("the account of the machine", () => {
  it.live("stores with the machine's token, and has Google sign its URLs", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* machine
      yield* Effect.promise(() => gcs.store("a", "content"))
      assert.isTrue((yield* storage.head("a"))._tag === "Some")
      const url = yield* storage.url("a", { method: "GET", expires: "1 hour" })
      assert.strictEqual(gcs.count("SignBlob"), 1)
      assert.strictEqual(yield* Effect.promise(async () => (await fetch(url)).text()), "content")
    })
  )

  it.live("that may not ask Google to sign is told what it needs", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* machine
      const words = "Permission 'iam.serviceAccounts.signBlob' denied"
      gcs.trouble({ on: "SignBlob", fault: { error: [403, "forbidden", words] }, times: Infinity })
      const error = yield* Effect.flip(storage.url("a", { method: "PUT", expires: "1 hour" }))
      assert.strictEqual(error.reason, "Unauthorized")
      assert.include(error.message, words)
      assert.include(error.message, "roles/iam.serviceAccountTokenCreator")
    })
  )

  it.live("is asked again when signing failed once", () =>
    Effect.gen(function* () {
      const { gcs, storage } = yield* machine
      gcs.trouble({ on: "SignBlob", fault: { error: [400, "failedPrecondition"] } })
      yield* storage.url("a", { method: "PUT", expires: "1 hour" })
      assert.strictEqual(gcs.count("SignBlob"), 3)
    })
  )
})
