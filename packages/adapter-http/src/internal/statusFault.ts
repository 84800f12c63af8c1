/**
 * Why a request got no answer of the worker's, by its status: what an HTTP server, a proxy or a platform before the
 * worker says, as a reason.
 */
import * as WorkerAnswer from "@helios-infra/core/WorkerAnswer"
import { Refused, Throttled, TimedOut, Transport, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as Duration from "effect/Duration"
import * as Headers from "effect/http/Headers"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { describe } from "./target.ts"

/** What is known of a request that ended this way. */
export interface Failed {
  readonly status: number
  readonly headers: Headers.Headers
  /** What the body says. */
  readonly words: string
  /** What to do about credentials that are not good. */
  readonly help: { readonly unknown: string; readonly forbidden: string } | undefined
  /** How long it took, in milliseconds. */
  readonly elapsedMs: number
  /** How long it can take at most, in milliseconds, where that is known. */
  readonly maxDurationMs: number | undefined
  /** Now, in milliseconds since the epoch. */
  readonly now: number
  /** Where it was sent. */
  readonly url: URL
}

const headerOf = (headers: Headers.Headers, name: string): string | undefined =>
  Option.getOrUndefined(Headers.get(headers, name))

/** How long to wait, where the answer says so: in seconds, or until a date. */
const retryAfterMs = ({ headers, now }: Failed): number | undefined => {
  const parsed = Headers.parseRetryAfter(headerOf(headers, "retry-after") ?? "")
  if (Result.isFailure(parsed)) return undefined
  // It may be longer than any time is.
  return Math.min(Math.ceil(Duration.toMillis(Headers.retryAfterDelay(parsed.success, now))), Number.MAX_SAFE_INTEGER)
}

/**
 * Whether a request that took so long was ended by the platform's limit. Platforms differ in what they say then, and
 * some say nothing; a clock that is off by a hundredth still counts.
 */
export const isAtLimit = (elapsedMs: number, maxDurationMs: number | undefined): boolean =>
  maxDurationMs !== undefined && elapsedMs >= maxDurationMs * 0.99

/** What to do about secrets that are shared with the worker. */
const sharedHelp = {
  unknown: "it does not know these credentials: set auth to what the worker expects",
  forbidden: "these credentials may not call it: allow them to, or set others"
}

/** The reason for which it failed. */
export const reasonOf = (failed: Failed): WorkerReason => {
  const { elapsedMs, headers, help = sharedHelp, maxDurationMs, status, url } = failed
  const from = describe(url)
  const words = failed.words.trim()
  const said = `${from} answered ${status}${words === "" ? "" : `: ${WorkerAnswer.excerpt(words)}`}`
  const refused = (why: Refused["why"], fix: string) => new Refused({ why, fix: `${fix} (${said})` })
  const transport = () => new Transport({ cause: new Error(said) })
  const timedOut = () => new TimedOut({ limit: "platform", afterMs: Math.round(elapsedMs) })

  if (status === 429 || status === 503) {
    const retryAfter = retryAfterMs(failed)
    return new Throttled(retryAfter === undefined ? {} : { retryAfterMs: retryAfter })
  }
  if (status < 400) {
    const location = URL.parse(headerOf(headers, "location") ?? "", url.href)
    const to = location === null ? "" : ` to ${describe(location)}`
    const fix = `it redirects${to}, which is not followed, for credentials would go there too: set url to where the worker is, and credentials that need no sign-in`
    return refused("NotFound", fix)
  }
  switch (status) {
    case 401:
      return refused("Unauthorized", help.unknown)
    case 403:
      return refused("Unauthorized", help.forbidden)
    case 404:
    case 410:
      return refused("NotFound", "there is no worker at this address: set url, with its path")
    case 413:
      return refused("TooLarge", "the request is larger than it takes: make the job's env smaller, or raise its limit")
    case 405:
    case 406:
    case 415:
      return refused("Unsupported", "it does not take what adapters send, a POST of JSON: set url to a worker's")
    case 408:
      return transport()
    case 504:
    case 524:
      return timedOut()
    case 500:
      return new WorkerLost({ detail: said })
    default:
      if (status < 500) return refused("InvalidJob", "it does not take this request")
      return isAtLimit(elapsedMs, maxDurationMs) ? timedOut() : transport()
  }
}

/** Certificates that no further attempt will make right. */
const untrusted: ReadonlySet<string> = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "INVALID_CA",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
])

/** Why a request could not be sent, or brought no answer at all. */
export const reasonOfCause = (cause: unknown, url: URL): WorkerReason => {
  const error = cause instanceof Error ? cause : new Error(String(cause))
  const code = "code" in error && typeof error.code === "string" ? error.code : ""
  if (untrusted.has(code)) {
    const fix = `the certificate of ${describe(url)} is not trusted: set ca to that of its authority, or give it a valid one (${code}: ${error.message})`
    return new Refused({ why: "Unauthorized", fix })
  }
  return new Transport({ cause: new Error(`the request to ${describe(url)} failed`, { cause: error }) })
}
