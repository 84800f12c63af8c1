/**
 * Why a call did not get as far as an answer of the function: what the service, the SDK or the network said, as a reason.
 *
 * Errors are told apart by name and status, never by class: a client of the caller's own can come from another copy of
 * the SDK. What is not known here is taken for trouble on the way, and tried again.
 */
import * as Predicate from "effect/Predicate"
import { Refused, Throttled, Transport, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import { describe, type Target } from "./target.ts"

/** How long to wait for a function that is not ready: being created, updated, restored, or given its network. */
const notReadyMs = 5000

/** More calls than the account, the function or the service takes: somebody has to end first. */
const throttling = new Set([
  "TooManyRequestsException",
  "ThrottlingException",
  "Throttling",
  "ThrottledException",
  "RequestLimitExceeded",
  "RequestThrottledException",
  "ServiceQuotaExceededException",
  "EC2ThrottledException",
  "ENILimitReachedException",
  "SubnetIPAddressLimitReachedException"
])

const notReady = new Set([
  "ResourceConflictException",
  "ResourceNotReadyException",
  "ENINotReadyException",
  "SnapStartNotReadyException",
  "CodeArtifactUserPendingException"
])

const unauthorized = new Set([
  "AccessDeniedException",
  "AccessDenied",
  "UnrecognizedClientException",
  "InvalidClientTokenId",
  "ExpiredTokenException",
  "ExpiredToken",
  "InvalidSignatureException",
  "SignatureDoesNotMatch",
  "IncompleteSignatureException",
  "MissingAuthenticationTokenException",
  "MissingAuthenticationToken",
  "OptInRequired",
  "CredentialsProviderError",
  "TokenProviderError"
])

const tooLarge = new Set([
  "RequestTooLargeException",
  "SerializedRequestEntityTooLargeException",
  "RequestEntityTooLargeException"
])

/** The function cannot run as it is deployed, however often it is called. */
const misconfigured = new Set([
  "InvalidRuntimeException",
  "InvalidZipFileException",
  "InvalidSubnetIDException",
  "InvalidSecurityGroupIDException",
  "ModeNotSupportedException",
  "RecursiveInvocationException",
  "CodeArtifactUserDeletedException",
  "CodeArtifactUserFailedException"
])

/** Its own permissions are not enough. */
const roleLacks = new Set([
  "KMSAccessDeniedException",
  "KMSDisabledException",
  "KMSInvalidStateException",
  "KMSNotFoundException",
  "EC2AccessDeniedException"
])

/** It could not begin this time. */
const didNotBegin = new Set([
  "EFSIOException",
  "EFSMountConnectivityException",
  "EFSMountFailureException",
  "EFSMountTimeoutException",
  "S3FilesMountConnectivityException",
  "S3FilesMountFailureException",
  "S3FilesMountTimeoutException",
  "SnapStartException",
  "SnapStartRegenerationFailureException",
  "SnapStartTimeoutException",
  "EC2UnexpectedException"
])

const textAt = (error: unknown, key: string): string | undefined =>
  Predicate.hasProperty(error, key) && Predicate.isString(error[key]) ? error[key] : undefined

const metadataAt = (error: unknown, key: string): unknown =>
  Predicate.hasProperty(error, "$metadata") && Predicate.hasProperty(error.$metadata, key)
    ? error.$metadata[key]
    : undefined

/** The id under which the service knows a call that it refused. */
export const requestIdOf = (error: unknown): string | undefined => {
  const id = metadataAt(error, "requestId")
  return Predicate.isString(id) ? id : undefined
}

/** The reason for which a call failed. */
export const reasonOf = (error: unknown, target: Target): WorkerReason => {
  const name = textAt(error, "name") ?? ""
  const message = textAt(error, "message") ?? ""
  const said = message === "" || message === name ? name : `${name}: ${message}`
  const status = metadataAt(error, "httpStatusCode")
  const refused = (why: Refused["why"], fix: string) => new Refused({ why, fix: `${fix} (${said})` })

  if (throttling.has(name) || status === 429) return throttled(error)
  if (notReady.has(name)) return new Throttled({ retryAfterMs: notReadyMs })
  // The SDK has set its clock by the answer: the next call is signed right.
  if (metadataAt(error, "clockSkewCorrected") === true) return new Transport({ cause: error })
  if (name === "ResourceNotFoundException" || name === "NoPublishedVersionException") {
    const fix = `there is no ${describe(target)}: deploy it, or set functionName, qualifier and region`
    return refused("NotFound", fix)
  }
  if (name === "CredentialsProviderError" || name === "TokenProviderError") {
    const fix =
      "there are no AWS credentials: set the option credentials, the environment's AWS_ variables or a profile"
    return refused("Unauthorized", fix)
  }
  if (roleLacks.has(name)) {
    return refused("Unauthorized", `${describe(target)} may not use what it needs to run: change its role or its key`)
  }
  if (unauthorized.has(name) || status === 401 || status === 403) {
    const fix = `these AWS credentials may not call ${describe(target)}: they need lambda:InvokeFunction on it, and must not have expired`
    return refused("Unauthorized", fix)
  }
  if (tooLarge.has(name) || status === 413) {
    return refused("TooLarge", "the request is larger than the 6 MB that Lambda takes: make the job's env smaller")
  }
  if (misconfigured.has(name)) return refused("Unsupported", `${describe(target)} cannot run: deploy it anew`)
  if (didNotBegin.has(name)) return new WorkerLost({ detail: `${describe(target)} could not begin (${said})` })
  if (name === "InvalidParameterValueException" || name === "InvalidRequestContentException") {
    return refused(
      "InvalidJob",
      `Lambda does not take the call to ${describe(target)}: set functionName and qualifier right`
    )
  }
  if (message.startsWith("Region is missing")) {
    return refused("NotFound", "no AWS region is set: set the option region, or AWS_REGION")
  }
  return new Transport({ cause: error })
}

/** Throttled, with the time to wait that the answer names in seconds. */
const throttled = (error: unknown): Throttled => {
  const seconds = Number(textAt(error, "retryAfterSeconds") ?? "")
  return new Throttled(seconds > 0 ? { retryAfterMs: Math.ceil(seconds * 1000) } : {})
}
