/**
 * URLs for who has no credentials, signed by the SDK: with the key of a service account where there is one, else by
 * Google, whom an account can ask to sign for it.
 */
import type { File } from "@google-cloud/storage"
import { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { silence } from "./requests.ts"
import { ofSignIn, reasonOf } from "./serviceFault.ts"

const advice =
  "sign with a service account: give its key (credentials, keyFilename), or run as one that has the role " +
  "roles/iam.serviceAccountTokenCreator on itself, so that Google signs for it"

/** A URL for one file, from a time in milliseconds on, for so many seconds. */
export const signedUrl = Effect.fnUntraced(function* (
  file: File,
  key: string,
  method: "GET" | "PUT",
  now: number,
  seconds: number
): Effect.fn.Return<string, ArtifactError> {
  const { authClient } = file.storage
  const failed = (reason: ArtifactError["reason"], error: unknown) =>
    new ArtifactError({ key, reason, cause: new Error(`${String(error)}; ${advice}`) })
  yield* Effect.tryPromise({
    try: () => authClient.getClient(),
    catch: (error) => failed(reasonOf(ofSignIn(error), false), error)
  })
  // Users, and accounts of other clouds that stand for no service account, can sign nothing.
  const { client_email } = yield* Effect.tryPromise({
    try: () => authClient.getCredentials(),
    catch: (error) => failed(ofSignIn(error).signIn === "unanswered" ? "Unavailable" : "Unsupported", error)
  })
  if (client_email === undefined) {
    return yield* failed("Unsupported", "these credentials belong to no service account")
  }
  const sign = Effect.tryPromise({
    try: () =>
      file.getSignedUrl({
        version: "v4",
        action: method === "GET" ? "read" : "write",
        accessibleAt: now,
        expires: now + seconds * 1000
      }),
    catch: (error) => failed("Unavailable", error)
  })
  // The SDK tells the words and not the status: what it was is asked of who signs.
  const whether = Effect.tryPromise({
    try: () => authClient.sign(""),
    catch: (error) => failed(reasonOf(ofSignIn(error), false), error)
  })
  const [url] = yield* Effect.catch(sign, () => Effect.andThen(whether, sign)).pipe(
    Effect.timeoutOrElse({
      duration: silence,
      orElse: () => Effect.fail(failed("Unavailable", `no signature came for ${Duration.format(silence)}`))
    })
  )
  return url
})
