/**
 * An HTTP/1.1 server of Node's around an app of Effect's, with limits for clients that are slow, large or many, and an
 * end that waits for answers to be on their way. What is answered is the app's affair.
 *
 * Not on Effect's `NodeHttpServer`: that one brings forms, files and web sockets with it, which make a process start by
 * half as much later and bundles fail that are not told of `require`. It also takes connections before anything handles
 * requests, and closes without knowing which answers are still to be sent.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as http from "node:http"
import type { Socket } from "node:net"
import { getBuiltinModule } from "node:process"
import * as nodeRequest from "./nodeRequest.ts"

/** Answers a request; what it does beside that ends with the scope, once the answer is sent or the client gone. */
export type App = (request: nodeRequest.Request) => Effect.Effect<nodeRequest.Answer, never, Scope.Scope>

/** What a client can take of the server at most. */
interface Limits {
  /** How long the headers of a request may take to come. */
  readonly headersTimeout: Duration.Duration
  /** How long a whole request may take to come. */
  readonly requestTimeout: Duration.Duration
  /** How long a connection is kept between two requests. */
  readonly keepAliveTimeout: Duration.Duration
  /** How large all headers of a request together may be, in bytes. */
  readonly maxHeaderBytes: number
  /** How many connections there may be at once; further ones are dropped. */
  readonly maxConnections: number
}

/** Where to listen. */
export interface Options extends Limits {
  readonly host: string
  /** 0 for one that is free. */
  readonly port: number
}

/** A server could not listen where it was to. */
export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  host: Schema.String,
  port: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `cannot listen on ${this.host} port ${this.port}: ${this.detail}; choose another port or host`
  }
}

/** A server that listens. */
export interface NodeServer {
  readonly host: string
  readonly port: number
  /** Waits a little while for answers to be on their way, and closes all connections. Once is enough. */
  readonly close: Effect.Effect<void>
}

/** How long a client may take to read the end of an answer when the server closes. */
const flushTimeout = Duration.millis(500)

const mostHeaders = 100

/** After this long without a word, the system asks whether the other machine is still there. */
const keepAliveInitialDelay = 30_000

/** Listens; closes with its scope, and interrupts what it still does then. */
export const make = Effect.fnUntraced(function* (
  app: App,
  options: Options
): Effect.fn.Return<NodeServer, ListenError, Scope.Scope> {
  const { host, port } = options
  // Node would throw.
  if (!(port >= 0 && port <= 65_535)) return yield* new ListenError({ host, port, detail: "ports are 0 to 65535" })
  const fork = yield* FiberSet.makeRuntime()

  const requestTimeout = Duration.toMillis(options.requestTimeout)
  const headersTimeout = Math.min(Duration.toMillis(options.headersTimeout), requestTimeout)
  const server = getBuiltinModule("node:http").createServer({
    requestTimeout,
    headersTimeout,
    connectionsCheckingInterval: Math.min(Math.max(headersTimeout / 4, 50), 5000),
    keepAliveTimeout: Duration.toMillis(options.keepAliveTimeout),
    maxHeaderSize: options.maxHeaderBytes,
    keepAlive: true,
    keepAliveInitialDelay
  })
  server.maxConnections = options.maxConnections
  server.maxHeadersCount = mostHeaders

  const answering = new Set<Socket>()
  const answered = Latch.makeUnsafe(true)
  const handle = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const { socket } = request
    // The next request before the answer to this one: Node would not say when the client of the next one goes away.
    if (answering.has(socket)) {
      socket.destroy()
      return
    }
    answering.add(socket)
    answered.closeUnsafe()
    response.once("close", () => {
      answering.delete(socket)
      if (answering.size === 0) answered.openUnsafe()
    })
    const fiber = fork(nodeRequest.handle(app, request, response))
    response.once("close", () => fiber.interruptUnsafe())
  }
  server.on("request", handle)
  // Asks before it sends its body: told to go on when that is read.
  server.on("checkContinue", handle)

  const closed = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })
  const close = Effect.andThen(Effect.timeoutOption(answered.await, flushTimeout), closed)

  yield* Effect.acquireRelease(
    Effect.callback<void, ListenError>((resume) => {
      server.once("error", ({ message: detail }) => resume(Effect.fail(new ListenError({ host, port, detail }))))
      server.listen({ host, port }, () => resume(Effect.void))
    }),
    () => close
  )
  server.removeAllListeners("error")
  // What goes wrong with one connection, such as too many open files, is not the end of the others.
  server.on("error", ({ message }) => fork(Effect.logWarning(`a connection could not be taken: ${message}`)))

  const address = server.address()
  if (address === null || typeof address === "string") {
    return yield* new ListenError({ host, port, detail: "it is no address of a network" })
  }
  return { host: address.address, port: address.port, close }
})
