/** Files as streams of bytes, hashed on their way. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import { file, type FileError } from "./files.ts"

/** So many bytes are read at once. */
const pieceBytes = 256 * 1024

/** What a file holds. */
export interface Content {
  readonly bytes: number
  /** SHA-256 in lower-case hexadecimal. */
  readonly sha256: string
}

/** The bytes of an open file from `from` up to, and not including, `to`; it ends where the file does. */
export const readHandle = (
  handle: fs.FileHandle,
  { from = 0, to = Infinity }: { readonly from?: number | undefined; readonly to?: number | undefined } = {}
): Stream.Stream<Uint8Array, FileError> =>
  Stream.unfold(
    from,
    Effect.fnUntraced(function* (at: number) {
      const wanted = Math.min(pieceBytes, to - at)
      if (wanted <= 0) return undefined
      const { buffer, bytesRead } = yield* file(() => handle.read(new Uint8Array(wanted), 0, wanted, at))
      return bytesRead === 0 ? undefined : [buffer.subarray(0, bytesRead), at + bytesRead]
    })
  )

/** Opens a file for as long as a stream of it is read. */
export const withHandle = <A, E>(
  path: string,
  flags: string,
  use: (handle: fs.FileHandle) => Stream.Stream<A, E>
): Stream.Stream<A, E | FileError> =>
  Stream.unwrap(
    Effect.map(
      Effect.acquireRelease(
        file(() => fs.open(path, flags)),
        (handle) => Effect.ignore(file(() => handle.close()))
      ),
      use
    )
  )

/** All bytes of a file. */
export const read = (path: string): Stream.Stream<Uint8Array, FileError> =>
  withHandle(path, "r", (handle) => readHandle(handle))

/** What a stream amounts to, hashed piece by piece; `each` sees every piece. */
export const contentOf = <E, E2 = never>(
  stream: Stream.Stream<Uint8Array, E>,
  each: (piece: Uint8Array) => Effect.Effect<void, E2> = () => Effect.void
): Effect.Effect<Content, E | E2> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    let bytes = 0
    return Stream.runForEach(stream, (piece) => {
      hash.update(piece)
      bytes += piece.length
      return each(piece)
    }).pipe(Effect.map(() => ({ bytes, sha256: hash.digest("hex") })))
  })

/**
 * Writes a stream to a file that must not be there yet; with `sync`, it is on the disk after that. `meaning` tells the
 * file's own failures from those of the stream.
 */
export const write = <E, E2>(
  path: string,
  stream: Stream.Stream<Uint8Array, E>,
  meaning: (error: FileError) => E2,
  { sync = false }: { readonly sync?: boolean | undefined } = {}
): Effect.Effect<Content, E | E2> => {
  const act = <A>(run: () => Promise<A>) => Effect.mapError(file(run), meaning)
  return Effect.acquireUseRelease(
    act(() => fs.open(path, "wx")),
    (handle) =>
      contentOf(stream, (piece) => act(() => handle.writeFile(piece))).pipe(
        Effect.tap(() => (sync ? act(() => handle.sync()) : Effect.void))
      ),
    (handle) => Effect.ignore(file(() => handle.close()))
  )
}
