import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Fiber, Result, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { contended, Seed } from "./Contention.ts"
import type { JobEvent } from "../src/JobEvent.ts"
import * as JobRepository from "../src/JobRepository.ts"
import * as Journals from "./Journals.ts"
import { settle } from "./TestTime.ts"

const created: JobEvent = { _tag: "JobCreated", version: 1, spec: Journals.spec([10, 10]) }
const lost = (found: string): JobEvent => ({ _tag: "OutputLost", chunk: 1, attempt: 1, found })
const ended = (run: number, how: "completed" | "failed" | "cancelled" | "paused"): JobEvent => ({
  _tag: "RunEnded",
  run,
  how,
  leftover: []
})

const repository = JobRepository.JobRepository

/** The reason for which an effect failed. */
const reasonOf = <A, R>(effect: Effect.Effect<A, JobRepository.RepositoryError, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.strictEqual(error._tag, "RepositoryError")
    return error.reason._tag
  })

const journal = (jobId: string, after?: number) =>
  Effect.flatMap(repository, (jobs) => Stream.runCollect(jobs.read(jobId, after)))

/** A writer whose scope closes when it is told to. */
const open = Effect.fnUntraced(function* (jobId: string, takeOver: "if-dead" | "always" = "if-dead") {
  const jobs = yield* repository
  const scope = yield* Scope.make()
  const writer = yield* jobs.openWriter(jobId, { takeOver }).pipe(Scope.provide(scope))
  return { ...writer, close: Scope.close(scope, Exit.void) }
})

/** Runs on a repository that nobody else has. */
const fresh = <A, E, R>(effect: Effect.Effect<A, E, R | JobRepository.JobRepository>) =>
  Effect.provide(effect, JobRepository.layerMemory)

const readers: Record<
  string,
  (jobs: JobRepository.JobRepository["Service"]) => Effect.Effect<void, JobRepository.RepositoryError, Scope.Scope>
> = {
  openWriter: (jobs) => Effect.asVoid(jobs.openWriter("job", { takeOver: "always" })),
  read: (jobs) => Stream.runDrain(jobs.read("job")),
  changes: (jobs) => Stream.runDrain(jobs.changes("job", 0)),
  request: (jobs) => jobs.request("job", { _tag: "Cancel", by: "me" }),
  requests: (jobs) => Stream.runDrain(jobs.requests("job")),
  delete: (jobs) => jobs.delete("job")
}

describe("JobRepository.layerMemory", () => {
  it.effect("says what it promises", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        assert.deepStrictEqual(jobs.guarantees, { fencing: true, crossProcess: false, durable: "none" })
      })
    )
  )

  it.effect("shares nothing between two that are built", () =>
    Effect.gen(function* () {
      yield* fresh(Effect.flatMap(repository, (jobs) => jobs.create("job", created)))
      assert.strictEqual(yield* fresh(reasonOf(journal("job"))), "NotFound")
    })
  )

  it.effect.each(Object.entries(readers))("%s knows no job that was never created, or was deleted", ([, operation]) =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        assert.strictEqual(yield* reasonOf(Effect.scoped(operation(jobs))), "NotFound")
        yield* jobs.create("job", created)
        yield* jobs.delete("job")
        const error = yield* Effect.flip(Effect.scoped(operation(jobs)))
        assert.strictEqual(error.reason._tag, "NotFound")
        assert.strictEqual(error.jobId, "job")
      })
    )
  )
})

describe("JobRepository create", () => {
  it.effect("stores the job with its first event, outside any run", () =>
    fresh(
      Effect.gen(function* () {
        yield* TestClock.adjust(1234)
        yield* Effect.flatMap(repository, (jobs) => jobs.create("job", created))
        assert.deepStrictEqual(yield* journal("job"), [{ revision: 1, run: 0, at: 1234, event: created }])
      })
    )
  )

  it.effect("refuses a second job of the same id and leaves the first as it is", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const again = jobs.create("job", { ...created, spec: Journals.spec([1]) })
        assert.strictEqual(yield* reasonOf(again), "AlreadyExists")
        assert.deepStrictEqual(
          (yield* journal("job")).map(({ event }) => event),
          [created]
        )
      })
    )
  )

  it.effect.prop("lets one of many win, and shows nobody a job without its first event", [Seed], ([seed]) =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        const create = Effect.result(jobs.create("job", created))
        const watch = Effect.suspend(() => Stream.runCollect(jobs.read("job"))).pipe(
          Effect.catch(() => Effect.void),
          Effect.repeat({ until: (records) => records !== undefined })
        )
        const [first, seen, second] = yield* Effect.all([create, watch, create], { concurrency: "unbounded" })
        assert.strictEqual([first, second].filter(Result.isSuccess).length, 1)
        assert.strictEqual(seen?.length, 1)
      }).pipe(contended(seed))
    )
  )

  it.effect("makes an id free again when the job is deleted", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writer = yield* open("job")
        yield* writer.append([lost("in the first")])
        yield* writer.close
        yield* jobs.delete("job")
        yield* jobs.create("job", created)
        assert.strictEqual((yield* journal("job")).length, 1)
        assert.strictEqual((yield* open("job")).run, 1)
        assert.strictEqual(yield* reasonOf(writer.append([lost("late")])), "NotFound")
        assert.strictEqual((yield* journal("job")).length, 1)
      })
    )
  )
})

describe("JobRepository openWriter", () => {
  it.effect("counts runs from 1, also those that wrote nothing", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const runs: Array<number> = []
        for (let i = 0; i < 3; i++) {
          const writer = yield* open("job")
          runs.push(writer.run)
          yield* writer.close
        }
        assert.deepStrictEqual(runs, [1, 2, 3])
      })
    )
  )

  it.effect("fails with Running while the last writer lives, and opens when its scope has closed", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const first = yield* open("job")
        const error = yield* Effect.flip(open("job"))
        assert.deepStrictEqual(error.reason, new JobRepository.Running({ owner: first.owner, alive: "yes" }))
        yield* first.append([lost("still mine")])
        yield* first.close
        assert.strictEqual((yield* open("job")).run, 2)
      })
    )
  )

  it.effect("takes over when told to: the earlier writer is fenced and writes nothing more", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const first = yield* open("job")
        yield* first.append([lost("before")])
        const second = yield* open("job", "always")
        const error = yield* Effect.flip(first.append([lost("stale"), lost("stale")]))
        assert.deepStrictEqual(error.reason, new JobRepository.Fenced({ run: 1 }))
        yield* second.append([lost("after")])
        assert.deepStrictEqual(
          (yield* journal("job", 1)).map(({ event, revision, run }) => ({ event, revision, run })),
          [
            { event: lost("before"), revision: 2, run: 1 },
            { event: lost("after"), revision: 3, run: 2 }
          ]
        )
      })
    )
  )

  it.effect("stays with the later writer when the fenced one closes", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const first = yield* open("job")
        const second = yield* open("job", "always")
        yield* first.close
        assert.strictEqual(yield* reasonOf(open("job")), "Running")
        yield* second.append([lost("still mine")])
        yield* second.close
        assert.strictEqual((yield* open("job")).run, 3)
      })
    )
  )

  it.effect("is released by a scope that fails or is interrupted", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writing = Effect.scoped(Effect.andThen(jobs.openWriter("job", { takeOver: "if-dead" }), Effect.never))
        const fiber = yield* Effect.forkChild(writing)
        yield* settle
        assert.strictEqual(yield* reasonOf(open("job")), "Running")
        yield* Fiber.interrupt(fiber)
        const failing = Effect.andThen(jobs.openWriter("job", { takeOver: "if-dead" }), Effect.fail("no"))
        assert.strictEqual(yield* Effect.flip(Effect.scoped(failing)), "no")
        assert.strictEqual((yield* open("job")).run, 3)
      })
    )
  )

  it.effect.prop(
    "leaves the job closed, or its writer open, whenever it is interrupted",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })), Seed],
    ([steps, seed]) =>
      fresh(
        Effect.gen(function* () {
          const jobs = yield* repository
          yield* jobs.create("job", created)
          const fiber = yield* jobs.openWriter("job", { takeOver: "if-dead" }).pipe(Effect.scoped, Effect.forkChild)
          yield* Effect.repeat(Effect.yieldNow, { times: steps })
          yield* Fiber.interrupt(fiber)
          const next = yield* open("job")
          yield* next.append([lost("mine")])
          assert.strictEqual((yield* journal("job")).length, 2)
        }).pipe(contended(seed))
      )
  )

  it.effect.prop("opens for one of many that come at once", [Seed], ([seed]) =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const tries = yield* Effect.forEach([1, 2, 3, 4], () => Effect.result(open("job")), {
          concurrency: "unbounded"
        })
        assert.strictEqual(tries.filter(Result.isSuccess).length, 1)
      }).pipe(contended(seed))
    )
  )

  it.effect.prop("gives those that take over at once a run each, of which the last can write", [Seed], ([seed]) =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writers = yield* Effect.forEach([1, 2, 3, 4], () => open("job", "always"), { concurrency: "unbounded" })
        assert.deepStrictEqual(new Set(writers.map(({ run }) => run)), new Set([1, 2, 3, 4]))
        for (const writer of writers) {
          const appended = yield* Effect.result(writer.append([lost(`by ${writer.run}`)]))
          assert.strictEqual(Result.isSuccess(appended), writer.run === 4)
        }
      }).pipe(contended(seed))
    )
  )
})

describe("JobRepository append", () => {
  it.effect("gives the records of its events, at the time of the clock", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writer = yield* open("job")
        yield* TestClock.adjust(500)
        const records = yield* writer.append([lost("a"), lost("b")])
        assert.deepStrictEqual(records, [
          { revision: 2, run: 1, at: 500, event: lost("a") },
          { revision: 3, run: 1, at: 500, event: lost("b") }
        ])
        assert.deepStrictEqual(yield* journal("job", 1), records)
      })
    )
  )

  it.effect("of nothing is nothing", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writer = yield* open("job")
        assert.deepStrictEqual(yield* writer.append([]), [])
        assert.strictEqual((yield* journal("job")).length, 1)
      })
    )
  )

  it.effect("is not taken back by what its caller does with the events or records", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writer = yield* open("job")
        const events = [lost("a")]
        yield* writer.append(events)
        events.push(lost("b"))
        assert.strictEqual((yield* journal("job")).length, 2)
      })
    )
  )
})

describe("JobRepository read and changes", () => {
  it.effect("read gives what is after a revision, and ends", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writer = yield* open("job")
        yield* writer.append([lost("a"), lost("b"), lost("c")])
        const revisions = (after?: number) => Effect.map(journal("job", after), (all) => all.map((r) => r.revision))
        assert.deepStrictEqual(yield* revisions(), [1, 2, 3, 4])
        assert.deepStrictEqual(yield* revisions(0), [1, 2, 3, 4])
        assert.deepStrictEqual(yield* revisions(2), [3, 4])
        assert.deepStrictEqual(yield* revisions(4), [])
        assert.deepStrictEqual(yield* revisions(99), [])
      })
    )
  )

  it.effect("changes gives the history, then each append, across runs, and ends when the job is deleted", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const first = yield* open("job")
        yield* first.append([lost("history")])
        const seen: Array<number> = []
        const watching = yield* jobs.changes("job", 1).pipe(
          Stream.runForEach(({ revision }) => Effect.sync(() => seen.push(revision))),
          Effect.forkChild
        )
        yield* settle
        assert.deepStrictEqual(seen, [2])
        yield* first.append([lost("a"), lost("b")])
        yield* settle
        assert.deepStrictEqual(seen, [2, 3, 4])
        yield* first.close
        const second = yield* open("job")
        yield* second.append([lost("c")])
        yield* second.close
        yield* settle
        assert.deepStrictEqual(seen, [2, 3, 4, 5])
        assert.isUndefined(watching.pollUnsafe())
        yield* jobs.delete("job")
        yield* Fiber.join(watching)
        assert.deepStrictEqual(seen, [2, 3, 4, 5])
      })
    )
  )

  it.effect("changes gives what is left to a slow watcher of a job that is deleted", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const watching = yield* jobs.changes("job", 0).pipe(
          Stream.mapEffect((record) => Effect.as(Effect.sleep("1 second"), record.revision)),
          Stream.runCollect,
          Effect.forkChild
        )
        yield* settle
        const writer = yield* open("job")
        yield* writer.append([lost("a"), lost("b")])
        yield* writer.close
        yield* jobs.delete("job")
        for (let i = 0; i < 4; i++) {
          yield* settle
          yield* TestClock.adjust("1 second")
        }
        assert.deepStrictEqual(yield* Fiber.join(watching), [1, 2, 3])
      })
    )
  )

  it.effect("changes after a revision that is yet to come waits for the one after it", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const watching = yield* jobs.changes("job", 3).pipe(Stream.take(1), Stream.runCollect, Effect.forkChild)
        const writer = yield* open("job")
        yield* settle
        yield* writer.append([lost("2"), lost("3")])
        yield* settle
        yield* writer.append([lost("4")])
        assert.deepStrictEqual(
          (yield* Fiber.join(watching)).map(({ revision }) => revision),
          [4]
        )
      })
    )
  )

  it.effect("a watcher that waits can be interrupted", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        for (const watch of [Stream.runDrain(jobs.changes("job", 1)), Stream.runDrain(jobs.requests("job"))]) {
          const watching = yield* Effect.forkChild(watch)
          yield* settle
          yield* Fiber.interrupt(watching)
        }
        const writer = yield* open("job")
        yield* writer.append([lost("nobody watches")])
      })
    )
  )

  it.effect.prop(
    "every watcher sees every record once and in order, whenever it comes and however it is interleaved",
    [
      Schema.Array(
        Schema.Struct({
          events: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
          watchers: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
          steps: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))
        })
      ),
      Seed
    ],
    ([script, seed]) =>
      fresh(
        Effect.gen(function* () {
          const jobs = yield* repository
          yield* jobs.create("job", created)
          const writer = yield* open("job")
          const watching: Array<Fiber.Fiber<Array<number>, JobRepository.RepositoryError>> = []
          for (const { events, steps, watchers } of script) {
            yield* writer.append(Array.from({ length: events }, (_, i) => lost(String(i))))
            if (watchers === 1) {
              watching.push(
                yield* jobs.changes("job", 0).pipe(
                  Stream.map(({ revision }) => revision),
                  Stream.runCollect,
                  Effect.forkChild
                )
              )
            }
            yield* Effect.repeat(Effect.yieldNow, { times: steps })
          }
          yield* settle
          yield* writer.close
          const total = (yield* journal("job")).length
          yield* jobs.delete("job")
          for (const fiber of watching) {
            assert.deepStrictEqual(
              yield* Fiber.join(fiber),
              Array.from({ length: total }, (_, i) => i + 1)
            )
          }
        }).pipe(contended(seed))
      ),
    { arbitrary: { runs: 50 } }
  )
})

describe("JobRepository requests", () => {
  const cancel = { _tag: "Cancel", by: "me" } as const
  const pause = { _tag: "Pause", mode: "drain" } as const

  it.effect("reach the current writer in order, those from before it listened as well", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        yield* open("job")
        yield* jobs.request("job", pause)
        const listening = yield* jobs.requests("job").pipe(Stream.take(2), Stream.runCollect, Effect.forkChild)
        yield* settle
        yield* jobs.request("job", cancel)
        assert.deepStrictEqual(yield* Fiber.join(listening), [pause, cancel])
      })
    )
  )

  it.effect("do not reach the next run", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        yield* jobs.request("job", cancel) // nobody runs it
        const first = yield* open("job")
        const heardByFirst = yield* Effect.forkChild(Stream.runCollect(jobs.requests("job")))
        yield* settle
        yield* first.close
        yield* jobs.request("job", pause) // nobody runs it any more
        yield* settle
        yield* open("job")
        const heardBySecond = yield* jobs.requests("job").pipe(Stream.take(1), Stream.runCollect, Effect.forkChild)
        yield* settle
        assert.isUndefined(heardBySecond.pollUnsafe())
        assert.deepStrictEqual(yield* Fiber.join(heardByFirst), [pause])
        yield* jobs.request("job", cancel)
        assert.deepStrictEqual(yield* Fiber.join(heardBySecond), [cancel])
      })
    )
  )

  it.effect("of a run end when another takes over, or the job is deleted", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        yield* open("job")
        const first = yield* Effect.forkChild(Stream.runCollect(jobs.requests("job")))
        yield* settle
        const second = yield* open("job", "always")
        assert.deepStrictEqual(yield* Fiber.join(first), [])
        const later = yield* Effect.forkChild(Stream.runCollect(jobs.requests("job")))
        yield* settle
        yield* second.close
        yield* jobs.delete("job")
        assert.deepStrictEqual(yield* Fiber.join(later), [])
      })
    )
  )

  it.effect("are seen by everybody who listens, and by nobody of another job", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        yield* jobs.create("other", created)
        yield* open("job")
        yield* open("other")
        const listen = (jobId: string) => jobs.requests(jobId).pipe(Stream.take(1), Stream.runCollect, Effect.forkChild)
        const [a, b, other] = [yield* listen("job"), yield* listen("job"), yield* listen("other")]
        yield* settle
        yield* jobs.request("job", cancel)
        assert.deepStrictEqual(yield* Fiber.join(a), [cancel])
        assert.deepStrictEqual(yield* Fiber.join(b), [cancel])
        yield* settle
        assert.isUndefined(other.pollUnsafe())
      })
    )
  )
})

describe("JobRepository delete", () => {
  it.effect("refuses while somebody writes", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const writer = yield* open("job")
        assert.strictEqual(yield* reasonOf(jobs.delete("job")), "Running")
        yield* writer.append([lost("still here")])
        yield* writer.close
        yield* jobs.delete("job")
        assert.strictEqual(yield* reasonOf(jobs.delete("job")), "NotFound")
        assert.deepStrictEqual(yield* Stream.runCollect(jobs.list()), [])
      })
    )
  )

  it.effect.prop("takes a job once, however many ask", [Seed], ([seed]) =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        yield* jobs.create("job", created)
        const renew = Effect.andThen(jobs.delete("job"), jobs.create("job", created))
        const [deleted, renewed] = yield* Effect.all([Effect.result(jobs.delete("job")), Effect.result(renew)], {
          concurrency: "unbounded"
        })
        // As one after the other would: whoever is second finds no job, or the new one.
        const left = yield* Effect.result(journal("job"))
        const deletes = [deleted, renewed].filter(Result.isSuccess).length
        assert.strictEqual(Result.isSuccess(left), deletes === 1 && Result.isSuccess(renewed))
      }).pipe(contended(seed))
    )
  )
})

describe("JobRepository list", () => {
  const jobsOfEveryStatus = Effect.gen(function* () {
    const jobs = yield* repository
    const end = Effect.fnUntraced(function* (jobId: string, how: "completed" | "failed" | "cancelled" | "paused") {
      const writer = yield* open(jobId)
      yield* writer.append([{ _tag: "RunStarted", run: writer.run, owner: writer.owner }, ended(writer.run, how)])
      yield* writer.close
    })
    for (const id of ["pending", "running", "paused", "completed", "failed", "cancelled"]) {
      yield* jobs.create(id, created)
      yield* TestClock.adjust(10)
    }
    const writer = yield* open("running")
    yield* writer.append([{ _tag: "RunStarted", run: writer.run, owner: writer.owner }])
    for (const how of ["paused", "completed", "failed", "cancelled"] as const) {
      yield* TestClock.adjust(100)
      yield* end(how, how)
    }
    return jobs
  })

  it.effect("gives the jobs, newest first", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* jobsOfEveryStatus
        const all = yield* Stream.runCollect(jobs.list())
        assert.deepStrictEqual(
          all.map(({ id }) => id),
          ["cancelled", "failed", "completed", "paused", "running", "pending"]
        )
        for (const job of all) {
          assert.strictEqual(job.status, job.id)
          assert.strictEqual(job.run, job.id === "pending" ? 0 : 1)
          assert.strictEqual(job.progress, job.id === "completed" ? 1 : 0)
          assert.strictEqual(job.owner, job.id === "running" ? "alive" : "none")
          assert.isFalse("chunks" in job)
        }
        assert.deepStrictEqual(all.at(-1), {
          id: "pending",
          status: "pending",
          run: 0,
          progress: 0,
          createdAt: 0,
          updatedAt: 0,
          owner: "none"
        })
      })
    )
  )

  it.effect("filters by status and by time, and by both", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* jobsOfEveryStatus
        const ids = (options: Parameters<typeof jobs.list>[0]) =>
          Effect.map(Stream.runCollect(jobs.list(options)), (found) => found.map(({ id }) => id))
        assert.deepStrictEqual(yield* ids({ status: ["paused", "failed"] }), ["failed", "paused"])
        assert.deepStrictEqual(yield* ids({ status: [] }), [])
        const [paused] = yield* Stream.runCollect(jobs.list({ status: ["paused"] }))
        const updatedAfter = paused?.updatedAt
        assert.deepStrictEqual(yield* ids({ updatedAfter }), ["cancelled", "failed", "completed"])
        assert.deepStrictEqual(yield* ids({ updatedAfter, status: ["failed", "paused"] }), ["failed"])
        assert.deepStrictEqual(yield* ids({ status: undefined, updatedAfter: undefined }), yield* ids(undefined))
      })
    )
  )

  it.effect("looks when it is read, not when it is made", () =>
    fresh(
      Effect.gen(function* () {
        const jobs = yield* repository
        const list = jobs.list()
        assert.deepStrictEqual(yield* Stream.runCollect(list), [])
        yield* jobs.create("job", created)
        assert.strictEqual((yield* Stream.runCollect(list)).length, 1)
      })
    )
  )
})

describe("JobRepository with many orchestrators", () => {
  const Step = Schema.Struct({
    does: Schema.Literals(["if-dead", "always", "append", "append", "append", "close"]),
    waits: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))
  })
  const orchestrators = Arbitrary.array(Arbitrary.array(Arbitrary.schema(Step), { maxLength: 12 }), {
    minLength: 2,
    maxLength: 4
  })

  interface Append {
    readonly run: number
    readonly batch: string
    readonly size: number
    /** The latest run that was known to have begun before the append did. */
    readonly after: number
    readonly result: "written" | "Fenced"
  }

  it.effect.prop(
    "the journal is written by one at a time, in the order of runs, whole batches or nothing",
    [orchestrators, Seed],
    ([scripts, seed]) =>
      fresh(
        Effect.gen(function* () {
          const jobs = yield* repository
          yield* jobs.create("job", created)
          const appends: Array<Append> = []
          const begun: Array<number> = []
          const closing = new Set<number>()

          const orchestrate = Effect.fnUntraced(function* (script: ReadonlyArray<typeof Step.Type>, name: number) {
            let mine: Effect.Success<ReturnType<typeof open>> | undefined
            const close = Effect.suspend(() => {
              if (mine === undefined) return Effect.void
              closing.add(mine.run)
              const closed = mine.close
              mine = undefined
              return closed
            })
            for (const [step, { does, waits }] of script.entries()) {
              yield* Effect.repeat(Effect.yieldNow, { times: waits })
              if (does === "close") {
                yield* close
              } else if (does !== "append") {
                const opened = yield* Effect.result(open("job", does))
                if (Result.isFailure(opened)) {
                  assert.strictEqual(opened.failure.reason._tag, "Running")
                  assert.strictEqual(does, "if-dead")
                  continue
                }
                const earlier = mine
                mine = opened.success
                const { run } = mine
                assert.notInclude(begun, run)
                if (does === "if-dead") assert.isTrue(run === 1 || closing.has(run - 1), `run ${run - 1} lived`)
                begun.push(run)
                if (earlier !== undefined) yield* earlier.close
              } else if (mine !== undefined) {
                const { append, run } = mine
                const batch = `${name}.${step}`
                const size = 1 + (step % 3)
                const after = Math.max(0, ...begun)
                const events = Array.from({ length: size }, (_, i) => lost(`${batch}.${i}`))
                const result = yield* Effect.result(append(events))
                if (Result.isFailure(result)) assert.strictEqual(result.failure.reason._tag, "Fenced")
                appends.push({ run, batch, size, after, result: Result.isSuccess(result) ? "written" : "Fenced" })
              }
            }
            yield* close
          })
          yield* Effect.forEach(scripts, orchestrate, { concurrency: "unbounded", discard: true })

          const records = yield* journal("job")
          const found = records.map(({ event }) => (event._tag === "OutputLost" ? event.found : ""))
          const runs = records.map(({ run }) => run)
          assert.deepStrictEqual(
            records.map(({ revision }) => revision),
            records.map((_, i) => i + 1)
          )
          assert.deepStrictEqual(
            runs,
            runs.toSorted((a, b) => a - b)
          )
          for (const { after, batch, result, run, size } of appends) {
            const at = found.indexOf(`${batch}.0`)
            const expected = result === "written" ? Array.from({ length: size }, (_, i) => `${batch}.${i}`) : []
            assert.deepStrictEqual(at < 0 ? [] : found.slice(at, at + size), expected)
            if (at >= 0) assert.deepStrictEqual(new Set(runs.slice(at, at + size)), new Set([run]))
            if (after > run) assert.strictEqual(result, "Fenced", `run ${run} wrote after run ${after} had begun`)
          }
          const written = appends.filter(({ result }) => result === "written")
          assert.strictEqual(
            records.length,
            written.reduce((sum, { size }) => sum + size, 1)
          )
          // When all are gone, the job is free.
          yield* open("job")
        }).pipe(contended(seed))
      ),
    { arbitrary: { runs: 150, size: 12 } }
  )
})

describe("RepositoryError", () => {
  const owner = { host: "render-3", pid: 4711 }
  const reasons = {
    notFound: new JobRepository.NotFound(),
    alreadyExists: new JobRepository.AlreadyExists(),
    running: new JobRepository.Running({ owner, alive: "yes" }),
    perhapsRunning: new JobRepository.Running({ owner: { host: "render-3" }, alive: "unknown" }),
    fenced: new JobRepository.Fenced({ run: 2 }),
    corrupt: new JobRepository.Corrupt({ where: "run-0001.ndjson, line 7" }),
    newerVersion: new JobRepository.NewerVersion({ found: 9, writtenBy: "@helios-infra/adapter-local" }),
    unavailable: new JobRepository.Unavailable({ cause: new Error("disk full") })
  }
  const cases = Object.entries(reasons)
  const wrap = (reason: JobRepository.RepositoryError["reason"]) =>
    new JobRepository.RepositoryError({ jobId: "trailer", reason })

  it("has a message for every reason there is", () => {
    assert.deepStrictEqual(
      new Set(cases.map(([, reason]) => reason._tag)),
      new Set(JobRepository.RepositoryError.fields.reason.members.map((member) => member.fields._tag.ast.literal))
    )
  })

  it.each([
    ["notFound", "no such job"],
    ["alreadyExists", "give the job file another id, or none"],
    ["running", "run by render-3, process 4711: cancel it there"],
    ["perhapsRunning", "run by render-3 (which may be dead)"],
    ["fenced", "run 2 has been taken over by a later one"],
    ["corrupt", "run-0001.ndjson, line 7"],
    ["newerVersion", "version 9, which a later @helios-infra/adapter-local wrote: update that package"],
    ["unavailable", "disk full"]
  ] as const)("names the job and says what happened: %s", (name, words) => {
    const { message } = wrap(reasons[name])
    assert.isTrue(message.startsWith("job trailer: "))
    assert.include(message, words)
  })

  it.each(cases)("comes back from JSON as the error it was (%s)", (_, reason) => {
    const json = Schema.fromJsonString(Schema.toCodecJson(JobRepository.RepositoryError))
    const error = wrap(reason)
    const received = Schema.decodeSync(json)(Schema.encodeSync(json)(error))
    assert.instanceOf(received, JobRepository.RepositoryError)
    assert.strictEqual(Object.getPrototypeOf(received.reason), Object.getPrototypeOf(reason))
    assert.strictEqual(received.message, error.message)
  })

  it("has a message whatever the store threw", () => {
    const unshowable = {
      toString() {
        throw new Error("not even this")
      }
    }
    for (const cause of [Object.create(null), unshowable, { code: "EIO" }, undefined, 10n, "EIO", Symbol("s")]) {
      assert.match(wrap(new JobRepository.Unavailable({ cause })).message, /^job trailer: the store failed: ./)
    }
    const behind = new Error("write failed", { cause: new Error("EIO") })
    for (const cause of [{ code: "EIO" }, behind, new AggregateError([new Error("EIO")])]) {
      assert.include(wrap(new JobRepository.Unavailable({ cause })).message, "EIO")
    }
    assert.isBelow(wrap(new JobRepository.Unavailable({ cause: "x".repeat(1_000_000) })).message.length, 1200)
  })
})
