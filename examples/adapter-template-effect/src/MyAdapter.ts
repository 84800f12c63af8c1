/**
 * Runs each attempt at a chunk on a platform of yours. Here that is a child process: put your platform's calls in the place
 * of `Command.run` and `Strays.end`, and keep the rest.
 */
import { Plugin, WorkerAdapter, WorkerError } from "@helios-infra/core"
import { Command, CommandLine, Environment, type ProcessError, Strays } from "@helios-infra/process"
import { Effect, Layer, Schema } from "effect"
import { rm, stat } from "node:fs/promises"

/** What can be said of it in a configuration. */
export const Config = Schema.Struct({
  /** How many attempts at once the platform takes. Default: 2. */
  concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** How long a command has between TERM and KILL. Default: 5 seconds. */
  killGrace: Schema.optionalKey(Plugin.Duration)
})

const name = "my-adapter"

export const make = Effect.fnUntraced(function* ({ concurrency = 2, killGrace }: typeof Config.Type = {}) {
  const inherited = Environment.pick(yield* Environment.ParentEnvironment)

  /** One attempt. Retries, time limits, concurrency and checks of the output are not its business. */
  const execute = Effect.fn("MyAdapter.execute")(function* (
    job: WorkerAdapter.WorkerJob,
    signal: (signal: WorkerAdapter.WorkerSignal) => void
  ) {
    const fail = (reason: WorkerError.WorkerReason) => WorkerAdapter.failure(name, job, reason)
    const { output } = job.meta
    if (output._tag !== "File") return yield* fail(refused("Unsupported", "this adapter writes to files"))
    // The command is split and never given to a shell, and told the place that this attempt writes to.
    const parsed = yield* Effect.fromResult(CommandLine.parse(job.command)).pipe(
      Effect.mapError(({ message }) => fail(refused("InvalidJob", message)))
    )
    const { args } = CommandLine.withOutput(parsed, { outputFile: job.outputFile, place: output.path })

    // Interruption is how an attempt is stopped: when it is over, so is the command, with all its children.
    const attempt = Effect.gen(function* () {
      const { durationMs, exitCode, pid, stderr, stdout } = yield* Command.run({
        args,
        cwd: job.cwd ?? ".",
        env: { ...inherited, ...job.env },
        killGrace,
        onStart: ({ marker, pid }) => signal({ _tag: "Assigned", workerId: String(pid), handle: marker }),
        onLine: (stream, text) => signal({ _tag: "Line", stream, text }),
        onLeftover: (pids) => signal({ _tag: "NotStopped", detail: `processes ${pids.join(", ")} do not end` })
      }).pipe(Effect.mapError((error) => fail(reasonOf(error))))
      if (exitCode !== 0) return yield* fail(new WorkerError.RenderFailed({ exitCode, stderrTail: stderr }))
      const size = yield* sizeOf(output.path)
      const written = size === undefined ? {} : { output: { location: output.path, bytes: size } }
      return { exitCode, stdout, stderr, durationMs, workerId: String(pid), ...written }
    })
    // Whoever is stopped, or fails, leaves nothing.
    return yield* Effect.onError(attempt, () => Effect.promise(() => rm(output.path, { force: true })))
  })

  return WorkerAdapter.make({
    // `stop: "always"` is a promise: when an interruption is over, nothing of the attempt runs.
    info: { name, where: "local", stop: "always", concurrency },
    execute,
    // After a crash: the handles are those of `Assigned`, from the job's journal.
    reap: (_jobId, handles) =>
      Effect.map(Strays.end(handles, { killGrace }), (pids) => ({ leftover: pids.map((pid) => `process ${pid}`) }))
  })
})

export const layer = (config?: typeof Config.Type): Layer.Layer<WorkerAdapter.WorkerAdapter> =>
  Layer.effect(WorkerAdapter.WorkerAdapter, make(config))

/** For configurations: `{ "type": "my-adapter", "concurrency": 8 }`. */
export const worker: Plugin.Plugin<"worker", typeof Config> = Plugin.definePlugin({
  kind: "worker",
  type: name,
  apiVersion: 1,
  config: Config,
  layer
})

const sizeOf = (path: string) =>
  Effect.promise(() =>
    stat(path).then(
      ({ size }) => size,
      () => undefined
    )
  )

const refused = (why: WorkerError.Refused["why"], fix: string) => new WorkerError.Refused({ why, fix })

/** Whether the attempt may be repeated: `Refused` never is, everything else is. */
const reasonOf = ({ message, reason }: ProcessError.ProcessError): WorkerError.WorkerReason =>
  reason._tag === "SpawnFailed" ? new WorkerError.WorkerLost({ detail: message }) : refused("NotFound", message)
