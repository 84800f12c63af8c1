/**
 * How requests to a worker prove who sends them: a bearer token, a key in a header of its own, a signature.
 *
 * Credentials say which headers a request gets, for each request anew, so that they can be signed over it or come from
 * somewhere that gives new ones. Nothing is sent here.
 */
import { Refused, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { createHmac } from "node:crypto"

/** Headers by name. */
export type Headers = Readonly<Record<string, string>>

/** The request that is to be sent. */
export interface Request {
  readonly url: string
  /** Exactly as it is sent. */
  readonly body: string
  /** The headers that these credentials gave and that were answered with 401, when the request is sent once more. */
  readonly rejected: Headers | undefined
}

/** What proves who sends a request. */
export interface Credentials {
  /** The headers for a request; fails with the reason for which the attempt then fails. */
  readonly headers: (request: Request) => Effect.Effect<Headers, WorkerReason>
  /** Whether they can give others after a 401: the request is then sent once more. */
  readonly renewable: boolean
  /** The names of headers that hold secrets, beside `authorization`: they are left out of traces. */
  readonly secret: ReadonlyArray<string>
  /** What to do where they are not accepted (401), or may not do what they ask for (403). Default: set others. */
  readonly help?: { readonly unknown: string; readonly forbidden: string } | undefined
}

/** Secrets that are shared with the worker, or with what stands before it. All that are given are sent. */
export interface Auth {
  /** Sent as `Authorization: Bearer …`. */
  readonly bearer?: Redacted.Redacted | undefined
  /** Sent in a header of its own, such as `x-api-key`. */
  readonly key?: { readonly header: string; readonly value: Redacted.Redacted } | undefined
  /** Never sent: requests are signed with it, as `WorkerProtocol.signatureHeader` says. */
  readonly secret?: Redacted.Redacted | undefined
}

/** No headers. */
export const none: Credentials = { headers: () => Effect.succeed({}), renewable: false, secret: [] }

/** What a header can hold. Secrets that were read from a file often end in a line break. */
const isSendable = (value: string): boolean => /^[\x20-\x7e]+$/.test(value) && value.trim() === value

const shared = (header: string, what: string, secret: Redacted.Redacted, prefix = ""): Credentials => ({
  headers: () => {
    const value = Redacted.value(secret)
    if (isSendable(value)) return Effect.succeed({ [header]: `${prefix}${value}` })
    const fix = `${what} cannot be sent: it is empty, or holds a line break, a space at its end or another character that headers cannot hold`
    return Effect.fail(new Refused({ why: "Unauthorized", fix }))
  },
  renewable: false,
  secret: [header]
})

/** A token, sent as `Authorization: Bearer …`. */
export const bearer = (token: Redacted.Redacted): Credentials =>
  shared("authorization", "the bearer token", token, "Bearer ")

/** A key, sent in a header of its own. */
export const key = (header: string, value: Redacted.Redacted): Credentials =>
  shared(header.toLowerCase(), `the key for ${header}`, value)

/** Signs every request with a secret that the worker has too; the time is that of this machine. */
export const signed = (secret: Redacted.Redacted): Credentials => ({
  headers: ({ body }) => {
    const key = Redacted.value(secret)
    if (key === "") {
      return Effect.fail(new Refused({ why: "Unauthorized", fix: "the secret to sign with is empty: set it" }))
    }
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const seconds = Math.floor(now / 1000)
      const signature = createHmac("sha256", key).update(WorkerProtocol.signedText(seconds, body)).digest("hex")
      return { [WorkerProtocol.signatureHeader]: `t=${seconds},v1=${signature}` }
    })
  },
  renewable: false,
  secret: [WorkerProtocol.signatureHeader]
})

/** All of them at once: the headers of later ones win. */
export const all = (credentials: ReadonlyArray<Credentials>): Credentials => ({
  headers: (request) =>
    Effect.reduce(
      credentials,
      (): Headers => ({}),
      (given, { headers }) => Effect.map(headers(request), (more) => ({ ...given, ...more }))
    ),
  renewable: credentials.some(({ renewable }) => renewable),
  secret: credentials.flatMap(({ secret }) => secret),
  help: credentials.findLast(({ help }) => help !== undefined)?.help
})

/** The credentials that shared secrets make. */
export const fromAuth = ({ bearer: token, key: header, secret }: Auth): Credentials =>
  all([
    ...(token === undefined ? [] : [bearer(token)]),
    ...(header === undefined ? [] : [key(header.header, header.value)]),
    ...(secret === undefined ? [] : [signed(secret)])
  ])
