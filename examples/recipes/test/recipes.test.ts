import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"

const source = (name: string): string => resolve(import.meta.dirname, "../src", name)

const recipe = (folder: string, name: string, ...args: ReadonlyArray<string>) =>
  promisify(execFile)(process.execPath, ["--conditions=@helios-infra/source", source(name), ...args], {
    cwd: folder,
    env: { ...process.env, FFMPEG_PATH: ffmpeg }
  })

/** How many frames a file holds, counted by decoding them. */
const framesOf = async (file: string): Promise<number> => {
  const args = ["-v", "error", "-i", file, "-map", "0:v:0", "-f", "framemd5", "-"]
  const { stdout } = await promisify(execFile)(ffmpeg, args)
  return stdout.split("\n").filter((line) => line.startsWith("0,")).length
}

const inFolder = async (test: (folder: string) => Promise<void>) => {
  const folder = await mkdtemp(join(tmpdir(), "helios-recipes-"))
  try {
    await test(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe("recipes", () => {
  it("plans an ffmpeg-only job, and runs its file from Effect code", () =>
    inFolder(async (folder) => {
      await recipe(folder, "ffmpeg-only.ts")
      const { stdout } = await recipe(folder, "embed.ts")
      assert.strictEqual(stdout.trim(), join(folder, "film.mp4"))
      assert.strictEqual(await framesOf(join(folder, "film.mp4")), 96)
      assert.deepStrictEqual((await readdir(folder)).toSorted(), ["film.mp4", "job.json"], "nothing else is left")
    }))

  it("runs a job file from plain JavaScript", () =>
    inFolder(async (folder) => {
      await recipe(folder, "ffmpeg-only.ts")
      const { stderr, stdout } = await recipe(folder, "embed-promise.mjs")
      assert.strictEqual(stdout.trim(), join(folder, "film.mp4"))
      assert.match(stderr, /^25 %\n50 %\n75 %\n100 %$/m)
      assert.strictEqual(await framesOf(join(folder, "film.mp4")), 96)
      assert.deepStrictEqual((await readdir(folder)).toSorted(), ["film.mp4", "job.json"], "nothing else is left")
    }))

  it("says what is wrong with a job file", () =>
    inFolder(async (folder) => {
      await recipe(folder, "ffmpeg-only.ts")
      const jobFile = join(folder, "job.json")
      const job = await readFile(jobFile, "utf8")
      await writeFile(jobFile, job.replace('"frameCount": 24', '"frameCount": 23'))
      const failed = await recipe(folder, "embed.ts").then(
        () => assert.fail("it ran"),
        (error: { readonly code: number; readonly stdout: string; readonly stderr: string }) => error
      )
      assert.strictEqual(failed.code, 1)
      assert.match(failed.stdout + failed.stderr, /frame 23 is in no chunk/)
    }))

  it("composes a pipeline from the pieces, down to a poster frame", () =>
    inFolder(async (folder) => {
      const { stdout } = await recipe(folder, "pipeline.ts")
      assert.match(stdout, /rendered 3 chunks\nstitched 60 frames into .*film\.mp4\ntook a poster frame: .*poster\.png/)
      assert.strictEqual(await framesOf(join(folder, "film.mp4")), 60)
      const png = await readFile(join(folder, "poster.png"))
      assert.deepStrictEqual([...png.subarray(1, 4)], [...Buffer.from("PNG")])
      assert.isAbove(png.length, 1000)
    }))
})
