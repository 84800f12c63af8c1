import { JobManager, type JobState } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Random, Schedule } from "effect"
import { readdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as RealMachine from "./RealMachine.ts"

/**
 * A renderer that is hard to stop: it ignores TERM, has a child and a grandchild that ignore it as well, and a daemon in
 * a session of its own.
 */
const stubborn = [
  "sh -c '",
  'trap "" TERM INT HUP; ',
  'sh -c "trap \\"\\" TERM; sh -c \\"trap \\\\\\"\\\\\\" TERM; sleep 300; :\\"; :" & ',
  "setsid sleep 301 & ",
  `if [ {id} = 0 ]; then ${RealMachine.render({ output: '"$0"' })}; kill -9 0; fi; `,
  "sleep 302; :",
  "' {output}"
].join("")

const remove = (dir: string, ...names: ReadonlyArray<string>) =>
  Effect.promise(() => Promise.all(names.map((name) => rm(join(dir, name), { recursive: true, force: true }))))

const assertNothingLeft = (dir: string, state: JobState.JobState) =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* RealMachine.processesOf(state.id), [])
    assert.isUndefined(state.leftover)
    const names = yield* Effect.promise(() => readdir(dir, { recursive: true }))
    const accepted = state.chunks.filter((chunk) => chunk.status === "accepted").length
    const files = names.filter((name) => name.endsWith(".mov") || name.endsWith(".mp4"))
    assert.strictEqual(files.length, state.status === "completed" ? 1 : accepted, files.join())
  })

describe("cancel", () => {
  it.live(
    "leaves no process, at whatever moment, however hard the renderer is to stop",
    () =>
      Effect.gen(function* () {
        const dir = yield* RealMachine.folder
        const spec = yield* RealMachine.plan(stubborn)
        const jobs = yield* JobManager.JobManager.pipe(
          Effect.provide(RealMachine.layer(dir, { killGrace: "100 millis" }))
        )
        const cancelOnce = Effect.fnUntraced(function* (afterMs: number) {
          const { id } = yield* jobs.create(spec)
          const running = yield* Effect.forkChild(
            Effect.exit(jobs.run(id, { outputFile: `${id}.mp4`, concurrency: 2 }))
          )
          yield* Effect.sleep(afterMs)
          const state = yield* jobs.cancel(id)
          assert.strictEqual(state.status, "cancelled")
          assert.isTrue(Exit.isFailure(yield* Fiber.join(running)))
          yield* assertNothingLeft(dir, state)
          // What was accepted stays for whoever runs the job on; this test is done with it.
          yield* remove(dir, ".helios")
        })
        for (let i = 0; i < 20; i++) yield* cancelOnce(yield* Random.nextIntBetween(0, 600))
      }),
    { timeout: 120_000 }
  )

  it.live(
    "in the middle of a real render and of a real stitch leaves the job cancelled or completed, never half a file",
    () =>
      Effect.gen(function* () {
        const dir = yield* RealMachine.folder
        const spec = yield* RealMachine.plan(RealMachine.render({}))
        const jobs = yield* JobManager.JobManager.pipe(Effect.provide(RealMachine.layer(dir)))
        for (const afterMs of [50, 200, 400, 600, 800, 1000, 1200]) {
          const { id } = yield* jobs.create(spec)
          const running = yield* Effect.forkChild(Effect.exit(jobs.run(id, { outputFile: "film.mp4" })))
          yield* Effect.sleep(afterMs)
          const state = yield* jobs.cancel(id)
          yield* Fiber.join(running)
          yield* assertNothingLeft(dir, state)
          if (state.status === "completed") {
            assert.strictEqual(yield* RealMachine.framesOf(join(dir, "film.mp4")), 90)
          }
          yield* Effect.promise(() =>
            import("node:fs/promises").then((fs) =>
              Promise.all(
                [".helios", "film.mp4"].map((name) => fs.rm(join(dir, name), { recursive: true, force: true }))
              )
            )
          )
        }
      }),
    { timeout: 120_000 }
  )

  it.live("interruption pauses; the next run renders only what is missing", () =>
    Effect.gen(function* () {
      const dir = yield* RealMachine.folder
      const slow = `sh -c 'test {id} = 2 && ! test -e go && sleep 300; exec ${RealMachine.render({ output: '"$0"' })}' {output}`
      const spec = yield* RealMachine.plan(slow)
      const jobs = yield* JobManager.JobManager.pipe(Effect.provide(RealMachine.layer(dir)))
      const { id } = yield* jobs.create(spec)
      const running = yield* Effect.forkChild(jobs.run(id, { outputFile: "film.mp4", concurrency: 3 }))
      const twoAccepted = jobs.get(id).pipe(
        Effect.map((state) => state.chunks.filter((chunk) => chunk.status === "accepted").length === 2),
        Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("50 millis") })
      )
      yield* twoAccepted
      yield* Fiber.interrupt(running)
      const paused = yield* jobs.get(id)
      assert.strictEqual(paused.status, "paused")
      yield* assertNothingLeft(dir, paused)

      yield* Effect.promise(() => writeFile(join(dir, "go"), ""))
      const state = yield* jobs.run(id, { outputFile: "film.mp4" })
      assert.strictEqual(state.status, "completed")
      assert.deepStrictEqual(
        state.chunks.map((chunk) => chunk.attempts),
        [1, 1, 2]
      )
      assert.strictEqual(yield* RealMachine.framesOf(join(dir, "film.mp4")), 90)
    })
  )
})
