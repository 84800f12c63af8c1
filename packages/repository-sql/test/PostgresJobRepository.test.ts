import * as PgConnection from "@effect/sql-pg/PgConnection"
import { assert, describe, it } from "@effect/vitest"
import { JobRepository } from "@helios-infra/core"
import * as PostgresJobRepository from "@helios-infra/repository-sql/PostgresJobRepository"
import { Config, ConfigProvider, Duration, Effect, Exit, Fiber, Layer, Redacted, Schedule, Scope, Stream } from "effect"
import { created, errorOf, founds, journal, lost, open, type Jobs } from "./Jobs.ts"
import * as Places from "./Places.ts"
import * as Postgres from "./Postgres.ts"

const server = Postgres.shared()
const place = Places.postgres(server)

/** An empty schema with a job in it. */
const setUp = Effect.gen(function* () {
  const here = yield* place
  const jobs = yield* here.open
  yield* jobs.create("job", created)
  return { ...here, jobs }
})

const eventually = (condition: Effect.Effect<boolean>): Effect.Effect<void> =>
  condition.pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die("it has not come") }),
    Effect.asVoid
  )

/** Appends one text after the other from several fibers; gives what was promised, when `over` says so. */
const appending = (writer: JobRepository.JobWriter, kept: Array<string>, over: () => boolean) =>
  Effect.forEach(
    ["a", "b", "c", "d"],
    Effect.fnUntraced(function* (name) {
      for (let i = 0; !over(); i++) {
        yield* writer.append([lost(`${name}${i}`), lost(`${name}${i}, second`)])
        kept.push(`${name}${i}`, `${name}${i}, second`)
      }
    }),
    { concurrency: "unbounded", discard: true }
  )

/** Ends connections of the repositories, as administrators and proxies do. */
const terminate = (here: Places.Place, which: "all" | "the one that listens") =>
  here.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'helios-infra' AND datname = current_database()
     ${which === "all" ? "" : "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"}`
  )

const isListening = (here: Places.Place, count: number) =>
  Effect.map(
    here.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"),
    (found) => found.length === count
  )

describe("PostgresJobRepository", () => {
  it.live("says what it promises", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      assert.deepStrictEqual(jobs.guarantees, { fencing: true, crossProcess: true, durable: "batch" })
    })
  )

  it.live("takes its options from configuration, and keeps schemas apart", () =>
    Effect.gen(function* () {
      const { address, jobs, query } = yield* setUp
      const { url } = Places.optionsOf(address)
      const layer = PostgresJobRepository.layerConfig({ url: Config.Redacted("DB"), schema: Config.String("SCHEMA") })
      const env = ConfigProvider.layer(ConfigProvider.fromEnvRecord({ DB: Redacted.value(url), SCHEMA: "Other_1" }))
      const create = JobRepository.JobRepository.use((others) => others.create("theirs", created))
      yield* Effect.provide(create, Layer.provide(layer, env))
      assert.deepStrictEqual(yield* query('SELECT id FROM "Other_1".jobs'), [{ id: "theirs" }])
      assert.deepStrictEqual(
        (yield* Stream.runCollect(jobs.list())).map(({ id }) => id),
        ["job"]
      )
    })
  )

  it.live("tells other processes at once: no second passes by", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const elsewhere = yield* here.open
      const writer = yield* open(here.jobs)
      const seen: Array<number> = []
      const heard: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(elsewhere.changes("job", 1), ({ revision }) => Effect.sync(() => void seen.push(revision)))
      )
      yield* Effect.forkScoped(
        Stream.runForEach(here.jobs.requests("job"), ({ _tag }) => Effect.sync(() => void heard.push(_tag)))
      )
      const [took] = yield* Effect.timed(
        Effect.gen(function* () {
          for (let i = 0; i < 10; i++) {
            yield* writer.append([lost(String(i))])
            yield* elsewhere.request("job", { _tag: "Cancel", by: "me" })
            yield* eventually(Effect.sync(() => seen.length > i && heard.length > i))
          }
        })
      )
      // By looking once a second it would have taken ten.
      assert.isBelow(Duration.toMillis(took), 5_000)
    })
  )
})

describe("a server that goes away in the middle of a job", () => {
  it.live("is waited for: every append is written once, and who follows the job misses nothing", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const { start, stop } = yield* server
      const elsewhere = yield* here.open
      const writer = yield* open(here.jobs)
      const kept: Array<string> = []
      const seen: Array<number> = []
      const heard: Array<unknown> = []
      const following = elsewhere.changes("job", 0)
      yield* Effect.forkScoped(
        Stream.runForEach(following, ({ revision }) => Effect.sync(() => void seen.push(revision)))
      )
      yield* Effect.forkScoped(
        Stream.runForEach(here.jobs.requests("job"), (request) => Effect.sync(() => void heard.push(request)))
      )
      let over = false
      const writing = yield* Effect.forkChild(appending(writer, kept, () => over))
      yield* eventually(Effect.sync(() => kept.length > 50))
      yield* stop
      const before = kept.length
      // What is asked while it is away waits as well.
      const reading = yield* Effect.forkChild(journal(elsewhere))
      const asking = yield* Effect.forkChild(elsewhere.request("job", { _tag: "Cancel", by: "me" }))
      yield* start
      assert.isAbove((yield* Fiber.join(reading)).length, before)
      yield* Fiber.join(asking)
      yield* eventually(Effect.sync(() => kept.length > before + 50))
      over = true
      yield* Fiber.join(writing)
      const records = yield* journal(here.jobs)
      const texts = yield* founds(here.jobs)
      assert.deepStrictEqual(texts.toSorted(), kept.toSorted())
      yield* eventually(Effect.sync(() => seen.length === records.length && heard.length === 1))
      assert.deepStrictEqual(
        seen,
        records.map((_, index) => index + 1)
      )
      // Nobody has taken the job over, or may.
      yield* eventually(isListening(here, 2))
      assert.strictEqual((yield* errorOf(open(elsewhere))).reason._tag, "Running")
    })
  )

  it.live("for too long fails what was asked, in words; the writer goes on when it is back", () =>
    Effect.gen(function* () {
      const { address, jobs: other } = yield* setUp
      const { port, start, stop } = yield* server
      const jobs = yield* PostgresJobRepository.make({ ...Places.optionsOf(address), patience: "300 millis" })
      const writer = yield* open(jobs)
      yield* writer.append([lost("a")])
      yield* stop
      for (const operation of [
        writer.append([lost("not written")]),
        journal(jobs),
        jobs.create("other", created),
        Stream.runDrain(jobs.list())
      ]) {
        const { message, reason } = yield* errorOf(operation)
        assert.strictEqual(reason._tag, "Unavailable")
        assert.include(message, `Postgres at 127.0.0.1:${port}/jobs_`)
        assert.match(message, /cannot be reached|not to be used for/)
        assert.notInclude(message, "secret")
      }
      yield* start
      yield* Effect.retry(writer.append([lost("b")]), Schedule.spaced("50 millis"))
      assert.deepStrictEqual(yield* founds(other), ["a", "b"])
    })
  )

  it.live("while a writer closes does not keep this process from the job", () =>
    Effect.gen(function* () {
      const { address } = yield* setUp
      const { start, stop } = yield* server
      const jobs = yield* PostgresJobRepository.make({ ...Places.optionsOf(address), patience: "300 millis" })
      const writer = yield* open(jobs)
      yield* stop
      yield* writer.close
      yield* start
      yield* Effect.retry(journal(jobs), Schedule.spaced("50 millis"))
      const [listed] = yield* Stream.runCollect(jobs.list())
      assert.strictEqual(listed?.owner, "none")
      assert.strictEqual((yield* open(jobs)).run, 2)
    })
  )
})

describe("connections that are ended", () => {
  it.live("again and again change nothing: every append, job and run is written once", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const { jobs } = here
      const kept: Array<string> = []
      let over = false
      const writer = yield* open(jobs)
      const writing = yield* Effect.forkChild(appending(writer, kept, () => over))
      const made: Array<string> = []
      const making = Effect.gen(function* () {
        while (!over) {
          const jobId = `made ${made.length}`
          yield* jobs.create(jobId, created)
          const opened = yield* open(jobs, "if-dead", jobId)
          assert.strictEqual(opened.run, 1)
          yield* opened.append([lost("x")])
          yield* opened.close
          made.push(jobId)
        }
      })
      const working = yield* Effect.forkChild(making)
      for (let i = 0; i < 25; i++) {
        const before = kept.length
        yield* terminate(here, "all")
        yield* eventually(Effect.sync(() => kept.length > before))
      }
      yield* eventually(Effect.sync(() => made.length > 3))
      over = true
      yield* Fiber.join(writing)
      yield* Fiber.join(working)
      assert.deepStrictEqual((yield* founds(jobs)).toSorted(), kept.toSorted())
      for (const jobId of made) assert.deepStrictEqual(yield* founds(jobs, jobId), ["x"])
    })
  )

  it.live("take nobody's job away: who is there again within two seconds lives", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const elsewhere = yield* here.open
      const writer = yield* open(here.jobs)
      yield* eventually(isListening(here, 2))
      yield* terminate(here, "the one that listens")
      assert.strictEqual((yield* errorOf(open(elsewhere))).reason._tag, "Running")
      yield* writer.append([lost("still mine")])
      yield* eventually(isListening(here, 2))
      const [listed] = yield* Stream.runCollect(elsewhere.list())
      assert.strictEqual(listed?.owner, "alive")
    })
  )

  it.live("cost those who follow time, and nothing else", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const elsewhere = yield* here.open
      const writer = yield* open(here.jobs)
      const following = yield* Effect.forkChild(elsewhere.changes("job", 1).pipe(Stream.take(5), Stream.runCollect))
      for (const text of "abcde") {
        yield* terminate(here, "the one that listens")
        yield* writer.append([lost(text)])
      }
      assert.strictEqual((yield* Fiber.join(following)).length, 5)
    })
  )
})

describe("who writes a job", () => {
  it.live("is dead once its process has no connection", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      yield* here.query("UPDATE {jobs} SET run = 4, holder = '4294967297', claim = 'x', owner = '{\"host\":\"there\"}'")
      const [listed] = yield* Stream.runCollect(here.jobs.list())
      assert.strictEqual(listed?.owner, "dead")
      assert.strictEqual((yield* open(here.jobs)).run, 5)
    })
  )

  it.live("is told from another one's locks", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const others = yield* PgConnection.make(Places.optionsOf(here.address))
      yield* others.query("SELECT pg_advisory_lock(4294967297)")
      yield* here.query("UPDATE {jobs} SET run = 1, holder = '4294967297', claim = 'x', owner = '{\"host\":\"there\"}'")
      const { message, reason } = yield* errorOf(open(here.jobs))
      assert.strictEqual(reason._tag === "Running" && reason.alive, "yes")
      assert.include(message, "it is run by there")
    })
  )

  it.live("that was closed without a word leaves the job to the next one", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const scope = yield* Scope.make()
      const other = yield* here.open.pipe(Scope.provide(scope))
      const writer = yield* open(other)
      yield* writer.append([lost("a")])
      yield* Scope.close(scope, Exit.void)
      assert.include((yield* errorOf(writer.append([lost("late")]))).message, "it was closed")
      const next = yield* open(here.jobs)
      assert.strictEqual(next.run, 2)
      yield* next.append([lost("b")])
      assert.deepStrictEqual(yield* founds(here.jobs), ["a", "b"])
    })
  )
})

describe("a server that cannot be used", () => {
  const opening = (url: string, options: Partial<PostgresJobRepository.Options> = {}) =>
    Effect.scoped(PostgresJobRepository.make({ url: Redacted.make(url), patience: "5 seconds", ...options }))

  /** A database that is there. */
  const wellKnown = Effect.runSync(
    Effect.cached(
      Effect.map(
        Effect.flatMap(server, ({ database }) => database),
        Redacted.value
      )
    )
  )

  const wrongs: Record<string, { readonly url: (url: URL) => void; readonly says: RegExp }> = {
    "is not there": {
      url: (url) => (url.port = "1"),
      says: /Postgres at 127\.0\.0\.1:1\/jobs_\d+: it cannot be reached/
    },
    "does not know the password": { url: (url) => (url.password = "guess"), says: /check the user and the password/ },
    "does not know the user": { url: (url) => (url.username = "nobody"), says: /check the user and the password/ },
    "has no such database": { url: (url) => (url.pathname = "/films"), says: /make the database first/ },
    "speaks no TLS": { url: (url) => url.searchParams.set("sslmode", "require"), says: /sslmode/ }
  }

  it.live.each(Object.entries(wrongs))("says what to do, at once, and not the password: one that %s", ([, wrong]) =>
    Effect.gen(function* () {
      const url = new URL(yield* wellKnown)
      wrong.url(url)
      const { message, reason } = yield* errorOf(opening(url.href))
      assert.strictEqual(reason._tag, "Unavailable")
      assert.match(message, wrong.says)
      assert.notMatch(message, /secret|guess/)
      assert.notMatch(String(reason._tag === "Unavailable" && reason.cause), /secret|guess/)
    })
  )

  it.live.each(["", "a.b", '"; DROP SCHEMA public; --', "ü", "1st", "x".repeat(60)])(
    "refuses the schema %j",
    (schema) =>
      Effect.gen(function* () {
        const { message } = yield* errorOf(opening("postgres://127.0.0.1:1/never-asked", { schema }))
        assert.include(message, "a schema's name has letters")
      })
  )

  it.live("refuses what is no URL", () =>
    Effect.gen(function* () {
      const { message, reason } = yield* errorOf(opening("jobs at secret place"))
      assert.strictEqual(reason._tag, "Unavailable")
      assert.notInclude(message, "secret")
    })
  )

  it.live("says which right is missing, and needs none beyond its schema", () =>
    Effect.gen(function* () {
      const { query } = yield* place
      yield* query("CREATE ROLE renders LOGIN PASSWORD 'pass-of-renders'")
      const url = new URL(yield* wellKnown)
      url.username = "renders"
      url.password = "pass-of-renders"
      const { message } = yield* errorOf(opening(url.href, { schema: "renders" }))
      assert.include(message, "this user may not do that: let it create a schema, or make the schema")
      const database = yield* PgConnection.make({ url: Redacted.make(yield* wellKnown) })
      yield* database.query("CREATE SCHEMA renders AUTHORIZATION renders")
      const jobs = yield* PostgresJobRepository.make({ url: Redacted.make(url.href), schema: "renders" })
      yield* runsAJob(jobs)
    })
  )

  it.live("says that it may only be read", () =>
    Effect.gen(function* () {
      const { query } = yield* place
      const url = Redacted.value(yield* (yield* server).database)
      yield* query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_transaction_read_only = on`)
      const { message } = yield* errorOf(opening(url))
      assert.include(message, "use the URL of the primary server")
    })
  )

  it.live("says that its tables are gone", () =>
    Effect.gen(function* () {
      const here = yield* setUp
      const writer = yield* open(here.jobs)
      yield* here.query(`DROP SCHEMA ${Places.optionsOf(here.address).schema} CASCADE`)
      for (const operation of [writer.append([lost("a")]), journal(here.jobs), here.jobs.create("other", created)]) {
        assert.include((yield* errorOf(operation)).message, "its tables are gone: restore them")
      }
      yield* runsAJob(yield* here.open)
    })
  )
})

const runsAJob = Effect.fnUntraced(function* (jobs: Jobs) {
  yield* jobs.create("film", created)
  const writer = yield* open(jobs, "if-dead", "film")
  yield* writer.append([lost("a")])
  yield* jobs.request("film", { _tag: "Cancel", by: "me" })
  yield* writer.close
  assert.deepStrictEqual(yield* founds(jobs, "film"), ["a"])
  assert.strictEqual((yield* Stream.runCollect(jobs.list())).length, 1)
  yield* jobs.delete("film")
})
