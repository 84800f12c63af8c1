/**
 * What this package offers to configurations: `{ "type": "http", "url": "https://workers.example/render" }` renders
 * chunks.
 *
 * Secrets are no options here, but the names of what holds them are: `"auth": { "bearer": "RENDER_TOKEN" }` sends what
 * the variable RENDER_TOKEN holds.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Credentials from "./Credentials.ts"
import * as HttpWorkerAdapter from "./HttpWorkerAdapter.ts"

const atLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

const variable = Schema.NonEmptyString

/** The variables that hold secrets which are shared with a worker: `HttpWorkerAdapter.EndpointOptions.auth`. */
export const AuthConfig = Schema.Struct({
  bearer: Schema.optionalKey(variable),
  key: Schema.optionalKey(Schema.Struct({ header: Schema.NonEmptyString, value: variable })),
  secret: Schema.optionalKey(variable)
})

/** Reads the variables. */
export const secretsOf = ({
  bearer,
  key,
  secret
}: typeof AuthConfig.Type): Effect.Effect<Credentials.Auth, Config.ConfigError> =>
  Config.unwrap<Credentials.Auth>({
    ...(bearer === undefined ? undefined : { bearer: Config.Redacted(bearer) }),
    ...(key === undefined
      ? undefined
      : { key: { header: Config.succeed(key.header), value: Config.Redacted(key.value) } }),
    ...(secret === undefined ? undefined : { secret: Config.Redacted(secret) })
  })

/** The options of {@link worker}: `HttpWorkerAdapter.EndpointOptions`, with variables in place of secrets. */
export const WorkerConfig = Schema.Struct({
  url: Schema.String.check(Schema.isPattern(/^https?:\/\//, { message: "must be an http or https URL" })),
  auth: Schema.optionalKey(AuthConfig),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  concurrency: Schema.optionalKey(atLeastOne),
  maxConcurrency: Schema.optionalKey(atLeastOne),
  maxDuration: Schema.optionalKey(Plugin.Duration),
  maxRequestBytes: Schema.optionalKey(atLeastOne),
  idleTimeout: Schema.optionalKey(Plugin.Duration),
  connectTimeout: Schema.optionalKey(Plugin.Duration),
  jobDefUrl: Schema.optionalKey(Schema.NonEmptyString),
  name: Schema.optionalKey(Schema.NonEmptyString)
})

/** Chunks on an HTTP endpoint. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig, Config.ConfigError> = Plugin.definePlugin({
  kind: "worker",
  type: "http",
  apiVersion: 1,
  config: WorkerConfig,
  layer: ({ auth = {}, ...options }) =>
    Layer.unwrap(Effect.map(secretsOf(auth), (secrets) => HttpWorkerAdapter.layer({ ...options, auth: secrets })))
})
