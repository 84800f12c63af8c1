import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { promisify } from "node:util"

const example = resolve(import.meta.dirname, "..")

/** Runs a program in a folder, or one below it, that holds one of the configurations and the job file. */
const render = async (kind: string, program: string, test: (folder: string, stdout: string) => Promise<void>) => {
  // In the example, so that what is imported is found.
  const folder = await mkdtemp(join(example, ".render-"))
  try {
    await cp(join(example, "src", kind), folder, { recursive: true })
    const job = await readFile(join(example, "src/job.json"), "utf8")
    await writeFile(join(folder, "job.json"), job.replaceAll('"ffmpeg ', `"${ffmpeg} `))
    const args = ["--conditions=@helios-infra/source", join(example, "src", program)]
    const env = { ...process.env, FFMPEG_PATH: ffmpeg }
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env })
    await test(folder, stdout)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** How many frames a file holds, counted by decoding them. */
const framesOf = async (file: string): Promise<number> => {
  const args = ["-v", "error", "-i", file, "-map", "0:v:0", "-f", "framemd5", "-"]
  const { stdout } = await promisify(execFile)(ffmpeg, args)
  return stdout.split("\n").filter((line) => line.startsWith("0,")).length
}

describe("a video", () => {
  it.each([
    ["typescript", "render.mjs"],
    ["json", "render.mjs"],
    ["yaml", "render.mjs"],
    ["typescript", "render.ts"],
    ["yaml", "render.ts"]
  ] as const)("is rendered by a configuration in %s, with %s", (kind, program) =>
    render(kind, program, async (folder, stdout) => {
      assert.strictEqual(stdout.trim(), join(folder, "film.mp4"))
      assert.strictEqual(await framesOf(join(folder, "film.mp4")), 48)
      const jobs = (await readdir(join(folder, "jobs"))).length
      assert.strictEqual(jobs, 1, "the job is kept where the configuration says")
    })
  )
})

it("stands in the documentation as it was rendered", async () => {
  const page = await readFile(resolve(example, "../../docs/config.md"), "utf8")
  const written = ["typescript/helios.config.ts", "json/helios.config.json", "yaml/helios.config.yaml"]
  const texts = await Promise.all(written.map((name) => readFile(join(example, "src", name), "utf8")))
  for (const text of texts) {
    assert.include(page, `\n${text.replace("../../node_modules", "./node_modules")}\`\`\``)
  }
})

it("says the same in three languages", async () => {
  const written = ["json/helios.config.json", "yaml/helios.config.yaml", "typescript/helios.config.ts"]
  const texts = await Promise.all(written.map((name) => readFile(join(example, "src", name), "utf8")))
  const words = texts.map((text) =>
    (text.match(/\w[\w-]*/g) ?? [])
      .join(" ")
      .replace(/^.*?(?=worker type)/, "")
      .replaceAll("10 minutes", "10_minutes")
  )
  assert.strictEqual(words[0], words[1])
  assert.strictEqual(words[0], words[2])
})
