/**
 * The Promise API of this package: chunks on Google Cloud Run, for
 * `new JobManager().runJob(id, { workerAdapter: new CloudRunAdapter({ serviceUrl: "https://render-abc-ew.a.run.app" }), storage })`.
 */
import { type PlainAuth, redacted } from "@helios-infra/adapter-http/PlainAuth"
import { RemoteAdapterClass } from "@helios-infra/adapter-local/RemoteAdapterClass"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import type { IdTokenProvider } from "google-auth-library"
import * as CloudRun from "./CloudRunAdapter.ts"

/** Which service is called, and how. Times are in milliseconds, or texts such as `"30 minutes"`. */
export interface CloudRunAdapterOptions extends Omit<CloudRun.ServiceOptions, "auth"> {
  /** Secrets that the worker itself knows, beside the ID token. Default: none. */
  readonly auth?: PlainAuth | undefined
  /** What gives ID tokens, in place of `keyFile`: a client of `google-auth-library`, such as one that impersonates. */
  readonly idTokenProvider?: IdTokenProvider | undefined
}

const rules: PromiseOptions.Rules<CloudRunAdapterOptions> = {
  serviceUrl: PromiseOptions.text,
  audience: PromiseOptions.text,
  keyFile: PromiseOptions.text,
  concurrency: PromiseOptions.whole(1),
  maxConcurrency: PromiseOptions.whole(1),
  maxDuration: PromiseOptions.anything,
  connectTimeout: PromiseOptions.anything,
  idleTimeout: PromiseOptions.anything,
  headers: PromiseOptions.anything,
  jobDefUrl: PromiseOptions.text,
  auth: PromiseOptions.anything,
  idTokenProvider: PromiseOptions.anything
}

/** Runs attempts on Google Cloud Run, one request for each. */
export class CloudRunAdapter extends RemoteAdapterClass {
  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(given: CloudRunAdapterOptions) {
    PromiseOptions.check("CloudRunAdapter", given, rules, ["serviceUrl"])
    const { auth = {}, ...options } = given
    super(CloudRun.info(options), CloudRun.make({ ...options, auth: redacted(auth) }))
  }
}
