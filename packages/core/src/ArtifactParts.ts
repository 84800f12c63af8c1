/**
 * A stream of bytes as parts of given sizes, for storages that take an artifact in several requests: of whatever length the
 * stream and its pieces are, one part is in memory at a time, and it is known of each whether it is the last.
 *
 * ```ts
 * import * as ArtifactParts from "@helios-infra/core/ArtifactParts"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * declare const send: (number: number, content: Uint8Array, last: boolean) => Effect.Effect<void>
 *
 * export const upload = (body: Stream.Stream<Uint8Array>) =>
 *   Stream.runForEach(
 *     ArtifactParts.parts(body, () => 8 * 1024 * 1024),
 *     ({ content, last, number }) => send(number, content, last)
 *   )
 * ```
 */
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** One part. */
export interface Part {
  /** Counted from 1. */
  readonly number: number
  /** The place of its first byte, in bytes from 0. */
  readonly from: number
  /** Its bytes, which are not written to again. */
  readonly content: Uint8Array
  /** Whether nothing comes after it; only this one may be smaller than it should be, or empty. */
  readonly last: boolean
}

/** What a part has to begin with, in bytes: most artifacts are small. */
const firstRoom = 64 * 1024

/** A part that is being filled; its memory grows with it, up to its size. */
class Filling {
  #content: Uint8Array = new Uint8Array(0)
  #bytes = 0
  #number = 1
  #from = 0
  #size: number
  readonly #sizeOf: (number: number) => number

  constructor(sizeOf: (number: number) => number) {
    this.#sizeOf = sizeOf
    this.#size = sizeOf(1)
  }

  /** Adds bytes, and gives the parts of which it is known now that they are full and not the last one. */
  add(piece: Uint8Array): Array<Part> {
    const full: Array<Part> = []
    let rest = piece
    while (rest.length > 0) {
      if (this.#bytes === this.#size) full.push(this.#next())
      const taken = rest.subarray(0, this.#size - this.#bytes)
      this.#take(taken)
      rest = rest.subarray(taken.length)
    }
    return full
  }

  /** The last part. */
  end(): Part {
    return { number: this.#number, from: this.#from, content: this.#content.subarray(0, this.#bytes), last: true }
  }

  #next(): Part {
    const part = { number: this.#number, from: this.#from, content: this.#content, last: false }
    this.#from += this.#bytes
    this.#content = new Uint8Array(0)
    this.#bytes = 0
    this.#size = this.#sizeOf(++this.#number)
    return part
  }

  #take(piece: Uint8Array): void {
    if (piece.length === this.#size) {
      // Nothing to put together.
      this.#content = piece
    } else {
      const needed = this.#bytes + piece.length
      if (needed > this.#content.length) {
        // Who has filled one part fills another.
        const room = this.#number > 1 ? this.#size : Math.max(firstRoom, needed, this.#content.length * 2)
        const larger = new Uint8Array(Math.min(this.#size, room))
        larger.set(this.#content.subarray(0, this.#bytes))
        this.#content = larger
      }
      this.#content.set(piece, this.#bytes)
    }
    this.#bytes += piece.length
  }
}

/**
 * Cuts a stream into parts of so many bytes each, by their numbers; sizes are 1 or more. There is always a last part, which
 * is empty where there is nothing at all. A stream that fails fails its parts, and has no last one.
 */
export const parts = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  sizeOf: (number: number) => number
): Stream.Stream<Part, E, R> =>
  body.pipe(
    Stream.map(Option.some),
    // A stream that fails has no end, and no last part.
    Stream.concat(Stream.make(Option.none<Uint8Array>())),
    Stream.mapAccum(
      () => new Filling(sizeOf),
      (filling, piece) => [filling, Option.isSome(piece) ? filling.add(piece.value) : [filling.end()]]
    )
  )
