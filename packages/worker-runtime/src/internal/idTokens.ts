/**
 * Says who sent a token that Google signed (OpenID Connect), if it did, and if it is for this worker. Keys are fetched
 * from Google when the first token comes, kept, and fetched again for a key that is not known yet, but not all the time.
 * Whether that account may do anything is not judged here.
 */
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { JOSEError, JWKSInvalid, JWKSTimeout } from "jose/errors"
import { createRemoteJWKSet } from "jose/jwks/remote"
import { jwtVerify } from "jose/jwt/verify"

/** Whose tokens count. */
export interface Options {
  readonly audience: ReadonlyArray<string>
  readonly issuers: ReadonlyArray<string>
  readonly jwksUrl: URL
}

/** A token that does not count. */
class InvalidToken extends Data.TaggedError("InvalidToken")<{ readonly detail: string }> {}

/** Nobody can say whether it counts: the keys could not be fetched. */
class KeysUnavailable extends Data.TaggedError("KeysUnavailable")<{ readonly detail: string }> {}

/** What a token that counts says of its sender. */
interface Sender {
  readonly email: string | undefined
  readonly verified: boolean
}

/** Reads tokens. */
export type IdTokens = (token: string) => Effect.Effect<Sender, InvalidToken | KeysUnavailable>

/** How far clocks may be apart. */
const tolerance = Duration.seconds(10)

// How long keys are asked for, how long they are kept, and how long after that nobody can make them be fetched again.
const fetchTimeout = Duration.seconds(5)
const keptFor = Duration.minutes(10)
const cooldown = Duration.seconds(30)

/** Google's, and never one that is made with the public key, or with none. */
const algorithms = ["RS256"]

/** The end of a token that Cloud Run has checked, in place of its signature. */
const removedSignature = ".SIGNATURE_REMOVED_BY_GOOGLE"

/** Makes a reader of tokens. */
export const make = ({ audience, issuers, jwksUrl }: Options): IdTokens => {
  const keys = createRemoteJWKSet(jwksUrl, {
    timeoutDuration: Duration.toMillis(fetchTimeout),
    cacheMaxAge: Duration.toMillis(keptFor),
    cooldownDuration: Duration.toMillis(cooldown)
  })
  return Effect.fnUntraced(function* (token): Effect.fn.Return<Sender, InvalidToken | KeysUnavailable> {
    if (token.endsWith(removedSignature)) return yield* new InvalidToken({ detail: alreadyChecked })
    const currentDate = DateTime.toDateUtc(yield* DateTime.now)
    const { payload } = yield* Effect.tryPromise({
      try: () =>
        jwtVerify(token, keys, {
          algorithms,
          audience: [...audience],
          issuer: [...issuers],
          clockTolerance: Duration.toSeconds(tolerance),
          requiredClaims: ["exp", "iat"],
          currentDate
        }),
      catch: (error) => (isAboutKeys(error) ? new KeysUnavailable({ detail: textOf(error) }) : invalid(error))
    })
    const { email, email_verified: verified } = payload
    return { email: typeof email === "string" ? email : undefined, verified: verified === true }
  })
}

const alreadyChecked =
  'Cloud Run has checked this token and taken its signature: use { type: "platform" } where it lets nobody else in, or send a token for this check in Authorization and the one for Cloud Run in X-Serverless-Authorization'

/** Fetching fails with errors of the platform's, with two of the library's own, or with its most general one. */
const isAboutKeys = (error: unknown): boolean =>
  !(error instanceof JOSEError) ||
  error instanceof JWKSInvalid ||
  error instanceof JWKSTimeout ||
  error.code === JOSEError.code

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const invalid = (error: unknown): InvalidToken => new InvalidToken({ detail: textOf(error) })
