/** A job for workers elsewhere: it reads an asset, and has sound. And the demo's, which needs a browser. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { ChunkPlan, JobManager, type JobSpec } from "@helios-infra/core"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { mkdir } from "node:fs/promises"
import { join, relative } from "node:path"
import { promisify } from "node:util"
import { ensureChromium } from "../../examples/demo/src/browser.ts"
import { small, writeJob } from "../../examples/demo/src/job.ts"
import * as RealMachine from "./RealMachine.ts"

const run = promisify(execFile)

/** A source of 96 frames with sound in the job's folder, and a job that cuts it into chunks and encodes them. */
export const prepare = Effect.fnUntraced(function* (root: string, options: Partial<ChunkPlan.Options> = {}) {
  const dir = join(root, "job")
  yield* Effect.promise(async () => {
    await mkdir(join(dir, "media"), { recursive: true })
    const picture = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=24,trim=end_frame=96"]
    const sound = ["-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000:duration=4"]
    const codecs = ["-c:v", "libx264", "-qp", "0", "-c:a", "pcm_s16le", join(dir, "media", "source file.mov")]
    await run(ffmpeg, ["-v", "error", "-y", ...picture, ...sound, ...codecs])
  })
  const spec = yield* ChunkPlan.make({
    totalFrames: 96,
    fps: 24,
    width: 160,
    height: 90,
    chunks: { count: 4 },
    command: [
      `'${ffmpeg}' -v error -y -i 'media/source file.mov' -frames:v {frameCount}`,
      "-vf trim=start_frame={startFrame},setpts=PTS-STARTPTS",
      "-af atrim=start={startSeconds}:duration={durationSeconds},asetpts=PTS-STARTPTS",
      "-c:v libx264 -preset ultrafast -bf 0 -pix_fmt yuv420p -c:a pcm_s16le {output}"
    ].join(" "),
    assets: ["media"],
    ...options
  })
  return { dir, spec }
})

/** A hash of every frame of a video, and one of all of its sound, as they are decoded. */
export const hashes = (file: string) =>
  Effect.promise(async () => {
    const picture = await run(ffmpeg, ["-v", "error", "-i", file, "-map", "0:v", "-f", "framemd5", "-"])
    const sound = await run(ffmpeg, ["-v", "error", "-i", file, "-map", "0:a?", "-f", "md5", "-"])
    return [...picture.stdout.split("\n").filter((line) => !line.startsWith("#")), sound.stdout]
  })

/** Runs the same job on this machine. */
export const renderHere = Effect.fnUntraced(function* (
  spec: JobSpec.JobSpec,
  dir: string,
  env: Record<string, string> = {}
) {
  yield* JobManager.JobManager.use((jobs) =>
    Effect.flatMap(jobs.create(spec), ({ id }) => jobs.run(id, { outputFile: "here.mp4", env }))
  ).pipe(Effect.provide(RealMachine.layer(dir)))
  return yield* hashes(join(dir, "here.mp4"))
})

/** The demo's job, small, and the variables that its commands need. */
export const prepareDemo = Effect.fnUntraced(function* (root: string) {
  const dir = join(root, "job")
  const { spec } = yield* Effect.promise(() => writeJob(dir, small))
  // The worker's machine has the program and the composition; the sound comes with the job.
  const example = join(import.meta.dirname, "..", "..", "examples", "demo")
  const chunks = spec.chunks.map((chunk) => ({
    ...chunk,
    command: chunk.command.replaceAll(`${relative(dir, example)}/`, `${example}/`)
  }))
  const chromium = yield* Effect.promise(() => ensureChromium())
  const env = { ...chromium.env, CHROMIUM_PATH: chromium.executablePath, FFMPEG_PATH: ffmpeg }
  return { dir, env, spec: { ...spec, chunks, assets: ["sound.wav"] } }
})
