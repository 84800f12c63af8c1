/** Reads a body in one piece, and no more of it than was expected. */
import type { HttpClientError } from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** The body is longer than it may be. */
export class TooLong extends Schema.TaggedError<TooLong>()("TooLong", { limit: Schema.Int }) {}

/** The body as text; what comes after `limit` bytes is not read. */
export const text = Effect.fnUntraced(function* (
  response: HttpClientResponse.HttpClientResponse,
  limit: number
): Effect.fn.Return<string, HttpClientError | TooLong> {
  const parts: Array<Uint8Array> = []
  let size = 0
  yield* Stream.runForEach(response.stream, (part) => {
    size += part.length
    if (size > limit) return Effect.fail(new TooLong({ limit }))
    parts.push(part)
    return Effect.void
  })
  return Buffer.concat(parts).toString("utf8")
})
