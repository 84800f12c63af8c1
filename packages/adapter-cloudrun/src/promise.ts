/**
 * The Promise API of this package: chunks on Google Cloud Run, for
 * `new JobManager().runJob(id, { workerAdapter: new CloudRunAdapter({ serviceUrl: "https://render-abc-ew.a.run.app" }), storage })`.
 */
import { type PlainAuth, redacted } from "@helios-infra/adapter-http/PlainAuth"
import { RemoteAdapterClass } from "@helios-infra/adapter-local/RemoteAdapterClass"
import type { IdTokenProvider } from "google-auth-library"
import * as CloudRun from "./CloudRunAdapter.ts"

/** Which service is called, and how. Times are in milliseconds, or texts such as `"30 minutes"`. */
export interface CloudRunAdapterOptions extends Omit<CloudRun.ServiceOptions, "auth"> {
  /** Secrets that the worker itself knows, beside the ID token. Default: none. */
  readonly auth?: PlainAuth | undefined
  /** What gives ID tokens, in place of `keyFile`: a client of `google-auth-library`, such as one that impersonates. */
  readonly idTokenProvider?: IdTokenProvider | undefined
}

/** Runs attempts on Google Cloud Run, one request for each. */
export class CloudRunAdapter extends RemoteAdapterClass {
  constructor({ auth = {}, ...options }: CloudRunAdapterOptions) {
    super(CloudRun.info(options), CloudRun.make({ ...options, auth: redacted(auth) }))
  }
}
