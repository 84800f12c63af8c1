import { type JobError, JobManager, JobRepository, OutputCheck, Progress, VideoStitcher } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { contended } from "./Contention.ts"
import * as Fakes from "./Fakes.ts"
import { pass, settle } from "./TestTime.ts"

const out = { outputFile: "out.mp4" }

const reasonOf = <A>(effect: Effect.Effect<A, JobError.JobError>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

/** Runs a test against a manager on a machine. */
const on = <A, E>(
  machine: Fakes.Machine,
  test: (jobs: JobManager.JobManager["Service"]) => Effect.Effect<A, E, Scope.Scope | JobRepository.JobRepository>
) => JobManager.JobManager.use(test).pipe(Effect.provide(Fakes.layerManager(machine, { stitch: true })))

describe("JobManager", () => {
  describe("create", () => {
    it.effect("stores the job as it was given, unknown keys too", () =>
      on(Fakes.machine(), (jobs) =>
        Effect.gen(function* () {
          const created = yield* jobs.create({ ...Fakes.job(2), composition: "comp.html" })
          assert.strictEqual(created.status, "pending")
          assert.strictEqual(created.progress, 0)
          assert.propertyVal(created.spec, "composition", "comp.html")
          assert.deepStrictEqual(yield* jobs.get(created.id), created)
        })
      )
    )

    it.effect("takes the id given, else the file's, else makes one that is new", () =>
      on(Fakes.machine(), (jobs) =>
        Effect.gen(function* () {
          const spec = { ...Fakes.job(1), id: "from-file" }
          assert.strictEqual((yield* jobs.create(spec, { id: "given" })).id, "given")
          assert.strictEqual((yield* jobs.create(spec)).id, "from-file")
          const made = yield* Effect.replicateEffect(jobs.create(Fakes.job(1)), 50)
          assert.strictEqual(new Set(made.map((job) => job.id)).size, 50)
        })
      )
    )

    it.effect("refuses a job file that is wrong, naming the field, and an id that is taken", () =>
      on(Fakes.machine(), (jobs) =>
        Effect.gen(function* () {
          const wrong = yield* reasonOf(jobs.create({ ...Fakes.job(1), metadata: { totalFrames: 10, fps: 0 } }))
          assert.strictEqual(wrong._tag, "JobSpecError")
          assert.match(wrong.message, /metadata\.fps/)
          yield* jobs.create(Fakes.job(1), { id: "a" })
          const taken = yield* Effect.flip(jobs.create(Fakes.job(1), { id: "a" }))
          assert.match(taken.message, /job a: there is a job with this id already/)
          assert.strictEqual((yield* Stream.runCollect(jobs.list())).length, 1)
        })
      )
    )
  })

  describe("run", () => {
    it.effect("renders, stitches, and gives the state at the end", () => {
      const machine = Fakes.machine(() => Effect.sleep("1 second"))
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const created = yield* jobs.create(Fakes.job(5))
          const running = yield* Effect.forkChild(jobs.run(created.id, out))
          yield* pass("4 seconds")
          const state = yield* Fiber.join(running)
          assert.strictEqual(state.status, "completed")
          assert.strictEqual(state.progress, 1)
          assert.strictEqual(state.outputFile, "/job/out.mp4")
          assert.deepStrictEqual(machine.stitched, [[0, 1, 2, 3, 4]])
          assert.deepStrictEqual([...machine.files], [["/job/out.mp4", 500]])
        })
      )
    })

    it.effect("takes from its manager's defaults what it is not told itself", () => {
      const tried = (options: JobManager.RunOptions) => {
        let attempts = 0
        const machine = Fakes.machine(() => {
          attempts++
          return Effect.never
        })
        return JobManager.JobManager.use((jobs) =>
          Effect.gen(function* () {
            const { id } = yield* jobs.create(Fakes.job(1))
            const running = yield* Effect.forkChild(Effect.flip(jobs.run(id, { ...out, ...options })))
            yield* pass("10 minutes", "10 seconds")
            yield* Fiber.join(running)
            return attempts
          })
        ).pipe(
          Effect.provide(Fakes.layerManager(machine, { stitch: true })),
          Effect.provideService(JobManager.RunDefaults, { retries: 4, attemptTimeout: "1 minute" })
        )
      }
      return Effect.gen(function* () {
        assert.strictEqual(yield* tried({}), 5)
        assert.strictEqual(yield* tried({ retries: undefined }), 5)
        assert.strictEqual(yield* tried({ retries: 0 }), 1)
      })
    })

    it.effect("leaves a completed job as it is", () => {
      const machine = Fakes.machine()
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          const first = yield* jobs.run(id, out)
          assert.deepStrictEqual(yield* jobs.run(id, out), first)
          assert.strictEqual(machine.attempts.length, 2)
        })
      )
    })

    it.effect("pauses when it is interrupted, and can be run on", () => {
      let slow = true
      const machine = Fakes.machine(({ chunkId }) => (chunkId > 0 && slow ? Effect.never : Effect.void))
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(3))
          const running = yield* Effect.forkChild(jobs.run(id, out))
          yield* settle
          yield* Fiber.interrupt(running)
          assert.strictEqual(machine.running(), 0)
          assert.strictEqual((yield* jobs.get(id)).status, "paused")
          slow = false
          const state = yield* jobs.run(id, out)
          assert.strictEqual(state.status, "completed")
          assert.deepStrictEqual(
            machine.attempts.filter((attempt) => attempt.chunkId === 0).length,
            1,
            "what was accepted is not rendered again"
          )
        })
      )
    })

    it.effect("runs a failed job on", () => {
      let broken = true
      const machine = Fakes.machine(({ chunkId, fail }) =>
        chunkId === 1 && broken ? fail(Fakes.reasonOf.refused) : Effect.void
      )
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          assert.strictEqual((yield* reasonOf(jobs.run(id, { ...out, concurrency: 1 })))._tag, "ChunkFailed")
          broken = false
          assert.strictEqual((yield* jobs.run(id, out)).status, "completed")
        })
      )
    })

    it.effect("refuses a job that somebody runs", () =>
      on(
        Fakes.machine(() => Effect.never),
        (jobs) =>
          Effect.gen(function* () {
            const { id } = yield* jobs.create(Fakes.job(2))
            yield* jobs.start(id, out)
            const error = yield* Effect.flip(jobs.run(id, out))
            assert.match(error.message, /it is run by/)
            yield* jobs.cancel(id)
          })
      )
    )

    it.effect("does not take a stitcher that only its caller has", () => {
      const machine = Fakes.machine()
      return Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        const { id } = yield* jobs.create(Fakes.job(2))
        yield* jobs.run(id).pipe(Effect.provideService(VideoStitcher.VideoStitcher, machine.stitcher))
        assert.deepStrictEqual(machine.stitched, [])
      }).pipe(Effect.provide(Fakes.layerManager(machine)))
    })

    it.effect("takes services for one run in place of the manager's", () => {
      const machine = Fakes.machine()
      const other = Fakes.machine()
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          yield* jobs.run(id, {
            ...out,
            workerAdapter: other.adapter,
            workspace: other.workspace,
            stitcher: other.stitcher,
            outputCheck: OutputCheck.OutputCheck.of({
              check: (_, result) => Effect.succeed(result.output ?? { location: "", bytes: 0 })
            })
          })
          assert.strictEqual(machine.attempts.length, 0)
          assert.isTrue(other.files.has("/job/out.mp4"))
        })
      )
    })

    it.effect("fails for a job that is not there", () =>
      on(Fakes.machine(), (jobs) =>
        Effect.gen(function* () {
          for (const effect of [jobs.run("no", out), jobs.start("no"), jobs.get("no"), jobs.cancel("no")]) {
            const error = yield* Effect.flip(Effect.asVoid(effect))
            assert.strictEqual(error.message, "job no: there is no such job")
          }
          const watched = yield* Effect.flip(Stream.runDrain(jobs.watch("no")))
          assert.strictEqual(watched.message, "job no: there is no such job")
        })
      )
    )
  })

  describe("start", () => {
    it.effect("returns when the run has begun, and goes on in the background", () => {
      const machine = Fakes.machine(() => Effect.sleep("1 second"))
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          yield* jobs.start(id, out)
          yield* settle
          assert.strictEqual((yield* jobs.get(id)).status, "running")
          yield* pass("2 seconds")
          assert.strictEqual((yield* jobs.get(id)).status, "completed")
        })
      )
    })

    it.effect("fails when the run cannot begin, and tells later failures through the job's state", () =>
      on(
        Fakes.machine(({ fail }) => Effect.delay(fail(Fakes.reasonOf.refused), "1 second")),
        (jobs) =>
          Effect.gen(function* () {
            const { id } = yield* jobs.create(Fakes.job(2))
            assert.strictEqual((yield* reasonOf(jobs.start(id)))._tag, "InvalidRequest")
            yield* jobs.start(id, out)
            yield* pass("2 seconds")
            const state = yield* jobs.get(id)
            assert.strictEqual(state.status, "failed")
            assert.match(state.error?.message ?? "", /write a better one/)
          })
      )
    )

    it.effect("ends when the run cannot begin, however it ends", () => {
      const machine = Fakes.machine()
      const broken = { ...machine.workspace, stage: () => Effect.die("no disk at all") }
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          const exit = yield* Effect.exit(jobs.start(id, { ...out, workspace: broken }))
          assert.isTrue(Exit.isFailure(exit))
        })
      )
    })

    it.effect("is paused when the manager's layer is closed", () => {
      const machine = Fakes.machine(() => Effect.never)
      return Effect.gen(function* () {
        const repository = yield* JobRepository.JobRepository
        const scope = yield* Scope.make()
        const layer = JobManager.layer.pipe(
          Layer.provide(Layer.succeed(JobRepository.JobRepository, repository)),
          Layer.provide(Fakes.layerWorker(machine))
        )
        const jobs = yield* JobManager.JobManager.pipe(Effect.provide(yield* Layer.buildWithScope(layer, scope)))
        const { id } = yield* jobs.create(Fakes.job(2))
        yield* jobs.start(id)
        yield* settle
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(machine.running(), 0)
        const [job] = yield* Stream.runCollect(repository.list())
        assert.strictEqual(job?.status, "paused")
        assert.strictEqual(job?.owner, "none")
      }).pipe(Effect.provide(JobRepository.layerMemory))
    })
  })

  describe("cancel", () => {
    const cases: ReadonlyArray<{
      readonly when: string
      readonly script?: Fakes.Script
      readonly after?: number
      readonly options?: JobManager.RunOptions
    }> = [
      { when: "in the middle of an attempt", script: () => Effect.never },
      {
        when: "between chunks",
        script: ({ chunkId }) => (chunkId < 2 ? Effect.sleep("1 second") : Effect.never),
        after: 1000
      },
      { when: "while waiting to try again", script: ({ fail }) => fail(Fakes.reasonOf.failed) },
      { when: "while throttled", script: ({ fail }) => fail(Fakes.reasonOf.throttled(60_000)) },
      {
        when: "during an output check",
        options: { outputCheck: OutputCheck.OutputCheck.of({ check: () => Effect.never }) }
      },
      {
        when: "in the middle of the stitch",
        options: { stitcher: { stitch: () => Effect.never } }
      }
    ]
    for (const { after = 100, options, script, when } of cases) {
      it.effect(`stops the job ${when}, and nothing of it is left when it returns`, () => {
        const machine = Fakes.machine(script)
        return on(machine, (jobs) =>
          Effect.gen(function* () {
            const { id } = yield* jobs.create(Fakes.job(6))
            const running = yield* Effect.forkChild(Effect.flip(jobs.run(id, { ...out, ...options })))
            yield* pass(after)
            const state = yield* jobs.cancel(id)
            assert.strictEqual(state.status, "cancelled")
            assert.strictEqual(machine.running(), 0)
            assert.deepStrictEqual(
              (yield* Stream.runCollect(jobs.list())).map((job) => job.owner),
              ["none"]
            )
            const accepted = state.chunks.filter((chunk) => chunk.status === "accepted").length
            assert.strictEqual(machine.files.size, accepted, "only accepted outputs are left")
            const error = yield* Fiber.join(running)
            assert.strictEqual(error.reason._tag, "JobCancelled")
            assert.strictEqual(error.message, `job ${id}: it was cancelled`)
            const attempts = machine.attempts.length
            yield* pass("2 minutes", "10 seconds")
            assert.strictEqual(machine.attempts.length, attempts)
          })
        )
      })
    }

    it.effect("before the start: the job never runs", () => {
      const machine = Fakes.machine()
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          assert.strictEqual((yield* jobs.cancel(id)).status, "cancelled")
          assert.strictEqual((yield* reasonOf(jobs.run(id, out)))._tag, "JobCancelled")
          assert.strictEqual((yield* reasonOf(jobs.start(id, out)))._tag, "JobCancelled")
          assert.strictEqual(machine.attempts.length, 0)
        })
      )
    })

    it.effect("after the end: the job stays as it ended", () =>
      on(Fakes.machine(), (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          const completed = yield* jobs.run(id, out)
          assert.deepStrictEqual(yield* jobs.cancel(id), completed)
        })
      )
    )

    it.effect("together with the start: whoever comes first, the job does not go on", () =>
      Effect.gen(function* () {
        for (let seed = 0; seed < 40; seed++) {
          const machine = Fakes.machine(() => Effect.sleep("1 hour"))
          yield* on(machine, (jobs) =>
            Effect.gen(function* () {
              const { id } = yield* jobs.create(Fakes.job(2))
              const running = yield* Effect.forkChild(Effect.exit(jobs.run(id, out)))
              const cancelling = yield* Effect.forkChild(jobs.cancel(id))
              yield* pass("3 seconds", "1 second")
              assert.strictEqual((yield* Fiber.join(cancelling)).status, "cancelled")
              yield* Fiber.join(running)
              assert.strictEqual(machine.running(), 0)
            })
          ).pipe(contended(seed))
        }
      })
    )

    it.effect("of a paused job is final for run", () =>
      on(
        Fakes.machine(() => Effect.never),
        (jobs) =>
          Effect.gen(function* () {
            const { id } = yield* jobs.create(Fakes.job(2))
            const running = yield* Effect.forkChild(jobs.run(id, out))
            yield* settle
            yield* Fiber.interrupt(running)
            assert.strictEqual((yield* jobs.cancel(id)).status, "cancelled")
          })
      )
    )

    it.effect("while an interrupted run is still stopping: the wish counts", () =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const machine = Fakes.machine(() => Effect.onInterrupt(Effect.never, () => Deferred.await(gate)))
        yield* on(machine, (jobs) =>
          Effect.gen(function* () {
            const { id } = yield* jobs.create(Fakes.job(2))
            const running = yield* Effect.forkChild(jobs.run(id, out))
            yield* settle
            yield* Effect.forkChild(Fiber.interrupt(running))
            const cancelling = yield* Effect.forkChild(jobs.cancel(id))
            yield* settle
            yield* Deferred.succeed(gate, undefined)
            yield* pass("2 seconds")
            assert.strictEqual((yield* Fiber.join(cancelling)).status, "cancelled")
            yield* jobs.delete(id)
          })
        )
      })
    )

    it.effect("twice at once ends once", () =>
      on(
        Fakes.machine(() => Effect.never),
        (jobs) =>
          Effect.gen(function* () {
            const repository = yield* JobRepository.JobRepository
            const { id } = yield* jobs.create(Fakes.job(2))
            yield* jobs.start(id, out)
            yield* settle
            const states = yield* Effect.all([jobs.cancel(id), jobs.cancel(id)], { concurrency: 2 })
            assert.deepStrictEqual(
              states.map((state) => state.status),
              ["cancelled", "cancelled"]
            )
            const records = yield* Stream.runCollect(repository.read(id))
            assert.strictEqual(records.filter(({ event }) => event._tag === "RunEnded").length, 1)
          })
      )
    )

    it.effect("at any moment: the job is cancelled or completed, and nothing runs", () =>
      Effect.gen(function* () {
        for (let after = 0; after <= 1500; after += 50) {
          const machine = Fakes.machine(({ attempt, chunkId, fail }) =>
            Effect.delay(attempt === 1 && chunkId === 1 ? fail(Fakes.reasonOf.failed) : Effect.void, "300 millis")
          )
          yield* on(machine, (jobs) =>
            Effect.gen(function* () {
              const { id } = yield* jobs.create(Fakes.job(4))
              const running = yield* Effect.forkChild(Effect.exit(jobs.run(id, { ...out, retryDelay: "100 millis" })))
              yield* pass(after, "50 millis")
              const state = yield* jobs.cancel(id)
              const exit = yield* Fiber.join(running)
              assert.strictEqual(machine.running(), 0)
              assert.strictEqual(machine.files.has("/job/out.mp4"), state.status === "completed")
              assert.strictEqual(Exit.isSuccess(exit), state.status === "completed")
              assert.include(["cancelled", "completed"], state.status)
            })
          )
        }
      })
    )
  })

  describe("watch", () => {
    it.effect("gives progress in frames, never back, 1 only at the end, and then ends", () => {
      const machine = Fakes.machine(({ attempt, chunkId, fail, signal }) =>
        Effect.gen(function* () {
          for (let done = 1; done <= 10; done++) {
            yield* Effect.sleep("200 millis")
            signal({ _tag: "Frames", done })
            if (chunkId === 1 && attempt === 1 && done === 7) return yield* fail(Fakes.reasonOf.failed)
          }
        })
      )
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(3))
          const watching = yield* Effect.forkChild(Stream.runCollect(jobs.watch(id)))
          yield* settle
          yield* jobs.start(id, out)
          yield* pass("20 seconds", "50 millis")
          const seen = yield* Fiber.join(watching)
          const fractions = seen.map((progress) => progress.fraction)
          assert.deepStrictEqual(
            fractions.toSorted((a, b) => a - b),
            fractions
          )
          assert.strictEqual(fractions.at(-1), 1)
          assert.isTrue(
            seen.slice(0, -1).every((progress) => progress.fraction <= 0.99 || progress.status === "completed")
          )
          assert.isAbove(new Set(fractions).size, 15)
          const running = seen.find((progress) => progress.running.length === 2)
          assert.isDefined(running)
          assert.isTrue(seen.some((progress) => progress.etaMs !== undefined && progress.etaMs > 0))
        })
      )
    })

    it.effect("of a job that has ended gives one progress and ends", () =>
      on(Fakes.machine(), (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          yield* jobs.run(id, out)
          const watching = yield* Effect.forkChild(Stream.runCollect(jobs.watch(id)))
          yield* pass("1 second")
          const seen = yield* Fiber.join(watching)
          assert.deepStrictEqual(
            seen.map((progress) => [Progress.isAtRest(progress), progress.fraction]),
            [[true, 1]]
          )
        })
      )
    )

    it.effect("ends when the job is paused, and goes on with the next run for whoever watches again", () => {
      let slow = true
      const machine = Fakes.machine(() => (slow ? Effect.never : Effect.sleep("1 second")))
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(2))
          const first = yield* Effect.forkChild(Stream.runLast(jobs.watch(id)))
          const running = yield* Effect.forkChild(jobs.run(id, out))
          yield* pass("1 second")
          yield* Fiber.interrupt(running)
          yield* pass("1 second")
          assert.strictEqual(
            (yield* Fiber.join(first)).pipe((last) => (last._tag === "Some" ? last.value.status : "")),
            "paused"
          )
          slow = false
          const second = yield* Effect.forkChild(Stream.runCollect(jobs.watch(id)))
          yield* settle
          yield* jobs.start(id, out)
          yield* pass("3 seconds")
          assert.strictEqual((yield* Fiber.join(second)).at(-1)?.status, "completed")
        })
      )
    })

    it.effect("a watcher that is slow or goes away does not disturb the run", () => {
      const machine = Fakes.machine(({ signal }) =>
        Effect.sync(() => {
          for (let i = 0; i < 5000; i++) signal({ _tag: "Frames", done: i })
        })
      )
      return on(machine, (jobs) =>
        Effect.gen(function* () {
          const { id } = yield* jobs.create(Fakes.job(4))
          const stuck = yield* Effect.forkChild(Stream.runForEach(jobs.watch(id), () => Effect.never))
          yield* settle
          assert.strictEqual((yield* jobs.run(id, out)).status, "completed")
          yield* Fiber.interrupt(stuck)
        })
      )
    })
  })

  it.effect("logs gives the last lines of every attempt", () => {
    const machine = Fakes.machine(({ attempt, fail, signal }) =>
      Effect.suspend(() => {
        signal({ _tag: "Line", stream: "stderr", text: `attempt ${attempt}` })
        return attempt === 1 ? fail(Fakes.reasonOf.failed) : Effect.void
      })
    )
    return on(machine, (jobs) =>
      Effect.gen(function* () {
        const { id } = yield* jobs.create(Fakes.job(1))
        yield* jobs.start(id, out)
        yield* pass("3 seconds")
        const logs = yield* Stream.runCollect(jobs.logs(id))
        assert.deepStrictEqual(
          logs.map(({ attempt, chunkId, log, outcome, run }) => ({ attempt, chunkId, log, outcome, run })),
          [
            { attempt: 1, chunkId: 0, log: "attempt 1", outcome: "failed", run: 1 },
            { attempt: 2, chunkId: 0, log: "attempt 2", outcome: "accepted", run: 1 }
          ]
        )
      })
    )
  })

  it.effect("many jobs at once do not know of each other", () => {
    const machine = Fakes.machine(({ chunkId, fail, job }) =>
      job.meta.jobId === "bad" && chunkId === 1 ? fail(Fakes.reasonOf.refused) : Effect.sleep("1 second")
    )
    return on(machine, (jobs) =>
      Effect.gen(function* () {
        for (const id of ["a", "bad", "b"]) {
          yield* jobs.create(Fakes.job(3), { id })
          yield* jobs.start(id, { outputFile: `${id}.mp4` })
        }
        yield* jobs.cancel("b")
        yield* pass("10 seconds")
        const listed = yield* Stream.runCollect(jobs.list())
        assert.deepStrictEqual(Object.fromEntries(listed.map((job) => [job.id, job.status])), {
          a: "completed",
          bad: "failed",
          b: "cancelled"
        })
        assert.deepStrictEqual(
          (yield* Stream.runCollect(jobs.list({ status: ["failed"] }))).map((job) => job.id),
          ["bad"]
        )
      })
    )
  })
})
