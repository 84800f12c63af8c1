import { assert, describe, it } from "@effect/vitest"
import { AdapterPool, JobManager, WorkerAdapter, WorkerError } from "@helios-infra/core"
import { Cause, Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Fakes from "./Fakes.ts"
import { pass, settle } from "./TestTime.ts"

type Adapter = WorkerAdapter.WorkerAdapter["Service"]

/** What a worker does with an attempt. `undefined`: it is done at once. */
type Script = (
  job: WorkerAdapter.WorkerJob,
  signal: (signal: WorkerAdapter.WorkerSignal) => void
) => Effect.Effect<unknown, WorkerError.WorkerReason> | undefined

const result: WorkerAdapter.WorkerResult = { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }

/** An adapter that does as it is told, and a record of it. */
const worker = (
  name: string,
  script: Script = () => undefined,
  info: Partial<WorkerAdapter.WorkerAdapterInfo> = {}
) => {
  const attempts: Array<string> = []
  const reaped: Array<ReadonlyArray<string>> = []
  let running = 0
  const adapter = WorkerAdapter.make({
    info: { name, where: "local", stop: "always", concurrency: 1, ...info },
    execute: (job, signal) =>
      Effect.suspend(() => {
        attempts.push(`${WorkerAdapter.chunkId(job) ?? "merge"}.${job.meta.attempt}`)
        running++
        signal({ _tag: "Assigned", workerId: name, handle: `of ${job.id}` })
        return script(job, signal) ?? Effect.void
      }).pipe(
        Effect.as({ ...result, workerId: name }),
        Effect.mapError((reason) => WorkerAdapter.failure(name, job, reason)),
        Effect.onExit(() => Effect.sync(() => running--))
      ),
    reap: (_, handles) => Effect.sync(() => reaped.push(handles)).pipe(Effect.as({ leftover: [] }))
  })
  return { adapter, attempts, reaped, running: () => running }
}

const attempt = (chunkId: number, nth = 1, more: { readonly jobId?: string; readonly run?: number } = {}) => {
  const { jobId = "film", run = 1 } = more
  const job: WorkerAdapter.WorkerJob = {
    id: `${jobId}/${chunkId}/${run}.${nth}`,
    command: "render",
    meta: {
      _tag: "Chunk",
      jobId,
      run,
      attempt: nth,
      output: { _tag: "File", path: `/job/${chunkId}.${nth}.mov` },
      chunkId,
      startFrame: chunkId * 10,
      frameCount: 10,
      format: {}
    }
  }
  return job
}

const run = (adapter: Adapter, job: WorkerAdapter.WorkerJob) =>
  Effect.map(
    adapter.execute(job, () => {}),
    ({ workerId }) => workerId
  )
const start = (adapter: Adapter, job: WorkerAdapter.WorkerJob) =>
  Effect.forkChild(run(adapter, job), { startImmediately: true })
const reasonOf = (adapter: Adapter, job: WorkerAdapter.WorkerJob) =>
  Effect.map(Effect.flip(run(adapter, job)), ({ reason }) => reason)

const never: Script = () => Effect.never
const fails =
  (reason: WorkerError.WorkerReason): Script =>
  () =>
    Effect.fail(reason)
const { failed, lost, throttled } = Fakes.reasonOf
const unsupported = new WorkerError.Refused({ why: "Unsupported", fix: "no merge commands here" })

describe("AdapterPool.overflow", () => {
  it.effect("gives an attempt to the first adapter that has a free slot, and the rest to the last", () =>
    Effect.gen(function* () {
      const [local, lambda] = [worker("local", never, { concurrency: 2 }), worker("lambda", never)]
      const pool = AdapterPool.overflow([local.adapter, lambda.adapter])
      for (const chunk of [0, 1, 2, 3, 4]) yield* start(pool, attempt(chunk))
      assert.deepStrictEqual(local.attempts, ["0.1", "1.1"])
      assert.deepStrictEqual(lambda.attempts, ["2.1", "3.1", "4.1"], "more than suit it, for that many were started")
    })
  )

  it.effect("comes back to the first adapter as soon as it has a free slot, however the attempt in it ended", () =>
    Effect.gen(function* () {
      const local = worker("local", never)
      const pool = AdapterPool.overflow([local.adapter, worker("lambda", never).adapter])
      for (const chunk of [0, 1, 2]) {
        const running = yield* start(pool, attempt(chunk))
        assert.strictEqual(local.running(), 1)
        yield* Fiber.interrupt(running)
        assert.strictEqual(local.running(), 0, "nothing of it is left")
      }
      assert.deepStrictEqual(local.attempts, ["0.1", "1.1", "2.1"])
    })
  )

  it.effect("counts the attempts of all jobs that share it", () =>
    Effect.gen(function* () {
      const local = worker("local", never)
      const pool = AdapterPool.overflow([local.adapter, worker("lambda").adapter])
      yield* start(pool, attempt(0, 1, { jobId: "one" }))
      assert.strictEqual(yield* run(pool, attempt(0, 1, { jobId: "other" })), "lambda")
    })
  )

  it.effect("never gives an adapter more than it can take, and is throttled when none can take any", () =>
    Effect.gen(function* () {
      const lambda = worker("lambda", never, { maxConcurrency: 2 })
      const pool = AdapterPool.overflow([worker("local", never).adapter, lambda.adapter])
      for (const chunk of [0, 1, 2]) yield* start(pool, attempt(chunk))
      assert.strictEqual(lambda.running(), 2)
      const error = yield* Effect.flip(run(pool, attempt(3)))
      assert.deepStrictEqual(error.reason, throttled(5_000), "nobody knows until when")
      assert.match(
        error.message,
        /^chunk 3 of job film, attempt 1 on local\+lambda: the platform takes no more work now/
      )
    })
  )
})

describe("AdapterPool.fallback", () => {
  it.effect("keeps to the first adapter as long as it takes attempts", () =>
    Effect.gen(function* () {
      const [eu, us] = [worker("eu", never), worker("us", never)]
      const pool = AdapterPool.fallback([eu.adapter, us.adapter])
      for (const chunk of [0, 1, 2]) yield* start(pool, attempt(chunk))
      assert.deepStrictEqual([eu.running(), us.running()], [3, 0])
    })
  )

  it.effect("goes on to the next when one is throttled, which rests for as long as it said", () =>
    Effect.gen(function* () {
      let full = true
      const eu = worker("eu", () => (full ? Effect.fail(throttled(5_000)) : undefined))
      const pool = AdapterPool.fallback([eu.adapter, worker("us").adapter])
      assert.strictEqual(yield* run(pool, attempt(0)), "us", "the attempt itself goes on")
      full = false
      yield* TestClock.adjust(4_999)
      assert.strictEqual(yield* run(pool, attempt(1)), "us")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* run(pool, attempt(2)), "eu")
      assert.deepStrictEqual(eu.attempts, ["0.1", "2.1"])
    })
  )

  it.effect("lets one that does not say for how long rest longer each time, until it has done something", () =>
    Effect.gen(function* () {
      let full = true
      const eu = worker("eu", () => (full ? Effect.fail(throttled()) : undefined))
      const pool = AdapterPool.fallback([eu.adapter, worker("us").adapter])
      const untilAsked = Effect.gen(function* () {
        const before = eu.attempts.length
        let seconds = 0
        yield* run(pool, attempt(0))
        while (eu.attempts.length === before) {
          yield* TestClock.adjust("1 second")
          seconds++
          yield* run(pool, attempt(0))
        }
        return seconds
      })
      yield* run(pool, attempt(0))
      const rests = yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7], () => untilAsked)
      assert.deepStrictEqual(rests, [1, 2, 4, 8, 16, 30, 30])
      full = false
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* run(pool, attempt(0)), "eu")
      full = true
      yield* run(pool, attempt(0))
      assert.strictEqual(yield* untilAsked, 1)
    })
  )

  it.effect("takes attempts that find out at the same time that it is full for one", () =>
    Effect.gen(function* () {
      const eu = worker("eu", () => Effect.andThen(Effect.sleep(10), Effect.fail(throttled())))
      const pool = AdapterPool.fallback([eu.adapter, worker("us").adapter])
      const running = yield* Effect.forEach([0, 1, 2, 3, 4], (chunk) => start(pool, attempt(chunk)))
      yield* TestClock.adjust(10)
      yield* Fiber.joinAll(running)
      yield* TestClock.adjust("1 second")
      yield* start(pool, attempt(5))
      assert.strictEqual(eu.attempts.length, 6)
    })
  )

  it.effect("does not overload those that stand in", () =>
    Effect.gen(function* () {
      const us = worker("us", never, { concurrency: 2 })
      const pool = AdapterPool.fallback([worker("eu", fails(throttled(3_000))).adapter, us.adapter])
      for (const chunk of [0, 1]) yield* start(pool, attempt(chunk))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* reasonOf(pool, attempt(2)), throttled(2_000), "when the first can be asked again")
      assert.strictEqual(us.running(), 2)
    })
  )
})

describe("a pool", () => {
  it.effect("is throttled until the first of its adapters can be asked again, when all of them are", () =>
    Effect.gen(function* () {
      const pools = [AdapterPool.overflow, AdapterPool.fallback]
      for (const make of pools) {
        const [a, b, c] = [5_000, 2_000, 9_000].map((ms) => worker(`after ${ms}`, fails(throttled(ms))))
        if (a === undefined || b === undefined || c === undefined) return
        const pool = make([a.adapter, b.adapter, c.adapter])
        assert.deepStrictEqual(yield* reasonOf(pool, attempt(0)), throttled(2_000))
        assert.deepStrictEqual([a.attempts, b.attempts, c.attempts], [["0.1"], ["0.1"], ["0.1"]])
        yield* TestClock.adjust(500)
        assert.deepStrictEqual(yield* reasonOf(pool, attempt(1)), throttled(1_500))
        assert.deepStrictEqual(a.attempts, ["0.1"], "nobody is asked meanwhile")
      }
    })
  )

  it.effect("tries a chunk again on another adapter than the one where it failed, if there is one with room", () =>
    Effect.gen(function* () {
      const [a, b] = [worker("a", fails(failed), { concurrency: 9 }), worker("b", fails(failed), { concurrency: 1 })]
      const pool = AdapterPool.overflow([a.adapter, b.adapter, worker("c").adapter])
      assert.deepStrictEqual(yield* reasonOf(pool, attempt(0)), failed)
      assert.deepStrictEqual(yield* reasonOf(pool, attempt(0, 2)), failed)
      assert.strictEqual(yield* run(pool, attempt(0, 3)), "c")
      assert.deepStrictEqual([a.attempts, b.attempts], [["0.1"], ["0.2"]])
      assert.deepStrictEqual(yield* reasonOf(pool, attempt(1)), failed, "another chunk begins at the first again")
      assert.deepStrictEqual(yield* reasonOf(pool, attempt(0, 1, { run: 2 })), failed, "as it does in another run")
    })
  )

  it.effect("goes back to the one that failed it least when all have", () =>
    Effect.gen(function* () {
      const [a, b] = [worker("a", fails(failed)), worker("b", fails(failed))]
      const pool = AdapterPool.overflow([a.adapter, b.adapter])
      for (const nth of [1, 2, 3, 4]) yield* reasonOf(pool, attempt(0, nth))
      assert.deepStrictEqual(
        [a.attempts, b.attempts],
        [
          ["0.1", "0.3"],
          ["0.2", "0.4"]
        ]
      )
    })
  )

  it.effect("goes elsewhere as well when an output was bad, or an attempt was stopped for taking too long", () =>
    Effect.gen(function* () {
      const a = worker("a", ({ meta }) => (meta._tag === "Chunk" && meta.chunkId === 1 ? Effect.never : undefined))
      const pool = AdapterPool.overflow([a.adapter, worker("b").adapter])
      assert.strictEqual(yield* run(pool, attempt(0)), "a")
      assert.strictEqual(yield* run(pool, attempt(0, 2)), "b", "the pool saw a success, its output was not accepted")
      const slow = yield* start(pool, attempt(1))
      yield* Fiber.interrupt(slow)
      assert.strictEqual(yield* run(pool, attempt(1, 2)), "b")
    })
  )

  it.effect("tries again where it failed when no other has room", () =>
    Effect.gen(function* () {
      const a = worker("a", fails(failed))
      const pool = AdapterPool.overflow([a.adapter, worker("b", never, { maxConcurrency: 1 }).adapter])
      yield* reasonOf(pool, attempt(0))
      yield* start(pool, attempt(1, 2))
      yield* start(pool, attempt(2))
      yield* start(pool, attempt(0, 2))
      yield* start(pool, attempt(0, 3))
      assert.include(a.attempts, "0.3")
    })
  )

  it.effect("remembers the chunks that were tried last, and no more than some thousands", () =>
    Effect.gen(function* () {
      const [a, b] = [worker("a"), worker("b")]
      const pool = AdapterPool.overflow([a.adapter, b.adapter])
      for (let chunk = 0; chunk < 10_000; chunk++) yield* run(pool, attempt(chunk))
      assert.strictEqual(yield* run(pool, attempt(9_000, 2)), "b")
      assert.strictEqual(yield* run(pool, attempt(1, 2)), "a", "forgotten")
    })
  )

  it.effect("goes on to the next adapter when one refuses what it does not support, and says why when all do", () =>
    Effect.gen(function* () {
      const [a, b] = [worker("a", fails(unsupported)), worker("b")]
      const merge: WorkerAdapter.WorkerJob = {
        id: "film/merge/1.1",
        command: "merge",
        meta: { _tag: "Merge", jobId: "film", run: 1, attempt: 1, output: { _tag: "File", path: "/job" } }
      }
      assert.strictEqual(yield* run(AdapterPool.fallback([a.adapter, b.adapter]), merge), "b")
      const error = yield* Effect.flip(run(AdapterPool.fallback([a.adapter]), merge))
      assert.deepStrictEqual([error.reason, error.adapter], [unsupported, "a"])
    })
  )

  it.effect("does not go on after other refusals: what is wrong with the job is wrong everywhere", () =>
    Effect.gen(function* () {
      const b = worker("b")
      const pool = AdapterPool.fallback([worker("a", fails(Fakes.reasonOf.refused)).adapter, b.adapter])
      assert.deepStrictEqual(yield* reasonOf(pool, attempt(0)), Fakes.reasonOf.refused)
      assert.deepStrictEqual(b.attempts, [])
    })
  )

  it.effect("goes on after the refusals that it is told", () =>
    Effect.gen(function* () {
      const notFound = new WorkerError.Refused({ why: "NotFound", fix: "install blender" })
      const [a, b] = [worker("a", fails(notFound)), worker("b")]
      const pool = AdapterPool.fallback([a.adapter, b.adapter], { passOn: ["NotFound"] })
      assert.strictEqual(yield* run(pool, attempt(0)), "b")
      const strict = AdapterPool.fallback([worker("a", fails(unsupported)).adapter, b.adapter], { passOn: [] })
      assert.deepStrictEqual(yield* reasonOf(strict, attempt(0)), unsupported)
    })
  )

  it.effect("goes on after the loss of a worker where it is told to, unless something of it may run on", () =>
    Effect.gen(function* () {
      const b = worker("b")
      const a = worker("a", (job, signal) => {
        if (job.meta.attempt === 2) signal({ _tag: "NotStopped", detail: "who knows" })
        return Effect.fail(lost)
      })
      const by = (passOn: AdapterPool.Options["passOn"]) => AdapterPool.fallback([a.adapter, b.adapter], { passOn })
      assert.deepStrictEqual(yield* reasonOf(by(undefined), attempt(0)), lost)
      assert.strictEqual(yield* run(by(["WorkerLost"]), attempt(0)), "b")
      assert.deepStrictEqual(yield* reasonOf(by(["WorkerLost"]), attempt(0, 2)), lost)
      const all = AdapterPool.fallback([a.adapter, worker("full", fails(throttled())).adapter], {
        passOn: ["WorkerLost"]
      })
      assert.deepStrictEqual(yield* reasonOf(all, attempt(0)), lost, "it was tried, and that counts")
    })
  )

  it.effect("leaves an adapter alone that loses its workers, but for an attempt now and then", () =>
    Effect.gen(function* () {
      let dead = true
      const [a, b] = [worker("a", () => (dead ? Effect.fail(lost) : undefined)), worker("b", never, { concurrency: 4 })]
      const pool = AdapterPool.overflow([a.adapter, b.adapter])
      for (const chunk of [0, 1, 2]) yield* reasonOf(pool, attempt(chunk))
      yield* start(pool, attempt(3))
      yield* start(pool, attempt(0, 2))
      yield* TestClock.adjust("1 second")
      yield* start(pool, attempt(1, 2))
      assert.deepStrictEqual([a.attempts.length, b.running()], [3, 3], "no chunk finds out twice")
      yield* reasonOf(pool, attempt(4))
      yield* TestClock.adjust("1 second")
      yield* start(pool, attempt(5))
      assert.deepStrictEqual([a.attempts, b.running()], [["0.1", "1.1", "2.1", "4.1"], 4], "for 2 seconds now")
      dead = false
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* run(pool, attempt(6)), "a")
      assert.strictEqual(yield* run(pool, attempt(7)), "a", "it is well again")
    })
  )

  it.effect("takes an adapter that throws for one that loses its workers, and passes on what was thrown", () =>
    Effect.gen(function* () {
      const broken = WorkerAdapter.make({
        info: { name: "broken", where: "local", stop: "always" },
        execute: () => {
          throw new Error("no such method")
        }
      })
      const pool = AdapterPool.fallback([broken, worker("b").adapter])
      for (const chunk of [0, 1, 2]) {
        const exit = yield* Effect.exit(run(pool, attempt(chunk)))
        assert.match(Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "", /no such method/)
      }
      assert.strictEqual(yield* run(pool, attempt(3)), "b")
    })
  )

  it.effect("fails as its adapters do when all of them are sick: nobody waits for nothing", () =>
    Effect.gen(function* () {
      const pool = AdapterPool.overflow([worker("a", fails(lost)).adapter, worker("b", fails(lost)).adapter])
      for (let chunk = 0; chunk < 20; chunk++) assert.deepStrictEqual(yield* reasonOf(pool, attempt(chunk)), lost)
    })
  )

  it.effect("passes interruption on, waits until nothing is left, and goes on nowhere", () =>
    Effect.gen(function* () {
      const gone = yield* Deferred.make<void>()
      const stopping = worker("a", () => Effect.onInterrupt(Effect.never, () => Deferred.await(gone)))
      const b = worker("b")
      const pool = AdapterPool.fallback([stopping.adapter, b.adapter])
      const running = yield* start(pool, attempt(0))
      const stopped = yield* Effect.forkChild(Fiber.interrupt(running))
      yield* settle
      assert.isUndefined(stopped.pollUnsafe())
      yield* Deferred.succeed(gone, undefined)
      yield* Fiber.join(stopped)
      const exit = yield* Fiber.await(running)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(b.attempts, [])
    })
  )

  it.effect("starts nothing more when it is interrupted as one is throttled", () =>
    Effect.gen(function* () {
      const b = worker("b", never)
      const a = worker("a", () => Effect.uninterruptible(Effect.andThen(Effect.sleep(100), Effect.fail(throttled(1)))))
      const pool = AdapterPool.fallback([a.adapter, b.adapter])
      const running = yield* start(pool, attempt(0))
      const stopped = yield* Effect.forkChild(Fiber.interrupt(running), { startImmediately: true })
      yield* TestClock.adjust(100)
      yield* Fiber.join(stopped)
      assert.deepStrictEqual([a.running(), b.running()], [0, 0])
    })
  )

  it.effect("passes on results, errors and signals as they are, but for whose handle it is", () =>
    Effect.gen(function* () {
      const told: Array<WorkerAdapter.WorkerSignal> = []
      const news: ReadonlyArray<WorkerAdapter.WorkerSignal> = [
        { _tag: "Heartbeat" },
        { _tag: "Frames", done: 3 },
        { _tag: "Line", stream: "stdout", text: "of:3" },
        { _tag: "NotStopped", detail: "it runs on" }
      ]
      const a = worker("a", (_, signal) => {
        for (const one of news) signal(one)
        return Effect.fail(failed)
      })
      const job = attempt(0)
      const pool = AdapterPool.overflow([a.adapter])
      const error = yield* Effect.flip(pool.execute(job, (signal) => told.push(signal)))
      assert.deepStrictEqual(error, WorkerAdapter.failure("a", job, failed))
      assert.deepStrictEqual(told, [{ _tag: "Assigned", workerId: "a", handle: "a:of film/0/1.1" }, ...news])
    })
  )

  it("needs an adapter", () => {
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => AdapterPool.overflow([]), TypeError, "AdapterPool.overflow: give it one adapter at least")
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => AdapterPool.fallback([]), TypeError, "AdapterPool.fallback: give it one adapter at least")
  })

  it.effect("counts an adapter that it is given twice once", () =>
    Effect.gen(function* () {
      const one = worker("one", never, { maxConcurrency: 1 })
      const pool = AdapterPool.overflow([one.adapter, one.adapter])
      assert.strictEqual(pool.info.maxConcurrency, 1)
      yield* start(pool, attempt(0))
      assert.strictEqual((yield* reasonOf(pool, attempt(1)))._tag, "Throttled")
    })
  )
})

describe("the info of a pool", () => {
  const of = (name: string, info: Partial<WorkerAdapter.WorkerAdapterInfo> = {}) =>
    worker(name, undefined, info).adapter

  it("adds up what its adapters can do, and promises what the weakest of them does", () => {
    const local = of("local", { concurrency: 4, heartbeats: true })
    const http = of("http", { where: "remote", stop: "best-effort", concurrency: 10, maxConcurrency: 20 })
    const lambda = of("lambda", { where: "remote", stop: "never", concurrency: 100, maxDuration: "15 minutes" })
    const { maxDuration, members, ...info } = AdapterPool.overflow([local, http, lambda]).info
    assert.deepStrictEqual(info, {
      name: "local+http+lambda",
      where: "remote",
      stop: "never",
      concurrency: 114,
      heartbeats: false
    })
    assert.deepStrictEqual(maxDuration, Duration.minutes(15))
    assert.deepStrictEqual(members, [local.info, http.info, lambda.info])
    assert.deepInclude(AdapterPool.overflow([lambda, http]).info, { concurrency: 110, maxConcurrency: 120 })
    assert.deepInclude(AdapterPool.overflow([local, http]).info, { stop: "best-effort", maxConcurrency: 24 })
    assert.deepInclude(AdapterPool.overflow([local]).info, { where: "local", stop: "always", heartbeats: true })
  })

  it("of one that falls back says what suits the first, and what all can take", () => {
    const first = of("first", { concurrency: 10, maxConcurrency: 20 })
    const second = of("second", { concurrency: 3 })
    assert.deepInclude(AdapterPool.fallback([first, second]).info, { concurrency: 10, maxConcurrency: 23 })
    assert.isUndefined(AdapterPool.fallback([second, first]).info.maxConcurrency)
  })

  it("has the name that it is given", () => {
    assert.strictEqual(AdapterPool.overflow([of("a")], { name: "render" }).info.name, "render")
  })

  it("takes an adapter that says nothing sensible for one that can do one thing at a time", () => {
    assert.strictEqual(AdapterPool.overflow([of("a", { concurrency: Number.NaN }), of("b")]).info.concurrency, 2)
    for (const maxConcurrency of [Number.NaN, 0, -1, 1.5]) {
      assert.strictEqual(AdapterPool.overflow([of("a"), of("b", { maxConcurrency })]).info.maxConcurrency, 2)
    }
  })
})

describe("what a pool's adapters left", () => {
  it.effect("goes to the adapter that made it, whatever its place and its pool are now", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const note = (signal: WorkerAdapter.WorkerSignal) => {
        if (signal._tag === "Assigned" && signal.handle !== undefined) told.push(signal.handle)
      }
      const before = ["local", "odd: 100%", "lambda"].map((name) => worker(name, never))
      const [local, odd, lambda] = before.map(({ adapter }) => adapter)
      if (local === undefined || odd === undefined || lambda === undefined) return
      const inner = AdapterPool.fallback([odd, lambda], { name: "inner" })
      const first = AdapterPool.overflow([local, inner])
      for (const chunk of [0, 1]) {
        yield* Effect.forkChild(first.execute(attempt(chunk), note), { startImmediately: true })
      }
      assert.deepStrictEqual(told, ["local:of film/0/1.1", "odd%3A 100%25:of film/1/1.1"])

      const after = ["lambda", "odd: 100%", "local"].map((name) => worker(name))
      const [a, b, c] = after.map(({ adapter }) => adapter)
      if (a === undefined || b === undefined || c === undefined) return
      const flat = AdapterPool.overflow([a, b, c])
      assert.deepStrictEqual(yield* flat.reap("film", [...told, "lambda:of film/2/1.1"]), { leftover: [] })
      assert.deepStrictEqual(
        after.map(({ reaped }) => reaped),
        [[["of film/2/1.1"]], [["of film/1/1.1"]], [["of film/0/1.1"]]]
      )
      const nested = AdapterPool.fallback([AdapterPool.overflow([AdapterPool.overflow([c, b])]), a])
      assert.deepStrictEqual(yield* nested.reap("film", told), { leftover: [] })
      assert.deepStrictEqual(after[2]?.reaped[1], ["of film/0/1.1"])
    })
  )

  it.effect("is looked for by every adapter: some find what has no handle yet", () =>
    Effect.gen(function* () {
      const [a, b] = [worker("a"), worker("b")]
      yield* AdapterPool.overflow([a.adapter, b.adapter]).reap("film", [])
      assert.deepStrictEqual([a.reaped, b.reaped], [[[]], [[]]])
    })
  )

  it.effect("goes to all that have the name of who made it: who does not know it leaves it alone", () =>
    Effect.gen(function* () {
      const [a, b] = [worker("lambda"), worker("lambda")]
      yield* AdapterPool.overflow([a.adapter, b.adapter]).reap("film", ["lambda:x"])
      assert.deepStrictEqual([a.reaped, b.reaped], [[["x"]], [["x"]]])
    })
  )

  it.effect("is reported where nobody here made it", () =>
    Effect.gen(function* () {
      const { leftover } = yield* AdapterPool.overflow([worker("a").adapter, worker("b").adapter]).reap("film", [
        "a:x",
        "gone:y",
        "from no pool",
        ""
      ])
      assert.deepStrictEqual(leftover, [
        `"gone:y" of an adapter that is none of a, b: it may still run`,
        `"from no pool" of an adapter that is none of a, b: it may still run`,
        `"" of an adapter that is none of a, b: it may still run`
      ])
    })
  )

  it.effect("is reported where one adapter fails to look, and the others' is all the same", () =>
    Effect.gen(function* () {
      const left = { ...worker("b").adapter, reap: () => Effect.succeed({ leftover: ["process 7"] }) }
      const fails: Adapter = {
        ...worker("a").adapter,
        reap: () => Effect.fail(WorkerAdapter.failure("a", attempt(0), lost))
      }
      const throws: Adapter = {
        ...worker("c").adapter,
        reap: () => {
          throw new Error("broken")
        }
      }
      const { leftover } = yield* AdapterPool.overflow([fails, left, throws]).reap("film", [])
      assert.deepStrictEqual(leftover, [
        "what a has of an earlier run could not be looked for, and may still run",
        "process 7",
        "what c has of an earlier run could not be looked for, and may still run"
      ])
    })
  )
})

describe("a job on a pool", () => {
  /** Two adapters over one disk, and others before them. */
  const pooled = (script: Fakes.Script, ...before: ReadonlyArray<Adapter>) => {
    const machine = Fakes.machine(script)
    const by: Array<string> = []
    const named = (name: string, concurrency: number): Adapter => ({
      ...machine.adapter,
      info: { ...machine.adapter.info, name, concurrency },
      execute: (job, signal) => {
        by.push(`${name} ${WorkerAdapter.chunkId(job) ?? "merge"}.${job.meta.attempt}`)
        return machine.adapter.execute(job, signal)
      }
    })
    const [first, ...others] = [...before, named("local", 2)]
    const pool = AdapterPool.overflow([first ?? named("local", 2), ...others, named("lambda", 3)])
    return { by, machine, services: Fakes.layerManager({ ...machine, adapter: pool }) }
  }

  it.effect("runs as many attempts at once as all adapters can, each where there is room", () => {
    const { by, machine, services } = pooled(() => Effect.sleep("1 second"))
    return Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      const { id } = yield* jobs.create(Fakes.job(10))
      const running = yield* Effect.forkChild(jobs.run(id))
      yield* pass("1500 millis")
      assert.strictEqual(machine.running(), 5)
      yield* pass("1 second")
      assert.strictEqual((yield* Fiber.join(running)).status, "completed")
      assert.strictEqual(machine.mostRunning(), 5)
      assert.strictEqual(by.filter((one) => one.startsWith("local")).length, 4)
    }).pipe(Effect.provide(services))
  })

  it.effect("is completed when one of the adapters never works, with one retry", () => {
    const dead = worker("dead", fails(lost), { concurrency: 50 })
    const { by, services } = pooled(() => Effect.sleep("1 second"), dead.adapter)
    return Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      const { id } = yield* jobs.create(Fakes.job(60))
      const running = yield* Effect.forkChild(jobs.run(id, { retries: 1 }))
      yield* pass("30 seconds", "250 millis")
      assert.strictEqual((yield* Fiber.join(running)).status, "completed")
      assert.strictEqual(by.length, 60)
    }).pipe(Effect.provide(services))
  })

  it.effect("waits until one takes attempts again when all are throttled, and counts none of it as tried", () => {
    let full = true
    const { by, services } = pooled(({ fail }) => (full ? fail(throttled(10_000)) : Effect.void))
    return Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      const { id } = yield* jobs.create(Fakes.job(20))
      const running = yield* Effect.forkChild(jobs.run(id, { retries: 0 }))
      yield* pass("9 seconds", "1 second")
      full = false
      assert.strictEqual(by.length, 2, "each adapter was asked once")
      yield* pass("2 seconds")
      assert.strictEqual((yield* Fiber.join(running)).status, "completed")
    }).pipe(Effect.provide(services))
  })

  it.effect("stops every attempt, wherever it runs, when it is cancelled", () => {
    const { machine, services } = pooled(() => Effect.never)
    return Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      const { id } = yield* jobs.create(Fakes.job(10))
      yield* jobs.start(id)
      yield* settle
      assert.strictEqual(machine.running(), 5)
      assert.strictEqual((yield* jobs.cancel(id)).status, "cancelled")
      assert.strictEqual(machine.running(), 0)
    }).pipe(Effect.provide(services))
  })
})
