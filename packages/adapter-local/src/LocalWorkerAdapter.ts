/**
 * Runs attempts as child processes of this machine.
 *
 * An attempt's command runs without a shell in the job's folder, sees only listed environment variables, and
 * `TRACEPARENT` where the attempt is traced, and writes to the place that the attempt was given. When an attempt is over, so are all its processes, those that started a session
 * of their own included, and what a failed one wrote is removed.
 *
 * Whether an output is any good is not judged here; `OutputCheck` does that.
 */
import type { Owner } from "@helios-infra/core/JobEvent"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as TraceContext from "@helios-infra/core/TraceContext"
import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
import { Refused, RenderFailed, TimedOut, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as Command from "@helios-infra/process/Command"
import * as CommandLine from "@helios-infra/process/CommandLine"
import * as Environment from "@helios-infra/process/Environment"
import type { ProcessError } from "@helios-infra/process/ProcessError"
import * as Strays from "@helios-infra/process/Strays"
import type { BigIntStats } from "node:fs"
import * as fs from "node:fs/promises"
import { availableParallelism, hostname } from "node:os"
import * as path from "node:path"
import { cwd as currentFolder } from "node:process"
import * as FrameProgress from "./FrameProgress.ts"
import * as liveness from "./internal/liveness.ts"
import { discard, file, type FileError, ifThere, isBelow, outputSize, realpathOfExisting } from "./internal/files.ts"

/** How commands run on this machine. */
export interface Options {
  /** The folder for jobs that do not name theirs. Default: the current one. */
  readonly cwd?: string | undefined
  /**
   * The environment variables that pass from the orchestrator to commands; a trailing `*` stands for any ending.
   * Default: `Environment.defaultAllowed`.
   */
  readonly allowedEnvironment?: ReadonlyArray<string> | undefined
  /** Variables that every command gets beside those; the job's own go first. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How long a command has between TERM and KILL. Default: 5 seconds. */
  readonly killGrace?: Duration.Input | undefined
  /** How much of the end of each output an attempt keeps, in bytes. Default: 4096. */
  readonly tailBytes?: number | undefined
  /** How many attempts at once suit this machine when nobody says. Default: as many as it has processors. */
  readonly concurrency?: number | undefined
}

const name = "local"

/** The adapter. Reads the environment that it passes on from `Environment.ParentEnvironment`. */
export const make: (options?: Options) => Effect.Effect<WorkerAdapter.WorkerAdapter["Service"]> = Effect.fnUntraced(
  function* (options = {}) {
    const parent = yield* Environment.ParentEnvironment
    const {
      // Where this process is in a trace, not where its commands are.
      TRACEPARENT: _parent,
      TRACESTATE: _state,
      ...passed
    } = Environment.pick(parent, options.allowedEnvironment)
    const inherited = { ...passed, ...options.env }
    const self = yield* liveness.self

    const execute = Effect.fn("LocalWorkerAdapter.execute")(function* (
      job: WorkerAdapter.WorkerJob,
      signal: (signal: WorkerAdapter.WorkerSignal) => void
    ) {
      let workerId: string | undefined
      const fail = (reason: WorkerReason) => Effect.fail(WorkerAdapter.failure(name, job, reason, workerId))

      if (job.meta.output._tag !== "File") {
        return yield* fail(refused("Unsupported", "the local adapter writes to files: give the attempt a path"))
      }
      const place = job.meta.output.path
      const cwd = path.resolve(job.cwd ?? options.cwd ?? currentFolder())
      const parsed = yield* Effect.fromResult(CommandLine.parse(job.command)).pipe(
        Effect.catch((error) => fail(refused("InvalidJob", error.message)))
      )
      const { args, replaced } = CommandLine.withOutput(parsed, { outputFile: job.outputFile, place })
      const output = replaced ? writesTo(place, args) : ownOutput(job, cwd, place)
      yield* output.prepare.pipe(Effect.catch(fail))

      const frames = job.meta._tag === "Chunk" ? FrameProgress.make(job.meta.frameCount) : () => undefined
      const run = Command.run({
        args,
        cwd,
        env: { ...inherited, ...job.env, ...TraceContext.environment(job.meta) },
        name: markerName(job, self),
        killGrace: options.killGrace,
        tailBytes: options.tailBytes,
        onStart: ({ marker, pid }) => {
          workerId = String(pid)
          signal({ _tag: "Assigned", workerId, handle: marker })
        },
        onLine: (stream, text) => {
          signal({ _tag: "Line", stream, text })
          const done = frames(text)
          if (done !== undefined) signal({ _tag: "Frames", done })
        },
        onLeftover: (pids) => signal({ _tag: "NotStopped", detail: notStopped(pids) })
      }).pipe(Effect.catch((error) => fail(reasonOf(error, cwd))))

      const { ended, found } = yield* Effect.gen(function* () {
        const ended = yield* run
        if (ended.exitCode !== 0) {
          return yield* fail(
            new RenderFailed({
              exitCode: ended.exitCode,
              ...(ended.signal === null ? {} : { signal: ended.signal }),
              stderrTail: ended.stderr === "" ? ended.stdout : ended.stderr
            })
          )
        }
        // Not stopped half-way: a file on its way to its place would be left behind.
        const found = yield* Effect.uninterruptible(output.collect.pipe(Effect.catch(fail)))
        return { ended, found }
      }).pipe(Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : output.discard)))

      return {
        exitCode: 0,
        stdout: ended.stdout,
        stderr: ended.stderr,
        ...(job.outputFile === undefined ? {} : { outputFile: job.outputFile }),
        durationMs: ended.durationMs,
        ...(found === undefined ? {} : { output: found }),
        workerId: String(ended.pid)
      }
    })

    const reap = Effect.fn("LocalWorkerAdapter.reap")(function* (jobId: string, handles: ReadonlyArray<string>) {
      // A process may have been killed before the handle of what it had just started was written down.
      const strays = yield* Strays.find(word(`${jobId}/`))
      const orphans = yield* Effect.filter(strays, ({ marker }) => isOrphan(marker))
      const markers = new Set([...handles, ...orphans.map(({ marker }) => marker)])
      const pids = yield* Strays.end([...markers], { killGrace: options.killGrace })
      return { leftover: pids.map((pid) => `process ${pid}`) }
    })

    return WorkerAdapter.make({
      info: {
        name,
        where: "local",
        stop: "always",
        concurrency: options.concurrency ?? availableParallelism()
      },
      execute,
      reap
    })
  }
)

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<WorkerAdapter.WorkerAdapter> =>
  Layer.effect(WorkerAdapter.WorkerAdapter, make(options))

// ---
// who runs a command
// ---

/** The beginning of a name, as it stands in markers. */
const word = (text: string): string => text.replaceAll(/[^\w.-]/g, "_").slice(0, 100)

/** What an attempt's marker begins with: which attempt it is, and which orchestrator's. */
const markerName = (job: WorkerAdapter.WorkerJob, { pid, processStart = "" }: Owner): string =>
  `${word(job.id)}~${pid}.${processStart}`

/** Whether the orchestrator that a marker names is gone. One that cannot be told apart from another process is not. */
const isOrphan = (marker: string): Effect.Effect<boolean> => {
  const [, pid, processStart] = /~(\d+)\.(\d+)~[^~]*$/.exec(marker) ?? []
  return pid === undefined || processStart === undefined
    ? Effect.succeed(false)
    : Effect.map(liveness.of({ host: hostname(), pid: Number(pid), processStart }), (lives) => lives === "dead")
}

// ---
// where a command's output is
// ---

interface Output {
  readonly prepare: Effect.Effect<void, WorkerReason>
  /** Removes what an attempt that failed or was stopped has written. */
  readonly discard: Effect.Effect<void>
  /** The output once the command is done; `undefined` when there is none. */
  readonly collect: Effect.Effect<WorkerAdapter.OutputRef | undefined, WorkerReason>
}

/** The command was told the place; where it writes below that (`{output}/frame_%05d.png`), a folder is made there. */
const writesTo = (place: string, args: CommandLine.Args): Output => ({
  // A folder is nobody's output to replace, or to remove: the place of a merge without an output is the job's own one.
  prepare: Effect.flatMap(stat(place), (found) => {
    if (found?.isDirectory() === true)
      return Effect.fail(refused("InvalidJob", `${place} is a folder: say where the command's output goes`))
    return args.some((arg) => arg.includes(`${place}/`)) ? worker(file(() => fs.mkdir(place))) : Effect.void
  }),
  discard: discard(place),
  collect: refTo(place)
})

/**
 * The command was not told the place: it writes to the output's own name in the job's folder, from where a chunk's
 * output is moved to its place, so that the next attempt cannot overwrite it. A merge command's stays where it is.
 */
const ownOutput = (job: WorkerAdapter.WorkerJob, cwd: string, place: string): Output => {
  // Never told a place, it cannot have written there: a merge command's is the job's own folder.
  if (job.outputFile === undefined) return { prepare: Effect.void, discard: Effect.void, collect: Effect.undefined }
  const own = path.resolve(cwd, job.outputFile)
  if (job.meta._tag === "Merge") {
    let before: BigIntStats | undefined
    return {
      prepare: Effect.map(stat(own), (found) => {
        before = found
      }),
      discard: Effect.void,
      // A file of an earlier run is no output of this one.
      collect: Effect.flatMap(stat(own), (found) => (isSame(before, found) ? Effect.undefined : refTo(own)))
    }
  }
  const guard = Effect.flatMap(worker(isInside(cwd, own)), (inside) =>
    inside ? Effect.void : Effect.fail(refused("InvalidJob", `${own} is not in the job's folder ${cwd}: name it there`))
  )
  return {
    prepare: guard.pipe(
      Effect.andThen(worker(ifThere(file(() => fs.lstat(own))))),
      Effect.flatMap((found) => {
        if (found === undefined) return Effect.void
        if (found.isDirectory())
          return Effect.fail(refused("InvalidJob", `${own} is a folder: name the output otherwise`))
        // An old file must never be taken for what this attempt wrote.
        return worker(file(() => fs.rm(own, { force: true })))
      })
    ),
    discard: guard.pipe(Effect.andThen(discard(own)), Effect.ignore),
    collect: guard.pipe(
      Effect.andThen(stat(own)),
      Effect.flatMap((found) =>
        found === undefined ? Effect.undefined : worker(move(own, place)).pipe(Effect.andThen(refTo(place)))
      )
    )
  }
}

const refTo = (location: string): Effect.Effect<WorkerAdapter.OutputRef | undefined, WorkerReason> =>
  Effect.map(worker(outputSize(location)), (bytes) => (bytes === undefined ? undefined : { location, bytes }))

const stat = (location: string): Effect.Effect<BigIntStats | undefined, WorkerReason> =>
  worker(ifThere(file(() => fs.stat(location, { bigint: true }))))

const isSame = (a: BigIntStats | undefined, b: BigIntStats | undefined): boolean =>
  a?.ino === b?.ino && a?.size === b?.size && a?.mtimeNs === b?.mtimeNs

const isInside = (folder: string, target: string): Effect.Effect<boolean, FileError> =>
  Effect.zipWith(
    realpathOfExisting(folder),
    realpathOfExisting(path.dirname(target)),
    (realFolder, realParent) => realParent === realFolder || isBelow(realFolder, realParent)
  )

const move = (from: string, to: string): Effect.Effect<void, FileError> =>
  Effect.catchIf(
    file(() => fs.rename(from, to)),
    // Another disk.
    ({ code }) => code === "EXDEV",
    () => file(() => fs.copyFile(from, to).then(() => fs.rm(from)))
  )

// ---
// errors
// ---

const refused = (why: Refused["why"], fix: string): Refused => new Refused({ why, fix })

const reasonOf = (error: ProcessError, cwd: string): WorkerReason => {
  const { reason } = error
  switch (reason._tag) {
    case "ProgramNotFound":
      return refused("NotFound", reason.message)
    case "FolderNotFound":
      return refused("NotFound", `the job's folder ${cwd} is not there: make it, or name another one`)
    case "NotExecutable":
      return refused("Unsupported", reason.message)
    case "InvalidArgument":
      return refused("InvalidJob", reason.message)
    case "TooLarge":
      return refused("TooLarge", reason.message)
    case "SpawnFailed":
      return new WorkerLost({ detail: reason.message })
    case "TimedOut":
      return new TimedOut({ limit: "attempt", afterMs: Math.round(reason.afterMs) })
  }
}

const notStopped = (pids: ReadonlyArray<number>): string =>
  `${pids.length === 1 ? "process" : "processes"} ${pids.join(", ")} did not end even when killed`

/** That a file operation of the adapter's own fails says nothing about the job, so the attempt can be repeated. */
const worker = <A>(operation: Effect.Effect<A, FileError>): Effect.Effect<A, WorkerReason> =>
  Effect.mapError(operation, (error) => new WorkerLost({ detail: error.message }))
