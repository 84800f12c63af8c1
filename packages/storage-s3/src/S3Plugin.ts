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
  bucket: Schema.NonEmptyString.annotateKey({ description: "The bucket's name." }),
  prefix: Schema.optionalKey(Schema.String).annotateKey({
    description:
      "What all keys in the bucket begin with: renders for renders/jobs/. Default: nothing. At most 120 bytes."
  }),
  region: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "Default: what AWS's tools take: AWS_REGION, the profile. R2 calls its own auto."
  }),
  endpoint: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "Where the service is, for one that is not AWS's."
  }),
  forcePathStyle: Schema.optionalKey(Schema.Boolean).annotateKey({
    description:
      "Whether the bucket stands in the path, not in the host's name, as most servers of one's own want it. Default: false."
  }),
  partChecksum: Schema.optionalKey(Schema.Literals(["crc32", "md5", "none"])).annotateKey({
    description:
      "What every part is checked with when it arrives, beside the hash of the whole; md5 for storages that know no newer one. Default: crc32."
  }),
  encryption: Schema.optionalKey(Schema.Literals(["AES256", "aws:kms", "aws:kms:dsse"])).annotateKey({
    description: "What artifacts are encrypted with, where it is not what the bucket does anyway."
  }),
  kmsKeyId: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The key for aws:kms. Default: the account's own one for S3."
  }),
  partBytes: Schema.optionalKey(atLeast(5 * 1024 ** 2)).annotateKey({
    description: "How large parts are, in bytes; S3 takes none below 5 MiB but the last one. Default: 8 MiB."
  }),
  concurrency: Schema.optionalKey(atLeast(1)).annotateKey({
    description: "How many parts of an artifact are on their way at once, each held in memory. Default: 4."
  })
})

/** Artifacts in a bucket. */
export const storage: Plugin.Plugin<"storage", typeof StorageConfig, ArtifactError, never, "s3"> = Plugin.definePlugin({
  kind: "storage",
  type: "s3",
  apiVersion: 1,
  config: StorageConfig,
  layer: S3ArtifactStorage.layer
})
