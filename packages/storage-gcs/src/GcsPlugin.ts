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
  bucket: Schema.NonEmptyString.annotateKey({ description: "The bucket's name." }),
  prefix: Schema.optionalKey(Schema.String).annotateKey({
    description:
      "What all keys in the bucket begin with: renders for renders/jobs/. Default: nothing. At most 120 bytes."
  }),
  projectId: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The project. No request needs it; where it is told, it is not looked for."
  }),
  keyFilename: Schema.optionalKey(Plugin.FilePath).annotateKey({
    description:
      "A service account's key file. Default: what Google's tools take: the environment, gcloud, the machine's account."
  }),
  apiEndpoint: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "Where the service is, for an emulator or an endpoint of your own."
  }),
  anonymous: Schema.optionalKey(Schema.Boolean).annotateKey({
    description:
      "Whether no credentials are looked for or sent, for an emulator; only with apiEndpoint. Default: false."
  }),
  kmsKeyName: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The Cloud KMS key that artifacts are encrypted with, where it is not what the bucket does anyway."
  }),
  partBytes: Schema.optionalKey(atLeast(256 * 1024)).annotateKey({
    description:
      "How large the parts of an upload are, in bytes; rounded up to 256 KiB. One is in memory. Default: 8 MiB."
  }),
  attempts: Schema.optionalKey(atLeast(1)).annotateKey({
    description:
      "How often each request is made before it fails, where it can help to make it again. Default: 7, in about 6 seconds."
  })
})

/** Artifacts in a bucket. */
export const storage: Plugin.Plugin<"storage", typeof StorageConfig, ArtifactError, never, "gcs"> = Plugin.definePlugin(
  {
    kind: "storage",
    type: "gcs",
    apiVersion: 1,
    config: StorageConfig,
    layer: GcsArtifactStorage.layer
  }
)
