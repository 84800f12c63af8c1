/**
 * The worker's runtime as an HTTP server: a machine of one's own, a container, whatever can be reached over HTTP.
 *
 * ```
 * POST / or /render        renders a chunk: a WorkerRequest in, its WorkerReply out, or a stream of events that ends with it
 * GET  /health, /healthz   200 as long as the process can answer
 * GET  /ready              200 while it takes work; 503 before that, and when it is about to end
 * ```
 *
 * A client that goes away takes its attempt with it. When the server is to end it takes no more work, gives what runs
 * some time, stops it, and says so, for it to be rendered elsewhere at once. Who may ask is `RequestAuth`'s affair, what
 * an attempt is `WorkerRuntime`'s. TLS is that of whatever is in front of it.
 */
import {
  Refused,
  Throttled,
  Transport,
  WorkerError,
  WorkerLost,
  type WorkerReason
} from "@helios-infra/core/WorkerError"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import type { WorkerSignal } from "@helios-infra/core/WorkerAdapter"
import * as TraceContext from "@helios-infra/core/TraceContext"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { isIPv6 } from "node:net"
import { hostname } from "node:os"
import { pid } from "node:process"
import * as eventOutbox from "./internal/eventOutbox.ts"
import type { Answer, Request } from "./internal/nodeRequest.ts"
import * as nodeServer from "./internal/nodeServer.ts"
import * as replies from "./internal/replies.ts"
import * as traceContext from "./internal/traceContext.ts"
import * as RequestAuth from "./RequestAuth.ts"
import * as WorkerRuntime from "./WorkerRuntime.ts"

export { ListenError } from "./internal/nodeServer.ts"

/** How the server works. */
export interface Options<E = never> extends WorkerRuntime.Options<E> {
  /** Who may ask for chunks: see {@link RequestAuth.RequestAuth}. There is no default. */
  readonly auth: RequestAuth.RequestAuth
  /** The address to listen on. Default: `"127.0.0.1"`, which other machines cannot reach. */
  readonly host?: string | undefined
  /** 0 for one that is free. Default: 8080. */
  readonly port?: number | undefined
  /** How many chunks may be rendered at once; whoever asks for more is told to come again. Default: 1. */
  readonly concurrency?: number | undefined
  /** How often a stream of events says that the worker is alive. Default: 5 seconds. */
  readonly heartbeat?: Duration.Input | undefined
  /** How long the platform lets a request take: an attempt is given up `margin` before that. Default: it does not end them. */
  readonly timeLimit?: Duration.Input | undefined
  /** How long what runs may go on when the server is to end. Default: 8 seconds. */
  readonly drainTimeout?: Duration.Input | undefined
  /** How large the body of a request may be, in bytes. Default: 1 MiB. */
  readonly bodyBytes?: number | undefined
  /** How large the headers of a request may be together, in bytes. Default: 16 KiB. */
  readonly headerBytes?: number | undefined
  /** How long the headers of a request may take to come. Default: 10 seconds. */
  readonly headersTimeout?: Duration.Input | undefined
  /** How long a whole request may take to come. Default: 30 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
  /** How long a client may leave a stream of events unread; at least three heartbeats. Default: 60 seconds. */
  readonly sendTimeout?: Duration.Input | undefined
  /** How long a connection is kept for the next request. Default: 65 seconds, longer than most proxies keep theirs. */
  readonly keepAliveTimeout?: Duration.Input | undefined
  /** How many connections there may be at once. Default: 256. */
  readonly maxConnections?: number | undefined
  /** Which worker it is, in answers and events. Default: the host's name and the process. */
  readonly workerId?: string | undefined
}

/** A server that takes work. */
export class WorkerServer extends Context.Service<
  WorkerServer,
  {
    /** The address that it listens on. */
    readonly host: string
    readonly port: number
    /** Where it can be asked on this machine, `http://127.0.0.1:8080`. */
    readonly url: string
  }
>()("@helios-infra/worker-runtime/WorkerServer") {}

/** A server could not be made. */
export type MakeError = WorkerRuntime.MakeError | RequestAuth.InvalidAuth | nodeServer.ListenError

// The defaults of the options, where they say more than a number.
const defaults = {
  heartbeat: Duration.millis(WorkerProtocol.heartbeatMs),
  drainTimeout: Duration.seconds(8),
  headersTimeout: Duration.seconds(10),
  requestTimeout: Duration.seconds(30),
  sendTimeout: Duration.seconds(60),
  keepAliveTimeout: Duration.seconds(65)
}

/** How soon who was turned away may come again. */
const retryAfter = Duration.seconds(1)

/**
 * Listens, and makes the runtime meanwhile: what is asked for before that is there waits for it. Closing the scope ends
 * the server as said above. Needs an `auth` that lets nobody reach it from elsewhere whom it does not check.
 */
export const make = <E = never>(
  options: Options<E>
): Effect.Effect<WorkerServer["Service"], MakeError | E, Scope.Scope> =>
  Effect.gen(function* () {
    const { bodyBytes = 2 ** 20, concurrency = 1, host = "127.0.0.1", name = "http-worker", port = 8080 } = options
    const { workerId = `${hostname()}/${pid}` } = options
    const duration = (key: keyof typeof defaults) => Duration.fromInputUnsafe(options[key] ?? defaults[key])
    const heartbeat = duration("heartbeat")
    const sendTimeout = Duration.max(duration("sendTimeout"), Duration.times(heartbeat, 3))
    const timeLimit = options.timeLimit === undefined ? undefined : Duration.fromInputUnsafe(options.timeLimit)

    const authenticator = yield* RequestAuth.make(options.auth)
    const exposed = new RequestAuth.InvalidAuth({
      detail: `"none" would let everybody run commands here who can reach ${host}: choose another one, listen on 127.0.0.1, or say anywhere: true`
    })
    if (!authenticator.anywhere && !RequestAuth.isLoopback(host)) return yield* exposed

    const runtime = yield* Deferred.make<WorkerRuntime.WorkerRuntime["Service"]>()
    /** Completed when what runs has to end now. */
    const shutDown = yield* Deferred.make<void>()
    const idle = Latch.makeUnsafe(true)
    let state: "starting" | "ready" | "draining" = "starting"
    let running = 0

    const errorOf = (reason: WorkerReason, about: unknown): WorkerProtocol.WorkerReply => ({
      _tag: "Error",
      protocol: WorkerProtocol.version,
      error: new WorkerError({
        adapter: name,
        ...replies.idsIn(about),
        attempt: replies.attemptIn(about),
        workerId,
        reason: replies.told(reason)
      })
    })

    /** Why a request is turned away that would be taken another time. */
    const turnedAway = Effect.suspend((): Effect.Effect<void, Rejected> => {
      if (state === "draining") return later(503)
      return running < concurrency ? Effect.void : later(429)
    })

    /** Renders in a fiber that ends with the request's scope. */
    const begin = Effect.fnUntraced(function* (
      request: WorkerProtocol.WorkerRequest,
      onSignal: ((signal: WorkerSignal) => void) | undefined,
      onReply: (reply: WorkerProtocol.WorkerReply) => void
    ) {
      yield* turnedAway
      running++
      idle.closeUnsafe()
      const rendered = Effect.flatMap(Deferred.await(runtime), (worker) =>
        worker.run(request, {
          workerId,
          onSignal,
          ...(timeLimit === undefined ? undefined : { remainingMs: Duration.toMillis(timeLimit) })
        })
      ).pipe(
        // Whatever it is, who reads events waits for an answer.
        Effect.catchDefect((defect) =>
          Effect.succeed(errorOf(new WorkerLost({ workerId, detail: `the worker failed: ${String(defect)}` }), request))
        )
      )
      const stopped = Effect.as(
        Deferred.await(shutDown),
        errorOf(new WorkerLost({ workerId, detail: "the instance was shut down" }), request)
      )
      return yield* Effect.raceFirst(rendered, stopped).pipe(
        Effect.tap((reply) => Effect.sync(() => onReply(reply))),
        Effect.interruptible,
        Effect.ensuring(
          Effect.sync(() => {
            running--
            if (running === 0) idle.openUnsafe()
          })
        ),
        Effect.forkIn(yield* Effect.scope, { startImmediately: true, uninterruptible: true })
      )
    })

    const render = Effect.fnUntraced(function* (request: Request): Effect.fn.Return<Answer, Rejected, Scope.Scope> {
      const { headers } = request
      const checkBody = yield* Effect.mapError(Effect.interruptible(authenticator.check(headers)), unauthorized)
      yield* turnedAway
      yield* checkHeaders(headers, bodyBytes)
      const body = yield* readBody(request, bodyBytes)
      yield* Effect.mapError(checkBody(body), unauthorized)
      const input = yield* parse(body)
      const asked = yield* Effect.mapError(
        WorkerProtocol.decodeRequest(input),
        (reason) => new Rejected({ status: 400, reason, about: input })
      )
      // What the orchestrator says of the trace goes before what something on the way may have made of the header.
      const chunk = asked.traceparent === undefined ? { ...asked, ...TraceContext.headers(headers) } : asked

      if (!acceptsEvents(headers)) {
        const fiber = yield* begin(chunk, undefined, () => {})
        return yield* replyWith(yield* Effect.interruptible(Fiber.join(fiber)), 200)
      }
      const outbox = eventOutbox.make({ workerId, heartbeat })
      yield* begin(chunk, outbox.signal, outbox.end)
      return {
        status: 200,
        // Proxies are not to wait for more of it.
        headers: { ...plainHeaders, "content-type": WorkerProtocol.eventsMediaType, "x-accel-buffering": "no" },
        content: outbox.content,
        sendTimeout
      }
    })

    const app: nodeServer.App = (request) =>
      route(request, {
        health: () => Effect.succeed(probe(200)),
        ready: () => Effect.succeed(probe(state === "ready" ? 200 : 503)),
        render: () => render(request)
      }).pipe(
        Effect.catch(({ about, headers, reason, status }) => replyWith(errorOf(reason, about), status, headers)),
        Effect.map((answer) =>
          state === "draining" ? { ...answer, headers: { ...answer.headers, connection: "close" } } : answer
        ),
        Effect.annotateLogs({ ...traceContext.fromHeaders(request.headers) })
      )

    const server = yield* nodeServer.make(app, {
      host,
      port,
      headersTimeout: duration("headersTimeout"),
      requestTimeout: duration("requestTimeout"),
      keepAliveTimeout: duration("keepAliveTimeout"),
      maxHeaderBytes: options.headerBytes ?? 16 * 1024,
      maxConnections: options.maxConnections ?? 256
    })
    if (!authenticator.anywhere && !RequestAuth.isLoopback(server.host)) return yield* exposed
    const url = urlOf(server)
    yield* Effect.logInfo(`listening on ${url}`)

    yield* Deferred.succeed(runtime, yield* WorkerRuntime.make({ ...options, name }))
    state = "ready"
    // Before what was made after the server began to listen is let go of.
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        state = "draining"
        if (running > 0) yield* Effect.logInfo(`shutting down, what runs may go on for a while: ${running}`)
        const ended = yield* Effect.timeoutOption(Effect.interruptible(idle.await), duration("drainTimeout"))
        if (Option.isNone(ended)) yield* Deferred.succeed(shutDown, undefined)
        yield* idle.await
        yield* server.close
      })
    )
    return WorkerServer.of({ host: server.host, port: server.port, url })
  })

/** {@link make} as a layer. */
export const layer = <E = never>(options: Options<E>): Layer.Layer<WorkerServer, MakeError | E> =>
  Layer.effect(WorkerServer, make(options))

/** Any address stands for this machine's own where it is asked from there. */
const urlOf = ({ host, port }: { readonly host: string; readonly port: number }): string => {
  const name = host === "0.0.0.0" || host === "::" ? "localhost" : isIPv6(host) ? `[${host}]` : host
  return `http://${name}:${port}`
}

// ---
// requests
// ---

/** A request that is answered with something else than how an attempt ended. */
class Rejected extends Data.TaggedError("Rejected")<{
  readonly status: number
  readonly reason: WorkerReason
  readonly headers?: Readonly<Record<string, string>>
  /** What was sent, as far as it was read. */
  readonly about?: unknown
}> {}

type Answering<R = never> = Effect.Effect<Answer, Rejected, R>

const route = <R>(
  { method, path }: Request,
  to: { readonly health: () => Answering; readonly ready: () => Answering; readonly render: () => Answering<R> }
): Answering<R> => {
  switch (path) {
    case "/":
    case "/render":
      return method === "POST" ? to.render() : wrongMethod("POST")
    // The platform's own name for it is taken by the platform: Cloud Run keeps some paths that end in z to itself.
    case "/health":
    case "/healthz":
      return method === "GET" || method === "HEAD" ? to.health() : wrongMethod("GET, HEAD")
    case "/ready":
      return method === "GET" || method === "HEAD" ? to.ready() : wrongMethod("GET, HEAD")
    default:
      return rejected(404, new Refused({ why: "NotFound", fix: "a worker renders at / and at /render: check its URL" }))
  }
}

const rejected = (
  status: number,
  reason: WorkerReason,
  headers?: Readonly<Record<string, string>>
): Effect.Effect<never, Rejected> =>
  Effect.fail(new Rejected({ status, reason, ...(headers === undefined ? undefined : { headers }) }))

const wrongMethod = (allow: string) =>
  rejected(405, new Refused({ why: "Unsupported", fix: `this is asked for with ${allow}` }), { allow })

const later = (status: 429 | 503) =>
  rejected(status, new Throttled({ retryAfterMs: Duration.toMillis(retryAfter) }), {
    "retry-after": String(Duration.toSeconds(retryAfter))
  })

const unauthorized = (error: RequestAuth.Denied | RequestAuth.KeysUnavailable): Rejected => {
  if (error._tag === "KeysUnavailable") {
    return new Rejected({ status: 503, reason: new Transport({ cause: new Error(error.message) }) })
  }
  const reason = new Refused({ why: "Unauthorized", fix: error.fix })
  return error.reason === "Forbidden"
    ? new Rejected({ status: 403, reason })
    : new Rejected({ status: 401, reason, headers: { "www-authenticate": 'Bearer realm="helios-worker"' } })
}

/** Whether a body of this type and length is worth reading. */
const checkHeaders = (headers: RequestAuth.Headers, most: number): Effect.Effect<void, Rejected> => {
  const [type = "", ...parameters] = (headers["content-type"] ?? "").split(";").map((part) => part.trim().toLowerCase())
  const charset = parameters.find((parameter) => parameter.startsWith("charset="))?.slice("charset=".length) ?? "utf-8"
  const encoding = headers["content-encoding"] ?? "identity"
  if (type !== "application/json" || !/^"?utf-?8"?$/.test(charset) || encoding !== "identity") {
    return rejected(415, new Refused({ why: "Unsupported", fix: "send Content-Type: application/json, in UTF-8" }))
  }
  return Number(headers["content-length"] ?? 0) > most ? tooLarge(most) : Effect.void
}

const tooLarge = (most: number) =>
  rejected(413, new Refused({ why: "TooLarge", fix: `a request has at most ${most} bytes: raise bodyBytes` }))

const readBody = (request: Request, most: number): Effect.Effect<Uint8Array, Rejected> =>
  Effect.catch(Effect.interruptible(request.body(most)), ({ reason }) =>
    reason === "TooLarge"
      ? tooLarge(most)
      : rejected(400, new Transport({ cause: new Error("the request did not come whole") }))
  )

const parse = (body: Uint8Array): Effect.Effect<unknown, Rejected> =>
  Effect.fromResult(
    Result.try({
      try: (): unknown => JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body)),
      catch: () => {
        const fix = `the body is no JSON in UTF-8, such as { "jobPath": "https://…/job.json", "chunkIndex": 0 }`
        return new Rejected({ status: 400, reason: new Refused({ why: "InvalidJob", fix }) })
      }
    })
  )

/** Whether the answer may be a stream of events. */
const acceptsEvents = ({ accept = "" }: RequestAuth.Headers): boolean =>
  accept.split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase())
    return type === WorkerProtocol.eventsMediaType && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))
  })

// ---
// answers
// ---

const plainHeaders = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

const probe = (status: 200 | 503): Answer => ({
  status,
  headers: { ...plainHeaders, "content-type": "text/plain" },
  content: status === 200 ? "ok\n" : "not ready\n"
})

const replyWith = (
  reply: WorkerProtocol.WorkerReply,
  status: number,
  headers: Readonly<Record<string, string>> = {}
): Effect.Effect<Answer> =>
  Effect.map(WorkerProtocol.encodeReply(reply), (json) => ({
    status,
    headers: { ...plainHeaders, "content-type": "application/json", ...headers },
    content: JSON.stringify(json)
  }))
