import { describe } from "@effect/vitest"
import type * as Promises from "@helios-infra/core/promise"
import { WorkerAdapter, WorkerError } from "@helios-infra/core"
import { type FakeFiles, FakeFiles as Files, WorkerAdapterContract, workerAdapterContract } from "@helios-infra/testkit"
import { Effect, Layer } from "effect"
import { exec } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { workers } from "./FakeRigs.ts"
import { catches, changed, only } from "./Mutants.ts"
import { shell } from "./PlainClasses.ts"

const everything = { files: true, flood: 0, frames: true, reap: true } as const

workerAdapterContract("FakeWorkerAdapter", workers(), everything)
workerAdapterContract("FakeWorkerAdapter on machines that cannot be stopped", workers({ stop: "never" }), {
  ...everything,
  stop: "never"
})

workerAdapterContract("an adapter of the Promise API", () => shell(), { children: true, files: true })
workerAdapterContract(
  "one of a single method that says nothing of itself",
  () =>
    shell((good) => ({
      execute: async (job, { signal }) => {
        const { exitCode, stderr, stdout } = await good.execute(job, { report: () => {}, signal })
        return { exitCode, stderr, stdout, durationMs: 0 }
      }
    })),
  { stop: "best-effort", assigned: false, sizes: false }
)

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
    "one that takes two attempts at the same chunk for one",
    withExecute((adapter) => {
      const running = new Map<number | undefined, ReturnType<Adapter["execute"]>>()
      return (job, signal) =>
        Effect.gen(function* () {
          const chunk = WorkerAdapter.chunkId(job)
          const one = running.get(chunk) ?? (yield* Effect.cached(adapter.execute(job, signal)))
          running.set(chunk, one)
          yield* Effect.yieldNow
          return yield* Effect.ensuring(
            one,
            Effect.sync(() => running.delete(chunk))
          )
        })
    }),
    /two at the same chunk/
  )

  catches(
    "one whose errors name jobs as its paths do",
    withExecute(
      (adapter) => (job, signal) =>
        adapter
          .execute(job, signal)
          .pipe(
            Effect.mapError(
              (error) => new WorkerError.WorkerError({ ...error, jobId: error.jobId.replaceAll(/[^\w.-]/g, "_") })
            )
          )
    ),
    /only names/
  )

  catches(
    "one that leaves a file of each attempt that is stopped",
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
                adapter
                  .execute(job, signal)
                  .pipe(Effect.onInterrupt(() => Effect.sync(() => files.set(`/tmp/${job.id}`, Files.video(0, 1)))))
            }
          })
        ),
        workers()
      ),
      options
    ),
    /no file behind/
  )

  catches(
    "one that forgets a timer with each attempt",
    withExecute(
      (adapter) => (job, signal) =>
        Effect.andThen(
          Effect.sync(() => void setTimeout(() => {}, 3000)),
          adapter.execute(job, signal)
        )
    ),
    /no timer/
  )

  catches(
    "one that does not forgive being told to reap twice",
    broken((adapter) => {
      const reaped = new Set<string>()
      return {
        ...adapter,
        reap: (jobId, handles) => {
          const again = handles.filter((handle) => reaped.has(handle))
          for (const handle of handles) reaped.add(handle)
          return Effect.map(adapter.reap(jobId, handles), () => ({ leftover: again }))
        }
      }
    }),
    /twice no harm/
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

describe("the contract of WorkerAdapter, for adapters of the Promise API", () => {
  type Execute = Promises.WorkerAdapter["execute"]

  const never = new Promise<never>(() => {})
  const aborted = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(new Error("stopped")))
    })
  const path = (job: Promises.WorkerJob, file: string): Promises.WorkerJob => ({
    ...job,
    meta: { ...job.meta, output: { _tag: "File", path: file } }
  })

  const broken: ReadonlyArray<readonly [name: string, promise: RegExp, change: (execute: Execute) => Execute]> = [
    [
      "one that settles when it is aborted, and leaves its process running",
      /interruption is over|all stop/,
      (execute) =>
        (job, { report, signal }) =>
          Promise.race([execute(job, { report, signal: new AbortController().signal }), aborted(signal)])
    ],
    [
      "one that never settles once it is aborted",
      /interruption is over/,
      (execute) => (job, context) => execute(job, context).catch(() => never)
    ],
    [
      "one that kills the others as well",
      /does not disturb/,
      (execute) => {
        const all = new AbortController()
        return (job, { report, signal }) => {
          signal.addEventListener("abort", () => all.abort())
          return execute(job, { report, signal: all.signal })
        }
      }
    ],
    [
      "one that takes every end for a good one",
      /command that fails/,
      (execute) => async (job, context) => ({ ...(await execute(job, context)), exitCode: 0 })
    ],
    [
      "one that keeps its last words to itself",
      /last words/,
      (execute) => async (job, context) => ({ ...(await execute(job, context)), stdout: "", stderr: "" })
    ],
    [
      "one that throws a text where it should refuse",
      /Refused/,
      (execute) => (job, context) =>
        execute(job, context).catch((error: unknown) => {
          // oxlint-disable-next-line typescript/only-throw-error -- as users do
          throw String(error)
        })
    ],
    [
      "one that writes all attempts to one file",
      /their own outputs/,
      (execute) => (job, context) => execute(path(job, `${job.cwd}/part.mov`), context)
    ],
    [
      "one that tells another size",
      /gives its output/,
      (execute) => async (job, context) => {
        const { output, ...result } = await execute(job, context)
        return output === undefined ? result : { ...result, output: { ...output, bytes: output.bytes + 1 } }
      }
    ],
    [
      "one that writes the job's variables into a command",
      /whatever is in them/,
      (execute) => (job, context) => {
        const variables = Object.entries(job.env ?? {}).map(([name, value]) => `${name}="${value}"; export ${name}; `)
        return execute({ ...job, env: {}, command: variables.join("") + job.command }, context)
      }
    ],
    [
      "one that writes files into folders called as the job is",
      /only names/,
      (execute) => async (job, context) => {
        await promisify(exec)(`mkdir -p "$PWD/${job.meta.jobId}"`, { cwd: job.cwd })
        return execute(job, context)
      }
    ],
    [
      "one that stops too late to take its output away",
      /just before or after/,
      (execute) => async (job, context) => {
        const result = await execute(job, context)
        await sleep(300)
        context.signal.throwIfAborted()
        return result
      }
    ],
    [
      "one that gives answers to whoever waits for the chunk",
      /to no other one/,
      (execute) => {
        const waiting = new Map<unknown, (result: Promises.WorkerResult) => void>()
        return (job, { report, signal }) =>
          new Promise((resolve, reject) => {
            const chunk = job.meta._tag === "Chunk" ? job.meta.chunkId : "merge"
            waiting.set(chunk, resolve)
            signal.addEventListener("abort", () => reject(new Error("stopped")))
            execute(job, { report, signal: new AbortController().signal }).then(
              (result) => waiting.get(chunk)?.(result),
              reject
            )
          })
      }
    ],
    [
      "one that forgets the job's variables",
      /variables of its job/,
      (execute) => (job, context) => execute({ ...job, env: {} }, context)
    ],
    [
      "one that keeps what all commands print in one place",
      /last words/,
      (execute) => {
        let said = ""
        return async (job, context) => {
          const result = await execute(job, context)
          said = (said + result.stderr).slice(-4096)
          return { ...result, stderr: said }
        }
      }
    ],
    [
      "one that gives commands the environment of the orchestrator",
      /nobody let through/,
      (execute) => (job, context) => {
        const env: Record<string, string> = {}
        for (const [name, value = ""] of Object.entries(process.env)) env[name] = value
        return execute({ ...job, env: { ...env, ...job.env } }, context)
      }
    ],
    [
      "one that resolves with nothing",
      /gives its output/,
      // @ts-expect-error -- plain JavaScript
      () => async () => {}
    ]
  ]
  for (const [name, promise, change] of broken) {
    const made = () =>
      shell((good) => ({ info: good.info, execute: change((job, context) => good.execute(job, context)) }))
    catches(name, only(WorkerAdapterContract.make(made, { patience: "1 second" }), promise), promise)
  }

  catches(
    "one that only cuts in the end what it keeps of an output",
    only(
      WorkerAdapterContract.make(
        () =>
          shell(
            (good) => ({
              info: good.info,
              execute: async (job, context) => {
                const { stderr, stdout, ...result } = await good.execute(job, context)
                return { ...result, stderr: stderr.slice(-4096), stdout: stdout.slice(-4096) }
              }
            }),
            { tail: Infinity }
          ),
        { flood: 8 * 1024 ** 2 }
      ),
      /does not grow/
    ),
    /does not grow/
  )
  catches(
    "one that ends a command and not its children",
    only(
      WorkerAdapterContract.make(() => shell((good) => good, { children: false }), {
        children: true,
        patience: "1 second"
      }),
      /children/
    ),
    /children/
  )
  catches(
    "one that does not say that its attempts always stop",
    only(
      WorkerAdapterContract.make(() => shell((good) => ({ execute: (job, context) => good.execute(job, context) }))),
      /says of itself/
    ),
    /says of itself/
  )
  catches(
    "one that cannot be made",
    WorkerAdapterContract.make(() => Promise.reject(new Error("no shell here"))),
    /gives its output/
  )
})
