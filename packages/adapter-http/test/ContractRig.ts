/** What the contract of adapters needs to know of the worker of these tests. */
import { WorkerAdapter } from "@helios-infra/core"
import { WorkerAdapterContract } from "@helios-infra/testkit"
import { Effect, Layer, Option } from "effect"
import type * as FakeWorker from "./FakeWorker.ts"

/** What core does around an adapter whose workers are elsewhere: it sends the job file, and says where the output goes. */
export const withJobFile = ({ jobs }: FakeWorker.FakeWorker, job: WorkerAdapter.WorkerJob): WorkerAdapter.WorkerJob => {
  const { output } = job.meta
  const key = output._tag === "File" ? output.path : output.key
  const jobDefUrl = `https://jobs.example/${key}.json`
  jobs.set(jobDefUrl, job.command)
  const artifacts = { output: { key }, log: { key: `${key}.txt` }, cancelled: { key: `${key}.cancelled` } }
  return job.meta._tag === "Merge" ? job : { ...job, meta: { ...job.meta, jobDefUrl, artifacts } }
}

export const commands = {
  write: (bytes: number) => `write ${bytes}`,
  idle: "idle",
  fail: (exitCode: number, text: string) => `fail ${exitCode} ${text}`,
  print: (bytes: number, last: string) => `print ${bytes} ${last}`,
  late: (bytes: number, afterMs: number) => `late ${bytes} ${afterMs}`,
  hang: "hang",
  env: (name: string) => `env ${name}`,
  frames: (done: ReadonlyArray<number>) => `frames ${done.join(",")}`,
  impossible: "no-such-renderer"
}

/** What runs, once the worker had the time to notice who has hung up. */
export const running = async (worker: FakeWorker.FakeWorker): Promise<number> => {
  await fetch(worker.origin)
  await fetch(worker.origin)
  return worker.running()
}

/** An adapter before a worker, with what can be seen of that from outside. */
export const layer = (
  worker: FakeWorker.FakeWorker,
  adapter: WorkerAdapter.WorkerAdapter["Service"]
): Layer.Layer<WorkerAdapter.WorkerAdapter | WorkerAdapterContract.WorkerRig> =>
  Layer.merge(
    Layer.succeed(
      WorkerAdapter.WorkerAdapter,
      WorkerAdapter.WorkerAdapter.of({
        ...adapter,
        execute: (job, signal) => adapter.execute(withJobFile(worker, job), signal)
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
