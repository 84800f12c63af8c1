import { JobManager, type JobSpec, RepositoryError } from "@helios-infra/core/promise"
import { PostgresJobRepository, SqliteJobRepository } from "@helios-infra/repository-sql/promise"
import { Effect, Redacted } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { spec } from "./Jobs.ts"
import * as Postgres from "./Postgres.ts"

const server = Postgres.shared()
let dir = ""
beforeAll(async () => {
  dir = await fs.mkdtemp(path.join(tmpdir(), "sql-promise-"))
})
afterAll(() => fs.rm(dir, { recursive: true, force: true }))

/** Renders nothing, and fails at a chunk as often as it is told to. */
const worker = (failures: Map<number, number> = new Map()) => ({
  execute: async ({ meta }: { meta: { _tag: string; chunkId?: number } }) => {
    const left = failures.get(meta.chunkId ?? -1) ?? 0
    failures.set(meta.chunkId ?? -1, left - 1)
    if (left > 0) throw new Error("no such scene")
    return { exitCode: 0, stdout: "rendered", stderr: "", durationMs: 1 }
  }
})

const opening: Record<string, () => Promise<() => SqliteJobRepository | PostgresJobRepository>> = {
  SqliteJobRepository: async () => {
    const filename = path.join(await fs.mkdtemp(path.join(dir, "jobs-")), "jobs.db")
    return () => new SqliteJobRepository(filename, { patience: 5000 })
  },
  PostgresJobRepository: async () => {
    const url = Redacted.value(await Effect.runPromise(Effect.flatMap(server, ({ database }) => database)))
    return () => new PostgresJobRepository({ url, connections: 2, patience: 5000 })
  }
}

describe.each(Object.entries(opening))("%s", (_, prepare) => {
  it("keeps the jobs of a JobManager, and what was accepted, for whoever opens the database next", async () => {
    const open = await prepare()
    const first = open()
    const jobs = new JobManager({ repository: first })
    const job: JobSpec = spec(3)
    const { id } = await jobs.createJob(job)
    const options = { retries: 0, concurrency: 1, jobDir: dir }
    const failed = await jobs.runJob(id, { ...options, workerAdapter: worker(new Map([[1, 1]])) }).then(
      () => undefined,
      (error: unknown) => error
    )
    assert.match(String(failed), /no such scene/)
    await first.close()

    const second = open()
    const later = new JobManager({ repository: second })
    const found = await later.getJob(id)
    assert.deepStrictEqual(
      [found?.status, ...(found?.chunks.map(({ status }) => status) ?? [])],
      ["failed", "accepted", "pending", "pending"]
    )
    const done = await later.runJob(id, { ...options, workerAdapter: worker() })
    assert.strictEqual(done.status, "completed")
    assert.deepStrictEqual(
      done.chunks.map(({ attempts }) => attempts),
      [1, 2, 1]
    )
    assert.deepStrictEqual(
      (await later.listJobs()).map(({ status }) => status),
      ["completed"]
    )
    await second.close()
  })

  it("gives, takes and removes whole jobs", async () => {
    const open = await prepare()
    const [from, to] = [open(), (await prepare())()]
    const jobs = new JobManager({ repository: from })
    const { id } = await jobs.createJob(spec(2))
    await jobs.runJob(id, { jobDir: dir, workerAdapter: worker() })
    const state = await from.get(id)
    assert(state !== null)
    await to.save(state)
    const taken = await to.get(id)
    assert.deepStrictEqual(
      taken?.chunks.map(({ output, status }) => [status, output]),
      state.chunks.map(({ output, status }) => [status, output])
    )
    assert.strictEqual(taken?.status, "completed")
    assert.deepStrictEqual(
      (await to.list()).map((job) => job.id),
      [id]
    )
    await to.delete(id)
    await to.delete(id)
    assert.isNull(await to.get(id))
    assert.strictEqual((await from.list()).length, 1)
    await Promise.all([from.close(), to.close()])
  })
})

describe("a database that cannot be used", () => {
  it.each([
    ["a folder", () => new SqliteJobRepository(dir)],
    ["a server that is not there", () => new PostgresJobRepository({ url: "postgres://me:secret@127.0.0.1:1/jobs" })]
  ])("rejects with what to do, and not with the password: %s", async (_, make) => {
    const repository = make()
    const error = await repository.list().then(
      () => undefined,
      (error: unknown) => error
    )
    assert.instanceOf(error, RepositoryError)
    assert.match(error.message, /cannot be opened|cannot be reached/)
    assert.notInclude(error.message, "secret")
    await repository.close()
  })
})

describe("an option of SqliteJobRepository in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown => Reflect.construct(SqliteJobRepository, ["jobs.db", { patienc: 5 }])
    assert.throws(make, TypeError, "SqliteJobRepository: there is no option patienc: did you mean patience?")
    const none = (): unknown => Reflect.construct(SqliteJobRepository, [])
    assert.throws(none, TypeError, "SqliteJobRepository: ")
  })
})

describe("an option of PostgresJobRepository in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown =>
      Reflect.construct(PostgresJobRepository, [{ url: "postgres://localhost/a", connection: 5 }])
    assert.throws(make, TypeError, "PostgresJobRepository: there is no option connection: did you mean connections?")
    const none = (): unknown => Reflect.construct(PostgresJobRepository, [])
    assert.throws(none, TypeError, "PostgresJobRepository: ")
  })
})
