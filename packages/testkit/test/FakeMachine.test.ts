import { assert, describe, it } from "@effect/vitest"
import { JobManager, JobRepository, WorkerError } from "@helios-infra/core"
import { FakeFiles, FakeMachine, FakeWorkerAdapter } from "@helios-infra/testkit"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"

const job = (chunks: number, frames = 10) => ({
  metadata: { totalFrames: chunks * frames, fps: 30, width: 64, height: 64 },
  chunks: Array.from({ length: chunks }, (_, id) => ({
    id,
    startFrame: id * frames,
    frameCount: frames,
    outputFile: `part_${id}.mov`,
    command: `render --from ${id * frames} -o part_${id}.mov`
  }))
})

const manager = (options: FakeMachine.Options) =>
  JobManager.layer.pipe(Layer.provide(JobRepository.layerMemory), Layer.provideMerge(FakeMachine.layer(options)))

const frames = (count: number) => Array.from({ length: count }, (_, index) => String(index))

/** Runs a job to its end, however long that takes. */
const run = Effect.fnUntraced(function* (chunks: number) {
  const jobs = yield* JobManager.JobManager
  const { id } = yield* jobs.create(job(chunks))
  const running = yield* Effect.forkChild(jobs.run(id, { outputFile: "out.mp4" }))
  yield* Effect.gen(function* () {
    yield* Effect.repeat(Effect.yieldNow, { times: 100 })
    yield* TestClock.adjust("1 second")
  }).pipe(Effect.repeat({ until: () => running.pollUnsafe() !== undefined }))
  return yield* Fiber.join(running)
})

describe("FakeMachine", () => {
  it.effect("renders and joins every frame once, in order, in no time", () =>
    Effect.gen(function* () {
      const state = yield* run(5)
      assert.strictEqual(state.status, "completed")
      const files = yield* FakeFiles.FakeFiles
      assert.deepStrictEqual(files.get("/job/out.mp4"), FakeFiles.join(frames(50)))
      assert.deepStrictEqual([...files.keys()], ["/job/out.mp4"])
      const workers = yield* FakeWorkerAdapter.FakeWorkers
      assert.strictEqual(workers.attempts.length, 5)
      assert.strictEqual(workers.mostRunning(), 2)
      assert.strictEqual(workers.running(), 0)
    }).pipe(Effect.provide(manager({ worker: { script: () => ({ takes: "1 hour" }) } })))
  )

  it.effect("fails attempts as its script says", () => {
    const lost = new WorkerError.WorkerLost({ detail: "gone" })
    const script = FakeWorkerAdapter.scripted({
      1: [
        { takes: "5 seconds", fails: lost },
        { takes: "1 second", output: FakeFiles.video(0, 3) }
      ],
      2: [{ output: "nothing" }]
    })
    return Effect.gen(function* () {
      assert.strictEqual((yield* run(3)).status, "completed")
      const { attempts } = yield* FakeWorkerAdapter.FakeWorkers
      const of = (chunk: number) => attempts.filter(({ chunkId }) => chunkId === chunk).map(({ ended }) => ended)
      assert.deepStrictEqual([of(0), of(1), of(2)], [["done"], ["failed", "done", "done"], ["done", "done"]])
      const files = yield* FakeFiles.FakeFiles
      assert.deepStrictEqual(files.get("/job/out.mp4")?.frames, frames(30))
    }).pipe(Effect.provide(manager({ worker: { script } })))
  })

  it.effect("tells what a script says, spread over the time that an attempt takes", () =>
    Effect.gen(function* () {
      const { adapter } = yield* FakeWorkerAdapter.make({
        script: () => ({
          takes: "3 seconds",
          signals: [
            { _tag: "Frames", done: 3 },
            { _tag: "Frames", done: 7 }
          ]
        })
      })
      const told: Array<number> = []
      const fiber = yield* adapter
        .execute(
          {
            id: "job/0/1.1",
            command: "render",
            meta: {
              _tag: "Chunk",
              jobId: "job",
              run: 1,
              attempt: 1,
              chunkId: 0,
              startFrame: 0,
              frameCount: 10,
              format: {},
              output: { _tag: "File", path: "/p" }
            }
          },
          (signal) => {
            if (signal._tag === "Frames") told.push(signal.done)
          }
        )
        .pipe(Effect.forkChild)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told, [3])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told, [3, 7])
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).output?.bytes, 1000)
    }).pipe(Effect.provide(FakeFiles.layer))
  )

  it.effect("finds in outputs what it is told to find", () => {
    let looked = 0
    const finds = () => (looked++ === 0 ? "a black frame" : undefined)
    return Effect.gen(function* () {
      assert.strictEqual((yield* run(1)).status, "completed")
      assert.strictEqual(looked, 2)
    }).pipe(Effect.provide(manager({ check: { finds } })))
  })
})
