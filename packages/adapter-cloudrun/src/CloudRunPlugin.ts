/**
 * What this package offers to configurations: `{ "type": "cloud-run", "serviceUrl": "https://render-abc-ew.a.run.app" }`
 * renders chunks.
 *
 * Credentials are no options here: Google's tools find them, in the environment, a file or the machine. Of secrets that
 * the worker itself knows, the variables that hold them are: `"auth": { "secret": "RENDER_SECRET" }`.
 */
import * as HttpPlugin from "@helios-infra/adapter-http/HttpPlugin"
import * as Plugin from "@helios-infra/core/Plugin"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as CloudRunAdapter from "./CloudRunAdapter.ts"

const atLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** The options of {@link worker}: `CloudRunAdapter.ServiceOptions`, with variables in place of secrets. */
export const WorkerConfig = Schema.Struct({
  serviceUrl: Schema.String.check(Schema.isPattern(/^https?:\/\//, { message: "must be an http or https URL" })),
  audience: Schema.optionalKey(Schema.NonEmptyString),
  keyFile: Schema.optionalKey(Schema.NonEmptyString),
  auth: Schema.optionalKey(HttpPlugin.AuthConfig),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  concurrency: Schema.optionalKey(atLeastOne),
  maxConcurrency: Schema.optionalKey(atLeastOne),
  maxDuration: Schema.optionalKey(Plugin.Duration),
  idleTimeout: Schema.optionalKey(Plugin.Duration),
  connectTimeout: Schema.optionalKey(Plugin.Duration),
  jobDefUrl: Schema.optionalKey(Schema.NonEmptyString)
})

/** Chunks on Google Cloud Run. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig, Config.ConfigError> = Plugin.definePlugin({
  kind: "worker",
  type: "cloud-run",
  apiVersion: 1,
  config: WorkerConfig,
  layer: ({ auth = {}, ...options }) =>
    Layer.unwrap(
      Effect.map(HttpPlugin.secretsOf(auth), (secrets) => CloudRunAdapter.layer({ ...options, auth: secrets }))
    )
})
