/**
 * What the service, the SDK or the network said, as the reason of an `ArtifactError`.
 *
 * Errors are told apart by name and status, never by class: a client of the caller's own can come from another copy of
 * the SDK. What is not known here is trouble on the way, which the SDK has tried to get over before it told.
 */
import { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import * as Predicate from "effect/Predicate"

/** What an error calls itself. */
export const nameOf = (cause: unknown): string =>
  Predicate.hasProperty(cause, "name") && Predicate.isString(cause.name) ? cause.name : ""

/** The HTTP status that it came with. */
export const statusOf = (cause: unknown): number | undefined =>
  Predicate.hasProperty(cause, "$metadata") &&
  Predicate.hasProperty(cause.$metadata, "httpStatusCode") &&
  Predicate.isNumber(cause.$metadata.httpStatusCode)
    ? cause.$metadata.httpStatusCode
    : undefined

const unauthorized = new Set([
  "AccessDenied",
  "AccountProblem",
  "AllAccessDisabled",
  "AuthorizationHeaderMalformed",
  "CredentialsProviderError",
  "ExpiredToken",
  "InvalidAccessKeyId",
  "InvalidToken",
  "RequestTimeTooSkewed",
  "SignatureDoesNotMatch",
  "TokenProviderError"
])

/** A byte was another one when it arrived. */
const corrupt = new Set(["BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"])

/** There is such a thing, but not that: an artifact is only missing where its key is. */
const elsewhere = new Set(["NoSuchBucket", "NoSuchUpload"])

/** Whether an artifact that was sent did not arrive as it was, so that it helps to send it again. */
export const isCorrupt = (cause: unknown): boolean => corrupt.has(nameOf(cause))

/** Whether somebody else was at work on the same key, so that nothing is known of it. */
export const isConflict = (cause: unknown): boolean => nameOf(cause) === "ConditionalRequestConflict"

/** Whether an upload is not there any more: somebody has ended it, or an answer that nobody heard has. */
export const isUploadGone = (cause: unknown): boolean => nameOf(cause) === "NoSuchUpload"

/** The reason. A condition that was not met is `Exists` for who writes, and `Changed` for who reads. */
export const reasonOf = (cause: unknown, writes: boolean): ArtifactError["reason"] => {
  const name = nameOf(cause)
  const status = statusOf(cause)
  if (unauthorized.has(name) || status === 401 || status === 403) return "Unauthorized"
  if (corrupt.has(name)) return "Corrupt"
  if (name === "EntityTooLarge" || status === 413) return "TooLarge"
  if (name === "KeyTooLongError") return "InvalidKey"
  if (status === 412 || isConflict(cause)) return writes ? "Exists" : "Changed"
  if (status === 404 && !elsewhere.has(name) && !writes) return "NotFound"
  return "Unavailable"
}

/** The error about a key. */
export const errorOf = (key: string, cause: unknown, writes: boolean): ArtifactError =>
  new ArtifactError({ key, reason: reasonOf(cause, writes), cause })
