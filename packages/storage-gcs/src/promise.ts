/**
 * The Promise API of this package: artifacts in a bucket, for
 * `new JobManager({ storage: new GcsArtifactStorage({ bucket: "renders" }) })`.
 */
import type { Storage } from "@google-cloud/storage"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
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

const rules: PromiseOptions.Rules<GcsArtifactStorageOptions> = {
  bucket: PromiseOptions.text,
  prefix: PromiseOptions.text,
  projectId: PromiseOptions.text,
  keyFilename: PromiseOptions.text,
  apiEndpoint: PromiseOptions.text,
  anonymous: PromiseOptions.flag,
  kmsKeyName: PromiseOptions.text,
  partBytes: PromiseOptions.whole(1),
  attempts: PromiseOptions.whole(1),
  credentials: PromiseOptions.anything,
  client: PromiseOptions.methods("bucket")
}

/** Keeps artifacts in a bucket of Google Cloud Storage. `close` lets go of its connections. */
export class GcsArtifactStorage extends PromiseBacking.StorageClass {
  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(options: GcsArtifactStorageOptions) {
    PromiseOptions.check("GcsArtifactStorage", options, rules, ["bucket"])
    super(Gcs.layer(options))
  }
}
