/**
 * What the service, the credentials or the network said, and as which reason of an `ArtifactError` a caller sees it.
 *
 * Keeps the words and the status of what went wrong, and nothing of the request: that has the token and the bytes.
 */
import { ArtifactError } from "@helios-infra/core/ArtifactStorage"
import * as Data from "effect/Data"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** A request that did not give what it was made for. */
export class Fault extends Data.TaggedError("Fault")<{
  /** The HTTP status; none where no answer came. */
  readonly status?: number | undefined
  /** What the service calls it: `"notFound"`, `"rateLimitExceeded"`, …, or says of it where it calls it nothing. */
  readonly code: string
  /** Whether it can help to ask again. */
  readonly transient: boolean
  /** Where nothing was asked, because there was no token to ask with: whether one was refused, or nobody gave any. */
  readonly signIn?: "refused" | "unanswered" | undefined
  readonly cause: Error
}> {}

const decodeBody = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      error: Schema.Struct({
        message: Schema.optionalKey(Schema.String),
        errors: Schema.optionalKey(Schema.Array(Schema.Struct({ reason: Schema.optionalKey(Schema.String) })))
      })
    })
  )
)

/** Statuses that go away. */
const transientStatuses = new Set([408, 429, 500, 502, 503, 504])

/** Some of what is answered with 403 is no refusal: too much was asked at once, or is kept. */
const isLimit = (code: string): boolean => /limitExceeded|rate limit/i.test(code)
const isQuota = (code: string): boolean => /quota/i.test(code)

/** An answer that is not the one that is wanted. */
export const ofAnswer = (asked: string, status: number, body: string): Fault => {
  const said = Option.getOrUndefined(decodeBody(body))?.error
  const message = said?.message ?? body.trim().slice(0, 500)
  const reason = said?.errors?.[0]?.reason ?? ""
  // Downloads are refused in plain words.
  const code = said === undefined ? message : reason
  const words = [reason === "" ? "" : ` (${reason})`, message === "" ? "" : `: ${message}`].join("")
  return new Fault({
    status,
    code,
    transient: transientStatuses.has(status) || isLimit(code),
    cause: new Error(`${asked} was answered with ${status}${words}`)
  })
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** No answer: the connection was refused, broke, or nothing came for too long. */
export const ofConnection = (asked: string, error: unknown): Fault =>
  new Fault({ code: "", transient: true, cause: new Error(`${asked}: ${messageOf(error)}`) })

/** An answer that is none, or not what was asked for. */
export const ofNonsense = (asked: string, why: string): Fault =>
  new Fault({ code: "", transient: true, cause: new Error(`${asked}: ${why}`) })

/**
 * There are no credentials, they are not valid, or who gives tokens for them does not answer. The SDK has tried the last
 * again by itself.
 */
export const ofSignIn = (error: unknown): Fault => {
  const status =
    Predicate.hasProperty(error, "response") &&
    Predicate.hasProperty(error.response, "status") &&
    Predicate.isNumber(error.response.status)
      ? error.response.status
      : undefined
  const unanswered = status === undefined ? isNetwork(error) : transientStatuses.has(status)
  return new Fault({
    status,
    code: "",
    signIn: unanswered ? "unanswered" : "refused",
    transient: false,
    cause: new Error(`no token could be had for the credentials: ${messageOf(error)}`)
  })
}

/** Codes of the system's, but not about a file, and not of a library's. */
const isNetwork = (error: unknown): boolean =>
  Predicate.hasProperty(error, "code") &&
  /^E(?!RR_)[A-Z]/.test(String(error.code)) &&
  !Predicate.hasProperty(error, "path")

/** Whether it is the bucket that is not there. The service says so in words only. */
export const isBucketMissing = ({ cause, status }: Fault): boolean =>
  status === 404 && /bucket does not exist/i.test(cause.message)

/** Whether an artifact that was sent did not arrive as it was. The service says so in words only. */
export const isCorrupt = ({ cause, status }: Fault): boolean =>
  status === 400 && /(crc32c|md5|hash|checksum)/i.test(cause.message)

/** Whether an upload is not there any more: somebody has ended it, or an answer that nobody heard has. */
export const isUploadGone = ({ status }: Fault): boolean => status === 404 || status === 410

/** The reason. A condition that was not met is `Exists` for who writes, and `Changed` for who reads. */
export const reasonOf = (fault: Fault, writes: boolean): ArtifactError["reason"] => {
  const { code, signIn, status } = fault
  if (signIn !== undefined) return signIn === "refused" ? "Unauthorized" : "Unavailable"
  if (status === 401 || (status === 403 && !isLimit(code) && !isQuota(code))) return "Unauthorized"
  if (status === 412) return writes ? "Exists" : "Changed"
  if (status === 413) return "TooLarge"
  if (isCorrupt(fault)) return "Corrupt"
  if (status === 404 && !writes && !isBucketMissing(fault)) return "NotFound"
  return "Unavailable"
}

/** The error about a key. */
export const errorOf = (key: string, fault: Fault, writes: boolean): ArtifactError =>
  new ArtifactError({ key, reason: reasonOf(fault, writes), cause: fault.cause })

/** Whether a range begins at the end or after it. */
export const isBeyondEnd = ({ status }: Fault): boolean => status === 416
