/**
 * Reads chunks as they land: where they are, what they hold, and whether that is what the job file says. Each is read once;
 * those that are there at the same time are read together.
 */
import { ChunkInvalid, type ChunkOutput, StitchError, type StitchRequest } from "@helios-infra/core/VideoStitcher"
import type * as Workspace from "@helios-infra/core/Workspace"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { pipeline } from "node:stream/promises"
import * as ChunkFit from "../ChunkFit.ts"
import type * as Ffmpeg from "../Ffmpeg.ts"
import * as FrameGrid from "../FrameGrid.ts"
import * as JoinedSound from "../JoinedSound.ts"
import * as JoinPlan from "../JoinPlan.ts"
import * as MediaProbe from "../MediaProbe.ts"
import * as Reencode from "../Reencode.ts"
import * as probedFiles from "./probedFiles.ts"
import { cannotJoin, failWith, toolBroken } from "./stitchFailure.ts"
import * as workFolder from "./workFolder.ts"

/** A chunk that is there and fits. */
export interface Landed {
  readonly chunk: JoinPlan.Chunk
  /** A link to its file in the folder of the stitch, or the file that was made of it there. */
  readonly file: string
  readonly bytes: number
  /** Its SHA-256 in hexadecimal; empty unless hashes are asked for. */
  readonly sha256: string
}

/** What is needed to read them. */
export interface Reader {
  readonly ffmpeg: Ffmpeg.Ffmpeg
  readonly folder: string
  readonly target: JoinPlan.Target
  readonly workspace: Workspace.Workspace["Service"]
  /** Whether chunks are hashed. */
  readonly hashes: boolean
  /** How chunks are encoded again; not at all where it is absent. */
  readonly reencode: Reencode.Reencode | undefined
}

/** How many chunks wait to be read at most, and so how many are read together. */
const mostAtOnce = 64

/** Reads all chunks of a request, each handed on in frame order. Ends with the first that does not fit. */
export const read = <E>(
  reader: Reader,
  request: StitchRequest,
  onChunk: (landed: Landed) => Effect.Effect<void, E>
): Effect.Effect<void, StitchError | E> =>
  Effect.gen(function* () {
    const landing = yield* Queue.bounded<ChunkOutput, Cause.Done>(mostAtOnce)
    let position = 0
    const readBatch = Effect.fnUntraced(function* (outputs: ReadonlyArray<ChunkOutput>) {
      const first = position
      position += outputs.length
      const files = yield* Effect.forEach(
        outputs,
        Effect.fnUntraced(function* (output, index) {
          const file = yield* localFile(reader, request, output)
          return { ...file, link: yield* workFolder.link(reader.folder, first + index, file.path, request.output) }
        }),
        { concurrency: 8 }
      )
      const links = files.map(({ link }) => link)
      const probed = yield* probeAll(reader, outputs, files)
      const made =
        reader.reencode === undefined ? links : yield* encodeAll(reader, reader.reencode, outputs, links, probed)
      const media =
        made === links
          ? probed
          : yield* probeAll(
              reader,
              outputs,
              made.map((link) => ({ link, known: undefined }))
            )
      for (const [index, output] of outputs.entries()) {
        const found = media[index]
        const file = files[index]
        const ready = made[index]
        if (found === undefined || file === undefined || ready === undefined)
          return yield* Effect.die(`no probe of chunk ${output.chunkId}`)
        const chunk = yield* JoinPlan.chunkOf(output, found, reader.target.rate)
        const sha256 = reader.hashes ? yield* hashOf(file.path, output) : ""
        const bytes = ready === file.link ? file.bytes : yield* sizeOf(ready)
        yield* onChunk({ chunk, file: ready, bytes, sha256 })
      }
    })
    const reading = Stream.runForEachArray(Stream.fromQueue(landing), readBatch)
    const taking = Stream.runForEach(request.inputs, (output) => Queue.offer(landing, output)).pipe(
      Effect.andThen(Queue.end(landing))
    )
    yield* Effect.all([taking, reading], { concurrency: "unbounded", discard: true })
  })

/** Reads those of which nothing is known. */
const probeAll = Effect.fnUntraced(function* (
  reader: Reader,
  outputs: ReadonlyArray<ChunkOutput>,
  files: ReadonlyArray<{ readonly link: string; readonly known: MediaProbe.Media | undefined }>
): Effect.fn.Return<ReadonlyArray<MediaProbe.Media>, StitchError> {
  const unknown = files.flatMap(({ known, link }, index) => (known === undefined ? [{ link, index }] : []))
  const read = yield* MediaProbe.probeAll(
    reader.ffmpeg,
    unknown.map(({ link }) => link),
    (position, { detail }) => {
      const chunkId = outputs[unknown[position]?.index ?? -1]?.chunkId
      const reason = new ChunkInvalid({ expected: "a .mov, .mp4, .mkv or .webm video", found: detail })
      return new StitchError({ reason, ...(chunkId === undefined ? {} : { chunkId }) })
    }
  ).pipe(Effect.catchTag("ProcessError", toolBroken))
  const rest = read.values()
  return files.flatMap(({ known }) => known ?? rest.next().value ?? [])
})

/** One after the other: an encoder takes all of a machine. */
const encodeAll = (
  { ffmpeg, target: { rate } }: Reader,
  reencode: Reencode.Reencode,
  outputs: ReadonlyArray<ChunkOutput>,
  files: ReadonlyArray<string>,
  probed: ReadonlyArray<MediaProbe.Media>
): Effect.Effect<ReadonlyArray<string>, StitchError> =>
  Effect.forEach(files, (file, index) => {
    const { chunkId = 0, frameCount = 0 } = outputs[index] ?? {}
    const { audio, video } = probed[index] ?? {}
    const open = video === undefined ? undefined : ChunkFit.openGop(video)
    if (open !== undefined) return failWith(new ChunkInvalid(open), chunkId)
    const refusal = audio === undefined ? undefined : JoinedSound.refusal({ rate }, audio, frameCount)
    if (refusal !== undefined) return cannotJoin(refusal, chunkId)
    const samples = audio && Math.round(FrameGrid.unitsOf(rate, frameCount, audio.sampleRate))
    return Reencode.run(ffmpeg, { chunkId, file, frameCount, rate, samples }, reencode)
  })

const sizeOf = (file: string): Effect.Effect<number> =>
  Effect.map(Effect.orDie(Effect.tryPromise(() => fs.stat(file))), ({ size }) => size)

/** A chunk's file, and what is known of what it holds. */
interface LocalFile {
  readonly path: string
  readonly bytes: number
  readonly known: MediaProbe.Media | undefined
}

const localFile = Effect.fnUntraced(function* (
  { workspace }: Reader,
  request: StitchRequest,
  output: ChunkOutput
): Effect.fn.Return<LocalFile, StitchError> {
  const invalid = (found: string) =>
    failWith(new ChunkInvalid({ expected: `a file at ${output.location}`, found }), output.chunkId)
  const file = yield* workspace.locate(output).pipe(Effect.catch((error) => invalid(error.message)))
  const state = yield* probedFiles
    .stateOf(file)
    .pipe(
      Effect.catch((error) =>
        workFolder.codeOf(error) === "ENOENT" ? invalid("no file") : invalid(workFolder.detailOf(error))
      )
    )
  if (!state.isFile) return yield* invalid("something that is no file")
  if (state.bytes === 0) return yield* invalid("an empty file")
  const there = yield* Effect.option(probedFiles.stateOf(request.output))
  if (there._tag === "Some" && there.value.inode === state.inode) {
    return yield* cannotJoin(
      `${request.output} is the output, and this chunk as well: choose another name`,
      output.chunkId
    )
  }
  const known = (yield* probedFiles.ProbedFiles).take(state.identity)
  return { path: path.resolve(file), bytes: state.bytes, known }
})

/** Hashes a file, and fails with `ChunkInvalid` where that is not what came with the chunk. */
const hashOf = Effect.fnUntraced(function* (file: string, output: ChunkOutput): Effect.fn.Return<string, StitchError> {
  const hash = createHash("sha256")
  yield* Effect.tryPromise((signal) => pipeline(createReadStream(file), hash, { signal })).pipe(
    Effect.catch((error) =>
      failWith(
        new ChunkInvalid({ expected: `a file at ${output.location}`, found: workFolder.detailOf(error) }),
        output.chunkId
      )
    )
  )
  const found = hash.digest("hex")
  if (output.sha256 !== undefined && output.sha256 !== found) {
    const reason = new ChunkInvalid({ expected: `the SHA-256 ${output.sha256}`, found: `the SHA-256 ${found}` })
    return yield* failWith(reason, output.chunkId)
  }
  return found
})
