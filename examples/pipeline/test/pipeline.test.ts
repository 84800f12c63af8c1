import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import * as StrictS3 from "../../../packages/storage-s3/test/StrictS3.ts"

const program = (name: string) => ["--conditions=@helios-infra/source", resolve(import.meta.dirname, "../src", name)]

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "helios-pipeline-"))),
  (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
)

type Environment = Readonly<Record<string, string>>

const run = (cwd: string, env: Environment = {}) =>
  Effect.promise((signal) =>
    promisify(execFile)(process.execPath, program("pipeline.ts"), {
      cwd,
      signal,
      env: { ...process.env, FFMPEG_PATH: ffmpeg, ...env }
    })
  )

/** A worker on a port of its own; where it can be asked. */
const worker = (cwd: string, env: Environment) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, program("worker.ts"), {
        cwd,
        env: { ...process.env, PORT: "0", WORKSPACE: join(cwd, "worker"), ...env },
        stdio: ["ignore", "pipe", "inherit"]
      })
      for await (const line of createInterface(child.stdout)) {
        const [, url] = /takes work at (\S+)/.exec(line) ?? []
        if (url !== undefined) return { child, url }
      }
      throw new Error("the worker ended before it took work")
    }),
    ({ child }) =>
      Effect.promise(async () => {
        const over = once(child, "exit")
        if (child.exitCode === null && child.kill()) await over
      })
  )

/** How many frames a file holds, counted by decoding them. */
const framesOf = (file: string) =>
  Effect.promise(async () => {
    const args = ["-v", "error", "-i", file, "-map", "0:v:0", "-f", "framemd5", "-"]
    const { stdout } = await promisify(execFile)(ffmpeg, args)
    return stdout.split("\n").filter((line) => line.startsWith("0,")).length
  })

const counted = (stdout: string, where: string): number =>
  Number(new RegExp(`^(\\d+) chunks were rendered ${where}$`, "m").exec(stdout)?.[1])

/** What every run must leave: the film, its poster, and both in the storage. */
const isDone = Effect.fnUntraced(function* (dir: string, stdout: string) {
  assert.strictEqual(yield* framesOf(join(dir, "film.mp4")), 60)
  const png = yield* Effect.promise(() => readFile(join(dir, "film.png")))
  assert.strictEqual(png.subarray(1, 4).toString(), "PNG")
  assert.match(stdout, /^stored films\/film\.mp4, \d+ bytes$/m)
  assert.match(stdout, /^stored films\/film\.png, \d+ bytes$/m)
  assert.strictEqual(counted(stdout, "here") + counted(stdout, "elsewhere"), 6)
  assert.match(stdout, /attempt done/)
})

describe("the pipeline", { timeout: 90_000 }, () => {
  it.live("makes a film and its poster with two adapters of this machine, and stores both in a folder", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const { stdout } = yield* run(dir)
      yield* isDone(dir, stdout)
      assert.isAtLeast(counted(stdout, "here"), 1)
      assert.isAtLeast(counted(stdout, "elsewhere"), 1)
      const names = yield* Effect.promise(() => readdir(dir))
      assert.sameMembers(names, ["artifacts", "film.mp4", "film.png"], "nothing else is left")
      const stored = yield* Effect.promise(() => readdir(join(dir, "artifacts"), { recursive: true }))
      assert.isTrue(stored.some((name) => name.endsWith("film.png")))
      assert.isFalse(
        stored.some((name) => name.includes("output")),
        "no chunk is left in the storage"
      )
    })
  )

  it.live("renders what this machine has no room for on a worker, whose outputs come through the storage", () =>
    Effect.gen(function* () {
      const [dir, other] = [yield* folder, yield* folder]
      const shared = { ARTIFACTS: join(dir, "artifacts"), RENDER_SECRET: "a secret of 32 characters, or so" }
      const { url } = yield* worker(other, shared)
      const { stdout } = yield* run(dir, { ...shared, RENDER_URL: url })
      yield* isDone(dir, stdout)
      assert.isAtLeast(counted(stdout, "elsewhere"), 1)
      assert.match(stdout, /adapter: 'elsewhere'/)
    })
  )

  it.live("does not render here in the place of a worker whose secret it was not told", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const environment = { RENDER_URL: "http://127.0.0.1:9", RENDER_SECRET: undefined }
      const said = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, program("pipeline.ts"), {
          cwd: dir,
          env: { ...process.env, FFMPEG_PATH: ffmpeg, ...environment }
        }).then(
          () => "it ran",
          (error: unknown) => String(error) + JSON.stringify(error)
        )
      )
      assert.include(said, "RENDER_SECRET")
    })
  )

  it.live("stores the film in a bucket when one is configured", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const s3 = yield* StrictS3.start
      const { stdout } = yield* run(dir, {
        S3_BUCKET: StrictS3.bucket,
        S3_ENDPOINT: s3.endpoint,
        AWS_REGION: StrictS3.region,
        AWS_ACCESS_KEY_ID: StrictS3.credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: StrictS3.credentials.secretAccessKey
      })
      yield* isDone(dir, stdout)
      const names = yield* Effect.promise(() => readdir(dir))
      assert.sameMembers(names, ["film.mp4", "film.png"])
    })
  )

  it.live("says what is wrong with its settings", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const failed = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, program("pipeline.ts"), {
          cwd: dir,
          env: { ...process.env, FFMPEG_PATH: "/nowhere/ffmpeg" }
        }).then(
          () => assert.fail("it ran"),
          (error: { readonly code: number; readonly stdout: string; readonly stderr: string }) => error
        )
      )
      assert.strictEqual(failed.code, 1)
      assert.match(failed.stdout + failed.stderr, /FFMPEG_PATH names \/nowhere\/ffmpeg/)
    })
  )
})
