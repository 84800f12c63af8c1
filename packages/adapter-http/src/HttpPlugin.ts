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
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Credentials from "./Credentials.ts"
import * as HttpWorkerAdapter from "./HttpWorkerAdapter.ts"

const atLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

const variable = Schema.NonEmptyString

/** The variables that hold secrets which are shared with a worker: `HttpWorkerAdapter.EndpointOptions.auth`. */
export const AuthConfig = Schema.Struct({
  bearer: Schema.optionalKey(variable).annotateKey({
    description: "The variable whose content is sent as Authorization: Bearer."
  }),
  key: Schema.optionalKey(
    Schema.Struct({
      header: Schema.NonEmptyString.annotateKey({ description: "The header's name." }),
      value: variable.annotateKey({ description: "The variable that holds what is sent." })
    })
  ).annotateKey({
    description: "A header of its own, such as x-api-key, and the variable whose content is sent in it."
  }),
  secret: Schema.optionalKey(variable).annotateKey({
    description: "The variable that holds what requests are signed with; it is never sent."
  })
})

/** Reads the variables. Fails with those that are not set, by the options that name them. */
export const secretsOf: (auth: typeof AuthConfig.Type) => Effect.Effect<Credentials.Auth, Plugin.InvalidConfig> =
  Effect.fnUntraced(function* ({ bearer, key, secret }) {
    const missing: Array<Plugin.InvalidConfig["issues"][number]> = []
    const read = (option: string, name: string) =>
      Effect.catch(Config.Redacted(name), () => {
        missing.push({ path: `auth.${option}`, message: `names the environment variable ${name}, which is not set` })
        return Effect.succeed(Redacted.make(""))
      })
    const secrets = {
      ...(bearer === undefined ? undefined : { bearer: yield* read("bearer", bearer) }),
      ...(key === undefined ? undefined : { key: { header: key.header, value: yield* read("key.value", key.value) } }),
      ...(secret === undefined ? undefined : { secret: yield* read("secret", secret) })
    }
    return missing.length === 0 ? secrets : yield* new Plugin.InvalidConfig({ issues: missing })
  })

/** The options of {@link worker}: `HttpWorkerAdapter.EndpointOptions`, with variables in place of secrets. */
export const WorkerConfig = Schema.Struct({
  url: Schema.String.check(Schema.isPattern(/^https?:\/\//u, { message: "must be an http or https URL" })).annotateKey({
    description: "Where requests are sent, with the path: https://workers.example/render."
  }),
  auth: Schema.optionalKey(AuthConfig).annotateKey({
    description: "Secrets that are shared with the worker, by the variables that hold them. Default: none are sent."
  }),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)).annotateKey({
    description: "Headers beside those of the protocol, the same for every request. Not for secrets: traces show them."
  }),
  concurrency: Schema.optionalKey(atLeastOne).annotateKey({
    description: "How many attempts at once suit it when nobody says. Default: 10."
  }),
  maxConcurrency: Schema.optionalKey(atLeastOne).annotateKey({
    description: "How many attempts at once it can take at most. Default: no limit."
  }),
  maxDuration: Schema.optionalKey(Plugin.Duration).annotateKey({
    description: "How long one request can take at most, where something on the way has a limit. Default: no limit."
  }),
  maxRequestBytes: Schema.optionalKey(atLeastOne).annotateKey({
    description:
      "How large a request can be at most, in bytes, where something on the way has a limit. Default: no limit."
  }),
  idleTimeout: Schema.optionalKey(Plugin.Duration).annotateKey({
    description: "How long a worker that sends events can be silent before it counts as gone. Default: 30 seconds."
  }),
  connectTimeout: Schema.optionalKey(Plugin.Duration).annotateKey({
    description: "How long a connection may take to come about. Default: 10 seconds."
  }),
  jobDefUrl: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description:
      "Where the worker reads the job file of jobs that have no storage: an https URL, or a path that it knows."
  }),
  name: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The name that errors and events give it. Default: http."
  })
})

/** Chunks on an HTTP endpoint. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig, Plugin.InvalidConfig, never, "http"> =
  Plugin.definePlugin({
    kind: "worker",
    type: "http",
    apiVersion: 1,
    config: WorkerConfig,
    layer: ({ auth = {}, ...options }) =>
      Layer.unwrap(Effect.map(secretsOf(auth), (secrets) => HttpWorkerAdapter.layer({ ...options, auth: secrets })))
  })
