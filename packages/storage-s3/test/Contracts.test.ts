import * as S3ArtifactStorage from "@helios-infra/storage-s3/S3ArtifactStorage"
import { ArtifactStorageContract, artifactStorageContract, Vitest } from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import * as StrictS3 from "./StrictS3.ts"

const strict = (options: Partial<S3ArtifactStorage.Options>) =>
  Layer.unwrap(
    Effect.map(StrictS3.start, ({ endpoint }) =>
      S3ArtifactStorage.layer({
        bucket: StrictS3.bucket,
        region: StrictS3.region,
        credentials: StrictS3.credentials,
        endpoint,
        forcePathStyle: true,
        ...options
      })
    )
  )

artifactStorageContract("S3ArtifactStorage", strict({ partBytes: StrictS3.smallestPart }), {
  patience: "30 seconds",
  big: 1_000_000
})

const contract = ArtifactStorageContract.make(strict({}), { huge: 256 * 1024 ** 2 })
Vitest.register("S3ArtifactStorage with parts of the usual size", {
  ...contract,
  cases: contract.cases.filter(({ name }) => name.includes("bounded memory"))
})

artifactStorageContract(
  "S3ArtifactStorage with a prefix",
  strict({ partBytes: StrictS3.smallestPart, concurrency: 1, prefix: "/team a/ü+%2F/" }),
  { patience: "30 seconds", big: 600_000, many: 20 }
)

for (const partChecksum of ["md5", "none"] as const) {
  const contract = ArtifactStorageContract.make(strict({ partBytes: StrictS3.smallestPart, partChecksum }), {
    big: 600_000
  })
  Vitest.register(`S3ArtifactStorage that checks parts by ${partChecksum}`, {
    ...contract,
    cases: contract.cases.filter(({ name }) => /^(what was put|what is not what|of puts|delete|a URL lets)/.test(name))
  })
}
