/** What tests of a worker's server need: a server with a storage in memory, and clients that do as they please. */
import { ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import * as FakeArtifactStorage from "@helios-infra/testkit/FakeArtifactStorage"
import * as WorkerServer from "@helios-infra/worker-runtime/WorkerServer"
import { Effect, Layer, Option, Redacted, type Scope } from "effect"
import { createHmac } from "node:crypto"
import { type IncomingHttpHeaders, request as startRequest } from "node:http"
import { connect, type Socket } from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Rig from "./Rig.ts"

export const secret = "a secret of the tests"

/** What a client has to send to be let in. */
export const headers = { "content-type": "application/json", authorization: `Bearer ${secret}` }

/** The headers for a stream of events. */
export const streaming = { ...headers, accept: "application/x-ndjson" }

/** A chunk of the job in the storage. */
export const chunk = { jobPath: "artifact:jobs/film/job.json", chunkIndex: 3, jobId: "film", attempt: 2 }

/** A server with a storage in memory, on a port that is free. */
export const serve = Effect.fnUntraced(function* (
  options: Partial<WorkerServer.Options> = {},
  /** What it logs. */
  lines: Array<string> = []
) {
  const dir = yield* Rig.folder
  const { fake, storage } = yield* FakeArtifactStorage.make()
  const server = yield* WorkerServer.make({
    workspaceDir: dir,
    storage: Layer.succeed(ArtifactStorage, storage),
    killGrace: "300 millis",
    cancelInterval: "50 millis",
    auth: { type: "shared-secret", secrets: [Redacted.make(secret)] },
    port: 0,
    drainTimeout: 0,
    ...options
  }).pipe(Rig.logsTo(lines))
  const store = (script: string) => fake.store("jobs/film/job.json", JSON.stringify(Rig.job(script)))
  /** Whether anything of a command is left. */
  const leftovers = () => Rig.processesWith(dir)
  return { ...server, dir, fake, leftovers, store }
})

/** An answer. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** What a client sends. */
export interface Call {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/** Asks, over a connection of its own; goes away when it is interrupted. */
export const call = (url: string, options: Call = {}): Effect.Effect<Answer> => {
  const { body, headers = {}, method = body === undefined ? "GET" : "POST", path = "/" } = options
  return Effect.callback<Answer>((resume) => {
    const { hostname, port } = new URL(url)
    const request = startRequest({ hostname, port, path, method, headers, agent: false }, (response) => {
      const pieces: Array<Buffer> = []
      response.on("data", (piece: Buffer) => pieces.push(piece))
      response.once("error", (error) => resume(Effect.die(error)))
      response.once("end", () =>
        resume(
          Effect.succeed({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(pieces).toString()
          })
        )
      )
    })
    request.once("error", (error) => resume(Effect.die(error)))
    request.end(body)
    return Effect.sync(() => request.destroy())
  })
}

/** Asks for a chunk, and reads the answer. */
export const ask = (
  url: string,
  request: unknown = chunk,
  more: Readonly<Record<string, string>> = headers,
  path = "/"
): Effect.Effect<Answer & { readonly reply: WorkerProtocol.WorkerReply }> =>
  Effect.flatMap(call(url, { path, body: JSON.stringify(request), headers: more }), (answer) =>
    Effect.map(replyIn(answer.text), (reply) => ({ ...answer, reply }))
  )

/** Reads a reply. */
export const replyIn = (text: string): Effect.Effect<WorkerProtocol.WorkerReply> =>
  Effect.suspend(() => Effect.orDie(WorkerProtocol.decodeReply(JSON.parse(text))))

/** Reads events. */
export const eventsIn = (text: string): Effect.Effect<ReadonlyArray<WorkerProtocol.WorkerEvent>> =>
  Effect.forEach(text.trimEnd().split("\n"), (line) =>
    Effect.orDie(Effect.map(WorkerProtocol.decodeEvent(line), Option.getOrThrow))
  )

/** The answer at the end of events. */
export const lastIn = (text: string): Effect.Effect<WorkerProtocol.WorkerReply> =>
  Effect.flatMap(eventsIn(text), (events) => {
    const last = events.at(-1)
    return last?.event === "result"
      ? Effect.succeed(last.reply)
      : Effect.die(new Error("the events end with no answer"))
  })

/** The headers of a request that is signed. */
export const signed = (body: string, seconds: number, key = secret): Readonly<Record<string, string>> => {
  const signature = createHmac("sha256", key).update(WorkerProtocol.signedText(seconds, body)).digest("hex")
  return { "content-type": "application/json", [WorkerProtocol.signatureHeader]: `t=${seconds},v1=${signature}` }
}

/** A connection, for what no client would send. */
export interface Connection {
  readonly socket: Socket
  /** What came so far. */
  readonly text: () => string
  /** Whether the server has closed it. */
  readonly closed: () => boolean
  readonly send: (text: string | Uint8Array) => void
}

/** Connects; disconnects after the test. */
export const connection = (port: number): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Connection>((resume) => {
      const pieces: Array<Buffer> = []
      let closed = false
      const socket = connect(port, "127.0.0.1", () =>
        resume(
          Effect.succeed({
            socket,
            text: () => Buffer.concat(pieces).toString(),
            closed: () => closed,
            send: (text) => void (closed || socket.write(text))
          })
        )
      )
      socket.on("data", (piece) => pieces.push(piece))
      // Being cut off is what is looked for.
      socket.on("error", () => {})
      socket.on("close", () => (closed = true))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** The text of a request for a chunk. */
export const requestText = (
  body: string = JSON.stringify(chunk),
  more: Readonly<Record<string, string>> = headers
): string => {
  const all = { host: "localhost", "content-length": String(Buffer.byteLength(body)), ...more }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST / HTTP/1.1\r\n${lines.join("")}\r\n${body}`
}

/** How much is held, in bytes, without what only waits to be collected. */
export const held = Effect.sync(() => {
  setFlagsFromString("--expose-gc")
  const gc: unknown = runInNewContext("gc")
  if (typeof gc === "function") Reflect.apply(gc, undefined, [])
  const { external, heapUsed } = process.memoryUsage()
  return external + heapUsed
})
