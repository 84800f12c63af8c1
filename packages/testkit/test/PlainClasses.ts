/** What a user without Effect would write and test: an adapter over a shell, and a stitcher and a check of text files. */
import {
  type AttemptContext,
  ChunkInvalid,
  type OutputCheck,
  type OutputRef,
  Refused,
  type StitchContext,
  StitchError,
  type VideoStitcher,
  type WorkerAdapter,
  type WorkerJob,
  type WorkerResult
} from "@helios-infra/core/promise"
import type { VideoRig, WorkerAdapterContract } from "@helios-infra/testkit"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

const sizeOf = (file: string) =>
  fs.stat(file).then(
    ({ size }) => size,
    () => undefined
  )

const folder = async () => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), "plain-"))
  return { dir, remove: () => fs.rm(dir, { recursive: true, force: true }) }
}

// ---
// an adapter
// ---

interface ShellOptions {
  /** How many characters of each output are kept while a command runs. */
  readonly tail?: number
  /** Whether the children of a command are ended with it. */
  readonly children?: boolean
}

/** Runs commands in a shell that finds its output's place in `$OUTPUT`. */
class ShellAdapter implements WorkerAdapter {
  readonly info = { name: "shell", stop: "always" } as const
  readonly #options: ShellOptions

  constructor(options: ShellOptions) {
    this.#options = options
  }

  async execute(job: WorkerJob, { report, signal }: AttemptContext): Promise<WorkerResult> {
    signal.throwIfAborted()
    const { output } = job.meta
    const place = output._tag === "File" ? output.path : output.key
    const child = spawn("/bin/sh", ["-c", job.command], {
      cwd: job.cwd,
      detached: true,
      env: { PATH: process.env["PATH"], ...job.env, OUTPUT: place },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const workerId = String(child.pid)
    report({ _tag: "Assigned", workerId })
    const { children = true, tail = 4096 } = this.#options
    const said = { stdout: "", stderr: "" }
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream]
        .setEncoding("utf8")
        .on("data", (text: string) => (said[stream] = (said[stream] + text).slice(-tail)))
    }
    const kill = () => {
      try {
        process.kill((child.pid ?? 0) * (children ? -1 : 1), "SIGKILL")
      } catch {
        // All of them are gone, and "close" is on its way.
      }
    }
    signal.addEventListener("abort", kill)
    const startedAt = performance.now()
    await once(child, "close")
    signal.removeEventListener("abort", kill)
    const bytes = await sizeOf(place)
    if (signal.aborted) {
      await fs.rm(place, { force: true })
      throw signal.reason
    }
    if (child.exitCode === 127) throw new Refused({ why: "NotFound", fix: `install it: ${said.stderr}` })
    return {
      ...said,
      exitCode: child.exitCode ?? 1,
      durationMs: performance.now() - startedAt,
      workerId,
      ...(bytes === undefined ? undefined : { output: { location: place, bytes } })
    }
  }
}

/** An adapter over a shell, or what `change` makes of it, in a folder of its own. */
export const shell = async (
  change: (good: WorkerAdapter) => WorkerAdapter = (good) => good,
  options: ShellOptions = {}
): Promise<WorkerAdapterContract.Plain> => {
  const { dir, remove } = await folder()
  /** The processes that were told to hang, and live. */
  const hanging = async () => {
    const names = await fs.readdir(dir)
    const pids = names.flatMap((name) => /^hanging-(\d+)$/.exec(name)?.slice(1).map(Number) ?? [])
    return pids.filter(isAlive)
  }
  return {
    adapter: change(new ShellAdapter(options)),
    rig: {
      cwd: dir,
      commands: {
        write: (bytes) => `head -c ${bytes} /dev/zero > "$OUTPUT"`,
        idle: "true",
        fail: (exitCode, text) => `echo '${text}' >&2; exit ${exitCode}`,
        print: (bytes, last) =>
          ["1", "2"].map((fd) => `{ head -c ${bytes} /dev/zero | tr '\\0' x; echo '${last}'; } >&${fd}`).join("; "),
        late: (bytes, afterMs) => `sleep ${afterMs / 1000}; head -c ${bytes} /dev/zero > "$OUTPUT"`,
        hang: `echo half > "$OUTPUT"; : > hanging-$$; exec sleep 600`,
        family: `sleep 600 > /dev/null 2>&1 & : > hanging-$!; : > hanging-$$; exec sleep 600`,
        env: (name) => `printenv ${name}`,
        impossible: "no-such-renderer --fast"
      },
      place: (name) => path.join(dir, `${name}.mov`),
      size: sizeOf,
      files: async () => (await fs.readdir(dir)).filter((name) => !name.startsWith("hanging-")),
      running: async () => (await hanging()).length
    },
    close: async () => {
      spawnSync("kill", ["-KILL", ...(await hanging()).map(String)]) // some may have ended meanwhile
      await remove()
    }
  }
}

/** Whether a process runs; one that has ended and that nobody has asked about yet does not. */
const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

// ---
// a stitcher and a check
// ---

/** A video as text: the picture's size, the number of frames, then a line for each of them. */
const write = (file: string, frames: ReadonlyArray<string>, size = "64x64", options: { signal?: AbortSignal } = {}) =>
  fs.writeFile(file, [size, frames.length, ...frames, ""].join("\n"), options)

const read = async (file: string) => {
  const [size = "", count = "0", ...lines] = (await fs.readFile(file, "utf8")).split("\n")
  const frames = lines.slice(0, -1)
  return { size, frames, whole: frames.length === Number(count) && lines.at(-1) === "" }
}

/** Looks at every chunk, and gives the file its name when it is whole. */
export class TextStitcher implements VideoStitcher {
  async stitch(inputs: Array<string>, output: string, { chunks, signal }: StitchContext): Promise<WorkerResult> {
    const startedAt = performance.now()
    const videos = await Promise.all(inputs.map(read))
    for (const [index, { frames, size, whole }] of videos.entries()) {
      const { chunkId = -1, frameCount = 0 } = chunks[index] ?? {}
      if (whole && frames.length === frameCount && size === videos[0]?.size) continue
      const found = `${frames.length} frames of ${size}${whole ? "" : ", and no end"}`
      throw new StitchError({ chunkId, reason: new ChunkInvalid({ expected: `${frameCount} frames`, found }) })
    }
    const temporary = path.join(path.dirname(output), `.joining-${process.hrtime.bigint()}`)
    try {
      await write(
        temporary,
        videos.flatMap(({ frames }) => frames),
        videos[0]?.size,
        { signal }
      )
      await fs.rename(temporary, output)
    } finally {
      await fs.rm(temporary, { force: true })
    }
    const location = output
    const durationMs = performance.now() - startedAt
    return { exitCode: 0, stdout: "", stderr: "", durationMs, output: { location, bytes: (await sizeOf(output)) ?? 0 } }
  }
}

/** What most would write first: it trusts its inputs, and whoever made the place for its output. */
export class ShortStitcher implements VideoStitcher {
  async stitch(inputs: Array<string>, output: string): Promise<WorkerResult> {
    const videos = await Promise.all(inputs.map(read))
    await write(
      output,
      videos.flatMap(({ frames }) => frames)
    )
    return { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }
  }
}

/** Counts frames. */
export class TextCheck implements OutputCheck {
  async check({ meta }: WorkerJob, { output }: WorkerResult): Promise<OutputRef | void> {
    if (output === undefined || meta._tag === "Merge") return output
    const { frames, whole } = await read(output.location)
    if (!whole || frames.length !== meta.frameCount)
      throw new Error(`${frames.length} frames, ${whole ? "" : "not "}whole`)
    return { ...output, frames: frames.length }
  }
}

/** Videos as text files, in a folder of their own. */
export const texts = async (): Promise<{
  readonly rig: VideoRig.PlainVideoRig
  readonly close: () => Promise<void>
}> => {
  const { dir, remove } = await folder()
  const framesFrom = (start: number, count: number) => Array.from({ length: count }, (_, i) => `frame ${start + i}`)
  return {
    close: remove,
    rig: {
      chunk: async (name, startFrame, frameCount) => {
        const file = path.join(dir, `${name}.mov`)
        await write(file, framesFrom(startFrame, frameCount))
        return file
      },
      damage: async (file, how) => {
        const { frames } = await read(file)
        if (how === "missing") await fs.rm(file)
        else if (how === "empty") await fs.truncate(file)
        else if (how === "truncated") await fs.truncate(file, ((await sizeOf(file)) ?? 1) - 1)
        else if (how === "short") await write(file, frames.slice(0, -1))
        else await write(file, frames, "32x64")
        return true
      },
      output: (name) => path.join(dir, `${name}.mp4`),
      frames: async (file) => (await read(file)).frames,
      size: sizeOf,
      files: async () => (await fs.readdir(dir)).toSorted()
    }
  }
}
