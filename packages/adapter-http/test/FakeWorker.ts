/**
 * A worker on this machine that speaks the protocol over real connections, strictly: what a worker would not take fails
 * here too. What it renders is made up, in commands of its own, and everything that can go wrong can be asked for.
 */
import { WorkerProtocol } from "@helios-infra/core"
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as http from "node:http"
import * as https from "node:https"
import type { Socket } from "node:net"

/** A request that is being answered. */
export interface Exchange {
  readonly request: http.IncomingMessage
  readonly response: http.ServerResponse
  /** The body as it came. */
  readonly body: string
  readonly asked: WorkerProtocol.WorkerRequest
  /** Whether the other side has hung up. */
  readonly hungUp: () => boolean
  /** Begins a stream of events. */
  readonly begin: () => void
  /** Sends an event. */
  readonly send: (event: WorkerProtocol.WorkerEvent) => void
  /** Sends the result as the last event, or as the whole answer where no stream began. */
  readonly finish: (reply: WorkerProtocol.WorkerReply) => void
}

export interface Options {
  /** What is done with a request that is one. Default: it is rendered. */
  readonly respond?: ((exchange: Exchange) => void) | undefined
  /** Whether it sends events. Default: true. */
  readonly events?: boolean | undefined
  /** Looks at a request before anything else does; gives the status with which it is refused. */
  readonly guard?: ((request: http.IncomingMessage, body: string) => Refusal | undefined) | undefined
  /** Who it says it is; `undefined` where it does not say. Default: `worker-1`. */
  readonly workerId?: string | undefined
  /** Serves https with this certificate. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
}

export interface Refusal {
  readonly status: number
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: string
}

export interface FakeWorker {
  readonly origin: string
  /** Where it renders. */
  readonly url: string
  /** All requests to render that came, also those that were refused. */
  readonly requests: Array<{ readonly headers: http.IncomingHttpHeaders; readonly body: string }>
  /** The commands of its job files, by their names. */
  readonly jobs: Map<string, string>
  /** What it stored: sizes by key. */
  readonly stored: Map<string, number>
  /** How many attempts run. */
  readonly running: () => number
  /** How many connections are open. */
  readonly connections: () => number
  /** Breaks every connection. */
  readonly cut: () => void
}

export const heartbeatMs = 20

const result = (more: object = {}): WorkerProtocol.WorkerReply => ({
  _tag: "Result",
  protocol: 1,
  result: { exitCode: 0, stdout: "", stderr: "", durationMs: 1, ...more }
})

/** Answers at once that all went well. */
export const succeed = ({ finish }: Exchange): void => finish(result())

/** Answers nothing, ever. */
export const hang = (): void => {}

export const make = (options: Options = {}): Effect.Effect<FakeWorker, never, Scope.Scope> => {
  const { events = true, guard = () => undefined, tls } = options
  const workerId = "workerId" in options ? options.workerId : "worker-1"
  const requests: FakeWorker["requests"] = []
  const jobs = new Map<string, string>()
  const stored = new Map<string, number>()
  const sockets = new Set<Socket>()
  let running = 0

  const errorOf = (asked: WorkerProtocol.WorkerRequest, reason: object) => ({
    _tag: "Error",
    protocol: 1,
    error: { _tag: "WorkerError", adapter: "worker", jobId: asked.jobId ?? "?", chunkId: 1, attempt: 99, reason }
  })

  /** Renders, which is: does what the command of the job file says. */
  const render = (exchange: Exchange): void => {
    const { asked, begin, response, send } = exchange
    const command = jobs.get(asked.jobPath) ?? "idle"
    const [word = "", first = "", ...more] = command.split(" ")
    const streams = events && String(exchange.request.headers.accept).includes(WorkerProtocol.eventsMediaType)
    const id = workerId === undefined ? undefined : { workerId }
    let beating: NodeJS.Timeout | undefined
    const finish = (reply: unknown) => {
      // It may take a while until all is sent, and it is closed.
      clearInterval(beating)
      if (streams) response.end(`${JSON.stringify({ event: "result", reply })}\n`)
      else response.setHeader("content-type", "application/json").end(JSON.stringify(reply))
    }
    const done = (printed: { readonly stdout?: string; readonly stderr?: string; readonly output?: object } = {}) =>
      finish(result({ ...printed, ...id }))
    if (streams) {
      begin()
      send({ event: "heartbeat", ...id })
      beating = setInterval(() => send({ event: "heartbeat", ...id }), heartbeatMs)
      response.once("close", () => clearInterval(beating))
    }
    const tail = (stream: "stdout" | "stderr", text: string) => {
      if (streams) send({ event: "log", stream, text: text.slice(-4096) })
      return text.slice(-4096)
    }
    /** Tells so many bytes of both outputs, as fast as somebody reads. */
    const flood = (bytes: number, over: () => void): void => {
      const text = "x".repeat(16_384)
      let left = streams ? bytes : 0
      const go = (): void => {
        while (left > 0) {
          send({ event: "log", stream: "stdout", text })
          send({ event: "log", stream: "stderr", text })
          left -= text.length
          if (response.writableNeedDrain) return void response.once("drain", go)
        }
        over()
      }
      go()
    }
    const fail = (reason: object) => finish(errorOf(asked, reason))
    const write = (bytes: number) => {
      const key = asked.artifacts?.output.key ?? "output.mov"
      stored.set(key, bytes)
      done({ output: { location: `artifact:${key}`, bytes } })
    }
    switch (word) {
      case "write":
        return write(Number(first))
      case "late": {
        const timer = setTimeout(write, Number(more[0]), Number(first))
        // Who answers only in the end writes and answers all the same.
        if (streams) response.once("close", () => clearTimeout(timer))
        return
      }
      case "idle":
        return done()
      case "fail": {
        const text = more.join(" ")
        tail("stderr", text)
        return fail({ _tag: "RenderFailed", exitCode: Number(first), stderrTail: text })
      }
      case "print": {
        const text = `${"x".repeat(Math.min(Number(first), 4096))}\n${more.join(" ")}\n`
        return flood(Number(first), () => done({ stdout: tail("stdout", text), stderr: tail("stderr", text) }))
      }
      case "env":
        return done({ stdout: tail("stdout", `${asked.env?.[first]}\n`) })
      case "frames":
        for (const frames of first.split(",")) send({ event: "progress", frames: Number(frames) })
        return done()
      case "hang": {
        running += 1
        // Who answers only in the end does not look whether somebody still listens.
        if (streams) response.once("close", () => void (running -= 1))
        return
      }
      default:
        return fail({ _tag: "Refused", why: "NotFound", fix: `there is no ${word}` })
    }
  }

  const answer = (request: http.IncomingMessage, response: http.ServerResponse, body: string): void => {
    if (request.method === "GET") return void response.end("alive")
    requests.push({ headers: request.headers, body })
    const refuse = ({ body = "", headers = {}, status }: Refusal) => void response.writeHead(status, headers).end(body)
    const refusal = guard(request, body)
    if (refusal !== undefined) return refuse(refusal)
    if (request.url !== "/render") return refuse({ status: 404, body: `no ${request.url}` })
    if (request.method !== "POST") return refuse({ status: 405, body: "POST it" })
    if (request.headers["content-type"] !== "application/json") return refuse({ status: 415, body: "send JSON" })
    const decoded = Effect.runSync(Effect.result(WorkerProtocol.decodeRequest(JSON.parse(body))))
    if (decoded._tag === "Failure") return refuse({ status: 400, body: decoded.failure.message })
    let began = false
    const exchange: Exchange = {
      request,
      response,
      body,
      asked: decoded.success,
      hungUp: () => request.socket.destroyed,
      begin: () => {
        began = true
        response.writeHead(200, { "content-type": WorkerProtocol.eventsMediaType }).flushHeaders()
      },
      send: (event) => void response.write(Effect.runSync(WorkerProtocol.encodeEvent(event))),
      finish: (reply) => {
        if (began) return void response.end(Effect.runSync(WorkerProtocol.encodeEvent({ event: "result", reply })))
        const json = JSON.stringify(Effect.runSync(WorkerProtocol.encodeReply(reply)))
        response.setHeader("content-type", "application/json").end(json)
      }
    }
    const { respond = render } = options
    respond(exchange)
  }

  const listener: http.RequestListener = (request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.once("end", () => answer(request, response, Buffer.concat(parts).toString()))
  }

  const listen = () =>
    new Promise<http.Server | https.Server>((resolve) => {
      const server = tls === undefined ? http.createServer(listener) : https.createServer(tls, listener)
      server.on("connection", (socket: Socket) => {
        sockets.add(socket)
        socket.once("close", () => sockets.delete(socket))
      })
      server.listen(0, "127.0.0.1", () => resolve(server))
    })

  return Effect.acquireRelease(Effect.promise(listen), (server) =>
    Effect.sync(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      if (address === null || typeof address === "string") return assert.fail("no port")
      const origin = `${tls === undefined ? "http" : "https"}://127.0.0.1:${address.port}`
      return {
        origin,
        url: `${origin}/render`,
        requests,
        jobs,
        stored,
        running: () => running,
        connections: () => sockets.size,
        cut: () => {
          for (const socket of sockets) socket.destroy()
        }
      }
    })
  )
}
