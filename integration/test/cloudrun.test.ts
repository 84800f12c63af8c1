/** Jobs on a service of several instances on Cloud Run, and what goes wrong there. */
import { assert, describe, it } from "@effect/vitest"
import { JobManager } from "@helios-infra/core"
import { Effect, Fiber, Schedule } from "effect"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import * as CloudRunFarm from "./CloudRunFarm.ts"
import { hashes, prepare, prepareDemo, renderHere } from "./FilmJob.ts"
import * as RealMachine from "./RealMachine.ts"

const out = { outputFile: "film.mp4" }

const render = (
  farm: CloudRunFarm.CloudRunFarm,
  { dir, spec }: Effect.Success<ReturnType<typeof prepare>>,
  options: JobManager.RunOptions = {}
) =>
  JobManager.JobManager.use((jobs) =>
    jobs.create(spec, { id: "film" }).pipe(Effect.andThen(jobs.run("film", { ...out, ...options })))
  ).pipe(Effect.provide(CloudRunFarm.layer(farm, dir)))

/** What the bucket still has of the job, but for the signs to workers that run on. */
const leftOf = ({ gcs }: CloudRunFarm.CloudRunFarm) =>
  gcs.keys().filter((key) => key.startsWith("jobs/") && !key.endsWith("/cancelled"))

const until = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (met: boolean) => met, schedule: Schedule.spaced("20 millis") }).pipe(
    Effect.timeout("30 seconds")
  )

describe("a job on Cloud Run", { timeout: 120_000 }, () => {
  it.live("becomes the film that it becomes here, frame by frame and sample by sample", () =>
    Effect.gen(function* () {
      const farm = yield* CloudRunFarm.make()
      const job = yield* prepare(farm.root)
      const state = yield* render(farm, job)
      assert.strictEqual(state.status, "completed")
      assert.deepStrictEqual(yield* hashes(join(job.dir, "film.mp4")), yield* renderHere(job.spec, job.dir))
      assert.lengthOf(farm.service.calls, 4)
      assert.strictEqual(new Set(farm.service.calls.map(({ instance }) => instance)).size, 4)
      // One token for all of them.
      assert.lengthOf(farm.metadata.asked, 1)
      assert.deepStrictEqual(leftOf(farm), [])
      const names = yield* Effect.promise(() => readdir(job.dir))
      assert.deepStrictEqual(names.toSorted(), ["film.mp4", "here.mp4", "media"])
    })
  )

  it.live("survives a storm of refusals, a cut connection, and instances that are killed and ended", () =>
    Effect.gen(function* () {
      const farm = yield* CloudRunFarm.make()
      const job = yield* prepare(farm.root)
      farm.service.fault(
        ...Array.from({ length: 12 }, () => ({ _tag: "Full", retryAfter: "0" }) as const),
        { _tag: "Kill" },
        { _tag: "End" },
        { _tag: "Cut" }
      )
      const state = yield* render(farm, job, { retries: 3, retryDelay: "50 millis" })
      // Being full is no failure.
      assert.isAtLeast(
        state.chunks.reduce((sum, { attempts }) => sum + attempts, 0),
        4 + 12 + 3
      )
      assert.deepStrictEqual(yield* hashes(join(job.dir, "film.mp4")), yield* renderHere(job.spec, job.dir))
      assert.deepStrictEqual(leftOf(farm), [])
    })
  )

  it.live("has more chunks at once than the service has instances, and waits", () =>
    Effect.gen(function* () {
      const farm = yield* CloudRunFarm.make({ instances: 1 })
      const job = yield* prepare(farm.root)
      yield* render(farm, job, { concurrency: 4, retryDelay: "100 millis" })
      assert.strictEqual(farm.service.started(), 1)
      assert.strictEqual(yield* RealMachine.framesOf(join(job.dir, "film.mp4")), 96)
    })
  )

  it.live("has a token that counts whenever it needs one, however short they do", () =>
    Effect.gen(function* () {
      const farm = yield* CloudRunFarm.make({ instances: 1, lifetimeSeconds: 2 })
      const job = yield* prepare(farm.root)
      const chunks = job.spec.chunks.map((chunk) => ({
        ...chunk,
        command: `sh -c 'sleep 1; exec "$@"' sh ${chunk.command}`
      }))
      yield* render(farm, { ...job, spec: { ...job.spec, chunks } })
      assert.isAtLeast(farm.metadata.asked.length, 2)
      assert.lengthOf(farm.service.calls, 4)
    })
  )

  it.live("takes no notice of an answer that comes after another attempt has won", () =>
    Effect.gen(function* () {
      const farm = yield* CloudRunFarm.make()
      const job = yield* prepare(farm.root, { chunks: { count: 2 } })
      farm.service.fault({ _tag: "Late", ms: 8000 })
      const state = yield* render(farm, job, {
        attemptTimeout: "4 seconds",
        retryDelay: "50 millis",
        artifacts: { keep: true }
      })
      assert.strictEqual(state.status, "completed")
      assert.sameMembers(
        state.chunks.map(({ acceptedBy }) => acceptedBy?.attempt),
        [1, 2]
      )
      // The one that was too late has written where nobody looks.
      assert.lengthOf(
        farm.gcs.keys().filter((key) => key.endsWith("/output.mov")),
        3
      )
      assert.strictEqual(yield* RealMachine.framesOf(join(job.dir, "film.mp4")), 96)
    })
  )

  it.live("is stopped there as well when it is cancelled, and leaves nothing", () =>
    Effect.gen(function* () {
      const farm = yield* CloudRunFarm.make({ instances: 2 })
      const job = yield* prepare(farm.root, { chunks: { count: 2 }, command: "sleep 600{id} {output}" })
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        yield* jobs.create(job.spec, { id: "film" })
        const running = yield* Effect.forkChild(Effect.flip(jobs.run("film", out)))
        yield* until(() => farm.service.calls.filter(({ answering }) => answering).length === 2)
        const state = yield* jobs.cancel("film")
        assert.strictEqual(state.status, "cancelled")
        assert.strictEqual((yield* Fiber.join(running)).reason._tag, "JobCancelled")
        assert.isUndefined(state.leftover)
        yield* until(() => farm.service.calls.every(({ ended }) => ended))
      }).pipe(Effect.provide(CloudRunFarm.layer(farm, job.dir)))
    })
  )

  it.live("may be the demo's, in four browsers at once", () =>
    Effect.gen(function* () {
      const farm = yield* CloudRunFarm.make()
      const { env, ...job } = yield* prepareDemo(farm.root)
      yield* render(farm, job, { env })
      assert.strictEqual(new Set(farm.service.calls.map(({ instance }) => instance)).size, 4)
      assert.deepStrictEqual(yield* hashes(join(job.dir, "film.mp4")), yield* renderHere(job.spec, job.dir, env))
    })
  )
})
