import { assert, describe, it } from "@effect/vitest"
import { LocalPlugin } from "@helios-infra/adapter-local"
import { ArtifactStorage, JobRepository, Plugin, WorkerAdapter } from "@helios-infra/core"
import { Environment } from "@helios-infra/process"
import { Effect, Stream } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([LocalPlugin.worker])
  return yield* registry.resolve("worker", { type: "local", ...options })
})

const command = (text: string): WorkerAdapter.WorkerJob => ({
  id: "job/merge/1.1",
  command: text,
  meta: {
    _tag: "Merge",
    jobId: "job",
    run: 1,
    attempt: 1,
    output: { _tag: "File", path: path.join(tmpdir(), "never-written") }
  }
})

describe('{ "type": "local" }', () => {
  it.live("runs commands as its options say", () =>
    Effect.gen(function* () {
      const layer = yield* resolve({
        cwd: "/",
        concurrency: 3,
        killGrace: "100 millis",
        tailBytes: 20,
        allowedEnvironment: ["PATH", "ALLOWED"],
        env: { EXTRA: "extra" }
      })
      const run = Effect.gen(function* () {
        const adapter = yield* WorkerAdapter.WorkerAdapter
        const say = `sh -c 'printf "%s." "$PWD" "$ALLOWED" "$SECRET" "$EXTRA"; printf %.0s- 1 2 3 4 5 6'`
        return { info: adapter.info, ended: yield* adapter.execute(command(say), () => {}) }
      })
      const { ended, info } = yield* run.pipe(
        Effect.provide(layer),
        Effect.provideService(Environment.ParentEnvironment, {
          PATH: process.env["PATH"] ?? "",
          ALLOWED: "allowed",
          SECRET: "secret"
        })
      )
      assert.strictEqual(info.concurrency, 3)
      assert.strictEqual(ended.stdout, "/.allowed..extra.------".slice(-20))
    })
  )

  it.effect("needs no option", () =>
    Effect.gen(function* () {
      const { info } = yield* Effect.provide(WorkerAdapter.WorkerAdapter, yield* resolve({}))
      assert.strictEqual(info.name, "local")
    })
  )

  it.effect.each([
    [{ concurrency: 0 }, "concurrency"],
    [{ concurrency: 2.5 }, "concurrency"],
    [{ killGrace: "a while" }, "killGrace"],
    [{ tailBytes: -1 }, "tailBytes"],
    [{ env: { A: 1 } }, "env.A"],
    [{ allowedEnvironment: "PATH" }, "allowedEnvironment"],
    [{ killgrace: 1 }, "killgrace"]
  ] as const)("names the option that is wrong: %j", ([options, field]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve(options))
      assert(error.reason._tag === "InvalidConfig")
      assert.deepStrictEqual(
        error.reason.issues.map((issue) => issue.path),
        [field]
      )
      assert.match(error.message, /^worker "local": /)
    })
  )
})

describe('{ "type": "file" }', () => {
  const resolve = Effect.fnUntraced(function* (options: object) {
    const registry = yield* Plugin.registry([LocalPlugin.worker, LocalPlugin.repository])
    return yield* registry.resolve("repository", { type: "file", ...options })
  })

  it.live("keeps jobs in the folder that it names", () =>
    Effect.gen(function* () {
      const dir = yield* Effect.acquireRelease(
        Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "plugin-"))),
        (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
      )
      const layer = yield* resolve({ dir: path.join(dir, "jobs") })
      const listed = Effect.flatMap(JobRepository.JobRepository, (jobs) => Stream.runCollect(jobs.list()))
      assert.deepStrictEqual(yield* Effect.provide(listed, layer), [])
    })
  )

  it.effect("needs one", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(resolve({}))).message, 'repository "file": dir is missing')
      assert.match((yield* Effect.flip(resolve({ dir: "" }))).message, /^repository "file": dir /)
      assert.match((yield* Effect.flip(resolve({ dir: "d", path: "d" }))).message, /path is not an option/)
    })
  )
})

describe('{ "type": "folder" }', () => {
  const resolve = Effect.fnUntraced(function* (options: object) {
    const registry = yield* Plugin.registry([LocalPlugin.repository, LocalPlugin.storage])
    return yield* registry.resolve("storage", { type: "folder", ...options })
  })

  it.live("keeps artifacts in the folder that it names", () =>
    Effect.gen(function* () {
      const dir = yield* Effect.acquireRelease(
        Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "plugin-"))),
        (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
      )
      const layer = yield* resolve({ dir })
      const put = ArtifactStorage.ArtifactStorage.use((storage) => storage.put("a", Stream.make(new Uint8Array(3))))
      assert.strictEqual((yield* Effect.provide(put, layer)).bytes, 3)
      assert.lengthOf(yield* Effect.promise(() => fs.readFile(path.join(dir, "a"))), 3)
    })
  )

  it.effect("needs one", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(resolve({}))).message, 'storage "folder": dir is missing')
    })
  )
})
