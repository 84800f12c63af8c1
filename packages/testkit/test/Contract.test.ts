import { assert, describe, it } from "@effect/vitest"
import { Contract } from "@helios-infra/testkit"
import { Context, Data, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"

class Wrong extends Data.TaggedError("Wrong")<{ readonly message: string }> {}

class Counter extends Context.Service<Counter, { count: number }>()("test/Counter") {}

const counter = Layer.sync(Counter, () => ({ count: 0 }))

const increment = Effect.map(Counter, (counter) => ++counter.count)

const one = (promise: Effect.Effect<void, Error, Counter>, layer: Layer.Layer<Counter, Error> = counter) =>
  Contract.make({ of: "Counter", layer, promises: { "it counts": promise } })

describe("a contract", () => {
  it.effect("gives each case an implementation of its own, and ends it", () =>
    Effect.gen(function* () {
      const ended: Array<number> = []
      const layer = Layer.effect(
        Counter,
        Effect.acquireRelease(
          Effect.sync(() => ({ count: 0 })),
          ({ count }) => Effect.sync(() => ended.push(count))
        )
      )
      const promise = Effect.andThen(
        increment,
        Effect.map(increment, (count) => assert.strictEqual(count, 2))
      )
      const contract = Contract.make({ of: "Counter", layer, promises: { a: promise, b: promise } })
      assert.deepStrictEqual(yield* Contract.check(contract), [])
      assert.deepStrictEqual(ended, [2, 2])
    })
  )

  it.effect("leaves out what was not asked for", () =>
    Effect.sync(() => {
      const { cases } = Contract.make({ of: "Counter", layer: counter, promises: { a: undefined, b: Effect.void } })
      assert.deepStrictEqual(
        cases.map(({ name }) => name),
        ["b"]
      )
    })
  )

  it.effect.each([
    ["an error", Effect.fail(new Wrong({ message: "found 3" })), /^found 3$/],
    [
      "a defect, with where it came from",
      Effect.die(new TypeError("no such method")),
      /no such method[^]*Contract\.test/
    ],
    ["an interruption", Effect.interrupt, /interrupted/]
  ] as const)("says which promise is broken, and how, whatever it fails with: %s", ([, promise, detail]) =>
    Effect.gen(function* () {
      const [broken, ...others] = yield* Contract.check(one(promise))
      assert.deepStrictEqual(others, [])
      assert.deepInclude(broken, { _tag: "PromiseBroken", contract: "Counter", promise: "it counts" })
      assert.match(broken?.detail ?? "", detail)
      assert.isTrue(broken?.message.startsWith("Counter promises: it counts\nbroken: "))
    })
  )

  it.effect("says so when the implementation cannot be made", () =>
    Effect.gen(function* () {
      const [broken] = yield* Contract.check(one(Effect.void, Layer.effect(Counter, new Wrong({ message: "no disk" }))))
      assert.strictEqual(broken?.detail, "the implementation could not be made: no disk")
    })
  )

  it.effect("gives up a case that never ends", () =>
    Effect.gen(function* () {
      const checking = yield* Effect.forkChild(Contract.check(one(Effect.never)))
      yield* TestClock.adjust("2 minutes")
      const exit = yield* Fiber.await(checking)
      assert(Exit.isSuccess(exit))
      assert.match(exit.value[0]?.detail ?? "", /not over after 1m: something never ends/)
    })
  )
})
