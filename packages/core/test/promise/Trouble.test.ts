/** What users see when what they wrote misbehaves: which error, of what, and when. Time passes as fast as the tests like. */
// oxlint-disable eslint/no-await-in-loop -- the cases of these tests go one after the other
import {
  JobCancelled,
  JobError,
  JobExecutor,
  JobManager,
  JobPaused,
  OutputInvalid,
  Refused,
  RenderFailed,
  Transport,
  WorkerError,
  WorkerLost,
  type WorkerResult
} from "@helios-infra/core/promise"
import { afterEach, assert, beforeEach, describe, it, vi } from "vitest"
import { Adapter, chunkOf, gate, job, ok, rejected, rejection, Stitcher, Store, untyped } from "./Plain.ts"

const never = new Promise<never>(() => {})

/** Lets time pass in small steps, each after all that can go on has done so. */
const seconds = async (count: number) => {
  for (let step = 0; step < count * 10; step++) {
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
    await vi.advanceTimersByTimeAsync(100)
  }
}

const workerError = (reason: WorkerLost): WorkerError =>
  new WorkerError({ adapter: "farm", jobId: "film", chunkId: 0, attempt: 1, reason })

/** What a promise came to so far. */
const watch = (promise: Promise<unknown>) => {
  const seen: { settled: boolean; error?: unknown; value?: unknown } = { settled: false }
  promise.then(
    (value) => Object.assign(seen, { settled: true, value }),
    (error: unknown) => Object.assign(seen, { settled: true, error })
  )
  return seen
}

const failureOf = async (promise: Promise<unknown>): Promise<JobError> => {
  const error = await rejection(promise)
  assert.instanceOf(error, JobError)
  return error
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] }))
afterEach(() => void vi.useRealTimers())

describe("an adapter that never settles", () => {
  /** A job whose attempts hang, whatever they are told. */
  const hanging = async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(4))
    const begun = gate()
    const workerAdapter = new Adapter((job) => {
      if (chunkOf(job) === 0) return Promise.resolve(ok)
      if (chunkOf(job) === 2) begun.resolve()
      return never
    })
    return { begun: begun.promise, id, jobs, workerAdapter }
  }

  it("is given 10 seconds after an abort; then the promise rejects, and the job says what may still run", async () => {
    const { begun, id, jobs, workerAdapter } = await hanging()
    const controller = new AbortController()
    const running = watch(jobs.runJob(id, { workerAdapter, concurrency: 2, signal: controller.signal }))
    await begun
    const reason = new Error("no longer wanted")
    controller.abort(reason)
    await seconds(9)
    assert.isFalse(running.settled)
    await seconds(2)
    assert.strictEqual(running.error, reason)
    const state = await jobs.getJob(id)
    assert(state?.status === "cancelled")
    const left = "the promise of Adapter did not settle after its signal was aborted"
    assert.sameMembers([...(state.leftover ?? [])], [`chunk 1, attempt 1: ${left}`, `chunk 2, attempt 1: ${left}`])
    // The job can be run on all the same.
    assert.strictEqual((await jobs.resumeJob(id, { workerAdapter: new Adapter() })).status, "completed")
  })

  it.each([
    { method: "cancelJob", expected: JobCancelled, status: "cancelled" },
    { method: "pauseJob", expected: JobPaused, status: "paused" }
  ] as const)("does not hold up $method for longer than that", async ({ expected, method, status }) => {
    const { begun, id, jobs, workerAdapter } = await hanging()
    const running = watch(jobs.runJob(id, { workerAdapter, concurrency: 2 }))
    await begun
    const stopping = watch(jobs[method](id))
    await seconds(9)
    assert.isFalse(stopping.settled)
    await seconds(2)
    assert.isTrue(stopping.settled)
    assert.isTrue(running.error instanceof expected)
    assert.strictEqual((await jobs.getJob(id))?.status, status)
  })

  it("does not keep the failure of another chunk to itself", async () => {
    const workerAdapter = new Adapter((job) => (chunkOf(job) === 0 ? rejected("no scene") : never))
    const running = watch(
      new JobExecutor(job(2, { id: "film" }), { workerAdapter, concurrency: 2, retries: 0 }).execute()
    )
    await seconds(12)
    assert.instanceOf(running.error, JobError)
    assert.match(running.error.message, /chunk 0.*film.*attempt 1.*no scene/s)
  })

  it("changes nothing when it settles after all", async () => {
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    const [begun, late] = [gate(), gate()]
    const workerAdapter = new Adapter(async () => {
      begun.resolve()
      await late.promise
      return ok
    })
    const running = watch(jobs.runJob(id, { workerAdapter }))
    await begun.promise
    const cancelling = watch(jobs.cancelJob(id))
    await seconds(11)
    assert.isTrue(cancelling.settled && running.settled)
    const before = await jobs.getJob(id)
    late.resolve()
    await seconds(1)
    assert.deepStrictEqual(await jobs.getJob(id), before)
  })
})

describe("a stitcher or a check that never settles", () => {
  it.each<[string, object]>([
    ["stitcher", { stitcher: { stitch: () => never }, outputFile: "film.mp4" }],
    ["check", { outputCheck: { check: () => never } }]
  ])("is given 10 seconds after an abort: a %s", async (_, options) => {
    const controller = new AbortController()
    const { signal } = controller
    const running = watch(new JobExecutor(job(1), { workerAdapter: new Adapter(), signal, ...options }).execute())
    await seconds(1)
    assert.isFalse(running.settled)
    controller.abort("enough")
    await seconds(9)
    assert.isFalse(running.settled)
    await seconds(3)
    assert.strictEqual(running.error, "enough")
  })
})

describe("an adapter that gives garbage", () => {
  const hostile = {
    get message(): string {
      throw new Error("a trap")
    },
    toString: () => {
      throw new Error("a trap")
    }
  }

  it.each<[string, unknown, RegExp]>([
    ["null", null, /null/],
    ["a number", 7, /7/],
    ["an empty text", "", /its adapter threw/],
    ["an Error that says nothing", new Error(), /Error/],
    ["an object that cannot be looked at", hostile, /its adapter threw/],
    ["a symbol", Symbol("no"), /Symbol\(no\)/]
  ])("by rejecting with %s is a lost worker: who it was, and what it threw", async (_, thrown, said) => {
    const workerAdapter = new Adapter(() => rejected(thrown))
    const error = await failureOf(new JobExecutor(job(1, { id: "film" }), { workerAdapter, retries: 0 }).execute())
    assert.deepStrictEqual([error.jobId, error.chunkId, error.attempt], ["film", 0, 1])
    assert.match(error.message, /chunk 0.*job film, attempt 1 on Adapter: the worker was lost/s)
    assert.match(error.message, said)
    assert(error.reason._tag === "ChunkFailed")
    assert.strictEqual(error.reason.last.reason._tag, "WorkerLost")
  })

  const printed = `the beginning ${"x".repeat(1_000_000)} the end`
  it.each<[string, unknown, RegExp]>([
    ["an Error, as those of node:child_process do", new Error(printed), /the beginning x+\n…\nx+ the end/],
    ["a text", printed, /the beginning x+\n…\nx+ the end/],
    ["RenderFailed", new RenderFailed({ exitCode: 1, stderrTail: printed }), /x the end/],
    ["WorkerLost", new WorkerLost({ detail: printed }), /the beginning .*x the end/s],
    ["Refused", new Refused({ why: "Unsupported", fix: printed }), /the beginning .*x the end/s],
    ["OutputInvalid", new OutputInvalid({ expected: "a film", found: printed }), /a film.*the beginning .*x the end/s],
    ["Transport", new Transport({ cause: new Error(printed) }), /the beginning/],
    ["a WorkerError", workerError(new WorkerLost({ detail: printed })), /x the end/]
  ])("by rejecting with all that a command printed, in %s, keeps a part of it", async (_, thrown, said) => {
    const workerAdapter = new Adapter(() => rejected(thrown))
    const jobs = new JobManager()
    const { id } = await jobs.createJob(job(1))
    const error = await failureOf(jobs.runJob(id, { workerAdapter, retries: 2, retryDelay: 0 }))
    assert.match(error.message, said)
    assert.isBelow(error.message.length, 5000)
    assert.isBelow(JSON.stringify(await jobs.getJob(id)).length, 20_000)
  })

  it.each<[string, unknown]>([
    ["an empty object", {}],
    ["a list", []],
    ["a number", 0],
    ["true", true],
    ["a promise's worth of text", JSON.stringify(ok)],
    ["an exit code of another type", { ...ok, exitCode: true }]
  ])("by resolving with %s has rendered nothing: who it was, and what it should give", async (_, answer) => {
    const workerAdapter = { execute: async () => untyped<WorkerResult>(answer) }
    const error = await failureOf(new JobExecutor(job(1, { id: "film" }), { workerAdapter, retries: 0 }).execute())
    assert.deepStrictEqual([error.jobId, error.chunkId, error.attempt], ["film", 0, 1])
    assert.match(
      error.message,
      /chunk 0.*film.*its adapter gave .* in place of \{ exitCode, stdout, stderr, durationMs \}/s
    )
  })

  it.each<[string, object]>([
    ["NaN for an exit code", { exitCode: Number.NaN }],
    ["a fraction for an exit code", { exitCode: 0.5 }]
  ])("by resolving with %s has failed", async (_, answer) => {
    const workerAdapter = { execute: async () => untyped<WorkerResult>({ ...ok, ...answer }) }
    const error = await failureOf(new JobExecutor(job(1), { workerAdapter, retries: 0 }).execute())
    assert(error.reason._tag === "ChunkFailed")
    assert.strictEqual(error.reason.last.reason._tag, "RenderFailed")
  })

  it("beside a good exit code is not believed, and does no harm", async () => {
    const stitcher = new Stitcher()
    for (const garbage of [
      { output: { location: 7, bytes: "many" }, outputFile: {}, stdout: null, stderr: 3, durationMs: "long" },
      { output: "part.mov", durationMs: Number.NaN, workerId: [] },
      { output: null, stdout: ["a"] }
    ]) {
      const workerAdapter = { execute: async () => untyped<WorkerResult>({ exitCode: 0, ...garbage }) }
      const options = { workerAdapter, stitcher, outputFile: "film.mp4", jobDir: "/videos" }
      assert.strictEqual((await new JobExecutor(job(1), options).execute()).exitCode, 0)
    }
    for (const { inputs } of stitcher.calls) assert.deepStrictEqual(inputs, ["/videos/part_0.mov"])
  })
})

describe("a repository", () => {
  it.each(["save", "get", "list", "delete"] as const)(
    "whose %s never settles has failed after a minute, with its name and the job's",
    async (method) => {
      const repository = new Store()
      const { id } = await new JobManager({ repository }).createJob(job(1))
      repository[method] = () => never
      const jobs = new JobManager({ repository })
      const action = {
        save: () => jobs.createJob(job(1, { id: "other" })),
        get: () => jobs.getJob(id),
        list: () => jobs.listJobs(),
        delete: () => jobs.deleteJob(id)
      }[method]
      const waiting = watch(action())
      await seconds(59)
      assert.isFalse(waiting.settled)
      await seconds(12)
      assert.instanceOf(waiting.error, JobError)
      assert.strictEqual(waiting.error.reason._tag, "RepositoryError")
      assert.include(waiting.error.message, `${method} has not settled within 1m`)
      if (method !== "list") assert.include(waiting.error.message, method === "save" ? "job other" : `job ${id}`)
    }
  )

  it("that hangs at the end of a run does not hold up its failure, and what was stored stays", async () => {
    class Hanging extends Store {
      override save(state: Parameters<Store["save"]>[0]): Promise<void> {
        return state.status === "completed" ? never : super.save(state)
      }
    }
    const repository = new Hanging()
    const jobs = new JobManager({ repository })
    const { id } = await jobs.createJob(job(2))
    const running = watch(jobs.runJob(id, { workerAdapter: new Adapter() }))
    await seconds(75)
    assert.instanceOf(running.error, JobError)
    assert.include(running.error.message, id)
    assert.notStrictEqual((await repository.get(id))?.status, "completed")
  })

  it("that throws while the job runs is heard of at the end, and the job runs on once it works again", async () => {
    class Gone extends Store {
      gone = false
      override save(state: Parameters<Store["save"]>[0]): Promise<void> {
        return this.gone ? rejected("connection lost") : super.save(state)
      }
    }
    const repository = new Gone()
    const jobs = new JobManager({ repository })
    const { id } = await jobs.createJob(job(2))
    const workerAdapter = new Adapter(async () => {
      repository.gone = true
      return ok
    })
    const failing = watch(jobs.runJob(id, { workerAdapter }))
    await seconds(75)
    assert.instanceOf(failing.error, JobError)
    assert.match(failing.error.message, new RegExp(`job ${id}: the store failed: .*connection lost`))
    repository.gone = false
    const again = watch(jobs.runJob(id, { workerAdapter: new Adapter() }))
    await seconds(5)
    assert.propertyVal(again.value, "status", "completed")
    assert.strictEqual((await repository.get(id))?.status, "completed")
  })

  it.each<[string, unknown]>([
    ["undefined", undefined],
    ["an object", {}],
    ["a list of nothings", [null]],
    ["a list of texts", ["job"]]
  ])("whose list gives %s is damaged, and says where", async (_, garbage) => {
    const repository = Object.assign(new Store(), { list: async () => garbage })
    const { message, reason } = await failureOf(new JobManager({ repository: untyped(repository) }).listJobs())
    assert.strictEqual(reason._tag === "RepositoryError" && reason.reason._tag, "Corrupt")
    assert.match(message, /damaged at .*: restore it from a copy, or create the job anew/)
  })

  it.each<[string, unknown]>([
    ["a list", [1]],
    ["an object", {}],
    ["a text", "running"]
  ])("whose get gives %s keeps cancelJob, pauseJob, deleteJob and logsOf from guessing", async (_, garbage) => {
    const repository = Object.assign(new Store(), { get: async () => garbage })
    const jobs = new JobManager({ repository: untyped(repository) })
    for (const method of ["cancelJob", "pauseJob", "deleteJob", "logsOf"] as const) {
      const { jobId, message } = await failureOf(jobs[method]("film"))
      assert.strictEqual(jobId, "film", method)
      assert.match(message, /job film: its journal is damaged at/, method)
    }
  })
})
