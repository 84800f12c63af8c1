/** The SDK's client, made of options, with connections of its own that end with it. */
import { Storage } from "@google-cloud/storage"
import { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { readFile } from "node:fs/promises"
import http from "node:http"
import https from "node:https"

/** A service account's key. */
export interface Credentials {
  readonly clientEmail: string
  readonly privateKey: Redacted.Redacted
}

/** What a key file says, as Google's console makes them. */
export interface KeyFile {
  readonly client_email: string
  readonly private_key: string
}

/** What decides which client it is. */
export interface ClientOptions {
  readonly projectId?: string | undefined
  readonly keyFilename?: string | undefined
  readonly credentials?: Credentials | KeyFile | undefined
  readonly apiEndpoint?: string | undefined
  readonly anonymous?: boolean | undefined
}

/** How many connections there are at most; further requests wait for one. */
const mostSockets = 64

const decodeKeyFile = Schema.decodeUnknownEffect(
  Schema.fromJsonString(
    Schema.Struct({
      client_email: Schema.NonEmptyString,
      private_key: Schema.String.check(Schema.isPattern(/PRIVATE KEY/))
    })
  )
)

const readKeyFile = Effect.fnUntraced(function* (file: string): Effect.fn.Return<KeyFile, ArtifactError> {
  const failed = (why: string) =>
    new ArtifactError({ key: "", reason: "Unauthorized", cause: new Error(`keyFilename ${file}: ${why}`) })
  const text = yield* Effect.tryPromise({ try: () => readFile(file, "utf8"), catch: (error) => failed(String(error)) })
  return yield* Effect.mapError(decodeKeyFile(text), () =>
    failed("it has no client_email and private_key, as a service account's key file has")
  )
})

/** A client. Fails with `Unauthorized` when a key file cannot be read. */
export const make = Effect.fnUntraced(function* (
  options: ClientOptions
): Effect.fn.Return<Storage, ArtifactError, Scope.Scope> {
  const { anonymous = false, apiEndpoint, credentials, keyFilename, projectId } = options
  const key =
    credentials === undefined
      ? keyFilename === undefined
        ? undefined
        : yield* readKeyFile(keyFilename)
      : "clientEmail" in credentials
        ? { client_email: credentials.clientEmail, private_key: Redacted.value(credentials.privateKey) }
        : { client_email: credentials.client_email, private_key: credentials.private_key }
  const agents = yield* Effect.acquireRelease(
    Effect.sync(() => ({
      "http:": new http.Agent({ keepAlive: true, maxSockets: mostSockets }),
      "https:": new https.Agent({ keepAlive: true, maxSockets: mostSockets })
    })),
    (made) =>
      Effect.sync(() => {
        made["http:"].destroy()
        made["https:"].destroy()
      })
  )
  const agent = ({ protocol }: URL) => (protocol === "http:" ? agents["http:"] : agents["https:"])
  const client = new Storage({
    ...(projectId === undefined ? undefined : { projectId }),
    ...(apiEndpoint === undefined ? undefined : { apiEndpoint }),
    useAuthWithCustomEndpoint: !anonymous,
    clientOptions: { transporterOptions: { agent } }
  })
  // A key is not given to the constructor, which prints a warning about keys that come from somebody else.
  if (key !== undefined) client.authClient.jsonContent = key
  // Tokens that are signed here need no request to Google, and none of Google's addresses but the storage's.
  client.authClient.useJWTAccessWithScope = true
  return client
})
