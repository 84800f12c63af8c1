import { describe } from "@effect/vitest"
import { WorkerAdapter, WorkerError } from "@helios-infra/core"
import { type FakeFiles, FakeFiles as Files, WorkerAdapterContract, workerAdapterContract } from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import { workers } from "./FakeRigs.ts"
import { catches, changed } from "./Mutants.ts"

const everything = { frames: true, reap: true } as const

workerAdapterContract("FakeWorkerAdapter", workers(), everything)
workerAdapterContract("FakeWorkerAdapter on machines that cannot be stopped", workers({ stop: "never" }), {
  ...everything,
  stop: "never"
})

type Adapter = WorkerAdapter.WorkerAdapter["Service"]

describe("the contract of WorkerAdapter", () => {
  const options = { ...everything, patience: "300 millis", quiet: "60 millis" } as const
  const broken = (change: (adapter: Adapter) => Adapter) =>
    WorkerAdapterContract.make(changed(WorkerAdapter.WorkerAdapter, workers(), change), options)
  const withExecute = (execute: (adapter: Adapter) => Adapter["execute"]) =>
    broken((adapter) => ({ ...adapter, execute: execute(adapter) }))

  catches(
    "one that claims to stop what it cannot",
    broken((adapter) => ({ ...adapter, info: { ...adapter.info, stop: "never" } })),
    /says of itself/
  )

  catches(
    "one that gives a result with an exit code for a command that failed",
    withExecute(
      (adapter) => (job, signal) =>
        adapter
          .execute(job, signal)
          .pipe(Effect.catch(() => Effect.succeed({ exitCode: 3, stdout: "", stderr: "", durationMs: 0 })))
    ),
    /an error and no result/
  )

  catches(
    "one whose errors name another attempt",
    withExecute(
      (adapter) => (job, signal) =>
        adapter
          .execute(job, signal)
          .pipe(Effect.mapError((error) => new WorkerError.WorkerError({ ...error, attempt: error.attempt + 1 })))
    ),
    /an error and no result/
  )

  catches(
    "one that would try a hopeless command again",
    withExecute(
      (adapter) => (job, signal) =>
        adapter.execute(job, signal).pipe(
          Effect.catchIf(
            ({ reason }) => reason._tag === "Refused",
            () => Effect.fail(WorkerAdapter.failure("fake", job, new WorkerError.WorkerLost({ detail: "?" })))
          )
        )
    ),
    /Refused/
  )

  catches(
    "one that gives back all that was printed",
    withExecute(
      (adapter) => (job, signal) =>
        Effect.map(adapter.execute(job, signal), (result) => ({ ...result, stdout: "x".repeat(1_000_000) }))
    ),
    /however much a command prints/
  )

  catches(
    "one that keeps the beginning of the output",
    withExecute(
      (adapter) => (job, signal) =>
        Effect.map(adapter.execute(job, signal), (result) => ({ ...result, stderr: result.stderr.slice(0, 100) }))
    ),
    /however much a command prints/
  )

  catches(
    "one that claims an output that nobody wrote",
    withExecute(
      (adapter) => (job, signal) =>
        Effect.map(adapter.execute(job, signal), (result) => ({
          ...result,
          output: result.output ?? { location: "/places/7.mov", bytes: 0 }
        }))
    ),
    /writes nothing gives no output/
  )

  catches(
    "one that mixes up the outputs of attempts at the same time",
    withExecute((adapter) => {
      let latest: Adapter["execute"] extends (job: infer Job, ...rest: never) => unknown ? Job | undefined : never
      return (job, signal) =>
        Effect.suspend(() => {
          latest = job
          return Effect.andThen(
            Effect.yieldNow,
            Effect.suspend(() => adapter.execute({ ...job, meta: latest?.meta ?? job.meta }, signal))
          )
        })
    }),
    /keep to their own outputs/
  )

  catches(
    "one that tells frames backwards",
    withExecute(
      (adapter) => (job, signal) =>
        adapter.execute(job, (told) => signal(told._tag === "Frames" ? { ...told, done: 10 - told.done } : told))
    ),
    /never go back/
  )

  catches(
    "one that does not say who runs an attempt",
    withExecute((adapter) => (job) => adapter.execute(job, () => {})),
    /tells who runs/
  )

  catches(
    "one that only stops listening when it is interrupted",
    withExecute(
      (adapter) => (job, signal) =>
        Effect.flatMap(Effect.forkDetach(adapter.execute(job, signal)), (fiber) =>
          Effect.callback<WorkerAdapter.WorkerResult, WorkerError.WorkerError>((resume) => {
            fiber.addObserver(resume)
          })
        )
    ),
    /nothing of the attempt runs/
  )

  catches(
    "one that ignores interruption",
    withExecute((adapter) => (job, signal) => Effect.uninterruptible(adapter.execute(job, signal))),
    /nothing of the attempt runs/
  )

  catches(
    "one whose output arrives after the attempt was stopped",
    WorkerAdapterContract.make(
      Layer.provideMerge(
        Layer.effect(
          WorkerAdapter.WorkerAdapter,
          Effect.gen(function* () {
            const adapter = yield* WorkerAdapter.WorkerAdapter
            const files: Map<string, FakeFiles.FakeFile> = yield* Files.FakeFiles
            return {
              ...adapter,
              execute: (job, signal) =>
                adapter.execute(job, signal).pipe(
                  Effect.onInterrupt(() =>
                    Effect.sync(() => {
                      const { output } = job.meta
                      if (output._tag === "File") files.set(output.path, Files.video(0, 1))
                    }).pipe(Effect.delay("20 millis"), Effect.forkDetach)
                  )
                )
            }
          })
        ),
        workers()
      ),
      options
    ),
    /comes late/
  )

  catches(
    "one that goes on telling signals after the attempt was stopped",
    withExecute(
      (adapter) => (job, signal) =>
        adapter
          .execute(job, signal)
          .pipe(
            Effect.onInterrupt(() =>
              Effect.sync(() => signal({ _tag: "Heartbeat" })).pipe(Effect.delay("20 millis"), Effect.forkDetach)
            )
          )
    ),
    /comes late/
  )

  catches(
    "one that stops every attempt when one is interrupted",
    broken((adapter) => {
      const stops = new Set<() => void>()
      return {
        ...adapter,
        execute: (job, signal) =>
          Effect.raceFirst(
            adapter.execute(job, signal),
            Effect.callback<never, WorkerError.WorkerError>((resume) => {
              stops.add(() =>
                resume(Effect.fail(WorkerAdapter.failure("fake", job, new WorkerError.WorkerLost({ detail: "x" }))))
              )
            })
          ).pipe(Effect.onInterrupt(() => Effect.sync(() => stops.forEach((stop) => stop()))))
      }
    }),
    /does not disturb another/
  )

  catches(
    "one whose reap does nothing",
    broken((adapter) => ({ ...adapter, reap: () => Effect.succeed({ leftover: [] }) })),
    /reap ends what a handle names/
  )

  catches(
    "one whose reap ends whatever runs",
    broken((adapter) => {
      const handles = new Set<string>()
      return {
        ...adapter,
        execute: (job, signal) =>
          adapter.execute(job, (told) => {
            if (told._tag === "Assigned" && told.handle !== undefined) handles.add(told.handle)
            signal(told)
          }),
        reap: (jobId) => adapter.reap(jobId, [...handles])
      }
    }),
    /reap of nothing/
  )
})
