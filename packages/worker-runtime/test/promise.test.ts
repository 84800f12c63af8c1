import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import { OutputInvalid, WorkerError } from "@helios-infra/core/promise"
import * as FakeArtifactStorage from "@helios-infra/testkit/FakeArtifactStorage"
import {
  createAwsHandler,
  createCloudRunServer,
  createWorkerServer,
  InvalidAuth,
  ListenError,
  RenderExecutor,
  WorkerRuntime
} from "@helios-infra/worker-runtime/promise"
import { Effect, Fiber, Layer } from "effect"
import * as path from "node:path"
import * as Rig from "./Rig.ts"
import * as ServerRig from "./ServerRig.ts"

const rejection = (promise: Promise<unknown>) =>
  Effect.promise(() =>
    promise.then(
      () => assert.fail("it was resolved"),
      (error: unknown) => error
    )
  )

/** A plain object that stands for a storage in memory, as the packages of storages make theirs. */
const plainStorage = Effect.gen(function* () {
  const { fake, storage } = yield* FakeArtifactStorage.make()
  const plain = new PromiseBacking.StorageClass(Layer.succeed(ArtifactStorage, storage))
  return { fake, plain }
})

describe("RenderExecutor", () => {
  it.live("renders a chunk, and merges, in a folder", () =>
    Effect.gen(function* () {
      const dir = yield* Rig.folder
      const executor = new RenderExecutor(dir, { env: { WORD: "movie" } })
      const spec = { ...Rig.job(`printf $WORD > "$1"`), mergeCommand: "cp part_3.mov film.mp4" }
      const result = yield* Effect.promise(() => executor.executeChunk(spec, 3))
      assert.strictEqual(result.exitCode, 0)
      assert.strictEqual(result.output?.location, path.join(dir, "part_3.mov"))
      const merged = yield* Effect.promise(() => executor.executeMerge(spec, { outputFile: "film.mp4" }))
      assert.strictEqual(merged.output?.bytes, 5)
      assert.deepStrictEqual(yield* Rig.filesIn(dir), ["film.mp4", "part_3.mov"])
    })
  )

  it.live(
    "rejects with a WorkerError, with its check's own, with what is wrong with the job, with the signal's reason",
    () =>
      Effect.gen(function* () {
        const dir = yield* Rig.folder
        const executor = new RenderExecutor(dir)
        const failed = yield* rejection(executor.executeChunk(Rig.job("exit 3"), 3))
        assert(failed instanceof WorkerError)
        assert.deepInclude(failed.reason, { _tag: "RenderFailed", exitCode: 3 })
        const check = { check: () => Promise.reject(new OutputInvalid({ expected: "blue", found: "red" })) }
        const invalid = yield* rejection(
          new RenderExecutor(dir, { outputCheck: check }).executeChunk(Rig.job(`printf m > "$1"`), 3)
        )
        assert(invalid instanceof WorkerError)
        assert.deepInclude(invalid.reason, { _tag: "OutputInvalid", found: "red" })
        const none = yield* rejection(executor.executeChunk({ ...Rig.job("true"), chunks: [] }, 3))
        assert.include(String(none), "chunks")
        const abort = new AbortController()
        const why = new Error("enough")
        const running = executor.executeChunk(Rig.job("sleep 600"), 3, {
          signal: abort.signal,
          report: ({ _tag }) => void (_tag === "Assigned" && abort.abort(why))
        })
        assert.strictEqual(yield* rejection(running), why)
        assert.deepStrictEqual(Rig.processesWith(`PWD=${dir}`), [])
        assert.deepStrictEqual(yield* Rig.filesIn(dir), [])
      })
  )
})

describe("WorkerRuntime", () => {
  it.live("renders a chunk of a job file in its workspace", () =>
    Effect.gen(function* () {
      const dir = yield* Rig.folder
      yield* Rig.write(path.join(dir, "job.json"), JSON.stringify(Rig.job(`printf movie > "$1"`)))
      const worker = new WorkerRuntime({ workspaceDir: dir })
      const result = yield* Effect.promise(() => worker.run(path.join(dir, "job.json"), 3))
      assert.strictEqual(result.output?.location, path.join(dir, "part_3.mov"))
      const failed = yield* rejection(worker.run("/etc/passwd", 3))
      assert(failed instanceof WorkerError)
      assert.strictEqual(failed.reason._tag, "Refused")
      const abort = new AbortController()
      abort.abort("now")
      assert.strictEqual(yield* rejection(worker.run("job.json", 3, { signal: abort.signal })), "now")
      yield* Effect.promise(() => worker.close())
    })
  )

  it.live("sends its output to a storage of one of the packages", () =>
    Effect.gen(function* () {
      const { fake, plain } = yield* plainStorage
      fake.store("job.json", JSON.stringify(Rig.job(`printf movie > "$1"`)))
      const worker = new WorkerRuntime({ workspaceDir: yield* Rig.folder, storage: plain })
      const { output } = yield* Effect.promise(() => worker.run("artifact:job.json", 3))
      const key = output?.location.slice("artifact:".length) ?? ""
      assert.strictEqual(Buffer.from(fake.artifacts.get(key)?.content ?? []).toString(), "movie")
      yield* Effect.promise(() => worker.close())
    })
  )
})

describe("createAwsHandler", () => {
  it.live("answers events", () =>
    Effect.gen(function* () {
      const { fake, plain } = yield* plainStorage
      fake.store("job.json", JSON.stringify(Rig.job(`printf movie > "$1"`)))
      const handler = createAwsHandler({ storage: plain, workspaceDir: yield* Rig.folder })
      const reply = yield* Effect.promise(() => handler({ jobPath: "artifact:job.json", chunkIndex: 3 }, {}))
      assert.deepInclude(reply, { _tag: "Result", protocol: 1 })
    })
  )
})

describe("a server", () => {
  const auth = { type: "shared-secret", secrets: [ServerRig.secret] } as const

  it.live("listens, renders, and is closed with all that runs", () =>
    Effect.gen(function* () {
      const { fake, plain } = yield* plainStorage
      const workspaceDir = yield* Rig.folder
      const config = { storage: plain, workspaceDir, auth, host: "127.0.0.1", drainTimeout: 0 }
      for (const server of [createWorkerServer(config), createCloudRunServer(config)]) {
        fake.store("jobs/film/job.json", JSON.stringify(Rig.job(`printf movie > "$1"`)))
        const { port, url } = yield* Effect.promise(() => server.listen(0))
        assert.strictEqual(url, `http://127.0.0.1:${port}`)
        assert.strictEqual((yield* ServerRig.ask(url)).reply._tag, "Result")
        assert.strictEqual(
          (yield* ServerRig.ask(url, ServerRig.chunk, { "content-type": "application/json" })).status,
          401
        )
        assert.match(String(yield* rejection(server.listen(0))), /listens already/)
        fake.store("jobs/film/job.json", JSON.stringify(Rig.job("sleep 600")))
        const asked = yield* Effect.forkChild(ServerRig.ask(url))
        yield* Rig.waitFor(
          Effect.sync(() => Rig.processesWith(workspaceDir).length > 0),
          "the command"
        )
        yield* Effect.promise(() => Promise.all([server.close(), server.close()]))
        const { reply } = yield* Fiber.join(asked)
        assert(reply._tag === "Error")
        assert.strictEqual(reply.error.reason._tag, "WorkerLost")
        assert.deepStrictEqual(Rig.processesWith(workspaceDir), [])
        // And may listen anew.
        const again = yield* Effect.promise(() => server.listen(port))
        assert.strictEqual(again.port, port)
        yield* Effect.promise(() => server.close())
      }
      assert.strictEqual(process.listenerCount("SIGTERM"), 0)
      assert.strictEqual(process.listenerCount("SIGINT"), 0)
    })
  )

  it.live("rejects with what is wrong, and can be told to try again", () =>
    Effect.gen(function* () {
      const workspaceDir = yield* Rig.folder
      const short = createWorkerServer({ workspaceDir, auth: { type: "shared-secret", secrets: ["short"] } })
      assert.instanceOf(yield* rejection(short.listen(0)), InvalidAuth)
      yield* Effect.promise(() => short.close())
      const server = createWorkerServer({ workspaceDir, auth })
      const { port } = yield* Effect.promise(() => server.listen(0))
      const other = createWorkerServer({ workspaceDir, auth })
      assert.instanceOf(yield* rejection(other.listen(port)), ListenError)
      yield* Effect.promise(() => server.close())
      yield* Effect.promise(() => other.listen(port))
      yield* Effect.promise(() => other.close())
      const early = server.listen(0)
      yield* Effect.promise(() => server.close())
      assert.match(String(yield* rejection(early)), /closed before it took any work/)
    })
  )
})

describe("an option of WorkerRuntime in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown => Reflect.construct(WorkerRuntime, [{ workspaceDir: "/tmp", jobTimeOuts: 5 }])
    assert.throws(make, TypeError, "WorkerRuntime: there is no option jobTimeOuts: did you mean jobTimeout?")
    const none = (): unknown => Reflect.construct(WorkerRuntime, [])
    assert.throws(none, TypeError, "WorkerRuntime: ")
  })

  it("that is none keeps a handler, a server or a command from starting", async () => {
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => createAwsHandler({ margins: 5 }), TypeError, "createAwsHandler: there is no option margins")
    const server = { workspaceDir: "/tmp", auth: { type: "none" }, timeLimits: 5 } as const
    assert.throws(() => createWorkerServer(server), TypeError, "createWorkerServer: there is no option timeLimits")
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => createCloudRunServer({}), TypeError, "createCloudRunServer: auth is missing")
    // @ts-expect-error -- plain JavaScript
    const error: unknown = await new RenderExecutor("/tmp").executeChunk({}, 0, { signal: "stop" }).then(
      () => assert.fail("it resolved"),
      (error: unknown) => error
    )
    assert.instanceOf(error, TypeError)
    assert.include(error.message, "executeChunk: signal must be an AbortSignal")
  })
})
