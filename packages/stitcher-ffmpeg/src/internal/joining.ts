/**
 * ffmpeg at work on a join: what it reads, from where, and what is done when it dies.
 *
 * Chunks that are all there are files. Those that are still to come are behind a loopback server, which answers when they
 * have landed: to ffmpeg they are files on a slow disk.
 */
import { type StitchError, ToolFailed, ToolMissing } from "@helios-infra/core/VideoStitcher"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FrameRate from "@helios-infra/core/FrameRate"
import * as Option from "effect/Option"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as AudioTracks from "../AudioTracks.ts"
import * as Ffmpeg from "../Ffmpeg.ts"
import * as JoinPlan from "../JoinPlan.ts"
import * as MatroskaIndex from "../MatroskaIndex.ts"
import * as MediaProbe from "../MediaProbe.ts"
import type { Landed } from "./chunkReading.ts"
import type { Gate } from "./gate.ts"
import * as loopback from "./loopback.ts"
import * as remoteChunk from "./remoteChunk.ts"
import * as soundStream from "./soundStream.ts"
import { checkRoom, failWith, toolBroken } from "./stitchFailure.ts"
import * as workFolder from "./workFolder.ts"

/** What is to be joined, and where. */
export interface Joining {
  readonly ffmpeg: Ffmpeg.Ffmpeg
  /** The folder of the stitch. */
  readonly folder: string
  /** The name of the file to make, in that folder, as ffmpeg takes it. */
  readonly joined: string
  /** The final file, for what is said of it. */
  readonly output: string
  readonly landed: Gate<Landed>
  /** Whether chunks are still to come. */
  readonly early: boolean
}

/** How often ffmpeg is started again when it has died. */
const restarts = 2

/** What has come of it. */
export interface Joined {
  /** What has looked at the file while it was written, where its index is spread over it. */
  readonly follower: MatroskaIndex.Follower | undefined
  /** The SHA-256 of chunks that were read where they are, by their places. */
  readonly hashes: ReadonlyMap<number, string>
}

/** What an ffmpeg has read of chunks elsewhere. */
interface Seen {
  proofs: Map<number, remoteChunk.Proof>
}

/** How many chunks are read to their ends at once, where ffmpeg did not. */
const proving = 4

/** Proves that chunks elsewhere were what was sent: ffmpeg need not have read all of them. */
const proven = (
  { landed }: Joining,
  proofs: ReadonlyMap<number, remoteChunk.Proof>
): Effect.Effect<ReadonlyMap<number, string>, StitchError> => {
  const remotes = landed.values.flatMap((one, index) =>
    one?.remote === undefined ? [] : [{ index, remote: one.remote }]
  )
  return Effect.map(
    Effect.forEach(
      remotes,
      ({ index, remote }) =>
        Effect.map((proofs.get(index) ?? remoteChunk.prove(remote)).finish, (hash): readonly [number, string] => [
          index,
          hash
        ]),
      { concurrency: proving }
    ),
    (hashes) => new Map(hashes)
  )
}

/** How often a file is looked at while it is written, and how often brought onto the disk. */
const lookEvery = "500 millis"
const syncEvery = "2 seconds"

/**
 * Joins. Fails with `ToolFailed`, `OutputUnwritable`, or `ChunkInvalid` when a chunk is gone before it was read.
 */
export const run = Effect.fnUntraced(function* (
  joining: Joining,
  join: JoinPlan.Join
): Effect.fn.Return<Joined, StitchError, Scope> {
  const { ffmpeg, folder, joined, output } = joining
  const lost = yield* Deferred.make<never, StitchError>()
  const seen: Seen = { proofs: new Map() }
  const input = yield* inputOf(joining, join, lost, seen)
  const more = JoinPlan.oldOutputArgs(join)
  const old = more.length > 0 && (yield* ffmpeg.isOld.pipe(Effect.catchTag("ProcessError", toolBroken))) ? more : []
  let index: "reserved" | "moved" = "reserved"
  let left = restarts
  while (true) {
    seen.proofs = new Map()
    const follower = yield* JoinPlan.isMatroska(join.container) ? followed(joining) : Effect.undefined
    // Relative names: a folder's name can hold what ffmpeg would take for a part of a URL.
    const ended = yield* ffmpeg
      .run([...input, ...JoinPlan.previewArgs(join), ...old, ...JoinPlan.outputArgs(join, index), "-y", joined], {
        cwd: folder
      })
      .pipe(
        Effect.catchTag("ProcessError", toolBroken),
        Effect.raceFirst(Deferred.await(lost)),
        Effect.raceFirst(follower === undefined ? Effect.never : looking(follower)),
        Effect.raceFirst(syncing(path.join(folder, joined)))
      )
    yield* checkRoom(output, ended)
    if (ended.errors.some((error) => error.includes("reserved_moov_size is too small"))) {
      index = "moved"
      continue
    }
    const complete = join.frameCounts.every((_, chunk) => joining.landed.values[chunk] !== undefined)
    if (ended.exitCode === 0 && complete) return { follower, hashes: yield* proven(joining, seen.proofs) }
    const lacking = yield* Ffmpeg.lacking(ffmpeg, ended).pipe(Effect.catchTag("ProcessError", toolBroken))
    if (lacking !== undefined) return yield* failWith(new ToolMissing({ fix: lacking }))
    if (left === 0) {
      return yield* failWith(new ToolFailed({ exitCode: ended.exitCode, stderrTail: Ffmpeg.describe(ended) }))
    }
    left--
    yield* Effect.logWarning(`ffmpeg is started again: ${Ffmpeg.describe(ended)}`)
  }
})

/** Follows the file that ffmpeg is about to write, and not what an earlier one has left. */
const followed = ({ folder, joined, output }: Joining): Effect.Effect<MatroskaIndex.Follower, StitchError> => {
  const file = path.join(folder, joined)
  return Effect.andThen(
    workFolder.writing(output, () => fs.rm(file, { force: true })),
    MatroskaIndex.follow(file)
  )
}

/** What is wrong with it, the end will say. */
const looking = ({ advance }: MatroskaIndex.Follower): Effect.Effect<never> =>
  Effect.forever(Effect.andThen(Effect.sleep(lookEvery), Effect.ignore(advance)))

/**
 * Brings what is written onto the disk now and then: who publishes the file waits until all of it is there, which would be
 * 0.7 s for 2 GB that were written in a few seconds, and is 0.1 s so. Where it cannot be done, that is not missed.
 */
const syncing = (file: string): Effect.Effect<never> =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => fs.open(file)),
    (handle) => Effect.tryPromise(() => handle.datasync()),
    // Not waited for: it ends with what is on its way to the disk.
    (handle) => Effect.forkDetach(Effect.ignore(Effect.tryPromise(() => handle.close())))
  ).pipe(Effect.ignore, Effect.delay(syncEvery), Effect.forever)

const inputOf = Effect.fnUntraced(function* (
  joining: Joining,
  join: JoinPlan.Join,
  lost: Deferred.Deferred<never, StitchError>,
  seen: Seen
): Effect.fn.Return<ReadonlyArray<string>, StitchError, Scope> {
  const { early, landed, output } = joining
  const only = landed.values[0]
  const { container, first, sound } = join
  const decoder = container.drawn === undefined ? [] : MediaProbe.decoderArgs(first.video)
  const tracks = AudioTracks.inputs(sound?.tracks ?? [])
  // The concat demuxer takes what an encoder puts before the first sample for a part of the video.
  if (only !== undefined && join.frameCounts.length === 1) {
    return [...MediaProbe.confined, ...decoder, "-i", path.basename(only.file), ...tracks]
  }
  const assembled = sound?.from === "assembled" ? sound : undefined
  const isServed = (index: number) => early || landed.values[index]?.remote !== undefined
  const server =
    assembled !== undefined || join.frameCounts.some((_, index) => isServed(index))
      ? yield* loopback.make((name) => resource(joining, join, lost, seen, name)).pipe(Effect.orDie)
      : undefined
  const url = server?.url ?? ""
  // Addresses are in files that nobody else can read, since everybody sees what programs are started with.
  const list = (name: string, content: string) =>
    workFolder.writing(output, () => fs.writeFile(path.join(joining.folder, name), content))
  yield* list(
    "chunks.ffconcat",
    JoinPlan.concatList(join, (index) => {
      const one = landed.values[index]
      return one === undefined || isServed(index) ? `${url}${index}` : path.basename(pictureOf(one).file)
    })
  )
  if (assembled !== undefined) {
    const seconds = FrameRate.microseconds(join.frames, join.rate) / 1_000_000
    yield* list("sound.ffconcat", `ffconcat version 1.0\nfile ${url}sound\nduration ${seconds.toFixed(6)}\n`)
  }
  const listed = (formats: string) => [
    ...(server === undefined
      ? ["-protocol_whitelist", "file,pipe"]
      : "-safe 0 -protocol_whitelist file,http,tcp".split(" ")),
    "-format_whitelist",
    `concat,${formats}`
  ]
  return [
    ...JoinPlan.inputArgs(join),
    ...listed(MediaProbe.containers),
    // Decoding times are made anew from the display times: a chunk of one or two frames has no B-frames to wait for, so
    // that its own would overlap with its neighbours'.
    ..."-fflags +igndts -f concat".split(" "),
    ...decoder,
    ..."-i chunks.ffconcat".split(" "),
    ...(assembled === undefined ? [] : [...listed("au"), ..."-f concat -i sound.ffconcat".split(" ")]),
    ...tracks
  ]
})

/** The file that a chunk's picture is joined from. */
const pictureOf = ({ bytes, file, picture }: Landed) => picture ?? { bytes, file }

/** What the server has under a name: a chunk by its place, or the sound of all. */
const resource = (
  { ffmpeg, folder, landed, output }: Joining,
  join: JoinPlan.Join,
  lost: Deferred.Deferred<never, StitchError>,
  seen: Seen,
  name: string
): Effect.Effect<Option.Option<loopback.Resource>> => {
  if (name === "sound" && join.sound !== undefined) {
    const samples = soundStream.make({ ffmpeg, folder, output, join, sound: join.sound, landed })
    const content = Stream.catch(samples, (error) => Stream.fromEffectDrain(Deferred.fail(lost, error)))
    return Effect.succeedSome({ _tag: "Bytes", content })
  }
  const index = /^\d+$/.test(name) ? Number(name) : join.frameCounts.length
  if (index >= join.frameCounts.length) return Effect.succeedNone
  return Effect.map(landed.at(index), (one) => {
    const { chunk, remote } = one
    const { bytes, file } = pictureOf(one)
    const onLost = (found: string) =>
      Effect.asVoid(Deferred.fail(lost, remoteChunk.failure({ ...chunk.output, bytes }, found)))
    if (remote === undefined) return Option.some({ _tag: "File", path: file, bytes, onLost })
    const proof = seen.proofs.get(index) ?? remoteChunk.prove(remote)
    seen.proofs.set(index, proof)
    const read = (from: number, to: number) => {
      let at = from
      return remoteChunk.read(remote.source, from, to).pipe(
        Stream.map((part) => {
          proof.see(at, part)
          at += part.length
          return part
        }),
        Stream.catch(({ detail }) => Stream.fromEffectDrain(onLost(detail)))
      )
    }
    return Option.some({ _tag: "Parts", bytes, read })
  })
}
