/** A stream of bytes as parts of given sizes, of which one is being filled at a time. */
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** One part. */
export interface Part {
  /** Counted from 1. */
  readonly number: number
  readonly content: Uint8Array
  /** Whether nothing comes after it. */
  readonly last: boolean
}

/** What a part has to begin with: most artifacts are small. */
const firstRoom = 64 * 1024

/** A part that is being filled; its memory grows with it, up to its size. */
class Filling {
  #content: Uint8Array = new Uint8Array(0)
  #bytes = 0
  #number = 1
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
    return { number: this.#number, content: this.#content.subarray(0, this.#bytes), last: true }
  }

  #next(): Part {
    const part = { number: this.#number, content: this.#content, last: false }
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
        const larger = new Uint8Array(Math.min(this.#size, Math.max(firstRoom, needed, this.#content.length * 2)))
        larger.set(this.#content.subarray(0, this.#bytes))
        this.#content = larger
      }
      this.#content.set(piece, this.#bytes)
    }
    this.#bytes += piece.length
  }
}

/** Cuts a stream; there is always a last part, which is empty where there is nothing at all. */
export const parts = <E>(
  body: Stream.Stream<Uint8Array, E>,
  sizeOf: (number: number) => number
): Stream.Stream<Part, E> =>
  body.pipe(
    Stream.map(Option.some),
    // A stream that fails has no end, and no last part.
    Stream.concat(Stream.make(Option.none<Uint8Array>())),
    Stream.mapAccum(
      () => new Filling(sizeOf),
      (filling, piece) => [filling, Option.isSome(piece) ? filling.add(piece.value) : [filling.end()]]
    )
  )
