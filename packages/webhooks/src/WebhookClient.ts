/**
 * The HTTP client that webhooks are sent with, on Node: it follows no redirect, sends nothing twice by itself, and, where
 * it is told to, connects to public addresses alone.
 *
 * On another runtime any `HttpClient` will do that does not follow redirects, such as `FetchHttpClient.layer`, whose
 * requests are told not to. Whether such a client may connect to private addresses is then for its network to say.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import ipaddr from "ipaddr.js"
import { lookup as resolve } from "node:dns"
import { isIP, type LookupFunction } from "node:net"

/** How connections come about. */
export interface Options {
  /**
   * Whether this machine and private networks may be connected to: `refuse` where users set the URLs of endpoints, for
   * those could lead to what only this machine can reach, such as a cloud's metadata. Names are resolved first, and the
   * addresses that were looked at are those that are connected to. Default: `allow`.
   */
  readonly privateAddresses?: "allow" | "refuse" | undefined
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | ReadonlyArray<string> | undefined
}

/** An endpoint leads to an address that is not connected to. */
export class PrivateAddress extends Error {
  override readonly name = "PrivateAddress"

  constructor(hostname: string) {
    super(
      `${hostname} is this machine, or in a private network, and those are refused: use a public address, or allow it with privateAddresses`
    )
  }
}

/** Whether an address can be reached from everywhere: not private, local, shared, reserved, translated or multicast. */
export const isPublic = (address: string): boolean => {
  const parsed = ipaddr.process(address)
  if (parsed.range() !== "unicast") return false
  // Of IPv6, this is all that was ever given to anybody.
  return !(parsed instanceof ipaddr.IPv6) || parsed.match(ipaddr.IPv6.parseCIDR("2000::/3"))
}

/** How long an idle connection is kept, so that no request goes into one that the other side has just closed. */
const idleMs = 4000

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

/** A client whose connections close with the scope. */
export const make: (options?: Options) => Effect.Effect<HttpClient.HttpClient, never, Scope.Scope> = Effect.fnUntraced(
  function* (options = {}) {
    const { ca, privateAddresses = "allow" } = options
    const refuses = privateAddresses === "refuse"
    const agent = yield* NodeHttpClient.makeDispatcherOptions({
      pipelining: 1,
      keepAliveTimeout: idleMs,
      connect: {
        ...(ca === undefined ? undefined : { ca: typeof ca === "string" ? ca : [...ca] }),
        ...(refuses ? { lookup: lookupPublic } : undefined)
      }
    })
    const client = yield* Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, agent)
    if (!refuses) return client
    // Node resolves no name that is an address, so that `lookup` would not see it.
    return HttpClient.transform(client, (effect, request) => {
      const hostname = URL.parse(request.url)?.hostname.replace(/^\[|\]$/g, "") ?? ""
      return isIP(hostname) !== 0 && !isPublic(hostname)
        ? Effect.fail(
            new HttpClientError.HttpClientError({
              reason: new HttpClientError.TransportError({ request, cause: new PrivateAddress(hostname) })
            })
          )
        : effect
    })
  }
)

/** {@link make} as a layer. */
export const layer = (options: Options = {}): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(HttpClient.HttpClient, make(options))
