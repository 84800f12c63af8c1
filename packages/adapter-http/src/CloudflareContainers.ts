/**
 * Workers in Cloudflare Containers: the options of an `HttpWorkerAdapter` for a Worker that passes requests on to
 * containers that speak `WorkerProtocol`, and their answers back as they come.
 *
 * Cloudflare's rules, and where its documentation says so:
 *
 * - A container is reached through a Worker, never directly, and one `max_instances` of its configuration limits how many
 *   run at once. ("Containers", https://developers.cloudflare.com/containers/) Where none is free, the Container class
 *   answers with 503, and with 429 when too many are started at once. ("Container Interface",
 *   https://developers.cloudflare.com/containers/container-package/, and the source of `@cloudflare/containers`)
 * - There is no limit to how long a Worker can stream an answer, as long as the client stays connected. ("Limits", section
 *   Duration, https://developers.cloudflare.com/workers/platform/limits/)
 * - A request has at most 100 MB on the Free and Pro plans of a zone, 200 MB on Business, and on Enterprise 500 MB until
 *   that is raised; a larger one is answered with 413. (the same page, section Request and response limits)
 * - What does not answer Cloudflare for 120 seconds is answered for with 524; 520 to 523 mean that it could not be
 *   reached. ("Connection limits", https://developers.cloudflare.com/fundamentals/reference/connection-limits/) Workers send an
 *   event every five seconds, so neither concerns those that stream.
 * - Behind Cloudflare Access, a service token comes in the headers `CF-Access-Client-Id` and `CF-Access-Client-Secret`;
 *   without one, requests are redirected to a page to sign in. ("Service token",
 *   https://developers.cloudflare.com/cloudflare-one/examples/service-token)
 */
import type * as Redacted from "effect/Redacted"
import * as Credentials from "./Credentials.ts"
import type * as HttpWorkerAdapter from "./HttpWorkerAdapter.ts"

/** The plan of the zone that the Worker's domain belongs to. */
export type Plan = "free" | "pro" | "business" | "enterprise"

/** A Worker before containers. */
export interface ContainerOptions extends Pick<
  HttpWorkerAdapter.Options,
  "auth" | "client" | "connectTimeout" | "headers" | "idleTimeout" | "jobDefUrl"
> {
  /** Where the Worker is, with the path: `https://render.example.workers.dev/render`. */
  readonly url: string
  /** What `max_instances` says, each of them rendering one chunk at a time. Default: 10. */
  readonly maxInstances?: number | undefined
  /** A service token of Cloudflare Access, where the Worker is behind it. */
  readonly access?: { readonly clientId: string; readonly clientSecret: Redacted.Redacted } | undefined
  /** Default: `"free"`. */
  readonly plan?: Plan | undefined
}

const megabyte = 1_000_000

/** The largest request by the zone's plan, in bytes. */
export const maxRequestBytes: Readonly<Record<Plan, number>> = {
  free: 100 * megabyte,
  pro: 100 * megabyte,
  business: 200 * megabyte,
  enterprise: 500 * megabyte
}

const defaultInstances = 10

/** The options of the adapter for a Worker before containers. */
export const options = (given: ContainerOptions): HttpWorkerAdapter.Options => {
  const { access, maxInstances = defaultInstances, plan = "free", ...more } = given
  return {
    name: "cloudflare-containers",
    ...more,
    ...(access === undefined
      ? undefined
      : {
          headers: { ...more.headers, "cf-access-client-id": access.clientId },
          credentials: Credentials.key("cf-access-client-secret", access.clientSecret)
        }),
    concurrency: maxInstances,
    maxConcurrency: maxInstances,
    maxRequestBytes: maxRequestBytes[plan]
  }
}
