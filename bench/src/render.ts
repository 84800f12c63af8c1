/**
 * A real render in chunks, checked and stitched, against one ffmpeg over all of it, and against GNU parallel with the same
 * commands and ffmpeg's concat demuxer, which check nothing.
 */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { ChunkPlan, JobManager, JobRepository } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { Effect, Layer } from "effect"
import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { inPairs, type Row, timed } from "./Measure.ts"

const frames = 600
const rounds = 11
const slots = availableParallelism()
const run = promisify(execFile)

const command = (start: string, count: string, output: string): string =>
  `${ffmpeg} -v error -y -f lavfi -i testsrc2=size=1280x720:rate=30,trim=start_frame=${start},setpts=PTS-STARTPTS -frames:v ${count} -c:v libx264 -pix_fmt yuv420p ${output}`

const ours = (dir: string, chunks: number) =>
  timed(() =>
    Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      const { id } = yield* jobs.create(
        yield* ChunkPlan.make({
          totalFrames: frames,
          fps: 30,
          width: 1280,
          height: 720,
          chunks: { count: chunks },
          command: command("{startFrame}", "{frameCount}", "{output}")
        })
      )
      yield* jobs.run(id, { outputFile: "ours.mp4", concurrency: slots })
    }).pipe(
      Effect.provide(
        JobManager.layer.pipe(
          Layer.provide([
            JobRepository.layerMemory,
            LocalWorkerAdapter.layer(),
            FfmpegStitcher.layer({ ffmpegPath: ffmpeg }),
            FfmpegOutputCheck.layer({ ffmpegPath: ffmpeg })
          ]),
          Layer.provide(LocalWorkspace.layer({ dir }))
        )
      ),
      Effect.runPromise
    )
  )

const single = (dir: string) => timed(() => run("sh", ["-c", command("0", String(frames), join(dir, "single.mp4"))]))

const parallel = (dir: string, chunks: number) =>
  timed(async () => {
    const size = frames / chunks
    const files = Array.from({ length: chunks }, (_, i) => join(dir, `part_${i}.mov`))
    const commands = files.map((file, i) => command(String(i * size), String(size), file))
    await writeFile(join(dir, "commands"), commands.join("\n"))
    await run("sh", ["-c", `parallel --will-cite -j ${slots} < ${join(dir, "commands")}`])
    await writeFile(join(dir, "list"), files.map((file) => `file '${file}'\n`).join(""))
    const list = ["-f", "concat", "-safe", "0", "-i", join(dir, "list")]
    await run(ffmpeg, ["-v", "error", "-y", ...list, "-c", "copy", "-movflags", "+faststart", join(dir, "theirs.mp4")])
  })

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const dir = await mkdtemp(join(tmpdir(), "helios-bench-"))
  try {
    const hasParallel = await run("parallel", ["--version"]).then(
      () => true,
      () => false
    )
    const measured: Array<Row> = []
    for (const chunks of [2, 4, 8]) {
      const name = `${frames} frames of 720p in ${chunks} chunks`
      const text = (ms: number) => `${(ms / 1000).toFixed(2)} s`
      // One after the other is the point.
      // oxlint-disable-next-line no-await-in-loop
      const one = await inPairs(
        3,
        () => ours(dir, chunks),
        () => single(dir)
      )
      measured.push({
        name: `${name}, against one ffmpeg`,
        ours: text(one.ours),
        other: text(one.other),
        ratio: one.ratio
      })
      if (!hasParallel) continue
      // oxlint-disable-next-line no-await-in-loop
      const many = await inPairs(
        rounds,
        () => ours(dir, chunks),
        () => parallel(dir, chunks)
      )
      measured.push({
        name: `${name}, against GNU parallel and concat`,
        ours: text(many.ours),
        other: text(many.other),
        ratio: many.ratio,
        budget: { text: "at most 1.03", kept: many.ratio <= 1.03 }
      })
    }
    return measured
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
