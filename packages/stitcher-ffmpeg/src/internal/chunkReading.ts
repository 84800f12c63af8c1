/**
 * Reads chunks as they land: where they are, what they hold, and whether that is what the job file says. Each is read once;
 * those that are there at the same time are read together.
 */
import {
  ChunkInvalid,
  type ChunkOutput,
  type RemoteChunk,
  StitchError,
  type StitchRequest
} from "@helios-infra/core/VideoStitcher"
import type * as Workspace from "@helios-infra/core/Workspace"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import * as ChunkFit from "../ChunkFit.ts"
import * as Ffmpeg from "../Ffmpeg.ts"
import * as FrameGrid from "../FrameGrid.ts"
import * as ImageSequence from "../ImageSequence.ts"
import * as JoinedSound from "../JoinedSound.ts"
import * as JoinPlan from "../JoinPlan.ts"
import * as MediaProbe from "../MediaProbe.ts"
import * as MovIndex from "../MovIndex.ts"
import * as Reencode from "../Reencode.ts"
import * as fileHash from "./fileHash.ts"
import * as indexedMedia from "./indexedMedia.ts"
import * as probedFiles from "./probedFiles.ts"
import * as remoteChunk from "./remoteChunk.ts"
import { cannotJoin, checkRoom, failWith, toolBroken } from "./stitchFailure.ts"
import * as workFolder from "./workFolder.ts"

/** A chunk that is there and fits. */
export interface Landed {
  readonly chunk: JoinPlan.Chunk
  /** A link to its file in the folder of the stitch, or the file that was made of it there; empty where it is elsewhere. */
  readonly file: string
  /** What reads it, where it is elsewhere. */
  readonly remote: remoteChunk.Remote | undefined
  readonly bytes: number
  /** A file with its picture, where that is another one. */
  readonly picture?: { readonly file: string; readonly bytes: number }
  /** Its SHA-256 in hexadecimal; empty unless hashes are asked for. */
  readonly sha256: string
}

/** What is needed to read them. */
export interface Reader {
  readonly ffmpeg: Ffmpeg.Ffmpeg
  readonly folder: string
  /** The final file, for what is said of it. */
  readonly final: string
  readonly target: JoinPlan.Target
  /** How many chunks there will be. */
  readonly total: number
  readonly workspace: Workspace.Workspace["Service"]
  /** Whether chunks are hashed. */
  readonly hashes: boolean
  /** How chunks are encoded again; not at all where it is absent. */
  readonly reencode: Reencode.Reencode | undefined
}

/** A chunk as a file that has all of it. */
export const fileOf = ({ file, remote }: Landed): Effect.Effect<string, StitchError> =>
  remote === undefined ? Effect.succeed(file) : remote.copy

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
    const owners = new Map<string, number>()
    let position = 0
    const readBatch = Effect.fnUntraced(function* (outputs: ReadonlyArray<ChunkOutput>) {
      const first = position
      position += outputs.length
      for (const output of outputs) yield* own(owners, output)
      const found = yield* Effect.forEach(outputs, (output, index) => find(reader, request, output, first + index), {
        concurrency: 8
      })
      const opened = yield* Effect.forEach(found, (one) => open(reader, one))
      const probed = yield* probeAll(
        reader,
        outputs,
        opened.map((file, index) => ({ file, known: found[index]?.known }))
      )
      const made = yield* Effect.forEach(found, (one, index) => encode(reader, one, opened[index] ?? "", probed[index]))
      const media = yield* probeAll(
        reader,
        outputs,
        made.map((file, index) => ({ file, known: file === opened[index] ? probed[index] : undefined }))
      )
      for (const [index, one] of found.entries()) {
        const { output } = one
        const read = media[index]
        const file = made[index]
        if (read === undefined || file === undefined) return yield* Effect.die(`no probe of chunk ${output.chunkId}`)
        const chunk = yield* JoinPlan.chunkOf(output, read, reader.target.rate)
        const { remote } = one
        if (remote !== undefined) {
          yield* onChunk({ chunk, file: "", remote, bytes: one.bytes, sha256: "" })
          continue
        }
        const sha256 = reader.hashes ? yield* hashOf(one) : ""
        const bytes = file === one.link ? one.bytes : yield* sizeOf(file)
        yield* onChunk({ chunk, file, remote, bytes, sha256 })
      }
    })
    const reading = Stream.runForEachArray(Stream.fromQueue(landing), readBatch)
    const taking = Stream.runForEach(request.inputs, (output) => Queue.offer(landing, output)).pipe(
      Effect.andThen(Queue.end(landing))
    )
    yield* Effect.all([taking, reading], { concurrency: "unbounded", discard: true })
  })

/** Refuses an output that is an earlier chunk's as well: one of the two was lost. */
const own = (owners: Map<string, number>, { chunkId, location }: ChunkOutput): Effect.Effect<void, StitchError> =>
  Effect.suspend(() => {
    const owner = owners.get(location)
    owners.set(location, chunkId)
    return owner === undefined
      ? Effect.void
      : cannotJoin(`${location} is the output of chunk ${owner} as well: give each chunk a file of its own`, chunkId)
  })

/** Reads those of which nothing is known. */
const probeAll = Effect.fnUntraced(function* (
  reader: Reader,
  outputs: ReadonlyArray<ChunkOutput>,
  files: ReadonlyArray<{ readonly file: string; readonly known: MediaProbe.Media | undefined }>
): Effect.fn.Return<ReadonlyArray<MediaProbe.Media>, StitchError> {
  const unknown = files.flatMap(({ file, known }, index) => (known === undefined ? [{ file, index }] : []))
  const read = yield* MediaProbe.probeAll(
    reader.ffmpeg,
    unknown.map(({ file }) => file),
    (position, { detail }) => {
      const chunkId = outputs[unknown[position]?.index ?? -1]?.chunkId
      const reason = new ChunkInvalid({ expected: "a .mov, .mp4, .mkv, .webm or .gif video", found: detail })
      return new StitchError({ reason, ...(chunkId === undefined ? {} : { chunkId }) })
    }
  ).pipe(Effect.catchTag("ProcessError", toolBroken))
  const rest = read.values()
  return files.flatMap(({ known }) => known ?? rest.next().value ?? [])
})

/** A chunk that is there. */
interface Found {
  readonly output: ChunkOutput
  /** Where it is, absolute. */
  readonly path: string
  readonly bytes: number
  /** Its pictures, where it is a folder of them. */
  readonly sequence: ImageSequence.ImageSequence | undefined
  /** A plain name for it, in the folder of the stitch. */
  readonly link: string
  /** What it holds, where that is known. */
  readonly known: MediaProbe.Media | undefined
  /** What reads it, where it stays elsewhere. */
  readonly remote?: remoteChunk.Remote
}

/** A chunk as a file: itself, unless it is a folder of pictures. One after the other: an encoder takes all of a machine. */
const open = Effect.fnUntraced(function* (
  { ffmpeg, final, reencode, target: { rate } }: Reader,
  { link, output, sequence }: Found
): Effect.fn.Return<string, StitchError> {
  if (sequence === undefined) return link
  const { chunkId, frameCount } = output
  const { length } = sequence.names
  if (length !== frameCount) {
    return yield* failWith(new ChunkInvalid({ expected: `${frameCount} frames`, found: `${length} pictures` }), chunkId)
  }
  const input = ImageSequence.inputArgs(sequence, rate)
  if (reencode !== undefined) {
    return yield* Reencode.run(
      ffmpeg,
      { chunkId, input, name: link, output: final, frameCount, rate, samples: undefined },
      reencode
    )
  }
  const packed = `${link}.mov`
  const run = yield* ffmpeg
    .run([...input, ..."-c copy -video_track_timescale".split(" "), String(rate.numerator), Ffmpeg.fileUrl(packed)])
    .pipe(Effect.catchTag("ProcessError", toolBroken))
  yield* checkRoom(final, run)
  if (run.exitCode === 0) return packed
  return yield* run.errors.some((error) => error.includes("Could not find tag"))
    ? cannotJoin(
        `its pictures are of a kind that no video has: render .png, .jpg, .tif, .dpx or .tga, ${Reencode.hint}`,
        chunkId
      )
    : failWith(new ChunkInvalid({ expected: `${frameCount} pictures`, found: Ffmpeg.describe(run) }), chunkId)
})

/** A chunk's file as it is joined: the same, unless it is to be encoded again, or can be joined in no other way. */
const encode = (
  { ffmpeg, final, reencode, target: { container, rate }, total }: Reader,
  { link, output: { chunkId, frameCount, index }, sequence }: Found,
  file: string,
  media: MediaProbe.Media | undefined
): Effect.Effect<string, StitchError> => {
  const { audio, video } = media ?? {}
  const how = reencode ?? (video?.codec === "gif" && container.drawn !== undefined ? Reencode.lossless : undefined)
  if (how === undefined || sequence !== undefined || media === undefined) return Effect.succeed(file)
  // What is encoded is on the grid, wherever it was before.
  const misfit = ChunkFit.misfit(media, frameCount, Option.some(rate))
  if (misfit !== undefined || video === undefined) {
    return failWith(new ChunkInvalid(misfit ?? { expected: "a video stream", found: "none" }), chunkId)
  }
  const refusal =
    audio === undefined ? undefined : JoinedSound.refusal({ rate }, audio, frameCount, index + 1 === total)
  if (refusal !== undefined) return cannotJoin(refusal, chunkId)
  const samples = audio && Math.round(FrameGrid.unitsOf(rate, frameCount, audio.sampleRate))
  const input = [...MediaProbe.confined, ...MediaProbe.decoderArgs(video), "-i", Ffmpeg.fileUrl(file)]
  return Reencode.run(
    ffmpeg,
    { chunkId, input, name: `${link}-encoded`, output: final, frameCount, rate, samples },
    how
  )
}

const sizeOf = (file: string): Effect.Effect<number> => Effect.orDie(Effect.tryPromise(() => workFolder.sizeOf(file)))

/** Finds a chunk that is to be the `position`th. */
const find = (
  reader: Reader,
  request: StitchRequest,
  output: ChunkOutput,
  position: number
): Effect.Effect<Found, StitchError> => {
  const source = request.remote?.(output)
  return source === undefined
    ? findFile(reader, request, output, position)
    : findRemote(reader, request, output, position, source)
}

/** A chunk elsewhere: it stays there where its index says what it holds, and nothing but its packets is needed of it. */
const findRemote = Effect.fnUntraced(function* (
  { ffmpeg, folder, reencode }: Reader,
  { output: final, total }: StitchRequest,
  output: ChunkOutput,
  position: number,
  source: RemoteChunk
): Effect.fn.Return<Found, StitchError> {
  const name = path.join(folder, `${position}`)
  const remote = yield* remoteChunk.make(output, source, `${name}-copy`, final)
  const found = { output, bytes: source.bytes, sequence: undefined }
  if (source.bytes === 0) return yield* remoteChunk.failure(output, "nothing")
  const isOnly = total === 1
  if (reencode === undefined && !isOnly && (yield* remoteChunk.bringIndex(remote, `${name}.mov`, final))) {
    const tracks = MovIndex.read(`${name}.mov`)
    const known = yield* Effect.zipWith(tracks, MediaProbe.probeHeader(ffmpeg, `${name}.mov`), (index, header) =>
      indexedMedia.make(header, index)
    ).pipe(
      Effect.catchTags({
        ProcessError: toolBroken,
        MediaUnreadable: ({ detail }) =>
          failWith(new ChunkInvalid({ expected: "a .mov or .mp4 video", found: detail }), output.chunkId)
      })
    )
    // Encoded sound is decoded, for which a file is needed.
    const isPlain = known?.audio === undefined || ChunkFit.isPcm(known.audio)
    if (known?.video !== undefined && known.video.timestamps.length > 0 && isPlain) {
      return { ...found, path: `${name}.mov`, link: `${name}.mov`, known, remote }
    }
  }
  const copy = yield* remote.copy
  return { ...found, path: copy, link: copy, known: undefined }
})

const findFile = Effect.fnUntraced(function* (
  { folder, workspace }: Reader,
  request: StitchRequest,
  output: ChunkOutput,
  position: number
): Effect.fn.Return<Found, StitchError> {
  const { chunkId } = output
  const invalid = (found: string) =>
    failWith(new ChunkInvalid({ expected: `a file at ${output.location}`, found }), chunkId)
  const located = yield* workspace.locate(output).pipe(Effect.catch((error) => invalid(error.message)))
  const file = path.resolve(located)
  const state = yield* probedFiles
    .stateOf(file)
    .pipe(
      Effect.catch((error) =>
        workFolder.codeOf(error) === "ENOENT" ? invalid("no file") : invalid(workFolder.detailOf(error))
      )
    )
  const there = yield* Effect.option(probedFiles.stateOf(request.output))
  if (there._tag === "Some" && there.value.inode === state.inode) {
    return yield* cannotJoin(`${request.output} is the output, and this chunk as well: choose another name`, chunkId)
  }
  const link = yield* workFolder.link(folder, position, file, request.output)
  if (state.isFolder) {
    const sequence = yield* ImageSequence.read(file).pipe(
      Effect.catch(({ detail }) =>
        failWith(new ChunkInvalid({ expected: "a folder of pictures", found: detail }), chunkId)
      )
    )
    return { output, path: file, bytes: sequence.bytes, sequence, link, known: undefined }
  }
  if (!state.isFile) return yield* invalid("something that is no file")
  if (state.bytes === 0) return yield* invalid("an empty file")
  const known = (yield* probedFiles.ProbedFiles).take(state.identity)
  return { output, path: file, bytes: state.bytes, sequence: undefined, link, known }
})

/** Hashes a chunk, of a folder its pictures one after the other; fails with `ChunkInvalid` where that is not what came with it. */
const hashOf = Effect.fnUntraced(function* ({
  output,
  path: file,
  sequence
}: Found): Effect.fn.Return<string, StitchError> {
  const files = sequence === undefined ? [file] : sequence.names.map((name) => path.join(file, name))
  const found = yield* fileHash
    .sha256(files)
    .pipe(
      Effect.catch((error) =>
        failWith(
          new ChunkInvalid({ expected: `a file at ${output.location}`, found: workFolder.detailOf(error) }),
          output.chunkId
        )
      )
    )
  if (output.sha256 !== undefined && output.sha256 !== found) {
    const reason = new ChunkInvalid({ expected: `the SHA-256 ${output.sha256}`, found: `the SHA-256 ${found}` })
    return yield* failWith(reason, output.chunkId)
  }
  return found
})
