import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage, StorageMiddleware, Telemetry } from "@helios-infra/core"
import { FakeArtifactStorage } from "@helios-infra/testkit"
import { Effect, Exit, Fiber, Metric, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { logged, metricsOf } from "./Observed.ts"
import { settle } from "./TestTime.ts"

type Storage = ArtifactStorage.ArtifactStorage["Service"]

const bytes = (...lengths: ReadonlyArray<number>) =>
  Stream.fromIterable(lengths.map((length) => new Uint8Array(length))).pipe(Stream.rechunk(1))

const fake = Effect.map(FakeArtifactStorage.make(), ({ storage }) => storage)

const broken = (key: string) =>
  new ArtifactStorage.ArtifactError({ key, reason: "Unavailable", cause: new Error("on fire") })

/** All that there is to do with a storage, some of it in vain. */
const everything = (storage: Storage) =>
  Effect.gen(function* () {
    yield* storage.put("a/1", bytes(3, 4))
    yield* storage.put("a/2", bytes(5))
    const again = yield* Effect.exit(storage.put("a/1", bytes(1), { ifAbsent: true }))
    const read = yield* Stream.runCollect(storage.get("a/1", { from: 2 }))
    const none = yield* Effect.exit(Stream.runDrain(storage.get("nothing")))
    const list = yield* Stream.runCollect(storage.list("a/"))
    const url = yield* storage.url("a/1", { method: "GET", expires: "1 minute" })
    const size = Option.map(yield* storage.head("a/1"), ({ bytes }) => bytes)
    yield* storage.delete(["a/1", "a/2"])
    return [
      Exit.isFailure(again),
      read.reduce((sum, { length }) => sum + length, 0),
      Exit.isFailure(none),
      list.map(({ key }) => key).toSorted(),
      typeof url,
      size,
      yield* storage.head("a/1")
    ]
  })

describe("StorageMiddleware.around", () => {
  it.effect("sees every operation and its key, and what comes of it is the same", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const note = ({ key, operation }: StorageMiddleware.Call) => Effect.sync(() => seen.push(`${operation} ${key}`))
      const around = StorageMiddleware.around({
        effect: (operation, call) => Effect.andThen(note(call), operation),
        stream: (content, call) => Stream.onStart(content, note(call))
      })
      const expected = yield* everything(yield* fake)
      assert.deepStrictEqual(yield* everything(around(yield* fake)), expected)
      assert.deepStrictEqual(seen, [
        "put a/1",
        "put a/2",
        "put a/1",
        "get a/1",
        "get nothing",
        "list a/",
        "url a/1",
        "head a/1",
        "delete a/1",
        "head a/1"
      ])
    })
  )

  it.effect("passes on what the body of a put fails with, whatever it is", () =>
    Effect.gen(function* () {
      const storage = StorageMiddleware.metrics()(StorageMiddleware.limitTime("1 minute")(yield* fake))
      const body = Stream.concat(bytes(3), Stream.fail("out of paint" as const))
      assert.strictEqual(yield* Effect.flip(storage.put("a", body)), "out of paint")
      assert.isTrue(Option.isNone(yield* storage.head("a")))
    })
  )

  it.effect("goes around the storage of a layer, the last outermost", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const note = (name: string) =>
        StorageMiddleware.around({
          effect: (operation) => {
            order.push(name)
            return operation
          }
        })
      const layer = FakeArtifactStorage.layer().pipe(StorageMiddleware.onLayer(note("inner"), note("outer")))
      yield* Effect.provide(
        ArtifactStorage.ArtifactStorage.use(({ head }) => head("a")),
        layer
      )
      assert.deepStrictEqual(order, ["outer", "inner"])
    })
  )
})

describe("StorageMiddleware.logging", () => {
  it.effect("warns of what failed, and tells the rest to those who want to know", () =>
    Effect.gen(function* () {
      const good = StorageMiddleware.logging()(yield* fake)
      const bad = StorageMiddleware.logging()({
        ...good,
        head: (key) => Effect.fail(broken(key)),
        list: (prefix) => Stream.fail(broken(prefix))
      })
      assert.deepStrictEqual(yield* logged(everything(good)), [])
      const told = yield* logged(everything(good), "Debug")
      assert.deepStrictEqual(told.slice(0, 5), [
        "Debug storage operation completed operation=put key=a/1 durationMs=0",
        "Debug storage operation completed operation=put key=a/2 durationMs=0",
        "Debug storage operation Exists operation=put key=a/1 durationMs=0",
        "Debug storage operation completed operation=get key=a/1 durationMs=0",
        "Debug storage operation NotFound operation=get key=nothing durationMs=0"
      ])
      const failed = yield* logged(Effect.andThen(Effect.exit(bad.head("a")), Stream.runDrain(bad.list("b/"))))
      assert.strictEqual(failed.length, 2)
      assert.match(
        failed[0] ?? "",
        /^Warn storage operation failed: Unavailable: ArtifactError: .*on fire operation=head key=a/
      )
      assert.match(failed[1] ?? "", /operation=list key=b\//)
    })
  )

  it.effect("never tells a URL, which is a secret", () =>
    Effect.gen(function* () {
      const storage = StorageMiddleware.logging()(yield* fake)
      yield* storage.put("a", bytes(1))
      let url = "none"
      const told = yield* logged(
        Effect.map(storage.url("a", { method: "GET", expires: "1 minute" }), (made) => (url = made)),
        "Debug"
      )
      assert.isFalse(told.some((line) => line.includes(url)))
    })
  )
})

describe("StorageMiddleware.metrics", () => {
  it.effect("counts operations by how they ended, and bytes", () =>
    Effect.gen(function* () {
      const storage = StorageMiddleware.metrics({ bucket: "films" })(yield* fake)
      const told = yield* metricsOf(
        Effect.gen(function* () {
          yield* everything(storage)
          yield* storage.put("b", bytes(2, 2, 2))
          yield* Stream.runDrain(Stream.take(storage.get("b"), 1))
          const stuck = yield* Effect.forkChild(storage.put("c", Stream.never))
          yield* settle
          yield* Fiber.interrupt(stuck)
        })
      )
      const ended = (operation: string, how: string) =>
        `helios.storage.operation.duration{bucket=films,${how},helios.storage.operation=${operation},unit=ms}`
      for (const line of [
        `${ended("put", "helios.outcome=completed")} 3`,
        `${ended("put", "error.type=Exists,helios.outcome=failed")} 1`,
        `${ended("put", "helios.outcome=interrupted")} 1`,
        `${ended("get", "helios.outcome=completed")} 2`,
        `${ended("get", "error.type=NotFound,helios.outcome=failed")} 1`,
        `${ended("list", "helios.outcome=completed")} 1`,
        "helios.storage.operation.active{bucket=films,helios.storage.operation=get,unit={operations}} 0",
        "helios.storage.transferred{bucket=films,helios.storage.operation=put,unit=By} 18"
      ]) {
        assert.include(told, line)
      }
    })
  )

  it.effect("counts a stream from when it is first read until it ends", () =>
    Effect.gen(function* () {
      const slow: Storage = {
        ...(yield* fake),
        get: () => Stream.concat(bytes(4), Stream.drain(Stream.fromEffect(Effect.sleep("3 seconds"))))
      }
      const reading = StorageMiddleware.metrics()(slow).get("a")
      const of = { [StorageMiddleware.operationAttribute]: "get" }
      const running = Metric.withAttributes(StorageMiddleware.operationsActive, of)
      assert.strictEqual((yield* Metric.value(running)).count, 0)
      const fiber = yield* Effect.forkChild(Stream.runDrain(reading))
      yield* settle
      assert.strictEqual((yield* Metric.value(running)).count, 1)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(fiber)
      const took = { ...of, [Telemetry.attributes.outcome]: "completed" }
      assert.deepInclude(yield* Metric.value(Metric.withAttributes(StorageMiddleware.operationDuration, took)), {
        count: 1,
        sum: 3_000
      })
      assert.strictEqual((yield* Metric.value(running)).count, 0)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})

describe("StorageMiddleware.limitConcurrency", () => {
  it.effect("lets no more operations through at once, streams for as long as they are read", () =>
    Effect.gen(function* () {
      const storage = StorageMiddleware.limitConcurrency(1)({ ...(yield* fake), get: () => Stream.never })
      const reading = yield* Effect.forkChild(Stream.runDrain(storage.get("a")))
      const storing = yield* Effect.forkChild(storage.put("b", bytes(1)))
      yield* settle
      assert.isUndefined(storing.pollUnsafe())
      yield* Fiber.interrupt(reading)
      assert.strictEqual((yield* Fiber.join(storing)).bytes, 1)
      const stuck = yield* Effect.forkChild(Effect.timeoutOption(Stream.runDrain(storage.get("a")), "1 second"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stuck)
      assert.isTrue(Option.isSome(yield* storage.head("b")))
    })
  )
})

describe("StorageMiddleware.limitRate", () => {
  it.effect("lets at most so many operations begin in so much time, streams when they are read", () =>
    Effect.gen(function* () {
      const storage = StorageMiddleware.limitRate({ most: 2, per: "1 second" })(yield* fake)
      const unread = [storage.get("a"), storage.get("a"), storage.get("a")]
      const all = yield* Effect.forkChild(Effect.all([storage.head("a"), storage.head("a"), storage.head("a")]))
      yield* settle
      assert.isUndefined(all.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(all)
      assert.strictEqual(unread.length, 3)
    })
  )
})

describe("StorageMiddleware.limitTime", () => {
  const timedOut = <A>(operation: Effect.Effect<A, ArtifactStorage.ArtifactError>) =>
    Effect.gen(function* () {
      const running = yield* Effect.forkChild(Effect.flip(operation))
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(running.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error.reason, "Unavailable")
      assert.include(error.message, "the storage did nothing for 10s")
    })

  it.effect("stops an operation when the storage does nothing for so long", () =>
    Effect.gen(function* () {
      const good = yield* fake
      const storage = StorageMiddleware.limitTime("10 seconds")({
        ...good,
        head: () => Effect.never,
        get: () => Stream.concat(bytes(1), Stream.never),
        put: (_, body) => Effect.andThen(Stream.runDrain(Stream.take(body, 1)), Effect.never)
      })
      yield* timedOut(storage.head("a"))
      yield* timedOut(Stream.runDrain(storage.get("a")))
      yield* timedOut(storage.put("a", bytes(1, 2)))
    })
  )

  it.effect("does not count time in which the storage waits for others", () =>
    Effect.gen(function* () {
      const storage = StorageMiddleware.limitTime("10 seconds")(yield* fake)
      const slowly = Stream.tap(bytes(1, 2, 3), () => Effect.sleep("1 minute"))
      const storing = yield* Effect.forkChild(storage.put("a", slowly))
      for (let minute = 0; minute < 3; minute++) yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(storing)).bytes, 6)
      const reading = yield* Effect.forkChild(Stream.runForEach(storage.get("a"), () => Effect.sleep("1 minute")))
      for (let minute = 0; minute < 6; minute++) yield* TestClock.adjust("1 minute")
      yield* Fiber.join(reading)
    })
  )
})
