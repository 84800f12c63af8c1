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
})

describe("JobRepository create", () => {
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
})

describe("JobRepository openWriter", () => {
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
})

describe("JobRepository read and changes", () => {
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

describe("JobRepository delete", () => {
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
