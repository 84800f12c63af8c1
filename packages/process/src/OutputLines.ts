/**
 * What a process prints, as lines while it runs and as a bounded tail when it is over.
 *
 * Takes bytes as they are read: characters that are cut between two reads stay whole, and whatever is printed, no more
 * than one line and one tail is held. It keeps no history beyond the tail.
 */
import * as Result from "effect/Result"
import { StringDecoder } from "node:string_decoder"

/** How long a line can get, in UTF-16 units (at least 1), before it is cut and told in pieces. */
export const defaultMaxLineLength = 8192

/** How much of the end of an output is kept, in bytes. */
export const defaultTailBytes = 4096

/** How many bytes are made into text at once: a line that somebody keeps holds on to the text that it was cut from. */
const pieceBytes = 4096

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

  /** Adds to the line that is being read, and tells what is too much of it. */
  const extend = (text: string): void => {
    rest = rest === "" ? text : rest + text
    while (rest.length > maxLength) {
      // Never between the two halves of a character.
      const cut = (rest.charCodeAt(maxLength) & 0xfc00) === 0xdc00 ? maxLength + 1 : maxLength
      tell(rest.slice(0, cut))
      rest = rest.slice(cut)
    }
  }

  const take = (text: string): void => {
    if (text === "") return
    // The \n of a \r\n that was cut in two.
    let start = afterCarriageReturn && text.startsWith("\n") ? 1 : 0
    afterCarriageReturn = text.endsWith("\r")
    let feed = indexOrEnd(text, "\n", start)
    let carriage = indexOrEnd(text, "\r", start)
    while (start < text.length) {
      const end = Math.min(feed, carriage)
      extend(text.slice(start, end))
      if (end === text.length) return
      tell(rest)
      rest = ""
      start = end === carriage && feed === end + 1 ? end + 2 : end + 1
      if (feed < start) feed = indexOrEnd(text, "\n", start)
      if (carriage < start) carriage = indexOrEnd(text, "\r", start)
    }
  }

  return {
    push: (bytes) => {
      for (let at = 0; at < bytes.length; at += pieceBytes) take(decoder.write(bytes.subarray(at, at + pieceBytes)))
    },
    end: () => {
      take(decoder.end())
      if (rest !== "") tell(rest)
      rest = ""
    }
  }
}

const indexOrEnd = (text: string, of: string, from: number): number => {
  const at = text.indexOf(of, from)
  return at === -1 ? text.length : at
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
