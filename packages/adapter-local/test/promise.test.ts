// oxlint-disable eslint/no-await-in-loop -- the cases of these tests go one after the other
import { FileJobRepository, FolderArtifactStorage, LocalWorkerAdapter } from "@helios-infra/adapter-local/promise"
import {
  JobError,
  JobExecutor,
  JobManager,
  type JobSpec,
  RenderFailed,
  WorkerError,
  type WorkerJob
} from "@helios-infra/core/promise"
import { existsSync, readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import process from "node:process"
import { assert, describe, it } from "vitest"

const inFolder = async (test: (folder: string) => Promise<void>) => {
  const folder = await fs.realpath(await fs.mkdtemp(path.join(tmpdir(), "local-promise-")))
  try {
    await test(folder)
  } finally {
    await fs.rm(folder, { recursive: true, force: true })
  }
}

const node = (script: string) => `${process.execPath} -e ${JSON.stringify(script)} {output}`
const writes = (text: string) =>
  node(`require("fs").writeFileSync(process.argv[1], ${JSON.stringify(text).replaceAll('"', "'")})`)

const job = (commands: ReadonlyArray<string>, more: Partial<JobSpec> = {}): JobSpec => ({
  metadata: { totalFrames: commands.length, fps: 30 },
  chunks: commands.map((command, id) => ({ id, startFrame: id, frameCount: 1, outputFile: `${id}.txt`, command })),
  ...more
})

/** Joins text files. */
const concat = {
  stitch: async (inputs: Array<string>, output: string) => {
    const parts = await Promise.all(inputs.map((input) => fs.readFile(input, "utf8")))
    await fs.writeFile(output, parts.join(""))
    return { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20))
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: unknown) => error
  )

describe("LocalWorkerAdapter", () => {
  it("renders chunks as child processes, in jobDir, and leaves the final file and nothing else", () =>
    inFolder(async (jobDir) => {
      const options = { workerAdapter: new LocalWorkerAdapter(), stitcher: concat, outputFile: "film.txt", jobDir }
      const result = await new JobExecutor(job([writes("a"), writes("b"), writes("c")]), options).execute()
      assert.strictEqual(result.outputFile, path.join(jobDir, "film.txt"))
      assert.strictEqual(await fs.readFile(path.join(jobDir, "film.txt"), "utf8"), "abc")
      assert.deepStrictEqual(await fs.readdir(jobDir), ["film.txt"])
    }))

  it("publishes the chunks, and runs the mergeCommand over them", () =>
    inFolder(async (jobDir) => {
      const merge = `${process.execPath} -e "fs.writeFileSync('film.txt', fs.readFileSync('0.txt', 'utf8') + fs.readFileSync('1.txt', 'utf8'))"`
      const spec = job([writes("a"), writes("b")], { mergeCommand: merge })
      await new JobExecutor(spec, { workerAdapter: new LocalWorkerAdapter({ cwd: jobDir }) }).execute()
      assert.strictEqual(await fs.readFile(path.join(jobDir, "film.txt"), "utf8"), "ab")
    }))

  it("finds out that a chunk wrote nothing, whatever its exit code says", () =>
    inFolder(async (jobDir) => {
      const options = { workerAdapter: new LocalWorkerAdapter(), jobDir, retries: 0 }
      const error = await rejection(new JobExecutor(job([node("")]), options).execute())
      assert.instanceOf(error, JobError)
      assert.strictEqual(error.reason._tag === "ChunkFailed" && error.reason.last.reason._tag, "OutputInvalid")
    }))

  it("says what a failed command printed, and keeps the logs", () =>
    inFolder(async (jobDir) => {
      const jobs = new JobManager()
      const { id } = await jobs.createJob(job([node("console.error('no such scene'); process.exit(3)")]))
      const options = { workerAdapter: new LocalWorkerAdapter(), jobDir, retries: 1, retryDelay: 1 }
      const error = await rejection(jobs.runJob(id, options))
      assert.instanceOf(error, JobError)
      assert.deepStrictEqual([error.jobId, error.chunkId, error.attempt], [id, 0, 2])
      assert.match(error.message, /on local: the command exited with 3:\nno such scene/)
      assert.deepStrictEqual(
        (await jobs.logsOf(id)).map(({ log }) => log),
        ["no such scene", "no such scene"]
      )
    }))

  it("stops the processes when the signal is aborted, and rejects with its reason once they are gone", () =>
    inFolder(async (jobDir) => {
      const pidFile = path.join(jobDir, "pid")
      const sleeps = node(`require('fs').writeFileSync('pid', String(process.pid)); setInterval(() => {}, 1000)`)
      const stop = new AbortController()
      const options = { workerAdapter: new LocalWorkerAdapter({ killGrace: 500 }), jobDir, signal: stop.signal }
      const running = rejection(new JobExecutor(job([sleeps]), options).execute())
      await until(() => existsSync(pidFile))
      await until(() => /\d/.test(readFileSync(pidFile, "utf8")))
      const pid = Number(readFileSync(pidFile, "utf8"))
      const reason = new Error("no longer wanted")
      stop.abort(reason)
      assert.strictEqual(await running, reason)
      assert.isFalse(isAlive(pid))
      assert.deepStrictEqual(await fs.readdir(jobDir), ["pid"])
    }))

  it("keeps accepted chunks of a failed job for the next run", () =>
    inFolder(async (jobDir) => {
      const jobs = new JobManager()
      const flaky = node(
        `const fs = require('fs'); if (!fs.existsSync('again')) process.exit(1); fs.writeFileSync(process.argv[1], 'b')`
      )
      const { id } = await jobs.createJob(job([writes("a"), flaky]))
      const options = { workerAdapter: new LocalWorkerAdapter(), stitcher: concat, outputFile: "film.txt", jobDir }
      await rejection(jobs.runJob(id, { ...options, retries: 0, concurrency: 1 }))
      await fs.writeFile(path.join(jobDir, "again"), "")
      const done = await jobs.runJob(id, options)
      assert.deepStrictEqual(
        done.chunks.map(({ attempts }) => attempts),
        [1, 2]
      )
      assert.strictEqual(await fs.readFile(path.join(jobDir, "film.txt"), "utf8"), "ab")
    }))

  it("says when jobDir is not there", async () => {
    const options = { workerAdapter: new LocalWorkerAdapter(), jobDir: path.join(tmpdir(), "not", "there") }
    const error = await rejection(new JobExecutor(job([writes("a")]), options).execute())
    assert.instanceOf(error, JobError)
    assert.strictEqual(error.reason._tag, "WorkspaceError")
  })

  it("runs one attempt by itself", () =>
    inFolder(async (cwd) => {
      const place = path.join(cwd, "0.txt")
      const attempt: WorkerJob = {
        id: "job/0/1.1",
        command: writes("a"),
        cwd,
        outputFile: "0.txt",
        meta: {
          _tag: "Chunk",
          jobId: "job",
          run: 1,
          attempt: 1,
          chunkId: 0,
          startFrame: 0,
          frameCount: 1,
          format: {},
          output: { _tag: "File", path: place }
        }
      }
      const adapter = new LocalWorkerAdapter()
      const result = await adapter.execute(attempt)
      assert.deepStrictEqual([result.exitCode, result.output], [0, { location: place, bytes: 1 }])
      const failed = await rejection(adapter.execute({ ...attempt, command: node("process.exit(4)") }))
      assert.instanceOf(failed, WorkerError)
      assert.instanceOf(failed.reason, RenderFailed)
      const stop = new AbortController()
      const running = rejection(
        adapter.execute({ ...attempt, command: node("setInterval(() => {}, 1000)") }, { signal: stop.signal })
      )
      stop.abort("enough")
      assert.strictEqual(await running, "enough")
    }))

  it("can be extended and wrapped: what overrides it is called", () =>
    inFolder(async (jobDir) => {
      const seen: Array<string> = []
      class Logging extends LocalWorkerAdapter {
        override execute(...[job, context]: Parameters<LocalWorkerAdapter["execute"]>) {
          seen.push(job.id)
          return super.execute(job, context)
        }
      }
      const inner = new LocalWorkerAdapter()
      const wrapper = {
        info: inner.info,
        files: (dir?: string) => inner.files(dir),
        execute: async (...[job, context]: Parameters<LocalWorkerAdapter["execute"]>) => {
          seen.push(job.id)
          return inner.execute(job, context)
        }
      }
      for (const workerAdapter of [new Logging(), wrapper]) {
        const options = { workerAdapter, stitcher: concat, outputFile: "film.txt", jobDir }
        await new JobExecutor(job([writes("a"), writes("b")]), options).execute()
        assert.deepStrictEqual(await fs.readdir(jobDir), ["film.txt"])
      }
      assert.strictEqual(seen.length, 4)
    }))

  it("passes no secret of this process on", () =>
    inFolder(async (jobDir) => {
      process.env["HELIOS_TEST_SECRET"] = "secret"
      const shows = node(
        `require('fs').writeFileSync(process.argv[1], String(process.env.HELIOS_TEST_SECRET) + process.env.SCENE)`
      )
      const options = { workerAdapter: new LocalWorkerAdapter(), jobDir, env: { SCENE: "7" } }
      await new JobExecutor(job([shows]), options).execute()
      delete process.env["HELIOS_TEST_SECRET"]
      assert.strictEqual(await fs.readFile(path.join(jobDir, "0.txt"), "utf8"), "undefined7")
    }))
})

describe("an option in plain JavaScript", () => {
  it("that is none is told at once, with the one that was meant", () => {
    for (const [options, message] of [
      [{ allowedEnviroment: ["PATH"] }, "there is no option allowedEnviroment: did you mean allowedEnvironment?"],
      [{ timeout: 1000 }, "there is no option timeout: there are cwd, "],
      [{ killGrace: "5 seconds" }, 'killGrace must be a number of milliseconds from 0, is "5 seconds"'],
      [{ allowedEnvironment: "PATH" }, 'allowedEnvironment must be a list of texts, is "PATH"'],
      [{ env: { THREADS: 4 } }, "env.THREADS must be a text, is 4"],
      [{ concurrency: 0 }, "concurrency must be a whole number from 1, is 0"],
      [null, "the options must be an object, are null"]
    ] as const) {
      const make = (): unknown => Reflect.construct(LocalWorkerAdapter, [options])
      assert.throws(make, TypeError, `LocalWorkerAdapter: ${message}`)
    }
  })

  it("has to be a folder where one is asked for", () => {
    for (const dir of [undefined, null, { dir: "jobs" }, new URL("file:///jobs")]) {
      const repository = (): unknown => Reflect.construct(FileJobRepository, [dir])
      assert.throws(repository, TypeError, "FileJobRepository: its folder must be a text, is ")
      const storage = (): unknown => Reflect.construct(FolderArtifactStorage, [dir])
      assert.throws(storage, TypeError, "FolderArtifactStorage: its folder must be a text, is ")
    }
  })
})

describe("FileJobRepository", () => {
  it("rejects with an error whose stack says who waits", () =>
    inFolder(async (dir) => {
      const file = path.join(dir, "jobs")
      await fs.writeFile(file, "")
      const askForTheFilm = async () => {
        await new FileJobRepository(file).get("film")
      }
      const error = await rejection(askForTheFilm())
      assert.instanceOf(error, Error)
      assert.match(error.message, /something else is in its place/)
      assert.match(error.stack ?? "", /askForTheFilm/)
      assert.notMatch(error.stack ?? "", /~effect|FiberImpl/)
    }))

  it("keeps jobs for the next process, with their logs", () =>
    inFolder(async (folder) => {
      const dir = path.join(folder, "jobs")
      const first = new JobManager({ repository: new FileJobRepository(dir) })
      const { id } = await first.createJob(
        job([writes("a"), node("console.error('no'); process.exit(1)")], { id: "film" })
      )
      const options = { workerAdapter: new LocalWorkerAdapter(), jobDir: folder, concurrency: 1, retries: 0 }
      await rejection(first.runJob(id, options))

      const second = new JobManager({ repository: new FileJobRepository(dir) })
      const state = await second.getJob(id)
      assert.deepStrictEqual(state, await first.getJob(id))
      assert.strictEqual(state?.status, "failed")
      assert.strictEqual((await second.logsOf(id)).at(-1)?.log, "no")
      assert.deepStrictEqual(
        (await second.listJobs()).map(({ id }) => id),
        ["film"]
      )
    }))

  it("is rid of a job with its outputs, where it is told whose they are; results stay", () =>
    inFolder(async (folder) => {
      const jobs = new JobManager({ repository: new FileJobRepository(path.join(folder, "jobs")) })
      const jobDir = path.join(folder, "film")
      await fs.mkdir(jobDir)
      const { id } = await jobs.createJob(job([writes("a"), node("process.exit(1)")], { id: "film" }))
      const workerAdapter = new LocalWorkerAdapter()
      await rejection(jobs.runJob(id, { workerAdapter, jobDir, concurrency: 1, retries: 0 }))
      assert.include(await fs.readdir(jobDir), ".helios")
      await jobs.deleteJob(id, { workerAdapter, jobDir })
      // Without a stitcher chunks are results, and have got their names.
      assert.deepStrictEqual(await fs.readdir(jobDir), ["0.txt"])
      assert.isNull(await jobs.getJob(id))
    }))

  it("is a repository of whole jobs as well", () =>
    inFolder(async (dir) => {
      const elsewhere = new JobManager()
      const { id } = await elsewhere.createJob(job([writes("a"), writes("b")]))
      const workerAdapter = {
        execute: async (job: WorkerJob) => ({
          exitCode: job.command.includes("'b'") ? 1 : 0,
          stdout: "",
          stderr: "",
          durationMs: 0
        })
      }
      await rejection(elsewhere.runJob(id, { workerAdapter, concurrency: 1, retries: 0 }))
      const state = await elsewhere.getJob(id)
      assert(state !== null)

      const repository = new FileJobRepository(dir)
      assert.isNull(await repository.get(id))
      await repository.delete(id)
      await repository.save(state)
      await repository.save(state)
      const taken = await repository.get(id)
      assert.deepStrictEqual(
        taken?.chunks.map(({ attempts, error, output, status }) => ({ attempts, error: error?._tag, output, status })),
        state.chunks.map(({ attempts, error, output, status }) => ({ attempts, error: error?._tag, output, status }))
      )
      assert.deepStrictEqual([taken?.status, taken?.spec], ["failed", state.spec])
      assert.strictEqual((await repository.list()).length, 1)
      await repository.delete(id)
      assert.deepStrictEqual(await repository.list(), [])
    }))
})

describe("FolderArtifactStorage", () => {
  it("keeps what it is given, and makes its folder", () =>
    inFolder(async (folder) => {
      const storage = new FolderArtifactStorage(path.join(folder, "artifacts"))
      const body = async function* () {
        yield Buffer.from("frames")
      }
      const { bytes } = await storage.put("jobs/a/part 0.mov", body())
      assert.strictEqual(bytes, 6)
      assert.strictEqual(
        (await new FolderArtifactStorage(path.join(folder, "artifacts")).head("jobs/a/part 0.mov"))?.bytes,
        6
      )
      await storage.close()
    }))
})
