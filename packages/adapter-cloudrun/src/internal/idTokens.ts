/**
 * Google's ID tokens as credentials: one at a time for all attempts, kept until shortly before it expires, and another
 * one for who was told that it is not good.
 *
 * Where they come from is `google-auth-library`'s affair: a key, what `gcloud` left here, the metadata server of the
 * machine that this runs on.
 */
import type * as Credentials from "@helios-infra/adapter-http/Credentials"
import { Refused, Transport, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { GoogleAuth, type IdTokenProvider, JWT } from "google-auth-library"

/** How long before its end a token is not used any more: requests take time to arrive, and clocks differ. */
const margin: Duration.Duration = Duration.minutes(5)

/** Whose tokens they are. */
export interface Options {
  /** Who they are for. */
  readonly audience: string
  /** What gives them. */
  readonly provider: Effect.Effect<IdTokenProvider, WorkerReason>
  /** The header that they go into. */
  readonly header: "authorization" | "x-serverless-authorization"
}

/** A token that was given. */
interface Token {
  readonly text: string
  /** In milliseconds since the epoch. */
  readonly expiresMs: number
}

const decodeClaims = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ exp: Schema.Finite })))

/** When a token expires; it is not checked, for whoever gets it does that. */
const expiryOf = (token: string): number | undefined => {
  const [, payload = ""] = token.split(".")
  const claims = Option.flatMap(Result.getSuccess(Base64Url.decodeString(payload)), decodeClaims)
  return Option.isSome(claims) ? claims.value.exp * 1000 : undefined
}

const statusOf = (error: unknown): number | undefined => {
  if (!Predicate.hasProperty(error, "response")) return undefined
  const { response } = error
  return Predicate.hasProperty(response, "status") && Predicate.isNumber(response.status) ? response.status : undefined
}

const noCredentials =
  "there are no Google credentials here: run gcloud auth application-default login, set GOOGLE_APPLICATION_CREDENTIALS or keyFile to the key of a service account, or run where a metadata server is, on Google Cloud"

/** Why there is no token. What the library's errors say is all that tells them apart where no answer came. */
const reasonOf = (error: unknown): WorkerReason => {
  const said = Predicate.isError(error) ? error.message : String(error)
  const refused = (fix: string) => new Refused({ why: "Unauthorized", fix: `${fix} (${said})` })
  const status = statusOf(error)
  if (status !== undefined) {
    const isTheirs = status >= 500 || status === 408 || status === 429
    return isTheirs
      ? new Transport({
          cause: new Error(`no ID token came, the server that gives them answered ${status}`, { cause: error })
        })
      : refused("these Google credentials get no ID token: use those of a service account that exists and is enabled")
  }
  if (/could not load the default credentials/i.test(said)) return refused(noCredentials)
  if (/cannot fetch ID token in this environment/i.test(said)) {
    return refused("these Google credentials are of a kind that gets no ID tokens: use a service account's")
  }
  if (/credential file|ENOENT|EACCES|EISDIR|JSON|PEM|private key|DECODER|No key or keyFile/i.test(said)) {
    return refused("the file with Google credentials cannot be used: set it to the key of a service account, as JSON")
  }
  return new Transport({
    cause: new Error("no ID token came, for where they are given was not reached", { cause: error })
  })
}

/** What the tools of Google take: the environment, what `gcloud` left here, the metadata server. */
export const fromEnvironment: Effect.Effect<IdTokenProvider, WorkerReason> = Effect.tryPromise({
  // A new one each time: it remembers for good that it found nothing. It would run gcloud and ask around for the project,
  // which has no part in ID tokens.
  try: () =>
    new GoogleAuth({ projectId: "not-asked-for" }).getIdTokenClient("").then(({ idTokenProvider }) => idTokenProvider),
  catch: reasonOf
})

/** The key of a service account. */
export const fromKeyFile = (keyFile: string): Effect.Effect<JWT> => Effect.sync(() => new JWT({ keyFile }))

const help = (audience: string): Credentials.Credentials["help"] => ({
  unknown: `Cloud Run does not accept the ID token: it has to be for the service's own URL or one of its custom audiences, and audience is ${audience}`,
  forbidden:
    "the account that calls may not: give it the role roles/run.invoker on the service, and let the service's ingress take calls from here"
})

/** The credentials. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Credentials.Credentials> {
  const { audience, header } = options
  const gate = yield* Semaphore.make(1)
  let provider: IdTokenProvider | undefined
  let current: Token | undefined

  const fetch = Effect.gen(function* () {
    const from = provider ?? (yield* options.provider)
    const text = yield* Effect.tryPromise({ try: () => from.fetchIdToken(audience), catch: reasonOf })
    provider = from
    const expiresMs = expiryOf(text)
    if (expiresMs === undefined) {
      return yield* new Transport({ cause: new Error("what came as an ID token is none") })
    }
    return { text, expiresMs }
  })

  const headerOf = ({ text }: Token): Credentials.Headers => ({ [header]: `Bearer ${text}` })

  const headers: Credentials.Credentials["headers"] = ({ rejected }) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      // What was rejected here may be replaced by now: many ask at once.
      const usable =
        current !== undefined && rejected?.[header] !== headerOf(current)[header] && current.expiresMs > now
          ? current
          : undefined
      if (usable !== undefined && usable.expiresMs - Duration.toMillis(margin) > now) return headerOf(usable)
      const fetched = yield* Effect.catch(fetch, (reason) =>
        // One that still counts will do while no other can be had.
        usable !== undefined && reason._tag === "Transport" ? Effect.succeed(usable) : Effect.fail(reason)
      )
      current = fetched
      return headerOf(fetched)
    }).pipe((asking) => gate.withPermit(asking))

  return { headers, renewable: true, secret: [header], help: help(audience) }
})
