import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Stream } from "effect"
import * as FromPromises from "../src/FromPromises.ts"
import * as TrustingWorkspace from "../src/internal/promise/TrustingWorkspace.ts"
import * as JobManager from "../src/JobManager.ts"
import * as JobRepository from "../src/JobRepository.ts"
import { OutputCheck } from "../src/OutputCheck.ts"
import * as PromiseBacking from "../src/PromiseBacking.ts"
import { WorkerAdapter, type WorkerJob } from "../src/WorkerAdapter.ts"
import { Workspace } from "../src/Workspace.ts"
import * as Plain from "./promise/Plain.ts"

describe("FromPromises", () => {
  it.effect("lets an Effect program run jobs with plain objects; what they did not tell is not in the journal", () =>
    Effect.gen(function* () {
      const files = Layer.succeed(Workspace, TrustingWorkspace.make("/videos"))
      const stitcher = new Plain.Stitcher()
      const seen: Array<string | undefined> = []
      const check = {
        check: async (_: WorkerJob, { output }: { readonly output?: { readonly location: string } }) => {
          seen.push(output?.location)
        }
      }
      // What is there is as large as a worker says that does not know.
      const found = Layer.succeed(Workspace, {
        ...TrustingWorkspace.make("/videos"),
        stat: () => Effect.succeed(Option.some({ bytes: 7 }))
      })
      const services = Layer.mergeAll(
        FromPromises.workerAdapter(new Plain.Adapter()),
        FromPromises.videoStitcher(stitcher).pipe(Layer.provide(files)),
        FromPromises.outputCheck(check).pipe(Layer.provide(found)),
        files
      )
      const records = yield* Effect.gen(function* () {
        const jobs = yield* JobManager.JobManager
        const { id } = yield* jobs.create(Plain.job(2))
        yield* jobs.run(id, { outputFile: "film.mp4", concurrency: 1 })
        return yield* Effect.flatMap(JobRepository.JobRepository, ({ read }) => Stream.runCollect(read(id)))
      }).pipe(
        Effect.provide(
          JobManager.layer.pipe(
            Layer.provide(services),
            Layer.provideMerge(FromPromises.jobRepository(new Plain.Store()))
          )
        )
      )
      assert.deepStrictEqual(seen, ["/videos/part_0.mov", "/videos/part_1.mov"])
      assert.deepStrictEqual(stitcher.calls, [
        { inputs: ["/videos/part_0.mov", "/videos/part_1.mov"], output: "/videos/film.mp4" }
      ])
      const events = records.map(({ event }) => event)
      assert.deepStrictEqual(
        events.filter(({ _tag }) => _tag === "Stitched"),
        [{ _tag: "Stitched", outputFile: "/videos/film.mp4" }]
      )
      assert.deepStrictEqual(
        events.flatMap((event) => (event._tag === "ChunkAccepted" ? [event.output.bytes] : [])),
        [7, 7]
      )
    })
  )

  it.effect("lets an adapter end what a dead process left, and says what it could not look for", () =>
    Effect.gen(function* () {
      const execute = () => Promise.resolve({ exitCode: 0, stdout: "", stderr: "", durationMs: 0 })
      const reapOf = (adapter: Parameters<typeof FromPromises.workerAdapter>[0]) =>
        Effect.flatMap(WorkerAdapter, ({ reap }) => reap("job-a", ["one", "two"])).pipe(
          Effect.provide(FromPromises.workerAdapter(adapter))
        )
      const asked: Array<unknown> = []
      const left = yield* reapOf({
        execute,
        reap: async (jobId, handles, { signal }) => {
          asked.push(jobId, handles, signal.aborted)
          return { leftover: ["two"] }
        }
      })
      assert.deepStrictEqual(asked, ["job-a", ["one", "two"], false])
      assert.deepStrictEqual(left, { leftover: ["two"] })

      assert.deepStrictEqual(yield* reapOf({ execute }), { leftover: [] })
      const failed = yield* reapOf({
        execute,
        info: { name: "farm" },
        reap: () => Promise.reject(new Error("no route"))
      })
      assert.deepStrictEqual(failed, { leftover: ["what farm could not look for, and may still run: no route"] })
    })
  )

  it.effect("shows a check no file that is not there", () =>
    Effect.gen(function* () {
      const nothing = { ...TrustingWorkspace.make(), stat: () => Effect.succeedNone }
      const check = FromPromises.outputCheck({ check: () => assert.fail("it was shown") })
      const { check: service } = yield* Effect.provide(
        OutputCheck,
        Layer.provide(check, Layer.succeed(Workspace, nothing))
      )
      const job: WorkerJob = {
        id: "job/merge/1.1",
        command: "merge",
        meta: { _tag: "Merge", jobId: "job", run: 1, attempt: 1, output: { _tag: "File", path: "film.mp4" } }
      }
      const error = yield* Effect.flip(service(job, { ...Plain.ok, output: { location: "film.mp4", bytes: 0 } }))
      assert.strictEqual(error.reason._tag, "OutputInvalid")
    })
  )

  it.effect("uses the journals behind a repository that has some", () =>
    Effect.gen(function* () {
      const plain = new Plain.Store()
      const isFencing = Effect.suspend(() => Layer.build(FromPromises.jobRepository(plain))).pipe(
        Effect.map((context) => Context.get(context, JobRepository.JobRepository).guarantees.fencing)
      )
      assert.isFalse(yield* isFencing)
      PromiseBacking.backRepository(plain, JobRepository.layerMemory)
      assert.isTrue(yield* isFencing)
    })
  )
})
