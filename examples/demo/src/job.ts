/**
 * Makes the demo's job: a folder with the job file in it and the sound that its commands name.
 *
 * All paths in the job are relative to that folder, so the commands mean the same wherever they are run from it.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { join, relative, resolve } from "node:path"
import * as ChunkPlan from "@helios-infra/core/ChunkPlan"
import type { JobSpec } from "@helios-infra/core/JobSpec"
import * as Effect from "effect/Effect"
import { writeSound } from "./sound.ts"

/** What to render, and in how many chunks. */
export interface Settings {
  readonly width: number
  readonly height: number
  readonly fps: number
  readonly frames: number
  readonly chunks: number
}

/** The whole film. */
export const full: Settings = { width: 1280, height: 720, fps: 30, frames: 300, chunks: 8 }

/** Its first two seconds, small: what tests and CI render. */
export const small: Settings = { width: 320, height: 180, fps: 30, frames: 60, chunks: 4 }

const soundFile = "sound.wav"
const example = resolve(import.meta.dirname, "..")

/** A path as a command line takes it. */
const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`)

/** The job whose file is to be in `folder`. `outputFile` is what its merge command writes. */
export const planJob = (
  folder: string,
  settings: Settings,
  outputFile = "film.mp4"
): Effect.Effect<JobSpec, ChunkPlan.ChunkPlanError> => {
  const { chunks, fps, frames, height, width } = settings
  const pathTo = (file: string): string => quoted(relative(resolve(folder), join(example, file)))
  const command = [
    `node ${pathTo("src/cli.ts")} --headless --composition ${pathTo("composition/index.html")}`,
    "--start-frame {startFrame} --frame-count {frameCount}",
    `--fps ${fps} --width ${width} --height ${height} --audio ${soundFile} -o part_{id}.mov`
  ].join(" ")
  return ChunkPlan.make({
    totalFrames: frames,
    fps,
    width,
    height,
    chunks: { count: chunks },
    command,
    outputFile: "part_{id}.mov",
    mergeCommand: (parts) => `node ${pathTo("src/merge.ts")} --fps ${fps} -o ${quoted(outputFile)} ${parts.join(" ")}`
  })
}

/** A job's folder, ready to run. */
export interface DemoJob {
  readonly spec: JobSpec
  /** Absolute, like the paths below. */
  readonly folder: string
  readonly jobFile: string
  readonly soundFile: string
  /** The first frame of every chunk but the first: where the film could show that it was rendered in pieces. */
  readonly seams: ReadonlyArray<number>
}

/** Plans the job and writes its folder: `job.json` and `sound.wav`. */
export const writeJob = async (folder: string, settings: Settings): Promise<DemoJob> => {
  const root = resolve(folder)
  const spec = await Effect.runPromise(planJob(root, settings))
  const files = { jobFile: join(root, "job.json"), soundFile: join(root, soundFile) }
  await mkdir(root, { recursive: true })
  await writeSound(files.soundFile)
  await writeFile(files.jobFile, `${JSON.stringify(spec, null, 2)}\n`)
  return { spec, folder: root, ...files, seams: spec.chunks.slice(1).map((chunk) => chunk.startFrame) }
}
