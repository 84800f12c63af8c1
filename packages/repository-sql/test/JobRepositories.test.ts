/** What holds in SQLite and in Postgres, beyond the contract. */
import { assert, describe, it } from "@effect/vitest"
import { JobEvent, JobState, WorkerError } from "@helios-infra/core"
import { Arbitrary, Effect, Fiber, References, Result, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { appendAll, created, errorOf, founds, journal, lost, open, reasonOf, spec, type Jobs } from "./Jobs.ts"
import * as Places from "./Places.ts"
import * as Postgres from "./Postgres.ts"

const server = Postgres.shared()
const places = [["SQLite", Places.sqlite] as const, ["Postgres", Places.postgres(server)] as const]

/** Ids that SQL, encodings and people stumble over. */
const hostileIds = [
  "",
  "a",
  "A",
  "ü",
  "u\u0308",
  "nul\0",
  "nul\\0000",
  "\\",
  "\\u0000",
  "new\nline\ttab\u007f\u0085",
  "ビデオ🎬",
  "\ud800",
  "\udc00\ud800",
  "\\d800",
  "\ufffd",
  "'; DROP TABLE helios_jobs; --",
  '"; DROP SCHEMA helios CASCADE; --',
  "' OR '1'='1",
  "%",
  "_",
  "$1",
  "?",
  "x".repeat(100_000),
  `${"x".repeat(99_999)}y`
]

const jsonOf = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(Schema.Array(JobEvent.JobRecord))))

const events = Arbitrary.array(Arbitrary.schema(JobEvent.JobEvent), { minLength: 20, maxLength: 40 })

/** The ids that a list gives, without what it says about the others. */
const ids = (jobs: Jobs) =>
  Stream.runCollect(jobs.list()).pipe(
    Effect.map((listed) => listed.map(({ id }) => id)),
    Effect.provideService(References.MinimumLogLevel, "None")
  )

describe.each(places)("jobs in %s", (_, place) => {
  /** An empty place with a job in it. */
  const setUp = Effect.gen(function* () {
    const here = yield* place
    const jobs = yield* here.open
    yield* jobs.create("job", created)
    return { ...here, jobs }
  })

  it.live("keeps any id apart from any other, and gives it back", () =>
    Effect.gen(function* () {
      const { jobs, query } = yield* setUp
      for (const [index, jobId] of hostileIds.entries()) {
        yield* jobs.create(jobId, { _tag: "JobCreated", version: 1, spec: spec(index + 1) })
        assert.strictEqual(yield* reasonOf(jobs.create(jobId, created)), "AlreadyExists")
      }
      for (const [index, jobId] of hostileIds.entries()) {
        const [record] = yield* journal(jobs, jobId)
        assert.strictEqual(record?.event._tag === "JobCreated" && record.event.spec.chunks.length, index + 1)
        yield* jobs.request(jobId, { _tag: "Cancel", by: jobId })
        assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(jobs.requests(jobId), 1)), [
          { _tag: "Cancel", by: jobId }
        ])
      }
      assert.deepStrictEqual(yield* ids(jobs), ["job", ...hostileIds].toReversed())
      assert.strictEqual((yield* query("SELECT id FROM {jobs} WHERE id = 'ビデオ🎬'")).length, 1)
      for (const jobId of hostileIds) yield* jobs.delete(jobId)
      assert.deepStrictEqual(yield* ids(jobs), ["job"])
    })
  )

  it.live.prop(
    "gives back any event as it was",
    [events],
    ([events]) =>
      Effect.gen(function* () {
        const { jobs } = yield* setUp
        const writer = yield* open(jobs)
        const appended = yield* writer.append(events)
        const read = yield* journal(jobs, "job", 1)
        assert.deepStrictEqual(jsonOf(read), jsonOf(appended))
        for (const { event } of read) {
          if (event._tag === "AttemptEnded" && event.error !== undefined) {
            assert.instanceOf(event.error, WorkerError.WorkerError)
          }
        }
      }).pipe(Effect.scoped),
    // Few, but long: each makes a database.
    { arbitrary: { runs: 5 } }
  )

  it.effect("takes its times from the clock", () =>
    Effect.gen(function* () {
      const { jobs } = yield* TestClock.withLive(setUp)
      yield* TestClock.adjust(1234)
      yield* jobs.create("another", created)
      yield* TestClock.adjust(500)
      const records = yield* Effect.flatMap(open(jobs, "if-dead", "another"), ({ append }) =>
        append([lost("a"), lost("b")])
      )
      assert.deepStrictEqual(records, [
        { revision: 2, run: 1, at: 1734, event: lost("a") },
        { revision: 3, run: 1, at: 1734, event: lost("b") }
      ])
      assert.deepStrictEqual(yield* journal(jobs, "another"), [
        { revision: 1, run: 0, at: 1234, event: created },
        ...records
      ])
    })
  )

  it.live("makes its tables once, however many processes open it at once", () =>
    Effect.gen(function* () {
      const here = yield* place
      const opened = yield* Effect.forEach(Array.from({ length: 6 }), () => here.open, { concurrency: "unbounded" })
      const [first, ...others] = opened
      yield* first?.create("job", created) ?? Effect.void
      for (const jobs of others) assert.strictEqual((yield* journal(jobs)).length, 1)
      assert.deepStrictEqual(yield* here.query("SELECT migration_id FROM {migrations}"), [{ migration_id: 1 }])
    })
  )

  it.live("reads journals of 10 000 events, from wherever it is told, and goes on with them", () =>
    Effect.gen(function* () {
      const { jobs, open: another } = yield* setUp
      const first = yield* open(jobs)
      const texts = Array.from({ length: 9_999 }, (_, i) => `${i} ${"x".repeat(i % 50)}`)
      yield* Effect.forEach(
        Array.from({ length: 101 }, (_, i) => texts.slice(i * 99, (i + 1) * 99)),
        (batch) => first.append(batch.map(lost)),
        { concurrency: 10 }
      )
      const read = yield* founds(jobs)
      assert.strictEqual(read.length, texts.length)
      assert.deepStrictEqual(read.toSorted(), texts.toSorted())
      assert.strictEqual((yield* journal(jobs, "job", 9_990)).length, 10)
      yield* first.close
      const elsewhere = yield* another
      const second = yield* open(elsewhere)
      assert.deepStrictEqual(
        (yield* second.append([lost("next")])).map(({ revision }) => revision),
        [10_001]
      )
    })
  )

  it.live("lists a thousand jobs by status and time, without reading a journal", () =>
    Effect.gen(function* () {
      const { jobs, query } = yield* setUp
      yield* jobs.delete("job")
      const names = Array.from({ length: 1000 }, (_, i) => `job ${i}`)
      yield* Effect.forEach(names, (name) => jobs.create(name, created))
      for (const name of names.filter((_, i) => i % 100 === 0)) {
        const writer = yield* open(jobs, "if-dead", name)
        yield* writer.append([{ _tag: "RunEnded", run: 1, how: "failed", leftover: [] }])
        yield* writer.close
      }
      // Many of the same moment: pages end between them.
      yield* query("UPDATE {jobs} SET created_at = floor(created_at / 1000) * 1000")
      // What is not there cannot be read.
      yield* query("DELETE FROM {events}")
      const all = yield* Stream.runCollect(jobs.list())
      assert.deepStrictEqual(
        all.map(({ id }) => id),
        names.toReversed()
      )
      const failed = yield* Stream.runCollect(jobs.list({ status: ["failed", "cancelled"] }))
      assert.deepStrictEqual(
        failed.map(({ id, run }) => [id, run]),
        names
          .filter((_, i) => i % 100 === 0)
          .map((name) => [name, 1])
          .toReversed()
      )
      const [, later] = failed.toSorted((a, b) => a.updatedAt - b.updatedAt)
      const found = yield* Stream.runCollect(jobs.list({ status: ["failed"], updatedAfter: later?.updatedAt }))
      assert.isTrue(found.length <= 8 && found.every(({ updatedAt }) => updatedAt > (later?.updatedAt ?? 0)))
      assert.strictEqual((yield* Stream.runCollect(Stream.take(jobs.list(), 3))).length, 3)
    })
  )

  it.live("says the same of a job in a list as its journal does, after each append", () =>
    Effect.gen(function* () {
      const { jobs, open: another } = yield* setUp
      const elsewhere = yield* another
      const output = { location: "/a/0.mov", bytes: 1 }
      const accepted = (chunk: number): JobEvent.JobEvent => ({
        _tag: "ChunkAccepted",
        chunk,
        attempt: 1,
        output,
        durationMs: 1
      })
      const runs: ReadonlyArray<ReadonlyArray<JobEvent.JobEvent>> = [
        [
          { _tag: "RunStarted", run: 1, owner: { host: "here" } },
          accepted(0),
          accepted(0),
          { _tag: "OutputLost", chunk: 0, attempt: 1, found: "no file" },
          accepted(1),
          { _tag: "RunEnded", run: 1, how: "paused", leftover: [] }
        ],
        [accepted(0), { _tag: "Stitched" }, { _tag: "RunEnded", run: 2, how: "completed", leftover: [] }]
      ]
      for (const events of runs) {
        const writer = yield* open(jobs)
        for (const event of events) {
          yield* writer.append([event])
          const state = JobState.fold("job", yield* journal(elsewhere))
          const [listed] = yield* Stream.runCollect(elsewhere.list())
          assert.deepStrictEqual(
            [listed?.status, listed?.run, listed?.progress, listed?.createdAt, listed?.updatedAt],
            [state?.status, state?.run, state?.progress, state?.createdAt, state?.updatedAt]
          )
          assert.strictEqual(listed?.owner, "alive")
        }
        yield* writer.close
        assert.strictEqual((yield* Stream.runCollect(elsewhere.list()))[0]?.owner, "none")
      }
    })
  )

  it.live("an append of an event that is no JSON fails alone", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      const writer = yield* open(jobs)
      const bad: JobEvent.JobEvent = { _tag: "JobCreated", version: 1, spec: Object.assign(spec(1), { size: 10n }) }
      const [a, failed, b] = yield* Effect.forEach(
        [[lost("beside it")], [lost("with it"), bad], [lost("after it")]],
        (events) => Effect.result(writer.append(events)),
        { concurrency: "unbounded" }
      )
      assert.isTrue(a !== undefined && b !== undefined && Result.isSuccess(a) && Result.isSuccess(b))
      assert.strictEqual(failed && Result.isFailure(failed) && failed.failure.reason._tag, "Unavailable")
      assert.deepStrictEqual(yield* founds(jobs), ["beside it", "after it"])
      const create = jobs.create("other", { ...bad })
      assert.strictEqual(yield* reasonOf(create), "Unavailable")
      assert.deepStrictEqual(yield* ids(jobs), ["job"])
    })
  )

  it.live("takes events of megabytes", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      const large = ["ü".repeat(1_000_000), "x", "🎬".repeat(300_000), "\0".repeat(100_000)]
      yield* appendAll(jobs, ...large)
      assert.deepStrictEqual(yield* founds(jobs), large)
    })
  )

  it.live("removes what was asked of a run when the next one begins, and all of a job with it", () =>
    Effect.gen(function* () {
      const { jobs, query } = yield* setUp
      const first = yield* open(jobs)
      yield* jobs.request("job", { _tag: "Cancel", by: "me" })
      assert.strictEqual((yield* query("SELECT content FROM {requests}")).length, 1)
      yield* first.close
      const second = yield* open(jobs)
      assert.deepStrictEqual(yield* query("SELECT content FROM {requests}"), [])
      yield* jobs.request("job", { _tag: "Cancel", by: "me" })
      yield* second.append([lost("a")])
      yield* second.close
      yield* jobs.delete("job")
      for (const table of ["jobs", "events", "requests"]) {
        assert.deepStrictEqual(yield* query(`SELECT * FROM {${table}}`), [], table)
      }
    })
  )

  it.live("deletes a job once, however many ask, and never one that somebody has begun to write", () =>
    Effect.gen(function* () {
      const { jobs, open: another } = yield* setUp
      const elsewhere = yield* another
      for (let round = 0; round < 10; round++) {
        const results = yield* Effect.forEach(
          [jobs.delete("job"), elsewhere.delete("job"), Effect.asVoid(open(jobs)), Effect.asVoid(open(elsewhere))],
          Effect.result,
          { concurrency: "unbounded" }
        )
        assert.strictEqual(results.filter(Result.isSuccess).length, 1)
        yield* Effect.ignore(jobs.create("job", created))
        yield* Effect.flatMap(open(jobs, "always"), ({ close }) => close)
      }
      assert.deepStrictEqual(yield* ids(jobs), ["job"])
    })
  )

  it.live("of many processes that open a job at once, one gets it", () =>
    Effect.gen(function* () {
      const { jobs, open: another } = yield* setUp
      const all = [jobs, ...(yield* Effect.forEach([1, 2, 3], () => another))]
      for (let round = 1; round <= 10; round++) {
        const tries = yield* Effect.forEach(all, (each) => Effect.result(open(each)), { concurrency: "unbounded" })
        const [writer, ...more] = tries.flatMap((result) => (Result.isSuccess(result) ? [result.success] : []))
        assert.strictEqual(more.length, 0)
        assert.strictEqual(writer?.run, round)
        yield* writer?.append([lost(String(round))]) ?? Effect.void
        yield* writer?.close ?? Effect.void
      }
      assert.strictEqual((yield* founds(jobs)).length, 10)
    })
  )

  it.live("ends what others follow when a job is deleted", () =>
    Effect.gen(function* () {
      const { jobs, open: another } = yield* setUp
      const elsewhere = yield* another
      const following = yield* Effect.forkChild(Stream.runCollect(elsewhere.changes("job", 0)))
      const asked = yield* Effect.forkChild(Stream.runCollect(elsewhere.requests("job")))
      yield* appendAll(jobs, "a")
      yield* jobs.delete("job")
      yield* jobs.create("job", created)
      const seen = yield* Fiber.join(following)
      assert.isTrue(seen.every(({ event, revision }) => revision < 3 && event._tag !== "RunStarted"))
      assert.deepStrictEqual(yield* Fiber.join(asked), [])
    })
  )

  // ---
  // damage
  // ---

  const damages: Record<string, { readonly sql: string; readonly where: RegExp }> = {
    "is no JSON": {
      sql: "UPDATE {events} SET events = '[{\"_tag\":' WHERE revision = 3",
      where: /record 3, which is none/
    },
    "is no event": {
      sql: 'UPDATE {events} SET events = \'[{"_tag":"Nothing"}]\' WHERE revision = 3',
      where: /record 3/
    },
    "lacks something": {
      sql: 'UPDATE {events} SET events = \'[{"_tag":"OutputLost","chunk":1}]\' WHERE revision = 3',
      where: /record 3, which is none: [^]*attempt/
    },
    "is missing in the middle": { sql: "DELETE FROM {events} WHERE revision = 2", where: /record 2, which is missing/ },
    "is missing at the end": { sql: "DELETE FROM {events} WHERE revision = 4", where: /record 4, which is missing/ },
    "has a revision of its own": { sql: "UPDATE {events} SET revision = 9 WHERE revision = 4", where: /record 4/ }
  }

  it.live.each(Object.entries(damages))("a journal of which a record %s is Corrupt", ([, { sql, where }]) =>
    Effect.gen(function* () {
      const { jobs, query } = yield* setUp
      yield* jobs.create("other", created)
      yield* appendAll(jobs, "a", "b", "c")
      yield* query(sql)
      for (const operation of [
        journal(jobs),
        Effect.scoped(open(jobs)),
        Effect.scoped(open(jobs, "always")),
        Stream.runDrain(jobs.changes("job", 0))
      ]) {
        const { message, reason } = yield* errorOf(operation)
        assert.strictEqual(reason._tag, "Corrupt")
        assert.match(message, where)
        assert.match(message, /^job job: /)
      }
      // Nobody is kept from making an end of it.
      yield* jobs.delete("job")
      assert.deepStrictEqual(yield* ids(jobs), ["other"])
    })
  )

  it.live("leaves a job out of the list whose row is none, and gives the others", () =>
    Effect.gen(function* () {
      const { jobs, query } = yield* setUp
      yield* jobs.create("other", created)
      yield* query("UPDATE {jobs} SET status = 'asleep' WHERE id = 'job'")
      assert.deepStrictEqual(yield* ids(jobs), ["other"])
      assert.strictEqual((yield* journal(jobs)).length, 1)
    })
  )

  it.live("says so when something else writes to the journal of a run", () =>
    Effect.gen(function* () {
      const { jobs, query } = yield* setUp
      const writer = yield* open(jobs)
      yield* writer.append([lost("a")])
      yield* query("UPDATE {jobs} SET revision = 7 WHERE id = 'job'")
      assert.strictEqual(yield* reasonOf(writer.append([lost("b")])), "Corrupt")
      yield* query("UPDATE {jobs} SET revision = 2 WHERE id = 'job'")
      yield* writer.append([lost("c")])
      assert.deepStrictEqual(yield* founds(jobs), ["a", "c"])
    })
  )

  it.live("tables of a later version are left alone, also when it comes while they are used", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const { jobs, query } = here
      const writer = yield* open(jobs)
      yield* query("INSERT INTO {migrations} (migration_id, name) VALUES (2, 'later')")
      for (const operation of [
        Effect.scoped(here.open),
        journal(jobs),
        Effect.scoped(open(jobs, "always")),
        jobs.request("job", { _tag: "Cancel", by: "me" }),
        jobs.delete("job")
      ]) {
        const { message, reason } = yield* errorOf(operation)
        assert.strictEqual(reason._tag === "NewerVersion" && reason.found, 2)
        assert.include(message, "version 2, which a later @helios-infra/repository-sql wrote: update")
      }
      yield* query("DELETE FROM {migrations} WHERE migration_id = 2")
      yield* writer.append([lost("a")])
    })
  )
})
