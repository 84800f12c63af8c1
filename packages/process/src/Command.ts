/**
 * Runs a command so that nothing of it is left when it ends, however it ends: by itself, by its time limit or by
 * interruption.
 *
 * ```
 * spawn (own session, own group, marker in its environment)
 *   ├─ its first process exits ─┐
 *   ├─ timeout ─────────────────┼─▶ what is left of it: TERM ─killGrace─▶ KILL ─▶ result, error or interruption
 *   └─ interruption ────────────┘
 * ```
 *
 * One that has an `input` is told to stop by the end of that, before TERM.
 *
 * Built on `node:child_process`; for Linux and macOS (see `Strays` for what macOS cannot do). It uses no shell, and judges
 * no exit code.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { accessSync, constants } from "node:fs"
import { delimiter } from "node:path"
import type { Readable, Writable } from "node:stream"
import type { Args } from "./CommandLine.ts"
import * as processTable from "./internal/processTable.ts"
import * as OutputLines from "./OutputLines.ts"
import {
  FolderNotFound,
  InvalidArgument,
  NotExecutable,
  ProcessError,
  type ProcessReason,
  ProgramNotFound,
  SpawnFailed,
  TimedOut,
  TooLarge
} from "./ProcessError.ts"
import * as Strays from "./Strays.ts"

/** What to run, and how. */
export interface Options {
  /** The program, and its arguments as they reach it. */
  readonly args: Args
  /** The folder to run in. */
  readonly cwd: string
  /** All of its environment: nothing is inherited. `PATH` in it is where the program is looked for. */
  readonly env: Readonly<Record<string, string>>
  /**
   * What the command's marker begins with; a random part is added, so that no two commands ever have the same. Letters,
   * digits and `._-~` are kept, anything else becomes `_`. Default: `command`.
   */
  readonly name?: string | undefined
  /** How long it may run. Default: for ever. */
  readonly timeout?: Duration.Input | undefined
  /**
   * What it reads from its standard input, which stays open after that for as long as the command is wanted. When it has
   * to stop, and when this process dies, the input ends: then it has `killGrace` to stop by itself, before TERM. For
   * programs that pass that end on to what they run elsewhere, as `ssh`, `docker exec -i` and `kubectl exec -i` do.
   * Default: no standard input.
   */
  readonly input?: string | undefined
  /** How long its processes have between TERM and KILL. Default: 5 seconds. */
  readonly killGrace?: Duration.Input | undefined
  /** How much of the end of each output is kept, in bytes. Default: 4096. */
  readonly tailBytes?: number | undefined
  /** Told once, as soon as it runs. What it throws is dropped. */
  readonly onStart?: ((started: Started) => void) | undefined
  /** Told each line as it is printed, without its end; lines of more than 8192 characters come in pieces. */
  readonly onLine?: ((stream: "stdout" | "stderr", line: string) => void) | undefined
  /** Told the pids of what could not be ended even by KILL, when there is any. */
  readonly onLeftover?: ((pids: ReadonlyArray<number>) => void) | undefined
}

/** A command that runs. */
export interface Started {
  /** The process id of its first process, which is the number of its group and session as well. */
  readonly pid: number
  /** What `Strays` finds it by, even after this process has died. */
  readonly marker: string
}

/** A command that has ended by itself. */
export interface Ended extends Started {
  /** `null` when a signal ended it. */
  readonly exitCode: number | null
  /** The signal that ended it (sent by somebody else), or `null`. */
  readonly signal: string | null
  /** The last of what it printed, `tailBytes` at most. */
  readonly stdout: string
  readonly stderr: string
  readonly durationMs: number
}

/**
 * Runs a command to its end, and gives how it ended; a non-zero exit code is a result like any other.
 *
 * When this effect is over, by result, by error or by interruption, no process of the command runs any more: neither its
 * first one, nor its group, nor those that started sessions of their own.
 */
export const run: (options: Options) => Effect.Effect<Ended, ProcessError> = Effect.fnUntraced(function* (options) {
  const program = options.args[0]
  const marker = `${(options.name ?? "command").replace(/[^\w.~-]/g, "_")}~${randomUUID()}`
  const grace = Duration.fromInputUnsafe(options.killGrace ?? Strays.defaultKillGrace)
  const startedAt = yield* Clock.monotonicTimeNanos
  const ranMs = Effect.map(Clock.monotonicTimeNanos, (now) => Number(now - startedAt) / 1e6)

  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const child = yield* start(options, marker)
      const { pid } = child
      Result.try(() => options.onStart?.({ pid, marker }))

      const timeout = options.timeout
      const exited = Deferred.await(child.exited)
      const exit = yield* Effect.exit(
        restore(
          timeout === undefined
            ? exited
            : Effect.timeoutOrElse(exited, { duration: timeout, orElse: () => Effect.succeed("timeout" as const) })
        )
      )
      const durationMs = yield* ranMs

      const ended = (Exit.isSuccess(exit) && exit.value !== "timeout") || (yield* child.endInput(grace))
      if (!ended || (yield* processTable.leftSomething(pid, marker, durationMs))) {
        const leftover = yield* Strays.endSought(
          { matches: (other) => other === marker, group: pid, forMs: durationMs },
          grace
        )
        if (leftover.length > 0) Result.try(() => options.onLeftover?.(leftover))
        // What is left could keep us waiting for ever.
        else yield* exited
      }
      yield* child.drain

      const status = yield* exit
      const stdout = child.stdout()
      const stderr = child.stderr()
      if (status === "timeout") {
        return yield* new ProcessError({ program, reason: new TimedOut({ afterMs: durationMs, stdout, stderr }) })
      }
      return { ...status, pid, marker, stdout, stderr, durationMs }
    })
  )
})

// ---
// one process and its pipes
// ---

interface Child {
  readonly pid: number
  readonly exited: Deferred.Deferred<{ readonly exitCode: number | null; readonly signal: string | null }>
  /** Ends its input, where it has one. Gives whether it ended for that, within the time. */
  readonly endInput: (within: Duration.Duration) => Effect.Effect<boolean>
  /** Reads what is still in the pipes, and closes them. */
  readonly drain: Effect.Effect<void>
  readonly stdout: () => string
  readonly stderr: () => string
}

/** How long a pipe can stay open when no process of the command is left: somebody else was handed it. */
const drainLimit = Duration.seconds(1)

const start = (options: Options, marker: string): Effect.Effect<Child, ProcessError> =>
  Effect.callback<Child, ProcessError>((resume) => {
    const [program, ...args] = options.args
    const fail = (error: unknown) =>
      resume(Effect.fail(new ProcessError({ program, reason: reasonOf(options, error) })))
    const settings = {
      cwd: options.cwd,
      env: { ...options.env, [processTable.markerVariable]: marker },
      shell: false,
      detached: true,
      windowsHide: true
    }
    const spawned = Result.try(() =>
      options.input === undefined
        ? spawn(program, args, { ...settings, stdio: ["ignore", "pipe", "pipe"] })
        : spawn(program, args, { ...settings, stdio: ["pipe", "pipe", "pipe"] })
    )
    if (Result.isFailure(spawned)) return fail(spawned.failure)
    const child = spawned.success
    // Beside failing to start, this is told when a signal could not be sent; we send our own.
    child.on("error", fail)
    if (child.pid !== undefined) resume(Effect.succeed(watch(child, child.pid, options)))
  })

const watch = (
  child: ChildProcessByStdio<Writable | null, Readable, Readable>,
  pid: number,
  options: Options
): Child => {
  const exited: Child["exited"] = Deferred.makeUnsafe()
  const closed = Deferred.makeUnsafe<void>()
  processTable.started(pid)
  child.once("exit", (exitCode, signal) => {
    processTable.ended(pid)
    Deferred.doneUnsafe(exited, Exit.succeed({ exitCode, signal }))
  })
  child.once("close", () => Deferred.doneUnsafe(closed, Exit.void))
  // One that reads no input, or has ended, breaks the pipe; how it ended says the rest.
  child.stdin?.on("error", () => {}).write(options.input ?? "")
  const stdout = read(child.stdout, "stdout", options)
  const stderr = read(child.stderr, "stderr", options)
  return {
    pid,
    exited,
    endInput: (within) =>
      Effect.suspend(() => {
        if (child.stdin === null) return Effect.succeed(false)
        child.stdin.end()
        return Effect.map(Effect.timeoutOption(Deferred.await(exited), within), Option.isSome)
      }),
    drain: Effect.suspend(() =>
      // Mostly they are closed by now, and no timer is needed.
      Deferred.isDoneUnsafe(closed) ? Effect.void : Effect.timeoutOption(Deferred.await(closed), drainLimit)
    ).pipe(
      Effect.andThen(
        Effect.sync(() => {
          stdout.close()
          stderr.close()
        })
      )
    ),
    stdout: stdout.tail,
    stderr: stderr.tail
  }
}

const read = (stream: Readable, name: "stdout" | "stderr", options: Options) => {
  const { onLine } = options
  const tail = OutputLines.tail(options.tailBytes)
  const lines = onLine === undefined ? undefined : OutputLines.lines((line) => onLine(name, line))
  stream.on("data", (bytes: Buffer) => {
    tail.push(bytes)
    lines?.push(bytes)
  })
  // A pipe that breaks has ended; how the command ended says the rest.
  stream.on("error", () => {})
  return {
    tail: tail.text,
    close: () => {
      lines?.end()
      stream.destroy()
    }
  }
}

// ---
// why a process could not be started
// ---

const reasonOf = (options: Options, error: unknown): ProcessReason => {
  const program = options.args[0]
  const code = processTable.errorCode(error) ?? "unknown"
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
    case "EACCES":
    case "ELOOP":
    case "ENAMETOOLONG": {
      // The system gives the same code for the folder and for the program.
      if (!isFolder(options.cwd)) return new FolderNotFound({ folder: options.cwd })
      if (code === "EACCES") return new NotExecutable({ program, code })
      const searched = program.includes("/") ? [] : (options.env["PATH"] ?? "").split(delimiter).filter(Boolean)
      return new ProgramNotFound({ program, searched })
    }
    case "ENOEXEC":
    case "EISDIR":
    case "EPERM":
      return new NotExecutable({ program, code })
    case "E2BIG": {
      const strings = [...options.args, ...Object.entries(options.env).flat()]
      return new TooLarge({ bytes: strings.reduce((bytes, text) => bytes + Buffer.byteLength(text) + 1, 0) })
    }
    case "ERR_INVALID_ARG_VALUE":
      return new InvalidArgument({ detail: error instanceof Error ? error.message : String(error) })
    default:
      return new SpawnFailed({ code, cause: error })
  }
}

const isFolder = (path: string): boolean => Result.isSuccess(Result.try(() => accessSync(`${path}/.`, constants.X_OK)))
