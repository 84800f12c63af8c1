import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as WorkerAdapter from "../src/WorkerAdapter.ts"
import { Stalled } from "../src/WorkerError.ts"

const attempt = { jobId: "trailer", run: 1, attempt: 2, output: { _tag: "File" as const, path: "/job/7.mov" } }
const chunk: WorkerAdapter.WorkerJob = {
  id: "trailer/7/1.2",
  command: "render",
  meta: { _tag: "Chunk", ...attempt, chunkId: 7, startFrame: 0, frameCount: 10, format: {} }
}
const merge: WorkerAdapter.WorkerJob = { id: "trailer/merge/1.2", command: "join", meta: { _tag: "Merge", ...attempt } }
const result: WorkerAdapter.WorkerResult = { exitCode: 0, stdout: "done", stderr: "", durationMs: 1 }
const info = { name: "mine", where: "local", stop: "always" } as const

describe("WorkerAdapter.make", () => {
  it.effect("passes attempts and signals through", () =>
    Effect.gen(function* () {
      const told: Array<WorkerAdapter.WorkerSignal> = []
      const ran: Array<WorkerAdapter.WorkerJob> = []
      const adapter = WorkerAdapter.make({
        info,
        execute: (job, signal) =>
          Effect.sync(() => {
            ran.push(job)
            signal({ _tag: "Frames", done: 3 })
            return result
          })
      })
      assert.strictEqual(adapter.info, info)
      assert.strictEqual(yield* adapter.execute(chunk, (signal) => told.push(signal)), result)
      assert.deepStrictEqual(ran, [chunk])
      assert.deepStrictEqual(told, [{ _tag: "Frames", done: 3 }])
    })
  )

  it.effect("says that nothing is left where the adapter cannot reap", () =>
    Effect.gen(function* () {
      const adapter = WorkerAdapter.make({ info, execute: () => Effect.succeed(result) })
      assert.deepStrictEqual(yield* adapter.reap("trailer", ["h"]), { leftover: [] })
    })
  )

  it.effect("asks the adapter where it can", () =>
    Effect.gen(function* () {
      const adapter = yield* WorkerAdapter.WorkerAdapter
      assert.deepStrictEqual(yield* adapter.reap("trailer", ["h"]), { leftover: ["trailer h"] })
    }).pipe(
      Effect.provide(
        WorkerAdapter.layer({
          info,
          execute: () => Effect.succeed(result),
          reap: (jobId, handles) => Effect.succeed({ leftover: handles.map((handle) => `${jobId} ${handle}`) })
        })
      )
    )
  )
})

describe("WorkerAdapter.chunkId", () => {
  it("is the chunk's; the merge command has none", () => {
    assert.strictEqual(WorkerAdapter.chunkId(chunk), 7)
    assert.isUndefined(WorkerAdapter.chunkId(merge))
  })
})

describe("WorkerAdapter.failure", () => {
  const reason = new Stalled({ silentMs: 1000, frames: 3 })

  it("names the attempt, and who says so", () => {
    const error = WorkerAdapter.failure("mine", chunk, reason, "w-1")
    assert.include(error.message, "chunk 7 of job trailer, attempt 2 on mine: ")
    assert.strictEqual(error.workerId, "w-1")
    assert.strictEqual(error.reason, reason)
  })

  it("leaves out what there is none of", () => {
    const error = WorkerAdapter.failure("mine", merge, reason)
    assert.include(error.message, "the merge command of job trailer")
    assert.isFalse("chunkId" in error)
    assert.isFalse("workerId" in error)
  })
})

describe("WorkerAdapter.concurrencyOf", () => {
  it("takes the adapter's concurrency when nobody says, and never more than it can take", () => {
    const info = { name: "x", where: "local", stop: "always" } as const
    assert.strictEqual(WorkerAdapter.concurrencyOf(info), 1)
    assert.strictEqual(WorkerAdapter.concurrencyOf({ ...info, concurrency: 8 }), 8)
    assert.strictEqual(WorkerAdapter.concurrencyOf({ ...info, concurrency: 8 }, 2), 2)
    assert.strictEqual(WorkerAdapter.concurrencyOf({ ...info, maxConcurrency: 4 }, 9), 4)
    assert.strictEqual(WorkerAdapter.concurrencyOf(info, 0), 1)
  })

  it("takes what is no number for 1", () => {
    const info = { name: "x", where: "local", stop: "always" } as const
    assert.strictEqual(WorkerAdapter.concurrencyOf({ ...info, concurrency: Number.NaN }), 1)
    assert.strictEqual(WorkerAdapter.concurrencyOf({ ...info, concurrency: 8, maxConcurrency: Number.NaN }), 1)
    assert.strictEqual(WorkerAdapter.concurrencyOf({ ...info, concurrency: 8, maxConcurrency: 2.5 }), 2)
  })
})

describe("WorkerAdapter.namesOutput", () => {
  it.each([
    "render -o part_1.mov",
    "render -o part_1.mov --frames 10",
    'render -o "part_1.mov"',
    "render --output='part_1.mov' --frames 10",
    "render --output=part_1.mov",
    "render\tpart_1.mov\n",
    "render -o {output}",
    "render -o file:{output} --frames 10",
    "render -o copy_of_part_1.mov -o part_1.mov"
  ])("finds the output in %s", (command) => assert.isTrue(WorkerAdapter.namesOutput(command, "part_1.mov")))

  it.each([
    "render --frames 10",
    "render -o part_11.mov",
    "render -o my_part_1.mov",
    "render -o part_1.mov.tmp",
    "render -o other/part_1.mov",
    "render -o part_1xmov",
    "part_1.mov --frames 10",
    "render {out}",
    ""
  ])("does not take another name for it: %s", (command) =>
    assert.isFalse(WorkerAdapter.namesOutput(command, "part_1.mov"))
  )

  it.each(["it's (1) [a].mov", "a+b$^.mov", "a\\b.mov", "é 😀.mov", "-x.mov", "a=b.mov"])(
    "takes any name as it is: %s",
    (name) => {
      assert.isTrue(WorkerAdapter.namesOutput(`render -o "${name}"`, name))
      assert.isTrue(WorkerAdapter.namesOutput(`render --output=${name}`, name))
      assert.isFalse(WorkerAdapter.namesOutput(`render -o x${name}`, name))
    }
  )
})
