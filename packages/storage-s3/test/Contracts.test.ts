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

const others: ReadonlyArray<readonly [string, Partial<S3ArtifactStorage.Options>]> = [
  ["with a prefix", { prefix: "/team a/ü+%2F/" }],
  ["that checks parts by MD5", { partChecksum: "md5" }],
  ["that does not check parts", { partChecksum: "none" }]
]
for (const [name, options] of others) {
  artifactStorageContract(
    `S3ArtifactStorage ${name}`,
    strict({ partBytes: StrictS3.smallestPart, concurrency: 1, ...options }),
    { patience: "30 seconds", big: 600_000, many: 20 }
  )
}
