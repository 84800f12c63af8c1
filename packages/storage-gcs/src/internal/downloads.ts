/**
 * Downloads: one generation of an object, or part of it, as one stream, over as many connections as it takes.
 *
 * What is read from its first byte to its last is checked against the checksum that the service has of it.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Crc32c } from "./crc32c.ts"
import { type Answer, type Requests, silence } from "./requests.ts"
import { type Fault, ofConnection, ofNonsense } from "./serviceFault.ts"

/** All has come, and it is not what the service has. */
export class Damaged extends Data.TaggedError("Damaged")<{ readonly message: string }> {}

/** What is read. */
export interface Range {
  readonly from: number
  /** The byte after the last one; `Infinity` for all there is. Not before `from`. */
  readonly to: number
  /** Which generation it must be. Default: the one that is there at first. */
  readonly generation: string | undefined
}

/** What an answer says of the object and of the bytes that it brings. */
interface Brought {
  readonly from: number
  readonly total: number
  readonly generation: string
  readonly crc32c: string | undefined
}

const broughtBy = ({ headers, status }: Answer<unknown>): Brought | undefined => {
  const [, first, size] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers.get("content-range") ?? "") ?? []
  const total = status === 206 ? size : (headers.get("x-goog-stored-content-length") ?? headers.get("content-length"))
  const generation = headers.get("x-goog-generation")
  if (generation === null || !/^\d+$/.test(total ?? "")) return undefined
  const crc32c = /(?:^|,)\s*crc32c=([A-Za-z0-9+/=]+)/.exec(headers.get("x-goog-hash") ?? "")?.[1]
  return { from: status === 206 ? Number(first) : 0, total: Number(total), generation, crc32c }
}

/**
 * The bytes of a range. Fails with the fault of status 416 where the range begins at the end or after it, and with the
 * fault of status 412 where there is another generation.
 */
export const content = (requests: Requests, url: string, range: Range): Stream.Stream<Uint8Array, Damaged | Fault> =>
  Stream.suspend(() => {
    const asked = `GET ${new URL(url).pathname}`
    const checksum = new Crc32c()
    let { generation } = range
    let next = range.from
    let end = range.to
    let brought: Brought | undefined

    /** From here to the end, or to where it breaks off. */
    const rest = Stream.unwrap(
      Effect.gen(function* () {
        // All has come, and the connection broke before its end was told.
        if (next >= end) return Stream.empty
        const wanted = next === 0 && end === Infinity ? undefined : `bytes=${next}-${end === Infinity ? "" : end - 1}`
        const answer = yield* requests.open({
          method: "GET",
          url,
          params: { alt: "media", ifGenerationMatch: generation },
          headers: { "accept-encoding": "gzip", ...(wanted === undefined ? undefined : { range: wanted }) }
        })
        brought = broughtBy(answer)
        if (brought === undefined || brought.from !== next) {
          return yield* ofNonsense(asked, `asked for ${wanted ?? "everything"}, the service gave something else`)
        }
        generation ??= brought.generation
        end = Math.min(end, brought.total)
        return Stream.fromAsyncIterable(answer.body, (error) => ofConnection(asked, error)).pipe(
          Stream.timeoutOrElse({
            duration: silence,
            orElse: () => Stream.fail(ofNonsense(asked, `nothing came for ${Duration.format(silence)}`))
          }),
          Stream.tap((piece) => {
            if (next + piece.length > end) return Effect.fail(ofNonsense(asked, "more came than was asked for"))
            next += piece.length
            checksum.update(piece)
            return Effect.void
          }),
          Stream.concat(
            Stream.suspend(() =>
              next < end ? Stream.fail(ofNonsense(asked, `${end - next} bytes did not come`)) : Stream.empty
            )
          )
        )
      })
    )

    const verified = Stream.suspend(() => {
      const whole = range.from === 0 && end === brought?.total
      const found = checksum.digest()
      return whole && brought?.crc32c !== undefined && brought.crc32c !== found
        ? Stream.fail(new Damaged({ message: `its CRC-32C is ${found}, and the service has ${brought.crc32c}` }))
        : Stream.empty
    })

    return Stream.concat(Stream.retry(rest, requests.again), verified)
  })
