/**
 * What stands between a caller and a worker on somebody's platform: it refuses what the platform would refuse, passes on
 * the rest as it comes, and ends what takes too long.
 */
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as http from "node:http"
import type { Socket } from "node:net"
import type { Refusal } from "./FakeWorker.ts"

export interface Rules {
  /** Where requests are passed on to. */
  readonly worker: string
  /** Looks at a request before the worker gets it. */
  readonly guard: (request: http.IncomingMessage) => Refusal | undefined | Promise<Refusal | undefined>
  /** The largest body that it takes, in bytes. */
  readonly maxBodyBytes: number
  /** What it says to a larger one. */
  readonly tooLarge: Refusal
  /** How many requests it serves at once, and what it says to more. */
  readonly capacity: number
  readonly full: Refusal
  /** How long a request can be without a byte, in milliseconds, and what it says then. */
  readonly idleMs: number
  readonly idle: Refusal
}

export interface FakePlatform {
  readonly origin: string
  /** How many requests the worker got. */
  readonly passed: () => number
}

export const make = (rules: Rules): Effect.Effect<FakePlatform, never, Scope.Scope> => {
  const sockets = new Set<Socket>()
  let serving = 0
  let passed = 0

  const serve = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const refuse = ({ body = "", headers = {}, status }: Refusal) => {
      if (response.headersSent) return void response.destroy()
      // Nothing of the body has to be read for that.
      response.writeHead(status, { ...headers, connection: "close" }).end(body)
    }
    const refusal = await rules.guard(request)
    if (refusal !== undefined) return refuse(refusal)
    if (Number(request.headers["content-length"] ?? Infinity) > rules.maxBodyBytes) return refuse(rules.tooLarge)
    if (serving >= rules.capacity) return refuse(rules.full)

    serving += 1
    passed += 1
    const { host: _, ...headers } = request.headers
    const onward = http.request(rules.worker, { method: request.method ?? "GET", headers }, (answer) => {
      touch()
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.on("data", touch)
      answer.pipe(response)
    })
    let idle: NodeJS.Timeout | undefined
    let touched = 0
    const touch = () => {
      touched += 1
      const seen = touched
      clearTimeout(idle)
      idle = setTimeout(() => {
        // On a machine that is busy, what came in time may not have been looked at yet.
        setImmediate(() => setImmediate(() => touched === seen && refuse(rules.idle)))
      }, rules.idleMs)
    }
    touch()
    onward.on("error", () => refuse({ status: 502 }))
    response.once("close", () => {
      serving -= 1
      clearTimeout(idle)
      onward.destroy()
    })
    request.pipe(onward)
  }

  return Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<http.Server>((resolve) => {
          const server = http.createServer((request, response) => void serve(request, response))
          server.on("connection", (socket) => {
            sockets.add(socket)
            socket.once("close", () => sockets.delete(socket))
          })
          server.listen(0, "127.0.0.1", () => resolve(server))
        })
    ),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      if (address === null || typeof address === "string") return assert.fail("no port")
      return { origin: `http://127.0.0.1:${address.port}`, passed: () => passed }
    })
  )
}
