/** Jobs on a fleet of Lambda functions, and what goes wrong there. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { JobManager, JobRepository } from "@helios-infra/core"
import { credentials } from "@helios-infra/local-lambda"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Predicate, Schedule, Stream } from "effect"
import { spawn } from "node:child_process"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import process from "node:process"
import * as StrictS3 from "../../packages/storage-s3/test/StrictS3.ts"
import type { Orders } from "./fixtures/orchestrator.ts"
import { hashes, prepare, prepareDemo, renderHere } from "./FilmJob.ts"
import * as LambdaFarm from "./LambdaFarm.ts"
import * as RealMachine from "./RealMachine.ts"

const out = { outputFile: "film.mp4" }

const render = (
  farm: LambdaFarm.LambdaFarm,
  { dir, spec }: Effect.Success<ReturnType<typeof prepare>>,
  options: JobManager.RunOptions = {}
) =>
  JobManager.JobManager.use((jobs) =>
    jobs.create(spec, { id: "film" }).pipe(Effect.andThen(jobs.run("film", { ...out, ...options })))
  ).pipe(Effect.provide(LambdaFarm.layer(farm, dir)))

/** Runs the job `film` in a process of its own, which is gone with the scope. */
const orchestrate = ({ lambda, s3 }: LambdaFarm.LambdaFarm, folders: Pick<Orders, "jobDir" | "jobs">) => {
  const orders: Orders = {
    ...folders,
    lambda: { functionName: "render", endpoint: lambda.endpoint, region: lambda.region, credentials },
    s3: {
      bucket: StrictS3.bucket,
      region: StrictS3.region,
      credentials: StrictS3.credentials,
      endpoint: s3.endpoint,
      forcePathStyle: true
    }
  }
  const program = join(import.meta.dirname, "fixtures", "orchestrator.ts")
  const args = ["--conditions=@helios-infra/source", program, JSON.stringify(orders)]
  return Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
}

/** What the farm's bucket still has of the job, but for the signs to workers that run on. */
const leftOf = ({ s3 }: LambdaFarm.LambdaFarm) =>
  s3.keys().filter((key) => key.startsWith("jobs/") && !key.endsWith("/cancelled"))

const until = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (met: boolean) => met, schedule: Schedule.spaced("20 millis") }).pipe(
    Effect.timeout("30 seconds")
  )

describe("a job on Lambda functions", { timeout: 120_000 }, () => {
  it.live("becomes the film that it becomes here, frame by frame and sample by sample", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make()
      const job = yield* prepare(farm.root)
      const state = yield* render(farm, job)
      assert.strictEqual(state.status, "completed")
      assert.deepStrictEqual(yield* hashes(join(job.dir, "film.mp4")), yield* renderHere(job.spec, job.dir))
      assert.lengthOf(farm.lambda.invocations, 4)
      // The asset stays for the next job, the rest is gone, here and there.
      assert.deepStrictEqual(leftOf(farm), [])
      assert.lengthOf(farm.s3.keys(), 1)
      const names = yield* Effect.promise(() => readdir(job.dir))
      assert.deepStrictEqual(names.toSorted(), ["film.mp4", "here.mp4", "media"])
    })
  )

  it.live("is sent no asset twice, not even for another job", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make()
      const job = yield* prepare(farm.root, { chunks: { count: 2 } })
      yield* render(farm, job)
      const sent = () =>
        farm.s3.requests.filter(({ key, operation }) => operation === "PutObject" && key.startsWith("assets/"))
      assert.lengthOf(sent(), 1)
      yield* JobManager.JobManager.use((jobs) =>
        jobs.create(job.spec, { id: "another" }).pipe(Effect.andThen(jobs.run("another", out)))
      ).pipe(Effect.provide(LambdaFarm.layer(farm, job.dir)))
      assert.lengthOf(sent(), 1)
      // Instances that are warm have it already.
      const fetched = farm.s3.requests.filter(
        ({ key, operation }) => operation === "GetObject" && key.startsWith("assets/")
      )
      assert.isAtMost(fetched.length, farm.lambda.instances("render"))
    })
  )

  it.live("needs no credentials in its workers when they get URLs", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make({ code: "lenient", credentials: false })
      const job = yield* prepare(farm.root, { chunks: { count: 2 } })
      yield* render(farm, job, { artifacts: { access: "urls" } })
      assert.strictEqual(yield* RealMachine.framesOf(join(job.dir, "film.mp4")), 96)
      assert.deepStrictEqual(leftOf(farm), [])
    })
  )

  it.live("is refused, and shows no secret, where its URLs are not what a worker may read", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make()
      const job = yield* prepare(farm.root, { chunks: { count: 2 } })
      const error = yield* Effect.flip(render(farm, job, { artifacts: { access: "urls" } }))
      assert.match(error.message, /refused \(Unauthorized\)/)
      assert.notMatch(error.message, /X-Amz-Signature/)
    })
  )

  it.live("survives throttling, a crash, a lack of memory, a lost reply and an endless render", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make({ timeoutMs: 15_000 })
      const job = yield* prepare(farm.root)
      farm.lambda.fault({ _tag: "Throttle", retryAfterSeconds: 1 }, { times: 2 })
      farm.lambda.fault({ _tag: "Crash" })
      farm.lambda.fault({ _tag: "OutOfMemory" })
      farm.lambda.fault({ _tag: "Drop", when: "after" })
      farm.lambda.fault({ _tag: "Hang" })
      yield* render(farm, job, { retries: 5, retryDelay: "50 millis" })
      assert.deepStrictEqual(yield* hashes(join(job.dir, "film.mp4")), yield* renderHere(job.spec, job.dir))
      assert.deepStrictEqual(leftOf(farm), [])
    })
  )

  it.live("takes no notice of a reply that comes after another attempt has won", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make()
      const job = yield* prepare(farm.root, { chunks: { count: 2 } })
      farm.lambda.fault({ _tag: "Late", ms: 6000 })
      const state = yield* render(farm, job, {
        attemptTimeout: "4 seconds",
        retryDelay: "50 millis",
        artifacts: { keep: true }
      })
      assert.strictEqual(state.status, "completed")
      const attempts = state.chunks.map(({ acceptedBy }) => acceptedBy?.attempt)
      assert.sameMembers(attempts, [1, 2])
      // The one that was too late has written where nobody looks.
      assert.lengthOf(
        farm.s3.keys().filter((key) => key.endsWith("/output.mov")),
        3
      )
      assert.lengthOf(
        farm.s3.keys().filter((key) => key.endsWith("/cancelled")),
        1
      )
      assert.strictEqual(yield* RealMachine.framesOf(join(job.dir, "film.mp4")), 96)
    })
  )

  for (const [name, trouble] of [
    ["refuses", { error: [503, "SlowDown"] }],
    ["is slow", { slow: 1500 }],
    ["breaks off", { reset: "after" }],
    ["damages what is sent", { damage: "request" }]
  ] as const) {
    it.live(`survives a storage that ${name}`, () =>
      Effect.gen(function* () {
        const farm = yield* LambdaFarm.make()
        const job = yield* prepare(farm.root, { chunks: { count: 2 } })
        farm.s3.trouble({ on: "PutObject", fault: trouble, times: 2, after: 3 })
        farm.s3.trouble({
          on: "GetObject",
          fault: name === "damages what is sent" ? { damage: "answer" } : trouble,
          times: 2
        })
        yield* render(farm, job, { retryDelay: "50 millis" })
        assert.strictEqual(yield* RealMachine.framesOf(join(job.dir, "film.mp4")), 96)
      })
    )
  }

  it.live("says what a command printed that failed, and stops", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make()
      const { dir, spec } = yield* prepare(farm.root, {
        chunks: { count: 2 },
        command: `'${ffmpeg}' -v error -i 'no such file {id}.mkv' {output}`
      })
      const error = yield* Effect.flip(render(farm, { dir, spec }, { retries: 0 }))
      assert.match(error.message, /chunk \d failed after 1 attempt; .*exited with \d+:\n.*no such file \d.mkv/s)
    })
  )

  it.live("is stopped there as well when it is cancelled", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make()
      const job = yield* prepare(farm.root, { chunks: { count: 2 }, command: "sleep 600{id} {output}" })
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        yield* jobs.create(job.spec, { id: "film" })
        const running = yield* Effect.forkChild(Effect.flip(jobs.run("film", out)))
        yield* until(() => farm.lambda.invocations.length === 2)
        yield* until(() => farm.s3.requests.some(({ key }) => key.endsWith("/cancelled")))
        const state = yield* jobs.cancel("film")
        assert.strictEqual(state.status, "cancelled")
        assert.strictEqual((yield* Fiber.join(running)).reason._tag, "JobCancelled")
        assert.lengthOf(state.leftover ?? [], 2)
        // The workers find the sign, and end what they do long before it is over.
        yield* until(() => farm.lambda.invocations.every(({ ended }) => ended === "Reply"))
      }).pipe(Effect.provide(LambdaFarm.layer(farm, job.dir)))
    })
  )

  it.live("is run on when its orchestrator was killed, and renders only what is missing", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make({ concurrency: 1 })
      const job = yield* prepare(farm.root)
      const jobsFolder = join(farm.root, "jobs")
      const layer = LambdaFarm.layer(farm, job.dir, jobsFolder)
      yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        const repository = yield* JobRepository.JobRepository
        yield* jobs.create(job.spec, { id: "film" })
        const orchestrator = yield* orchestrate(farm, { jobDir: job.dir, jobs: jobsFolder })
        yield* repository.changes("film", 0).pipe(
          Stream.filter(({ event }) => event._tag === "ChunkAccepted"),
          Stream.take(2),
          Stream.runDrain
        )
        orchestrator.kill("SIGKILL")
        const state = yield* jobs.run("film", out).pipe(
          // Until its owner is known to be dead.
          Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 100 })
        )
        const kept = state.chunks.filter(({ acceptedBy }) => acceptedBy?.run === 1).map(({ id }) => id)
        assert.isAtLeast(kept.length, 2)
        const again = farm.lambda.invocations.flatMap(({ event }) =>
          Predicate.hasProperty(event, "run") && event.run === 2 && Predicate.hasProperty(event, "chunkIndex")
            ? [event.chunkIndex]
            : []
        )
        assert.sameMembers([...kept, ...again], [0, 1, 2, 3])
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(yield* hashes(join(job.dir, "film.mp4")), yield* renderHere(job.spec, job.dir))
      assert.deepStrictEqual(leftOf(farm), [])
    })
  )

  it.live("may be the demo's, in four browsers at once", () =>
    Effect.gen(function* () {
      const farm = yield* LambdaFarm.make({ code: "lenient" })
      const { env, ...job } = yield* prepareDemo(farm.root)
      yield* render(farm, job, { env })
      assert.strictEqual(farm.lambda.instances("render"), 4)
      assert.deepStrictEqual(yield* hashes(join(job.dir, "film.mp4")), yield* renderHere(job.spec, job.dir, env))
    })
  )
})
