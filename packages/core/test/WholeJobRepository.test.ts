import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { JobEvent } from "../src/JobEvent.ts"
import type { RepositoryError } from "../src/JobRepository.ts"
import * as JobState from "../src/JobState.ts"
import * as WholeJobRepository from "../src/WholeJobRepository.ts"
import * as Journals from "./Journals.ts"
import { untyped } from "./promise/Plain.ts"

const created: JobEvent = { _tag: "JobCreated", version: 1, spec: Journals.spec([10, 10]) }
const lost: JobEvent = { _tag: "OutputLost", chunk: 1, attempt: 1, found: "nothing" }
const ended: JobEvent = { _tag: "RunEnded", run: 1, how: "completed", leftover: [] }

/** A store as JSON, and when each state was saved. */
const makeStore = (
  save: (state: JobState.JobState) => Effect.Effect<unknown, WholeJobRepository.StoreError> = () => Effect.void
) => {
  const rows = new Map<string, string>()
  const saves: Array<{ readonly at: number; readonly status: string; readonly revision: number }> = []
  const jobs = WholeJobRepository.fromStore({
    save: (state) =>
      Effect.gen(function* () {
        yield* save(state)
        const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        saves.push({ at, status: state.status, revision: state.revision })
        rows.set(state.id, JSON.stringify(state))
      }),
    get: (jobId) => Effect.sync((): unknown => JSON.parse(rows.get(jobId) ?? "null")),
    list: () => Effect.sync(() => Array.from(rows.values(), (row): unknown => JSON.parse(row))),
    delete: (jobId) => Effect.sync(() => rows.delete(jobId))
  })
  return { jobs, rows, saves }
}

const refused = new WholeJobRepository.StoreError({ cause: new Error("refused") })

const reasonOf = <A>(effect: Effect.Effect<A, RepositoryError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason._tag)

describe("journalOf", () => {
  it.prop(
    "amounts to the state that it was made from, through JSON, with its revision and without gaps",
    [Journals.legal],
    ([{ records }]) => {
      const state = JobState.fold("job", records)
      assert.isDefined(state)
      const stored: JobState.JobState = untyped(JSON.parse(JSON.stringify(state)))
      const journal = WholeJobRepository.journalOf(stored)
      assert.deepStrictEqual(JobState.fold("job", journal), stored)
      const first = journal[0]?.revision ?? 0
      assert.deepStrictEqual(
        journal.map(({ revision }) => revision),
        journal.map((_, index) => first + index)
      )
      assert.isAtLeast(first, 1)
    },
    Journals.many
  )
})

describe("fromStore", () => {
  it.effect("says that it cannot fence, and what a crash costs", () =>
    Effect.sync(() =>
      assert.deepStrictEqual(makeStore().jobs.guarantees, { fencing: false, crossProcess: false, durable: "interval" })
    )
  )

  it.effect("saves at once, then at most every 250 ms, and at the end at once", () =>
    Effect.gen(function* () {
      const { jobs, saves } = makeStore()
      yield* jobs.create("job", created)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
          yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
          for (let i = 0; i < 95; i++) {
            yield* writer.append([lost])
            yield* TestClock.adjust(10)
          }
          yield* writer.append([ended])
        })
      )
      assert.deepStrictEqual(
        saves.map(({ at, status }) => [at, status]),
        [
          [0, "pending"],
          [0, "running"],
          [250, "running"],
          [500, "running"],
          [750, "running"],
          [950, "completed"]
        ]
      )
      assert.strictEqual(saves.at(-1)?.revision, 98)
    })
  )

  it.effect("does nothing while nothing happens", () =>
    Effect.gen(function* () {
      const { jobs, saves } = makeStore()
      yield* jobs.create("job", created)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* jobs.openWriter("job", { takeOver: "if-dead" })
          yield* TestClock.adjust("1 hour")
        })
      )
      assert.strictEqual(saves.length, 1)
    })
  )

  it.effect("tries a failed save again, with what has happened since", () =>
    Effect.gen(function* () {
      let failures = 2
      const { jobs, saves } = makeStore((state) =>
        state.status === "running" && failures-- > 0 ? Effect.fail(refused) : Effect.void
      )
      yield* jobs.create("job", created)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
          yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
          yield* TestClock.adjust(100)
          yield* writer.append([lost])
          yield* TestClock.adjust(500)
          assert.deepStrictEqual(saves.at(-1), { at: 500, status: "running", revision: 3 })
        })
      )
    })
  )

  it.effect("fails the append that ends a run when it cannot be saved, and nobody hears of that end", () =>
    Effect.gen(function* () {
      const { jobs } = makeStore((state) => (state.status === "completed" ? Effect.fail(refused) : Effect.void))
      yield* jobs.create("job", created)
      const heard = yield* Effect.forkChild(Stream.runCollect(jobs.changes("job", 0)), { startImmediately: true })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
          yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
          assert.strictEqual(yield* reasonOf(writer.append([ended])), "Unavailable")
        })
      )
      assert.deepStrictEqual(
        (yield* Fiber.join(heard)).map(({ event }) => event._tag),
        ["JobCreated", "RunStarted"]
      )
      const state = JobState.fold("job", yield* Stream.runCollect(jobs.read("job")))
      assert.notStrictEqual(state?.status, "completed")
    })
  )

  it.effect("saves the end after a slow save, never before it", () =>
    Effect.gen(function* () {
      const slow = yield* Deferred.make<void>()
      const { jobs, saves } = makeStore((state) => (state.status === "running" ? Deferred.await(slow) : Effect.void))
      yield* jobs.create("job", created)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
          yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
          yield* TestClock.adjust(1)
          const ending = yield* Effect.forkChild(writer.append([ended]))
          yield* TestClock.adjust("1 second")
          assert.strictEqual(saves.length, 1)
          yield* Deferred.succeed(slow, undefined)
          yield* Fiber.join(ending)
        })
      )
      assert.deepStrictEqual(
        saves.map(({ status }) => status),
        ["pending", "running", "completed"]
      )
    })
  )

  describe("a writer that is closed before its run has ended", () => {
    const closed = (jobs: ReturnType<typeof makeStore>["jobs"], between: Effect.Effect<void> = Effect.void) =>
      Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
          yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
          yield* between
          yield* writer.append([lost])
        })
      )

    it.effect("has saved what was appended last", () =>
      Effect.gen(function* () {
        const { jobs, saves } = makeStore()
        yield* jobs.create("job", created)
        yield* closed(jobs, TestClock.adjust(100))
        assert.deepStrictEqual(saves.at(-1), { at: 100, status: "running", revision: 3 })
        assert.strictEqual((yield* Stream.runCollect(jobs.read("job"))).at(-1)?.revision, 3)
      })
    )

    it.effect("saves nothing that is saved already", () =>
      Effect.gen(function* () {
        const { jobs, saves } = makeStore()
        yield* jobs.create("job", created)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
            yield* writer.append([lost])
            yield* TestClock.adjust(1)
          })
        )
        assert.deepStrictEqual(
          saves.map(({ revision }) => revision),
          [1, 2]
        )
      })
    )

    it.effect("waits for a save under way, and saves what came after it", () =>
      Effect.gen(function* () {
        const { jobs, saves } = makeStore((state) => (state.revision === 2 ? Effect.sleep("1 second") : Effect.void))
        yield* jobs.create("job", created)
        const closing = yield* Effect.forkChild(closed(jobs, TestClock.adjust(1)))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(closing)
        assert.deepStrictEqual(
          saves.map(({ revision }) => revision),
          [1, 2, 3]
        )
      })
    )

    it.effect.each([
      ["fails", Effect.fail(refused)],
      ["gives no answer", Effect.never]
    ] as const)("is closed all the same when the store %s", ([, answer]) =>
      Effect.gen(function* () {
        const { jobs, saves } = makeStore((state) => (state.status === "running" ? answer : Effect.void))
        yield* jobs.create("job", created)
        const closing = yield* Effect.forkChild(closed(jobs))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(closing)
        assert.strictEqual(saves.length, 1)
        yield* jobs.openWriter("job", { takeOver: "if-dead" })
      })
    )

    it.effect("leaves the job to the writer that took over from it", () =>
      Effect.gen(function* () {
        const { jobs, saves } = makeStore()
        yield* jobs.create("job", created)
        const scope = yield* Scope.make()
        const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" }).pipe(Scope.provide(scope))
        yield* writer.append([lost])
        yield* jobs.openWriter("job", { takeOver: "always" })
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(saves.length, 1)
      })
    )
  })

  it.effect("knows one writer at a time in its process", () =>
    Effect.gen(function* () {
      const { jobs } = makeStore()
      yield* jobs.create("job", created)
      const scope = yield* Scope.make()
      const open = (takeOver: "if-dead" | "always") => jobs.openWriter("job", { takeOver }).pipe(Scope.provide(scope))
      const first = yield* open("if-dead")
      assert.strictEqual(yield* reasonOf(open("if-dead")), "Running")
      assert.strictEqual(yield* reasonOf(jobs.delete("job")), "Running")
      const second = yield* open("always")
      assert.strictEqual(yield* reasonOf(first.append([lost])), "Fenced")
      yield* second.append([lost])
      yield* Scope.close(scope, Exit.void)
      yield* jobs.delete("job")
      assert.strictEqual(yield* reasonOf(Stream.runDrain(jobs.read("job"))), "NotFound")
    })
  )

  it.effect("goes on in another process from what was saved, with the next run and revision", () =>
    Effect.gen(function* () {
      const { jobs, rows } = makeStore()
      yield* jobs.create("job", created)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
          const accepted = { location: "/7.mov", bytes: 7 }
          yield* writer.append([
            { _tag: "RunStarted", run: 1, owner: writer.owner },
            { _tag: "AttemptStarted", chunk: 1, attempt: 1 },
            { _tag: "ChunkAccepted", chunk: 1, attempt: 1, output: accepted, durationMs: 5 }
          ])
          yield* TestClock.adjust(1)
        })
      )
      const other = makeStore()
      for (const [id, row] of rows) other.rows.set(id, row)
      const writer = yield* other.jobs.openWriter("job", { takeOver: "if-dead" })
      assert.strictEqual(writer.run, 2)
      const [record] = yield* writer.append([{ _tag: "RunStarted", run: 2, owner: writer.owner }])
      assert.strictEqual(record?.revision, 5)
      const state = JobState.fold("job", yield* Stream.runCollect(other.jobs.read("job")))
      assert.deepStrictEqual(state?.chunks.find(({ id }) => id === 1)?.output, { location: "/7.mov", bytes: 7 })
      assert.deepStrictEqual(
        (yield* Stream.runCollect(other.jobs.read("job", 4))).map(({ event }) => event._tag),
        ["RunStarted"]
      )
    })
  )

  it.effect("keeps the logs of jobs that ran here, as long as the store has the same job", () =>
    Effect.gen(function* () {
      const { jobs, rows } = makeStore()
      yield* jobs.create("job", created)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* jobs.openWriter("job", { takeOver: "if-dead" })
          yield* writer.append([
            { _tag: "AttemptStarted", chunk: 1, attempt: 1 },
            { _tag: "AttemptEnded", chunk: 1, attempt: 1, how: "failed", log: "no such scene" },
            ended
          ])
        })
      )
      const logs = Effect.map(Stream.runCollect(jobs.read("job")), (records) =>
        records.flatMap(({ event }) => ("log" in event ? [event.log] : []))
      )
      assert.deepStrictEqual(yield* logs, ["no such scene"])
      rows.set("job", (rows.get("job") ?? "").replace('"revision":4', '"revision":9'))
      assert.deepStrictEqual(yield* logs, [], "somebody else has stored another state of it")
    })
  )

  it.effect("refuses a second job of the same id, two at once included", () =>
    Effect.gen(function* () {
      const { jobs } = makeStore(() => Effect.sleep("1 second"))
      const both = yield* Effect.forEach([1, 2], () => Effect.exit(jobs.create("job", created)), {
        concurrency: "unbounded"
      }).pipe(Effect.forkChild)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(both)).filter(Exit.isSuccess).length, 1)
      assert.strictEqual(yield* reasonOf(jobs.create("job", created)), "AlreadyExists")
    })
  )

  it.effect("hands requests to the run that is open", () =>
    Effect.gen(function* () {
      const { jobs } = makeStore()
      yield* jobs.create("job", created)
      yield* jobs.openWriter("job", { takeOver: "if-dead" })
      const heard = yield* Effect.forkChild(Stream.runHead(jobs.requests("job")))
      yield* jobs.request("job", { _tag: "Pause", mode: "interrupt" })
      assert.deepStrictEqual(
        (yield* Fiber.join(heard)).valueOf(),
        (yield* Stream.runHead(jobs.requests("job"))).valueOf()
      )
    })
  )

  it.effect("lists what is stored, newest first, and what runs here as it stands", () =>
    Effect.gen(function* () {
      const { jobs } = makeStore()
      yield* jobs.create("a", created)
      yield* TestClock.adjust(10)
      yield* jobs.create("b", created)
      const writer = yield* jobs.openWriter("a", { takeOver: "if-dead" })
      yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
      const listed = yield* Stream.runCollect(jobs.list())
      assert.deepStrictEqual(
        listed.map(({ id, owner, status }) => [id, status, owner]),
        [
          ["b", "pending", "none"],
          ["a", "running", "alive"]
        ]
      )
      const running = yield* Stream.runCollect(jobs.list({ status: ["running"] }))
      assert.deepStrictEqual(
        running.map(({ id }) => id),
        ["a"]
      )
    })
  )
})
