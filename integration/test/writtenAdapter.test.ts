/** The adapter of docs/write-an-adapter.md keeps the contract that the page tells its readers to prove theirs by. */
import { Refused, type WorkerAdapter } from "@helios-infra/core/promise"
import { workerAdapterContract } from "@helios-infra/testkit"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { mkdtemp, readdir, realpath, rm, stat } from "node:fs/promises"
import { stripTypeScriptTypes } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"

const page = readFileSync(join(import.meta.dirname, "../../docs/write-an-adapter.md"), "utf8")
const [written = ""] = /^export class FarmAdapter[^]*?^\}$/m.exec(page) ?? []

/** A platform that is child processes in a folder: what the page only declares. */
const farmIn = (cwd: string) => ({
  start: async (command: string, output: string, env: Readonly<Record<string, string>>) => {
    if (command === "no-such-renderer") throw new Refused({ why: "NotFound", fix: "install it" })
    const child = spawn("/bin/sh", ["-c", command.replaceAll("{output}", '"$OUTPUT"')], {
      cwd,
      detached: true,
      env: { PATH: process.env["PATH"], ...env, OUTPUT: output },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const said = { stdout: "", stderr: "" }
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream]
        .setEncoding("utf8")
        .on("data", (text: string) => (said[stream] = (said[stream] + text).slice(-4096)))
    }
    const ended = once(child, "close").then(() => ({ ...said, exitCode: child.exitCode ?? 1 }))
    return {
      id: String(child.pid),
      ended: () => ended,
      kill: async () => {
        if (child.exitCode === null && child.signalCode === null) process.kill(-Number(child.pid), "SIGKILL")
        await ended
      }
    }
  }
})

const isAdapter = (value: unknown): value is WorkerAdapter =>
  typeof value === "object" && value !== null && "execute" in value

/** The class as the page has it, with what its imports and declarations name. */
const adapterOn = (farm: ReturnType<typeof farmIn>): WorkerAdapter => {
  const code = stripTypeScriptTypes(written.replace("export ", ""))
  // oxlint-disable-next-line typescript/no-implied-eval -- a page of ours, as a reader would run it
  const make = new Function("farm", "Refused", "rm", "stat", `${code}\nreturn new FarmAdapter()`)
  const made: unknown = Reflect.apply(make, undefined, [farm, Refused, rm, stat])
  if (!isAdapter(made)) throw new Error("the page has no class FarmAdapter")
  return made
}

/** How many of the contract's commands run in a folder. */
const running = (dir: string): number =>
  readdirSync("/proc").filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) &&
        readlinkSync(`/proc/${pid}/cwd`) === dir &&
        readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep")
      )
    } catch {
      return false // it ended meanwhile
    }
  }).length

workerAdapterContract(
  "the adapter of docs/write-an-adapter.md",
  async () => {
    const folder = await realpath(await mkdtemp(join(tmpdir(), "farm-")))
    return {
      adapter: adapterOn(farmIn(folder)),
      rig: {
        cwd: folder,
        commands: {
          write: (bytes) => `sh -c 'head -c ${bytes} /dev/zero > "$0"' {output}`,
          idle: "true",
          fail: (exitCode, text) => `sh -c 'echo "$0" >&2; exit ${exitCode}' '${text}'`,
          print: (bytes, last) =>
            `sh -c 'for fd in 1 2; do { head -c ${bytes} /dev/zero; echo "$0"; } >&$fd; done' '${last}'`,
          late: (bytes, afterMs) => `sh -c 'sleep ${afterMs / 1000}; head -c ${bytes} /dev/zero > "$0"' {output}`,
          hang: `sh -c 'echo half > "$0"; exec sleep 600' {output}`,
          env: (name) => `printenv ${name}`,
          impossible: "no-such-renderer"
        },
        place: (name) => join(folder, `${name}.mov`),
        size: (path) =>
          stat(path).then(
            ({ size }) => size,
            () => undefined
          ),
        running: () => running(folder),
        files: () => readdir(folder)
      },
      close: () => rm(folder, { recursive: true })
    }
  },
  { stop: "always", files: true, patience: "30 seconds" }
)
