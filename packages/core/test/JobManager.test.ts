import { JobManager } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { pass } from "./TestTime.ts"
import * as Fakes from "./Fakes.ts"

describe("JobManager", () => {
  it.effect("runs a job to its final file", () => {
    const machine = Fakes.machine(() => Effect.sleep("1 second"))
    return Effect.gen(function* () {
      const jobs = yield* JobManager.JobManager
      const created = yield* jobs.create(Fakes.job(5))
      const running = yield* Effect.forkChild(jobs.run(created.id, { outputFile: "out.mp4" }))
      yield* pass("10 seconds")
      const state = yield* Fiber.join(running)
      assert.strictEqual(state.status, "completed")
      assert.strictEqual(state.progress, 1)
      assert.strictEqual(state.outputFile, "/job/out.mp4")
      assert.deepStrictEqual(machine.stitched, [[0, 1, 2, 3, 4]])
      assert.deepStrictEqual([...machine.files], [["/job/out.mp4", 500]])
      assert.strictEqual(machine.mostRunning(), 2)
    }).pipe(Effect.provide(Fakes.layerManager(machine, { stitch: true })))
  })
})
