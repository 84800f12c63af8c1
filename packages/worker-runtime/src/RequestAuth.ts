/**
 * Who may have a worker's server render: whoever can make it accept a request can run commands on it, so there is no
 * choice that was made already.
 *
 * - `"platform"`: what is in front of the server has looked at each request, such as Cloud Run's IAM.
 * - `"id-token"`: the server itself looks at tokens that Google signed.
 * - `"shared-secret"`: whoever knows a secret may, by sending it or by signing with it.
 * - `"none"`: everybody may who can reach the port; for local use.
 *
 * It judges headers first, so that what nobody knows is not read, and the body where that is signed. It answers nothing,
 * and keeps tokens and secrets out of all messages.
 */
import { signatureHeader } from "@helios-infra/core/WorkerProtocol"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { BlockList, isIP } from "node:net"
import * as idTokens from "./internal/idTokens.ts"
import * as signatures from "./internal/signatures.ts"

/** Who may ask for chunks. */
export type RequestAuth = IdToken | SharedSecret | Platform | None

/**
 * Whoever sends a token in `Authorization: Bearer` that Google signed for one of the accounts.
 *
 * For services that let everybody call them. Where Cloud Run checks tokens itself it takes their signature, so that nobody
 * can look at them again: use `"platform"` there, or let callers send a second token in `X-Serverless-Authorization`,
 * which Cloud Run then looks at instead.
 */
export interface IdToken {
  readonly type: "id-token"
  /** Who the token has to be for: the service's URL, or whatever callers are told to ask for; one of several will do. */
  readonly audience: string | ReadonlyArray<string>
  /** The email addresses of accounts that may, as `render@project.iam.gserviceaccount.com`. */
  readonly allowedAccounts: ReadonlyArray<string>
  /** Who may have signed. Default: Google's two names, `https://accounts.google.com` and the same without `https://`. */
  readonly issuers?: ReadonlyArray<string> | undefined
  /** Where the keys of those are, as a JSON Web Key Set. Default: Google's. */
  readonly jwksUrl?: string | undefined
}

/**
 * Whoever knows one of the secrets: sends it in `Authorization: Bearer`, or signs the request with it
 * (`signatureHeader` of core's `WorkerProtocol`), which whoever overhears it cannot use for long.
 */
export interface SharedSecret {
  readonly type: "shared-secret"
  /** At least one of at least 16 characters; several while an old one is changed for a new one. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

/**
 * Every request that arrives, because the platform has let only those through that may: Cloud Run for a service that was
 * deployed with `--no-allow-unauthenticated`, whose callers need the role `roles/run.invoker`.
 *
 * Nothing in a request proves that this was so. Where such a service is later opened to everybody, or its port can be
 * reached past the platform, everybody can run commands on it.
 */
export interface Platform {
  readonly type: "platform"
}

/** Everybody who can reach the port, with a name of this machine in `Host`, so that no web page can. For local use. */
export interface None {
  readonly type: "none"
  /** Whether the server may listen on an address that other machines can reach, for whatever names. Default: false. */
  readonly anywhere?: boolean | undefined
}

/** A choice that lets in nobody, or everybody. */
export class InvalidAuth extends Schema.TaggedError<InvalidAuth>()("InvalidAuth", { detail: Schema.String }) {
  override get message(): string {
    return `auth: ${this.detail}`
  }
}

/** A request may not have what it asks for. */
export class Denied extends Schema.TaggedError<Denied>()("Denied", {
  /** Whether it is not known who sent it (401), or known who may not (403). */
  reason: Schema.Literals(["Unknown", "Forbidden"]),
  /** What to do about it. */
  fix: Schema.String
}) {
  override get message(): string {
    return this.fix
  }
}

/** It could not be found out who sent a request: the keys of those who sign tokens did not come. */
export class KeysUnavailable extends Schema.TaggedError<KeysUnavailable>()("KeysUnavailable", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the keys to check tokens with could not be fetched: ${this.detail}`
  }
}

/** The headers of a request, by their lower-case names. */
export type Headers = Readonly<Record<string, string | undefined>>

/** What is left to be looked at once the body is there. */
export type BodyCheck = (body: Uint8Array) => Effect.Effect<void, Denied>

/** Judges requests. */
export interface Authenticator {
  /** Whether it may listen on addresses that other machines can reach. */
  readonly anywhere: boolean
  /** Judges the headers. */
  readonly check: (headers: Headers) => Effect.Effect<BodyCheck, Denied | KeysUnavailable>
}

const googleIssuers = ["https://accounts.google.com", "accounts.google.com"]
const googleKeys = "https://www.googleapis.com/oauth2/v3/certs"
const leastCharacters = 16

/** Makes what judges requests. */
export const make = (auth: RequestAuth): Effect.Effect<Authenticator, InvalidAuth> => {
  switch (auth.type) {
    case "id-token":
      return makeIdToken(auth)
    case "shared-secret":
      return makeSharedSecret(auth)
    case "platform":
      return Effect.succeed({ anywhere: true, check: () => Effect.succeed(nothingMore) })
    case "none":
      return Effect.succeed(
        auth.anywhere === true
          ? { anywhere: true, check: () => Effect.succeed(nothingMore) }
          : { anywhere: false, check: checkHost }
      )
  }
}

const nothingMore: BodyCheck = () => Effect.void

const invalid = (detail: string): InvalidAuth => new InvalidAuth({ detail })
const unknown = (fix: string): Denied => new Denied({ reason: "Unknown", fix })
const forbidden = (fix: string): Denied => new Denied({ reason: "Forbidden", fix })

/** What is in `Authorization: Bearer …`. */
const bearerOf = ({ authorization = "" }: Headers): string | undefined => {
  const credentials = /^bearer /i.test(authorization) ? authorization.slice("bearer ".length).trim() : ""
  return credentials === "" ? undefined : credentials
}

// ---
// tokens
// ---

const makeIdToken = Effect.fnUntraced(function* ({
  allowedAccounts,
  audience: given,
  issuers = googleIssuers,
  jwksUrl: place = googleKeys
}: IdToken): Effect.fn.Return<Authenticator, InvalidAuth> {
  const audience = typeof given === "string" ? [given] : given
  if (isBlank(audience)) return yield* invalid("audience is empty, so that a token for any service would do")
  if (isBlank(allowedAccounts)) return yield* invalid("allowedAccounts is empty, so that nobody may")
  if (isBlank(issuers)) return yield* invalid("issuers is empty, so that nobody can have signed a token")
  const jwksUrl = yield* Effect.fromResult(
    Result.try({ try: () => new URL(place), catch: () => invalid(`jwksUrl ${JSON.stringify(place)} is no URL`) })
  )
  const accounts = new Set(allowedAccounts.map((account) => account.toLowerCase()))
  const senderOf = idTokens.make({ audience, issuers, jwksUrl })

  const check = Effect.fnUntraced(function* (headers: Headers): Effect.fn.Return<BodyCheck, Denied | KeysUnavailable> {
    const token = bearerOf(headers)
    if (token === undefined) {
      return yield* unknown("send a token that Google signed as Authorization: Bearer <token>")
    }
    const { email, verified } = yield* Effect.mapError(senderOf(token), (error) =>
      error._tag === "KeysUnavailable"
        ? new KeysUnavailable({ detail: error.detail })
        : unknown(`the token does not count: ${error.detail}`)
    )
    if (email === undefined || !verified) {
      return yield* forbidden(
        "the token names no verified email address: ask for one that does (includeEmail, or format=full of a metadata server)"
      )
    }
    if (!accounts.has(email.toLowerCase())) {
      return yield* forbidden(`${email.slice(0, 200)} is none of the worker's allowedAccounts`)
    }
    return nothingMore
  })
  return { anywhere: true, check }
})

const isBlank = (values: ReadonlyArray<string>): boolean =>
  values.length === 0 || values.some((value) => value.trim() === "")

// ---
// secrets
// ---

const makeSharedSecret = Effect.fnUntraced(function* ({
  secrets
}: SharedSecret): Effect.fn.Return<Authenticator, InvalidAuth> {
  if (secrets.length === 0) return yield* invalid("secrets is empty, so that nobody may")
  if (secrets.some((secret) => Redacted.value(secret).trim().length < leastCharacters)) {
    return yield* invalid(`a secret has fewer than ${leastCharacters} characters: make one with openssl rand -hex 32`)
  }

  const check = Effect.fnUntraced(function* (headers: Headers): Effect.fn.Return<BodyCheck, Denied> {
    const header = headers[signatureHeader]
    if (header === undefined) {
      const secret = bearerOf(headers)
      if (secret !== undefined && signatures.isSecret(secret, secrets)) return nothingMore
      return yield* unknown(
        secret === undefined
          ? `send the worker's secret as Authorization: Bearer <secret>, or sign the request (${signatureHeader})`
          : "this is not the worker's secret"
      )
    }
    const signature = signatures.parse(header)
    if (signature === undefined) return yield* unknown(`${signatureHeader} is not t=<seconds>,v1=<hexadecimal>`)
    if (!signatures.isRecent(signature, yield* Clock.currentTimeMillis)) {
      return yield* unknown("the signature is too old, or not of this time yet: are the clocks right?")
    }
    return (body) =>
      signatures.matches(signature, body, secrets)
        ? Effect.void
        : Effect.fail(unknown("the signature is not that of this body with the worker's secret"))
  })
  return { anywhere: true, check }
})

// ---
// this machine
// ---

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")

/** Whether an address or a name is this machine's own, that no other one can reach. */
export const isLoopback = (host: string): boolean => {
  const address = host.toLowerCase().replace(/^\[(.*)\]$/, "$1")
  const family = isIP(address)
  return family === 0 ? address === "localhost" : loopback.check(address, family === 4 ? "ipv4" : "ipv6")
}

/** A page of the web can have a browser ask its own name's server, which can be this one: then `Host` has that name. */
const checkHost = ({ host = "" }: Headers): Effect.Effect<BodyCheck, Denied> =>
  isLoopback(host.replace(/:\d*$/, ""))
    ? Effect.succeed(nothingMore)
    : Effect.fail(forbidden('this worker answers only as localhost: to serve others, choose another auth than "none"'))
