/**
 * The Promise API of this package: artifacts in a bucket, for
 * `new JobManager({ storage: new GcsArtifactStorage({ bucket: "renders" }) })`.
 */
import type { Storage } from "@google-cloud/storage"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as Gcs from "./GcsArtifactStorage.ts"

/** Which bucket it is, and how it is used. */
export interface GcsArtifactStorageOptions extends Gcs.BucketOptions {
  /** What a service account's key file says, in place of `keyFilename`. */
  readonly credentials?: Gcs.KeyFile | undefined
  /**
   * A client of your own, in place of `projectId`, `keyFilename`, `credentials`, `apiEndpoint` and `anonymous`: its
   * credentials, endpoint and connections are used, but not its retries.
   */
  readonly client?: Storage | undefined
}

/** Keeps artifacts in a bucket of Google Cloud Storage. `close` lets go of its connections. */
export class GcsArtifactStorage extends PromiseBacking.StorageClass {
  constructor(options: GcsArtifactStorageOptions) {
    super(Gcs.layer(options))
  }
}
