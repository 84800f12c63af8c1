/**
 * Small videos made by a real ffmpeg, and ways to look into videos that do not use the code under test.
 */
import { path as installed } from "@ffmpeg-installer/ffmpeg"
import { path as ffprobePath } from "@ffprobe-installer/ffprobe"
import type { ChunkOutput, StitchRequest } from "@helios-infra/core/VideoStitcher"
import { Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { execFile, execFileSync } from "node:child_process"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { env } from "node:process"

/** ffmpeg's options that keep frames where they are: builds before 5.1 know one, those from 9 on the other. */
export const frameMode = (mode: "passthrough" | "vfr"): ReadonlyArray<string> => {
  const help = execFileSync(ffmpegPath, ["-hide_banner", "-h", "long"], { encoding: "utf8", stdio: "pipe" })
  return [help.includes("-fps_mode") ? "-fps_mode" : "-vsync", mode]
}

/** The 2018 build, unless the suite is to be run with another one. */
export const ffmpegPath = env["HELIOS_TEST_FFMPEG"] ?? installed

const output = (program: string, args: ReadonlyArray<string>): Effect.Effect<Buffer> =>
  Effect.callback((resume) => {
    const child = execFile(program, [...args], { encoding: "buffer", maxBuffer: 1 << 28 }, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.succeed(stdout)
          : Effect.die(new Error(`${program} ${args.join(" ")}\n${stderr.toString()}`))
      )
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

export const ffmpeg = (...args: ReadonlyArray<string>): Effect.Effect<Buffer> =>
  output(ffmpegPath, ["-nostdin", "-v", "error", "-y", ...args])

/** A folder of the test's own. */
export const folder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "stitcher-ffmpeg-"))),
  (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
)

/** A workspace that takes every location for a local path. */
export const workspace = Layer.succeed(Workspace, {
  root: tmpdir(),
  place: () => Effect.die("not used"),
  locate: (ref) =>
    ref.location.startsWith("/")
      ? Effect.succeed(ref.location)
      : Effect.fail(new WorkspaceError({ path: ref.location, reason: "NotFound", cause: "remote" })),
  stat: (ref) =>
    Effect.promise(() => fs.stat(ref.location).catch(() => undefined)).pipe(
      Effect.map((stat) => (stat === undefined ? Option.none() : Option.some({ bytes: stat.size })))
    ),
  publish: () => Effect.die("not used"),
  stage: () => Effect.die("not used"),
  remove: () => Effect.void
})

/** Builds a service from a layer. */
export const service = <I, S>(key: Context.Key<I, S>, layer: Layer.Layer<I, never, Workspace>) =>
  Effect.map(Layer.build(layer.pipe(Layer.provide(workspace))), (context) => Context.get(context, key))

/** A video's frames `from` to `to` (not included) of a picture and a tone that never repeat. */
export interface Piece {
  readonly from: number
  readonly to: number
  /** Default: 30. */
  readonly fps?: string
  /** Default: 64x64. */
  readonly size?: string
  /** ffmpeg's options for the picture. Default: x264 without B-frames. */
  readonly video?: ReadonlyArray<string>
  /** ffmpeg's options for the sound; none for a silent video. */
  readonly audio?: ReadonlyArray<string>
  /** Samples per second. Default: 48000. */
  readonly sampleRate?: number
  /** Samples over (or missing, below 0) at the end of the sound. */
  readonly extraSamples?: number
  /** The sound, as `aevalsrc` takes it. Default: a tone that rises. */
  readonly heard?: string
}

export const x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-pix_fmt", "yuv420p"]
export const bFrames = [...x264, "-bf", "3", "-x264-params", "b-adapt=0:b-pyramid=normal:keyint=12:scenecut=0"]
export const pcm = ["-c:a", "pcm_s16le"]

const fraction = (text: string): number => {
  const [a = 0, b = 1] = text.split("/").map(Number)
  return a / b
}

/** The tone: rises from 200 Hz, its loudness never changes. */
const rising = "0.5*sin(2*PI*(200*t+150*t*t))"

export const tone = (sampleRate: number, heard = rising) => `aevalsrc='${heard}':s=${sampleRate}:c=stereo`

export const render = (file: string, piece: Piece): Effect.Effect<string> => {
  const {
    audio,
    extraSamples = 0,
    fps = "30",
    from,
    heard,
    sampleRate = 48_000,
    size = "64x64",
    to,
    video = x264
  } = piece
  const sample = (frame: number) => Math.round((frame * sampleRate) / fraction(fps))
  const end = sample(to) + extraSamples
  return ffmpeg(
    ..."-f lavfi -i".split(" "),
    `testsrc2=s=${size}:r=${fps}`,
    ...(audio === undefined ? [] : ["-f", "lavfi", "-i", tone(sampleRate, heard)]),
    "-vf",
    `trim=start_frame=${from}:end_frame=${to},setpts=PTS-STARTPTS`,
    ...(audio === undefined
      ? []
      : ["-af", `atrim=start_sample=${sample(from)}:end_sample=${end},asetpts=PTS-STARTPTS`, ...audio]),
    // ffmpeg 7 takes the rate behind `setpts` for unknown, and would make 25 frames per second of it.
    ...(video.includes("vfr") ? [] : ["-r", fps]),
    ...video,
    `file:${file}`
  ).pipe(Effect.as(file))
}

/** Chunks of the given lengths, one after the other. */
export const renderChunks = (
  dir: string,
  lengths: ReadonlyArray<number>,
  piece: Omit<Piece, "from" | "to">,
  extension = "mp4"
): Effect.Effect<ReadonlyArray<string>> => {
  let frame = 0
  const pieces = lengths.map((length, index) => ({
    file: path.join(dir, `part_${index}.${extension}`),
    from: frame,
    to: (frame += length)
  }))
  return Effect.forEach(pieces, ({ file, from, to }) => render(file, { ...piece, from, to }), { concurrency: 2 })
}

/** So many chunks of a few videos, in turn, each with a name of its own. */
export const repeat = (videos: ReadonlyArray<string>, count: number): Effect.Effect<ReadonlyArray<string>> =>
  Effect.forEach(Array.from({ length: count }).keys(), (index) => {
    const video = videos[index % videos.length] ?? ""
    const file = path.join(path.dirname(video), `chunk_${index}${path.extname(video)}`)
    return Effect.as(
      Effect.promise(() => fs.link(video, file)),
      file
    )
  })

/** The request to join chunks; chunk ids are 10, 11, ... so that they cannot be taken for positions. */
export const request = (
  files: ReadonlyArray<string>,
  lengths: ReadonlyArray<number>,
  output: string,
  fps = "30"
): StitchRequest => ({
  inputs: Stream.fromIterable(
    files.map((location, index): ChunkOutput => ({
      index,
      chunkId: 10 + index,
      attempt: 1,
      frameCount: lengths[index] ?? 0,
      location,
      bytes: 1
    }))
  ),
  total: files.length,
  frames: lengths.reduce((sum, length) => sum + length, 0),
  frameCounts: lengths,
  fps,
  output
})

/** A stand-in for ffmpeg: a shell script that has the real one as `$FFMPEG`, and does as it is told when it is to join. */
export const ffmpegThat = (file: string, joins: string): Effect.Effect<string> => {
  const script = `#!/bin/bash
FFMPEG='${ffmpegPath}'
last="\${@: -1}"
if [[ "$last" == joined* ]]; then
${joins}
fi
exec "$FFMPEG" "$@"
`
  return Effect.as(
    Effect.promise(() => fs.writeFile(file, script, { mode: 0o755 })),
    file
  )
}

/** A hash of every decoded frame. */
export const decodedFrames = (file: string): Effect.Effect<ReadonlyArray<string>> => framesOf("-i", `file:${file}`)

/** A hash of every picture of a folder, by ffmpeg's name for them and the number of the first. */
export const decodedPictures = (pattern: string, first: number): Effect.Effect<ReadonlyArray<string>> =>
  framesOf("-start_number", `${first}`, "-i", `file:${pattern}`)

/** Static builds of 7.0 crash when they read MPEG-TS. */
const reader = (file: string) => (file.endsWith(".ts") ? installed : ffmpegPath)

const framesOf = (...input: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>> =>
  output(reader(input.at(-1) ?? ""), ["-v", "error", ...input, ..."-map 0:v -f framemd5 -".split(" ")]).pipe(
    Effect.map((text) =>
      text
        .toString()
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"))
        .map((line) => line.slice(line.lastIndexOf(",") + 1).trim())
    )
  )

/** The samples of the first channel, between -1 and 1. */
export const decodedSamples = (file: string): Effect.Effect<Float32Array> =>
  output(reader(file), [
    ..."-v error -i".split(" "),
    `file:${file}`,
    ..."-map 0:a -af pan=mono|c0=c0 -f f32le -".split(" ")
  ]).pipe(
    Effect.map((bytes) => new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)))
  )

/** The loudness of each window, in dB. */
export const loudness = (samples: Float32Array, window: number): ReadonlyArray<number> =>
  Array.from({ length: Math.floor(samples.length / window) }, (_, index) => {
    const part = samples.subarray(index * window, (index + 1) * window)
    return 10 * Math.log10(part.reduce((sum, sample) => sum + sample * sample, 1e-12) / window)
  })

const ffprobeReport = Schema.fromJsonString(
  Schema.Struct({ streams: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
)

/** What ffprobe, which the code under test does not use, says of a file's streams. */
export const ffprobe = (file: string): Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>> =>
  output(ffprobePath, ["-v", "error", "-count_packets", "-show_streams", "-of", "json", `file:${file}`]).pipe(
    Effect.flatMap((text) => Schema.decodeUnknownEffect(ffprobeReport)(text.toString())),
    Effect.map((report) => report.streams),
    Effect.orDie
  )

/** Where a frame is in its file. */
export interface Packet {
  readonly position: number
  readonly size: number
  readonly isKey: boolean
}

const ffprobePackets = Schema.fromJsonString(
  Schema.Struct({
    packets: Schema.Array(
      Schema.Struct({ pos: Schema.FiniteFromString, size: Schema.FiniteFromString, flags: Schema.String })
    )
  })
)

/** The frames of a file's picture, in the order in which they are stored. */
export const packets = (file: string): Effect.Effect<ReadonlyArray<Packet>> =>
  output(ffprobePath, [..."-v error -select_streams v:0 -show_packets -of json".split(" "), `file:${file}`]).pipe(
    Effect.flatMap((text) => Schema.decodeEffect(ffprobePackets)(text.toString())),
    Effect.map((report) =>
      report.packets.map(({ flags, pos, size }) => ({ position: pos, size, isKey: flags.startsWith("K") }))
    ),
    Effect.orDie
  )

/** What is in a folder, hidden files and all. */
export const listing = (dir: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => (await fs.readdir(dir)).toSorted())
