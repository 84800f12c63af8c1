import type { ChildProcess } from "node:child_process"
import { execFile, spawn, spawnSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { ensureChromium } from "../src/browser.ts"
import { listStreams, runFfmpeg } from "../src/ffmpeg.ts"
import { writeSound } from "../src/sound.ts"
import { readFrameNumbers } from "../src/verify.ts"
import { ffmpeg, fps, temporaryFolder } from "./FakeFilm.ts"

const folder = temporaryFolder()
const sound = join(folder, "sound.wav")
const example = join(import.meta.dirname, "..")
const film = join(example, "composition/index.html")

beforeAll(() => Promise.all([ensureChromium(), writeSound(sound)]), 120_000)

const argumentsFor = (composition: string, startFrame: number, frameCount: number, output: string): Array<string> => {
  const range = ["--start-frame", String(startFrame), "--frame-count", String(frameCount)]
  const size = ["--fps", String(fps), "--width", "320", "--height", "180"]
  return [join(example, "src/cli.ts"), "--headless", "--composition", composition, ...range, ...size, "-o", output]
}

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}): ChildProcess =>
  spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } })

const ended = (child: ChildProcess): Promise<Ended> =>
  new Promise((resolve, reject) => {
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (data: Buffer) => (stdout += data.toString()))
    child.stderr?.on("data", (data: Buffer) => (stderr += data.toString()))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

const render = (...args: ReadonlyArray<string>): Promise<Ended> => ended(start(args))

/** What every frame looks like once decoded. */
const frameHashes = async (file: string): Promise<ReadonlyArray<string>> => {
  const text = await runFfmpeg(ffmpeg, ["-i", file, "-map", "0:v:0", "-f", "framemd5", "-"])
  const lines = text.toString().split("\n")
  return lines.filter((line) => /^\d/.test(line)).map((line) => line.split(",").at(-1)?.trim() ?? "")
}

/** The processes that have a text in their environment, wherever what a command started went, and words in their command line. */
const processesWith = (marker: string, ...words: ReadonlyArray<string>): ReadonlyArray<string> =>
  readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(marker)) return false
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, "latin1")
      return words.every((word) => commandLine.includes(word))
    } catch {
      return false // it is gone, or not ours
    }
  })

const until = async (condition: () => boolean): Promise<void> => {
  if (condition()) return
  await new Promise((resolve) => setTimeout(resolve, 20))
  await until(condition)
}

/** A page whose canvas shows nothing, with a script that runs before every frame. */
const page = (name: string, script: string): string => {
  const file = join(folder, `${name}.html`)
  writeFileSync(
    file,
    `<canvas></canvas><script>window.helios = { waitUntilStable: async () => { ${script} } }</script>`
  )
  return file
}

describe("the worker's program", () => {
  describe("twice with the same range", () => {
    const files = ["a.mov", "b.mov"].map((name) => join(folder, name))
    const [first = ""] = files
    let runs: ReadonlyArray<Ended> = []
    beforeAll(async () => {
      runs = await Promise.all(files.map((file) => render(...argumentsFor(film, 17, 6, file), "--audio", sound)))
    }, 120_000)

    it("ends well and says how many frames are done", () => {
      for (const { code, stderr, stdout } of runs) {
        assert.strictEqual(code, 0, stderr)
        assert.strictEqual(stdout.trimEnd().split("\n").at(-1), "frame=6")
      }
    })

    it("renders the same pixels, every frame another, numbered as in the whole film", async () => {
      const [a = [], b = []] = await Promise.all(files.map(frameHashes))
      assert.strictEqual(a.length, 6)
      assert.deepStrictEqual(a, b)
      assert.strictEqual(new Set(a).size, 6)
      assert.deepStrictEqual(await readFrameNumbers(ffmpeg, first, fps), [17, 18, 19, 20, 21, 22])
    })

    it("puts exactly the range's samples into the file, as PCM", async () => {
      const streams = await listStreams(ffmpeg, first)
      assert.deepStrictEqual(
        streams.map(({ codec, dimensions, sampleRate }) => ({ codec, dimensions, sampleRate })),
        [
          { codec: "h264", dimensions: "320x180", sampleRate: undefined },
          { codec: "pcm_s16le", dimensions: undefined, sampleRate: 48_000 }
        ]
      )
      const pcm = await runFfmpeg(ffmpeg, ["-i", first, "-map", "0:a:0", "-f", "s16le", "-"])
      assert.isTrue(pcm.equals(readFileSync(sound).subarray(44 + 17 * 1600 * 4, 44 + 23 * 1600 * 4)))
    })
  })

  it("fails when the page fails at a frame, says how, and leaves no file", async () => {
    const file = join(folder, "broken.mov")
    const broken = page("broken", "if (performance.now() > 100) reportError(new Error('no paint left'))")
    const { code, stderr } = await render(...argumentsFor(broken, 0, 10, file))
    assert.strictEqual(code, 1)
    assert.match(stderr, /rendering failed: no paint left/)
    assert.isFalse(existsSync(file))
  }, 120_000)

  it("fails when the browser is killed in the middle", async () => {
    const file = join(folder, "crashed.mov")
    const marker = `HELIOS_DEMO_TEST=crash-${process.pid}`
    const child = start(argumentsFor(film, 0, 300, file), { HELIOS_DEMO_TEST: `crash-${process.pid}` })
    const end = ended(child)
    await new Promise((resolve) => child.stdout?.once("data", resolve))
    const browsers = processesWith(marker, "--remote-debugging-pipe", "chromium")
    assert.isNotEmpty(browsers)
    spawnSync("kill", ["-KILL", ...browsers]) // one may end with another
    const { code, stderr } = await end
    assert.strictEqual(code, 1)
    assert.match(stderr, /rendering failed: /)
    assert.isFalse(existsSync(file))
    await until(() => processesWith(marker).length === 0)
  }, 120_000)

  for (const [signal, exitCode] of [
    ["SIGTERM", 143],
    ["SIGINT", 130]
  ] as const) {
    it(`ends on ${signal} with ${exitCode}, and leaves no browser, no file and nothing temporary`, async () => {
      const file = join(folder, `${signal}.mov`)
      const scratch = join(folder, `${signal}-tmp`)
      mkdirSync(scratch)
      const { executablePath, env } = await ensureChromium()
      const value = `${signal}-${process.pid}`
      const child = start(argumentsFor(film, 0, 300, file), {
        ...env,
        CHROMIUM_PATH: executablePath,
        TMPDIR: scratch,
        HELIOS_DEMO_TEST: value
      })
      const end = ended(child)
      await new Promise((resolve) => child.stdout?.once("data", resolve))
      assert.isAbove(processesWith(`HELIOS_DEMO_TEST=${value}`).length, 1)
      child.kill(signal)
      assert.strictEqual((await end).code, exitCode)
      await until(() => processesWith(`HELIOS_DEMO_TEST=${value}`).length === 0)
      assert.isFalse(existsSync(file))
      assert.deepStrictEqual(globSync("*", { cwd: scratch }), [])
    }, 120_000)
  }

  it("refuses arguments that make no sense before it starts anything", async () => {
    const started = await render(...argumentsFor(film, 0, 0, join(folder, "none.mov")))
    assert.strictEqual(started.code, 2)
    assert.match(started.stderr, /^--frame-count must be a whole number from 1 up, not "0"/)
    const unknown = await render(join(example, "src/cli.ts"), "--frames", "3")
    assert.strictEqual(unknown.code, 2)
  })
})

describe("the browser", () => {
  it("is unpacked whole by workers that start together", async () => {
    const scratch = join(folder, "cold")
    mkdirSync(scratch)
    const script = `import { ensureChromium } from ${JSON.stringify(join(example, "src/browser.ts"))}
      console.log((await ensureChromium()).executablePath)`
    const unpack = () =>
      promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
        env: { ...process.env, TMPDIR: scratch, CHROMIUM_PATH: "" }
      })
    const [a, b] = await Promise.all([unpack(), unpack()])
    assert.strictEqual(a.stdout, b.stdout)
    assert.strictEqual(readdirSync(scratch).length, 1)
    const { stdout } = await promisify(execFile)(a.stdout.trim(), ["--version"])
    assert.match(stdout, /^(Chromium|Google Chrome|HeadlessChrome).* 153\./)
  }, 120_000)
})
