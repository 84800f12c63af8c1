import { assert, describe, it } from "@effect/vitest"
import {
  ChunkScheduler,
  JobManager,
  JobRepository,
  JobSpec,
  type OutputCheck,
  Telemetry,
  TraceContext,
  VideoStitcher,
  WorkerAdapter,
  WorkerError
} from "@helios-infra/core"
import { Effect, Exit, Fiber, Layer, Option, Random, type Scope, Stream, type Tracer } from "effect"
import * as Fakes from "./Fakes.ts"
import * as Recorded from "./Recorded.ts"
import { pass, settle } from "./TestTime.ts"

const { attributes, spans } = Telemetry
const out = { outputFile: "out.mp4" }

type Jobs = JobManager.JobManager["Service"]

interface Setting {
  readonly machine?: Fakes.Machine
  readonly stitcher?: VideoStitcher.VideoStitcher["Service"]
  readonly check?: OutputCheck.OutputCheck["Service"]["check"]
  readonly repository?: Layer.Layer<JobRepository.JobRepository>
}

/** Runs a test with a manager all of whose telemetry is recorded; delays have no jitter. */
const recording = <A, E>(
  { check, machine = Fakes.machine(), repository = JobRepository.layerMemory, stitcher }: Setting,
  test: (jobs: Jobs, recorded: Recorded.Recorder) => Effect.Effect<A, E, Scope.Scope | JobRepository.JobRepository>
) => {
  const recorded = Recorded.make()
  return JobManager.JobManager.use((jobs) => test(jobs, recorded)).pipe(
    Effect.provide(
      JobManager.layer.pipe(
        Layer.provideMerge(repository),
        Layer.provide([
          Fakes.layerWorker(machine, check),
          Layer.succeed(VideoStitcher.VideoStitcher, stitcher ?? machine.stitcher)
        ]),
        Layer.provideMerge(recorded.layer)
      )
    ),
    Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 })
  )
}

/** Creates a job named film and runs it while time passes. */
const film = Effect.fnUntraced(function* (
  jobs: Jobs,
  chunks: number,
  options: JobManager.RunOptions = {},
  time: Parameters<typeof pass>[0] = "20 seconds"
) {
  yield* jobs.create(Fakes.job(chunks), { id: "film" })
  const running = yield* Effect.forkChild(Effect.exit(jobs.run("film", { ...out, ...options })))
  yield* pass(time)
  return yield* Fiber.join(running)
})

const valuesOf = (span: Tracer.Span | undefined) => Object.fromEntries(span?.attributes ?? [])

const millis = (span: Tracer.Span | undefined) =>
  span?.status._tag === "Ended" ? Number(span.status.endTime - span.status.startTime) / 1e6 : Number.NaN

describe("spans", () => {
  it.effect("of a run that goes well: a job, its chunks, their attempts and checks, and the joining", () =>
    recording({ machine: Fakes.machine(() => Effect.sleep("1 second")) }, (jobs, { named, tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 2)
        assert.deepStrictEqual(tree(), [
          "helios.job 1 completed ok",
          "  helios.stitch completed ok",
          "  helios.chunk 0 accepted ok",
          "    helios.attempt 1 accepted ok",
          "      helios.check completed ok",
          "  helios.chunk 1 accepted ok",
          "    helios.attempt 1 accepted ok",
          "      helios.check completed ok"
        ])
        assert.deepStrictEqual(valuesOf(named(spans.job)[0]), {
          "helios.job.id": "film",
          "helios.job.run": 1,
          "helios.job.chunks": 2,
          "helios.job.frames": 20,
          "helios.worker.adapter": "fake",
          "helios.outcome": "completed"
        })
        assert.deepStrictEqual(valuesOf(named(spans.chunk)[1]), {
          "helios.job.id": "film",
          "helios.job.run": 1,
          "helios.chunk.id": 1,
          "helios.chunk.start_frame": 10,
          "helios.chunk.frames": 10,
          "helios.chunk.attempts": 1,
          "helios.outcome": "accepted"
        })
        assert.deepStrictEqual(valuesOf(named(spans.attempt)[1]), {
          "helios.job.id": "film",
          "helios.job.run": 1,
          "helios.chunk.id": 1,
          "helios.chunk.start_frame": 10,
          "helios.chunk.frames": 10,
          "helios.attempt.number": 1,
          "helios.worker.adapter": "fake",
          "helios.output.size": 100,
          "helios.outcome": "accepted"
        })
        assert.deepStrictEqual(valuesOf(named(spans.stitch)[0]), {
          "helios.job.id": "film",
          "helios.job.run": 1,
          "helios.job.frames": 20,
          "helios.stitch.by": "stitcher",
          "helios.outcome": "completed"
        })
        assert.strictEqual(millis(named(spans.attempt)[0]), 1000)
      })
    )
  )

  it.effect("of what is called over a network are a client's", () =>
    recording({ machine: Fakes.machine(undefined, { where: "remote" }) }, (jobs, { named }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1)
        assert.strictEqual(named(spans.attempt)[0]?.kind, "client")
        assert.strictEqual(named(spans.chunk)[0]?.kind, "internal")
      })
    )
  )

  it.effect("say which worker it was: as it was assigned, else as its result or its error says", () => {
    const machine = Fakes.machine(({ chunkId, signal }) =>
      Effect.sync(() => {
        if (chunkId === 0) signal({ _tag: "Assigned", workerId: "w-0" })
      })
    )
    const adapter = WorkerAdapter.make({
      ...machine.adapter,
      execute: (job, signal) =>
        machine.adapter.execute(job, signal).pipe(
          Effect.map((result) => (WorkerAdapter.chunkId(job) === 1 ? { ...result, workerId: "w-1" } : result)),
          Effect.filterOrFail(
            () => WorkerAdapter.chunkId(job) !== 2 || job.meta.attempt > 1,
            () => WorkerAdapter.failure("fake", job, Fakes.reasonOf.lost, "w-2")
          )
        )
    })
    return recording({ machine: { ...machine, adapter } }, (jobs, { named }) =>
      Effect.gen(function* () {
        yield* film(jobs, 3)
        assert.deepStrictEqual(
          named(spans.attempt).map((span) => span.attributes.get(attributes.workerId)),
          ["w-0", "w-1", "w-2", undefined]
        )
      })
    )
  })

  it.effect("of attempts that are repeated are below the same chunk, with what went wrong, and when it goes on", () => {
    const machine = Fakes.machine(({ attempt, fail }) =>
      Effect.andThen(Effect.sleep("1 second"), attempt === 1 ? fail(Fakes.reasonOf.failed) : Effect.void)
    )
    return recording({ machine }, (jobs, { named, tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1)
        assert.deepStrictEqual(tree(), [
          "helios.job 1 completed ok",
          "  helios.stitch completed ok",
          "  helios.chunk 0 accepted ok",
          "    helios.attempt 1 failed RenderFailed error",
          "    helios.attempt 2 accepted ok",
          "      helios.check completed ok"
        ])
        assert.strictEqual(named(spans.attempt)[0]?.attributes.get(attributes.retryDelay), 1000)
        assert.strictEqual(named(spans.chunk)[0]?.attributes.get(attributes.attempts), 2)
        assert.strictEqual(millis(named(spans.chunk)[0]), 3000)
      })
    )
  })

  it.effect("of a chunk that the platform was too full for, which keeps its slot meanwhile", () => {
    const machine = Fakes.machine(({ attempt, fail }) =>
      attempt < 3 ? fail(Fakes.reasonOf.throttled(2000)) : Effect.void
    )
    return recording({ machine }, (jobs, { named, tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1)
        assert.includeMembers(
          [...tree()],
          [
            "  helios.chunk 0 accepted ok",
            "    helios.attempt 1 failed Throttled error",
            "    helios.attempt 2 failed Throttled error",
            "    helios.attempt 3 accepted ok"
          ]
        )
        assert.strictEqual(millis(named(spans.chunk)[0]), 4000)
      })
    )
  })

  it.effect("of a job that fails: the chunk that failed is its error, everything else was stopped", () => {
    const machine = Fakes.machine(({ chunkId, fail }) =>
      chunkId === 1 ? fail(Fakes.reasonOf.refused) : Effect.sleep("1 hour")
    )
    return recording({ machine }, (jobs, { named, tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 3)
        assert.deepStrictEqual(tree(), [
          "helios.job 1 failed ChunkFailed error",
          "  helios.stitch interrupted unset",
          "  helios.chunk 0 interrupted unset",
          "    helios.attempt 1 interrupted unset",
          "  helios.chunk 1 failed Refused error",
          "    helios.attempt 1 failed Refused error"
        ])
        const [job] = named(spans.job)
        assert(job?.status._tag === "Ended" && Exit.isFailure(job.status.exit))
        assert.match(String(Option.getOrUndefined(Exit.findErrorOption(job.status.exit))), /write a better one/)
      })
    )
  })

  it.effect("of attempts that the watch stopped are errors, not interruptions", () => {
    const machine = Fakes.machine(({ attempt }) => (attempt === 1 ? Effect.sleep("1 hour") : Effect.void))
    return recording({ machine }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1, { attemptTimeout: "2 seconds" })
        assert.includeMembers(
          [...tree()],
          ["    helios.attempt 1 failed TimedOut error", "    helios.attempt 2 accepted ok"]
        )
      })
    )
  })

  it.effect("of an output that its check refuses, and of one that is unlike the others", () => {
    const machine = Fakes.machine(({ attempt, chunkId }) =>
      Effect.succeed({ frames: chunkId === 0 && attempt === 1 ? 7 : 10 })
    )
    const check: OutputCheck.OutputCheck["Service"]["check"] = (job, result) =>
      WorkerAdapter.chunkId(job) === 1 && job.meta.attempt === 1
        ? Effect.fail(
            WorkerAdapter.failure("fake", job, new WorkerError.OutputInvalid({ expected: "10", found: "none" }))
          )
        : Effect.succeed(result.output ?? { location: "", bytes: 0 })
    return recording({ machine, check }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 2, { concurrency: 1 })
        assert.deepStrictEqual(tree().slice(2), [
          "  helios.chunk 0 accepted ok",
          "    helios.attempt 1 failed OutputInvalid error",
          "      helios.check completed ok",
          "    helios.attempt 2 accepted ok",
          "      helios.check completed ok",
          "  helios.chunk 1 accepted ok",
          "    helios.attempt 1 failed OutputInvalid error",
          "      helios.check failed OutputInvalid error",
          "    helios.attempt 2 accepted ok",
          "      helios.check completed ok"
        ])
      })
    )
  })

  it.effect("of an adapter that has a bug say what they are to everybody else: a lost worker", () => {
    const machine = Fakes.machine(({ attempt }) => (attempt === 1 ? Effect.die(new Error("a bug")) : Effect.void))
    return recording({ machine }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1)
        assert.include(tree(), "    helios.attempt 1 failed WorkerLost error")
      })
    )
  })

  it.effect("of a job that is cancelled are no errors", () =>
    recording({ machine: Fakes.machine(() => Effect.sleep("1 hour")) }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        const running = yield* Effect.forkChild(Effect.exit(jobs.run("film", out)))
        yield* pass("1 second")
        yield* jobs.cancel("film")
        yield* Fiber.join(running)
        assert.deepStrictEqual(tree(), [
          "helios.job 1 cancelled unset",
          "  helios.stitch interrupted unset",
          "  helios.chunk 0 interrupted unset",
          "    helios.attempt 1 interrupted unset"
        ])
      })
    )
  )

  it.effect("of what could not be stopped say so", () => {
    const machine = Fakes.machine(({ signal }) =>
      Effect.onInterrupt(Effect.sleep("1 hour"), () =>
        Effect.sync(() => signal({ _tag: "NotStopped", detail: "it runs on" }))
      )
    )
    return recording({ machine }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1), { id: "film" })
        const running = yield* Effect.forkChild(Effect.exit(jobs.run("film", out)))
        yield* pass("1 second")
        yield* jobs.pause("film")
        yield* Fiber.join(running)
        assert.deepStrictEqual(tree().slice(0, 1), ["helios.job 1 paused unset"])
        assert.include(tree(), "    helios.attempt 1 not-stopped unset")
      })
    )
  })

  it.effect("of attempts that ran out of time are errors where something of them may still run as well", () => {
    const machine = Fakes.machine(({ signal }) =>
      Effect.onInterrupt(Effect.sleep("1 hour"), () =>
        Effect.sync(() => signal({ _tag: "NotStopped", detail: "it runs on" }))
      )
    )
    return recording({ machine }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1, { attemptTimeout: "2 seconds", retries: 0 })
        assert.includeMembers(
          [...tree()],
          ["  helios.chunk 0 failed TimedOut error", "    helios.attempt 1 not-stopped TimedOut error"]
        )
      })
    )
  })

  it.effect("of a run that is drained: what ran is accepted, what waited to be tried again is left", () => {
    const machine = Fakes.machine(({ chunkId, fail }) =>
      chunkId === 0 ? fail(Fakes.reasonOf.failed) : Effect.sleep("2 seconds")
    )
    return recording({ machine }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(3), { id: "film" })
        const running = yield* Effect.forkChild(
          Effect.exit(jobs.run("film", { ...out, concurrency: 2, retryDelay: "1 hour" }))
        )
        yield* pass("1 second")
        const pausing = yield* Effect.forkChild(jobs.pause("film", { mode: "drain" }))
        yield* pass("5 seconds")
        yield* Fiber.join(pausing)
        yield* Fiber.join(running)
        assert.deepStrictEqual(tree().toSorted(), [
          "      helios.check completed ok",
          "      helios.check completed ok",
          "    helios.attempt 1 accepted ok",
          "    helios.attempt 1 accepted ok",
          "    helios.attempt 1 failed RenderFailed error",
          "  helios.chunk 0 interrupted unset",
          "  helios.chunk 1 accepted ok",
          "  helios.chunk 2 accepted ok",
          "  helios.stitch interrupted unset",
          "helios.job 1 paused unset"
        ])
      })
    )
  })

  it.effect("of a process that is told to stop end with it, and the next run is linked to that one", () => {
    const machine = Fakes.machine(({ chunkId, job }) =>
      chunkId === 1 && job.meta.run === 1 ? Effect.sleep("1 hour") : Effect.void
    )
    return recording({ machine }, (jobs, { named, tree }) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(3), { id: "film" })
        const running = yield* Effect.forkChild(jobs.run("film", { ...out, concurrency: 1 }))
        yield* pass("1 second")
        yield* Fiber.interrupt(running)
        machine.files.delete([...machine.files.keys()][0] ?? "")
        yield* jobs.resume("film", { ...out, concurrency: 1 })
        assert.deepStrictEqual(tree(), [
          "helios.job 1 paused unset",
          "  helios.stitch interrupted unset",
          "  helios.chunk 0 accepted ok",
          "    helios.attempt 1 accepted ok",
          "      helios.check completed ok",
          "  helios.chunk 1 interrupted unset",
          "    helios.attempt 1 interrupted unset",
          "helios.job 2 completed ok",
          "  helios.stitch completed ok",
          "  helios.chunk 1 accepted ok",
          "    helios.attempt 1 accepted ok",
          "      helios.check completed ok",
          "  helios.chunk 2 accepted ok",
          "    helios.attempt 1 accepted ok",
          "      helios.check completed ok",
          // Its output was lost meanwhile.
          "  helios.chunk 0 accepted ok",
          "    helios.attempt 1 accepted ok",
          "      helios.check completed ok"
        ])
        const [first, second] = named(spans.job)
        assert.deepStrictEqual(first?.links, [])
        const [link, ...more] = second?.links ?? []
        assert.deepStrictEqual(more, [])
        assert.deepStrictEqual(link?.attributes, { "helios.job.run": 1 })
        assert.deepStrictEqual([link?.span.traceId, link?.span.spanId], [first?.traceId, first?.spanId])
        const { traceparent } = yield* jobs.get("film")
        assert.strictEqual(traceparent, `00-${second?.traceId}-${second?.spanId}-01`)
      })
    )
  })

  it.effect("of the loser of two that an adapter sent are below the attempt, and interrupted", () => {
    const machine = Fakes.machine()
    const hedging = WorkerAdapter.make({
      ...machine.adapter,
      execute: (job, signal) =>
        Effect.raceFirst(
          Effect.withSpan(Effect.andThen(Effect.sleep("1 second"), machine.adapter.execute(job, signal)), "first"),
          Effect.withSpan(Effect.andThen(Effect.sleep("1 hour"), Effect.never), "second")
        )
    })
    return recording({ machine: { ...machine, adapter: hedging } }, (jobs, { named, tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1)
        assert.include(tree(), "    helios.attempt 1 accepted ok")
        const [attempt] = named(spans.attempt)
        for (const [name, status] of [
          ["first", "ok"],
          ["second", "unset"]
        ] as const) {
          const [span] = named(name)
          assert(span !== undefined)
          assert.strictEqual(Recorded.statusOf(span), status)
          assert.strictEqual(Recorded.above(span), attempt)
        }
      })
    )
  })

  it.effect("of a merge command are attempts below the joining", () => {
    const machine = Fakes.machine(({ attempt, chunkId, fail }) =>
      chunkId === -1 && attempt === 1 ? fail(Fakes.reasonOf.failed) : Effect.void
    )
    const recorded = Recorded.make()
    return JobManager.JobManager.use((jobs) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(1, 10, { mergeCommand: "merge out.mp4 part_0.mov" }), { id: "film" })
        const running = yield* Effect.forkChild(jobs.run("film", out))
        yield* pass("5 seconds")
        yield* Fiber.join(running)
        assert.deepStrictEqual(recorded.tree().toSorted(), [
          "      helios.check completed ok",
          "    helios.attempt 1 accepted ok",
          "    helios.attempt 1 failed RenderFailed error",
          "    helios.attempt 2 completed ok",
          "  helios.chunk 0 accepted ok",
          "  helios.stitch completed ok",
          "helios.job 1 completed ok"
        ])
        const merge = recorded.named(spans.attempt).at(-1)
        assert(merge !== undefined)
        assert.strictEqual(Recorded.above(merge)?.name, spans.stitch)
        assert.isFalse(merge.attributes.has(attributes.chunkId))
        assert.strictEqual(recorded.named(spans.stitch)[0]?.attributes.get(attributes.stitchedBy), "merge-command")
      })
    ).pipe(Effect.provide(Fakes.layerManager(machine).pipe(Layer.provideMerge(recorded.layer))))
  })

  it.effect("of a stitcher that fails are the job's error", () => {
    const stitcher = VideoStitcher.VideoStitcher.of({
      stitch: () =>
        Effect.fail(
          new VideoStitcher.StitchError({ reason: new VideoStitcher.ChunkInvalid({ expected: "a", found: "b" }) })
        )
    })
    return recording({ machine: Fakes.machine(() => Effect.sleep("1 hour")), stitcher }, (jobs, { tree }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1)
        assert.includeMembers(
          [...tree()],
          [
            "helios.job 1 failed ChunkInvalid error",
            "  helios.stitch failed ChunkInvalid error",
            "    helios.attempt 1 interrupted unset"
          ]
        )
      })
    )
  })

  it.effect("are below whatever is current when the job is run, and carry what a user annotates spans with", () =>
    recording({}, (jobs, { named }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1).pipe(Effect.annotateSpans("tenant", "t-1"), Effect.withSpan("mine"))
        const [mine] = named("mine")
        for (const name of [spans.job, spans.chunk, spans.attempt, spans.stitch]) {
          const [span] = named(name)
          assert.strictEqual(span?.traceId, mine?.traceId, name)
          assert.strictEqual(span?.attributes.get("tenant"), "t-1", name)
        }
      })
    )
  )

  it.effect("are not made for chunks and attempts where nobody records them", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const machine = Fakes.machine(() =>
        Effect.map(Effect.orDie(Effect.currentSpan), ({ name }) => void seen.push(name))
      )
      yield* JobManager.JobManager.use((jobs) =>
        Effect.andThen(jobs.create(Fakes.job(3), { id: "film" }), jobs.run("film", out))
      ).pipe(Effect.provide(Fakes.layerManager(machine, { stitch: true })))
      assert.deepStrictEqual(seen, [spans.job, spans.job, spans.job])
    })
  )

  it.effect(
    "all end, once, whatever fails how often and whenever it is stopped; metrics say nothing is left",
    () =>
      Effect.gen(function* () {
        for (let seed = 0; seed < 15; seed++) {
          const dice = yield* Effect.replicateEffect(Random.nextIntBetween(0, 100), 64)
          let throws = 0
          const machine = Fakes.machine(({ fail }) => {
            const die = dice[throws++ % dice.length] ?? 0
            if (die < 15) return fail(Fakes.reasonOf.failed)
            if (die < 25) return fail(Fakes.reasonOf.throttled(500))
            if (die < 30) return Effect.die(new Error("a bug"))
            if (die < 35) return Effect.sleep("1 hour")
            return Effect.sleep(die * 10)
          })
          yield* recording({ machine }, (jobs, { metrics, named, spans: all, tree }) =>
            Effect.gen(function* () {
              yield* jobs.create(Fakes.job(6), { id: "film" })
              const running = yield* Effect.forkChild(
                Effect.exit(jobs.run("film", { ...out, concurrency: 3, attemptTimeout: "3 seconds" }))
              )
              yield* pass((dice[0] ?? 0) * 100)
              if ((dice[1] ?? 0) < 50) yield* jobs.pause("film")
              yield* pass("30 seconds", "500 millis")
              yield* Fiber.join(running)
              const story = `${JSON.stringify(dice)}\n${tree().join("\n")}`
              assert.isTrue(
                all.every((span) => span.status._tag === "Ended"),
                story
              )
              assert.isFalse(
                tree().some((line) => / (undefined|open)$/.test(line)),
                story
              )
              assert.strictEqual(named(spans.attempt).length, machine.attempts.length, story)
              for (const span of named(spans.attempt)) {
                assert.strictEqual(Recorded.above(span)?.name, spans.chunk)
                assert.strictEqual(
                  span.attributes.has(attributes.errorType),
                  span.attributes.get(attributes.outcome) === "failed"
                )
              }
              // A chunk is begun once in a run, however often it is tried.
              const chunks = named(spans.chunk).map((span) => span.attributes.get(attributes.chunkId))
              assert.strictEqual(new Set(chunks).size, chunks.length, story)
              const left = Object.entries(metrics()).filter(([name]) =>
                /^helios\.(chunk\.count|job\.active)/.test(name)
              )
              assert.isAbove(left.length, 0)
              assert.deepStrictEqual(
                left.filter(([, value]) => value !== 0),
                [],
                story
              )
            })
          )
        }
      }),
    120_000
  )
})

describe("the trace that workers go on with", () => {
  const seen = (machine: Fakes.Machine, metas: Array<TraceContext.Carrier>) =>
    WorkerAdapter.make({
      ...machine.adapter,
      execute: (job, signal) => {
        metas.push(job.meta)
        return machine.adapter.execute(job, signal)
      }
    })

  it.effect("is each attempt's own", () => {
    const machine = Fakes.machine()
    const metas: Array<TraceContext.Carrier> = []
    return recording({ machine: { ...machine, adapter: seen(machine, metas) } }, (jobs, { named }) =>
      Effect.gen(function* () {
        yield* film(jobs, 3)
        assert.deepStrictEqual(
          metas.map(({ traceparent }) => traceparent),
          named(spans.attempt).map(({ spanId, traceId }) => `00-${traceId}-${spanId}-01`)
        )
      })
    )
  })

  it.effect("has the state and the sampling that it came with", () => {
    const machine = Fakes.machine()
    const metas: Array<TraceContext.Carrier> = []
    const traceId = "0af7651916cd43dd8448eb211c80319c"
    return recording({ machine: { ...machine, adapter: seen(machine, metas) } }, (jobs, { named }) =>
      Effect.gen(function* () {
        yield* film(jobs, 1).pipe(
          TraceContext.continueFrom({ traceparent: `00-${traceId}-b7ad6b7169203331-00`, tracestate: "a=1,b=2" })
        )
        const [attempt] = named(spans.attempt)
        assert.deepInclude(metas[0], {
          traceparent: `00-${traceId}-${attempt?.spanId}-00`,
          tracestate: "a=1,b=2"
        })
      })
    )
  })

  it.effect("is the caller's where nobody here records spans, and none where the caller has none", () =>
    Effect.gen(function* () {
      const machine = Fakes.machine()
      const metas: Array<TraceContext.Carrier> = []
      const carrier = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=1" }
      const run = (id: string) =>
        JobManager.JobManager.use((jobs) =>
          Effect.andThen(jobs.create(Fakes.job(1), { id }), jobs.run(id, { ...out, outputFile: `${id}.mp4` }))
        ).pipe(Effect.provide(Fakes.layerManager({ ...machine, adapter: seen(machine, metas) }, { stitch: true })))
      const { traceparent } = yield* run("alone")
      yield* run("below").pipe(TraceContext.continueFrom(carrier))
      assert.isUndefined(traceparent)
      const [alone, below] = metas
      assert.notProperty(alone, "traceparent")
      assert.notProperty(alone, "tracestate")
      assert.deepInclude(below, carrier)
    })
  )

  it.effect("is none for spans that are not to be propagated, such as those of a tracer that is switched off", () => {
    const machine = Fakes.machine()
    const metas: Array<TraceContext.Carrier> = []
    return recording({ machine: { ...machine, adapter: seen(machine, metas) } }, (jobs, { spans }) =>
      Effect.gen(function* () {
        yield* Effect.withTracerEnabled(film(jobs, 1), false)
        assert.deepStrictEqual(
          spans.map(({ name }) => name),
          []
        )
        assert.notProperty(metas[0], "traceparent")
      })
    )
  })
})

describe("metrics", () => {
  it.effect("count chunks, attempts, waits, throttles, repetitions, bytes, frames and runs", () => {
    const machine = Fakes.machine(({ attempt, chunkId, fail }) =>
      Effect.gen(function* () {
        yield* Effect.sleep("1 second")
        if (chunkId === 0 && attempt === 1) return yield* fail(Fakes.reasonOf.throttled(2000))
        if (chunkId === 1 && attempt === 1) return yield* fail(Fakes.reasonOf.failed)
      })
    )
    return recording({ machine }, (jobs, { metrics, sums }) =>
      Effect.gen(function* () {
        yield* jobs.create(Fakes.job(3), { id: "film" })
        const running = yield* Effect.forkChild(jobs.run("film", { ...out, concurrency: 1 }))
        yield* pass("1500 millis")
        const { "helios.chunk.count{helios.chunk.state=pending}": pending, ...during } = metrics()
        assert.strictEqual(pending, 2)
        assert.deepInclude(during, {
          "helios.job.active{}": 1,
          "helios.chunk.count{helios.chunk.state=running}": 0,
          "helios.chunk.count{helios.chunk.state=retrying}": 1
        })
        yield* pass("20 seconds")
        yield* Fiber.join(running)
        assert.deepStrictEqual(metrics(), {
          "helios.job.active{}": 0,
          "helios.job.duration{helios.outcome=completed}": 1,
          "helios.chunk.count{helios.chunk.state=pending}": 0,
          "helios.chunk.count{helios.chunk.state=running}": 0,
          "helios.chunk.count{helios.chunk.state=retrying}": 0,
          "helios.chunk.count{helios.chunk.state=accepted}": 0,
          "helios.chunk.queue.duration{helios.worker.adapter=fake}": 5,
          "helios.attempt.duration{helios.outcome=accepted,helios.worker.adapter=fake}": 3,
          "helios.attempt.duration{error.type=Throttled,helios.outcome=failed,helios.worker.adapter=fake}": 1,
          "helios.attempt.duration{error.type=RenderFailed,helios.outcome=failed,helios.worker.adapter=fake}": 1,
          "helios.attempt.throttles{helios.worker.adapter=fake}": 1,
          "helios.attempt.retries{error.type=Throttled,helios.worker.adapter=fake}": 1,
          "helios.attempt.retries{error.type=RenderFailed,helios.worker.adapter=fake}": 1,
          "helios.output.io{helios.worker.adapter=fake}": 300,
          "helios.output.frames{helios.worker.adapter=fake}": 30,
          "helios.stitch.duration{helios.outcome=completed}": 1,
          "helios.stitch.tail.duration{}": 1
        })
        const sum = sums()
        assert.strictEqual(sum["helios.attempt.duration{helios.outcome=accepted,helios.worker.adapter=fake}"], 3000)
        // Chunk 0 begins at once and again when it was told to, 1 at 4 s and again when its second is over but 2 has the
        // slot, 2 at 5 s.
        assert.strictEqual(sum["helios.chunk.queue.duration{helios.worker.adapter=fake}"], 4000 + 5000)
        assert.strictEqual(sum["helios.job.duration{helios.outcome=completed}"], 7000)
        assert.strictEqual(sum["helios.stitch.duration{helios.outcome=completed}"], 7000)
        assert.strictEqual(sum["helios.stitch.tail.duration{}"], 0)
      })
    )
  })

  it.effect("have their unit, and series that do not grow with jobs and chunks", () =>
    recording({}, (jobs, { metrics }) =>
      Effect.gen(function* () {
        const run = (id: string, chunks: number) =>
          Effect.andThen(jobs.create(Fakes.job(chunks), { id }), jobs.run(id, { outputFile: `${id}.mp4` }))
        yield* run("a", 1)
        const series = Object.keys(metrics())
        for (let i = 0; i < 5; i++) yield* run(`b-${i}`, 50)
        assert.deepStrictEqual(Object.keys(metrics()), series)
        assert.notMatch(series.join("\n"), /\b(?:a|b-\d|film)\b(?=[,}])/)
      })
    )
  )

  it("have names and attributes that OpenTelemetry allows, and units of UCUM", () => {
    for (const name of [...Object.values(Telemetry.metrics), ...Object.values(Telemetry.spans)]) {
      assert.match(name, /^helios(\.[a-z][a-z_]*)+$/)
    }
    for (const key of Object.values(Telemetry.attributes)) assert.match(key, /^(helios|error)(\.[a-z][a-z_]*)+$/)
    const { activeJobs, chunks, ...others } = Telemetry.metric
    const all = [activeJobs(), chunks("pending"), ...Object.values(others).map((make) => make({}))]
    assert.deepStrictEqual(all.map(({ id }) => id).toSorted(), Object.values(Telemetry.metrics).toSorted())
    for (const { attributes, description } of all) {
      assert.match(attributes?.["unit"] ?? "", /^(ms|By|\{[a-z]+\})$/)
      assert.isDefined(description)
    }
  })
})

describe("log entries", () => {
  it.effect("say which job, run, chunk and attempt they are about, whoever writes them", () => {
    const machine = Fakes.machine(({ attempt, chunkId, fail }) =>
      Effect.andThen(
        Effect.logInfo("the adapter"),
        chunkId === 1 && attempt === 1 ? fail(Fakes.reasonOf.failed) : Effect.void
      )
    )
    const stitcher = VideoStitcher.VideoStitcher.of({
      stitch: (request) => Effect.andThen(Effect.logInfo("the stitcher"), machine.stitcher.stitch(request))
    })
    const check: OutputCheck.OutputCheck["Service"]["check"] = (job, result) =>
      Effect.as(Effect.logInfo(`the check of ${job.id}`), result.output ?? { location: "", bytes: 0 })
    const repository = Layer.effect(
      JobRepository.JobRepository,
      Effect.map(JobRepository.JobRepository, (memory) =>
        JobRepository.JobRepository.of({
          ...memory,
          openWriter: (jobId, options) =>
            Effect.map(
              Effect.tap(memory.openWriter(jobId, options), () => Effect.logInfo("opened")),
              (writer) => ({
                ...writer,
                append: (events) => Effect.tap(writer.append(events), () => Effect.logInfo("the journal"))
              })
            )
        })
      )
    ).pipe(Layer.provide(JobRepository.layerMemory))
    return recording({ machine, check, repository, stitcher }, (jobs, { entries }) =>
      Effect.gen(function* () {
        yield* film(jobs, 2).pipe(Effect.annotateLogs("tenant", "t-1"))
        const marksOf = (message: string) =>
          entries.filter((entry) => entry.message.startsWith(message)).map(({ marks }) => marks)
        const own = { tenant: "t-1", job: "film", run: 1 }
        assert.deepStrictEqual(marksOf("the adapter"), [
          { ...own, chunk: 0, attempt: 1 },
          { ...own, chunk: 1, attempt: 1 },
          { ...own, chunk: 1, attempt: 2 }
        ])
        assert.deepStrictEqual(marksOf("the check"), [
          { ...own, chunk: 0, attempt: 1 },
          { ...own, chunk: 1, attempt: 2 }
        ])
        assert.deepStrictEqual(marksOf("the stitcher"), [own])
        assert.deepStrictEqual(marksOf("opened"), [{ tenant: "t-1", job: "film" }])
        const journal = marksOf("the journal")
        assert.isAbove(journal.length, 2)
        for (const marks of journal) assert.deepStrictEqual(marks, own)
      })
    )
  })

  it.effect("of the scheduler used by itself say which chunk and attempt", () =>
    Effect.gen(function* () {
      const recorded = Recorded.make()
      const machine = Fakes.machine(() => Effect.logInfo("here"))
      const spec = yield* Effect.orDie(JobSpec.decode(Fakes.job(1)))
      yield* ChunkScheduler.run(JobSpec.chunksInOrder(spec), { jobId: "film", run: 1 }).pipe(
        Stream.runDrain,
        Effect.provide([Fakes.layerWorker(machine), recorded.layer])
      )
      yield* settle
      assert.deepStrictEqual(recorded.entries, [{ message: "here", marks: { chunk: 0, attempt: 1 } }])
      assert.deepStrictEqual(recorded.tree(), [
        "helios.chunk 0 accepted ok",
        "  helios.attempt 1 accepted ok",
        "    helios.check completed ok"
      ])
    })
  )
})
