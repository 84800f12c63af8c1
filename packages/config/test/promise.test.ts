import { assert, describe, it } from "@effect/vitest"
import { ConfigFileError, defineConfig, fromConfig, loadConfig } from "@helios-infra/config/promise"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Folder from "./Folder.ts"

const frames = 4

/** Each chunk is a file; the merge command joins them. */
const spec = {
  metadata: { totalFrames: frames, fps: 1 },
  chunks: Array.from({ length: frames }, (_, id) => ({
    id,
    startFrame: id,
    frameCount: 1,
    outputFile: `part_${id}.txt`,
    command: `sh -c 'printf "%s$WORD" ${id} > "$1"' sh part_${id}.txt`
  })),
  mergeCommand: "sh -c 'cat part_*.txt > film.txt'"
}

const files = {
  "helios.config.yaml": `
worker: { type: local, concurrency: 2 }
repository: { type: file, dir: jobs }
job: { env: { WORD: a }, retries: 0 }
`
}

describe("loadConfig", () => {
  it.live("gives a manager that has everything, and jobs that stay", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make(files)
      yield* Effect.promise(async () => {
        const { close, file, jobs } = await loadConfig({ folder })
        assert.strictEqual(file, path.join(folder, "helios.config.yaml"))
        const { id } = await jobs.createJob(spec)
        const percents: Array<number> = []
        const { status } = await jobs.runJob(id, {
          onProgress: ({ percent }) => {
            percents.push(percent)
          }
        })
        assert.strictEqual(status, "completed")
        assert.deepStrictEqual(percents, [25, 50, 75, 100])
        assert.strictEqual(await fs.readFile(path.join(folder, "film.txt"), "utf8"), "0a1a2a3a")
        await close()

        const again = await loadConfig({ file: path.join(folder, "helios.config.yaml") })
        assert.deepStrictEqual(
          (await again.jobs.listJobs()).map((job) => job.id),
          [id]
        )
        assert.strictEqual((await again.jobs.getJob(id))?.status, "completed")
        await again.jobs.deleteJob(id)
        assert.deepStrictEqual(await again.jobs.listJobs(), [])
        await again.close()
        assert.notInclude(await fs.readdir(folder), ".helios")
      })
    })
  )

  it.live("runs a job in a folder of its own, and with what the run is given", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ ...files, "other/.keep": "" })
      yield* Effect.promise(async () => {
        const { close, jobs } = await loadConfig({ folder })
        const jobDir = path.join(folder, "other")
        const { id } = await jobs.createJob(spec)
        await jobs.runJob(id, { jobDir, env: { WORD: "b" } })
        assert.strictEqual(await fs.readFile(path.join(jobDir, "film.txt"), "utf8"), "0b1b2b3b")
        assert.notInclude(await fs.readdir(folder), "film.txt")

        const given = await jobs.createJob(spec)
        const outputs: Array<string> = []
        const stitcher = {
          stitch: async (inputs: Array<string>, output: string) => {
            outputs.push(...(await Promise.all(inputs.map((input) => fs.readFile(input, "utf8")))))
            await fs.writeFile(output, outputs.join("-"))
            return { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }
          }
        }
        await jobs.runJob(given.id, { stitcher, outputFile: "joined.txt" })
        assert.strictEqual(await fs.readFile(path.join(folder, "joined.txt"), "utf8"), "0a-1a-2a-3a")

        const own = await jobs.createJob(spec)
        const ran: Array<string> = []
        const workerAdapter = {
          execute: async ({
            command,
            meta
          }: {
            readonly command: string
            readonly meta: { readonly output: object }
          }) => {
            ran.push(command)
            if ("path" in meta.output) await fs.writeFile(String(meta.output.path), "own")
            return { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }
          }
        }
        await jobs.runJob(own.id, { workerAdapter, stitcher, outputFile: "own.txt" })
        assert.strictEqual(ran.length, frames)
        await close()
      })
    })
  )

  it.live("rejects with an ordinary error that says where, and starts nothing", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make({ "helios.config.json": '{ "worker": { "type": "locl" } }' })
      const error = yield* Effect.promise(() => loadConfig({ folder }).catch((thrown: unknown) => thrown))
      assert.instanceOf(error, Error)
      assert.instanceOf(error, ConfigFileError)
      assert.match(
        error.message,
        /helios\.config\.json:1:15: worker "locl": there is none of this type: did you mean "local"\?/
      )
    })
  )

  it.live("rejects when a service cannot be made, and when a job's folder is not there", () =>
    Effect.gen(function* () {
      const broken = yield* Folder.make({
        "helios.config.yaml": "worker: { type: local }\nrepository: { type: sqlite, filename: . }"
      })
      const folder = yield* Folder.make(files)
      yield* Effect.promise(async () => {
        const error = await loadConfig({ folder: broken }).catch((thrown: unknown) => thrown)
        assert.instanceOf(error, ConfigFileError)
        assert.match(error.message, /helios\.config\.yaml:2:15: repository "sqlite": it could not start: /)
        const { close, jobs } = await loadConfig({ folder })
        const { id } = await jobs.createJob(spec)
        const failed = await jobs
          .runJob(id, { jobDir: path.join(folder, "nowhere") })
          .catch((thrown: unknown) => thrown)
        assert.instanceOf(failed, Error)
        assert.include(failed.message, "nowhere")
        await close()
      })
    })
  )
})

describe("fromConfig", () => {
  it.live("takes a configuration that the program has itself", () =>
    Effect.gen(function* () {
      const folder = yield* Folder.make()
      yield* Effect.promise(async () => {
        const config = defineConfig({ worker: { type: "local" }, job: { env: { WORD: "c" } } })
        const { close, file, jobs } = await fromConfig(config, { folder })
        assert.isUndefined(file)
        const { id } = await jobs.createJob(spec)
        await jobs.runJob(id)
        assert.strictEqual(await fs.readFile(path.join(folder, "film.txt"), "utf8"), "0c1c2c3c")
        await close()
      })
    })
  )
})
