/** A job that runs in one process, and is stopped, refused or taken over from another one. */
import { path as ffmpegPath } from "@ffmpeg-installer/ffmpeg"
import { assert, describe, it } from "@effect/vitest"
import { LocalWorkerAdapter, LocalWorkspace } from "@helios-infra/adapter-local"
import { JobManager, JobRepository } from "@helios-infra/core"
import { FfmpegOutputCheck, FfmpegStitcher } from "@helios-infra/stitcher-ffmpeg"
import { Clock, Effect, Layer, Schedule, Stream } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import process from "node:process"
import * as Postgres from "../../packages/repository-sql/test/Postgres.ts"
import { type Orders, repository, type Store } from "./fixtures/mortal.ts"
import * as Program from "./Program.ts"
import { folder, framesOf, plan, processesOf, render } from "./RealMachine.ts"
import { stores } from "./Stores.ts"

const program = Program.make("mortal")

/** A manager of this process over the same store. */
const layer = (store: Store, dir: string) =>
  JobManager.layer.pipe(
    Layer.provideMerge(repository(store)),
    Layer.provide([
      LocalWorkerAdapter.layer({ killGrace: "300 millis" }),
      FfmpegStitcher.layer({ ffmpegPath }),
      FfmpegOutputCheck.layer({ ffmpegPath })
    ]),
    Layer.provide(LocalWorkspace.layer({ dir }))
  )

/** A job under way in a process of its own, whose commands take for ever until they are let go. */
const elsewhere = Effect.fnUntraced(function* (store: Store) {
  const dir = join(yield* folder, "job")
  const slow = join(dir, "slow")
  yield* Effect.promise(() => mkdir(dir).then(() => writeFile(slow, "")))
  const spec = yield* plan(`sh -c 'test -e "${slow}" && sleep 300; exec "$@"' sh ${render({})}`)
  const orders: Orders = { store, jobId: "shared", jobDir: dir, spec, ffmpegPath }
  const file = yield* program
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [file, JSON.stringify(orders)], { stdio: ["ignore", "ignore", "pipe"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text))
  const closed = once(child, "close")
  const ended = Effect.as(
    Effect.promise(() => closed),
    () => said
  )
  yield* Effect.repeat(processesOf("shared_"), {
    until: (found) => found.length >= 3,
    schedule: Schedule.spaced("20 millis")
  })
  const letGo = Effect.promise(() => rm(slow))
  return { child, dir, ended, letGo }
})

/** When the process that runs it heard that it should stop. */
const heardAt = JobRepository.JobRepository.use((jobs) =>
  Stream.runFold(
    jobs.read("shared"),
    () => Infinity,
    (found, { at, event }) => (event._tag === "StopRequested" ? at : found)
  )
)

describe("a job that runs in another process", { timeout: 60_000 }, () => {
  for (const [where, open] of Object.entries(stores)) {
    for (const how of ["cancel", "pause"] as const) {
      it.live(`hears of ${how} within a second, and leaves nothing, kept ${where}`, () =>
        Effect.gen(function* () {
          const store = yield* open
          const { child, dir, ended, letGo } = yield* elsewhere(store)
          yield* Effect.gen(function* () {
            const jobs = yield* JobManager.JobManager
            const asked = yield* Clock.currentTimeMillis
            const state = yield* jobs[how]("shared")
            assert.strictEqual(state.status, how === "cancel" ? "cancelled" : "paused")
            assert.isAtMost((yield* heardAt) - asked, 1000)
            assert.deepStrictEqual(yield* processesOf("shared_"), [])
            const said = yield* ended
            assert.strictEqual(child.exitCode, 1)
            assert.match(said(), how === "cancel" ? /it was cancelled/ : /it was paused/)
            // Anybody can go on.
            yield* letGo
            assert.strictEqual((yield* jobs.resume("shared")).status, "completed")
            assert.strictEqual(yield* framesOf(join(dir, "shared.mp4")), 90)
          }).pipe(Effect.provide(layer(store, dir)))
        }).pipe(Effect.provide(Postgres.layer))
      )
    }

    it.live(`is not run twice, but can be taken over, which stops the other one, kept ${where}`, () =>
      Effect.gen(function* () {
        const store = yield* open
        const { child, dir, ended, letGo } = yield* elsewhere(store)
        yield* Effect.gen(function* () {
          const jobs = yield* JobManager.JobManager
          const refused = yield* Effect.flip(jobs.resume("shared"))
          assert(refused.reason._tag === "RepositoryError" && refused.reason.reason._tag === "Running")
          assert.include(refused.message, `process ${child.pid}`)
          yield* letGo
          const state = yield* jobs.resume("shared", { takeOver: "always" })
          assert.strictEqual(state.status, "completed")
          const said = yield* ended
          assert.strictEqual(child.exitCode, 1)
          assert.match(said(), /taken over by a later one/)
          assert.deepStrictEqual(yield* processesOf("shared_"), [])
          assert.deepStrictEqual(yield* jobs.get("shared"), state)
          assert.strictEqual(yield* framesOf(join(dir, "shared.mp4")), 90)
        }).pipe(Effect.provide(layer(store, dir)))
      }).pipe(Effect.provide(Postgres.layer))
    )
  }
})
