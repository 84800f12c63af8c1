/** Everything real in a folder of its own: child processes, files, ffmpeg. For tests of the packages together. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { ChunkPlan, JobManager, JobRepository } from "@helios-infra/core"
import { Strays } from "@helios-infra/process"
import { Ffmpeg, FfmpegOutputCheck, FfmpegStitcher, MediaProbe } from "@helios-infra/stitcher-ffmpeg"
import { Effect, Layer } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A folder that is gone after the test. */
export const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "helios-integration-"))),
  (dir) => Effect.promise(() => rm(dir, { recursive: true, force: true }))
)

/** A manager that renders in `dir`, with ffmpeg to join and to check. */
export const layer = (dir: string, options: LocalWorkerAdapter.Options = {}) =>
  JobManager.layer.pipe(
    Layer.provideMerge(JobRepository.layerMemory),
    Layer.provide([
      LocalWorkerAdapter.layer({ killGrace: "500 millis", ...options }),
      FfmpegStitcher.layer({ ffmpegPath: ffmpeg }),
      FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
    ]),
    Layer.provide(LocalWorkspace.layer({ dir }))
  )

/** ffmpeg's arguments for frames of a test picture, a counter in each; whole in what may be left out. */
export const render = (options: {
  readonly frames?: string | undefined
  readonly size?: string | undefined
  readonly rate?: string | undefined
  readonly pixels?: string | undefined
  readonly output?: string | undefined
}): string =>
  [
    `'${ffmpeg}' -v error -y -f lavfi -i`,
    `testsrc2=size=${options.size ?? "64x48"}:rate=${options.rate ?? "30"},trim=start_frame={startFrame},setpts=PTS-STARTPTS`,
    `-frames:v ${options.frames ?? "{frameCount}"} -c:v libx264 -preset ultrafast -bf 0 -pix_fmt ${options.pixels ?? "yuv420p"}`,
    options.output ?? "{output}"
  ].join(" ")

/** A job of 3 chunks of 30 frames, each rendered by `command`. */
export const plan = (command: string, options: Partial<ChunkPlan.Options> = {}) =>
  ChunkPlan.make({ totalFrames: 90, fps: 30, width: 64, height: 48, chunks: { count: 3 }, command, ...options })

/** A hash of every frame of a file, as it is decoded. */
export const hashesOf = (file: string) =>
  Effect.flatMap(Ffmpeg.find({ ffmpegPath: ffmpeg }), (tool) => MediaProbe.frameHashes(tool, file))

/** How many frames a file shows, counted by decoding. */
export const framesOf = (file: string) => Effect.map(hashesOf(file), (hashes) => hashes.length)

/** The processes of a job that still run. */
export const processesOf = (jobId: string) => Strays.find(jobId)
