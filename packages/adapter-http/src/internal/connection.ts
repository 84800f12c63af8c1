/**
 * The HTTP client for requests that take as long as a render does: as many connections as there are attempts, and no
 * limit to how long an answer may take, for undici has some that nobody asked for.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as Undici from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Scope from "effect/Scope"

/** How connections come about. */
export interface Options {
  /** How long that may take, in milliseconds. */
  readonly connectTimeoutMs: number
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca: string | ReadonlyArray<string> | undefined
}

/** How long a silent connection is left alone before it is probed: well below the 350 s after which NATs forget it. */
const keepAliveMs = 30_000

/** How long an idle connection is kept, so that no request goes into one that the other side has just closed. */
const idleMs = 4000

const agentOptions = ({ ca, connectTimeoutMs }: Options): Undici.Agent.Options => ({
  // Attempts are as many as the scheduler lets begin; an agent that lets fewer through would hold them up unseen.
  connections: null,
  pipelining: 1,
  // Over HTTP/2 all attempts would share a connection, and be lost with it.
  allowH2: false,
  connectTimeout: connectTimeoutMs,
  keepAliveTimeout: idleMs,
  headersTimeout: 0,
  bodyTimeout: 0,
  connect: {
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    ...(ca === undefined ? undefined : { ca: typeof ca === "string" ? ca : [...ca] })
  }
})

/** Silence is what a render sounds like. The client of `NodeHttpClient` sets an hour on each request, over the agent's. */
const unlimited: Undici.Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
  dispatch({ ...options, headersTimeout: 0, bodyTimeout: 0 }, handler)

/** A client whose connections close with the scope. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<HttpClient.HttpClient, never, Scope.Scope> {
  const agent = yield* NodeHttpClient.makeDispatcherOptions(agentOptions(options))
  return yield* Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, agent.compose(unlimited))
})
