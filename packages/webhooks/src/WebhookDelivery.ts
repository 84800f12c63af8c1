/**
 * One attempt to deliver one event: a signed POST, and what its answer means.
 *
 * A status from 200 to 299 is success, whatever follows it; everything else is a failure, a redirect as well. When it is
 * tried again is not decided here.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as standard from "./internal/standardWebhooks.ts"
import { WebhookEvent } from "./WebhookEvent.ts"
import type { Ready } from "./WebhookEndpoint.ts"

/** The endpoint answered, with a status that is no success. */
export class Answered extends Schema.TaggedError<Answered>()("Answered", {
  status: Schema.Int,
  /** How long it wants to be left alone, in milliseconds, where it says so. */
  retryAfterMs: Schema.optionalKey(Schema.Finite),
  /** The beginning of what it said. */
  said: Schema.String
}) {
  override get message(): string {
    const said = this.said.trim() === "" ? "" : `: ${this.said.trim()}`
    const redirect = this.status >= 300 && this.status < 400 ? ", and redirects are not followed" : ""
    return `it answered ${this.status}${redirect}${said}`
  }
}

/** The endpoint answered 410: it wants no more events. */
export class Gone extends Schema.TaggedError<Gone>()("Gone", {}) {
  override get message(): string {
    return "it answered 410 Gone: it wants no more events"
  }
}

/** There was no answer in time. */
export class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", { afterMs: Schema.Int }) {
  override get message(): string {
    return `it did not answer within ${this.afterMs} ms; it may have the event all the same`
  }
}

/** There was no connection, or it broke before the answer. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", { cause: Schema.Defect() }) {
  override get message(): string {
    return `it could not be reached: ${wordsOf(this.cause)}`
  }
}

/** An event was not taken by an endpoint, this time. */
export class DeliveryError extends Schema.TaggedError<DeliveryError>()("DeliveryError", {
  /** The endpoint's id. */
  endpoint: Schema.String,
  jobId: Schema.String,
  /** The event's id. */
  eventId: Schema.String,
  reason: Schema.Union([Answered, Gone, NoAnswer, Unreachable])
}) {
  override get message(): string {
    return `webhook endpoint ${JSON.stringify(this.endpoint)} did not take event ${this.eventId} of job ${this.jobId}: ${this.reason.message}`
  }
}

/** How much of an answer is shown, in bytes. */
const shownBytes = 500

/** How much of an answer is read so that its connection can be used again, in bytes; more, and it is closed. */
const drainedBytes = 65_536

/** How long the rest of an answer is waited for whose meaning is known. */
const linger = Duration.seconds(1)

/** A host of which no address answers throws errors in an error. */
const wordsOf = (cause: unknown): string => {
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.slice(0, 3).map(wordsOf).join(", ")
  return (cause instanceof Error ? cause.message : String(cause)).slice(0, 500)
}

const encode = Schema.encodeEffect(Schema.fromJsonString(WebhookEvent))

/** The body of an event's requests. */
export const bodyOf = (event: WebhookEvent): Effect.Effect<Uint8Array> =>
  Effect.orDie(Effect.map(encode(event), (text) => new TextEncoder().encode(text)))

/** The beginning of an answer; an endless one is not read, and a slow one not waited for. */
const beginningOf = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<string> => {
  let size = 0
  let shown = new Uint8Array(0)
  return Stream.runForEachWhile(response.stream, (part) =>
    Effect.sync(() => {
      if (size < shownBytes) {
        const kept = part.subarray(0, shownBytes - size)
        const longer = new Uint8Array(shown.length + kept.length)
        longer.set(shown)
        longer.set(kept, shown.length)
        shown = longer
      }
      size += part.length
      return size <= drainedBytes
    })
  ).pipe(
    Effect.timeout(linger),
    Effect.ignore,
    Effect.map(() => new TextDecoder().decode(shown))
  )
}

/** How long it wants to be left alone: in seconds, or until a date. */
const retryAfterMs = (headers: Headers.Headers, now: number): number | undefined =>
  Option.match(Headers.get(headers, "retry-after"), {
    onNone: () => undefined,
    onSome: (text) => {
      const parsed = Headers.parseRetryAfter(text)
      if (Result.isFailure(parsed)) return undefined
      return Math.min(Duration.toMillis(Headers.retryAfterDelay(parsed.success, now)), Number.MAX_SAFE_INTEGER)
    }
  })

const causeOf = ({ reason }: HttpClientError): unknown => ("cause" in reason ? (reason.cause ?? reason) : reason)

/** Posts an event once. Nothing but the documented headers goes out: no trace context either. */
export const post: (
  client: HttpClient.HttpClient,
  endpoint: Ready,
  event: WebhookEvent
) => Effect.Effect<void, DeliveryError> = Effect.fn("WebhookDelivery.post")(
  function* (client, endpoint, event) {
    const fail = (reason: DeliveryError["reason"]) =>
      Effect.fail(new DeliveryError({ endpoint: endpoint.id, jobId: event.data.jobId, eventId: event.id, reason }))
    const body = yield* bodyOf(event)
    const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const signature = yield* Effect.promise(() => standard.sign(endpoint.keys, event.id, seconds, body))
    const request = HttpClientRequest.post(endpoint.url).pipe(
      HttpClientRequest.setHeaders({
        "user-agent": "helios-webhooks/1",
        ...endpoint.headers,
        [standard.headerNames.id]: event.id,
        [standard.headerNames.timestamp]: String(seconds),
        [standard.headerNames.signature]: signature
      }),
      HttpClientRequest.bodyUint8Array(body, "application/json")
    )
    const redacted = [...(yield* Headers.CurrentRedactedNames), ...endpoint.secretHeaders]
    const response = yield* HttpClient.withScope(client)
      .execute(request)
      .pipe(
        Effect.provideService(Headers.CurrentRedactedNames, redacted),
        Effect.provideService(HttpClient.TracerPropagationEnabled, false),
        // Its URL may be as secret as a password is.
        Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
        Effect.catch((error) => fail(new Unreachable({ cause: causeOf(error) }))),
        Effect.timeoutOrElse({
          duration: endpoint.timeout,
          orElse: () => fail(new NoAnswer({ afterMs: Math.ceil(Duration.toMillis(endpoint.timeout)) }))
        })
      )
    const { headers, status } = response
    const said = yield* beginningOf(response)
    if (status >= 200 && status < 300) return
    if (status === 410) return yield* fail(new Gone())
    const later = retryAfterMs(headers, yield* Clock.currentTimeMillis)
    return yield* fail(new Answered({ status, said, ...(later === undefined ? undefined : { retryAfterMs: later }) }))
  },
  // What is left of the answer is broken off.
  Effect.scoped
)
