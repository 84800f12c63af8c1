import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import { HttpWorkerAdapter as PlainHttpWorkerAdapter } from "@helios-infra/adapter-http/promise"
import { workerAdapterContract } from "@helios-infra/testkit"
import { Effect, Exit, Layer, Scope } from "effect"
import * as ContractRig from "./ContractRig.ts"
import * as FakeWorker from "./FakeWorker.ts"

const onWorker = (options: FakeWorker.Options) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make(options)
      return ContractRig.layer(worker, yield* HttpWorkerAdapter.make({ url: worker.url }))
    })
  )

/** Fast enough, with a worker in this process. */
const flood = 16 * 1024 ** 2

workerAdapterContract("HttpWorkerAdapter, with events", onWorker({}), { stop: "best-effort", flood, frames: true })

workerAdapterContract("HttpWorkerAdapter, without events", onWorker({ events: false }), { stop: "best-effort", flood })

workerAdapterContract(
  "HttpWorkerAdapter, without Effect",
  async () => {
    const scope = Scope.makeUnsafe()
    const worker = await Effect.runPromise(Scope.provide(FakeWorker.make(), scope))
    const adapter = new PlainHttpWorkerAdapter({ url: worker.url })
    return {
      adapter: {
        info: adapter.info,
        execute: (job, context) => adapter.execute(ContractRig.withJobFile(worker, job), context)
      },
      rig: {
        commands: ContractRig.commands,
        place: (name) => `/render/${name}/output.mov`,
        size: (path) => worker.stored.get(path),
        running: () => ContractRig.running(worker)
      },
      close: async () => {
        await adapter.close()
        await Effect.runPromise(Scope.close(scope, Exit.void))
      }
    }
  },
  { stop: "best-effort", flood, frames: true }
)
