import { assert, describe, it } from "@effect/vitest"
import { JobRepository } from "@helios-infra/core"
import * as SqliteJobRepository from "@helios-infra/repository-sql/SqliteJobRepository"
import { Config, ConfigProvider, Effect, Exit, Fiber, Layer, References, Scope, Stream } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as sqliteClient from "../src/internal/sqliteClient.ts"
import { appendAll, created, errorOf, founds, journal, lost, open, reasonOf, temporary } from "./Jobs.ts"

const make = (filename: string, patience: "10 seconds" | "200 millis" = "10 seconds") =>
  SqliteJobRepository.make({ filename, patience })

/** A repository in a folder of its own, with a job in it. */
const setUp = Effect.gen(function* () {
  const dir = yield* temporary
  const filename = path.join(dir, "jobs.db")
  const jobs = yield* make(filename)
  yield* jobs.create("job", created)
  return { dir, filename, jobs }
})

const list = (dir: string) => Effect.promise(() => fs.readdir(dir).then((names) => names.toSorted()))
const write = (file: string, text: string) => Effect.promise(() => fs.writeFile(file, text))

/** Another program's connection. */
const connect = (filename: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(filename, { timeout: 5000 })),
    (database) => Effect.sync(() => database.close())
  )

describe("SqliteJobRepository", () => {
  it.live("says what it promises", () =>
    Effect.gen(function* () {
      const { jobs } = yield* setUp
      assert.deepStrictEqual(jobs.guarantees, { fencing: true, crossProcess: true, durable: "batch" })
    })
  )

  it.live("makes its file and folder, for its user alone, and leaves nothing else when it is closed", () =>
    Effect.gen(function* () {
      const dir = path.join(yield* temporary, "not", "there")
      const filename = path.join(dir, "jobs.db")
      const scope = yield* Scope.make()
      const jobs = yield* make(filename).pipe(Scope.provide(scope))
      yield* jobs.create("job", created)
      const modes = yield* Effect.forEach(yield* list(dir), (name) =>
        Effect.promise(() => fs.stat(path.join(dir, name)).then(({ mode }) => mode & 0o777))
      )
      assert.deepStrictEqual(
        modes.map((mode) => mode.toString(8)),
        modes.map(() => "600")
      )
      assert.isAtLeast(modes.length, 4)
      const folder = yield* Effect.promise(() => fs.stat(dir))
      assert.strictEqual((folder.mode & 0o777).toString(8), "700")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* list(dir), ["jobs.db"])
    })
  )

  it.live("syncs its log with every commit, so that an append that returned survives the loss of power", () =>
    Effect.gen(function* () {
      const sql = yield* sqliteClient.open(path.join(yield* temporary, "jobs.db"))
      const [journal] = yield* sql<{ journal_mode: string }>`PRAGMA journal_mode`
      const [synchronous] = yield* sql<{ synchronous: number }>`PRAGMA synchronous`
      assert.deepStrictEqual([journal?.journal_mode, synchronous?.synchronous], ["wal", 2])
    })
  )

  it.live("takes its options from configuration", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* temporary, "jobs.db")
      const layer = SqliteJobRepository.layerConfig({
        filename: Config.String("JOBS"),
        patience: Config.Duration("PATIENCE")
      })
      const create = JobRepository.JobRepository.use((jobs) => jobs.create("job", created))
      const env = ConfigProvider.layer(ConfigProvider.fromEnvRecord({ JOBS: filename, PATIENCE: "1 second" }))
      yield* Effect.provide(create, Layer.provide(layer, env))
      assert.strictEqual((yield* journal(yield* make(filename))).length, 1)
    })
  )

  it.live("keeps its log small while jobs are written", () =>
    Effect.gen(function* () {
      const { filename, jobs } = yield* setUp
      const writer = yield* open(jobs)
      const batch = Array.from({ length: 500 }, () => lost("x".repeat(1000)))
      for (let i = 0; i < 40; i++) yield* writer.append(batch)
      const log = yield* Effect.promise(() => fs.stat(`${filename}-wal`))
      assert.isBelow(log.size, 10_000_000)
    })
  )
})

describe("a database that is locked", () => {
  it.live("is waited for, without holding anything else up", () =>
    Effect.gen(function* () {
      const { filename, jobs } = yield* setUp
      const writer = yield* open(jobs)
      const other = yield* connect(filename)
      other.exec("BEGIN IMMEDIATE")
      const appending = yield* Effect.forkChild(writer.append([lost("a")]))
      // Reads go on beside it, and so does this process.
      assert.deepStrictEqual(yield* founds(jobs), [])
      assert.isUndefined(appending.pollUnsafe())
      other.exec("COMMIT")
      yield* Fiber.join(appending)
      assert.deepStrictEqual(yield* founds(jobs), ["a"])
    })
  )

  it.live("for too long fails an append, which is not written; the next one is", () =>
    Effect.gen(function* () {
      const { filename } = yield* setUp
      const jobs = yield* make(filename, "200 millis")
      const writer = yield* open(jobs)
      const other = yield* connect(filename)
      other.exec("BEGIN IMMEDIATE")
      const { message, reason } = yield* errorOf(writer.append([lost("a")]))
      assert.strictEqual(reason._tag, "Unavailable")
      assert.include(message, `job job: the store failed: `)
      assert.include(message, `${filename} is locked by another program for 200ms`)
      assert.include((yield* errorOf(jobs.create("other", created))).message, "is locked")
      other.exec("COMMIT")
      const [record] = yield* writer.append([lost("b")])
      assert.strictEqual(record?.revision, 2)
      assert.deepStrictEqual(yield* founds(jobs), ["b"])
    })
  )

  it.live("while it is opened is waited for, and then said", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* temporary, "jobs.db")
      const other = yield* connect(filename)
      other.exec("BEGIN EXCLUSIVE")
      assert.include((yield* errorOf(Effect.scoped(make(filename, "200 millis")))).message, "is locked")
      const opening = yield* Effect.forkChild(make(filename))
      yield* Effect.yieldNow
      other.exec("ROLLBACK")
      yield* (yield* Fiber.join(opening)).create("job", created)
    })
  )

  it.live("is given up when nobody waits any more, and nothing of it is written later", () =>
    Effect.gen(function* () {
      const { filename, jobs } = yield* setUp
      const other = yield* connect(filename)
      other.exec("BEGIN IMMEDIATE")
      const creating = yield* Effect.forkChild(jobs.create("other", created))
      const opening = yield* Effect.forkChild(Effect.scoped(jobs.openWriter("job", { takeOver: "if-dead" })))
      yield* Effect.yieldNow
      yield* Effect.forkChild(Fiber.interruptAll([creating, opening]))
      other.exec("COMMIT")
      yield* Fiber.await(creating)
      yield* Fiber.await(opening)
      const writer = yield* open(jobs)
      yield* writer.append([lost("a")])
      assert.deepStrictEqual(yield* founds(jobs), ["a"])
    })
  )
})

describe("a path that leads to no database", () => {
  const contents: Record<string, (filename: string) => Effect.Effect<unknown>> = {
    "is no SQLite database": (filename) => write(filename, "these are my notes\n".repeat(100)),
    "cannot be opened": (filename) => Effect.promise(() => fs.mkdir(filename)),
    "no folder is in its path": (filename) =>
      Effect.promise(() => fs.rmdir(path.dirname(filename)).then(() => fs.writeFile(path.dirname(filename), "a file")))
  }

  it.live.each(Object.entries(contents))("says so, and changes nothing: it %s", ([what, prepare]) =>
    Effect.gen(function* () {
      const filename = path.join(yield* temporary, "jobs.db")
      yield* prepare(filename)
      const { message, reason } = yield* errorOf(Effect.scoped(make(filename)))
      assert.strictEqual(reason._tag, "Unavailable")
      assert.include(message, filename)
      assert.include(message, what)
      const found = yield* Effect.promise(() => fs.stat(filename).catch(() => undefined))
      if (found?.isFile() === true) {
        const text = yield* Effect.promise(() => fs.readFile(filename, "utf8"))
        assert.strictEqual(text, "these are my notes\n".repeat(100))
      }
    })
  )

  it.live("can be that of another program's database: its tables are left alone", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* temporary, "app.db")
      const other = yield* connect(filename)
      other.exec("CREATE TABLE jobs (title text); INSERT INTO jobs VALUES ('theirs')")
      const jobs = yield* make(filename)
      yield* jobs.create("job", created)
      assert.deepStrictEqual({ ...other.prepare("SELECT title FROM jobs").get() }, { title: "theirs" })
    })
  )

  it.live("is Corrupt when a part of it was written over", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* temporary, "jobs.db")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const jobs = yield* make(filename)
          yield* jobs.create("job", created)
          yield* appendAll(jobs, ..."abcdefgh".split("").map((text) => text.repeat(3000)))
        })
      )
      yield* Effect.promise(async () => {
        const file = await fs.open(filename, "r+")
        const { size } = await file.stat()
        await file.write(Buffer.alloc(size - 4096, 0x2a), 0, size - 4096, 4096)
        await file.close()
      })
      const { message, reason } = yield* errorOf(
        Effect.scoped(Effect.flatMap(make(filename), (jobs) => Effect.andThen(journal(jobs), open(jobs))))
      )
      assert.strictEqual(reason._tag, "Corrupt")
      assert.include(message, filename)
      assert.include(message, "restore it from a copy")
    })
  )
})

describe("a database that is taken away while it is open", () => {
  const replace: Record<string, (filename: string) => Promise<unknown>> = {
    deleted: (filename) => fs.rm(filename),
    "moved away": (filename) => fs.rename(filename, `${filename}.old`),
    "put back from a copy": async (filename) => {
      await fs.copyFile(filename, `${filename}.copy`)
      await fs.rename(`${filename}.copy`, filename)
    }
  }

  it.live.each(Object.entries(replace))("is not written to any more, and everybody hears of it: %s", ([, act]) =>
    Effect.gen(function* () {
      const { filename, jobs } = yield* setUp
      const writer = yield* open(jobs)
      yield* writer.append([lost("a")])
      const following = yield* Effect.forkChild(Stream.runDrain(jobs.changes("job", 0)))
      yield* Effect.promise(() => act(filename))
      for (const operation of [
        writer.append([lost("b")]),
        journal(jobs),
        Stream.runDrain(jobs.list()),
        jobs.create("other", created),
        jobs.delete("job"),
        Fiber.join(following)
      ]) {
        const { message, reason } = yield* errorOf(operation)
        assert.strictEqual(reason._tag, "Unavailable")
        assert.include(message, `${filename} was deleted or replaced while it was open`)
        assert.include(message, "start this process anew")
      }
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )
})

describe("who writes a job", () => {
  it.live("is told by a file that is locked while its process lives, and removed when it is closed", () =>
    Effect.gen(function* () {
      const { dir, filename, jobs } = yield* setUp
      const owners = Effect.map(list(dir), (names) => names.filter((name) => name.includes("-owner-")))
      const mine = yield* owners
      assert.strictEqual(mine.length, 1)
      const scope = yield* Scope.make()
      const other = yield* make(filename).pipe(Scope.provide(scope))
      assert.strictEqual((yield* owners).length, 2)
      yield* open(other)
      const [job] = yield* Stream.runCollect(jobs.list())
      assert.strictEqual(job?.owner, "alive")
      const error = yield* errorOf(open(jobs))
      assert.strictEqual(error.reason._tag === "Running" && error.reason.owner.pid, process.pid)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* owners, mine)
    })
  )

  it.live("is dead when its file is not locked, or gone; what is left of it is removed", () =>
    Effect.gen(function* () {
      const { dir, filename, jobs } = yield* setUp
      const other = yield* connect(filename)
      const token = "00000000-0000-4000-8000-000000000000"
      const file = `${filename}-owner-${token}`
      yield* write(file, "")
      for (const run of [1, 2]) {
        other.exec(`UPDATE helios_jobs SET run = ${run}, holder = '${token}', claim = 'theirs'`)
        const [job] = yield* Stream.runCollect(jobs.list())
        assert.strictEqual(job?.owner, "dead")
        const writer = yield* open(jobs)
        assert.strictEqual(writer.run, run + 1)
        yield* writer.close
        if (run === 1) yield* Effect.promise(() => fs.rm(file))
      }
      yield* write(file, "")
      yield* make(filename)
      assert.isFalse((yield* list(dir)).includes(path.basename(file)))
    })
  )

  it.live("is not known where its file is none: it is not taken for dead", () =>
    Effect.gen(function* () {
      const { filename, jobs } = yield* setUp
      const other = yield* connect(filename)
      other.exec(
        "UPDATE helios_jobs SET run = 1, holder = 'folder', claim = 'theirs', owner = '{\"host\":\"elsewhere\"}'"
      )
      yield* Effect.promise(() => fs.mkdir(`${filename}-owner-folder`))
      const [job] = yield* Stream.runCollect(jobs.list())
      assert.strictEqual(job?.owner, "unknown")
      const { message, reason } = yield* errorOf(open(jobs))
      assert.strictEqual(reason._tag === "Running" && reason.alive, "unknown")
      assert.include(message, "elsewhere (which may be dead)")
      assert.strictEqual((yield* open(jobs, "always")).run, 2)
    })
  )
})

describe("a repository that was closed", () => {
  it.live("says so to who still uses it", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* temporary, "jobs.db")
      const scope = yield* Scope.make()
      const jobs = yield* make(filename).pipe(Scope.provide(scope))
      yield* jobs.create("job", created)
      yield* Scope.close(scope, Exit.void)
      const { message } = yield* errorOf(journal(jobs))
      assert.include(message, "it was closed")
      assert.strictEqual(yield* reasonOf(jobs.create("other", created)), "Unavailable")
    })
  )
})
