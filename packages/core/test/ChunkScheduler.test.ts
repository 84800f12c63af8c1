import {
  ChunkScheduler,
  JobSpec,
  type OutputCheck,
  type WorkerAdapter,
  WorkerError,
  type Workspace
} from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Random, Schema, Stream } from "effect"
import * as Fakes from "./Fakes.ts"
import { pass, settle } from "./TestTime.ts"

const chunksOf = (count: number, command?: string) =>
  Effect.map(JobSpec.decode(Fakes.job(count)), (spec) =>
    JobSpec.chunksInOrder(spec).map((chunk) => (command === undefined ? chunk : { ...chunk, command }))
  )

interface Outcome {
  readonly events: Array<ChunkScheduler.ChunkEvent>
  readonly fiber: Fiber.Fiber<void, ChunkScheduler.ChunkFailed | Workspace.WorkspaceError>
}

/** Starts the scheduler on a machine and collects what it tells. */
const start = Effect.fnUntraced(function* (
  machine: Fakes.Machine,
  count: number,
  options: Partial<ChunkScheduler.Options> = {},
  command?: string,
  check?: OutputCheck.OutputCheck["Service"]["check"]
): Effect.fn.Return<Outcome> {
  const events: Array<ChunkScheduler.ChunkEvent> = []
  const chunks = yield* Effect.orDie(chunksOf(count, command))
  const fiber = yield* ChunkScheduler.run(chunks, { jobId: "job", run: 1, ...options }).pipe(
    Stream.runForEach((event) => Effect.sync(() => events.push(event))),
    Effect.provide(Fakes.layerWorker(machine, check)),
    // Half a jitter is no jitter: delays are exact.
    Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 }),
    Effect.forkChild
  )
  yield* settle
  return { events, fiber }
})

const failureOf = (fiber: Outcome["fiber"]) =>
  Effect.map(Effect.flip(Fiber.join(fiber)), (error) => {
    assert.instanceOf(error, ChunkScheduler.ChunkFailed)
    return error
  })

const tags = (events: ReadonlyArray<ChunkScheduler.ChunkEvent>) => events.map((event) => event._tag)
const startsOf = (machine: Fakes.Machine, chunkId: number) =>
  machine.attempts.filter((attempt) => attempt.chunkId === chunkId).map((attempt) => attempt.at)

describe("ChunkScheduler", () => {
  describe("order and concurrency", () => {
    it.effect("starts chunks in order, as many at once as it is told, and accepts each once", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId }) => Effect.sleep(Duration.seconds(3 - (chunkId % 3))))
        const { events, fiber } = yield* start(machine, 10, { concurrency: 3 })
        yield* pass("30 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(
          machine.attempts.map((attempt) => attempt.chunkId),
          [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        )
        assert.strictEqual(machine.mostRunning(), 3)
        const accepted = events.filter((event) => event._tag === "ChunkAccepted").map((event) => event.chunk)
        assert.deepStrictEqual(
          accepted.toSorted((a, b) => a - b),
          [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        )
      })
    )

    it.effect("ends at once when there is nothing to render", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const { events, fiber } = yield* start(machine, 3)
        yield* Fiber.join(fiber)
        assert.strictEqual(events.filter((event) => event._tag === "ChunkAccepted").length, 3)
        const none = ChunkScheduler.run([], { jobId: "job", run: 1 }).pipe(
          Stream.runCollect,
          Effect.provide(Fakes.layerWorker(machine))
        )
        assert.deepStrictEqual(yield* none, [])
      })
    )

    it.effect("gives every attempt a place of its own, and the job's folder, names and variables", () =>
      Effect.gen(function* () {
        const seen: Array<WorkerAdapter.WorkerJob> = []
        const machine = Fakes.machine(({ attempt, fail, job }) => {
          seen.push(job)
          return attempt === 1 ? fail(Fakes.reasonOf.lost) : Effect.void
        })
        const { fiber } = yield* start(machine, 1, { env: { SEED: "7" }, attemptTimeout: "1 minute" })
        yield* pass("2 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(
          seen.map((job) => job.id),
          ["job/0/1.1", "job/0/1.2"]
        )
        const places = seen.map((job) => (job.meta.output._tag === "File" ? job.meta.output.path : ""))
        assert.strictEqual(new Set(places).size, 2)
        assert.strictEqual(seen[0]?.cwd, "/job")
        assert.strictEqual(seen[0]?.outputFile, "part_0.mov")
        assert.deepStrictEqual(seen[0]?.env, { SEED: "7" })
        assert.strictEqual(seen[0]?.meta.deadlineMs, 60_000)
      })
    )
  })

  describe("trying again", () => {
    it.effect("waits twice as long each time, up to the cap", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt, fail }) => (attempt <= 5 ? fail(Fakes.reasonOf.failed) : Effect.void))
        const options = { retries: 5, retryDelay: "1 second", maxRetryDelay: "4 seconds" } as const
        const { events, fiber } = yield* start(machine, 1, options)
        yield* pass("20 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(startsOf(machine, 0), [0, 1000, 3000, 7000, 11000, 15000])
        const delays = events.flatMap((event) => (event._tag === "AttemptEnded" ? [event.retryInMs] : []))
        assert.deepStrictEqual(delays, [1000, 2000, 4000, 4000, 4000])
      })
    )

    for (const reason of [
      Fakes.reasonOf.failed,
      Fakes.reasonOf.lost,
      new WorkerError.Transport({ cause: new Error("reset") }),
      new WorkerError.TimedOut({ limit: "platform", afterMs: 1 }),
      new WorkerError.Stalled({ silentMs: 1, frames: 0 }),
      new WorkerError.OutputInvalid({ expected: "30 frames", found: "17 frames" })
    ]) {
      it.effect(`tries again after ${reason._tag}, as often as allowed, then says which chunk and why`, () =>
        Effect.gen(function* () {
          const machine = Fakes.machine(({ fail }) => fail(reason))
          const { fiber } = yield* start(machine, 1, { retries: 2 })
          yield* pass("10 seconds")
          const error = yield* failureOf(fiber)
          assert.strictEqual(machine.attempts.length, 3)
          assert.strictEqual(error.attempts, 3)
          assert.strictEqual(error.last.reason._tag, reason._tag)
          assert.match(error.message, /chunk 0 .*job job, attempt 3/s)
        })
      )
    }

    it.effect("never tries again what was refused", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ fail }) => fail(Fakes.reasonOf.refused))
        const { fiber } = yield* start(machine, 1)
        const error = yield* failureOf(fiber)
        assert.strictEqual(machine.attempts.length, 1)
        assert.match(error.message, /write a better one/)
      })
    )

    it.effect("gives the slot of a chunk that waits to another chunk", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt, chunkId, fail }) =>
          chunkId === 0 && attempt === 1 ? fail(Fakes.reasonOf.failed) : Effect.sleep("400 millis")
        )
        const { fiber } = yield* start(machine, 4, { concurrency: 1 })
        yield* pass("5 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(
          machine.attempts.map((attempt) => attempt.chunkId),
          [0, 1, 2, 3, 0]
        )
        assert.deepStrictEqual(startsOf(machine, 0), [0, 1200])
      })
    )

    it.effect("an adapter that throws is a lost worker, not a lost job", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt }) => {
          if (attempt === 1) throw new TypeError("undefined is not a function")
          return Effect.void
        })
        const { events, fiber } = yield* start(machine, 1)
        yield* pass("2 seconds")
        yield* Fiber.join(fiber)
        const ended = events.find((event) => event._tag === "AttemptEnded")
        assert.match(ended?.error?.message ?? "", /undefined is not a function/)
      })
    )

    it.effect("an adapter that interrupts itself is a lost worker", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt }) => (attempt === 1 ? Effect.interrupt : Effect.void))
        const { fiber } = yield* start(machine, 1)
        yield* pass("2 seconds")
        yield* Fiber.join(fiber)
        assert.strictEqual(machine.attempts.length, 2)
      })
    )

    it.effect("a command that does not name its output is not tried again while it may still run", () =>
      Effect.gen(function* () {
        const script: Fakes.Script = ({ fail, signal }) => {
          signal({ _tag: "NotStopped", detail: "pid 7" })
          return fail(Fakes.reasonOf.lost)
        }
        const nameless = yield* start(Fakes.machine(script), 1, {}, "render-all")
        assert.strictEqual((yield* failureOf(nameless.fiber)).attempts, 1)
        const named = yield* start(Fakes.machine(script), 1, { retries: 1 })
        yield* pass("3 seconds")
        assert.strictEqual((yield* failureOf(named.fiber)).attempts, 2)
      })
    )
  })

  describe("throttling", () => {
    it.effect("waits as long as the platform says, and does not count", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt, fail }) =>
          attempt <= 6 ? fail(Fakes.reasonOf.throttled(500)) : Effect.void
        )
        const { fiber } = yield* start(machine, 1, { retries: 0 })
        yield* pass("5 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(startsOf(machine, 0), [0, 500, 1000, 1500, 2000, 2500, 3000])
      })
    )

    it.effect("comes back later each time where the platform says at once, and is full again", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ fail }) => fail(Fakes.reasonOf.throttled(0)))
        const { fiber } = yield* start(machine, 1)
        yield* pass("1 minute")
        assert.isAtMost(machine.attempts.length, 8)
        yield* Fiber.interrupt(fiber)
      })
    )

    it.effect("keeps the slot, so that a full platform is not asked for every chunk in turn", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ fail }) => fail(Fakes.reasonOf.throttled(1000)))
        const { fiber } = yield* start(machine, 1000, { concurrency: 2 })
        yield* pass("10 seconds")
        assert.isAtMost(machine.attempts.length, 22)
        yield* Fiber.interrupt(fiber)
      })
    )

    it.effect("gives a chunk that is throttled late its whole time", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt, chunkId, fail }) => {
          if (chunkId === 0) return Effect.sleep("40 minutes")
          if (attempt === 1) return Effect.delay(fail(Fakes.reasonOf.lost), "16 minutes")
          return attempt === 2 ? fail(Fakes.reasonOf.throttled()) : Effect.void
        })
        const { fiber } = yield* start(machine, 2, { concurrency: 2 })
        yield* pass("41 minutes", "1 second")
        yield* Fiber.join(fiber)
      })
    )

    it.effect("waits no longer than it would repeat it, whatever the platform says", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ fail }) => fail(Fakes.reasonOf.throttled(24 * 3600_000)))
        const { fiber } = yield* start(machine, 1)
        yield* pass("16 minutes", "10 seconds")
        assert.strictEqual((yield* failureOf(fiber)).last.reason._tag, "Throttled")
      })
    )

    it.effect("gives up when nothing succeeded for too long", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ fail }) => fail(Fakes.reasonOf.throttled(60_000)))
        const { fiber } = yield* start(machine, 1)
        yield* pass("20 minutes", "20 seconds")
        const error = yield* failureOf(fiber)
        assert.strictEqual(error.last.reason._tag, "Throttled")
        assert.strictEqual(startsOf(machine, 0).at(-1), 15 * 60_000)
      })
    )
  })

  describe("limits", () => {
    it.effect("stops an attempt that takes too long, and tries again", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt }) => Effect.sleep(attempt === 1 ? "1 hour" : "1 second"))
        const { events, fiber } = yield* start(machine, 1, { attemptTimeout: "10 seconds" })
        yield* pass("13 seconds")
        yield* Fiber.join(fiber)
        const ended = events.find((event) => event._tag === "AttemptEnded")
        assert.strictEqual(ended?.error?.reason._tag, "TimedOut")
        assert.deepStrictEqual(startsOf(machine, 0), [0, 11_000])
        assert.deepStrictEqual(
          machine.attempts.map((attempt) => attempt.ended),
          ["interrupted", "done"]
        )
      })
    )

    it.effect("gives each attempt its own time", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.sleep("9 seconds"))
        const { fiber } = yield* start(machine, 6, { attemptTimeout: "10 seconds", concurrency: 2 })
        yield* pass("30 seconds")
        yield* Fiber.join(fiber)
        assert.strictEqual(machine.attempts.length, 6)
      })
    )

    it.effect("stops an attempt that gives no sign of life, but not a slow one that does", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt, chunkId, signal }) => {
          if (chunkId === 0 && attempt === 1) return Effect.never
          let done = 0
          return Effect.sync(() => signal({ _tag: "Frames", done: ++done })).pipe(
            Effect.delay("2 seconds"),
            Effect.repeat({ times: 9 }),
            Effect.asVoid
          )
        })
        const { events, fiber } = yield* start(machine, 2, { stallTimeout: "5 seconds", concurrency: 2 })
        yield* pass("40 seconds")
        yield* Fiber.join(fiber)
        const ended = events.filter((event) => event._tag === "AttemptEnded")
        assert.deepStrictEqual(
          ended.map((event) => [event.chunk, event.error?.reason._tag]),
          [[0, "Stalled"]]
        )
      })
    )

    it.effect("counts the time of the output check", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const { fiber } = yield* start(
          machine,
          1,
          { retries: 0, attemptTimeout: "5 seconds" },
          undefined,
          () => Effect.never
        )
        yield* pass("6 seconds")
        assert.strictEqual((yield* failureOf(fiber)).last.reason._tag, "TimedOut")
      })
    )
  })

  describe("what counts as rendered", () => {
    it.effect("an output that is missing or empty is tried again", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt }) =>
          Effect.succeed(attempt === 1 ? ("missing" as const) : attempt === 2 ? { bytes: 0 } : { bytes: 9 })
        )
        const { events, fiber } = yield* start(machine, 1)
        yield* pass("5 seconds")
        yield* Fiber.join(fiber)
        const found = events.flatMap((event) =>
          event._tag === "AttemptEnded" && event.error?.reason._tag === "OutputInvalid"
            ? [event.error.reason.found]
            : []
        )
        assert.deepStrictEqual(found, ["no output", "an empty file"])
      })
    )

    it.effect("an output with the wrong number of frames is not accepted", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.succeed({ frames: 7 }))
        const { fiber } = yield* start(machine, 1, { retries: 0 })
        const error = yield* failureOf(fiber)
        assert.match(error.message, /expected 10 frames, found 7 frames/)
      })
    )

    it.effect("the first accepted chunk says what the others must be", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ attempt, chunkId }) =>
          Effect.succeed({
            format: { width: 64, pixelFormat: chunkId === 2 && attempt === 1 ? "yuv444p" : "yuv420p" }
          })
        )
        const { events, fiber } = yield* start(machine, 4, { concurrency: 1, format: { width: 64 } })
        yield* pass("5 seconds")
        yield* Fiber.join(fiber)
        const ended = events.filter((event) => event._tag === "AttemptEnded")
        assert.strictEqual(ended.length, 1)
        assert.match(ended[0]?.error?.message ?? "", /expected pixelFormat yuv420p.*found pixelFormat yuv444p/)
      })
    )

    it.effect("what the job says of the picture holds for the first chunk too", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(() => Effect.succeed({ format: { width: 32 } }))
        const { fiber } = yield* start(machine, 1, { retries: 0, format: { width: 64 } })
        assert.match((yield* failureOf(fiber)).message, /expected width 64.*found width 32/)
      })
    )
  })

  describe("stopping", () => {
    it.effect("fails fast: the first chunk that is given up stops the others before the failure is told", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId, fail }) =>
          chunkId === 1 ? Effect.delay(fail(Fakes.reasonOf.refused), "1 second") : Effect.sleep("1 hour")
        )
        const { events, fiber } = yield* start(machine, 10, { concurrency: 3 })
        yield* pass("1 second")
        assert.strictEqual((yield* failureOf(fiber)).chunkId, 1)
        assert.strictEqual(machine.running(), 0)
        assert.strictEqual(machine.attempts.length, 3)
        const ended = events.filter((event) => event._tag === "AttemptEnded").map((event) => [event.chunk, event.how])
        assert.deepStrictEqual(
          ended.toSorted(([a = 0], [b = 0]) => Number(a) - Number(b)),
          [
            [0, "interrupted"],
            [1, "failed"],
            [2, "interrupted"]
          ]
        )
      })
    )

    it.effect("halt stops what runs, tells it, and ends the stream", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId }) => Effect.sleep(chunkId === 0 ? "1 second" : "1 hour"))
        const halt = yield* Deferred.make<void>()
        const { events, fiber } = yield* start(machine, 5, { concurrency: 2, halt: Deferred.await(halt) })
        yield* pass("2 seconds")
        yield* Deferred.succeed(halt, undefined)
        yield* Fiber.join(fiber)
        assert.strictEqual(machine.running(), 0)
        assert.deepStrictEqual(tags(events), [
          "AttemptStarted",
          "AttemptStarted",
          "ChunkAccepted",
          "AttemptStarted",
          "AttemptEnded",
          "AttemptEnded"
        ])
      })
    )

    it.effect("a reader that goes away stops everything, also what waits to be tried again", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ chunkId, fail }) =>
          chunkId === 0 ? fail(Fakes.reasonOf.failed) : Effect.sleep("1 hour")
        )
        const { fiber } = yield* start(machine, 2, { concurrency: 2 })
        yield* Fiber.interrupt(fiber)
        yield* pass("1 minute", "10 seconds")
        assert.strictEqual(machine.running(), 0)
        assert.strictEqual(machine.attempts.length, 2)
      })
    )

    it.effect("waits for an attempt that takes its time to stop, and says what could not be stopped", () =>
      Effect.gen(function* () {
        const stopped = yield* Deferred.make<void>()
        const machine = Fakes.machine(({ signal }) =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.andThen(
              Deferred.await(stopped),
              Effect.sync(() => signal({ _tag: "NotStopped", detail: "request r-1" }))
            )
          )
        )
        const halt = yield* Deferred.make<void>()
        const { events, fiber } = yield* start(machine, 1, { halt: Deferred.await(halt) })
        yield* Deferred.succeed(halt, undefined)
        yield* pass("2 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* Deferred.succeed(stopped, undefined)
        yield* Fiber.join(fiber)
        const ended = events.find((event) => event._tag === "AttemptEnded")
        assert.strictEqual(ended?.how, "not-stopped")
        assert.strictEqual(ended?.detail, "request r-1")
      })
    )

    it.effect("an attempt that ends while it is stopped ends once", () =>
      Effect.gen(function* () {
        for (const first of ["attempt", "halt"]) {
          const done = yield* Deferred.make<void>()
          const halt = yield* Deferred.make<void>()
          const machine = Fakes.machine(() => Deferred.await(done))
          const { events, fiber } = yield* start(machine, 1, { halt: Deferred.await(halt) })
          const both = [Deferred.succeed(done, undefined), Deferred.succeed(halt, undefined)]
          yield* Effect.all(first === "attempt" ? both : both.toReversed())
          yield* Fiber.join(fiber)
          assert.strictEqual(tags(events).length, 2)
          const accepted = tags(events)[1] === "ChunkAccepted"
          assert.strictEqual(accepted, machine.attempts[0]?.ended === "done")
        }
      })
    )
  })

  describe("the reader", () => {
    it.effect("a reader that is stuck holds up new attempts", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine()
        const chunks = yield* chunksOf(5000)
        const fiber = yield* ChunkScheduler.run(chunks, { jobId: "job", run: 1, concurrency: 10 }).pipe(
          Stream.runForEachArray(() => Effect.never),
          Effect.provide(Fakes.layerWorker(machine)),
          Effect.forkChild
        )
        yield* pass("10 seconds", "1 second")
        assert.isBelow(machine.attempts.length, 400)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(machine.running(), 0)
      })
    )

    it.effect("a reader that is stuck holds up throttled attempts too", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ fail }) => fail(Fakes.reasonOf.throttled(10)))
        const fiber = yield* ChunkScheduler.run(yield* chunksOf(5), { jobId: "job", run: 1, concurrency: 5 }).pipe(
          Stream.runForEachArray(() => Effect.never),
          Effect.provide(Fakes.layerWorker(machine)),
          Effect.forkChild
        )
        yield* pass("10 seconds", "10 millis")
        assert.isBelow(machine.attempts.length, 400)
        yield* Fiber.interrupt(fiber)
      })
    )

    it.effect("hears nothing of an attempt that has ended", () =>
      Effect.gen(function* () {
        let late: (() => void) | undefined
        const machine = Fakes.machine(({ chunkId, signal }) => {
          if (chunkId === 0) late = () => signal({ _tag: "Assigned", workerId: "w" })
          return chunkId === 0 ? Effect.void : Effect.sync(() => late?.())
        })
        const { events, fiber } = yield* start(machine, 2, { concurrency: 1 })
        yield* Fiber.join(fiber)
        assert.notInclude(tags(events), "AttemptAssigned")
      })
    )

    it.effect("hears of lines, frames and handles; the last lines are in the attempt's last event, bounded", () =>
      Effect.gen(function* () {
        const machine = Fakes.machine(({ signal }) =>
          Effect.sync(() => {
            signal({ _tag: "Assigned", workerId: "w", handle: "h" })
            for (let i = 0; i < 10_000; i++) signal({ _tag: "Line", stream: "stdout", text: `line ${i}` })
            signal({ _tag: "Frames", done: 3 })
          })
        )
        const signals: Array<string> = []
        const { events, fiber } = yield* start(machine, 1, { onSignal: (_, __, signal) => signals.push(signal._tag) })
        yield* Fiber.join(fiber)
        assert.strictEqual(signals.length, 10_002)
        assert.deepStrictEqual(events[1], { _tag: "AttemptAssigned", chunk: 0, attempt: 1, workerId: "w", handle: "h" })
        const accepted = events.at(-1)
        assert(accepted?._tag === "ChunkAccepted")
        assert.isTrue(accepted.log?.endsWith("line 9999"))
        assert.isAtMost(accepted.log?.length ?? 0, 4096)
      })
    )
  })

  it.effect.prop(
    "whatever fails how often, whenever it is halted: every chunk is accepted once or the job fails, within every limit",
    [
      Schema.Array(
        Schema.Struct({
          failures: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
          millis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 900 }))
        })
      ).check(Schema.isMaxLength(12)),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 })),
      Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 })))
    ],
    ([plan, concurrency, retries, haltAfter]) =>
      Effect.gen(function* () {
        if (plan.length === 0) return
        const machine = Fakes.machine(({ attempt, chunkId, fail }) =>
          Effect.andThen(
            Effect.sleep(plan[chunkId]?.millis ?? 0),
            attempt <= (plan[chunkId]?.failures ?? 0) ? fail(Fakes.reasonOf.failed) : Effect.void
          )
        )
        const halt = haltAfter === null ? {} : { halt: Effect.sleep(haltAfter) }
        const options = { concurrency, retries, retryDelay: "100 millis", ...halt } as const
        const { events, fiber } = yield* start(machine, plan.length, options)
        yield* pass("15 seconds", "500 millis")
        const exit = yield* Fiber.await(fiber)
        assert.strictEqual(machine.running(), 0)
        assert.isAtMost(machine.mostRunning(), concurrency)
        for (const [id] of plan.entries()) assert.isAtMost(startsOf(machine, id).length, retries + 1)
        const accepted = events.flatMap((event) => (event._tag === "ChunkAccepted" ? [event.chunk] : []))
        assert.strictEqual(new Set(accepted).size, accepted.length)
        const hopeless = plan.some(({ failures }) => failures > retries)
        if (haltAfter === null) assert.strictEqual(Exit.isFailure(exit), hopeless)
        if (haltAfter === null && !hopeless) assert.strictEqual(accepted.length, plan.length)
        const started = events.filter((event) => event._tag === "AttemptStarted").length
        const ended = events.filter((event) => event._tag === "AttemptEnded" || event._tag === "ChunkAccepted").length
        assert.strictEqual(ended, started, "every attempt that started has ended")
      }),
    { timeout: 60_000 }
  )
})
