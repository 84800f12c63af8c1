/**
 * Where events are posted, how they are signed, which ones, and for how long it is tried.
 *
 * An endpoint is configuration of whoever runs jobs; nothing in a job file makes one. Where users set the URL, let the
 * client refuse private addresses as well (`WebhookClient`).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as standard from "./internal/standardWebhooks.ts"
import * as JobFeed from "./JobFeed.ts"
import { types, type WebhookEventType } from "./WebhookEvent.ts"

/** An endpoint cannot be used, or the endpoints of a job are not known. */
export class EndpointError extends Schema.TaggedError<EndpointError>()("EndpointError", {
  /** The endpoint's id. */
  endpoint: Schema.String,
  /** What is wrong, and what to do about it. */
  fix: Schema.String
}) {
  override get message(): string {
    return `webhook endpoint ${JSON.stringify(this.endpoint)}: ${this.fix}`
  }
}

/** How long an endpoint is tried that does not take an event. */
export interface Retry {
  /** The first pause; doubles each time, give or take 20 %. Default: 1 second. */
  readonly delay?: Duration.Input | undefined
  /** The longest pause. Default: 10 minutes. */
  readonly maxDelay?: Duration.Input | undefined
  /** How long an endpoint's `Retry-After` is obeyed at most. Default: 1 hour. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /**
   * How long an endpoint may fail, without taking a single event of the job, before the event is given up. Those after it
   * are tried once each from then on, until it takes one. A process that begins anew tries for `maxDelay` first, for nobody
   * may have tried before. Default: 24 hours.
   */
  readonly giveUpAfter?: Duration.Input | undefined
}

/** Where events are posted. */
export interface Endpoint {
  /** Names it in cursors and reports, 1 to 100 characters: keep it when the URL or the secrets change. */
  readonly id: string
  /** An https URL; http for this machine (`localhost`, 127.0.0.1, ::1), and elsewhere with `allowHttp`. */
  readonly url: string
  /**
   * What signs the events, each `whsec_…` (`WebhookSignature.newSecret` makes one) and of this endpoint alone. To change it
   * for another, give both until all receivers know the new one: events then have a signature of each.
   */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** What is sent. Default: every type but `job.progress`. */
  readonly types?: ReadonlyArray<WebhookEventType> | undefined
  /** How much time there is between two `job.progress` of a job at least, from 1 second. Default: 5 seconds. */
  readonly progressEvery?: Duration.Input | undefined
  /**
   * What may hold secrets, and is left out unless it is asked for: `messages` of errors, with the last of what commands
   * printed, and where the `outputs` of accepted chunks are (never the query of a URL, which signs it).
   */
  readonly include?: { readonly messages?: boolean | undefined; readonly outputs?: boolean | undefined } | undefined
  /** Headers beside those of the protocol, which they cannot replace; secret ones as `Redacted`. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
  /** How long an answer may take, from the beginning of the connection. Default: 15 seconds. */
  readonly timeout?: Duration.Input | undefined
  readonly retry?: Retry | undefined
  /** How many requests there are at once at most, those of all jobs together. Default: 8. */
  readonly concurrency?: number | undefined
  /** Whether events may go through the network unencrypted: they are signed, but anybody can read them. Default: no. */
  readonly allowHttp?: boolean | undefined
  /**
   * What happened before is not sent: milliseconds since the epoch. Default, for endpoints in a list: when the endpoint was
   * first seen, so that it does not get the history of all jobs; for those of a function: none.
   */
  readonly since?: number | undefined
}

/** An endpoint that was checked, with everything filled in. */
export interface Ready {
  readonly id: string
  readonly url: URL
  /** Changes when the URL does, and tells nothing of it. */
  readonly urlHash: string
  readonly keys: ReadonlyArray<standard.Key>
  readonly headers: Readonly<Record<string, string>>
  /** The names of headers that are secret. */
  readonly secretHeaders: ReadonlyArray<string>
  readonly feed: JobFeed.Options
  readonly timeout: Duration.Duration
  readonly delayMs: number
  readonly maxDelayMs: number
  readonly maxRetryAfterMs: number
  readonly giveUpAfterMs: number
  readonly concurrency: number
  readonly since: number | undefined
}

const defaultTypes: ReadonlyArray<WebhookEventType> = types.filter((type) => type !== "job.progress")

/** Whether a URL leads to this machine, whatever its name servers say. */
const isLoopback = ({ hostname }: URL): boolean =>
  hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname)

/** Those of the protocol, and those that are the client's affair. */
const reserved: ReadonlySet<string> = new Set([
  ...Object.values(standard.headerNames),
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const valueOf = (header: string | Redacted.Redacted): string =>
  Redacted.isRedacted(header) ? Redacted.value(header) : header

// Plain JavaScript can hold what the types do not allow.

const isList = (value: unknown): boolean => Array.isArray(value)

const isTime = (input: Duration.Input | undefined): boolean =>
  input === undefined || (!Number.isNaN(input) && Option.isSome(Duration.fromInput(input)))

const issueOf = (endpoint: Endpoint, url: URL | null): string | undefined => {
  if (typeof endpoint.id !== "string" || !/^[^\p{Cc}\p{Cs}]{1,100}$/u.test(endpoint.id))
    return "its id must have 1 to 100 characters, none a control character"
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return "its url must be an https URL"
  if (url.username !== "" || url.password !== "") {
    return "its url holds a password: send it in a header, as headers: { authorization: Redacted.make(…) }"
  }
  if (url.protocol === "http:" && endpoint.allowHttp !== true && !isLoopback(url)) {
    return "its url must be https, for anybody on the way can read what is sent by http; if that may be, set allowHttp"
  }
  if (!isList(endpoint.secrets) || endpoint.secrets.length === 0)
    return "it needs a list of secrets, with one at least: without one its receiver could not know who sends"
  const wrong = endpoint.secrets.findIndex((secret) => !standard.isSecret(Redacted.value(secret)))
  if (wrong >= 0) return `secret ${wrong + 1} of it ${standard.secretRule}`
  if (endpoint.types !== undefined && !isList(endpoint.types)) return "its types must be a list"
  const stray = (endpoint.types ?? []).find((type) => !types.includes(type))
  if (stray !== undefined) return `there is no event of type ${JSON.stringify(stray)}: there are ${types.join(", ")}`
  for (const [name, value] of Object.entries(endpoint.headers ?? {})) {
    if (reserved.has(name.toLowerCase())) return `its header ${name} is set by the protocol: leave it out`
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      return `its header ${JSON.stringify(name)} has a name that no header can have`
    if (!/^[\t\x20-\x7e]*$/.test(valueOf(value))) return `its header ${name} holds a character that no header can hold`
  }
  const { concurrency = defaults.concurrency, progressEvery, retry = {}, since, timeout } = endpoint
  const times = { progressEvery, timeout, ...retry }
  const wrongTime = Struct.keys(times).find((name) => !isTime(times[name]))
  if (wrongTime !== undefined) return `its ${wrongTime} is no time: give milliseconds, or a text such as "30 seconds"`
  if (since !== undefined && !Number.isFinite(since)) return "its since must be milliseconds since the epoch"
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) return "its concurrency must be a whole number from 1"
  return undefined
}

const defaults = {
  concurrency: 8,
  timeout: Duration.seconds(15),
  delay: Duration.seconds(1),
  maxDelay: Duration.minutes(10),
  maxRetryAfter: Duration.hours(1),
  giveUpAfter: Duration.hours(24),
  progressEvery: Duration.seconds(5),
  leastProgressEvery: Duration.seconds(1)
}

/** Checks an endpoint and fills in what it leaves out. */
export const ready: (endpoint: Endpoint) => Effect.Effect<Ready, EndpointError> = Effect.fnUntraced(
  function* (endpoint) {
    const { headers = {}, id, include = {}, retry = {}, since } = endpoint
    const url = URL.parse(endpoint.url)
    const issue = issueOf(endpoint, url)
    if (issue !== undefined || url === null)
      return yield* new EndpointError({ endpoint: typeof id === "string" ? id : "(no id)", fix: issue ?? "" })
    const keys = yield* Effect.promise(() =>
      Promise.all(endpoint.secrets.map((secret) => standard.keyOf(Redacted.value(secret))))
    )
    const millis = (input: Duration.Input | undefined, otherwise: Duration.Duration) =>
      Duration.toMillis(input ?? otherwise)
    return {
      id,
      url,
      urlHash: yield* JobFeed.digest(url.href),
      keys: keys.filter((key) => key !== undefined),
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), valueOf(value)])),
      secretHeaders: Object.keys(headers)
        .filter((name) => Redacted.isRedacted(headers[name]))
        .map((name) => name.toLowerCase()),
      feed: {
        types: new Set(endpoint.types ?? defaultTypes),
        progressEveryMs: Math.max(
          millis(endpoint.progressEvery, defaults.progressEvery),
          Duration.toMillis(defaults.leastProgressEvery)
        ),
        messages: include.messages ?? false,
        outputs: include.outputs ?? false
      },
      timeout: Duration.fromInputUnsafe(endpoint.timeout ?? defaults.timeout),
      delayMs: millis(retry.delay, defaults.delay),
      maxDelayMs: millis(retry.maxDelay, defaults.maxDelay),
      maxRetryAfterMs: millis(retry.maxRetryAfter, defaults.maxRetryAfter),
      giveUpAfterMs: millis(retry.giveUpAfter, defaults.giveUpAfter),
      concurrency: endpoint.concurrency ?? defaults.concurrency,
      since
    }
  }
)
