/** The SDK's client as it is used here: patient with silence, with sockets for many parts, and credentials in its own form. */
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"

/** An access key. */
export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Redacted.Redacted
  readonly sessionToken?: Redacted.Redacted | undefined
}

/** What a client is made of. */
interface Options {
  readonly region?: string | undefined
  readonly endpoint?: string | undefined
  readonly forcePathStyle?: boolean | undefined
  readonly partChecksum?: "crc32" | "md5" | "none" | undefined
  readonly credentials?: Credentials | S3ClientConfig["credentials"]
}

/** How often the SDK tries each request, with growing pauses. */
const requestAttempts = 5

/** How many connections there are at most; further requests wait for one. */
const mostSockets = 64

/** How long a connection may take to come about. */
const connectionTimeoutMs = 10_000

/** How long an answer or the next bytes of one may take. */
export const silence = Duration.seconds(60)

const isOurs = (credentials: NonNullable<Options["credentials"]>): credentials is Credentials =>
  typeof credentials !== "function" && Redacted.isRedacted(credentials.secretAccessKey)

/** Credentials as the SDK takes them. */
const revealed = (credentials: NonNullable<Options["credentials"]>): NonNullable<S3ClientConfig["credentials"]> => {
  if (!isOurs(credentials)) return credentials
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  return {
    accessKeyId,
    secretAccessKey: Redacted.value(secretAccessKey),
    ...(sessionToken === undefined ? undefined : { sessionToken: Redacted.value(sessionToken) })
  }
}

/** A client that is destroyed with the scope. */
export const make = (options: Options): Effect.Effect<S3Client, never, Scope.Scope> => {
  const { credentials, endpoint, forcePathStyle = false, partChecksum = "crc32", region } = options
  const agent = { keepAlive: true, maxSockets: mostSockets }
  const checksums = partChecksum === "crc32" ? "WHEN_SUPPORTED" : "WHEN_REQUIRED"
  return Effect.acquireRelease(
    Effect.sync(
      () =>
        new S3Client({
          ...(region === undefined ? undefined : { region }),
          ...(endpoint === undefined ? undefined : { endpoint }),
          ...(credentials === undefined ? undefined : { credentials: revealed(credentials) }),
          forcePathStyle,
          maxAttempts: requestAttempts,
          requestChecksumCalculation: checksums,
          responseChecksumValidation: checksums,
          requestHandler: {
            httpAgent: agent,
            httpsAgent: agent,
            connectionTimeout: connectionTimeoutMs,
            socketTimeout: Duration.toMillis(silence)
          }
        })
    ),
    (client) => Effect.sync(() => client.destroy())
  )
}
