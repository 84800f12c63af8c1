/**
 * From the last chunk to the finished file: a stitch that has joined what landed before, against ffmpeg's concat demuxer
 * over all chunks, as one would use it by hand. The chunks are as large as in a long film, and the last one is like the
 * others.
 */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { LocalWorkspace } from "@helios-infra/adapter-local"
import { AcceptedPrefix, type VideoStitcher as Stitcher, VideoStitcher } from "@helios-infra/core"
import { FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { Effect, Fiber, Layer } from "effect"
import { execFile } from "node:child_process"
import { link, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { performance } from "node:perf_hooks"
import { promisify } from "node:util"
import { inPairs, type Row } from "./Measure.ts"

const framesEach = 20
const rounds = 3
const run = promisify(execFile)

/** A kind of file: that of the chunks and of what is made of them. */
interface Kind {
  readonly extension: string
  readonly video: string
  /** How ffmpeg is told to put an index in front, by hand. */
  readonly inFront: ReadonlyArray<string>
}

const x264 = "-c:v libx264 -preset ultrafast -qp 0"
const mp4: Kind = { extension: "mp4", video: x264, inFront: ["-movflags", "+faststart"] }
const mkv: Kind = { extension: "mkv", video: x264, inFront: [] }
const webm: Kind = {
  extension: "webm",
  video: "-c:v libvpx -deadline realtime -cpu-used 8 -qmin 0 -qmax 0 -b:v 1G",
  inFront: []
}

/** One chunk of about 32 MB, and as many names for it as it takes. */
const makeChunks = async (dir: string, bytes: number, { extension, video }: Kind): Promise<ReadonlyArray<string>> => {
  const first = join(dir, `part_0.${extension}`)
  const picture = "testsrc2=s=1280x720:r=30,noise=alls=100:allf=t"
  const encode = `-frames:v ${framesEach} ${video} -pix_fmt yuv420p`.split(" ")
  await run(ffmpeg, ["-v", "error", "-y", "-f", "lavfi", "-i", picture, ...encode, first])
  const { size } = await stat(first)
  const names = Array.from({ length: Math.ceil(bytes / size) }, (_, index) => join(dir, `part_${index}.${extension}`))
  await Promise.all(names.slice(1).map((name) => link(first, name)))
  return names
}

/** The size of the file that is being made; 0 while there is none. */
const made = async (dir: string, extension: string): Promise<number> => {
  const folder = (await readdir(dir)).find((name) => name.startsWith(".stitching-"))
  if (folder === undefined) return 0
  return stat(join(dir, folder, `joined.${extension}`)).then(
    ({ size }) => size,
    () => 0
  )
}

/** From the last chunk on, in milliseconds. */
const ours = (dir: string, files: ReadonlyArray<string>, { extension }: Kind): Promise<number> =>
  Effect.gen(function* () {
    const { size } = yield* Effect.promise(() => stat(files[0] ?? ""))
    const output = join(dir, `ours.${extension}`)
    // To let go of an older one takes as long as it is large.
    yield* Effect.promise(() => rm(output, { force: true }))
    const outputs = files.map((location, index): Stitcher.ChunkOutput => ({
      index,
      chunkId: index,
      attempt: 1,
      frameCount: framesEach,
      location,
      bytes: size
    }))
    let landed = outputs.length - 1
    const prefix = AcceptedPrefix.make(outputs.length, (index) => (index < landed ? outputs[index] : undefined))
    const stitcher = yield* VideoStitcher.VideoStitcher
    const stitching = yield* Effect.forkChild(
      stitcher.stitch({
        inputs: prefix.outputs,
        total: outputs.length,
        frames: outputs.length * framesEach,
        frameCounts: outputs.map(() => framesEach),
        fps: "30",
        output
      })
    )
    // All but the last are copied when the file has grown by nearly as much: Matroska is written in clusters of 5 MB.
    const copied = Effect.promise(async () => (await made(dir, extension)) >= (outputs.length - 1.3) * size)
    yield* Effect.repeat(Effect.delay(copied, 20), { until: (done) => done })
    const startedAt = performance.now()
    landed++
    prefix.grow()
    yield* Fiber.join(stitching)
    return performance.now() - startedAt
  }).pipe(
    Effect.provide(FfmpegStitcher.layer({ ffmpegPath: ffmpeg }).pipe(Layer.provide(LocalWorkspace.layer({ dir })))),
    Effect.runPromise
  )

/** ffmpeg's concat demuxer, which begins when the last chunk is there, and checks nothing. */
const plain = async (dir: string, files: ReadonlyArray<string>, { extension, inFront }: Kind): Promise<number> => {
  await writeFile(join(dir, "list"), files.map((file) => `file '${file}'\n`).join(""))
  const output = join(dir, `theirs.${extension}`)
  await rm(output, { force: true })
  const list = ["-f", "concat", "-safe", "0", "-i", join(dir, "list")]
  const startedAt = performance.now()
  await run(ffmpeg, ["-v", "error", "-y", ...list, "-c", "copy", ...inFront, output])
  return performance.now() - startedAt
}

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const measured: Array<Row> = []
  const times = new Map<string, number>()
  const text = (ms: number) => `${(ms / 1000).toFixed(2)} s`
  for (const [gigabytes, kind] of [
    [0.5, mp4],
    [2, mp4],
    [0.5, mkv],
    [2, mkv],
    [2, webm]
  ] as const) {
    // One after the other is the point.
    // oxlint-disable-next-line no-await-in-loop
    const dir = await mkdtemp(join(tmpdir(), "helios-bench-"))
    try {
      // oxlint-disable-next-line no-await-in-loop
      const files = await makeChunks(dir, gigabytes * 2 ** 30, kind)
      // oxlint-disable-next-line no-await-in-loop
      const found = await inPairs(
        rounds,
        () => ours(dir, files, kind),
        () => plain(dir, files, kind)
      )
      times.set(`${gigabytes} ${kind.extension}`, found.ours)
      measured.push({
        name: `from the last of ${files.length} chunks to ${gigabytes} GB in one .${kind.extension}, against ffmpeg's concat`,
        ours: text(found.ours),
        other: text(found.other),
        ratio: found.ratio,
        ...(gigabytes === 2 ? { budget: { text: "at most 0.15", kept: found.ratio <= 0.15 } } : {})
      })
    } finally {
      // oxlint-disable-next-line no-await-in-loop
      await rm(dir, { recursive: true, force: true })
    }
  }
  const flat = [mp4, mkv].map(({ extension }): Row => {
    const [half = Number.NaN, two = Number.NaN] = [0.5, 2].map((gigabytes) => times.get(`${gigabytes} ${extension}`))
    return {
      name: `from the last chunk to 2 GB in a .${extension}, against the same to 0.5 GB`,
      ours: text(two),
      other: text(half),
      ratio: two / half,
      budget: { text: "at most 1.5", kept: two / half <= 1.5 }
    }
  })
  return [...measured, ...flat]
}
