import type {
  AttemptLog,
  InMemoryJobRepository,
  JobExecutionOptions,
  JobExecutor,
  JobManager,
  JobManagerOptions,
  JobProgress,
  JobRepository,
  JobSpec,
  JobState,
  OutputRef,
  VideoStitcher,
  WorkerAdapter,
  WorkerJob,
  WorkerResult,
  WorkerSignal
} from "@helios-infra/core/promise"
import { describe, expectTypeOf, it } from "vitest"

/** Whether a type is data and nothing else: no function anywhere, and so no Effect, Stream or Schema. */
type IsPlain<T> = unknown extends T
  ? true
  : T extends string | number | boolean | null | undefined
    ? true
    : T extends (...args: never) => unknown
      ? false
      : T extends ReadonlyArray<infer Item>
        ? IsPlain<Item>
        : T extends object
          ? false extends { [K in keyof T]-?: IsPlain<T[K]> }[keyof T]
            ? false
            : true
          : false

describe("the types of the Promise API", () => {
  it("are plain data", () => {
    expectTypeOf<IsPlain<WorkerJob>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<WorkerResult>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<OutputRef>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<WorkerSignal>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<JobSpec>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<JobState>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<JobProgress>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<AttemptLog>>().toEqualTypeOf<true>()
    expectTypeOf<IsPlain<{ run: () => void }>>().toEqualTypeOf<false>()
  })

  it("take classes that a user wrote", () => {
    class Adapter {
      async execute(job: WorkerJob): Promise<WorkerResult> {
        return { exitCode: 0, stdout: job.command, stderr: "", durationMs: 0 }
      }
    }
    class Stitcher {
      async stitch(inputs: string[], _output: string): Promise<WorkerResult> {
        return { exitCode: 0, stdout: inputs.join(), stderr: "", durationMs: 0 }
      }
    }
    class Repository {
      async save(_job: JobState): Promise<void> {}
      async get(_jobId: string): Promise<JobState | null> {
        return null
      }
      async list(): Promise<JobState[]> {
        return []
      }
      async delete(_jobId: string): Promise<void> {}
    }
    expectTypeOf<Adapter>().toExtend<WorkerAdapter>()
    expectTypeOf<Stitcher>().toExtend<VideoStitcher>()
    expectTypeOf<Repository>().toExtend<JobRepository>()
    expectTypeOf<InMemoryJobRepository>().toExtend<JobRepository>()
  })

  it("give promises of states and results", () => {
    expectTypeOf<JobManager["createJob"]>().returns.resolves.toEqualTypeOf<JobState>()
    expectTypeOf<JobManager["runJob"]>().returns.resolves.toEqualTypeOf<JobState>()
    expectTypeOf<JobManager["resumeJob"]>().returns.resolves.toEqualTypeOf<JobState>()
    expectTypeOf<JobManager["pauseJob"]>().returns.resolves.toEqualTypeOf<JobState>()
    expectTypeOf<JobManager["cancelJob"]>().returns.resolves.toEqualTypeOf<JobState>()
    expectTypeOf<JobManager["getJob"]>().returns.resolves.toEqualTypeOf<JobState | null>()
    expectTypeOf<JobManager["listJobs"]>().returns.resolves.toEqualTypeOf<JobState[]>()
    expectTypeOf<JobManager["deleteJob"]>().returns.resolves.toEqualTypeOf<void>()
    expectTypeOf<JobManager["watchJob"]>().returns.toExtend<AsyncIterable<JobProgress>>()
    expectTypeOf<JobExecutor["execute"]>().returns.resolves.toEqualTypeOf<WorkerResult>()
    expectTypeOf<ConstructorParameters<typeof JobManager>[0]>().toEqualTypeOf<JobManagerOptions | undefined>()
    expectTypeOf<keyof JobManagerOptions>().toEqualTypeOf<
      "repository" | "storage" | "defaultConcurrency" | "telemetry"
    >()
    expectTypeOf<ConstructorParameters<typeof JobExecutor>[0]>().toEqualTypeOf<JobSpec>()
    expectTypeOf<ConstructorParameters<typeof JobExecutor>[1]>().toEqualTypeOf<JobExecutionOptions | undefined>()
  })
})
