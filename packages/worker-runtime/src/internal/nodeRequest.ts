/**
 * One request to a server of Node's as an Effect: what it says, its body as far as that is wanted, and its answer, which
 * gets through also where the client has more to send than anybody reads.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as http from "node:http"

/** A request whose body is not read yet. */
export interface Request {
  readonly method: string
  /** Without what is asked for in its query. */
  readonly path: string
  /** By their lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Reads the body, once; fails as soon as it has more than so many bytes. */
  readonly body: (most: number) => Effect.Effect<Uint8Array, BodyError>
}

/** An answer. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** What is sent at once, or as fast as it is read. */
  readonly content: string | Stream.Stream<Uint8Array>
  /** How long the client may leave a stream unread before it counts as gone. Default: for ever. */
  readonly sendTimeout?: Duration.Duration | undefined
}

/** A body did not come whole, or is not read to its end. */
class BodyError extends Schema.TaggedError<BodyError>()("BodyError", {
  reason: Schema.Literals(["TooLarge", "Incomplete"])
}) {}

// What is not wanted any more of a body is taken nevertheless, so much of it and for so long, so that a client that reads
// only when it has sent all finds its answer, and not that the connection was reset.
const unwantedBytes = 256 * 1024
const unwantedTime = Duration.millis(500)

/**
 * Answers a request. What the app does cannot be interrupted but where it says so, so that what it began is known to be
 * ended; when the client goes, the fiber that this runs in is to be interrupted.
 */
export const handle = (
  app: (request: Request) => Effect.Effect<Answer, never, Scope.Scope>,
  request: http.IncomingMessage,
  response: http.ServerResponse
): Effect.Effect<void> => {
  // Of clients that are gone; there is nobody to be told.
  request.on("error", ignored)
  response.on("error", ignored)
  const broken = Effect.sync(() => {
    if (!response.headersSent) response.writeHead(500, { connection: "close" })
    response.end()
  })
  return app(read(request, response)).pipe(
    Effect.flatMap((answer) => send(answer, request, response)),
    Effect.scoped,
    Effect.catchDefect((defect) => Effect.andThen(Effect.logError("a request could not be answered", defect), broken)),
    Effect.uninterruptible
  )
}

const ignored = (): void => {}

const read = (request: http.IncomingMessage, response: http.ServerResponse): Request => {
  const [path = ""] = (request.url ?? "").split("?", 1)
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value])
  )
  return { method: request.method ?? "", path, headers, body: (most) => bodyOf(request, response, most) }
}

const bodyOf = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  most: number
): Effect.Effect<Uint8Array, BodyError> =>
  Effect.callback((resume) => {
    const pieces: Array<Buffer> = []
    let length = 0
    const onData = (piece: Buffer) => {
      length += piece.length
      if (length > most) {
        request.pause()
        return fail("TooLarge")
      }
      pieces.push(piece)
    }
    const onEnd = () => {
      forget()
      resume(Effect.succeed(Buffer.concat(pieces)))
    }
    const onClose = () => fail("Incomplete")
    const fail = (reason: BodyError["reason"]) => {
      forget()
      resume(Effect.fail(new BodyError({ reason })))
    }
    const forget = () => {
      request.off("data", onData)
      request.off("end", onEnd)
      request.off("close", onClose)
    }
    if (waits(request)) response.writeContinue()
    request.on("data", onData)
    request.on("end", onEnd)
    request.on("close", onClose)
    return Effect.sync(forget)
  })

/** Whether the client asked whether to send its body. */
const waits = ({ headers }: http.IncomingMessage): boolean => headers.expect !== undefined

const send = Effect.fnUntraced(function* (
  { content, headers, sendTimeout, status }: Answer,
  request: http.IncomingMessage,
  response: http.ServerResponse
) {
  // What comes next on a connection is not known where a body is left that may be long, or may not come at all.
  const left = !request.complete && (waits(request) || !(Number(request.headers["content-length"]) <= unwantedBytes))
  const all = left ? { ...headers, connection: "close" } : headers
  if (typeof content === "string") {
    response.writeHead(status, { ...all, "content-length": Buffer.byteLength(content) })
    if (left) {
      response.write(content)
      yield* Effect.timeoutOption(Effect.interruptible(rest(request)), unwantedTime)
      response.end()
    } else response.end(content)
    return
  }
  if (sendTimeout !== undefined) response.setTimeout(Duration.toMillis(sendTimeout), () => response.destroy())
  response.writeHead(status, all)
  yield* Effect.interruptible(
    Stream.runForEach(content, (piece) => (response.write(piece) ? Effect.void : drained(response)))
  )
  response.end()
})

/** Waits for the rest of a body, and takes some of it. */
const rest = (request: http.IncomingMessage): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (request.complete || request.destroyed) return resume(Effect.void)
    let length = 0
    request.on("data", (piece: Buffer) => {
      length += piece.length
      if (length > unwantedBytes) request.pause()
    })
    request.once("end", () => resume(Effect.void))
    request.once("close", () => resume(Effect.void))
    request.resume()
  })

const drained = (response: http.ServerResponse): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const onDrain = () => resume(Effect.void)
    response.once("drain", onDrain)
    return Effect.sync(() => response.off("drain", onDrain))
  })
