/** A receiver on this machine, over real connections: it records what came, and answers as nastily as a test wants. */
import { receive, type Verified } from "@helios-infra/webhooks/verify"
import { Effect, Schedule, type Scope } from "effect"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

/** A request that came. */
interface Received {
  readonly headers: http.IncomingHttpHeaders
  readonly verified: Verified
}

/** Answers a request that was verified. */
export type Answer = (response: http.ServerResponse, received: Received, count: number) => void

export interface Receiver {
  readonly url: string
  readonly received: Array<Received>
  /** How many connections are open. */
  readonly connections: () => number
}

export const answer =
  (status: number, headers: http.OutgoingHttpHeaders = {}, body = ""): Answer =>
  (response) =>
    void response.writeHead(status, headers).end(body)

/** Answers nothing, ever. */
export const hang: Answer = () => {}

/** Breaks the connection before the answer. */
export const breakOff: Answer = (response) => void response.socket?.destroy()

/** Begins an answer with a length, and breaks off in the middle of it. */
export const breakInTheMiddle =
  (status: number): Answer =>
  (response) => {
    response.writeHead(status, { "content-length": "1000" })
    response.write("half of it", () => response.socket?.destroy())
  }

/** An answer that never ends, as fast as it is read. */
export const endless =
  (status: number, pieces: { count: number }): Answer =>
  (response) => {
    response.writeHead(status)
    const piece = Buffer.alloc(65_536, "x")
    const more = (): void => {
      while (!response.destroyed) {
        pieces.count++
        if (!response.write(piece)) {
          response.once("drain", more)
          return
        }
      }
    }
    more()
  }

/** Sends its status line letter by letter, and does not get far. */
export const slowly: Answer = (response) => {
  const text = "HTTP/1.1 200 OK\r\nx-slow: "
  let sent = 0
  const timer = setInterval(() => {
    const { socket } = response
    if (socket === null || socket.destroyed) return clearInterval(timer)
    socket.write(text[sent++] ?? "x")
  }, 20)
}

export const make = (
  secrets: ReadonlyArray<string>,
  respond: Answer = answer(204)
): Effect.Effect<Receiver, never, Scope.Scope> =>
  Effect.gen(function* () {
    const received: Array<Received> = []
    const sockets = new Set<unknown>()
    const server = http.createServer((request, response) => {
      receive(request, { secrets }).then(
        (verified) => {
          const one = { headers: request.headers, verified }
          received.push(one)
          return respond(response, one, received.length)
        },
        (error: unknown) => response.writeHead(400).end(String(error))
      )
    })
    server.on("connection", (socket) => {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    // oxlint-disable-next-line no-unsafe-type-assertion -- a server that listens on a port has one
    const { port } = server.address() as AddressInfo
    return { url: `http://127.0.0.1:${port}/hook`, received, connections: () => sockets.size }
  })

/** Waits until something is so. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("5 millis") }),
    Effect.asVoid
  )
