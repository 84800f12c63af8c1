/** Attempts that the tests make, and what comes of them. */
import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import type { WorkerAdapter, WorkerError } from "@helios-infra/core"
import { assert } from "@effect/vitest"
import { Effect, Result, Schedule } from "effect"

export const jobFile = "https://jobs.example/job.json"

/** An attempt at chunk 7 of job-a, as core makes it. */
export const attempt = (jobDefUrl: string | undefined = jobFile): WorkerAdapter.WorkerJob => ({
  id: "job-a/7/1.2",
  command: "render {output}",
  outputFile: "part_7.mov",
  meta: {
    _tag: "Chunk",
    jobId: "job-a",
    run: 1,
    attempt: 2,
    output: { _tag: "File", path: "/render/part_7.mov" },
    chunkId: 7,
    startFrame: 70,
    frameCount: 10,
    format: { width: 640 },
    ...(jobDefUrl === undefined ? {} : { jobDefUrl })
  }
})

/** Runs one attempt; gives how it ended, and what was told meanwhile. */
export const run = Effect.fnUntraced(function* (
  options: HttpWorkerAdapter.Options,
  job: WorkerAdapter.WorkerJob = attempt()
) {
  const adapter = yield* HttpWorkerAdapter.make(options)
  const signals: Array<WorkerAdapter.WorkerSignal> = []
  const result = yield* Effect.result(adapter.execute(job, (signal) => signals.push(signal)))
  return { result, signals }
}, Effect.scoped)

export const failureOf = ({ result }: { readonly result: Result.Result<unknown, WorkerError.WorkerError> }) =>
  Result.isFailure(result) ? result.failure : assert.fail("it succeeded")

/** Waits until something holds. */
export const until = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (met: boolean) => met, schedule: Schedule.spaced("5 millis") })
