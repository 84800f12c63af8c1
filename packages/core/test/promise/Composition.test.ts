/** Adapters of the Promise API, composed. */
import {
  aroundAdapter,
  fallback,
  InMemoryJobRepository,
  JobExecutor,
  JobManager,
  limitConcurrency,
  limitRate,
  limitTime,
  overflow,
  type PoolOptions,
  Throttled,
  type WorkerAdapter
} from "@helios-infra/core/promise"
import { assert, describe, it } from "vitest"
import { Adapter, chunkOf, job, ok, untyped } from "./Plain.ts"

class Named extends Adapter {
  readonly info: NonNullable<WorkerAdapter["info"]>
  constructor(info: NonNullable<WorkerAdapter["info"]>, work?: ConstructorParameters<typeof Adapter>[0]) {
    super(work)
    this.info = info
  }
}

/** Waits until something holds. */
const until = async (holds: () => boolean): Promise<void> => {
  // oxlint-disable-next-line eslint/no-await-in-loop
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1))
}

const run = (workerAdapter: WorkerAdapter, count = 6, more: { readonly retryDelay?: number } = {}) =>
  new JobExecutor(job(count), { workerAdapter, retryDelay: 1, ...more }).execute()

describe("overflow", () => {
  it("runs a job on several plain adapters, each where there is room", async () => {
    let begun = 0
    const together = async () => {
      begun++
      await until(() => begun === 5)
      return ok
    }
    const [a, b] = [
      new Named({ name: "a", concurrency: 2 }, together),
      new Named({ name: "b", concurrency: 3 }, together)
    ]
    assert.strictEqual((await run(overflow([a, b]), 5)).exitCode, 0)
    assert.deepStrictEqual([a.jobs.length, b.jobs.length], [2, 3])
  })

  it("says of itself what its adapters do", () => {
    const a = new Named({ name: "a", where: "local", stop: "always", concurrency: 2 })
    const b = new Named({ name: "b", where: "remote", stop: "never", concurrency: 3, maxConcurrency: 4 })
    assert.deepStrictEqual(overflow([a, b]).info, {
      name: "a+b",
      where: "remote",
      stop: "never",
      concurrency: 5,
      maxConcurrency: 6
    })
    assert.strictEqual(fallback([a, b], { name: "render" }).info?.name, "render")
  })

  it("tries a chunk again on another adapter, and says which one failed", async () => {
    const a = new Named({ name: "a", concurrency: 1 }, async () => ({ ...ok, exitCode: 1, stderr: "no" }))
    const b = new Named({ name: "b", concurrency: 1 }, async () => ({ ...ok, exitCode: 1, stderr: "no" }))
    const error = await run(overflow([a, b]), 1).then(
      () => assert.fail("it ran"),
      (error: unknown) => error
    )
    assert.deepStrictEqual([a.jobs.length, b.jobs.length], [2, 1])
    assert.match(String(error), /attempt 3 on a: the command exited with 1/)
  })

  it("aborts what runs, wherever that is, and waits for it", async () => {
    const ended: Array<string> = []
    const hanging = (name: string) =>
      new Named(
        { name, concurrency: 1 },
        (_, { signal }) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              setTimeout(() => {
                ended.push(name)
                reject(new Error("stopped"))
              }, 5)
            })
          })
      )
    const [a, b] = [hanging("a"), hanging("b")]
    const stop = new AbortController()
    const running = new JobExecutor(job(4), { workerAdapter: overflow([a, b]), signal: stop.signal }).execute()
    await until(() => a.running + b.running === 2)
    stop.abort(new Error("enough"))
    const error = await running.then(
      () => assert.fail("it ran"),
      (error: unknown) => error
    )
    assert.match(String(error), /enough/)
    assert.deepStrictEqual(ended.toSorted(), ["a", "b"])
  })

  it("can be called like any adapter, and be one of the adapters of another pool", async () => {
    const a = new Named({ name: "a", concurrency: 1 })
    const pool = fallback([overflow([a]), new Named({ name: "b" })])
    assert.strictEqual((await run(pool, 3)).exitCode, 0)
    const [first] = a.jobs
    if (first === undefined) return assert.fail("nothing ran")
    const { signal } = new AbortController()
    assert.deepInclude(await pool.execute(first, { signal, report: () => {} }), { exitCode: 0 })
    const aborted = await pool.execute(first, { signal: AbortSignal.abort(new Error("no")), report: () => {} }).then(
      () => assert.fail("it ran"),
      (error: unknown) => error
    )
    assert.match(String(aborted), /no/)
  })

  it("has its files where the first adapter that has a file system has them", async () => {
    const asked: Array<string | undefined> = []
    const withFiles: WorkerAdapter = {
      execute: async () => ok,
      files: (jobDir) => {
        asked.push(jobDir)
        throw new Error("no disk")
      }
    }
    const pool = overflow([new Adapter(), withFiles])
    const error = await new JobExecutor(job(1), { workerAdapter: pool, jobDir: "films" }).execute().then(
      () => assert.fail("it ran"),
      (error: unknown) => error
    )
    assert.match(String(error), /no disk/)
    assert.deepStrictEqual(asked, ["films"])
    assert.isUndefined(overflow([new Adapter()]).files)
  })

  it("needs adapters", () => {
    assert.throws(() => overflow([]), TypeError, "overflow: give it one adapter at least")
    assert.throws(() => fallback([]), TypeError, "fallback: give it one adapter at least")
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => overflow([new Adapter(), {}]), TypeError, "overflow: an adapter must have a method execute")
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => overflow(new Adapter(), new Adapter()), TypeError, "overflow: give it a list of adapters")
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => limitConcurrency(undefined, 1), TypeError, "limitConcurrency: an adapter must have")
  })

  it("says what is wrong with an option", () => {
    const adapters = [new Adapter()]
    const throws = (make: (options: PoolOptions) => unknown, options: object, message: string) =>
      assert.throws(() => make(untyped(options)), TypeError, message)
    throws(
      (options) => overflow(adapters, options),
      { passon: [] },
      "overflow: there is no option passon: did you mean"
    )
    throws((options) => fallback(adapters, options), { passOn: ["Lost"] }, "fallback: passOn must be a list of")
    throws((options) => fallback(adapters, options), { passOn: "WorkerLost" }, 'is "WorkerLost"')
  })
})

describe("fallback", () => {
  it("goes on to the next adapter when one is throttled", async () => {
    const a = new Named({ name: "a", concurrency: 2 }, async () => {
      throw new Throttled({ retryAfterMs: 60_000 })
    })
    const b = new Named({ name: "b", concurrency: 2 })
    assert.strictEqual((await run(fallback([a, b]), 6)).exitCode, 0)
    assert.strictEqual(b.jobs.length, 6)
    assert.isAtMost(a.jobs.length, 2)
  })
})

describe("aroundAdapter", () => {
  it("sees every attempt, and keeps what the adapter says of itself", async () => {
    const seen: Array<number | undefined> = []
    const inner = new Adapter()
    const around = aroundAdapter(inner, (execute) => async (job, context) => {
      seen.push(chunkOf(job))
      return execute({ ...job, command: `nice ${job.command}` }, context)
    })
    assert.deepStrictEqual(around.info, { name: "Adapter" })
    assert.strictEqual((await run(around, 2)).exitCode, 0)
    assert.deepStrictEqual(seen, [0, 1])
    assert.match(inner.jobs[0]?.command ?? "", /^nice /)
  })

  it("lets the adapter end what a process that died has left, whatever else goes around it", async () => {
    const reaped: Array<ReadonlyArray<string>> = []
    const reaping = (name: string): WorkerAdapter => ({
      info: { name },
      execute: async () => ok,
      reap: async (_, handles) => {
        reaped.push(handles)
        return { leftover: [`${name} knows no ${handles.join()}`] }
      }
    })
    const { signal } = new AbortController()
    const one = aroundAdapter(reaping("a"), (execute) => execute)
    assert.deepStrictEqual(await one.reap?.("job", ["1"], { signal }), { leftover: ["a knows no 1"] })

    const pool = aroundAdapter(overflow([reaping("a"), limitConcurrency(reaping("b"), 2)]), (execute) => execute)
    assert.deepStrictEqual(await pool.reap?.("job", ["a:1", "b:2"], { signal }), {
      leftover: ["a knows no 1", "b knows no 2"]
    })
    assert.deepStrictEqual(reaped, [["1"], ["1"], ["2"]])
  })

  it("needs an adapter", () => {
    assert.throws(
      // @ts-expect-error -- plain JavaScript
      () => aroundAdapter({}, (execute) => execute),
      TypeError,
      "aroundAdapter: an adapter must have a method"
    )
  })
})

describe("an adapter in plain JavaScript", () => {
  it.each([
    ["null for what it says of itself", null],
    ["a name that is none", { name: 5 }],
    ["counts that are none", { concurrency: Number.NaN, maxConcurrency: Number.NaN }]
  ])("may have %s", async (_, info) => {
    const adapter: WorkerAdapter = { execute: async () => ok }
    Reflect.set(adapter, "info", info)
    assert.strictEqual((await run(adapter, 2)).exitCode, 0)
    assert.strictEqual((await run(overflow([adapter, new Adapter()]), 2)).exitCode, 0)
  })

  it("may have no class", async () => {
    const adapter: WorkerAdapter = { execute: async () => ok }
    Object.setPrototypeOf(adapter, null)
    assert.strictEqual((await run(adapter, 2)).exitCode, 0)
  })
})

describe("limits", () => {
  it("have to be some", () => {
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => limitTime(new Adapter()), RangeError, "limit must be a time of more than 0, is undefined")
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => limitTime(new Adapter(), "soon"), RangeError, 'limit must be a time of more than 0, is "soon"')
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => limitRate(new Adapter()), TypeError, "limitRate: the options must be an object")
    // @ts-expect-error -- plain JavaScript
    assert.throws(() => limitRate(new Adapter(), { most: 1, par: 5 }), TypeError, "did you mean per?")
  })

  it("let no more attempts of all jobs through at once", async () => {
    const inner = new Named({ name: "a", concurrency: 8 }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 2))
      return ok
    })
    const limited = limitConcurrency(inner, 2)
    assert.deepInclude(limited.info, { concurrency: 2, maxConcurrency: 2 })
    await Promise.all([run(limited), run(limited)])
    assert.strictEqual(inner.most, 2)
    assert.strictEqual(inner.jobs.length, 12)
  })

  it("let attempts begin no faster", async () => {
    const begun: Array<number> = []
    const inner = new Named({ name: "a", concurrency: 8 }, async () => {
      begun.push(performance.now())
      return ok
    })
    const before = performance.now()
    await run(limitRate(inner, { most: 2, per: 40 }), 5)
    // A clock of whole milliseconds may be one behind.
    assert.isAtLeast((begun[2] ?? 0) - before, 38)
    assert.isAtLeast((begun[4] ?? 0) - before, 78)
  })

  it("stop attempts that take too long", async () => {
    const inner = new Named(
      { name: "a" },
      (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(new Error("stopped")))
        })
    )
    const error = await run(limitTime(inner, 5), 1).then(
      () => assert.fail("it ran"),
      (error: unknown) => error
    )
    assert.match(String(error), /stopped after 5 ms, the limit for one attempt/)
  })

  it("keep an adapter that is put around another one's own way", async () => {
    // A subclass, or somebody else's code, that replaces the method of what was composed.
    const pool = overflow([new Adapter()])
    let called = 0
    pool.execute = async () => {
      called++
      return ok
    }
    await run(pool, 2)
    assert.strictEqual(called, 2)
    const { signal } = new AbortController()
    const { leftover = [] } = (await pool.reap?.("job", ["c:1"], { signal })) ?? {}
    assert.match(leftover.join(), /"c:1" of an adapter that is none of Adapter/)
  })
})

describe("a manager", () => {
  it("keeps, pauses and resumes a job on a pool", async () => {
    const hanging = new Named(
      { name: "a", concurrency: 2 },
      (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(new Error("stopped")))
        })
    )
    const jobs = new JobManager({ repository: new InMemoryJobRepository() })
    const { id } = await jobs.createJob(job(3))
    const running = jobs.runJob(id, { workerAdapter: overflow([hanging]) }).then(
      () => "completed",
      (error: Error) => error.name
    )
    await until(() => hanging.running === 2)
    assert.strictEqual((await jobs.pauseJob(id)).status, "paused")
    assert.strictEqual(await running, "JobPaused")
    const { status } = await jobs.resumeJob(id, { workerAdapter: fallback([new Adapter(), hanging]) })
    assert.strictEqual(status, "completed")
  })
})
