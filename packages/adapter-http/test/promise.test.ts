import { HttpWorkerAdapter } from "@helios-infra/adapter-http/promise"
import { JobError, JobExecutor, WorkerError, type WorkerSignal } from "@helios-infra/core/promise"
import { Effect, Exit, Scope } from "effect"
import { assert, describe, it } from "vitest"
import { attempt } from "./Attempts.ts"
import * as FakeWorker from "./FakeWorker.ts"

const onWorker = async (
  options: FakeWorker.Options,
  test: (adapter: HttpWorkerAdapter, worker: FakeWorker.FakeWorker) => Promise<void>
) => {
  const scope = Scope.makeUnsafe()
  const worker = await Effect.runPromise(Scope.provide(FakeWorker.make(options), scope))
  const adapter = new HttpWorkerAdapter({ url: worker.url, auth: { bearer: "the token", secret: "between us" } })
  await test(adapter, worker)
  await adapter.close()
  await Effect.runPromise(Scope.close(scope, Exit.void))
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: unknown) => error
  )

describe("HttpWorkerAdapter, without Effect", () => {
  it("says what it is", () => {
    const { info } = new HttpWorkerAdapter({ url: "https://workers.example/", maxConcurrency: 4 })
    assert.deepEqual(info, {
      name: "http",
      where: "remote",
      stop: "best-effort",
      concurrency: 4,
      maxConcurrency: 4
    })
  })

  it("resolves with the worker's result, also without a signal to stop, and sends its secrets", () =>
    onWorker({}, async (adapter, { requests }) => {
      const { exitCode, workerId } = await adapter.execute(attempt())
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(workerId, "worker-1")
      assert.strictEqual(requests[0]?.headers.authorization, "Bearer the token")
      assert.match(String(requests[0]?.headers["x-helios-signature"]), /^t=\d+,v1=/)
    }))

  it("rejects with an error that says what to do", () =>
    onWorker({ guard: () => ({ status: 401 }) }, async (adapter) => {
      const error = await rejection(adapter.execute(attempt()))
      assert.instanceOf(error, WorkerError)
      assert.strictEqual(error.reason._tag, "Refused")
      assert.match(error.message, /chunk 7 of job job-a, attempt 2 on http: .*set auth to what the worker expects/)
    }))

  it("rejects with the signal's reason when that is aborted, and reports what may run on", () =>
    onWorker({ respond: FakeWorker.hang }, async (adapter, { requests }) => {
      const stop = new AbortController()
      const told: Array<WorkerSignal> = []
      const ended = rejection(adapter.execute(attempt(), { signal: stop.signal, report: (said) => told.push(said) }))
      // oxlint-disable-next-line no-await-in-loop -- one look after the other
      while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
      const reason = new Error("not wanted any more")
      stop.abort(reason)
      assert.strictEqual(await ended, reason)
      assert.deepEqual(
        told.map(({ _tag }) => _tag),
        ["NotStopped"]
      )
    }))

  it("says of a job without a storage what is missing", () =>
    onWorker({}, async (adapter) => {
      const spec = {
        metadata: { totalFrames: 1, fps: 30 },
        chunks: [{ id: 0, startFrame: 0, frameCount: 1, outputFile: "0.mov", command: "render {output}" }]
      }
      const error = await rejection(new JobExecutor(spec, { workerAdapter: adapter, retries: 0 }).execute())
      assert.instanceOf(error, JobError)
      assert.match(error.message, /give the job a storage, or the adapter a jobDefUrl/)
    }))
})

describe("an option of HttpWorkerAdapter in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown => Reflect.construct(HttpWorkerAdapter, [{ url: "https://a.example", idleTimeOuts: 5 }])
    assert.throws(make, TypeError, "HttpWorkerAdapter: there is no option idleTimeOuts: did you mean idleTimeout?")
    const none = (): unknown => Reflect.construct(HttpWorkerAdapter, [])
    assert.throws(none, TypeError, "HttpWorkerAdapter: ")
  })
})
