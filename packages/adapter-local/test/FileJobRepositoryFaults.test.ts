/**
 * Jobs in a folder whose disk fails: at every write, sync, new name and rename in the life of a job, one after the other.
 *
 * The file system is injected below all of the package's code, in place of `node:fs/promises`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import { JobManager, JobRepository } from "@helios-infra/core"
import { Effect, Layer, References, Result, Stream } from "effect"
import * as path from "node:path"
import { vi } from "vitest"
import * as FaultyFiles from "./FaultyFiles.ts"
import * as Rendering from "./fixtures/rendering.ts"
import { created, founds, journal, list, lost, open, temporary } from "./JobsFolder.ts"

vi.mock("node:fs/promises", async (original) => {
  const { over } = await import("./FaultyFiles.ts")
  return over(await original())
})

type Jobs = JobRepository.JobRepository["Service"]

/** What an error says to do about a disk. */
const advice: Record<FaultyFiles.Code, RegExp> = {
  ENOSPC: /the disk is full: make room/,
  EIO: /the disk failed/,
  EROFS: /the file system is read-only: use a folder that can be written to/
}

const faults = [
  { code: "ENOSPC", lasts: false, name: "ENOSPC once" },
  { code: "ENOSPC", lasts: true, name: "ENOSPC until there is room" },
  { code: "EIO", lasts: false, name: "EIO once" },
  { code: "EROFS", lasts: true, name: "EROFS until it is mounted anew" }
] as const

/** What came of a job's life. */
interface Life {
  /** What was promised to be kept, in order. */
  readonly kept: ReadonlyArray<string>
  readonly failures: ReadonlyArray<JobRepository.RepositoryError>
}

/** Everything that writes, in a job's life of two runs; what fails is passed over. */
const live = Effect.fnUntraced(function* (jobs: Jobs) {
  const kept: Array<string> = []
  const failures: Array<JobRepository.RepositoryError> = []
  const attempt = <A, R>(operation: Effect.Effect<A, JobRepository.RepositoryError, R>) =>
    Effect.map(Effect.result(operation), (result) => {
      if (Result.isFailure(result)) failures.push(result.failure)
      return Result.isSuccess(result) ? result.success : undefined
    })
  yield* attempt(jobs.create("job", created))
  for (const run of ["first", "second"]) {
    const writer = yield* attempt(open(jobs))
    if (writer === undefined) continue
    for (const batch of ["a", "b"]) {
      const texts = [`${run} ${batch} 1`, `${run} ${batch} 2`]
      if ((yield* attempt(writer.append(texts.map(lost)))) !== undefined) kept.push(...texts)
    }
    yield* attempt(jobs.request("job", { _tag: "Pause", mode: "drain" }))
    yield* writer.close
    yield* attempt(Stream.runDrain(jobs.list()))
  }
  return { kept, failures } satisfies Life
})

/** A jobs folder on a disk that fails, or does not. */
const mounted = Effect.fnUntraced(function* (fault?: FaultyFiles.Fault) {
  const dir = path.join(yield* temporary, "jobs")
  const disk = FaultyFiles.mount(dir, fault)
  return { dir, disk, jobs: yield* FileJobRepository.make({ dir }) }
})

describe("a disk that fails at any point of a job's life", () => {
  it.live.each(faults)("with $name: says what to do, loses nothing, and the job goes on", ({ code, lasts }) =>
    Effect.gen(function* () {
      const whole = yield* mounted()
      const { failures, kept } = yield* live(whole.jobs)
      assert.deepStrictEqual([failures, kept.length], [[], 8])
      const count = whole.disk.operations.length
      assert.isAbove(count, 25)

      const failing = (at: number) =>
        Effect.gen(function* () {
          const { dir, disk, jobs } = yield* mounted({ code, at, lasts })
          const { failures, kept } = yield* live(jobs)
          const where = `${code} at ${at}: ${whole.disk.operations[at - 1]?.replace(whole.dir, "")}`
          for (const { jobId, message, reason } of failures) {
            assert.strictEqual(jobId, "job", where)
            // A job that could not be created is not there.
            if (reason._tag === "NotFound") continue
            assert.strictEqual(reason._tag, "Unavailable", where)
            assert.match(message, advice[code], where)
            assert.include(message, dir, where)
          }
          disk.repair()

          // Whoever comes later finds all that was promised, and of the rest only what is whole.
          const later = yield* FileJobRepository.make({ dir })
          const read = yield* Effect.result(journal(later))
          if (Result.isFailure(read)) {
            assert.strictEqual(read.failure.reason._tag, "NotFound", where)
            assert.deepStrictEqual(kept, [], where)
            yield* later.create("job", created)
          }
          const found = yield* founds(later)
          assert.deepStrictEqual(
            found.filter((text) => kept.includes(text)),
            kept,
            where
          )
          for (const text of found) {
            assert.include(
              found,
              text.replace(/.$/, (half) => (half === "1" ? "2" : "1")),
              where
            )
          }
          const writer = yield* open(later)
          yield* writer.append([lost("next")])
          yield* writer.close
          assert.deepStrictEqual(yield* founds(later), [...found, "next"], where)
          const [summary] = yield* Stream.runCollect(later.list())
          assert.deepStrictEqual([summary?.id, summary?.owner], ["job", "none"], where)
          yield* later.delete("job")
          assert.deepStrictEqual(yield* list(dir), [], where)
          return failures.length
        }).pipe(Effect.scoped)

      // At once, for a run that never began is waited for.
      const failed = yield* Effect.forEach(
        Array.from({ length: count }, (_, index) => index + 1),
        failing,
        { concurrency: "unbounded" }
      )
      assert.isAbove(failed.filter((count) => count > 0).length, count / 2)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )
})

describe("a job that runs while its journal's disk fails", () => {
  const chunks = 5

  it.live.each(faults)("with $name: ends with what to do, and runs on with what it has", ({ code, lasts }) =>
    Effect.gen(function* () {
      /** Runs a job on a disk, and again when that is repaired. */
      const run = Effect.fnUntraced(function* (at: number) {
        const parent = yield* temporary
        const dir = path.join(parent, "jobs")
        const rendered: Array<number> = []
        const manager = JobManager.layer.pipe(
          Layer.provideMerge(FileJobRepository.layer({ dir })),
          Layer.provide(Rendering.layer(parent, (_, chunk) => rendered.push(chunk)))
        )
        const first = Effect.gen(function* () {
          const jobs = yield* JobManager.JobManager
          yield* jobs.create(Rendering.spec(chunks), { id: "film" })
          const disk = FaultyFiles.mount(dir, { code, at, lasts })
          const ran = yield* Effect.result(jobs.run("film", { concurrency: 2 }))
          disk.repair()
          return { disk, ran }
        })
        const { disk, ran } = yield* Effect.provide(first, manager)
        const where = `${code} at ${at}: ${disk.operations[at - 1]?.replace(dir, "")}`
        if (Result.isFailure(ran)) {
          const { jobId, message, reason } = ran.failure
          assert.strictEqual(jobId, "film", where)
          assert.strictEqual(reason._tag === "RepositoryError" && reason.reason._tag, "Unavailable", where)
          assert.match(message, advice[code], where)
          assert.include(message, dir, where)
        }

        // A manager of its own, as another process would have.
        const second = Effect.gen(function* () {
          const jobs = yield* JobManager.JobManager
          const before = yield* jobs.get("film")
          const kept = before.chunks.flatMap(({ id, status }) => (status === "accepted" ? [id] : []))
          rendered.length = 0
          const after = yield* jobs.run("film", { concurrency: 2 })
          assert.strictEqual(after.status, "completed", where)
          assert.sameMembers(
            [...kept, ...rendered],
            Rendering.spec(chunks).chunks.map(({ id }) => id),
            where
          )
          const records = yield* Effect.flatMap(JobRepository.JobRepository, (store) => journal(store, "film"))
          const accepted = records.flatMap(({ event }) => (event._tag === "ChunkAccepted" ? [event.chunk] : []))
          assert.strictEqual(new Set(accepted).size, accepted.length, where)
        })
        yield* Effect.provide(second, Layer.fresh(manager))
        return { failed: Result.isFailure(ran), operations: disk.operations.length }
      }, Effect.scoped)

      const whole = yield* run(Infinity)
      assert.isFalse(whole.failed)
      assert.isAbove(whole.operations, 10)
      const points = Array.from({ length: whole.operations }, (_, index) => index + 1)
      const runs = yield* Effect.forEach(points, run, { concurrency: 8 })
      assert.isAbove(runs.filter(({ failed }) => failed).length, 3)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )
})
