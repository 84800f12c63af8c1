/**
 * Requests to the JSON API, as effects: signed in as the SDK does it, tried again a bounded number of times, and ended
 * with their fiber.
 *
 * The SDK's own uploads and downloads are not used. They go on after they were told to stop, try again by timers that
 * nothing ends, and leave sessions and sockets; what is taken from the SDK is how it finds credentials, its HTTP client,
 * its endpoints and its signatures.
 */
import type { Storage } from "@google-cloud/storage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Fault, ofAnswer, ofConnection, ofSignIn } from "./serviceFault.ts"

/** What is asked. */
export interface Call {
  readonly method: "DELETE" | "GET" | "POST" | "PUT"
  readonly url: string
  readonly params?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Statuses that are fine beside those of success. */
  readonly accepts?: ReadonlyArray<number>
}

/** What was answered. */
export interface Answer<Body> {
  readonly status: number
  readonly headers: Headers
  readonly body: Body
}

/** Makes requests. */
export interface Requests {
  /** Asks once. */
  readonly once: (call: Call) => Effect.Effect<Answer<string>, Fault>
  /** Asks, and asks again while that can help. */
  readonly send: (call: Call) => Effect.Effect<Answer<string>, Fault>
  /** Asks once, for an answer whose body is still to come; the connection is let go of with the scope. */
  readonly open: (call: Call) => Effect.Effect<Answer<AsyncIterable<Uint8Array>>, Fault, Scope.Scope>
  /** When to ask again after a fault, if at all. */
  readonly again: Schedule.Schedule<unknown, Fault>
}

/** How long nothing may come. */
export const silence = Duration.seconds(60)

/** How slow a connection may be that sends a body. */
const slowestBytesPerSecond = 64 * 1024

const patienceOf = (call: Call): Duration.Duration =>
  Duration.sum(silence, Duration.seconds((call.body?.length ?? 0) / slowestBytesPerSecond))

/** The first pause before asking again; each is twice the one before. */
const firstPause = Duration.millis(100)

/** The longest. */
const longestPause = Duration.seconds(16)

/** How much of an answer is read that only says what went wrong. */
const longestComplaint = 64 * 1024

/** As the object is stored: the service unpacks what is stored as gzip, and the HTTP client too, unless both are told. */
const asStored = { compress: false }

/** Which fault it was, without what is secret in a session's address. */
const askedBy = ({ method, url }: Call): string => `${method} ${new URL(url).pathname}`

/** Requests with a client's credentials, each tried so many times at most. */
export const make = (client: Storage, attempts: number): Requests => {
  // As the SDK does it: an emulator is not shown a token unless that is wanted.
  const signsIn = !client.customEndpoint || client.useAuthWithCustomEndpoint === true

  const signIn = Effect.gen(function* () {
    if (!signsIn) return { transporter: client.authClient.fromAPIKey("").transporter, headers: new Headers() }
    const account = yield* Effect.tryPromise({ try: () => client.authClient.getClient(), catch: ofSignIn })
    // Not for one address: a token for each would be signed anew for each.
    const headers = yield* Effect.tryPromise({ try: () => account.getRequestHeaders(), catch: ofSignIn })
    return { transporter: account.transporter, headers }
  })

  /** Makes the request; whoever calls looks at the status. */
  const request = Effect.fnUntraced(function* (call: Call, responseType: "stream" | "text", signal: AbortSignal) {
    const { headers: token, transporter } = yield* signIn
    // The SDK keeps the ones that it has given, and gives them again.
    const headers = new Headers(token)
    for (const [name, value] of Object.entries(call.headers ?? {})) headers.set(name, value)
    const params = Object.fromEntries(
      Object.entries(call.params ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
    )
    return yield* Effect.tryPromise({
      try: () =>
        transporter.request<unknown>({
          method: call.method,
          url: call.url,
          params,
          headers,
          ...(call.body === undefined ? undefined : { data: call.body }),
          ...(responseType === "stream" ? asStored : undefined),
          responseType,
          redirect: "manual",
          retry: false,
          signal,
          validateStatus: () => true
        }),
      catch: (error) => ofConnection(askedBy(call), error)
    })
  })

  const inTime =
    (call: Call) =>
    <A, R>(effect: Effect.Effect<A, Fault, R>): Effect.Effect<A, Fault, R> =>
      Effect.timeoutOrElse(effect, {
        duration: patienceOf(call),
        orElse: () =>
          Effect.fail(ofConnection(askedBy(call), new Error(`no answer for ${Duration.format(patienceOf(call))}`)))
      })

  const isFine = ({ accepts = [] }: Call, status: number): boolean =>
    (status >= 200 && status < 300) || accepts.includes(status)

  const once: Requests["once"] = Effect.fnUntraced(function* (call) {
    const signal = yield* Effect.abortSignal
    const { data, headers, status } = yield* inTime(call)(request(call, "text", signal))
    const body = typeof data === "string" ? data : ""
    return isFine(call, status) ? { status, headers, body } : yield* ofAnswer(askedBy(call), status, body)
  }, Effect.scoped)

  const open: Requests["open"] = Effect.fnUntraced(function* (call) {
    const signal = yield* Effect.abortSignal
    const { data, headers, status } = yield* inTime(call)(request(call, "stream", signal))
    if (isBody(data) && isFine(call, status)) return { status, headers, body: data }
    const complaint = isBody(data) ? yield* inTime(call)(textOf(call, data)) : ""
    return yield* ofAnswer(askedBy(call), status, complaint)
  })

  const again = Schedule.min([Schedule.exponential(firstPause), Schedule.spaced(longestPause)]).pipe(
    Schedule.jittered,
    Schedule.upTo({ times: attempts - 1 }),
    Schedule.setInputType<Fault>(),
    Schedule.while(({ input }) => Effect.succeed(input.transient))
  )

  return { once, send: (call) => Effect.retry(once(call), again), open, again }
}

const isBody = (body: unknown): body is AsyncIterable<Uint8Array> =>
  typeof body === "object" && body !== null && Symbol.asyncIterator in body

/** The beginning of a body that says what is wrong. */
const textOf = (call: Call, body: AsyncIterable<Uint8Array>): Effect.Effect<string, Fault> => {
  let room = longestComplaint
  return Stream.fromAsyncIterable(body, (error) => ofConnection(askedBy(call), error)).pipe(
    Stream.takeUntil((piece) => (room -= piece.length) <= 0),
    Stream.runCollect,
    Effect.map((pieces) => Buffer.concat(pieces).toString())
  )
}
