/**
 * The Promise API of this package: chunks on HTTP workers, for
 * `new JobManager().runJob(id, { workerAdapter: new HttpWorkerAdapter({ url: "https://workers.example/render" }), storage })`.
 */
import { RemoteAdapterClass } from "@helios-infra/adapter-local/RemoteAdapterClass"
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

/** Runs attempts on an HTTP endpoint, one request for each. */
export class HttpWorkerAdapter extends RemoteAdapterClass {
  constructor({ auth = {}, ...options }: HttpWorkerAdapterOptions) {
    super(Http.info(options), Http.make({ ...options, auth: redacted(auth) }))
  }
}
