/**
 * Workers in Azure Functions: the options of an `HttpWorkerAdapter` for a function with an HTTP trigger that speaks
 * `WorkerProtocol`.
 *
 * Azure's rules, and where its documentation says so:
 *
 * - The address is `https://<app>.azurewebsites.net/api/<function>`; `api` is the prefix that `extensions.http.routePrefix`
 *   in host.json sets. The key of a function, or of the app, comes in the header `x-functions-key`; in the address it would
 *   be logged. ("Azure Functions HTTP trigger", sections Customize the HTTP endpoint and API key authorization,
 *   https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger)
 * - A request has at most 100 MB, its URL 4 KB. (the same page, section Limits)
 * - A function that does not respond within 230 seconds is answered for with 502, and runs on: that is for how long the
 *   load balancer lets a connection be idle. ("Function app timeout duration" in "Azure Functions scale and hosting",
 *   https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout) A function that streams its answer is not
 *   idle, for workers send an event every five seconds; Node.js functions do that with `app.setup({ enableHttpStream: true })`.
 *   ("Stream HTTP requests and responses in Node.js Azure Functions",
 *   https://learn.microsoft.com/azure/azure-functions/node-http-stream)
 * - How long a function can run at all is `functionTimeout` in host.json: by default 5 minutes on the Consumption plan, 10
 *   at most; by default 30 minutes on the others, without an upper limit. (the table in "Function app timeout duration")
 * - Requests over `maxOutstandingRequests` are answered with 429, as are all while an instance is short of memory or
 *   processor and `dynamicThrottlesEnabled` is on. ("host.json settings" in "Azure Functions HTTP triggers and bindings
 *   overview", https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook) A render takes a whole
 *   instance: set `maxConcurrentRequests` to 1 there, or the plan's HTTP concurrency.
 */
import * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import type * as HttpWorkerAdapter from "./HttpWorkerAdapter.ts"

/** How a function app is hosted. */
export type Plan = "consumption" | "flex" | "premium" | "dedicated"

/** A function, and how it is hosted. */
export interface FunctionOptions extends Pick<
  HttpWorkerAdapter.Options,
  "client" | "concurrency" | "connectTimeout" | "headers" | "idleTimeout" | "jobDefUrl" | "maxConcurrency"
> {
  /** The name of the function app, or its address where that is not `https://<app>.azurewebsites.net`. */
  readonly app: string
  /** The function's name, or its route. */
  readonly function: string
  /** A key of the function or of the app. Default: none, for functions whose `authLevel` is `anonymous`. */
  readonly key?: Redacted.Redacted | undefined
  /** Secrets that the worker itself knows, beside the key. */
  readonly auth?: Pick<NonNullable<HttpWorkerAdapter.Options["auth"]>, "bearer" | "secret"> | undefined
  /** What `routePrefix` in host.json says; `""` for none. Default: `"api"`. */
  readonly routePrefix?: string | undefined
  /** Default: `"flex"`. */
  readonly plan?: Plan | undefined
  /** What `functionTimeout` in host.json says. Default: the plan's own default. */
  readonly functionTimeout?: Duration.Input | undefined
  /** Whether the function streams its answer. Default: false, and no render can take longer than 230 seconds. */
  readonly streams?: boolean | undefined
}

/** The largest request, in bytes. */
export const maxRequestBytes = 104_857_600

/** How long a function that does not stream has to answer. */
export const responseLimit: Duration.Duration = Duration.seconds(230)

/** `functionTimeout` where host.json does not set it. */
const defaultTimeout: Readonly<Record<Plan, Duration.Duration>> = {
  consumption: Duration.minutes(5),
  flex: Duration.minutes(30),
  premium: Duration.minutes(30),
  dedicated: Duration.minutes(30)
}

const withoutSlashes = (path: string): string => path.replaceAll(/^\/+|\/+$/g, "")

const urlOf = ({ app, function: name, routePrefix = "api" }: FunctionOptions): string => {
  const origin = app.includes("://") ? app.replace(/\/+$/, "") : `https://${app}.azurewebsites.net`
  return [origin, withoutSlashes(routePrefix), withoutSlashes(name)].filter((part) => part !== "").join("/")
}

/** The options of the adapter for a function. */
export const options = (given: FunctionOptions): HttpWorkerAdapter.Options => {
  const {
    app: _app,
    auth,
    function: _function,
    functionTimeout,
    key,
    plan = "flex",
    routePrefix,
    streams,
    ...more
  } = given
  const timeout = functionTimeout === undefined ? defaultTimeout[plan] : Duration.fromInputUnsafe(functionTimeout)
  return {
    name: "azure-functions",
    ...more,
    url: urlOf({ ...given, routePrefix }),
    auth: { ...auth, ...(key === undefined ? undefined : { key: { header: "x-functions-key", value: key } }) },
    maxDuration: streams === true ? timeout : Duration.min(timeout, responseLimit),
    maxRequestBytes
  }
}
