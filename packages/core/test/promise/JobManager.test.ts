// oxlint-disable eslint/no-await-in-loop -- the cases of these tests go one after the other
import {
  InMemoryJobRepository,
  JobCancelled,
  JobError,
  JobExecutor,
  JobManager,
  JobPaused,
  type JobExecutionOptions,
  type JobRepository,
  RepositoryError
} from "@helios-infra/core/promise"
import { assert, describe, it } from "vitest"
import { Adapter, chunkOf, gate, job, ok, rejection, Stitcher, Store, untilAborted, untyped } from "./Plain.ts"

const failure = async (promise: Promise<unknown>): Promise<JobError> => {
  const error = await rejection(promise)
  assert.instanceOf(error, JobError)
  return error
}

describe("JobManager", () => {
  it("creates, runs, gets and lists jobs", async () => {
    const jobs = new JobManager()
    const created = await jobs.createJob(job(3))
    assert.strictEqual(created.status, "pending")
    const done = await jobs.runJob(created.id, { workerAdapter: new Adapter() })
    assert.strictEqual(done.status, "completed")
    assert.strictEqual(done.progress, 1)
    assert.deepStrictEqual(await jobs.getJob(created.id), done)
    const second = await jobs.createJob(job(1, { id: "second" }))
    assert.sameMembers(
      (await jobs.listJobs()).map(({ id }) => id),
      [created.id, second.id]
    )
  })

  it("gives null for a job that is not there, and rejects what cannot be done with it", async () => {
    const jobs = new JobManager()
    assert.isNull(await jobs.getJob("nobody"))
    for (const attempt of [
      () => jobs.runJob("nobody", { workerAdapter: new Adapter() }),
      () => jobs.cancelJob("nobody"),
      () => jobs.pauseJob("nobody"),
      () => jobs.deleteJob("nobody"),
      () => jobs.logsOf("nobody")
    ]) {
      const { jobId, reason } = await failure(attempt())
      assert.strictEqual(jobId, "nobody")
      assert.instanceOf(reason, RepositoryError)
    }
  })

  it("says what is wrong with a job file, and that an id is taken", async () => {
    const jobs = new JobManager()
    const wrong = await failure(jobs.createJob(job(2, { metadata: { totalFrames: 30, fps: 30 } })))
    assert.strictEqual(wrong.reason._tag, "JobSpecError")
    assert.match(wrong.message, /frames 20-29 are in no chunk/)
    await jobs.createJob(job(1, { id: "mine" }))
    assert.match((await failure(jobs.createJob(job(1, { id: "mine" })))).message, /already/)
  })

  it("rejects a run without workerAdapter, or with a stitcher and no outputFile, before anything starts", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(2))
    const none = await failure(jobs.runJob(id))
    assert.strictEqual(none.reason._tag, "InvalidRequest")
    assert.match(none.message, /workerAdapter/)
    const workerAdapter = new Adapter()
    const nowhere = await failure(jobs.runJob(id, { workerAdapter, stitcher: new Stitcher() }))
    assert.match(nowhere.message, /outputFile/)
    assert.strictEqual(workerAdapter.jobs.length, 0)
    assert.strictEqual((await jobs.getJob(id))?.status, "pending")
  })

  it.each<JobExecutionOptions>([
    { concurrency: 0 },
    { concurrency: Number.NaN },
    { concurrency: 1.5 },
    { retries: -1 },
    { retries: Number.NaN },
    { retryDelay: -1 },
    { retryDelay: Number.NaN }
  ])("rejects %o before anything starts", async (wrong) => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    const workerAdapter = new Adapter()
    const { message, reason } = await failure(jobs.runJob(id, { workerAdapter, ...wrong }))
    assert.strictEqual(reason._tag, "InvalidRequest")
    assert.include(message, Object.keys(wrong)[0] ?? "?")
    assert.strictEqual(workerAdapter.jobs.length, 0)
  })

  it.each<readonly [object, string]>([
    [{ retires: 0 }, "there is no option retires: did you mean retries?"],
    [{ attemptTimeout: 1000 }, "there is no option attemptTimeout: there are workerAdapter"],
    [{ artifacts: { acces: "urls" } }, "there is no option acces: did you mean access?"],
    [{ signal: new AbortController() }, "signal must be an AbortSignal"],
    [{ signal: null }, "signal must be an AbortSignal"],
    [{ onProgress: "bar" }, "onProgress must be a function"],
    [{ jobDir: new URL("file:///films") }, "jobDir must be a text"],
    [{ env: { THREADS: 4 } }, "env.THREADS must be a text, is 4"],
    [{ outputFile: 3 }, "outputFile must be a text"],
    [{ stitcher: {} }, "stitcher must have a method stitch"],
    [{ takeOver: "never" }, 'takeOver must be "if-dead" or "always"']
  ])("says what is wrong with %o, before anything starts", async (wrong, message) => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    const workerAdapter = new Adapter()
    const options = { workerAdapter, ...wrong }
    for (const run of [
      () => jobs.runJob(id, options),
      () => jobs.resumeJob(id, options),
      () => new JobExecutor(job(1), options).execute()
    ]) {
      const error = await failure(run())
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.include(error.message, message)
      assert.notMatch(error.stack ?? "", /~effect|FiberImpl/)
    }
    assert.strictEqual(workerAdapter.jobs.length, 0)
    assert.strictEqual((await jobs.getJob(id))?.status, "pending")
  })

  it("says what is wrong with the options of its other methods, and its own", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    for (const [attempt, message] of [
      [() => jobs.pauseJob(id, untyped("drain")), 'the options must be an object, are "drain"'],
      [() => jobs.pauseJob(id, untyped({ mode: "soft" })), 'mode must be "drain" or "interrupt", is "soft"'],
      [() => jobs.deleteJob(id, untyped({ workerAdapte: new Adapter() })), "did you mean workerAdapter?"],
      [() => jobs.recoverJobs(untyped(undefined)), "the options must be an object"],
      [() => jobs.recoverJobs(untyped({})), "there are no options"],
      [() => jobs.recoverJobs(untyped({ options: {} })), "options must be a function"]
    ] as const) {
      const error = await failure(attempt())
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.include(error.message, message)
    }
    assert.isNotNull(await jobs.getJob(id))
    for (const [options, message] of [
      [{ repositry: new InMemoryJobRepository() }, "did you mean repository?"],
      [{ concurrency: 3 }, "there is no option concurrency"],
      [null, "the options must be an object"]
    ] as const) {
      assert.throws(() => new JobManager(untyped(options)), JobError, message)
    }
  })

  it("says when it is not given the id of a job", async () => {
    const jobs = new JobManager()
    const workerAdapter = new Adapter()
    for (const id of [undefined, null, 3, {}]) {
      for (const attempt of [
        () => jobs.getJob(untyped(id)),
        () => jobs.runJob(untyped(id), { workerAdapter }),
        () => jobs.resumeJob(untyped(id), { workerAdapter }),
        () => jobs.cancelJob(untyped(id)),
        () => jobs.pauseJob(untyped(id)),
        () => jobs.deleteJob(untyped(id)),
        () => jobs.logsOf(untyped(id)),
        () => jobs.watchJob(untyped(id)).next()
      ]) {
        assert.include((await failure(attempt())).message, "the id of a job must be a text, is ")
      }
    }
  })

  it("takes what is undefined in a job file for left out, as JSON does", async () => {
    const jobs = new JobManager()
    const spec = { ...job(1), id: undefined, mergeCommand: undefined }
    const created = await jobs.createJob(untyped({ ...spec, metadata: { ...spec.metadata, width: undefined } }))
    assert.deepStrictEqual(created.spec, job(1))
    assert.isString(created.id)
  })

  it("runs as many attempts at once as the options say, else the manager, else the adapter", async () => {
    const jobs = new JobManager({ defaultConcurrency: 3 })
    const most = async (options: { concurrency?: number }) => {
      const workerAdapter = new Adapter(async () => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        return ok
      })
      const { id } = await jobs.createJob(job(12))
      await jobs.runJob(id, { workerAdapter, ...options })
      return workerAdapter.most
    }
    assert.strictEqual(await most({}), 3)
    assert.strictEqual(await most({ concurrency: 5 }), 5)
    const limited = Object.assign(new Adapter(), { info: { concurrency: 4, maxConcurrency: 2 } })
    const { id } = await jobs.createJob(job(12))
    await jobs.runJob(id, { workerAdapter: limited })
    assert.isAtMost(limited.most, 2)
  })

  it("rejects with the job, the chunk, the attempt and the reason, in an error made where the caller waits", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(3))
    const workerAdapter = new Adapter(async (job) =>
      chunkOf(job) === 1 ? { ...ok, exitCode: 3, stderr: "no such scene" } : ok
    )
    async function theCaller() {
      await jobs.runJob(id, { workerAdapter, retries: 1, retryDelay: 1 })
    }
    const error = await failure(theCaller())
    assert.deepStrictEqual([error.jobId, error.chunkId, error.attempt], [id, 1, 2])
    assert.match(error.message, /chunk 1 failed after 2 attempts.*exited with 3:\nno such scene/s)
    assert.strictEqual(error.reason._tag === "ChunkFailed" && error.reason.last.reason._tag, "RenderFailed")
    assert.match(error.stack ?? "", /theCaller/)
    assert.notMatch(error.stack ?? "", /node_modules\/effect/)
    assert.strictEqual((await jobs.getJob(id))?.status, "failed")
  })

  it("runs a failed job on and keeps what was accepted", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(3))
    const broken = new Adapter(async (job) => (chunkOf(job) === 2 ? { ...ok, exitCode: 1 } : ok))
    await failure(jobs.runJob(id, { workerAdapter: broken, retries: 0, concurrency: 1 }))
    const workerAdapter = new Adapter()
    const percents: Array<number> = []
    await jobs.runJob(id, { workerAdapter, onProgress: ({ percent }) => percents.push(percent) })
    assert.deepStrictEqual(workerAdapter.jobs.map(chunkOf), [2])
    assert.deepStrictEqual(percents, [100])
  })

  it("leaves a completed job as it is", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(2))
    const done = await jobs.runJob(id, { workerAdapter: new Adapter() })
    const workerAdapter = new Adapter()
    const onProgress = () => assert.fail("nothing happened")
    assert.deepStrictEqual(await jobs.runJob(id, { workerAdapter, onProgress }), done)
    assert.deepStrictEqual(await jobs.cancelJob(id), done)
    assert.deepStrictEqual(await jobs.pauseJob(id), done)
    assert.strictEqual(workerAdapter.jobs.length, 0)
  })

  it.each<{ readonly name: string; readonly repository: JobRepository | undefined }>([
    { name: "a journal", repository: undefined },
    { name: "InMemoryJobRepository", repository: new InMemoryJobRepository() },
    { name: "a repository of whole jobs", repository: new Store() }
  ])(
    "cancels a job elsewhere with $name: runJob rejects with JobCancelled when all has stopped",
    async ({ repository }) => {
      const jobs = new JobManager({ repository })
      const { id } = await jobs.createJob(job(4))
      const begun = gate()
      const workerAdapter = new Adapter((_, { signal }) => {
        begun.resolve()
        return untilAborted(signal)
      })
      const running = rejection(jobs.runJob(id, { workerAdapter, concurrency: 2 }))
      await begun.promise
      const cancelled = await jobs.cancelJob(id)
      assert.strictEqual(cancelled.status, "cancelled")
      assert.strictEqual(workerAdapter.running, 0)
      const error = await running
      assert.instanceOf(error, JobCancelled)
      assert.deepStrictEqual([error.name, error.jobId, error.reason._tag], ["JobCancelled", id, "JobCancelled"])
      assert.instanceOf(await rejection(jobs.runJob(id, { workerAdapter: new Adapter() })), JobCancelled)
      assert.strictEqual((await jobs.resumeJob(id, { workerAdapter: new Adapter() })).status, "completed")
    }
  )

  it("cancels a job that never ran", async () => {
    const jobs = new JobManager({ repository: new Store() })
    const { id } = await jobs.createJob(job(1))
    assert.strictEqual((await jobs.cancelJob(id)).status, "cancelled")
    assert.strictEqual((await jobs.getJob(id))?.status, "cancelled")
  })

  it("pauses a job and runs it on with what it has", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(3))
    assert.strictEqual((await jobs.pauseJob(id)).status, "pending", "what does not run is left as it is")
    const begun = gate()
    const workerAdapter = new Adapter((job, { signal }) => {
      if (chunkOf(job) === 0) return Promise.resolve(ok)
      begun.resolve()
      return untilAborted(signal)
    })
    const running = rejection(jobs.runJob(id, { workerAdapter, concurrency: 1 }))
    await begun.promise
    const paused = await jobs.pauseJob(id)
    assert.strictEqual(paused.status, "paused")
    assert.strictEqual(workerAdapter.running, 0)
    const error = await running
    assert.instanceOf(error, JobPaused)
    assert.strictEqual(error.jobId, id)
    const rest = new Adapter()
    assert.strictEqual((await jobs.resumeJob(id, { workerAdapter: rest })).status, "completed")
    assert.sameMembers(rest.jobs.map(chunkOf), [1, 2])
  })

  it("deletes a job, one that runs as well: that is cancelled first", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    const begun = gate()
    const workerAdapter = new Adapter((_, { signal }) => {
      begun.resolve()
      return untilAborted(signal)
    })
    const running = rejection(jobs.runJob(id, { workerAdapter }))
    await begun.promise
    await jobs.deleteJob(id)
    assert.instanceOf(await running, JobCancelled)
    assert.isNull(await jobs.getJob(id))
  })

  it("drains a job when it is paused so: what runs is waited for", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(3))
    const [begun, end] = [gate(), gate()]
    const workerAdapter = new Adapter(async () => {
      begun.resolve()
      await end.promise
      return ok
    })
    const running = rejection(jobs.runJob(id, { workerAdapter, concurrency: 1 }))
    await begun.promise
    const pausing = jobs.pauseJob(id, { mode: "drain" })
    const watching = jobs.watchJob(id)
    end.resolve()
    assert.strictEqual((await pausing).status, "paused")
    assert.instanceOf(await running, JobPaused)
    assert.strictEqual(workerAdapter.jobs.length, 1)
    const state = await jobs.getJob(id)
    assert.strictEqual(state?.chunks.filter(({ status }) => status === "accepted").length, 1)
    await watching.return()
  })

  it("goes on into the file that was asked for first", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(2))
    const broken = new Adapter(async (chunk) => ({ ...ok, exitCode: chunkOf(chunk) === 1 ? 1 : 0 }))
    const stitcher = new Stitcher()
    await failure(jobs.runJob(id, { workerAdapter: broken, stitcher, outputFile: "film.mp4", retries: 0 }))
    const done = await jobs.resumeJob(id, { workerAdapter: new Adapter(), stitcher })
    assert.strictEqual(done.outputFile, "film.mp4")
    const other = await jobs.createJob(job(1))
    assert.match(
      (await failure(jobs.resumeJob(other.id, { workerAdapter: new Adapter(), stitcher }))).message,
      /outputFile/
    )
  })

  it("takes a job over when it is told to, and refuses to otherwise", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    const begun = gate()
    const stuck = new Adapter((_, { signal }) => {
      begun.resolve()
      return untilAborted(signal)
    })
    const first = rejection(jobs.runJob(id, { workerAdapter: stuck }))
    await begun.promise
    const refused = await failure(jobs.resumeJob(id, { workerAdapter: new Adapter() }))
    assert.match(refused.message, /takeOver: "always"/)
    const wrong = await failure(jobs.runJob(id, { workerAdapter: new Adapter(), takeOver: untyped("now") }))
    assert.match(wrong.message, /takeOver must be/)
    assert.strictEqual(
      (await jobs.resumeJob(id, { workerAdapter: new Adapter(), takeOver: "always" })).status,
      "completed"
    )
    assert.match(String(await first), /taken over/)
  })

  it("does not let two run one job", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    const [begun, end] = [gate(), gate()]
    const slow = new Adapter(async () => {
      begun.resolve()
      await end.promise
      return ok
    })
    const first = jobs.runJob(id, { workerAdapter: slow })
    await begun.promise
    const second = new Adapter()
    assert.match((await failure(jobs.runJob(id, { workerAdapter: second }))).message, /is run by/)
    end.resolve()
    assert.strictEqual((await first).status, "completed")
    assert.strictEqual(second.jobs.length, 0)
  })

  it("shows progress as it comes, and ends with the job", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(3))
    const seen: Array<number> = []
    const halfway = gate()
    const watching = (async () => {
      for await (const { fraction, status } of jobs.watchJob(id)) {
        seen.push(fraction)
        if (Math.abs(fraction - 5 / 30) < 1e-9) halfway.resolve()
        if (status === "completed") assert.strictEqual(fraction, 1)
      }
    })()
    const workerAdapter = new Adapter(async (_, { report }) => {
      // Frames of running chunks count: the first chunk goes on once they were seen.
      const telling = setInterval(() => report({ _tag: "Frames", done: 5 }), 10)
      await halfway.promise
      clearInterval(telling)
      return ok
    })
    await jobs.runJob(id, { workerAdapter, concurrency: 1 })
    await watching
    assert.strictEqual(seen.at(-1), 1)
    assert.deepStrictEqual(
      seen,
      seen.toSorted((a, b) => a - b),
      "never back"
    )
  })

  it("stops watching when the reader has seen enough, and rejects for a job that is not there", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    for await (const { fraction } of jobs.watchJob(id)) {
      assert.strictEqual(fraction, 0)
      break
    }
    const error = await failure(jobs.watchJob("nobody").next())
    assert.strictEqual(error.jobId, "nobody")
  })

  it("keeps what attempts printed, told line by line or given at the end", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(2))
    const workerAdapter = new Adapter(async (job, { report }) => {
      if (chunkOf(job) === 0) report({ _tag: "Line", stream: "stdout", text: "frame 1" })
      return { ...ok, stdout: "all of it", stderr: "a warning" }
    })
    await jobs.runJob(id, { workerAdapter, concurrency: 1 })
    const logs = await jobs.logsOf(id)
    assert.deepStrictEqual(
      logs.map(({ attempt, chunkId, log, outcome }) => ({ attempt, chunkId, log, outcome })),
      [
        { attempt: 1, chunkId: 0, log: "frame 1", outcome: "accepted" },
        { attempt: 1, chunkId: 1, log: "all of it\na warning", outcome: "accepted" }
      ]
    )
  })

  describe("with a user's repository", () => {
    it("goes on in another manager with what was accepted", async () => {
      const repository = new Store()
      const first = new JobManager({ repository })
      const { id } = await first.createJob(job(3, untyped({ title: "kept" })))
      const broken = new Adapter(async (job) => (chunkOf(job) === 2 ? { ...ok, exitCode: 1 } : ok))
      await failure(first.runJob(id, { workerAdapter: broken, retries: 0, concurrency: 1 }))

      const second = new JobManager({ repository })
      const state = await second.getJob(id)
      assert.deepStrictEqual(state, await first.getJob(id))
      assert(state?.status === "failed")
      assert.match(state.chunks[2]?.error?.message ?? "", /exited with 1/)
      const workerAdapter = new Adapter()
      const done = await second.runJob(id, { workerAdapter })
      assert.deepStrictEqual(workerAdapter.jobs.map(chunkOf), [2])
      assert.strictEqual(done.run, 2)
      assert.deepStrictEqual(await repository.get(id), done)
      assert.propertyVal(done.spec, "title", "kept")
    })

    it("runs the jobs on whose process died, one after the other, and says what became of each", async () => {
      const repository = new InMemoryJobRepository()
      const died = async (id: string) => {
        const created = await new JobManager({ repository }).createJob(job(2, { id }))
        const [first, ...rest] = created.chunks
        assert.isDefined(first)
        const accepted = {
          ...first,
          status: "accepted",
          attempts: 1,
          output: { location: "part_0.mov", bytes: 1 },
          acceptedBy: { run: 1, attempt: 1 }
        } as const
        await repository.save({ ...created, status: "running", run: 1, chunks: [accepted, ...rest] })
      }
      await died("good")
      await died("bad")
      await new JobManager({ repository }).createJob(job(1, { id: "fresh" }))
      const rendered: Array<string> = []
      const jobs = new JobManager({ repository })
      const recovered = await jobs.recoverJobs({
        options: ({ id }) => ({
          retries: 0,
          workerAdapter: new Adapter(async (chunk) => {
            rendered.push(`${id}/${chunkOf(chunk)}`)
            return { ...ok, exitCode: id === "bad" ? 1 : 0 }
          })
        })
      })
      assert.sameMembers(rendered, ["good/1", "bad/1"])
      assert.sameDeepMembers(
        recovered.map(({ how, jobId }) => [jobId, how]),
        [
          ["good", "resumed"],
          ["bad", "error"]
        ]
      )
      const bad = recovered.find(({ how }) => how === "error")
      assert(bad?.how === "error")
      assert.instanceOf(bad.error, JobError)
      assert.strictEqual((await jobs.getJob("good"))?.status, "completed")
      assert.strictEqual((await jobs.getJob("fresh"))?.status, "pending")
      const thrown = await new JobManager({ repository }).recoverJobs({
        options: () => {
          throw new Error("no options today")
        }
      })
      assert.deepStrictEqual(thrown, [])
      await died("late")
      const [late] = await jobs.recoverJobs({ options: untyped(async () => ({ workerAdapter: new Adapter() })) })
      assert(late?.how === "error")
      assert.include(late.error.message, "the options must be an object, are a promise")
    })

    it("saves seldom: when a job is created, while it runs, and at its end", async () => {
      const repository = new Store()
      const jobs = new JobManager({ repository })
      const { id } = await jobs.createJob(job(500))
      assert.strictEqual(repository.saves, 1)
      const startedAt = performance.now()
      await jobs.runJob(id, { workerAdapter: new Adapter(), concurrency: 10 })
      const seconds = (performance.now() - startedAt) / 1000
      assert.isAtMost(repository.saves, 1 + 2 + Math.ceil(seconds * 4))
      assert.strictEqual((await repository.get(id))?.status, "completed")
    })

    it("makes up for a save that fails while the job runs", async () => {
      class Flaky extends Store {
        override async save(state: Parameters<Store["save"]>[0]): Promise<void> {
          if (state.status === "running" && this.saves++ < 3) throw new Error("deadlock")
          return super.save(state)
        }
      }
      const repository = new Flaky()
      const jobs = new JobManager({ repository })
      const { id } = await jobs.createJob(job(2))
      const workerAdapter = new Adapter(async () => {
        await new Promise((resolve) => setTimeout(resolve, 100))
        return ok
      })
      await jobs.runJob(id, { workerAdapter, concurrency: 1 })
      assert.strictEqual((await repository.get(id))?.status, "completed")
    })

    it("rejects when the last save fails, and what was stored stays", async () => {
      class Full extends Store {
        override async save(state: Parameters<Store["save"]>[0]): Promise<void> {
          if (state.status === "completed") throw new Error("the disk is full")
          return super.save(state)
        }
      }
      const repository = new Full()
      const jobs = new JobManager({ repository })
      const { id } = await jobs.createJob(job(2))
      const onProgress = ({ percent }: { percent: number }) => assert.isBelow(percent, 100)
      const { message, reason } = await failure(jobs.runJob(id, { workerAdapter: new Adapter(), onProgress }))
      assert.match(message, /the store failed: .*the disk is full/)
      assert.strictEqual(reason._tag, "RepositoryError")
      assert.notStrictEqual((await jobs.getJob(id))?.status, "completed")
    })

    it.each(["save", "get", "list", "delete"] as const)(
      "says so when %s throws, whatever it throws",
      async (method) => {
        for (const thrown of [new Error("connection refused"), "connection refused", undefined]) {
          const repository = new Store()
          const jobs = new JobManager({ repository })
          const { id } = await jobs.createJob(job(1))
          const before = [...repository.rows]
          repository[method] = () => {
            // oxlint-disable-next-line typescript/only-throw-error -- whatever it throws
            throw thrown
          }
          const action = {
            save: () => jobs.createJob(job(1, { id: "other" })),
            get: () => jobs.getJob(id),
            list: () => jobs.listJobs(),
            delete: () => jobs.deleteJob(id)
          }[method]
          const { message, reason } = await failure(action())
          assert.strictEqual(reason._tag, "RepositoryError")
          assert.match(message, thrown === undefined ? /the store failed: undefined/ : /the store failed: .*refused/)
          assert.deepStrictEqual([...repository.rows], before)
        }
      }
    )

    it.each<[string, unknown]>([
      ["a number", 7],
      ["a text", "job"],
      ["nothing of a job", {}],
      ["a job without chunks", { ...state(), chunks: undefined }],
      ["a status that is none", { ...state(), status: "dancing" }],
      ["chunks of another job", { ...state(), chunks: [{ id: 9, status: "pending", attempts: 0 }] }],
      ["another job", { ...state(), id: "other" }]
    ])("rejects %s in place of a job", async (_, garbage) => {
      const repository = Object.assign(new Store(), { get: async () => garbage })
      const jobs = new JobManager({ repository: untyped(repository) })
      const workerAdapter = new Adapter()
      const { message } = await failure(jobs.runJob("job", { workerAdapter }))
      assert.match(message, /damaged at/)
      assert.strictEqual(workerAdapter.jobs.length, 0)
    })

    it.each([{ rows: [] }, "none", false])("says that a store gives %o where there is no job", async (garbage) => {
      class Odd extends Store {
        override async get(): Promise<never> {
          return untyped(garbage)
        }
      }
      const { message, reason } = await failure(new JobManager({ repository: new Odd() }).createJob(job(1)))
      assert.notMatch(message, /already/)
      assert.match(message, /its journal is damaged at /)
      assert.strictEqual(reason._tag, "RepositoryError")
    })

    it("rejects a list that is none, and one with garbage in it", async () => {
      for (const garbage of [null, "jobs", [{ id: "job" }]]) {
        const repository = Object.assign(new Store(), { list: async () => garbage })
        assert.match((await failure(new JobManager({ repository: untyped(repository) }).listJobs())).message, /damaged/)
      }
    })

    it("does not read a job that a later version wrote", async () => {
      const repository = Object.assign(new Store(), { get: async () => ({ ...state(), version: 2 }) })
      const error = await failure(new JobManager({ repository: untyped(repository) }).getJob("job"))
      assert.match(error.message, /version 2.*a later @helios-infra\/core wrote: update/)
    })

    it("waits for a slow store, and stores the end last", async () => {
      const stored: Array<string> = []
      class Slow extends Store {
        override async save(state: Parameters<Store["save"]>[0]): Promise<void> {
          await new Promise((resolve) => setTimeout(resolve, state.status === "running" ? 150 : 10))
          stored.push(state.status)
          return super.save(state)
        }
      }
      const jobs = new JobManager({ repository: new Slow() })
      const { id } = await jobs.createJob(job(3))
      await jobs.runJob(id, { workerAdapter: new Adapter() })
      assert.strictEqual(stored.at(-1), "completed")
      assert.strictEqual((await jobs.getJob(id))?.status, "completed")
    })

    it("says which method a repository lacks", () => {
      assert.throws(() => new JobManager({ repository: untyped({ get: async () => null }) }), /must have a method save/)
    })
  })
})

function state() {
  return {
    id: "job",
    version: 1,
    revision: 1,
    run: 0,
    status: "pending",
    spec: job(1),
    chunks: [{ id: 0, status: "pending", attempts: 0 }],
    progress: 0,
    createdAt: 1,
    updatedAt: 1
  }
}
