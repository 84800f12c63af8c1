import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import { HttpWorkerAdapter as PlainHttpWorkerAdapter } from "@helios-infra/adapter-http/promise"
import { WorkerAdapter } from "@helios-infra/core"
import { WorkerAdapterContract, workerAdapterContract } from "@helios-infra/testkit"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import * as FakeWorker from "./FakeWorker.ts"

/** What core does around an adapter whose workers are elsewhere: it sends the job file, and says where the output goes. */
const withJobFile = (
  { jobs }: FakeWorker.FakeWorker,
  job: WorkerAdapter.WorkerJob,
  key: string
): WorkerAdapter.WorkerJob => {
  const jobDefUrl = `https://jobs.example/${key}.json`
  jobs.set(jobDefUrl, job.command)
  const artifacts = { output: { key }, log: { key: `${key}.txt` }, cancelled: { key: `${key}.cancelled` } }
  return job.meta._tag === "Merge" ? job : { ...job, meta: { ...job.meta, jobDefUrl, artifacts } }
}

const keyOf = ({ meta: { output } }: WorkerAdapter.WorkerJob): string =>
  output._tag === "File" ? output.path : output.key

const commands = {
  write: (bytes: number) => `write ${bytes}`,
  idle: "idle",
  fail: (exitCode: number, text: string) => `fail ${exitCode} ${text}`,
  print: (bytes: number, last: string) => `print ${bytes} ${last}`,
  hang: "hang",
  env: (name: string) => `env ${name}`,
  frames: (done: ReadonlyArray<number>) => `frames ${done.join(",")}`,
  impossible: "no-such-renderer"
}

/** What runs, once the worker had the time to notice who has hung up. */
const running = async (worker: FakeWorker.FakeWorker): Promise<number> => {
  await fetch(worker.origin)
  await fetch(worker.origin)
  return worker.running()
}

const onWorker = (options: FakeWorker.Options) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make(options)
      const adapter = yield* HttpWorkerAdapter.make({ url: worker.url })
      return Layer.merge(
        Layer.succeed(
          WorkerAdapter.WorkerAdapter,
          WorkerAdapter.WorkerAdapter.of({
            ...adapter,
            execute: (job, signal) => adapter.execute(withJobFile(worker, job, keyOf(job)), signal)
          })
        ),
        Layer.succeed(
          WorkerAdapterContract.WorkerRig,
          WorkerAdapterContract.WorkerRig.of({
            commands,
            place: (name) => Effect.succeed({ _tag: "Artifact", key: `${name}/output.mov` }),
            size: (target) =>
              Effect.sync(() => Option.fromUndefinedOr(worker.stored.get(target._tag === "File" ? "" : target.key))),
            running: Effect.promise(() => running(worker))
          })
        )
      )
    })
  )

workerAdapterContract("HttpWorkerAdapter, with events", onWorker({}), { stop: "best-effort", frames: true })

workerAdapterContract("HttpWorkerAdapter, without events", onWorker({ events: false }), { stop: "best-effort" })

workerAdapterContract(
  "HttpWorkerAdapter, without Effect",
  async () => {
    const scope = Scope.makeUnsafe()
    const worker = await Effect.runPromise(Scope.provide(FakeWorker.make(), scope))
    const adapter = new PlainHttpWorkerAdapter({ url: worker.url })
    return {
      adapter: {
        info: adapter.info,
        execute: (job, context) => adapter.execute(withJobFile(worker, job, keyOf(job)), context)
      },
      rig: {
        commands,
        place: (name) => `/render/${name}/output.mov`,
        size: (path) => worker.stored.get(path),
        running: () => running(worker)
      },
      close: async () => {
        await adapter.close()
        await Effect.runPromise(Scope.close(scope, Exit.void))
      }
    }
  },
  { stop: "best-effort", frames: true }
)
