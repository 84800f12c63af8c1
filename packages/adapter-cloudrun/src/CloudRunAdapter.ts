/**
 * Runs attempts on Google Cloud Run: an `HttpWorkerAdapter` for a service that only those may call who prove who they
 * are, with an ID token for its audience.
 *
 * Cloud Run's rules, and where its documentation says so:
 *
 * - A request takes at most 60 minutes; a service lets it take 5 unless it says otherwise (`--timeout`). One that takes
 *   longer is answered for with 504, and its container runs on. ("Set request timeout for services",
 *   https://docs.cloud.google.com/run/docs/configuring/request-timeout)
 * - An instance gets up to 80 requests at once, or 80 for each of its processors, unless the service says otherwise
 *   (`--concurrency`). A render takes a whole instance: set it to 1. ("Maximum concurrent requests for services",
 *   https://docs.cloud.google.com/run/docs/about-concurrency)
 * - A service has at most 100 instances unless it says otherwise (`--max-instances`). ("Set maximum number of instances",
 *   https://docs.cloud.google.com/run/docs/configuring/max-instances) A request for which there is none is answered with 429.
 *   ("Troubleshoot Cloud Run issues", https://docs.cloud.google.com/run/docs/troubleshooting)
 * - A request has at most 32 MiB; an answer as well, unless it streams. ("Cloud Run quotas and limits",
 *   https://docs.cloud.google.com/run/quotas)
 * - An ID token comes in `Authorization`, or in `X-Serverless-Authorization`, which counts where both are there; the other
 *   one is then for the container. Its audience is the service's URL, or a custom audience of the service. ("Authenticating
 *   service-to-service", https://docs.cloud.google.com/run/docs/authenticating/service-to-service)
 */
import type * as HttpCredentials from "@helios-infra/adapter-http/Credentials"
import * as HttpWorkerAdapter from "@helios-infra/adapter-http/HttpWorkerAdapter"
import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { IdTokenProvider } from "google-auth-library"
import * as idTokens from "./internal/idTokens.ts"

/** Which service is called, and how; everything here can come from `Config`. */
export interface ServiceOptions extends Pick<
  HttpWorkerAdapter.EndpointOptions,
  "connectTimeout" | "headers" | "idleTimeout" | "jobDefUrl" | "maxConcurrency"
> {
  /** Its URL, with a path where the worker is not at the root: `https://render-abc-ew.a.run.app`. */
  readonly serviceUrl: string
  /** Who ID tokens are for: a custom audience of the service. Default: its URL without a path. */
  readonly audience?: string | undefined
  /** The file with a service account's key, as JSON. Default: what Google's tools take. */
  readonly keyFile?: string | undefined
  /** How many attempts at once suit it when nobody says. Default: 100, as many instances as a service has by default. */
  readonly concurrency?: number | undefined
  /** How long the service lets a request take, its `--timeout`. Default: 60 minutes, the longest that there is. */
  readonly maxDuration?: Duration.Input | undefined
  /** Secrets that the worker itself knows, beside the ID token. Default: none. */
  readonly auth?: HttpCredentials.Auth | undefined
}

/** How a service is called. */
export interface Options extends ServiceOptions {
  /** What gives ID tokens, in place of `keyFile`: a client of `google-auth-library`, such as one that impersonates. */
  readonly idTokenProvider?: IdTokenProvider | undefined
  /** As `HttpWorkerAdapter.Options.client` says. */
  readonly client?: HttpWorkerAdapter.Options["client"]
}

const name = "cloud-run"

const defaultConcurrency = 100

/** The longest that any service lets a request take. */
const longest = Duration.minutes(60)

/** The largest request, in bytes. */
export const maxRequestBytes = 32 * 1024 ** 2

/** What an adapter says of itself. */
export const info = (
  options: Pick<ServiceOptions, "concurrency" | "maxConcurrency" | "maxDuration">
): WorkerAdapter.WorkerAdapterInfo => {
  const { concurrency = defaultConcurrency, maxConcurrency, maxDuration = longest } = options
  return HttpWorkerAdapter.info({ name, concurrency, maxConcurrency, maxDuration })
}

/** The service's URL without a path, as Cloud Run compares it. */
const audienceOf = (serviceUrl: string): string => URL.parse(serviceUrl)?.origin ?? serviceUrl

/** The adapter; its connections close with the scope. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<WorkerAdapter.WorkerAdapter["Service"], never, Scope.Scope> {
  const { audience, idTokenProvider, keyFile, serviceUrl, ...more } = options
  const credentials = yield* idTokens.make({
    audience: audience ?? audienceOf(serviceUrl),
    provider:
      idTokenProvider !== undefined
        ? Effect.succeed(idTokenProvider)
        : keyFile === undefined
          ? idTokens.fromEnvironment
          : idTokens.fromKeyFile(keyFile),
    header: options.auth?.bearer === undefined ? "authorization" : "x-serverless-authorization"
  })
  const { concurrency, maxDuration } = info(options)
  return yield* HttpWorkerAdapter.make({
    ...more,
    name,
    url: serviceUrl,
    credentials,
    concurrency,
    maxDuration,
    maxRequestBytes
  })
})

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<WorkerAdapter.WorkerAdapter> =>
  Layer.effect(WorkerAdapter.WorkerAdapter, make(options))

/**
 * {@link layer} with options from `Config`.
 *
 * ```ts
 * import * as CloudRunAdapter from "@helios-infra/adapter-cloudrun/CloudRunAdapter"
 * import * as Config from "effect/Config"
 *
 * export const workers = CloudRunAdapter.layerConfig({
 *   serviceUrl: Config.String("RENDER_SERVICE"),
 *   concurrency: Config.Int("RENDER_CONCURRENCY").pipe(Config.withDefault(100))
 * })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<ServiceOptions>
): Layer.Layer<WorkerAdapter.WorkerAdapter, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
