/**
 * The Promise API of this package: chunks on HTTP workers, for
 * `new JobManager().runJob(id, { workerAdapter: new HttpWorkerAdapter({ url: "https://workers.example/render" }), storage })`.
 */
import { RemoteAdapterClass } from "@helios-infra/adapter-local/RemoteAdapterClass"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import * as Http from "./HttpWorkerAdapter.ts"
import { type PlainAuth, redacted } from "./PlainAuth.ts"

export type { PlainAuth } from "./PlainAuth.ts"

/** Where the worker is, and how it is called. Times are in milliseconds, or texts such as `"30 seconds"`. */
export interface HttpWorkerAdapterOptions extends Omit<Http.EndpointOptions, "auth"> {
  /** Default: no secrets are sent. */
  readonly auth?: PlainAuth | undefined
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | ReadonlyArray<string> | undefined
}

const rules: PromiseOptions.Rules<HttpWorkerAdapterOptions> = {
  url: PromiseOptions.text,
  name: PromiseOptions.text,
  concurrency: PromiseOptions.whole(1),
  maxConcurrency: PromiseOptions.whole(1),
  maxRequestBytes: PromiseOptions.whole(1),
  maxDuration: PromiseOptions.anything,
  connectTimeout: PromiseOptions.anything,
  idleTimeout: PromiseOptions.anything,
  headers: PromiseOptions.anything,
  jobDefUrl: PromiseOptions.text,
  auth: PromiseOptions.anything,
  ca: PromiseOptions.anything
}

/** Runs attempts on an HTTP endpoint, one request for each. */
export class HttpWorkerAdapter extends RemoteAdapterClass {
  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(given: HttpWorkerAdapterOptions) {
    PromiseOptions.check("HttpWorkerAdapter", given, rules, ["url"])
    const { auth = {}, ...options } = given
    super(Http.info(options), Http.make({ ...options, auth: redacted(auth) }))
  }
}
