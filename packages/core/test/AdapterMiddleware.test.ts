import { assert, describe, it } from "@effect/vitest"
import {
  AdapterMiddleware,
  AdapterPool,
  StitcherMiddleware,
  StorageMiddleware,
  Telemetry,
  WorkerAdapter,
  WorkerError
} from "@helios-infra/core"
import { Cause, Clock, Duration, Effect, Exit, Fiber, Layer, Metric } from "effect"
import { TestClock } from "effect/testing"
import * as Fakes from "./Fakes.ts"
import { logged, metricsOf } from "./Observed.ts"
import { settle } from "./TestTime.ts"

type Adapter = WorkerAdapter.WorkerAdapter["Service"]

const { failed, lost, throttled } = Fakes.reasonOf
const result: WorkerAdapter.WorkerResult = { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }

const job = (chunkId = 7): WorkerAdapter.WorkerJob => ({
  id: `film/${chunkId}/1.2`,
  command: "render",
  meta: {
    _tag: "Chunk",
    jobId: "film",
    run: 1,
    attempt: 2,
    output: { _tag: "File", path: "/job/7.mov" },
    chunkId,
    startFrame: 0,
    frameCount: 10,
    format: {}
  }
})

const adapterOf = (
  execute: Adapter["execute"] = () => Effect.succeed(result),
  info: Partial<WorkerAdapter.WorkerAdapterInfo> = {}
): Adapter => WorkerAdapter.make({ info: { name: "farm", where: "local", stop: "always", ...info }, execute })

const failing = (reason: WorkerError.WorkerReason): Adapter =>
  adapterOf((job) => Effect.fail(WorkerAdapter.failure("farm", job, reason)))

const run = (adapter: Adapter, chunkId?: number) => adapter.execute(job(chunkId), () => {})

describe("AdapterMiddleware.around", () => {
  it.effect("sees each attempt's job, signals and end, and may change them", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const inner = adapterOf((job, signal) => {
        signal({ _tag: "Frames", done: 3 })
        return Effect.succeed({ ...result, stdout: job.command })
      })
      const around = AdapterMiddleware.around(
        (execute, info) => (job, signal) =>
          execute({ ...job, command: `nice ${job.command}` }, (said) => {
            seen.push(`${info.name} ${said._tag}`)
            signal(said)
          }).pipe(Effect.map((result) => ({ ...result, stderr: "seen" })))
      )
      const told: Array<WorkerAdapter.WorkerSignal> = []
      const ended = yield* around(inner).execute(job(), (signal) => told.push(signal))
      assert.deepStrictEqual(ended, { ...result, stdout: "nice render", stderr: "seen" })
      assert.deepStrictEqual([seen, told], [["farm Frames"], [{ _tag: "Frames", done: 3 }]])
    })
  )

  it.effect("leaves what the adapter says of itself, and what it reaps, to the adapter", () =>
    Effect.gen(function* () {
      class Farm {
        readonly info: WorkerAdapter.WorkerAdapterInfo = { name: "farm", where: "remote", stop: "never" }
        readonly #left = ["process 7"]
        execute = () => Effect.succeed(result)
        reap(_: string, handles: ReadonlyArray<string>) {
          return Effect.succeed({ leftover: [...this.#left, ...handles] })
        }
      }
      const farm = new Farm()
      const wrapped = AdapterMiddleware.around((execute) => execute)(farm)
      assert.deepStrictEqual(wrapped.info, farm.info)
      assert.deepStrictEqual(yield* wrapped.reap("film", ["a"]), { leftover: ["process 7", "a"] })
    })
  )

  it.effect("takes what an adapter throws for the end of its attempt", () =>
    Effect.gen(function* () {
      const broken = adapterOf(() => {
        throw new Error("no such method")
      })
      const seen: Array<string> = []
      const around = AdapterMiddleware.around(
        (execute) => (job, signal) =>
          Effect.onExit(execute(job, signal), (exit) => Effect.sync(() => seen.push(exit._tag)))
      )
      const exit = yield* Effect.exit(run(around(broken)))
      assert.match(Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "", /no such method/)
      assert.deepStrictEqual(seen, ["Failure"])
    })
  )

  it.effect("goes around the adapter of a layer, the last outermost", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const note = (name: string) =>
        AdapterMiddleware.around((execute) => (job, signal) => {
          order.push(name)
          return execute(job, signal)
        })
      const layer = Layer.succeed(WorkerAdapter.WorkerAdapter, adapterOf()).pipe(
        AdapterMiddleware.onLayer(note("inner"), note("middle")),
        AdapterMiddleware.onLayer(note("outer"))
      )
      yield* Effect.provide(WorkerAdapter.WorkerAdapter.use(run), layer)
      assert.deepStrictEqual(order, ["outer", "middle", "inner"])
    })
  )
})

describe("AdapterMiddleware.named", () => {
  it.effect("renames an adapter in what it says of itself, its failures and its handles, and nobody else", () =>
    Effect.gen(function* () {
      const handles: Array<string> = []
      const farm = adapterOf((job, signal) => {
        signal({ _tag: "Assigned", handle: "x" })
        const by = WorkerAdapter.chunkId(job) === 1 ? "output-check" : "farm"
        return Effect.fail(WorkerAdapter.failure(by, job, failed))
      })
      const eu = AdapterMiddleware.named("eu")(farm)
      assert.strictEqual(eu.info.name, "eu")
      const error = yield* Effect.flip(run(eu))
      assert.deepStrictEqual(error, WorkerAdapter.failure("eu", job(), failed))
      assert.match(error.message, /attempt 2 on eu/)
      assert.strictEqual((yield* Effect.flip(run(eu, 1))).adapter, "output-check")
      yield* Effect.exit(
        AdapterPool.overflow([eu]).execute(job(), (said) => {
          if (said._tag === "Assigned") handles.push(said.handle ?? "")
        })
      )
      assert.deepStrictEqual(handles, ["eu:x"])
    })
  )
})

describe("AdapterMiddleware.logging", () => {
  const of = "adapter=farm job=film run=1 chunk=7 attempt=2"
  const lines = (adapter: Adapter, level?: "Debug" | "Info") => logged(run(AdapterMiddleware.logging()(adapter)), level)

  it.effect("tells how each attempt ends, and which it was", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* lines(adapterOf()), [`Info attempt done ${of}`])
      assert.deepStrictEqual(yield* lines(failing(lost)), [`Warn attempt failed: the worker was lost: gone ${of}`])
      assert.deepStrictEqual(yield* lines(failing(throttled(5))), [
        `Info attempt throttled: the platform takes no more work now, try again after 5 ms ${of}`
      ])
      assert.deepStrictEqual(yield* lines(adapterOf(() => Effect.interrupt)), [`Info attempt stopped ${of}`])
      assert.deepStrictEqual(yield* lines(adapterOf(() => Effect.die(new Error("broken")))), [
        `Warn attempt died: Error: broken ${of}`
      ])
    })
  )

  it.effect(
    "tells when it begins to those who want to know, and gives its annotations to what is logged meanwhile",
    () =>
      Effect.gen(function* () {
        const chatty = adapterOf(() => Effect.as(Effect.logInfo("hello"), result))
        assert.deepStrictEqual(yield* lines(chatty, "Debug"), [
          `Debug attempt begins ${of}`,
          `Info hello ${of}`,
          `Info attempt done ${of}`
        ])
      })
  )

  it.effect("tells what could not be stopped", () =>
    Effect.gen(function* () {
      const unstoppable = adapterOf((_, signal) =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => signal({ _tag: "NotStopped", detail: "who knows" })))
      )
      const told = yield* logged(
        Effect.gen(function* () {
          const running = yield* Effect.forkChild(run(AdapterMiddleware.logging()(unstoppable)))
          yield* settle
          yield* Fiber.interrupt(running)
        })
      )
      assert.deepStrictEqual(told, [`Info attempt stopped ${of}`, `Warn attempt runs on: who knows ${of}`])
    })
  )

  it.effect("calls the merge command by its name", () =>
    Effect.gen(function* () {
      const merge: WorkerAdapter.WorkerJob = {
        id: "film/merge/1.1",
        command: "merge",
        meta: { _tag: "Merge", jobId: "film", run: 1, attempt: 1, output: { _tag: "File", path: "/job" } }
      }
      const [line = ""] = yield* logged(AdapterMiddleware.logging()(adapterOf()).execute(merge, () => {}))
      assert.include(line, "chunk=merge")
    })
  )
})

describe("AdapterMiddleware.metrics", () => {
  it.effect("counts attempts by how they ended, and times them", () =>
    Effect.gen(function* () {
      const wrap = AdapterMiddleware.metrics({ region: "eu" })
      const told = yield* metricsOf(
        Effect.gen(function* () {
          const slow = wrap(adapterOf(() => Effect.as(Effect.sleep("2 seconds"), result)))
          const running = yield* Effect.forkChild(Effect.all([run(slow), run(slow)], { concurrency: 2 }))
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(running)
          for (const adapter of [failing(lost), failing(throttled()), adapterOf(() => Effect.die("x"))]) {
            yield* Effect.exit(run(wrap(adapter)))
          }
          const stopped = yield* Effect.forkChild(run(wrap(adapterOf(() => Effect.never))))
          yield* settle
          yield* Fiber.interrupt(stopped)
        })
      )
      const of = "helios.worker.adapter=farm,region=eu"
      const ended = (how: string) => `helios.adapter.attempt.duration{${how},${of},unit=ms}`
      for (const line of [
        `${ended("helios.outcome=completed")} 2`,
        `${ended("error.type=WorkerLost,helios.outcome=failed")} 1`,
        `${ended("error.type=Throttled,helios.outcome=failed")} 1`,
        `${ended("error.type=Defect,helios.outcome=failed")} 1`,
        `${ended("helios.outcome=interrupted")} 1`,
        `helios.adapter.attempt.active{${of},unit={attempts}} 0`
      ]) {
        assert.include(told, line)
      }
    })
  )

  it.effect("tells how many are under way, and how long those took that ended", () =>
    Effect.gen(function* () {
      const slow = AdapterMiddleware.metrics()(adapterOf(() => Effect.as(Effect.sleep("2 seconds"), result)))
      const running = yield* Effect.forkChild(run(slow), { startImmediately: true })
      const of = { [Telemetry.attributes.adapter]: "farm" }
      const active = Metric.withAttributes(AdapterMiddleware.attemptsActive, of)
      assert.strictEqual((yield* Metric.value(active)).count, 1)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(running)
      const took = Metric.withAttributes(AdapterMiddleware.attemptDuration, {
        ...of,
        [Telemetry.attributes.outcome]: "completed"
      })
      assert.deepInclude(yield* Metric.value(took), { count: 1, sum: 2_000 })
      assert.strictEqual((yield* Metric.value(active)).count, 0)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})

describe("AdapterMiddleware.limitConcurrency", () => {
  /** An adapter on which attempts take a second, with a limit. */
  const limited = (most: number, info: Partial<WorkerAdapter.WorkerAdapterInfo> = {}) => {
    let [running, mostRunning] = [0, 0]
    const adapter = adapterOf(
      () =>
        Effect.sync(() => (mostRunning = Math.max(mostRunning, ++running))).pipe(
          Effect.andThen(Effect.sleep("1 second")),
          Effect.ensuring(Effect.sync(() => running--)),
          Effect.as(result)
        ),
      info
    )
    return {
      adapter: AdapterMiddleware.limitConcurrency(most)(adapter),
      running: () => running,
      most: () => mostRunning
    }
  }

  it.effect("lets no more attempts through at once, whoever makes them, and all of them in the end", () =>
    Effect.gen(function* () {
      const { adapter, most } = limited(3)
      const all = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 10 }, (_, chunk) => run(adapter, chunk)),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* Fiber.join(all)).length, 10)
      assert.strictEqual(most(), 3)
    })
  )

  it.effect("says that the adapter takes no more", () =>
    Effect.sync(() => {
      assert.deepInclude(limited(3).adapter.info, { concurrency: 1, maxConcurrency: 3 })
      const { info } = limited(3, { concurrency: 100, maxConcurrency: 200 }).adapter
      assert.deepInclude(info, { concurrency: 3, maxConcurrency: 3 })
      assert.strictEqual(limited(300, { maxConcurrency: 200 }).adapter.info.maxConcurrency, 200)
    })
  )

  it.effect("lets whoever waits show that it lives, until it has its turn", () =>
    Effect.gen(function* () {
      const { adapter } = limited(1)
      const beats: Array<number> = []
      yield* Effect.forkChild(Effect.all([run(adapter), run(adapter), run(adapter)], { concurrency: 3 }))
      yield* settle
      const waiting = yield* Effect.forkChild(
        adapter.execute(job(), ({ _tag }) => void beats.push(_tag === "Heartbeat" ? 1 : 0))
      )
      for (let second = 0; second < 6; second++) yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
      assert.isAtLeast(beats.length, 2)
      assert.isAtMost(beats.length, 3)
    })
  )

  it.effect("keeps no place for an attempt that is interrupted, at work or while it waits", () =>
    Effect.gen(function* () {
      const { adapter, running } = limited(1)
      const [one, two] = [yield* Effect.forkChild(run(adapter)), yield* Effect.forkChild(run(adapter))]
      yield* settle
      yield* Fiber.interrupt(two)
      yield* Fiber.interrupt(one)
      assert.strictEqual(running(), 0)
      const next = yield* Effect.forkChild(run(adapter))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(next), result)
    })
  )

  it("takes whole numbers from 1", () => {
    for (const most of [0, -1, 1.5, Number.NaN, Infinity]) {
      assert.throws(() => AdapterMiddleware.limitConcurrency(most), RangeError, /most must be a whole number from 1/)
      assert.throws(() => AdapterMiddleware.limitRate({ most, per: "1 second" }), RangeError)
    }
  })

  it("take times of more than 0: no limit at all would come of what is no number", () => {
    for (const time of [0, -1, Number.NaN, "0 seconds"] as const) {
      assert.throws(() => AdapterMiddleware.limitRate({ most: 1, per: time }), RangeError, /per must be more than 0/)
      for (const { limitTime } of [AdapterMiddleware, StitcherMiddleware, StorageMiddleware]) {
        assert.throws(() => limitTime(time), RangeError, /limit must be more than 0/)
      }
    }
  })
})

describe("AdapterMiddleware.limitRate", () => {
  it.effect("lets at most so many attempts begin in whatever window one looks at", () =>
    Effect.gen(function* () {
      const begun: Array<number> = []
      const adapter = AdapterMiddleware.limitRate({ most: 3, per: "1 second" })(
        adapterOf(() =>
          Clock.currentTimeMillis.pipe(
            Effect.tap((now) => Effect.sync(() => begun.push(now))),
            Effect.as(result)
          )
        )
      )
      for (let chunk = 0; chunk < 8; chunk++) {
        yield* Effect.forkChild(run(adapter, chunk), { startImmediately: true })
        yield* TestClock.adjust(100)
      }
      for (let second = 0; second < 3; second++) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(begun, [0, 100, 200, 1000, 1100, 1200, 2000, 2100])
    })
  )

  it.effect("lets whoever waits show that it lives, and be interrupted", () =>
    Effect.gen(function* () {
      let beats = 0
      const adapter = AdapterMiddleware.limitRate({ most: 1, per: "1 minute" })(adapterOf())
      yield* run(adapter)
      const waiting = yield* Effect.forkChild(
        adapter.execute(job(), () => void beats++),
        { startImmediately: true }
      )
      for (let second = 0; second < 5; second++) yield* TestClock.adjust("1 second")
      assert.strictEqual(beats, 5)
      yield* Fiber.interrupt(waiting)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(beats, 5)
    })
  )
})

describe("AdapterMiddleware.limits", () => {
  it.effect("let nobody go past those who wait", () =>
    Effect.gen(function* () {
      const order: Array<number> = []
      const adapter = AdapterMiddleware.limitConcurrency(1)(
        adapterOf((job) =>
          Effect.andThen(
            Effect.sync(() => order.push(WorkerAdapter.chunkId(job) ?? -1)),
            Effect.as(Effect.sleep("1 second"), result)
          )
        )
      )
      const many = Effect.forEach([0, 0, 0], (chunk) => run(adapter, chunk))
      yield* Effect.forkChild(many, { startImmediately: true })
      yield* Effect.forkChild(run(adapter, 1), { startImmediately: true })
      for (let second = 0; second < 5; second++) yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(order, [0, 1, 0, 0])
    })
  )

  it.effect("keep no turn for who has gone", () =>
    Effect.gen(function* () {
      const adapter = AdapterMiddleware.limitRate({ most: 1, per: "1 minute" })(adapterOf())
      yield* run(adapter)
      const gone = yield* Effect.forEach([1, 2, 3], (chunk) =>
        Effect.forkChild(run(adapter, chunk), { startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interruptAll(gone)
      const next = yield* Effect.forkChild(run(adapter, 4), { startImmediately: true })
      yield* TestClock.adjust("58 seconds")
      assert.isUndefined(next.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.isDefined(next.pollUnsafe())
    })
  )
})

describe("AdapterMiddleware.limitTime", () => {
  it.effect("stops what takes longer, and says so", () =>
    Effect.gen(function* () {
      let stopped = false
      const adapter = AdapterMiddleware.limitTime("10 seconds")(
        adapterOf(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => (stopped = true))))
      )
      const running = yield* Effect.forkChild(Effect.flip(run(adapter)))
      yield* TestClock.adjust("10 seconds")
      const { adapter: name, reason } = yield* Fiber.join(running)
      assert.isTrue(stopped)
      assert.deepStrictEqual([name, reason], ["farm", new WorkerError.TimedOut({ limit: "attempt", afterMs: 10_000 })])
    })
  )

  it("says that the adapter takes no longer ones", () => {
    const ofInfo = (info: Partial<WorkerAdapter.WorkerAdapterInfo>) =>
      AdapterMiddleware.limitTime("10 minutes")(adapterOf(undefined, info)).info.maxDuration
    assert.deepStrictEqual(ofInfo({}), Duration.minutes(10))
    assert.deepStrictEqual(ofInfo({ maxDuration: "15 minutes" }), Duration.minutes(10))
    assert.deepStrictEqual(ofInfo({ maxDuration: "5 minutes" }), Duration.minutes(5))
  })
})
