/**
 * What this package offers to configurations: `{ "type": "s3", "bucket": "renders", "prefix": "team-a" }` keeps artifacts.
 *
 * Credentials are no options here: AWS's tools find them, in the environment, a profile or a role.
 */
import type { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import * as Plugin from "@helios-infra/core/Plugin"
import * as Schema from "effect/Schema"
import * as S3ArtifactStorage from "./S3ArtifactStorage.ts"

const atLeast = (least: number) => Schema.Int.check(Schema.isGreaterThanOrEqualTo(least))

/** The options of {@link storage}: `S3ArtifactStorage.BucketOptions`. */
export const StorageConfig = Schema.Struct({
  bucket: Schema.NonEmptyString,
  prefix: Schema.optionalKey(Schema.String),
  region: Schema.optionalKey(Schema.NonEmptyString),
  endpoint: Schema.optionalKey(Schema.NonEmptyString),
  forcePathStyle: Schema.optionalKey(Schema.Boolean),
  partChecksum: Schema.optionalKey(Schema.Literals(["crc32", "md5", "none"])),
  encryption: Schema.optionalKey(Schema.Literals(["AES256", "aws:kms", "aws:kms:dsse"])),
  kmsKeyId: Schema.optionalKey(Schema.NonEmptyString),
  partBytes: Schema.optionalKey(atLeast(5 * 1024 ** 2)),
  concurrency: Schema.optionalKey(atLeast(1))
})

/** Artifacts in a bucket. */
export const storage: Plugin.Plugin<"storage", typeof StorageConfig, ArtifactError> = Plugin.definePlugin({
  kind: "storage",
  type: "s3",
  apiVersion: 1,
  config: StorageConfig,
  layer: S3ArtifactStorage.layer
})
