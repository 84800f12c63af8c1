/**
 * All that a command prints, in a file, up to a limit: the first half of it and the end, where it printed more.
 *
 * ```
 * [ the first half of the limit │ a ring that holds the end ]
 * ```
 *
 * Written synchronously and in large pieces, so that a command that prints without end holds no memory here. A disk that
 * is full ends the log, and nothing else.
 */
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import type { Body } from "./guardedHttp.ts"

/** A log that is being written. */
export interface AttemptLog {
  /** Adds a line. Never throws. */
  readonly line: (text: string) => void
  /** What was kept so far. */
  readonly body: Effect.Effect<Body<LocalFiles.FileError>>
}

/** How much is written at once. A line has at most 8192 UTF-16 units, three bytes each. */
const pieceBytes = 64 * 1024

/** Begins a log in a new file. */
export const make = Effect.fnUntraced(function* (
  file: string,
  maxBytes: number
): Effect.fn.Return<AttemptLog, LocalFiles.FileError, Scope.Scope> {
  const fd = yield* Effect.acquireRelease(
    LocalFiles.file(() => Promise.resolve(fs.openSync(file, "wx+", 0o600))),
    (fd) => Effect.sync(() => fs.closeSync(fd))
  )
  const head = Math.floor(maxBytes / 2)
  const ring = maxBytes - head
  const buffer = Buffer.alloc(pieceBytes)
  let used = 0
  /** How many bytes were printed and written, kept or not. */
  let total = 0
  let broken: string | undefined

  /** Where in the file the byte with this number is. */
  const placeOf = (number: number): number => (number < head ? number : head + ((number - head) % ring))

  const flush = (): void => {
    let from = 0
    while (broken === undefined && from < used) {
      const place = placeOf(total)
      const room = (place < head ? head : maxBytes) - place
      const written = Result.try(() => fs.writeSync(fd, buffer, from, Math.min(used - from, room), place))
      if (Result.isFailure(written)) {
        broken = String(written.failure)
        break
      }
      from += written.success
      total += written.success
    }
    used = 0
  }

  const line = (text: string): void => {
    if (broken !== undefined) return
    if (used + text.length * 3 + 1 > pieceBytes) flush()
    used += buffer.write(text, used)
    used += buffer.write("\n", used)
  }

  const body = Effect.sync(() => {
    flush()
    const end = broken === undefined ? "" : `[the rest of the log could not be kept: ${broken}]\n`
    if (total <= maxBytes) {
      return concatenate([part(file, 0, total), text(end)])
    }
    const left = `\n[${total - maxBytes} bytes are left out here]\n`
    const oldest = placeOf(total)
    return concatenate([
      part(file, 0, head),
      text(left),
      part(file, oldest, maxBytes),
      part(file, head, oldest),
      text(end)
    ])
  })

  return { line, body }
})

type Piece = Body<LocalFiles.FileError>

const text = (content: string): Piece => {
  const bytes = Buffer.from(content)
  return { bytes: bytes.length, content: Stream.make(bytes) }
}

const part = (file: string, from: number, to: number): Piece => ({
  bytes: to - from,
  content: LocalFiles.withHandle(file, "r", (handle) => LocalFiles.readHandle(handle, { from, to }))
})

const concatenate = (pieces: ReadonlyArray<Piece>): Piece => ({
  bytes: pieces.reduce((bytes, piece) => bytes + piece.bytes, 0),
  content: Stream.fromIterable(pieces).pipe(Stream.flatMap(({ content }) => content))
})
