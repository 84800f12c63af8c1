/**
 * What a process prints, as lines while it runs and as a bounded tail when it is over.
 *
 * Takes bytes as they are read: characters that are cut between two reads stay whole, and whatever is printed, no more
 * than one line and one tail is held. It keeps no history beyond the tail.
 */
import * as Result from "effect/Result"
import { StringDecoder } from "node:string_decoder"

/** How long a line can get, in UTF-16 units, before it is cut and told in pieces. */
export const defaultMaxLineLength = 8192

/** How much of the end of an output is kept, in bytes. */
export const defaultTailBytes = 4096

/** Cuts bytes into lines. */
export interface Lines {
  readonly push: (bytes: Uint8Array) => void
  /** Tells the last line if it had no end. */
  readonly end: () => void
}

/**
 * Tells each line as soon as it is complete, without its end. `\n`, `\r\n` and a lone `\r` (how ffmpeg draws its
 * progress) end a line. What `onLine` throws is dropped: an observer cannot break what it observes.
 */
export const lines = (onLine: (line: string) => void, maxLength: number = defaultMaxLineLength): Lines => {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  let afterCarriageReturn = false

  const tell = (line: string) => Result.try(() => onLine(line))

  const take = (text: string): void => {
    let start = 0
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code === 10 || code === 13) {
        // The \n of a \r\n ends no line of its own.
        if (code === 10 && afterCarriageReturn && at === start && rest === "") start = at + 1
        else {
          tell(rest + text.slice(start, at))
          rest = ""
          start = at + 1
        }
        afterCarriageReturn = code === 13
      } else {
        afterCarriageReturn = false
        // Never between the two halves of a character.
        if (rest.length + at - start >= maxLength && (code & 0xfc00) !== 0xdc00) {
          tell(rest + text.slice(start, at))
          rest = ""
          start = at
        }
      }
    }
    rest += text.slice(start)
  }

  return {
    push: (bytes) => take(decoder.write(bytes)),
    end: () => {
      take(decoder.end())
      if (rest !== "") tell(rest)
      rest = ""
    }
  }
}

/** Keeps the end of what it is given. */
export interface Tail {
  readonly push: (bytes: Uint8Array) => void
  /** The last of the text, from the first whole character on. */
  readonly text: () => string
}

/** A tail of at most `limit` bytes. */
export const tail = (limit: number = defaultTailBytes): Tail => {
  let kept = Buffer.alloc(0)
  let cut = false
  return {
    push: (bytes) => {
      cut ||= kept.length + bytes.length > limit
      // Copied: a slice would hold on to the whole buffer of the read.
      const fresh = bytes.subarray(Math.max(0, bytes.length - limit))
      const old = kept.subarray(Math.max(0, kept.length + fresh.length - limit))
      kept = Buffer.concat([old, fresh])
    },
    text: () => {
      let start = 0
      // A UTF-8 character has at most three bytes after its first.
      while (cut && start < 3 && ((kept[start] ?? 0) & 0xc0) === 0x80) start++
      return kept.toString("utf8", start)
    }
  }
}
