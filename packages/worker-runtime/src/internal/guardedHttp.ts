/**
 * Plain requests to addresses that a job names: a redirect is not followed, a private address is not connected to, no
 * more is read than was said, and a server that falls silent is given up on.
 *
 * Which URLs may be asked for at all is not judged here, and nothing is tried twice.
 */
import { Refused, Transport } from "@helios-infra/core/WorkerError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import ipaddr from "ipaddr.js"
import { lookup as resolve } from "node:dns"
import type * as http from "node:http"
import type * as https from "node:https"
import { isIP, type LookupFunction } from "node:net"
import { getBuiltinModule } from "node:process"

/** How to ask. */
export interface Options {
  /** Whether this machine and private networks may be connected to. */
  readonly allowLocal: boolean
  /** Certificates to trust in place of the usual ones, as PEM. */
  readonly ca: string | undefined
  /** How long a server may be silent. */
  readonly idleTimeout: Duration.Duration
}

/** What a request can fail with. */
export type HttpError = Refused | Transport

/** Bytes to send, and how many they are. */
export interface Body<E> {
  readonly bytes: number
  readonly content: Stream.Stream<Uint8Array, E>
}

/** Asks servers. */
export interface GuardedHttp {
  /** The content of a URL; fails with `TooLarge` as soon as there are more than `maxBytes`. */
  readonly get: (url: URL, maxBytes: number) => Stream.Stream<Uint8Array, HttpError>
  /** Whether a GET finds anything. */
  readonly exists: (url: URL) => Effect.Effect<boolean, HttpError>
  readonly put: <E>(url: URL, body: Body<E>) => Effect.Effect<void, HttpError | E>
}

/** A URL as messages show it: without its query, which in a presigned one is a secret. */
export const shown = (url: URL): string => `${url.origin}${url.pathname}`.slice(0, 300)

const tooLarge = (name: string, maxBytes: number): Refused =>
  new Refused({ why: "TooLarge", fix: `${name} has more than the ${maxBytes} bytes that are read of it` })

/** All bytes of a stream, but not too many. */
export const limited = <E>(
  stream: Stream.Stream<Uint8Array, E>,
  name: string,
  maxBytes: number
): Stream.Stream<Uint8Array, E | Refused> =>
  Stream.suspend(() => {
    let bytes = 0
    return Stream.mapEffect(stream, (piece) => {
      bytes += piece.length
      return bytes > maxBytes ? Effect.fail(tooLarge(name, maxBytes)) : Effect.succeed(piece)
    })
  })

/** Connections are kept for what is asked next, until the scope closes. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<GuardedHttp, never, Scope.Scope> {
  const clients = yield* Effect.acquireRelease(
    Effect.sync(() => new Map<string, Client>()),
    (made) =>
      Effect.sync(() => {
        for (const { agent } of made.values()) agent.destroy()
      })
  )
  const clientFor = (protocol: string): Client => {
    const made = clients.get(protocol) ?? connect(protocol)
    clients.set(protocol, made)
    return made
  }
  const timeout = Duration.toMillis(options.idleTimeout)

  /** Begins a request; what is left of it when the scope closes is broken off. */
  const begin = (
    url: URL,
    method: "GET" | "PUT",
    headers: http.OutgoingHttpHeaders
  ): Effect.Effect<Exchange, HttpError, Scope.Scope> =>
    Effect.gen(function* () {
      // Node resolves no name that is an address, so that `lookup` would not see it.
      const host = url.hostname.replace(/^\[|\]$/g, "")
      if (!options.allowLocal && isIP(host) !== 0 && !isPublic(host)) return yield* blocked(url)
      return yield* Effect.acquireRelease(
        Effect.sync((): Exchange => {
          const common = { method, headers, timeout, ...(options.allowLocal ? undefined : { lookup: lookupPublic }) }
          const { agent, request: ask } = clientFor(url.protocol)
          const request = ask(url, { ...common, agent, ca: options.ca })
          request.once("timeout", () => request.destroy(new Error(`nothing came for ${timeout} ms`)))
          const answered = Deferred.makeUnsafe<http.IncomingMessage, HttpError>()
          request.once("response", (response) => Deferred.doneUnsafe(answered, Exit.succeed(response)))
          request.on("error", (cause) => Deferred.doneUnsafe(answered, Exit.fail(failureOf(url, cause))))
          return { request, response: Deferred.await(answered) }
        }),
        ({ request }) => Effect.sync(() => request.destroy())
      )
    })

  const opened = Effect.fnUntraced(function* (url: URL) {
    const { request, response } = yield* begin(url, "GET", { "accept-encoding": "identity" })
    request.end()
    return yield* response
  })

  const get: GuardedHttp["get"] = (url, maxBytes) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const response = yield* opened(url)
        const wrong = problemWith(url, response) ?? encodingOf(url, response)
        if (wrong !== undefined) return yield* wrong
        if (Number(response.headers["content-length"] ?? 0) > maxBytes) return yield* tooLarge(shown(url), maxBytes)
        const body = Stream.fromAsyncIterable<Uint8Array, HttpError>(response, (cause) => failureOf(url, cause))
        return limited(body, shown(url), maxBytes)
      })
    )

  const exists: GuardedHttp["exists"] = Effect.fnUntraced(function* (url) {
    const response = yield* opened(url)
    return response.statusCode === 200
  }, Effect.scoped)

  const put: GuardedHttp["put"] = Effect.fnUntraced(function* (url, { bytes, content }) {
    const { request, response } = yield* begin(url, "PUT", { "content-length": bytes })
    const send = Stream.runForEach(content, (piece) =>
      Effect.callback<void>((resume) => {
        // That it broke is told by the request itself.
        request.write(piece, () => resume(Effect.void))
      })
    ).pipe(Effect.andThen(Effect.sync(() => request.end())), Effect.andThen(Effect.never))
    // A server that will not have it may say so before it has all of it.
    const answer = yield* Effect.raceFirst(response, send)
    answer.resume()
    const wrong = problemWith(url, answer)
    if (wrong !== undefined) return yield* wrong
  }, Effect.scoped)

  return { get, exists, put }
})

/** What requests of one protocol are made with. */
interface Client {
  readonly agent: http.Agent
  readonly request: (url: URL, options: https.RequestOptions) => http.ClientRequest
}

/**
 * Node's own clients, loaded when they are first needed: to import them takes as long as all the rest of a worker, since
 * that also loads what `fetch` is made of.
 */
const connect = (protocol: string): Client => {
  const { Agent, request } = protocol === "https:" ? getBuiltinModule("node:https") : getBuiltinModule("node:http")
  return { agent: new Agent({ keepAlive: true, maxSockets: 32 }), request }
}

interface Exchange {
  readonly request: http.ClientRequest
  readonly response: Effect.Effect<http.IncomingMessage, HttpError>
}

// ---
// addresses
// ---

/** What `lookup` fails with: a name leads to where nothing may be asked. */
class PrivateAddress extends Error {}

const isPublic = (address: string): boolean => ipaddr.process(address).range() === "unicast"

/** Looks at the very addresses that are connected to, so that a name cannot lead elsewhere at the second look. */
const lookupPublic: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, [])
    if (!addresses.every(({ address }) => isPublic(address))) return callback(new PrivateAddress(hostname), [])
    const [first] = addresses
    if (options.all === true || first === undefined) return callback(null, addresses)
    callback(null, first.address, first.family)
  })
}

const blocked = (url: URL): Refused =>
  new Refused({
    why: "Unauthorized",
    fix: `${url.origin} is this machine, or in a private network, where this worker asks for nothing unless allowLocal is set`
  })

// ---
// what went wrong
// ---

const failureOf = (url: URL, cause: unknown): HttpError =>
  cause instanceof PrivateAddress
    ? blocked(url)
    : new Transport({ cause: new Error(`${shown(url)}: ${cause instanceof Error ? wordsOf(cause) : String(cause)}`) })

/** A host of which no address answers throws errors in an error. */
const wordsOf = (error: Error): string =>
  error instanceof AggregateError && error.message === "" ? error.errors.map(String).join(", ") : error.message

const problemWith = (url: URL, { statusCode = 0 }: http.IncomingMessage): HttpError | undefined => {
  if (statusCode >= 200 && statusCode < 300) return undefined
  const answer = `${shown(url)} answered with ${statusCode}`
  if (statusCode >= 300 && statusCode < 400) {
    const fix = `${answer}, and redirects are not followed: give the address that it leads to`
    return new Refused({ why: "Unauthorized", fix })
  }
  const why = whyOf(statusCode)
  return why === undefined ? new Transport({ cause: new Error(answer) }) : new Refused({ why, fix: answer })
}

const whyOf = (statusCode: number): Refused["why"] | undefined => {
  switch (statusCode) {
    case 401:
    case 403:
      return "Unauthorized"
    case 404:
    case 410:
      return "NotFound"
    case 413:
      return "TooLarge"
    default:
      return undefined
  }
}

/** Bytes are wanted as they are stored. */
const encodingOf = (url: URL, { headers }: http.IncomingMessage): Refused | undefined => {
  const encoding = headers["content-encoding"] ?? "identity"
  return encoding === "identity"
    ? undefined
    : new Refused({ why: "Unsupported", fix: `${shown(url)} is sent with the encoding ${encoding}: store it without` })
}
