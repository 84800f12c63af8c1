import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage, JobManager, WorkerAdapter, Workspace } from "@helios-infra/core"
import { FakeArtifactStorage } from "@helios-infra/testkit"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import * as Fakes from "./Fakes.ts"
import { settle } from "./TestTime.ts"

/** Workers elsewhere: they put what they render where they are told, and print a line about it. */
const makeRig = Effect.fnUntraced(function* (
  options: {
    /** The chunks that are rendered here. */
    readonly here?: ReadonlyArray<number>
    readonly script?: Fakes.Script
  } = {}
) {
  const { fake, storage } = yield* FakeArtifactStorage.make()
  const machine = Fakes.machine(options.script)
  const rendered: Array<number> = []
  const elsewhere = WorkerAdapter.make({
    info: { name: "elsewhere", where: "remote", stop: "best-effort", concurrency: 2 },
    execute: (job, signal) =>
      Effect.gen(function* () {
        const result = yield* machine.adapter.execute(job, signal)
        const { meta } = job
        if (meta._tag !== "Chunk" || meta.artifacts === undefined || options.here?.includes(meta.chunkId)) return result
        rendered.push(meta.chunkId)
        const bytes = new Uint8Array(100).fill(meta.chunkId)
        const stored = yield* Effect.orDie(storage.put(meta.artifacts.output.key, Stream.make(bytes)))
        fake.store(meta.artifacts.log.key, `frame 1 of chunk ${meta.chunkId}`)
        const output = {
          location: ArtifactStorage.locationOf(stored.key),
          bytes: stored.bytes,
          frames: meta.frameCount,
          format: { width: 64 },
          ...(stored.sha256 === undefined ? undefined : { sha256: stored.sha256 })
        }
        return { ...result, output }
      })
  })
  const workspace = Workspace.Workspace.of({
    ...machine.workspace,
    transfer: {
      assets: () => Stream.empty,
      receive: Effect.fnUntraced(function* (jobId, name, content) {
        const parts = yield* Stream.runCollect(content)
        const path = `/job/.helios/${jobId}/${name.replaceAll("/", "_")}`
        const bytes = parts.reduce((sum, part) => sum + part.length, 0)
        machine.files.set(path, bytes)
        return { path, bytes, sha256: stored(fake, name) }
      })
    }
  })
  const layer = Fakes.layerManager(
    { ...machine, adapter: elsewhere, workspace },
    { stitch: true, storage: Layer.succeed(ArtifactStorage.ArtifactStorage, storage) }
  )
  return { fake, layer, machine, rendered }
})

const stored = (fake: FakeArtifactStorage.FakeArtifacts["Service"], key: string) =>
  fake.artifacts.get(key)?.info.sha256 ?? ""

const keys = (fake: FakeArtifactStorage.FakeArtifacts["Service"]) => [...fake.artifacts.keys()].toSorted()

const out = { outputFile: "out.mp4" }

describe("JobManager with a storage", () => {
  it.effect("sends the job file before the first attempt, brings the outputs back, and leaves nothing there", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      const job = yield* JobManager.JobManager.use((jobs) =>
        jobs.create(Fakes.job(3), { id: "film" }).pipe(Effect.andThen(jobs.run("film", out)))
      ).pipe(Effect.provide(rig.layer))
      assert.strictEqual(job.status, "completed")
      const sent = rig.fake.calls.filter(({ operation }) => operation === "put").map(({ key }) => key)
      assert.deepStrictEqual(sent.slice(0, 2), ["jobs/film/job.json", "jobs/film/chunks/0/1.1/output.mov"])
      assert.deepStrictEqual(rig.machine.stitched, [[0, 1, 2]])
      assert.strictEqual(rig.machine.files.get("/job/out.mp4"), 300)
      assert.deepStrictEqual([...rig.machine.files.keys()], ["/job/out.mp4"])
      assert.deepStrictEqual(keys(rig.fake), [])
    })
  )

  it.effect("joins chunks that were rendered here and there", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig({ here: [1, 3] })
      yield* JobManager.JobManager.use((jobs) =>
        jobs.create(Fakes.job(5), { id: "film" }).pipe(Effect.andThen(jobs.run("film", out)))
      ).pipe(Effect.provide(rig.layer))
      assert.deepStrictEqual(
        rig.rendered.toSorted((a, b) => a - b),
        [0, 2, 4]
      )
      assert.strictEqual(rig.machine.files.get("/job/out.mp4"), 500)
    })
  )

  it.effect("starts nothing when the job cannot be sent, and can be run on when it can", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.trouble({ operation: "put", fault: { _tag: "Fails", reason: "Unauthorized" } })
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        yield* jobs.create(Fakes.job(2), { id: "film" })
        const error = yield* Effect.flip(jobs.run("film", out))
        assert.strictEqual(error.reason._tag, "ArtifactError")
        assert.match(error.message, /job film: artifact "jobs\/film\/job.json".*credentials/)
        assert.strictEqual((yield* jobs.get("film")).status, "failed")
        assert.deepStrictEqual(rig.machine.attempts, [])
        assert.strictEqual((yield* jobs.run("film", out)).status, "completed")
      }).pipe(Effect.provide(rig.layer))
    })
  )

  it.effect("can be cancelled while the job is sent", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      rig.fake.trouble({ operation: "put", fault: { _tag: "Slow", by: "Infinity" } })
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        yield* jobs.create(Fakes.job(2), { id: "film" })
        const running = yield* Effect.forkChild(Effect.flip(jobs.run("film", out)))
        yield* settle
        assert.strictEqual((yield* jobs.cancel("film")).status, "cancelled")
        assert.strictEqual((yield* Fiber.join(running)).reason._tag, "JobCancelled")
        assert.deepStrictEqual(rig.machine.attempts, [])
      }).pipe(Effect.provide(rig.layer))
    })
  )

  it.effect("keeps what was accepted when it is stopped, and renders only the rest when it is run on", () =>
    Effect.gen(function* () {
      const stuck = yield* Deferred.make<void>()
      let runs = 0
      const rig = yield* makeRig({
        script: ({ chunkId }) =>
          chunkId === 2 && runs === 1 ? Effect.andThen(Deferred.succeed(stuck, undefined), Effect.never) : Effect.void
      })
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        yield* jobs.create(Fakes.job(3), { id: "film" })
        runs++
        const running = yield* Effect.forkChild(jobs.run("film", { ...out, concurrency: 1 }))
        yield* Deferred.await(stuck)
        yield* Fiber.interrupt(running)
        assert.deepStrictEqual(keys(rig.fake), [
          "jobs/film/chunks/0/1.1/output.mov",
          "jobs/film/chunks/1/1.1/output.mov"
        ])
        runs++
        yield* jobs.run("film", out)
        assert.deepStrictEqual(rig.rendered, [0, 1, 2])
        assert.strictEqual(rig.machine.files.get("/job/out.mp4"), 300)
      }).pipe(Effect.provide(rig.layer))
    })
  )

  it.effect("takes the storage of one run in place of its own", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      const other = yield* FakeArtifactStorage.make()
      yield* JobManager.JobManager.use((jobs) =>
        jobs
          .create(Fakes.job(1), { id: "film" })
          .pipe(Effect.andThen(jobs.run("film", { ...out, retries: 0, storage: other.storage })), Effect.flip)
      ).pipe(Effect.provide(rig.layer))
      assert.isTrue(other.fake.calls.some(({ key }) => key === "jobs/film/job.json"))
      assert.isFalse(rig.fake.calls.some(({ key }) => key === "jobs/film/job.json"))
    })
  )

  it.effect("gives the full log of an attempt while it is kept, and deletes what a deleted job has", () =>
    Effect.gen(function* () {
      const rig = yield* makeRig()
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        yield* jobs.create(Fakes.job(2), { id: "film" })
        yield* jobs.run("film", { ...out, artifacts: { keep: true } })
        const log = (attempt: number) =>
          jobs.fullLog("film", { run: 1, chunkId: 1, attempt }).pipe(Stream.decodeText, Stream.mkString)
        assert.strictEqual(yield* log(1), "frame 1 of chunk 1")
        const none = yield* Effect.flip(log(2))
        assert.match(none.message, /job film: artifact .*1\/1\.2\/log\.txt.* is not there/)
        yield* jobs.delete("film")
        assert.deepStrictEqual(keys(rig.fake), [])
      }).pipe(Effect.provide(rig.layer))
    })
  )

  it.effect("has no full logs without a storage", () =>
    Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      const error = yield* Effect.flip(Stream.runDrain(jobs.fullLog("film", { run: 1, chunkId: 0, attempt: 1 })))
      assert.match(error.message, /no storage/)
    }).pipe(Effect.provide(Fakes.layerManager(Fakes.machine())))
  )
})
