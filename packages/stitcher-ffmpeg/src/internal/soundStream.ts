/**
 * The sound of a whole video as one stream of samples: that of each chunk, cut or filled to exactly the samples of its
 * frames, and silence where a chunk has none.
 *
 * It is a Sun audio file without an end, which says by itself what it is. A chunk's samples are made when they are asked
 * for, and forgotten when they are sent.
 */
import { StitchError, ToolFailed } from "@helios-infra/core/VideoStitcher"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Ffmpeg from "../Ffmpeg.ts"
import type * as JoinPlan from "../JoinPlan.ts"
import * as JoinedSound from "../JoinedSound.ts"
import * as MediaProbe from "../MediaProbe.ts"
import { fileOf, type Landed } from "./chunkReading.ts"
import type { Gate } from "./gate.ts"
import { checkRoom, toolBroken } from "./stitchFailure.ts"

/** What it is made from, and with. */
export interface Source {
  readonly ffmpeg: Ffmpeg.Ffmpeg
  readonly folder: string
  /** The final file, for what is said of it. */
  readonly output: string
  readonly join: JoinPlan.Join
  readonly sound: JoinedSound.JoinedSound
  readonly landed: Gate<Landed>
}

const bytesPerSample = 4

/** The stream. Waits for chunks that have not landed. */
export const make = ({
  ffmpeg,
  folder,
  join,
  landed,
  output,
  sound
}: Source): Stream.Stream<Uint8Array, StitchError> => {
  const { track } = sound
  const channels = JoinedSound.channelsOf(track)
  let start = 0
  const parts = join.frameCounts.map((count, index) => {
    const from = JoinedSound.sampleAt(join, track, start)
    start += count
    const to = index + 1 < join.frameCounts.length ? JoinedSound.sampleAt(join, track, start) : sound.samples
    return { index, samples: to - from }
  })
  const part = ({ index, samples }: { readonly index: number; readonly samples: number }) =>
    Stream.unwrap(
      Effect.map(landed.at(index), (one) =>
        one.chunk.audio === undefined
          ? silence(samples * channels * bytesPerSample)
          : Stream.unwrap(
              fileOf(one).pipe(
                Effect.flatMap((file) => decode(one.chunk.output.chunkId, file, samples)),
                Effect.map((decoded) => filled(decoded, samples * channels * bytesPerSample, channels * bytesPerSample))
              )
            )
      )
    )
  const decode = (chunkId: number, file: string, samples: number) =>
    Effect.acquireRelease(Effect.tryPromise(() => fs.mkdtemp(path.join(folder, "sound-"))).pipe(Effect.orDie), (own) =>
      Effect.ignore(Effect.tryPromise(() => fs.rm(own, { recursive: true, force: true })))
    ).pipe(
      Effect.flatMap((own) => {
        const decoded = path.join(own, "samples")
        const args = [
          ...MediaProbe.confined,
          ..."-i".split(" "),
          Ffmpeg.fileUrl(file),
          ..."-map 0:a:0 -c:a pcm_f32be -ar".split(" "),
          String(track.sampleRate),
          ..."-ac".split(" "),
          String(channels),
          "-af",
          `atrim=end_sample=${samples}`,
          "-f",
          "f32be",
          Ffmpeg.fileUrl(decoded)
        ]
        return ffmpeg.run(args).pipe(
          Effect.catchTag("ProcessError", toolBroken),
          Effect.tap((run) => checkRoom(output, run)),
          Effect.flatMap((run) =>
            run.exitCode === 0
              ? Effect.succeed(decoded)
              : new StitchError({
                  chunkId,
                  reason: new ToolFailed({ exitCode: run.exitCode, stderrTail: Ffmpeg.describe(run) })
                })
          )
        )
      })
    )
  return Stream.concat(
    Stream.make(header(track.sampleRate, channels)),
    Stream.flatMap(Stream.fromIterable(parts), part)
  )
}

const header = (sampleRate: number, channels: number): Uint8Array => {
  const bytes = Buffer.alloc(28)
  bytes.write(".snd", "latin1")
  bytes.writeUInt32BE(bytes.length, 4)
  // How long it is, nobody says.
  bytes.writeUInt32BE(0xff_ff_ff_ff, 8)
  // 32-bit floating point.
  bytes.writeUInt32BE(6, 12)
  bytes.writeUInt32BE(sampleRate, 16)
  bytes.writeUInt32BE(channels, 20)
  return bytes
}

const piece = new Uint8Array(1 << 16)

const silence = (bytes: number): Stream.Stream<Uint8Array> =>
  Stream.map(Stream.range(1, Math.ceil(bytes / piece.length)), (nth) =>
    nth * piece.length <= bytes ? piece : piece.subarray(0, bytes % piece.length)
  )

/** How many samples too few are the rounding of a chunk's length, and not silence. */
const rounding = 2

/** A chunk's samples, and what is missing behind them: the last one again, which nobody hears, or silence. */
const filled = (file: string, bytes: number, frame: number): Stream.Stream<Uint8Array> => {
  const content = Stream.orDie(Stream.fromAsyncIterable<Buffer, unknown>(createReadStream(file), (error) => error))
  let sent = 0
  let last: Uint8Array = new Uint8Array(frame)
  const noted = Stream.map(content, (piece: Uint8Array) => {
    sent += piece.length
    // A piece is shorter than a frame only where a file is.
    if (piece.length >= frame) last = piece.slice(-frame)
    return piece
  })
  const rest = Stream.suspend(() => {
    const missing = bytes - sent
    return missing > rounding * frame
      ? silence(missing)
      : Stream.fromIterable(Array.from({ length: Math.max(0, missing / frame) }, () => last))
  })
  return Stream.concat(noted, rest)
}
