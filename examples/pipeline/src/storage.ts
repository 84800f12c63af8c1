// Where the pipeline and its workers meet: a bucket when one is configured, else a folder that both can see.
import { FolderArtifactStorage } from "@helios-infra/adapter-local"
import type { ArtifactStorage } from "@helios-infra/core"
import { S3ArtifactStorage } from "@helios-infra/storage-s3"
import { Config, Effect, Layer, Option } from "effect"

const settings = Config.all({
  folder: Config.String("ARTIFACTS").pipe(Config.withDefault("artifacts")),
  bucket: Config.option(Config.String("S3_BUCKET")),
  endpoint: Config.option(Config.String("S3_ENDPOINT"))
})

export const storage: Layer.Layer<ArtifactStorage.ArtifactStorage, ArtifactStorage.ArtifactError | Config.ConfigError> =
  Layer.unwrap(
    Effect.map(settings, ({ bucket, endpoint, folder }) =>
      Option.isNone(bucket)
        ? FolderArtifactStorage.layer({ dir: folder })
        : // The key and the region are found as AWS's tools find them.
          S3ArtifactStorage.layer({
            bucket: bucket.value,
            ...(Option.isNone(endpoint) ? undefined : { endpoint: endpoint.value, forcePathStyle: true })
          })
    )
  )
