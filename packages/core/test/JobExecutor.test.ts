import {
  JobExecutor,
  JobRepository,
  JobSpec,
  JobState,
  VideoStitcher,
  WorkerError,
  type JobError,
  type JobEvent
} from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Queue, Scope, Stream } from "effect"
import * as Fakes from "./Fakes.ts"
import { pass, settle } from "./TestTime.ts"

interface Setup {
  readonly options?: JobExecutor.Options
  readonly stitcher?: VideoStitcher.VideoStitcher["Service"]
  readonly spec?: unknown
  /** Stands in for the repository's append. */
  readonly append?: (
    append: JobRepository.JobWriter["append"]
  ) => (events: ReadonlyArray<JobEvent.JobEvent>) => ReturnType<JobRepository.JobWriter["append"]>
}

/** Begins the next run of a job in a repository of the test's own. */
const begin = Effect.fnUntraced(function* (
  machine: Fakes.Machine,
  repository: JobRepository.JobRepository["Service"],
  setup: Setup
) {
  const scope = yield* Scope.make()
  const writer = yield* repository.openWriter("job", { takeOver: "if-dead" }).pipe(Scope.provide(scope))
  const state = Effect.map(Stream.runCollect(repository.read("job")), (records) => {
    const folded = JobState.fold("job", records)
    assert(folded !== undefined)
    return folded
  })
  const folding = JobState.makeFold("job")
  yield* Stream.runForEach(repository.read("job"), (record) => Effect.sync(() => folding.apply(record)))
  const job = folding.state()
  assert(job !== undefined)
  const wishes = yield* Queue.unbounded<JobRepository.JobRequest>()
  const fiber = yield* JobExecutor.run({
    job,
    apply: folding.apply,
    writer: setup.append === undefined ? writer : { ...writer, append: setup.append(writer.append) },
    options: setup.options ?? {},
    stitcher: setup.stitcher,
    requests: Stream.fromQueue(wishes)
  }).pipe(
    Effect.provide(Fakes.layerWorker(machine)),
    Effect.onExit(() => Scope.close(scope, Exit.void)),
    Effect.forkChild
  )
  yield* settle
  const events = Effect.map(Stream.runCollect(repository.read("job")), (records) => records.map(({ event }) => event))
  const ask = (wish: JobRepository.JobRequest) => Queue.offer(wishes, wish)
  const cancel = ask({ _tag: "Cancel", by: "a test" })
  const pause = (mode: "drain" | "interrupt" = "interrupt") => ask({ _tag: "Pause", mode })
  return { fiber, cancel, pause, state, events }
})

const start = Effect.fnUntraced(function* (machine: Fakes.Machine, setup: Setup = {}) {
  const repository = Context.get(yield* Layer.build(JobRepository.layerMemory), JobRepository.JobRepository)
  const spec = yield* JobSpec.decode(setup.spec ?? Fakes.job(3))
  yield* repository.create("job", { _tag: "JobCreated", version: 1, spec })
  const begun = yield* begin(machine, repository, setup)
  return { ...begun, again: (next: Setup = setup) => begin(machine, repository, next) }
})

const reasonOf = (fiber: Fiber.Fiber<void, JobError.JobError>) =>
  Effect.map(Effect.flip(Fiber.join(fiber)), (error) => {
    assert.strictEqual(error.jobId, "job")
    return error.reason
  })

const lastEvent = (events: ReadonlyArray<JobEvent.JobEvent>) => {
  const last = events.at(-1)
  assert(last?._tag === "RunEnded", "the journal ends with the end of the run")
  return last
}

const stitcherThat = (stitch: VideoStitcher.VideoStitcher["Service"]["stitch"]) =>
  VideoStitcher.VideoStitcher.of({ stitch })

const out = { outputFile: "out.mp4" }

describe("JobExecutor", () => {
  it.effect.each([
    { concurrency: Number.NaN },
    { concurrency: 0 },
    { concurrency: 1.5 },
    { retries: Number.NaN },
    { retries: -1 },
    { attemptTimeout: 0 },
    { stallTimeout: 0 }
  ])("refuses %o before anything starts, naming the option", (options) =>
    Effect.gen(function* () {
      const machine = Fakes.machine()
      const run = yield* start(machine, { options })
      const reason = yield* reasonOf(run.fiber)
      assert.strictEqual(reason._tag, "InvalidRequest")
      assert.match(reason.message, new RegExp(Object.keys(options).join()))
      assert.strictEqual(machine.attempts.length, 0)
    })
  )

  describe("the final file", () => {
    it.effect("is what the stitcher made of the chunks in frame order", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId }) => Effect.sleep(`${3 - chunkId} seconds`), { concurrency: 3 })
        const run = yield* start(machine, { stitcher: machine.stitcher, options: out })
        yield* pass("4 seconds")
        yield* Fiber.join(run.fiber)
        assert.deepStrictEqual(machine.stitched, [[0, 1, 2]])
        const state = yield* run.state
        assert.strictEqual(state.status, "completed")
        assert.strictEqual(state.outputFile, "/job/out.mp4")
        assert.deepStrictEqual([...machine.files], [["/job/out.mp4", 300]])
      })
    )

    it.effect("has its chunks in frame order, whatever their order and their ids in the job file", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const job = Fakes.job(3)
        const [first, second, third] = job.chunks.map((chunk, index) => ({ ...chunk, id: 10 - index }))
        const inputs: Array<VideoStitcher.ChunkOutput> = []
        const stitcher = stitcherThat((request) =>
          Stream.runForEach(request.inputs, (input) => Effect.sync(() => inputs.push(input))).pipe(
            Effect.andThen(machine.stitcher.stitch(request))
          )
        )
        const spec = { ...job, chunks: [second, third, first] }
        const run = yield* start(machine, { spec, stitcher, options: out })
        yield* Fiber.join(run.fiber)
        assert.deepStrictEqual(
          inputs.map(({ chunkId, index }) => [index, chunkId]),
          [
            [0, 10],
            [1, 9],
            [2, 8]
          ]
        )
        const { chunks } = yield* run.state
        for (const { chunkId, location } of inputs) {
          assert.strictEqual(chunks.find(({ id }) => id === chunkId)?.output?.location, location)
        }
      })
    )

    it.effect("is in the making while later chunks still render", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId }) => Effect.sleep(`${chunkId + 1} seconds`), { concurrency: 3 })
        const read: Array<number> = []
        const stitcher = stitcherThat((request) =>
          Stream.runForEach(request.inputs, (input) => Effect.sync(() => read.push(input.chunkId))).pipe(
            Effect.andThen(machine.stitcher.stitch(request))
          )
        )
        const run = yield* start(machine, { stitcher, options: out })
        yield* pass("2 seconds")
        assert.deepStrictEqual(read, [0, 1])
        yield* pass("1 second")
        yield* Fiber.join(run.fiber)
        assert.deepStrictEqual(read, [0, 1, 2])
      })
    )

    it.effect("comes from chunks of which the stitcher knows who rendered them, and how: after a resume as well", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(
          Effect.fnUntraced(function* ({ attempt, chunkId, fail, job, signal }) {
            signal({ _tag: "Assigned", workerId: `worker ${chunkId}.${attempt}`, handle: "h" })
            yield* Effect.sleep(`${chunkId + 1} seconds`)
            if (chunkId === 1 && attempt === 1 && job.meta.run === 1) return yield* fail(Fakes.reasonOf.lost)
            if (chunkId === 2 && job.meta.run === 1) return yield* Effect.never
          }),
          { concurrency: 3 }
        )
        const told: Array<ReadonlyArray<unknown>> = []
        const stitcher = stitcherThat((request) =>
          Stream.runForEach(request.inputs, ({ attempt, attempts, chunkId, durationMs, run, workerId }) =>
            Effect.sync(() => told.push([chunkId, run, attempt, attempts, workerId, durationMs]))
          ).pipe(Effect.andThen(machine.stitcher.stitch(request)))
        )
        const first = yield* start(machine, { stitcher, options: { ...out, retryDelay: "1 second" } })
        yield* pass("10 seconds")
        yield* first.pause()
        assert.strictEqual((yield* reasonOf(first.fiber))._tag, "JobPaused")
        told.length = 0
        const second = yield* first.again()
        yield* pass("10 seconds")
        yield* Fiber.join(second.fiber)
        assert.deepStrictEqual(told, [
          [0, 1, 1, 1, "worker 0.1", 1000],
          [1, 1, 2, 2, "worker 1.2", 2000],
          [2, 2, 1, 2, "worker 2.1", 3000]
        ])
      })
    )

    it.effect("can be begun with the first chunk: the stitcher is told beforehand how many frames each has", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const job = Fakes.job(3)
        const spec = {
          ...job,
          metadata: { ...job.metadata, totalFrames: 6 },
          chunks: [3, 1, 2].map((frameCount, index) => ({
            ...job.chunks[index],
            startFrame: [0, 3, 4][index],
            frameCount
          }))
        }
        const told: Array<VideoStitcher.StitchRequest["frameCounts"]> = []
        const stitcher = stitcherThat((request) => {
          told.push(request.frameCounts)
          return machine.stitcher.stitch(request)
        })
        // The job file lists its chunks in any order.
        const run = yield* start(machine, {
          spec: { ...spec, chunks: spec.chunks.toReversed() },
          stitcher,
          options: out
        })
        yield* Fiber.join(run.fiber)
        assert.deepStrictEqual(told, [[3, 1, 2]])
      })
    )

    it.effect("needs a name, before anything starts", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const run = yield* start(machine, { stitcher: machine.stitcher })
        const reason = yield* reasonOf(run.fiber)
        assert.strictEqual(reason._tag, "InvalidRequest")
        assert.match(reason.message, /outputFile/)
        assert.strictEqual(machine.attempts.length, 0)
        assert.strictEqual((yield* run.state).status, "pending")
      })
    )

    it.effect(
      "is not there when the stitcher fails; chunks that still render are stopped, the accepted ones kept",
      () =>
        Effect.gen(function* () {
          const machine = Fakes.machine(({ chunkId }) => Effect.sleep(chunkId === 0 ? "1 second" : "1 hour"), {
            concurrency: 3
          })
          const stitcher = stitcherThat((request) =>
            Stream.runHead(request.inputs).pipe(
              Effect.andThen(
                new VideoStitcher.StitchError({
                  chunkId: 0,
                  reason: new VideoStitcher.ToolFailed({ exitCode: 1, stderrTail: "moov atom not found" })
                })
              )
            )
          )
          const run = yield* start(machine, { stitcher, options: out })
          yield* pass("2 seconds")
          const reason = yield* reasonOf(run.fiber)
          assert.match(reason.message, /chunk 0.*exited with 1.*moov atom not found/s)
          assert.strictEqual(machine.running(), 0)
          const state = yield* run.state
          assert.strictEqual(state.status, "failed")
          assert.deepStrictEqual(state.error?.chunkId, 0)
          assert.deepStrictEqual([...machine.files.keys()], ["/job/.helios/job/0-1.1-part_0.mov"])
        })
    )

    it.effect("is not there when the stitcher stops early", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const stitcher = stitcherThat((request) =>
          Stream.runCollect(Stream.take(request.inputs, 2)).pipe(
            Effect.map(() => {
              machine.files.set(request.output, 1)
              return { outputFile: request.output, bytes: 1, frames: 20, durationMs: 0 }
            })
          )
        )
        const run = yield* start(machine, { stitcher, options: out })
        const reason = yield* reasonOf(run.fiber)
        assert.match(reason.message, /after reading 2 of 3 chunks/)
        assert.isFalse([...machine.files.keys()].some((path) => path.startsWith("/job/out.mp4")))
      })
    )

    it.effect("a stitcher that hangs can be stopped, and leaves nothing", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        let stopped = false
        const stitcher = stitcherThat((request) => {
          machine.files.set(request.output, 1)
          return Effect.onInterrupt(Effect.never, () => Effect.sync(() => (stopped = true)))
        })
        const run = yield* start(machine, { stitcher, options: out })
        yield* pass("1 second")
        yield* run.cancel
        assert.strictEqual((yield* reasonOf(run.fiber))._tag, "JobCancelled")
        assert.isTrue(stopped)
        assert.isFalse([...machine.files.keys()].some((path) => path.startsWith("/job/out.mp4")))
        assert.strictEqual((yield* run.state).status, "cancelled")
      })
    )

    it.effect("a stitcher that throws fails the job and does not hide why", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 hour"))
        const stitcher = stitcherThat(() => {
          throw new RangeError("out of range")
        })
        const run = yield* start(machine, { stitcher, options: out })
        yield* pass("1 second")
        const exit = yield* Fiber.await(run.fiber)
        assert(Exit.isFailure(exit))
        assert.isTrue(Cause.hasDies(exit.cause))
        assert.strictEqual(machine.running(), 0)
        const state = yield* run.state
        assert.strictEqual(state.status, "failed")
        assert.match(state.error?.message ?? "", /out of range/)
      })
    )
  })

  describe("without a stitcher", () => {
    it.effect("the chunks under their own names are the result", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const run = yield* start(machine)
        yield* Fiber.join(run.fiber)
        assert.deepStrictEqual([...machine.files.keys()].toSorted(), [
          "/job/part_0.mov",
          "/job/part_1.mov",
          "/job/part_2.mov"
        ])
        assert.strictEqual((yield* run.state).status, "completed")
      })
    )

    it.effect("the merge command runs once all chunks are there under their names", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId, job }) =>
          Effect.sync(() => {
            if (chunkId >= 0) return
            assert.strictEqual(job.command, "merge out.mp4 part_*.mov")
            assert.isTrue(machine.files.has("/job/part_2.mov"))
          })
        )
        const spec = Fakes.job(3, 10, { mergeCommand: "merge out.mp4 part_*.mov" })
        const run = yield* start(machine, { spec, options: out })
        yield* Fiber.join(run.fiber)
        assert.strictEqual(machine.attempts.length, 4)
        assert.isTrue(machine.files.has("/job/out.mp4"))
        assert.strictEqual((yield* run.state).outputFile, "/job/out.mp4")
      })
    )

    it.effect("a merge command that does not name the final file is taken at its word", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const spec = Fakes.job(2, 10, { mergeCommand: "merge-all" })
        const run = yield* start(machine, { spec })
        yield* Fiber.join(run.fiber)
        const state = yield* run.state
        assert.strictEqual(state.status, "completed")
        assert.isUndefined(state.outputFile)
      })
    )

    it.effect("a merge command that fails is tried again like a chunk, on the merge adapter", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const merger = Fakes.machine(({ attempt, fail }) => (attempt < 3 ? fail(Fakes.reasonOf.failed) : Effect.void))
        const spec = Fakes.job(2, 10, { mergeCommand: "merge-all" })
        const run = yield* start(machine, { spec, options: { mergeAdapter: merger.adapter } })
        yield* pass("10 seconds")
        yield* Fiber.join(run.fiber)
        assert.strictEqual(machine.attempts.length, 2)
        assert.strictEqual(merger.attempts.length, 3)
      })
    )

    it.effect("a merge command that keeps failing fails the job and says so", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId, fail }) => (chunkId < 0 ? fail(Fakes.reasonOf.failed) : Effect.void))
        const spec = Fakes.job(2, 10, { mergeCommand: "merge-all" })
        const run = yield* start(machine, { spec, options: { retries: 0 } })
        const reason = yield* reasonOf(run.fiber)
        assert.instanceOf(reason, WorkerError.WorkerError)
        assert.strictEqual((yield* run.state).status, "failed")
      })
    )

    it.effect("a merge command has the limits of an attempt, and being throttled is no failure of it", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt, chunkId, fail }) => {
          if (chunkId >= 0) return Effect.void
          return attempt <= 3 ? fail(Fakes.reasonOf.throttled(60_000)) : Effect.never
        })
        const spec = Fakes.job(2, 10, { mergeCommand: "merge-all" })
        const run = yield* start(machine, { spec, options: { retries: 0, attemptTimeout: "1 minute" } })
        yield* pass("5 minutes", "10 seconds")
        const reason = yield* reasonOf(run.fiber)
        assert(reason._tag === "WorkerError")
        assert.strictEqual(reason.reason._tag, "TimedOut")
        assert.deepStrictEqual(
          machine.attempts.filter(({ chunkId }) => chunkId < 0).map(({ at }) => at),
          [0, 60_000, 120_000, 180_000]
        )
      })
    )

    it.effect("a merge command that throws or cannot be stopped is told of", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId, signal }) => {
          if (chunkId >= 0) return Effect.void
          signal({ _tag: "NotStopped", detail: "process 7" })
          throw new TypeError("no merge")
        })
        const spec = Fakes.job(2, 10, { mergeCommand: "merge-all" })
        const run = yield* start(machine, { spec, options: { retries: 0 } })
        assert.match((yield* reasonOf(run.fiber)).message, /no merge/)
        assert.deepStrictEqual((yield* run.state).leftover, ["the merge command, attempt 1: process 7"])
      })
    )

    it.effect("a final file that nothing would make is refused", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const run = yield* start(machine, { options: out })
        assert.match((yield* reasonOf(run.fiber)).message, /nothing makes one file/)
        assert.strictEqual(machine.attempts.length, 0)
      })
    )

    it.effect("a merge command can be stopped", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId }) => (chunkId < 0 ? Effect.never : Effect.void))
        const run = yield* start(machine, { spec: Fakes.job(2, 10, { mergeCommand: "merge-all" }) })
        assert.strictEqual(machine.running(), 1)
        yield* run.cancel
        assert.strictEqual((yield* reasonOf(run.fiber))._tag, "JobCancelled")
        assert.strictEqual(machine.running(), 0)
      })
    )
  })

  describe("the journal", () => {
    it.effect("tells the run from its start to its end", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const run = yield* start(machine, { stitcher: machine.stitcher, options: { ...out, concurrency: 1 } })
        yield* Fiber.join(run.fiber)
        assert.deepStrictEqual(
          (yield* run.events).map((event) => event._tag),
          [
            "JobCreated",
            "RunStarted",
            ...Array.from({ length: 3 }, () => ["AttemptStarted", "ChunkAccepted"]).flat(),
            "Stitched",
            "RunEnded"
          ]
        )
        assert.strictEqual(lastEvent(yield* run.events).how, "completed")
      })
    )

    it.effect("gets whatever is pending in one append", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 second"), { concurrency: 50 })
        let appends = 0
        const run = yield* start(machine, {
          spec: Fakes.job(50),
          append: (append) => (events) => {
            appends++
            return Effect.andThen(Effect.sleep("100 millis"), append(events))
          }
        })
        yield* pass("2 seconds")
        yield* Fiber.join(run.fiber)
        assert.isBelow(appends, 6)
      })
    )

    it.effect("a chunk counts only once its append has returned", () =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const machine = Fakes.machine()
        const run = yield* start(machine, {
          stitcher: machine.stitcher,
          options: out,
          append: (append) => (events) =>
            events.some((event) => event._tag === "ChunkAccepted")
              ? Effect.andThen(Deferred.await(gate), append(events))
              : append(events)
        })
        yield* pass("1 second")
        assert.deepStrictEqual(machine.stitched, [])
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(run.fiber)
        assert.deepStrictEqual(machine.stitched, [[0, 1, 2]])
      })
    )

    it.effect("that fails stops everything and fails the job", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId }) => (chunkId === 0 ? Effect.void : Effect.sleep("1 hour")))
        const broken = new JobRepository.RepositoryError({
          jobId: "job",
          reason: new JobRepository.Unavailable({ cause: new Error("disk on fire") })
        })
        const run = yield* start(machine, {
          append: (append) => (events) =>
            events.some((event) => event._tag === "ChunkAccepted") ? Effect.fail(broken) : append(events)
        })
        const reason = yield* reasonOf(run.fiber)
        assert.match(reason.message, /disk on fire/)
        assert.strictEqual(machine.running(), 0)
        assert.strictEqual(lastEvent(yield* run.events).how, "failed")
      })
    )

    it.effect("that hangs does not keep a stopped run alive for ever", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 second"))
        const run = yield* start(machine, {
          append: (append) => (events) => (events[0]?._tag === "RunStarted" ? append(events) : Effect.never)
        })
        yield* pass("3 seconds")
        yield* run.cancel
        yield* pass("75 seconds", "1 second")
        assert.strictEqual((yield* reasonOf(run.fiber))._tag, "JobCancelled")
        assert.strictEqual(machine.running(), 0)
      })
    )

    it.effect("that is slow tells the beginning of a run before its end, and before the wish that it should end", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 hour"))
        const run = yield* start(machine, {
          append: (append) => (events) =>
            events[0]?._tag === "RunStarted"
              ? Effect.delay(append(events), "500 millis")
              : Effect.delay(append(events), "10 millis")
        })
        yield* run.cancel
        yield* pass("3 seconds")
        assert.strictEqual((yield* reasonOf(run.fiber))._tag, "JobCancelled")
        assert.deepStrictEqual(
          (yield* run.events).map(({ _tag }) => _tag).filter((tag) => /^(Run|Stop)/.test(tag)),
          ["RunStarted", "StopRequested", "RunEnded"]
        )
        assert.strictEqual((yield* run.state).status, "cancelled")
      })
    )

    it.effect("says who took over when it is fenced", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 second"))
        const run = yield* start(machine, {
          append: (append) => (events) =>
            events[0]?._tag === "RunStarted"
              ? append(events)
              : Effect.fail(
                  new JobRepository.RepositoryError({ jobId: "job", reason: new JobRepository.Fenced({ run: 1 }) })
                )
        })
        yield* pass("1 second")
        assert.match((yield* reasonOf(run.fiber)).message, /taken over/)
        assert.strictEqual(machine.running(), 0)
      })
    )
  })

  describe("what was paid for is kept", () => {
    const accepting = (events: ReadonlyArray<JobEvent.JobEvent>) =>
      events.some((event) => event._tag === "ChunkAccepted")

    it.effect("by a run that was taken over: it leaves the files of the later one alone", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 second"))
        const fenced = new JobRepository.RepositoryError({ jobId: "job", reason: new JobRepository.Fenced({ run: 1 }) })
        const theirs = "/job/.helios/job/1-2.1-part_1.mov"
        const run = yield* start(machine, {
          append: (append) => (events) => {
            if (events[0]?._tag === "RunStarted") return append(events)
            machine.files.set(theirs, 1)
            return Effect.fail(fenced)
          }
        })
        yield* pass("2 seconds")
        yield* Fiber.await(run.fiber)
        assert.isTrue(machine.files.has(theirs))
      })
    )

    it.effect("when an append was written and yet reported as failed: the next run finds the output", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const lost = new JobRepository.RepositoryError({
          jobId: "job",
          reason: new JobRepository.Unavailable({ cause: new Error("no acknowledgement") })
        })
        const setup = { stitcher: machine.stitcher, options: out }
        let failed = false
        const run = yield* start(machine, {
          ...setup,
          append: (append) => (events) =>
            accepting(events) && !failed
              ? Effect.andThen(append(events), () => {
                  failed = true
                  return Effect.fail(lost)
                })
              : append(events)
        })
        yield* Fiber.await(run.fiber)
        const next = yield* run.again(setup)
        yield* Fiber.join(next.fiber)
        assert.strictEqual((yield* next.state).status, "completed")
        assert.strictEqual(machine.attempts.filter(({ chunkId }) => chunkId === 0).length, 1)
      })
    )
  })

  describe("stopping", () => {
    it.effect("starts nothing more while the stitcher takes its time, and does not wait for it for ever", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 second"), { concurrency: 1 })
        const never = yield* Deferred.make<void>()
        const stitcher = stitcherThat(() => Effect.onInterrupt(Effect.never, () => Deferred.await(never)))
        const run = yield* start(machine, { spec: Fakes.job(100), stitcher, options: out })
        yield* pass("2500 millis")
        yield* run.cancel
        const started = machine.attempts.length
        yield* pass("61 seconds", "1 second")
        assert.strictEqual((yield* reasonOf(run.fiber))._tag, "JobCancelled")
        assert.strictEqual(machine.attempts.length, started)
        assert.match((yield* run.state).leftover?.join() ?? "", /the stitcher had not stopped/)
        yield* Deferred.succeed(never, undefined)
      })
    )

    it.effect("does not wait for a journal that hangs before the run has begun", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const run = yield* start(machine, { append: () => () => Effect.uninterruptible(Effect.never) })
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(run.fiber))
        yield* pass("11 seconds", "1 second")
        assert.isDefined(interrupting.pollUnsafe())
        assert.strictEqual(machine.attempts.length, 0)
      })
    )

    it.effect(
      "interruption pauses: accepted outputs stay, everything else goes, the next run renders only the rest",
      () =>
        Effect.gen(function* () {
          let slow = true
          const machine = Fakes.machine(({ chunkId }) => Effect.sleep(chunkId === 2 && slow ? "1 hour" : "1 second"), {
            concurrency: 1
          })
          const setup = { stitcher: machine.stitcher, options: out }
          const run = yield* start(machine, setup)
          yield* pass("3 seconds")
          yield* Fiber.interrupt(run.fiber)
          assert.strictEqual(machine.running(), 0)
          const paused = yield* run.state
          assert.strictEqual(paused.status, "paused")
          assert.deepStrictEqual(
            paused.chunks.map((chunk) => chunk.status),
            ["accepted", "accepted", "pending"]
          )
          assert.strictEqual(machine.files.size, 2)

          slow = false
          const before = machine.attempts.length
          const next = yield* run.again(setup)
          yield* pass("2 seconds")
          yield* Fiber.join(next.fiber)
          assert.deepStrictEqual(
            machine.attempts.slice(before).map((attempt) => attempt.chunkId),
            [2]
          )
          assert.deepStrictEqual(machine.stitched, [[0, 1, 2]])
          const state = yield* next.state
          assert.strictEqual(state.status, "completed")
          assert.strictEqual(state.run, 2)
        })
    )

    it.effect("a pause asked for by somebody ends the run as paused", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("1 hour"))
        const run = yield* start(machine)
        yield* run.pause()
        assert.strictEqual((yield* reasonOf(run.fiber))._tag, "JobPaused")
        assert.strictEqual((yield* run.state).status, "paused")
      })
    )

    it.effect("what could not be stopped stands in the journal", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ signal }) =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => signal({ _tag: "NotStopped", detail: "request r-1" }))
          )
        )
        const run = yield* start(machine, { options: { concurrency: 1 } })
        yield* run.cancel
        yield* Fiber.await(run.fiber)
        assert.deepStrictEqual((yield* run.state).leftover, ["chunk 0, attempt 1: request r-1"])
      })
    )

    it.effect("attempts that never stop do not keep the run for ever, and are told of", () =>
      Effect.gen(function* () {
        const forever = yield* Deferred.make<void>()
        const machine = Fakes.machine(() => Effect.onInterrupt(Effect.never, () => Deferred.await(forever)))
        const run = yield* start(machine)
        yield* run.cancel
        yield* pass("61 seconds", "1 second")
        yield* Fiber.await(run.fiber)
        assert.match((yield* run.state).leftover?.join() ?? "", /had not stopped/)
        yield* Deferred.succeed(forever, undefined)
      })
    )

    it.effect("once the file is in place the job is completed, whoever wants it stopped now", () =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const machine = Fakes.machine()
        const run = yield* start(machine, {
          stitcher: machine.stitcher,
          options: out,
          append: (append) => (events) =>
            events.some((event) => event._tag === "Stitched")
              ? Effect.andThen(Deferred.await(gate), append(events))
              : append(events)
        })
        assert.isTrue(machine.files.has("/job/out.mp4"))
        yield* run.cancel
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(run.fiber))
        yield* settle
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(interrupting)
        assert.strictEqual((yield* run.state).status, "completed")
        assert.deepStrictEqual([...machine.files.keys()], ["/job/out.mp4"])
      })
    )
  })

  it.effect("a chunk that fails fails the job, named in its state", () =>
    Effect.gen(function* () {
      const machine = Fakes.machine(({ chunkId, fail }) => (chunkId === 1 ? fail(Fakes.reasonOf.refused) : Effect.void))
      const run = yield* start(machine, { stitcher: machine.stitcher, options: out })
      const reason = yield* reasonOf(run.fiber)
      assert.strictEqual(reason._tag, "ChunkFailed")
      const state = yield* run.state
      assert.strictEqual(state.status, "failed")
      assert.strictEqual(state.error?._tag, "ChunkFailed")
      assert.strictEqual(state.error?.chunkId, 1)
      assert.strictEqual(state.chunks[1]?.error?._tag, "Refused")
      assert.isBelow(state.progress, 1)
    })
  )
})
