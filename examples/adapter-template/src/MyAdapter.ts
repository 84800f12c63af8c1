/**
 * Runs each attempt at a chunk on a platform of yours. Here that is a child process: put your platform's calls in the place
 * of `spawn` and `kill`, and keep the rest.
 */
import {
  type AdapterInfo,
  type AttemptContext,
  Refused,
  RenderFailed,
  Transport,
  type WorkerAdapter,
  type WorkerJob,
  type WorkerResult
} from "@helios-infra/core/promise"
import { CommandLine, Environment } from "@helios-infra/process"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { rm, stat } from "node:fs/promises"

export interface MyAdapterOptions {
  /** How many attempts at once the platform takes. Default: 2. */
  readonly concurrency?: number
  /** How long a command has between TERM and KILL, in milliseconds. Default: 5000. */
  readonly killGrace?: number
}

export class MyAdapter implements WorkerAdapter {
  readonly info: AdapterInfo
  readonly #killGrace: number

  constructor({ concurrency = 2, killGrace = 5000 }: MyAdapterOptions = {}) {
    // `stop: "always"` is a promise: once `execute` has settled, nothing of the attempt runs.
    this.info = { name: "my-adapter", stop: "always", concurrency }
    this.#killGrace = killGrace
  }

  /** One attempt. Retries, time limits, concurrency and checks of the output are not its business. */
  async execute(job: WorkerJob, { report, signal }: AttemptContext): Promise<WorkerResult> {
    signal.throwIfAborted()
    const { output } = job.meta
    if (output._tag !== "File") throw new Refused({ why: "Unsupported", fix: "this adapter writes to files" })
    // The command is split and never given to a shell, and told the place that this attempt writes to.
    const parsed = CommandLine.parse(job.command)
    if (parsed._tag === "Failure") throw new Refused({ why: "InvalidJob", fix: parsed.failure.message })
    const { args } = CommandLine.withOutput(parsed.success, { outputFile: job.outputFile, place: output.path })

    const startedAt = performance.now()
    try {
      const ended = await this.#run(args, job, { report, signal })
      const size = await stat(output.path).then(
        ({ size }) => size,
        () => undefined
      )
      signal.throwIfAborted()
      if (ended.exitCode !== 0) {
        throw new RenderFailed({ exitCode: ended.exitCode, stderrTail: ended.stderr || ended.stdout })
      }
      return {
        ...ended,
        durationMs: performance.now() - startedAt,
        ...(size === undefined ? undefined : { output: { location: output.path, bytes: size } })
      }
    } catch (error) {
      // Whoever is stopped, or fails, leaves nothing.
      await rm(output.path, { force: true })
      throw error
    }
  }

  async #run([program, ...args]: CommandLine.Args, job: WorkerJob, { report, signal }: AttemptContext) {
    // The group of a detached process has its number: what kills the group kills its children.
    const child = spawn(program, args, {
      cwd: job.cwd,
      detached: true,
      env: { ...Environment.pick(process.env), ...job.env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const printed = { stdout: "", stderr: "" }
    for (const stream of ["stdout", "stderr"] as const) {
      // A tail, whatever is printed: the memory of an orchestrator is not for its workers to fill.
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        printed[stream] = (printed[stream] + text).slice(-4096)
      })
    }
    await once(child, "spawn").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw new Transport({ cause: error })
      throw new Refused({ why: "NotFound", fix: `there is no ${program}, or no folder ${job.cwd}: install it` })
    })
    const workerId = String(child.pid)
    report({ _tag: "Assigned", workerId })

    const kill = (name: NodeJS.Signals) => {
      try {
        process.kill(-Number(child.pid), name)
      } catch {
        // It has ended by itself.
      }
    }
    let killing: NodeJS.Timeout | undefined
    const stop = () => {
      kill("SIGTERM")
      killing = setTimeout(kill, this.#killGrace, "SIGKILL")
    }
    signal.addEventListener("abort", stop, { once: true })
    if (signal.aborted) stop()
    await once(child, "close")
    signal.removeEventListener("abort", stop)
    clearTimeout(killing)
    // Children that closed their outputs.
    kill("SIGKILL")
    return { ...printed, exitCode: child.exitCode ?? 1, workerId }
  }
}
