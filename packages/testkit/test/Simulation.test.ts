import { assert, describe, it } from "@effect/vitest"
import { JobEvent, JobRepository, type Progress, VideoStitcher, type WorkerAdapter } from "@helios-infra/core"
import { jobRepositoryContract, Simulation } from "@helios-infra/testkit"
import { Effect, Fiber, Layer, Schema, Stream } from "effect"
import { uneventful } from "../src/internal/simulation/scenario.ts"
import * as Store from "../src/internal/simulation/store.ts"

const text = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(Schema.Array(JobEvent.JobRecord))))

/** The store of simulations; whoever opens it is a user of it. */
const store = Effect.sync(() => {
  const shared = Store.make()
  const user = { name: "somebody", alive: () => true, tell: (news: () => void) => news() }
  return Layer.sync(JobRepository.JobRepository, () => Store.repository(shared, user))
})

jobRepositoryContract("the store of simulations", store, { crossProcess: true })

describe("Simulation", () => {
  it.live(
    "finds nothing that is broken in 1 000 seeds",
    () =>
      Effect.gen(function* () {
        const [statuses, tags] = [new Map<string, number>(), new Set<string>()]
        const count = (what: string) => statuses.set(what, (statuses.get(what) ?? 0) + 1)
        const failed = yield* Simulation.many(
          Array.from({ length: 1000 }, (_, index) => index + 1),
          {
            onReport: (report) => {
              count(report.status ?? "deleted")
              if (report.deaths > 1) count("killed")
              for (const { event } of report.journal) {
                tags.add(event._tag)
                if (event._tag === "RunEnded") count(`a run was ${event.how}`)
                if (event._tag === "AttemptEnded") count(`attempt ${event.error?.reason._tag ?? event.how}`)
              }
            }
          }
        )
        const [first] = failed
        assert.strictEqual(
          failed.length,
          0,
          first && `seed ${first.seed}: ${JSON.stringify(first.broken)}\n${first.scenario.join("\n")}`
        )
        // A simulation in which nothing happens finds nothing either.
        for (const one of Object.keys(JobEvent.JobEvent.cases)) assert.include([...tags], one)
        const least = {
          killed: 300,
          deleted: 5,
          completed: 800,
          "a run was completed": 800,
          "a run was failed": 200,
          "a run was cancelled": 50,
          "a run was paused": 100,
          "attempt Throttled": 100,
          "attempt WorkerLost": 100,
          "attempt Transport": 100,
          "attempt RenderFailed": 100,
          "attempt OutputInvalid": 100,
          "attempt Stalled": 20,
          "attempt TimedOut": 10,
          "attempt Refused": 5,
          "attempt interrupted": 100,
          "attempt not-stopped": 50
        }
        for (const [what, times] of Object.entries(least)) assert.isAtLeast(statuses.get(what) ?? 0, times, what)
      }),
    120_000
  )

  it.effect("tells the same story for the same seed, byte for byte, and another one for another", () =>
    Effect.gen(function* () {
      const seeds = Array.from({ length: 40 }, (_, index) => `again ${index}`)
      for (const seed of seeds) {
        const [one, other] = [yield* Simulation.run(seed), yield* Simulation.run(seed)]
        assert.deepStrictEqual(one.story, other.story)
        assert.strictEqual(text(one.journal), text(other.journal))
      }
      const stories = yield* Effect.forEach(seeds, (seed) => Simulation.run(seed))
      assert.strictEqual(new Set(stories.map(({ story }) => story.join("\n"))).size, seeds.length)
    })
  )

  it.effect("is not disturbed by what else goes on, nor by the seeds before it", () =>
    Effect.gen(function* () {
      const alone = yield* Simulation.run(42)
      const [, beside] = yield* Effect.all([Simulation.run(41), Simulation.run(42), Simulation.run(43)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(beside, alone)
    })
  )

  it.effect("fails with the seed, the scenario in words, what is broken and the story", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Simulation.check("seed 7", { ...plain, jobs: overloading }))
      assert.strictEqual(error.seed, "seed 7")
      for (const part of [
        /^seed seed 7 breaks what must always hold:/,
        /- concurrency \(there are never more attempts at once than the concurrency\), at 0 ms: chunk 2/,
        /the scenario:\n {2}4 chunks with 12 frames, 2 at a time/,
        /round 1: run/,
        /the story:\n/,
        /orchestrator 1 run 1 #2 RunStarted/
      ]) {
        assert.match(error.message, part)
      }
      yield* Simulation.check("seed 7", plain)
    })
  )
})

/** A job to which nothing happens, but that it is run. */
const plain: Simulation.Options = {
  scenario: ({ seed }) => ({
    ...uneventful(seed),
    chunks: [3, 3, 3, 3],
    concurrency: 2,
    retries: 1,
    watched: true,
    rounds: [{ how: "run", crash: undefined, events: [], thenWaitMs: 0 }]
  })
}

const given = (more: Partial<Simulation.Scenario>): Simulation.Options => ({
  scenario: (drawn) => ({ ...(plain.scenario?.(drawn) ?? drawn), ...more })
})

const round = (more: Partial<Simulation.Round>): Simulation.Round => ({
  how: "run",
  crash: undefined,
  events: [],
  thenWaitMs: 1_000,
  ...more
})

type Jobs = Parameters<NonNullable<Simulation.Options["jobs"]>>[0]

/** Runs more at once than it was told. */
const overloading = (jobs: Jobs): Jobs => ({
  ...jobs,
  run: (id, options) => jobs.run(id, { ...options, concurrency: 4 })
})

type Adapter = WorkerAdapter.WorkerAdapter["Service"]

/** Changes some of what orchestrators work with. */
const parts = (change: (parts: Simulation.Parts) => Partial<Simulation.Parts>): Simulation.Options => ({
  parts: (parts) => ({ ...parts, ...change(parts) })
})

const executing = (execute: (inner: Adapter) => Adapter["execute"]) =>
  parts(({ workerAdapter }) => ({ workerAdapter: { ...workerAdapter, execute: execute(workerAdapter) } }))

/** Appends other events than it is given. */
const rewriting = (change: (event: JobEvent.JobEvent) => ReadonlyArray<JobEvent.JobEvent>) =>
  parts(({ repository }) => ({
    repository: {
      ...repository,
      openWriter: (id, options) =>
        Effect.map(repository.openWriter(id, options), (writer) => ({
          ...writer,
          append: (events) => writer.append(events.flatMap(change))
        }))
    }
  }))

const stitching = (change: (inputs: ReadonlyArray<VideoStitcher.ChunkOutput>) => typeof inputs) =>
  parts(({ stitcher }) => ({
    stitcher: {
      stitch: (request) =>
        Effect.flatMap(Stream.runCollect(request.inputs), (inputs) =>
          stitcher.stitch({ ...request, inputs: Stream.fromIterable(change(inputs)) })
        )
    }
  }))

const killed = given({ rounds: [round({ crash: { point: "after append ChunkAccepted", nth: 2 } })] })
const failing = given({ faults: { fails: 1 }, rounds: [round({})] })
const spoiled = given({ faults: { "writes garbage": 1 }, rounds: [round({})] })
const interrupted = given({ rounds: [round({ events: [{ afterMs: 500, deed: "interrupts the run" }] })] })
const unstoppable = given({
  stop: "never",
  rounds: [round({ events: [{ afterMs: 500, deed: "interrupts the run" }] })]
})
const takenOver = given({ rounds: [round({ events: [{ afterMs: 500, deed: "takes over" }] })] })
const stopping = given({
  rounds: [
    round({
      crash: { point: "after append StopRequested", nth: 1 },
      events: [{ afterMs: 500, deed: "pauses" }]
    }),
    round({ how: "recover" })
  ]
})

describe("what must always hold", () => {
  const caught = new Set<string>()

  it.effect("holds in the jobs whose orchestrators are broken below", () =>
    Effect.forEach([plain, killed, failing, spoiled, interrupted, unstoppable, takenOver, stopping], (options) =>
      Simulation.check("mutant", options)
    )
  )

  const catches = (
    name: string,
    invariant: Simulation.Invariant,
    options: Simulation.Options,
    detail: RegExp,
    scenario: Simulation.Options = plain
  ): void => {
    caught.add(invariant)
    it.effect(`${Simulation.invariants[invariant]}: catches ${name}`, () =>
      Effect.gen(function* () {
        const { broken, story } = yield* Simulation.run("mutant", { ...scenario, ...options })
        const found = broken.some((one) => one.invariant === invariant && detail.test(one.detail))
        assert.isTrue(
          found,
          `${broken.map((one) => `${one.invariant}: ${one.detail}`).join("\n")}\n${story.join("\n")}`
        )
      })
    )
  }

  catches(
    "a run that ends twice",
    "outcome",
    rewriting((event) => (event._tag === "RunEnded" && event.how !== "completed" ? [event, event] : [event])),
    /after the end of run 1/,
    interrupted
  )
  catches(
    "a run that goes on after the job was completed",
    "outcome",
    rewriting((event) => (event._tag === "RunEnded" ? [event, { _tag: "StopRequested", how: "paused" }] : [event])),
    /after the job was completed/
  )
  catches(
    "a manager that succeeds with a job that is not completed",
    "outcome",
    { jobs: (jobs) => ({ ...jobs, run: (id, options) => Effect.catch(jobs.run(id, options), () => jobs.get(id)) }) },
    /succeeds, and the job is failed/,
    failing
  )
  catches(
    "a stitcher that joins in another order",
    "frames",
    stitching((inputs) => inputs.toReversed()),
    /has the frames 9/
  )
  catches(
    "a stitcher that leaves a chunk out",
    "frames",
    stitching((inputs) => inputs.slice(1)),
    /has the frames 3/
  )
  catches(
    "a job that is completed without a chunk",
    "frames",
    rewriting((event) => [event._tag === "RunEnded" ? { ...event, how: "completed" } : event]),
    /completed without 0, 1, 2, 3/,
    failing
  )
  catches(
    "a chunk that is accepted twice",
    "accepted",
    rewriting((event) => (event._tag === "ChunkAccepted" ? [event, event] : [event])),
    /is accepted already/
  )
  catches(
    "a check that finds everything good",
    "accepted",
    parts(() => ({
      outputCheck: { check: (_, result) => Effect.succeed(result.output ?? { location: "nowhere", bytes: 0 }) }
    })),
    /accepted for chunk \d, and is/,
    spoiled
  )
  catches(
    "attempts that share a place, so that the last one wins",
    "accepted",
    parts(({ workspace }) => ({
      workspace: { ...workspace, place: () => Effect.succeed("/job/.helios/film/one.mov") }
    })),
    /accepted for chunk 0, is/
  )
  catches(
    "an orchestrator that forgets what was accepted",
    "paid",
    parts(({ repository }) => ({
      repository: {
        ...repository,
        read: (id, after) => Stream.filter(repository.read(id, after), ({ event }) => event._tag !== "ChunkAccepted")
      }
    })),
    /the chunk is accepted/,
    killed
  )
  catches(
    "a workspace that does not find what is there",
    "paid",
    parts(({ workspace }) => ({ workspace: { ...workspace, stat: () => Effect.succeedNone } })),
    /is taken for lost/,
    given({
      rounds: [round({ crash: { point: "after append ChunkAccepted", nth: 2 } })],
      // Looked for by its check, an output would never be accepted.
      medianMs: 1_000
    })
  )
  catches(
    "an adapter that does not wait for what it stops",
    "left",
    executing((inner) => (job, signal) => Effect.flatMap(Effect.forkDetach(inner.execute(job, signal)), Fiber.join)),
    /says that it has ended, and chunk \d, attempt 1 runs on/,
    interrupted
  )
  catches(
    "a run that hides what it could not stop",
    "left",
    rewriting((event) => [event._tag === "RunEnded" ? { ...event, leftover: [] } : event]),
    /goes on, and is not among what run 1 left/,
    unstoppable
  )
  catches(
    "a run that leaves its chunks' files behind",
    "left",
    parts(({ workspace }) => ({ workspace: { ...workspace, remove: () => Effect.void } })),
    /is still there/,
    killed
  )
  catches("more attempts at once than there may be", "concurrency", { jobs: overloading }, /while 2 others run/)
  catches(
    "more retries than there may be",
    "retries",
    { jobs: (jobs) => ({ ...jobs, run: (id, options) => jobs.run(id, { ...options, retries: 3 }) }) },
    /tried 3 times, with 1 retries/,
    failing
  )
  catches(
    "a journal with more failures than there may be",
    "retries",
    rewriting((event) => (event._tag === "AttemptEnded" ? [event, event, event] : [event])),
    /has failed 3 times/,
    failing
  )
  const watching = (change: (progress: Progress.JobProgress, nth: number) => number): Simulation.Options => ({
    jobs: (jobs) => ({
      ...jobs,
      watch: (id, options) =>
        Stream.map(Stream.zipWithIndex(jobs.watch(id, options)), ([one, nth]) => ({
          ...one,
          fraction: change(one, nth)
        }))
    })
  })
  catches(
    "progress that goes back",
    "progress",
    watching((_, nth) => 0.5 - nth / 100),
    /was told 0.5, then 0.49/
  )
  catches(
    "progress that is done too early",
    "progress",
    watching(({ fraction }) => Math.min(1, fraction * 2)),
    /was told 1 while the job is running/
  )
  catches(
    "progress that is no number",
    "progress",
    watching(() => Number.NaN),
    /then NaN/
  )
  catches(
    "a final file that is written where it will be",
    "whole",
    parts(({ workspace }) => ({
      workspace: {
        ...workspace,
        stage: (_, outputFile) =>
          Effect.succeed({
            path: `/job/${outputFile}`,
            finalPath: `/job/${outputFile}`,
            publish: Effect.succeed({})
          })
      }
    })),
    /the final file is 3 frames/
  )
  catches(
    "a store that does not fence",
    "writer",
    given({ fencing: false, rounds: [round({ events: [{ afterMs: 500, deed: "takes over" }] })] }),
    /run 1 writes after run 2/
  )
  catches(
    "a manager that runs on what was to stop",
    "wishes",
    {
      jobs: (jobs) => ({
        ...jobs,
        recover: () =>
          Effect.as(Effect.ignore(jobs.resume("film", { outputFile: "film.mp4" })), [{ jobId: "film", how: "resumed" }])
      })
    },
    /was to be paused, and is run on/,
    stopping
  )
  catches(
    "an adapter that never answers",
    "live",
    executing(() => () => Effect.never),
    /did not end/
  )
  catches(
    "a job that cannot be completed",
    "live",
    parts(() => ({
      stitcher: {
        stitch: () =>
          Effect.fail(
            new VideoStitcher.StitchError({ reason: new VideoStitcher.ToolMissing({ fix: "install a stitcher" }) })
          )
      }
    })),
    /resumed without faults failed/
  )
  catches(
    "attempts that end before they begin",
    "journal",
    rewriting((event) => (event._tag === "AttemptStarted" ? [] : [event])),
    /never began/
  )

  it("is caught in every part when it does not", () => {
    assert.sameMembers([...caught], Object.keys(Simulation.invariants))
  })
})

describe("Simulation.replay", () => {
  const journalOf = (options: Simulation.Options) =>
    Effect.map(Simulation.check("replay", options), ({ journal }) => journal)

  it.effect("takes as long as the job did, and tells how long it would have taken with more workers", () =>
    Effect.gen(function* () {
      const records = yield* journalOf(given({ stitchMs: 500, rounds: [round({})] }))
      const same = yield* Simulation.replay(records)
      assert.deepStrictEqual(same.broken, [])
      assert.strictEqual(same.status, "completed")
      assert.strictEqual(same.concurrency, 2)
      assert.deepStrictEqual([same.tookMs, same.makespanMs], [2_500, 2_500])
      assert.strictEqual((yield* Simulation.replay(records, { concurrency: 1 })).makespanMs, 4_500)
      assert.strictEqual((yield* Simulation.replay(records, { concurrency: 40 })).makespanMs, 1_500)
    })
  )

  it.effect("fails as often as the job did, in however many runs, and forgets what was interrupted", () =>
    Effect.gen(function* () {
      const records = yield* journalOf(
        given({
          faults: { fails: 0.7 },
          retries: 3,
          rounds: [round({ events: [{ afterMs: 1_200, deed: "interrupts the run" }] })]
        })
      )
      const failures = records.filter(({ event }) => event._tag === "AttemptEnded" && event.error !== undefined).length
      assert.isAbove(failures, 0)
      const again = yield* Simulation.replay(records)
      assert.deepStrictEqual(again.broken, [])
      assert.strictEqual(again.status, "completed")
      assert.strictEqual(again.attempts, 4 + failures)
      assert.isAbove(again.makespanMs, 2_000)
    })
  )

  it.effect.each<{
    name: string
    invariant: Simulation.Invariant
    change: (records: ReadonlyArray<JobEvent.JobRecord>) => typeof records
    detail: RegExp
  }>([
    {
      name: "a gap",
      invariant: "writer",
      change: (records) => records.filter(({ revision }) => revision !== 4),
      detail: /#5 .*after revision 3/
    },
    {
      name: "a record of a run that was taken over",
      invariant: "writer",
      change: (records) => records.map((one) => (one.revision === 5 ? { ...one, run: 0 } : one)),
      detail: /run 0 writes after run 1/
    },
    {
      name: "time that goes back",
      invariant: "journal",
      change: (records) => records.map((one) => (one.revision === 5 ? { ...one, at: -1 } : one)),
      detail: /is before/
    },
    {
      name: "an acceptance that is missing",
      invariant: "frames",
      change: (records) =>
        records
          .filter(({ event }) => event._tag !== "ChunkAccepted" || event.chunk !== 2)
          .map((one, index) => ({ ...one, revision: index + 1 })),
      detail: /completed without 2/
    },
    {
      name: "nothing",
      invariant: "journal",
      change: () => [],
      detail: /no JobCreated/
    }
  ])("finds $name in a journal", ({ change, detail, invariant }) =>
    Effect.gen(function* () {
      const { broken } = yield* Simulation.replay(change(yield* journalOf(plain)))
      assert.isTrue(
        broken.some((one) => one.invariant === invariant && detail.test(one.detail)),
        JSON.stringify(broken)
      )
    })
  )

  it.effect("finds more retries than were allowed, where it is told", () =>
    Effect.gen(function* () {
      const records = yield* journalOf(failing)
      assert.deepStrictEqual((yield* Simulation.replay(records, { retries: 1 })).broken, [])
      const { broken } = yield* Simulation.replay(records, { retries: 0 })
      assert.isTrue(broken.some(({ invariant }) => invariant === "retries"))
    })
  )
})
