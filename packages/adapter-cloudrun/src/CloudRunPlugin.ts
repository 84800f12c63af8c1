/**
 * What this package offers to configurations: `{ "type": "cloud-run", "serviceUrl": "https://render-abc-ew.a.run.app" }`
 * renders chunks.
 *
 * Credentials are no options here: Google's tools find them, in the environment, a file or the machine. Of secrets that
 * the worker itself knows, the variables that hold them are: `"auth": { "secret": "RENDER_SECRET" }`.
 */
import * as HttpPlugin from "@helios-infra/adapter-http/HttpPlugin"
import * as Plugin from "@helios-infra/core/Plugin"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as CloudRunAdapter from "./CloudRunAdapter.ts"

// What is the same for every worker with HTTP.
const { connectTimeout, headers, idleTimeout, jobDefUrl, maxConcurrency } = HttpPlugin.WorkerConfig.fields

const atLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** The options of {@link worker}: `CloudRunAdapter.ServiceOptions`, with variables in place of secrets. */
export const WorkerConfig = Schema.Struct({
  serviceUrl: Schema.String.check(
    Schema.isPattern(/^https?:\/\//u, { message: "must be an http or https URL" })
  ).annotateKey({
    description: "The service's URL, with a path where the worker is not at the root: https://render-abc-ew.a.run.app."
  }),
  audience: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "Who ID tokens are for: a custom audience of the service. Default: its URL without a path."
  }),
  keyFile: Schema.optionalKey(Plugin.FilePath).annotateKey({
    description: "The file with a service account's key, as JSON. Default: what Google's tools take."
  }),
  auth: Schema.optionalKey(HttpPlugin.AuthConfig).annotateKey({
    description:
      "Secrets that the worker itself knows, beside the ID token, by the variables that hold them. Default: none."
  }),
  headers,
  concurrency: Schema.optionalKey(atLeastOne).annotateKey({
    description: "How many attempts at once suit it when nobody says. Default: 100."
  }),
  maxConcurrency,
  maxDuration: Schema.optionalKey(Plugin.Duration).annotateKey({
    description:
      "How long the service lets a request take, its --timeout. Default: 60 minutes, the longest that there is."
  }),
  idleTimeout,
  connectTimeout,
  jobDefUrl
})

/** Chunks on Google Cloud Run. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig, Plugin.InvalidConfig, never, "cloud-run"> =
  Plugin.definePlugin({
    kind: "worker",
    type: "cloud-run",
    apiVersion: 1,
    config: WorkerConfig,
    layer: ({ auth = {}, ...options }) =>
      Layer.unwrap(
        Effect.map(HttpPlugin.secretsOf(auth), (secrets) => CloudRunAdapter.layer({ ...options, auth: secrets }))
      )
  })
