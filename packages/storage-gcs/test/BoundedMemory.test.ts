/** 256 MiB there and back, while at most half of it may be held: by the storage, the server of the tests and all else. */
import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
import { ArtifactStorageContract, Vitest } from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import * as StrictGcs from "./StrictGcs.ts"

const layer = Layer.unwrap(
  Effect.map(StrictGcs.start, ({ endpoint }) =>
    GcsArtifactStorage.layer({
      bucket: StrictGcs.bucket,
      credentials: StrictGcs.keyFile,
      apiEndpoint: endpoint
    })
  )
)

const contract = ArtifactStorageContract.make(layer, { huge: 256 * 1024 ** 2 })
Vitest.register("GcsArtifactStorage with chunks of the usual size", {
  ...contract,
  cases: contract.cases.filter(({ name }) => name.includes("bounded memory"))
})
