/** A stream of bytes as chunks of one size, of which one is being filled at a time. */
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** One chunk. */
export interface Chunk {
  /** The place of its first byte. */
  readonly from: number
  readonly content: Uint8Array
  /** Whether nothing comes after it; only this one may be smaller, or empty. */
  readonly last: boolean
}

/** What a chunk has to begin with: most artifacts are small. */
const firstRoom = 64 * 1024

/** A chunk that is being filled; its memory grows with it, up to its size. */
class Filling {
  #content: Uint8Array = new Uint8Array(0)
  #bytes = 0
  #from = 0
  readonly #size: number

  constructor(size: number) {
    this.#size = size
  }

  /** Adds bytes, and gives the chunks of which it is known now that they are full and not the last one. */
  add(piece: Uint8Array): Array<Chunk> {
    const full: Array<Chunk> = []
    let rest = piece
    while (rest.length > 0) {
      if (this.#bytes === this.#size) full.push(this.#next())
      const taken = rest.subarray(0, this.#size - this.#bytes)
      this.#take(taken)
      rest = rest.subarray(taken.length)
    }
    return full
  }

  /** The last chunk. */
  end(): Chunk {
    return { from: this.#from, content: this.#content.subarray(0, this.#bytes), last: true }
  }

  #next(): Chunk {
    const chunk = { from: this.#from, content: this.#content, last: false }
    this.#from += this.#bytes
    this.#content = new Uint8Array(0)
    this.#bytes = 0
    return chunk
  }

  #take(piece: Uint8Array): void {
    if (piece.length === this.#size) {
      // Nothing to put together.
      this.#content = piece
    } else {
      const needed = this.#bytes + piece.length
      if (needed > this.#content.length) {
        // Who has filled one chunk fills another.
        const room = this.#from > 0 ? this.#size : Math.max(firstRoom, needed, this.#content.length * 2)
        const larger = new Uint8Array(Math.min(this.#size, room))
        larger.set(this.#content.subarray(0, this.#bytes))
        this.#content = larger
      }
      this.#content.set(piece, this.#bytes)
    }
    this.#bytes += piece.length
  }
}

/** Cuts a stream; there is always a last chunk, which is empty where there is nothing at all. */
export const chunks = <E>(body: Stream.Stream<Uint8Array, E>, size: number): Stream.Stream<Chunk, E> =>
  body.pipe(
    Stream.map(Option.some),
    // A stream that fails has no end, and no last chunk.
    Stream.concat(Stream.make(Option.none<Uint8Array>())),
    Stream.mapAccum(
      () => new Filling(size),
      (filling, piece) => [filling, Option.isSome(piece) ? filling.add(piece.value) : [filling.end()]]
    )
  )
