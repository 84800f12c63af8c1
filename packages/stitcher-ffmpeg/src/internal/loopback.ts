/**
 * An HTTP server for the ffmpeg of this machine, which reads from it what cannot be a file yet.
 *
 * It listens on 127.0.0.1 only, below a path that nobody can guess, and is gone with its scope. An answer may take as long
 * as what is asked for takes to be there: there is no timeout. Files are sent piece by piece, as they are read; whatever
 * else there is, is nobody's business here.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"

/** What is behind a name: a file or something elsewhere, any part of which can be asked for, or bytes one after the other. */
export type Resource =
  | {
      readonly _tag: "File"
      readonly path: string
      readonly bytes: number
      /** Told why, when the file cannot be read or has another size by now. */
      readonly onLost: (detail: string) => Effect.Effect<void>
    }
  | {
      readonly _tag: "Parts"
      readonly bytes: number
      /** The bytes from one place up to, and not including, another one: fewer where they are lost, which is told elsewhere. */
      readonly read: (from: number, to: number) => Stream.Stream<Uint8Array>
    }
  | { readonly _tag: "Bytes"; readonly content: Stream.Stream<Uint8Array> }

/** A server that listens. */
export interface Loopback {
  /** What a resource's name stands behind: `http://127.0.0.1:4711/<128 random bits>/`. */
  readonly url: string
}

/** How many connections there may be at once: ffmpeg has two or three. */
const maxConnections = 32

/** Listens. `find` may wait for what is to be there; none for what there will never be. */
export const make = Effect.fnUntraced(function* (
  find: (name: string) => Effect.Effect<Option.Option<Resource>>
): Effect.fn.Return<Loopback, Error, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime()
  const base = `/${randomBytes(16).toString("hex")}/`
  // An answer may be hours away.
  const server = createServer({ requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
    const { method = "", url = "" } = request
    // ffmpeg closes the connection when it seeks: that ends the answer, and is no error.
    response.on("error", () => {})
    if (!url.startsWith(base)) return refuse(response, 404)
    if (method !== "GET") return refuse(response, 405)
    const fiber = fork(
      Effect.flatMap(
        find(url.slice(base.length)),
        Option.match({
          onNone: () => Effect.sync(() => refuse(response, 404)),
          onSome: (resource) => {
            switch (resource._tag) {
              case "File":
                return sendFile(request, response, resource)
              case "Parts":
                return sendParts(request, response, resource)
              case "Bytes":
                return sendBytes(response, resource.content)
            }
          }
        })
      )
    )
    response.once("close", () => fiber.interruptUnsafe())
  })
  server.maxConnections = maxConnections
  yield* Effect.acquireRelease(
    Effect.callback<void, Error>((resume) => {
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen({ host: "127.0.0.1", port: 0 }, () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const address = server.address()
  if (address === null || typeof address === "string") return yield* Effect.die("a server without a port")
  return { url: `http://127.0.0.1:${address.port}${base}` }
})

const refuse = (response: ServerResponse, status: number): void => {
  response.writeHead(status, { "Content-Length": 0, Connection: "close" }).end()
}

const sendFile = (
  request: IncomingMessage,
  response: ServerResponse,
  { bytes, onLost, path }: Extract<Resource, { readonly _tag: "File" }>
): Effect.Effect<void> =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => fs.open(path)),
    Effect.fnUntraced(function* (file) {
      const { size } = yield* Effect.tryPromise(() => file.stat())
      if (size !== bytes) {
        yield* onLost(`${size} bytes`)
        return refuse(response, 410)
      }
      const range = answer(request, response, bytes)
      if (range === undefined) return
      const { end, start } = range
      const content = file.createReadStream({ start, end: end - 1, autoClose: false, highWaterMark: 1 << 18 })
      // Whoever asked has gone, or does not get all of it and says so itself.
      yield* Effect.ignore(Effect.tryPromise((signal) => pipeline(content, response, { signal })))
    }),
    (file) => Effect.ignore(Effect.tryPromise(() => file.close()))
  ).pipe(
    Effect.catch(({ cause }) =>
      Effect.andThen(
        onLost(cause instanceof Error ? cause.message : String(cause)),
        Effect.sync(() => refuse(response, 410))
      )
    )
  )

/** Answers with the head of the part that is asked for, and gives that; none where there is no such part. */
const answer = (request: IncomingMessage, response: ServerResponse, bytes: number): Range | undefined => {
  const range = rangeOf(request.headers.range, bytes)
  if (range === undefined) {
    response.writeHead(416, { "Content-Length": 0, "Content-Range": `bytes */${bytes}` }).end()
    return undefined
  }
  const { end, partial, start } = range
  response.writeHead(partial ? 206 : 200, {
    "Accept-Ranges": "bytes",
    "Content-Length": end - start,
    "Content-Type": "application/octet-stream",
    Connection: "close",
    ...(partial ? { "Content-Range": `bytes ${start}-${end - 1}/${bytes}` } : {})
  })
  return range
}

const sendParts = (
  request: IncomingMessage,
  response: ServerResponse,
  { bytes, read }: Extract<Resource, { readonly _tag: "Parts" }>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const range = answer(request, response, bytes)
    return range === undefined ? Effect.void : send(response, read(range.start, range.end))
  })

const send = (response: ServerResponse, content: Stream.Stream<Uint8Array>): Effect.Effect<void> =>
  Effect.ignore(
    Effect.tryPromise((signal) =>
      pipeline(Readable.from(Stream.toAsyncIterable(content), { objectMode: false }), response, { signal })
    )
  )

const sendBytes = (response: ServerResponse, content: Stream.Stream<Uint8Array>): Effect.Effect<void> =>
  Effect.suspend(() => {
    response.writeHead(200, { "Content-Type": "application/octet-stream", Connection: "close" })
    // Said at once: the first bytes may be a long time coming.
    response.flushHeaders()
    return send(response, content)
  })

/** A part of something, its end not included. */
interface Range {
  readonly start: number
  readonly end: number
  readonly partial: boolean
}

/** The part that is asked for; none where there is no such part. ffmpeg asks for one at most. */
const rangeOf = (header: string | undefined, bytes: number): Range | undefined => {
  if (header === undefined) return { start: 0, end: bytes, partial: false }
  const [, from = "", to = ""] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? []
  if (from === "" && to === "") return undefined
  const start = from === "" ? Math.max(0, bytes - Number(to)) : Number(from)
  const end = from === "" || to === "" ? bytes : Math.min(bytes, Number(to) + 1)
  return start < end ? { start, end, partial: true } : undefined
}
