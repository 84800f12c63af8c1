import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scheduler, Schema, Stream } from "effect"
import * as AcceptedPrefix from "../src/AcceptedPrefix.ts"
import type { ChunkOutput } from "../src/VideoStitcher.ts"
import { contended, Seed } from "./Contention.ts"
import { settle } from "./TestTime.ts"

const output = (index: number, attempt = 1): ChunkOutput => ({
  index,
  chunkId: 100 + index,
  attempt,
  frameCount: 10,
  location: `/out/${index}-${attempt}`,
  bytes: 1
})

/** A prefix, and what accepts a chunk of it. */
const prefixOf = (total: number) => {
  const accepted = new Map<number, ChunkOutput>()
  const prefix = AcceptedPrefix.make(total, (index) => accepted.get(index))
  const accept = (output: ChunkOutput): void => {
    accepted.set(output.index, output)
    prefix.grow()
  }
  return { ...prefix, accept }
}

const indices = (prefix: AcceptedPrefix.AcceptedPrefix) => Stream.map(prefix.outputs, ({ index }) => index)
const range = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i)

/** Reads along, and can tell at any time what it has. */
const follow = Effect.fnUntraced(function* (prefix: AcceptedPrefix.AcceptedPrefix) {
  const seen: Array<number> = []
  const fiber = yield* indices(prefix).pipe(
    Stream.runForEach((index) => Effect.sync(() => seen.push(index))),
    Effect.forkChild
  )
  return { seen, fiber }
})

/** An order in which chunks may be accepted: 1 to 12 of them, each with a place to sort by. */
const Order = Schema.NonEmptyArray(Schema.Finite).check(Schema.isMaxLength(12))
const orderOf = (keys: ReadonlyArray<number>): ReadonlyArray<number> =>
  keys
    .map((key, index) => ({ key, index }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ index }) => index)

describe("AcceptedPrefix", () => {
  it.effect.prop(
    "gives a reader what is accepted without a gap so far, in whatever order it comes",
    [Order],
    ([keys]) =>
      Effect.gen(function* () {
        const prefix = prefixOf(keys.length)
        const reader = yield* follow(prefix)
        const accepted = new Set<number>()
        for (const index of orderOf(keys)) {
          prefix.accept(output(index))
          accepted.add(index)
          yield* settle
          const gap = range(keys.length + 1).find((i) => !accepted.has(i))
          assert.deepStrictEqual(reader.seen, range(gap ?? 0))
          assert.strictEqual(prefix.read(), gap)
        }
        yield* Fiber.join(reader.fiber)
      })
  )

  it.effect.prop("gives every reader everything, whenever it comes", [Order, Seed], ([keys, seed]) =>
    Effect.gen(function* () {
      const prefix = prefixOf(keys.length)
      const readers = [yield* Effect.forkChild(Stream.runCollect(prefix.outputs))]
      for (const index of orderOf(keys)) {
        prefix.accept(output(index))
        readers.push(yield* Effect.forkChild(Stream.runCollect(prefix.outputs)))
        yield* Effect.yieldNow
      }
      const all = range(keys.length).map((index) => output(index))
      for (const reader of readers) assert.deepStrictEqual(yield* Fiber.join(reader), all)
      assert.deepStrictEqual(yield* Stream.runCollect(prefix.outputs), all)
    }).pipe(contended(seed))
  )

  it.effect("can be read again, by one stream as by another", () =>
    Effect.gen(function* () {
      const prefix = prefixOf(3)
      for (const index of [2, 0, 1]) prefix.accept(output(index))
      const { outputs } = prefix
      const first = yield* Stream.runCollect(outputs)
      assert.deepStrictEqual(yield* Stream.runCollect(outputs), first)
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.concat(outputs, prefix.outputs)), [...first, ...first])
    })
  )

  it.effect("ends at once when there are no chunks", () =>
    Effect.gen(function* () {
      const prefix = prefixOf(0)
      assert.deepStrictEqual(yield* Stream.runCollect(prefix.outputs), [])
      assert.strictEqual(prefix.read(), 0)
    })
  )

  it.effect("lets a reader that waits be interrupted, and the others read on", () =>
    Effect.gen(function* () {
      const prefix = prefixOf(2)
      prefix.accept(output(1))
      const gone = yield* follow(prefix)
      const stays = yield* follow(prefix)
      yield* settle
      yield* Fiber.interrupt(gone.fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(gone.fiber)))
      prefix.accept(output(0))
      yield* Fiber.join(stays.fiber)
      assert.deepStrictEqual(gone.seen, [])
      assert.deepStrictEqual(stays.seen, [0, 1])
    })
  )
})

/** Counts the steps of the fibers that it runs. */
class Counting extends Scheduler.MixedScheduler {
  steps = 0
  override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    this.steps++
    return super.shouldYield(fiber)
  }
}

describe("AcceptedPrefix while a reader waits", () => {
  it.effect("nothing is done", () =>
    Effect.gen(function* () {
      const scheduler = new Counting()
      const prefix = prefixOf(3)
      const reader = yield* Effect.forkChild(
        Effect.provideService(Stream.runDrain(prefix.outputs), Scheduler.Scheduler, scheduler)
      )
      prefix.accept(output(0))
      yield* settle
      prefix.accept(output(2))
      yield* settle
      const before = scheduler.steps
      assert.isAbove(before, 0)
      yield* settle
      assert.strictEqual(scheduler.steps, before)
      prefix.accept(output(1))
      yield* Fiber.join(reader)
    })
  )
})

describe("AcceptedPrefix read", () => {
  const complete = (total: number): AcceptedPrefix.AcceptedPrefix => {
    const prefix = prefixOf(total)
    for (const index of range(total)) prefix.accept(output(index))
    return prefix
  }

  it.effect.prop(
    "is exact when a reader stops early: nothing is read ahead",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 }))],
    ([count]) =>
      Effect.gen(function* () {
        const prefix = complete(5)
        yield* Stream.runDrain(Stream.take(prefix.outputs, count))
        assert.strictEqual(prefix.read(), Math.min(count, 5))
      })
  )

  it.effect("counts what a reader took that then failed, or wanted no more than the first", () =>
    Effect.gen(function* () {
      const failing = complete(5)
      yield* indices(failing).pipe(
        Stream.runForEach((index) => (index === 2 ? Effect.fail("no") : Effect.void)),
        Effect.flip
      )
      assert.strictEqual(failing.read(), 3)
      const curious = complete(5)
      assert.deepStrictEqual(yield* Stream.runHead(indices(curious)), Option.some(0))
      assert.strictEqual(curious.read(), 1)
    })
  )

  it.effect("is how far the furthest reader has come, and does not go back when another begins", () =>
    Effect.gen(function* () {
      const prefix = complete(5)
      const take = (count: number) => Stream.runDrain(Stream.take(prefix.outputs, count))
      yield* take(3)
      yield* take(1)
      assert.strictEqual(prefix.read(), 3)
      yield* Effect.all([take(2), take(4)], { concurrency: "unbounded" })
      assert.strictEqual(prefix.read(), 4)
    })
  )

  it("is nothing for what nobody reads", () => assert.strictEqual(complete(5).read(), 0))
})
