/**
 * What this package offers to configurations: `{ "type": "gcs", "bucket": "renders", "prefix": "team-a" }` keeps artifacts.
 *
 * Credentials are no options here, but for the name of a key file: Google's tools find them, in the environment or in
 * the account that the machine runs as.
 */
import type { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import * as Plugin from "@helios-infra/core/Plugin"
import * as Schema from "effect/Schema"
import * as GcsArtifactStorage from "./GcsArtifactStorage.ts"

const atLeast = (least: number) => Schema.Int.check(Schema.isGreaterThanOrEqualTo(least))

/** The options of {@link storage}: `GcsArtifactStorage.BucketOptions`. */
export const StorageConfig = Schema.Struct({
  bucket: Schema.NonEmptyString,
  prefix: Schema.optionalKey(Schema.String),
  projectId: Schema.optionalKey(Schema.NonEmptyString),
  keyFilename: Schema.optionalKey(Schema.NonEmptyString),
  apiEndpoint: Schema.optionalKey(Schema.NonEmptyString),
  anonymous: Schema.optionalKey(Schema.Boolean),
  kmsKeyName: Schema.optionalKey(Schema.NonEmptyString),
  chunkBytes: Schema.optionalKey(atLeast(256 * 1024)),
  attempts: Schema.optionalKey(atLeast(1))
})

/** Artifacts in a bucket. */
export const storage: Plugin.Plugin<"storage", typeof StorageConfig, ArtifactError> = Plugin.definePlugin({
  kind: "storage",
  type: "gcs",
  apiVersion: 1,
  config: StorageConfig,
  layer: GcsArtifactStorage.layer
})
