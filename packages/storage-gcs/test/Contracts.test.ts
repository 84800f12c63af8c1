import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import * as Plain from "@helios-infra/storage-gcs/promise"
import { ArtifactStorageContract, artifactStorageContract, Vitest } from "@helios-infra/testkit"
import { Effect, Exit, Layer, Redacted, Scope } from "effect"
import { afterAll, beforeAll } from "vitest"
import * as StrictGcs from "./StrictGcs.ts"

const credentials = {
  clientEmail: StrictGcs.keyFile.client_email,
  privateKey: Redacted.make(StrictGcs.keyFile.private_key)
}

const strict = (options: Partial<GcsArtifactStorage.Options>) =>
  Layer.unwrap(
    Effect.map(StrictGcs.start, ({ endpoint }) =>
      GcsArtifactStorage.layer({ bucket: StrictGcs.bucket, credentials, apiEndpoint: endpoint, ...options })
    )
  )

artifactStorageContract("GcsArtifactStorage", strict({ partBytes: StrictGcs.partUnit }), {
  patience: "30 seconds",
  big: 1_000_000,
  many: 250
})

const prefixed = ArtifactStorageContract.make(strict({ partBytes: StrictGcs.partUnit, prefix: "/team a/ü+%2F/" }), {
  patience: "30 seconds",
  big: 600_000,
  many: 120
})
Vitest.register("GcsArtifactStorage with a prefix", {
  ...prefixed,
  cases: prefixed.cases.filter(({ name }) =>
    /^(what was put|artifacts are|a name|list|a list|delete|a URL lets)/.test(name)
  )
})

/** One server for all plain storages, each of which has a prefix of its own. */
const scope = Scope.makeUnsafe()
let shared = ""
let made = 0
beforeAll(async () => {
  const { endpoint } = await Effect.runPromise(Scope.provide(StrictGcs.start, scope))
  shared = endpoint
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

artifactStorageContract(
  "GcsArtifactStorage of the Promise API",
  () =>
    new Plain.GcsArtifactStorage({
      bucket: StrictGcs.bucket,
      credentials: StrictGcs.keyFile,
      apiEndpoint: shared,
      partBytes: StrictGcs.partUnit,
      prefix: `plain-${++made}`
    }),
  { patience: "30 seconds", big: 600_000, many: 20 }
)
