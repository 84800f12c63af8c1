// A pipeline of one's own, from the pieces: plan, render, stitch, then take a poster frame out of the result.
import { resolve } from "node:path"
import { LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { ChunkPlan, ChunkScheduler, FrameRate, JobSpec, type VideoStitcher } from "@helios-infra/core"
import { Ffmpeg, FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"

const dir = process.cwd()

const program = Effect.gen(function* () {
  const ffmpeg = yield* Ffmpeg.find()

  const job = yield* ChunkPlan.make({
    totalFrames: 60,
    fps: 30,
    width: 160,
    height: 90,
    chunks: { size: 20 },
    command: `'${ffmpeg.path}' -v error -y -f lavfi -i mandelbrot=size=160x90:rate=30,trim=start_frame={startFrame},setpts=PTS-STARTPTS -frames:v {frameCount} -c:v libx264 -bf 0 -pix_fmt yuv420p {output}`
  })
  const chunks = JobSpec.chunksInOrder(job)

  // The scheduler tells what happens; the outputs of the accepted chunks are all that this pipeline wants of it.
  const events = ChunkScheduler.run(chunks, { jobId: "pipeline", run: 1, concurrency: 2, format: JobSpec.format(job) })
  const accepted = yield* Stream.runCollect(events.pipe(Stream.filter((event) => event._tag === "ChunkAccepted")))
  const inputs = chunks.flatMap((chunk, index): Array<VideoStitcher.ChunkOutput> => {
    const event = accepted.find(({ chunk: id }) => id === chunk.id)
    if (event === undefined) return []
    return [{ ...event.output, index, chunkId: chunk.id, attempt: event.attempt, frameCount: chunk.frameCount }]
  })
  yield* Console.log(`rendered ${inputs.length} chunks`)

  const stitcher = yield* FfmpegStitcher.make()
  const film = yield* stitcher.stitch({
    inputs: Stream.fromIterable(inputs),
    total: inputs.length,
    frames: job.metadata.totalFrames,
    fps: FrameRate.format(JobSpec.frameRate(job)),
    output: resolve(dir, "film.mp4")
  })
  yield* Console.log(`stitched ${film.frames} frames into ${film.outputFile}`)

  const poster = resolve(dir, "poster.png")
  yield* ffmpeg.run(["-y", "-ss", "1", "-i", film.outputFile, "-frames:v", "1", poster])
  yield* Console.log(`took a poster frame: ${poster}`)
})

const services = Layer.mergeAll(LocalWorkerAdapter.layer(), FfmpegOutputCheck.layer()).pipe(
  Layer.provideMerge(LocalWorkspace.layer({ dir }))
)
NodeRuntime.runMain(program.pipe(Effect.provide(services)))
