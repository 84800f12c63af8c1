/**
 * Artifacts of a storage in memory under URLs that expire: a server on the loopback interface, for whoever has no
 * credentials. It starts with the first URL.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { ArtifactError } from "@helios-infra/core/ArtifactStorage"

/** A body ended before all of it had come. */
class BrokenOff extends Data.TaggedError("BrokenOff")<{ readonly cause: unknown }> {}

/** What lies behind the URLs. */
interface Artifacts {
  readonly get: (key: string) => Uint8Array | undefined
  readonly put: <E>(key: string, body: Stream.Stream<Uint8Array, E>) => Effect.Effect<void, ArtifactError | E>
}

/** What one URL is for. */
interface Grant {
  readonly key: string
  readonly method: "GET" | "PUT"
  /** In milliseconds of the clock. */
  readonly until: number
}

/** Makes URLs; they work until the scope closes. */
export const make = Effect.fnUntraced(function* (
  artifacts: Artifacts
): Effect.fn.Return<(grant: Grant) => Effect.Effect<string>, never, Scope.Scope> {
  const grants = new Map<string, Grant>()
  const scope = yield* Effect.scope

  const answer = Effect.fnUntraced(function* (request: IncomingMessage, response: ServerResponse) {
    const grant = grants.get(request.url?.slice(1) ?? "")
    const now = yield* Clock.currentTimeMillis
    if (grant === undefined || grant.method !== request.method || grant.until <= now) return { status: 403 }
    if (grant.method === "PUT") {
      const body = Stream.fromAsyncIterable<Uint8Array, BrokenOff>(request, (cause) => new BrokenOff({ cause }))
      yield* artifacts.put(grant.key, body)
      return { status: 200 }
    }
    const content = artifacts.get(grant.key)
    if (content === undefined) return { status: 404 }
    response.setHeader("accept-ranges", "bytes")
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "")
    if (range === null) return { status: 200, content }
    const from = Number(range[1])
    if (from >= content.length) return { status: 416 }
    const to = range[2] === "" ? content.length : Math.min(content.length, Number(range[2]) + 1)
    response.setHeader("content-range", `bytes ${from}-${to - 1}/${content.length}`)
    return { status: 206, content: content.subarray(from, to) }
  })

  const start = Effect.gen(function* () {
    const run = yield* FiberSet.makeRuntime()
    const server = createServer((request, response) => {
      run(
        answer(request, response).pipe(
          // Who went away in the middle of a body reads no answer.
          Effect.orElseSucceed(() => ({ status: 400 })),
          Effect.map(({ content, status }: { readonly status: number; readonly content?: Uint8Array }) => {
            response.writeHead(status, { "content-length": content?.length ?? 0 }).end(content)
          })
        )
      )
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const address = server.address()
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : address}`
  })

  const origin = yield* Effect.cached(Scope.provide(start, scope))

  return (grant) =>
    Effect.map(origin, (origin) => {
      const token = randomBytes(24).toString("base64url")
      grants.set(token, grant)
      return `${origin}/${token}`
    })
})
