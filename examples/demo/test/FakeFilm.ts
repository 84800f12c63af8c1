/** Films made by ffmpeg in an instant: gray pictures whose only content is the strip of blocks, and the real sound. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "@effect/vitest"
import { blockCount, blockSize, encodeStrip } from "../composition/strip.js"
import { findFfmpeg } from "../src/ffmpeg.ts"

export const ffmpeg = findFfmpeg()
export const fps = 30
const width = 320
const height = 180

/** A folder that is gone after the tests of the file. */
export const temporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "helios-demo-test-"))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const picture = (frame: number): Buffer => {
  const pixels = Buffer.alloc(width * height, 90)
  const blocks = encodeStrip(frame)
  for (let y = height - blockSize; y < height; y++) {
    for (let x = 0; x < blockCount * blockSize; x++) {
      pixels[y * width + x] = blocks[Math.floor(x / blockSize)] === true ? 255 : 0
    }
  }
  return pixels
}

export interface FilmOptions {
  /** The numbers that the pictures show, in their order. */
  readonly frames: ReadonlyArray<number>
  /** A WAV, filtered on its way in; absent for a silent film. */
  readonly sound?: string
  readonly soundFilter?: string
  readonly pictureFilter?: string
  /** More of ffmpeg's arguments, before the output. */
  readonly more?: ReadonlyArray<string>
}

/** Writes a film as the stitcher would. */
export const makeFilm = (file: string, options: FilmOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    const raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", `${width}x${height}`, "-r", String(fps), "-i", "-"]
    const sound =
      options.sound === undefined
        ? []
        : ["-i", options.sound, "-c:a", "aac", "-b:a", "192k", "-af", options.soundFilter ?? "anull"]
    const maps = ["-map", "0:v", ...(options.sound === undefined ? [] : ["-map", "1:a"])]
    const codec = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p", "-vsync", "vfr"]
    const filter = ["-vf", options.pictureFilter ?? "null"]
    const child = spawn(
      ffmpeg,
      ["-v", "error", "-y", ...raw, ...sound, ...maps, ...codec, ...filter, ...(options.more ?? []), file],
      { stdio: ["pipe", "ignore", "pipe"] }
    )
    let complaints = ""
    child.stderr.on("data", (data: Buffer) => (complaints += data.toString()))
    child.on("error", reject)
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`ffmpeg exited with ${code}: ${complaints}`))
    )
    child.stdin.on("error", () => {}) // it says why it ended itself
    child.stdin.end(Buffer.concat(options.frames.map(picture)))
  })

/** The numbers from 0 up to `count`. */
export const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)
