/**
 * The Promise API of this package: artifacts in a bucket, for
 * `new JobManager({ storage: new S3ArtifactStorage({ bucket: "renders" }) })`.
 */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import * as S3 from "./S3ArtifactStorage.ts"

/** Which bucket it is, and how it is used. */
export interface S3ArtifactStorageOptions extends S3.BucketOptions {
  /** What the SDK takes. Default: what AWS's tools take: the environment, a profile, a role. */
  readonly credentials?: S3ClientConfig["credentials"]
  /** A client of your own, in place of `region`, `credentials`, `endpoint` and `forcePathStyle`; it is not destroyed. */
  readonly client?: S3Client | undefined
}

const rules: PromiseOptions.Rules<S3ArtifactStorageOptions> = {
  bucket: PromiseOptions.text,
  prefix: PromiseOptions.text,
  region: PromiseOptions.text,
  endpoint: PromiseOptions.text,
  forcePathStyle: PromiseOptions.flag,
  partChecksum: PromiseOptions.oneOf("crc32", "md5", "none"),
  encryption: PromiseOptions.oneOf("AES256", "aws:kms", "aws:kms:dsse"),
  kmsKeyId: PromiseOptions.text,
  partBytes: PromiseOptions.whole(1),
  concurrency: PromiseOptions.whole(1),
  credentials: PromiseOptions.anything,
  client: PromiseOptions.methods("send")
}

/** Keeps artifacts in a bucket of S3, or of whatever speaks the same. `close` lets go of its connections. */
export class S3ArtifactStorage extends PromiseBacking.StorageClass {
  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(options: S3ArtifactStorageOptions) {
    PromiseOptions.check("S3ArtifactStorage", options, rules, ["bucket"])
    super(S3.layer(options))
  }
}
