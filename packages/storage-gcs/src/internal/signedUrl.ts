/**
 * URLs for who has no credentials, signed by the SDK: with the key of a service account where there is one, else by
 * Google, whom an account can ask to sign for it.
 */
import type { File } from "@google-cloud/storage"
import { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import * as Effect from "effect/Effect"
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
  // Users, and accounts of other clouds that stand for no service account, can sign nothing.
  const { client_email } = yield* Effect.tryPromise({
    try: () => authClient.getCredentials(),
    catch: (error) => failed("Unsupported", error)
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
    catch: (error) => error
  })
  const [url] = yield* sign.pipe(
    Effect.catch((error) =>
      // The SDK tells the words and not the status: what it was is asked of who signs.
      Effect.tryPromise({
        try: () => authClient.sign(""),
        catch: (signing) => failed(reasonOf(ofSignIn(signing), false), signing)
      }).pipe(
        Effect.andThen(sign),
        Effect.mapError((again) => (again instanceof ArtifactError ? again : failed("Unavailable", error)))
      )
    )
  )
  return url
})
