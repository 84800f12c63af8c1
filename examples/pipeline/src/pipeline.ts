// A pipeline of one's own, out of the pieces: plan, render here and elsewhere, stitch, take a poster, upload.
import { basename, resolve } from "node:path"
import { NodeRuntime } from "@effect/platform-node"
import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import { LocalFiles, LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import {
  AdapterMiddleware,
  AdapterPool,
  ArtifactStorage,
  ChunkPlan,
  JobManager,
  JobRepository,
  StitcherMiddleware,
  StorageMiddleware,
  Telemetry
} from "@helios-infra/core"
import { Ffmpeg, FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { Config, Console, Data, Effect, Layer, Metric, Option, Stream } from "effect"
import * as Storage from "./storage.ts"

// ---
// the steps
// ---

/** Two seconds of a fractal, in chunks of ten frames; any command that renders a range of frames would do. */
const plan = Effect.fn("plan")(function* (ffmpeg: Ffmpeg.Ffmpeg) {
  return yield* ChunkPlan.make({
    totalFrames: 60,
    fps: 30,
    width: 160,
    height: 90,
    chunks: { size: 10 },
    command: `'${ffmpeg.path}' -v error -y -f lavfi -i mandelbrot=size=160x90:rate=30,trim=start_frame={startFrame},setpts=PTS-STARTPTS -frames:v {frameCount} -c:v libx264 -bf 0 -pix_fmt yuv420p {output}`
  })
})

/** Renders the chunks and joins them as they come; tells how far that is. */
const render = Effect.fn("render")(function* (spec: unknown) {
  const jobs = yield* JobManager.JobManager
  const { id } = yield* jobs.create(spec)
  const tell = Stream.runForEach(jobs.watch(id, { every: "1 second" }), ({ fraction }) =>
    Console.log(`rendered ${Math.floor(fraction * 100)} %`)
  )
  const running = jobs.run(id, { outputFile: "film.mp4", retries: 3, attemptTimeout: "5 minutes" })
  const [{ outputFile = "film.mp4" }] = yield* Effect.all([running, tell], { concurrency: 2 })
  return outputFile
})

class PosterFailed extends Data.TaggedError("PosterFailed")<{ readonly message: string }> {}

/** A still picture out of the middle of a film, beside it. */
const poster = Effect.fn("poster")(function* (ffmpeg: Ffmpeg.Ffmpeg, film: string) {
  const picture = film.replace(/\.\w+$/, ".png")
  const run = yield* ffmpeg.run([
    "-y",
    "-ss",
    "1",
    "-i",
    Ffmpeg.fileUrl(film),
    "-frames:v",
    "1",
    Ffmpeg.fileUrl(picture)
  ])
  if (run.exitCode !== 0) return yield* new PosterFailed({ message: Ffmpeg.describe(run) })
  return picture
})

/** Stores a file under `films/`, where whoever shows it can have it from. */
const upload = Effect.fn("upload")(function* (file: string) {
  const storage = yield* ArtifactStorage.ArtifactStorage
  const { bytes, key } = yield* storage.put(`films/${basename(file)}`, LocalFiles.read(file))
  yield* Console.log(`stored ${key}, ${bytes} bytes`)
})

const pipeline = Effect.gen(function* () {
  const ffmpeg = yield* Ffmpeg.find()
  const spec = yield* plan(ffmpeg)
  const film = yield* render(spec)
  const picture = yield* poster(ffmpeg, film)
  yield* Effect.forEach([film, picture], upload, { concurrency: 2 })
  for (const adapter of ["here", "elsewhere"]) {
    const done = Metric.withAttributes(AdapterMiddleware.attemptDuration, {
      [Telemetry.attributes.adapter]: adapter,
      [Telemetry.attributes.outcome]: "completed"
    })
    yield* Console.log(`${(yield* Metric.value(done)).count} chunks were rendered ${adapter}`)
  }
})

// ---
// what they run on
// ---

const dir = resolve(".")

const here = LocalWorkerAdapter.layer({ concurrency: 1 }).pipe(
  AdapterMiddleware.onLayer(AdapterMiddleware.named("here"))
)

/** The server of `worker.ts` when there is one, else another process of this machine, as a stand-in. */
const elsewhere = Layer.unwrap(
  Effect.gen(function* () {
    const url = yield* Config.option(Config.String("RENDER_URL"))
    if (Option.isNone(url)) return LocalWorkerAdapter.layer({ concurrency: 1 })
    const secret = yield* Config.Redacted("RENDER_SECRET")
    return HttpWorkerAdapter.layer({ url: url.value, auth: { secret }, concurrency: 2 })
  })
).pipe(AdapterMiddleware.onLayer(AdapterMiddleware.named("elsewhere"), AdapterMiddleware.limitTime("1 minute")))

/** Around each of them, so that logs and metrics say which one it was. */
const observed = AdapterMiddleware.onLayer(AdapterMiddleware.metrics(), AdapterMiddleware.logging())

const workers = AdapterPool.layerOverflow([observed(here), observed(elsewhere)])
const stitcher = FfmpegStitcher.layer().pipe(StitcherMiddleware.onLayer(StitcherMiddleware.limitTime("1 minute")))
const storage = Storage.storage.pipe(
  StorageMiddleware.onLayer(StorageMiddleware.limitTime("1 minute"), StorageMiddleware.logging())
)

const services = JobManager.layer.pipe(
  Layer.provide([JobRepository.layerMemory, workers, stitcher, FfmpegOutputCheck.layer()]),
  Layer.provide(LocalWorkspace.layer({ dir })),
  Layer.provideMerge(storage)
)
NodeRuntime.runMain(Effect.provide(pipeline, services))
