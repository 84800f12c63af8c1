import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as UserPromise from "../../../src/internal/promise/UserPromise.ts"
import * as WorkerAdapterService from "../../../src/internal/promise/WorkerAdapterService.ts"
import type { WorkerJob, WorkerSignal } from "../../../src/WorkerAdapter.ts"

const never = new Promise<never>(() => {})

/** Lets promises that can go on do so. */
const turn = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)))

describe("UserPromise.call", () => {
  it.effect("waits 10 seconds for a promise that does not settle after an abort, and no longer", () =>
    Effect.gen(function* () {
      let abandoned = 0
      const calling = yield* Effect.forkChild(
        UserPromise.call(
          () => never,
          () => abandoned++
        ),
        { startImmediately: true }
      )
      yield* turn
      const stopping = yield* Effect.forkChild(Fiber.interrupt(calling))
      yield* TestClock.adjust(9_999)
      assert.isUndefined(stopping.pollUnsafe())
      assert.strictEqual(abandoned, 0)
      yield* TestClock.adjust(1)
      yield* Fiber.join(stopping)
      assert.strictEqual(abandoned, 1)
    })
  )

  it.effect("aborts the signal before it waits, and ends with the promise", () =>
    Effect.gen(function* () {
      let settled = false
      const calling = yield* Effect.forkChild(
        UserPromise.call(
          (signal) =>
            new Promise<void>((resolve) => {
              signal.addEventListener("abort", () => {
                settled = true
                resolve()
              })
            }),
          () => assert.fail("it settled")
        ),
        { startImmediately: true }
      )
      yield* turn
      yield* Fiber.interrupt(calling)
      assert.isTrue(settled)
    })
  )
})

describe("WorkerAdapterService", () => {
  it.effect("tells that an attempt which ignores its signal was not stopped, and hears nothing of it after that", () =>
    Effect.gen(function* () {
      const signals: Array<WorkerSignal> = []
      let late = () => {}
      class Deaf {
        execute(_: WorkerJob, context: { readonly report: (signal: WorkerSignal) => void }): Promise<never> {
          late = () => context.report({ _tag: "Frames", done: 7 })
          return never
        }
      }
      const job: WorkerJob = {
        id: "job/0/1.1",
        command: "render",
        meta: {
          _tag: "Chunk",
          jobId: "job",
          run: 1,
          attempt: 1,
          chunkId: 0,
          startFrame: 0,
          frameCount: 1,
          format: {},
          output: { _tag: "File", path: "0.mov" }
        }
      }
      const adapter = WorkerAdapterService.make(new Deaf())
      const attempt = yield* Effect.forkChild(
        adapter.execute(job, (signal) => signals.push(signal)),
        { startImmediately: true }
      )
      yield* turn
      const stopping = yield* Effect.forkChild(Fiber.interrupt(attempt))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      late()
      assert.deepStrictEqual(signals, [
        { _tag: "NotStopped", detail: "the promise of Deaf did not settle after its signal was aborted" }
      ])
    })
  )
})
