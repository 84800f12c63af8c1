import { AwsLambdaAdapter } from "@helios-infra/adapter-aws/promise"
import { JobError, JobExecutor, WorkerError, type WorkerSignal } from "@helios-infra/core/promise"
import { credentials, type LocalLambda, start } from "@helios-infra/local-lambda"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import * as Fleet from "./Fleet.ts"

const onLambda = async (test: (adapter: AwsLambdaAdapter, lambda: LocalLambda) => Promise<void>) => {
  await using lambda = await start({
    functions: [
      { name: "echoing", taskRoot: join(import.meta.dirname, "fixtures"), handler: "index.echoing", timeoutMs: 60_000 }
    ]
  })
  const { endpoint, region } = lambda
  const adapter = new AwsLambdaAdapter({ functionName: "echoing", endpoint, region, credentials })
  await test(adapter, lambda)
  await adapter.close()
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: unknown) => error
  )

const job = Fleet.attempt("https://jobs.example/job.json")

describe("AwsLambdaAdapter, without Effect", () => {
  it("says what it is", () =>
    onLambda(async ({ info }) => {
      assert.deepEqual(info, {
        name: "aws-lambda",
        where: "remote",
        stop: "never",
        concurrency: 100,
        maxConcurrency: undefined
      })
    }))

  it("resolves with the worker's result, also without a signal to stop", () =>
    onLambda(async (adapter, lambda) => {
      const { exitCode, workerId } = await adapter.execute(job)
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(workerId, lambda.invocations[0]?.requestId)
    }))

  it("rejects with an error that says what to do", () =>
    onLambda(async (adapter, lambda) => {
      lambda.fault({ _tag: "Exception", status: 403, type: "AccessDeniedException" })
      const error = await rejection(adapter.execute(job))
      assert.instanceOf(error, WorkerError)
      assert.strictEqual(error.reason._tag, "Refused")
      assert.match(error.message, /chunk 7 of job job-a, attempt 2 on aws-lambda: .*lambda:InvokeFunction/)
    }))

  it("rejects with the signal's reason when that is aborted, and reports what may run on", () =>
    onLambda(async (adapter, lambda) => {
      lambda.fault({ _tag: "Hang" })
      const stop = new AbortController()
      const told: Array<WorkerSignal> = []
      const ended = rejection(adapter.execute(job, { signal: stop.signal, report: (signal) => told.push(signal) }))
      // oxlint-disable-next-line no-await-in-loop -- one look after the other
      while (lambda.invocations.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
      const reason = new Error("not wanted any more")
      stop.abort(reason)
      assert.strictEqual(await ended, reason)
      assert.deepEqual(
        told.map(({ _tag }) => _tag),
        ["NotStopped"]
      )
    }))

  it("renders the chunks of a job, and says of a job without a storage what is missing", () =>
    onLambda(async (adapter) => {
      const spec = {
        metadata: { totalFrames: 1, fps: 30 },
        chunks: [{ id: 0, startFrame: 0, frameCount: 1, outputFile: "0.mov", command: "render {output}" }]
      }
      const error = await rejection(new JobExecutor(spec, { workerAdapter: adapter, retries: 0 }).execute())
      assert.instanceOf(error, JobError)
      assert.match(error.message, /give the job a storage, or the adapter a jobDefUrl/)
    }))
})

describe("an option of AwsLambdaAdapter in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown => Reflect.construct(AwsLambdaAdapter, [{ functionname: "render" }])
    assert.throws(make, TypeError, "AwsLambdaAdapter: there is no option functionname: did you mean functionName?")
    const none = (): unknown => Reflect.construct(AwsLambdaAdapter, [])
    assert.throws(none, TypeError, "AwsLambdaAdapter: ")
  })
})
