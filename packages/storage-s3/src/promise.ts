/**
 * The Promise API of this package: artifacts in a bucket, for
 * `new JobManager({ storage: new S3ArtifactStorage({ bucket: "renders" }) })`.
 */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as S3 from "./S3ArtifactStorage.ts"

/** Which bucket it is, and how it is used. */
export interface S3ArtifactStorageOptions extends S3.BucketOptions {
  /** What the SDK takes. Default: what AWS's tools take: the environment, a profile, a role. */
  readonly credentials?: S3ClientConfig["credentials"]
  /** A client of your own, in place of `region`, `credentials`, `endpoint` and `forcePathStyle`; it is not destroyed. */
  readonly client?: S3Client | undefined
}

/** Keeps artifacts in a bucket of S3, or of whatever speaks the same. `close` lets go of its connections. */
export class S3ArtifactStorage extends PromiseBacking.StorageClass {
  constructor(options: S3ArtifactStorageOptions) {
    super(S3.layer(options))
  }
}
