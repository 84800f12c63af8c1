import { CloudRunAdapter } from "@helios-infra/adapter-cloudrun/promise"
import { WorkerError } from "@helios-infra/core/promise"
import { Effect, Exit, Scope } from "effect"
import { assert, describe, it } from "vitest"
import { attempt } from "../../adapter-http/test/Attempts.ts"
import * as CloudRunService from "./CloudRunService.ts"

const onCloudRun = async (
  options: CloudRunService.Options,
  test: (adapter: CloudRunAdapter, service: CloudRunService.CloudRunService) => Promise<void>
) => {
  const scope = Scope.makeUnsafe()
  const service = await Effect.runPromise(Scope.provide(CloudRunService.make(options), scope))
  const adapter = new CloudRunAdapter({ serviceUrl: service.serviceUrl, auth: { secret: "between us" } })
  await test(adapter, service)
  await adapter.close()
  await Effect.runPromise(Scope.close(scope, Exit.void))
}

describe("CloudRunAdapter, without Effect", () => {
  it("says what it is", () => {
    const { info } = new CloudRunAdapter({ serviceUrl: "https://render.example", maxConcurrency: 20 })
    assert.deepEqual(info, {
      name: "cloud-run",
      where: "remote",
      stop: "best-effort",
      concurrency: 20,
      maxConcurrency: 20
    })
  })

  it("resolves with the worker's result", () =>
    onCloudRun({}, async (adapter, { metadata, worker }) => {
      const { exitCode, workerId } = await adapter.execute(attempt())
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(workerId, "worker-1")
      assert.strictEqual(metadata.asked.length, 1)
      assert.match(String(worker.requests[0]?.headers["x-helios-signature"]), /^t=/)
    }))

  it("takes a client of the library's for tokens", () =>
    onCloudRun({}, async (_adapter, { metadata, serviceUrl, tokens }) => {
      const own = { fetchIdToken: (audience: string) => metadata.sign(audience) }
      const adapter = new CloudRunAdapter({ serviceUrl, idTokenProvider: own })
      await adapter.execute(attempt())
      assert.deepEqual(metadata.asked, [])
      assert.strictEqual(tokens.length, 1)
      await adapter.close()
    }))

  it("rejects with an error that says what to do", () =>
    onCloudRun({ invokers: [] }, async (adapter) => {
      const error: unknown = await adapter.execute(attempt()).then(
        () => assert.fail("it resolved"),
        (thrown: unknown) => thrown
      )
      assert.instanceOf(error, WorkerError)
      assert.match(error.message, /chunk 7 of job job-a, attempt 2 on cloud-run: .*roles\/run\.invoker/)
    }))
})

describe("an option of CloudRunAdapter in plain JavaScript", () => {
  it("that is none is told at once", () => {
    const make = (): unknown =>
      Reflect.construct(CloudRunAdapter, [{ serviceUrl: "https://a.run.app", maxDurations: 5 }])
    assert.throws(make, TypeError, "CloudRunAdapter: there is no option maxDurations: did you mean maxDuration?")
    const none = (): unknown => Reflect.construct(CloudRunAdapter, [])
    assert.throws(none, TypeError, "CloudRunAdapter: ")
  })
})
