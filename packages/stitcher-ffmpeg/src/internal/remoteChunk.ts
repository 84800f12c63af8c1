/**
 * A chunk that is no file of this machine, read where it is.
 *
 * Of a `.mov` or `.mp4` its index and the beginning are brought here, into a file that is as long as the chunk and empty
 * elsewhere, so that what it holds can be read as of any other; its samples are read once, when they are joined, and hashed
 * as they pass. Others, and those of which more than that is needed, are copied.
 */
import { ChunkInvalid, type ChunkOutput, type RemoteChunk, StitchError } from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import { failWith } from "./stitchFailure.ts"
import * as workFolder from "./workFolder.ts"

/** A chunk elsewhere. */
export interface Remote {
  readonly output: ChunkOutput
  readonly source: RemoteChunk
  /** A copy of it, made when somebody asks for one; known to be what was sent. */
  readonly copy: Effect.Effect<string, StitchError>
}

/** It could not be read; `detail` is what its storage says. */
export interface Lost {
  readonly _tag: "Lost"
  readonly detail: string
}

/** Says how to read a chunk; a copy of it goes where `file` says. */
export const make = (output: ChunkOutput, source: RemoteChunk, file: string, final: string): Effect.Effect<Remote> =>
  Effect.map(Effect.cached(copyTo(output, source, file, final)), (copy) => ({ output, source, copy }))

// ---
// bytes
// ---

/** How often what broke off is gone on with, as long as nothing comes. */
const mostBreaks = 3
const pause = Schedule.exponential("100 millis")

/** A part of a chunk, all of it. What breaks off is gone on with where it did. */
export const read = (source: RemoteChunk, from: number, to: number): Stream.Stream<Uint8Array, Lost> =>
  Stream.suspend(() => {
    let at = from
    const part: Stream.Stream<Uint8Array, Lost> = Stream.suspend(() => source.read({ from: at, to })).pipe(
      Stream.mapError(({ message }): Lost => ({ _tag: "Lost", detail: message })),
      Stream.map((piece) => {
        // Who gives more than it was asked for has not read the range.
        const wanted = piece.subarray(0, to - at)
        at += wanted.length
        return wanted
      }),
      Stream.filter(({ length }) => length > 0)
    )
    const rest = Stream.suspend(() =>
      at === to
        ? Stream.empty
        : Stream.fail<Lost>({ _tag: "Lost", detail: `${at} bytes of it, where ${source.bytes} were sent` })
    )
    return from === to
      ? Stream.empty
      : Stream.retry(Stream.concat(part, rest), Schedule.upTo(pause, { times: mostBreaks }))
  })

const collect = (source: RemoteChunk, from: number, to: number): Effect.Effect<Buffer, Lost> =>
  Effect.map(Stream.runCollect(read(source, from, to)), (pieces) => Buffer.concat(pieces))

/** That a chunk could not be read, as a failure of the stitch. */
export const failure = ({ bytes, chunkId, location }: ChunkOutput, found: string): StitchError =>
  new StitchError({ chunkId, reason: new ChunkInvalid({ expected: `${bytes} bytes at ${location}`, found }) })

// ---
// proof
// ---

/** What has been seen of a chunk's bytes, from the first on. */
export interface Proof {
  /** Bytes that were read, from a place on; they may have been seen before. */
  readonly see: (from: number, bytes: Uint8Array) => void
  /** Sees the rest, and gives the SHA-256. Fails with `ChunkInvalid` where that is not what came with the chunk. */
  readonly finish: Effect.Effect<string, StitchError>
}

/** Begins a proof. */
export const prove = ({ output, source }: Remote): Proof => {
  const hash = createHash("sha256")
  let position = 0
  const see: Proof["see"] = (from, bytes) => {
    if (from > position || from + bytes.length <= position) return
    hash.update(bytes.subarray(position - from))
    position = from + bytes.length
  }
  return {
    see,
    finish: Stream.runForEach(
      Stream.suspend(() => read(source, position, source.bytes)),
      (bytes) => Effect.sync(() => see(position, bytes))
    ).pipe(
      Effect.mapError(({ detail }) => failure(output, detail)),
      Effect.flatMap(() => {
        const found = hash.digest("hex")
        if (output.sha256 === undefined || output.sha256 === found) return Effect.succeed(found)
        return failWith(
          new ChunkInvalid({ expected: `the SHA-256 ${output.sha256}`, found: `the SHA-256 ${found}` }),
          output.chunkId
        )
      })
    )
  }
}

const copyTo = Effect.fnUntraced(function* (
  output: ChunkOutput,
  source: RemoteChunk,
  file: string,
  final: string
): Effect.fn.Return<string, StitchError> {
  const proof = prove({ output, source, copy: Effect.succeed(file) })
  let position = 0
  yield* Effect.acquireUseRelease(
    workFolder.writing(final, () => fs.open(file, "w")),
    (handle) =>
      Stream.runForEach(
        Stream.mapError(read(source, 0, source.bytes), ({ detail }) => failure(output, detail)),
        (bytes) => {
          proof.see(position, bytes)
          position += bytes.length
          return workFolder.writing(final, () => handle.writeFile(bytes))
        }
      ),
    (handle) => Effect.ignore(Effect.tryPromise(() => handle.close()))
  )
  yield* proof.finish
  return file
})

// ---
// index
// ---

/** How much of the beginning is brought here, in bytes: the first frame is in it, or the head of that. */
const beginning = 1 << 18

/** The largest index that is brought here. */
const mostIndex = 1 << 26

const boxHead = 16

/**
 * Brings the index of a `.mov` or `.mp4` here, as a file that has nothing where samples are. Gives false, and leaves nothing,
 * where the chunk is none, or has its index in fragments.
 */
export const bringIndex = Effect.fnUntraced(function* (
  { output, source }: Remote,
  file: string,
  final: string
): Effect.fn.Return<boolean, StitchError> {
  const part = (from: number, to: number) =>
    Effect.mapError(collect(source, from, Math.min(to, source.bytes)), ({ detail }) => failure(output, detail))
  const first = yield* part(0, beginning)
  const known: Array<{ readonly at: number; readonly bytes: Buffer }> = [{ at: 0, bytes: first }]
  let at = 0
  let hasIndex = false
  while (at + 8 <= source.bytes) {
    const isHere = at + boxHead <= first.length || first.length === source.bytes
    const head = isHere ? first.subarray(at, at + boxHead) : yield* part(at, at + boxHead)
    const type = head.toString("latin1", 4, 8)
    if (!/^(?:ftyp|moov|mdat|free|wide|skip|udta|uuid)$/.test(type)) return false
    const short = head.readUInt32BE(0)
    if (short === 1 && head.length < boxHead) return false
    const length = short === 1 ? Number(head.readBigUInt64BE(8)) : short === 0 ? source.bytes - at : short
    if (length < 8) return false
    if (type === "moov") {
      if (length > mostIndex) return false
      known.push({ at, bytes: yield* part(at, at + length) })
      hasIndex = true
    } else if (!isHere) {
      known.push({ at, bytes: head })
    }
    at += length
  }
  if (!hasIndex) return false
  yield* Effect.acquireUseRelease(
    workFolder.writing(final, () => fs.open(file, "w")),
    (handle) =>
      workFolder.writing(final, () =>
        known
          .reduce<Promise<unknown>>(
            (before, one) => before.then(() => handle.write(one.bytes, 0, one.bytes.length, one.at)),
            Promise.resolve()
          )
          .then(() => handle.truncate(source.bytes))
      ),
    (handle) => Effect.ignore(Effect.tryPromise(() => handle.close()))
  )
  return true
})
