/** The adapter before the server of a test file, and what the contract needs to know of it. */
import { WorkerAdapter } from "@helios-infra/core"
import { WorkerAdapterContract } from "@helios-infra/testkit"
import { Duration, Effect, Layer } from "effect"
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { afterAll, beforeAll } from "vitest"
import * as SshWorkerAdapter from "../src/SshWorkerAdapter.ts"
import * as Sshd from "./Sshd.ts"

export const missing = Sshd.missing

/** A server for the tests of this file. */
let server: Promise<Sshd.Sshd> | undefined
beforeAll(async () => {
  if (missing === undefined) await (server ??= Sshd.start())
})
afterAll(async () => (await server)?.close())

export const sshd = Effect.promise(() => server ?? Promise.reject(new Error(missing)))

/** The processes that run in a folder. */
const processesIn = (dir: string): ReadonlyArray<{ readonly pid: number; readonly args: string }> =>
  readdirSync("/proc").flatMap((name) => {
    try {
      if (!/^\d+$/.test(name) || readlinkSync(`/proc/${name}/cwd`) !== dir) return []
      return [{ pid: Number(name), args: readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ") }]
    } catch {
      // It ended while it was looked at.
      return []
    }
  })

/** How many commands of tests run in a folder; the pauses of the script that watches them are none. */
export const renderingIn = (dir: string): number =>
  processesIn(dir).filter(({ args }) => args.startsWith("sleep ") && args !== "sleep 0.1 ").length

/** A folder for one test, as if on the other machine. */
export const folder = Effect.acquireRelease(
  Effect.flatMap(sshd, ({ dir }) => Effect.promise(() => fs.mkdtemp(path.join(dir, "farm's $folder-")))),
  (dir) =>
    Effect.promise(async () => {
      spawnSync("kill", ["-KILL", ...processesIn(dir).map(({ pid }) => `${pid}`)]) // some may have ended meanwhile
      await fs.rm(dir, { recursive: true, force: true })
    })
)

const rigIn = (dir: string): WorkerAdapterContract.PlainRig => ({
  commands: {
    write: (bytes) => `sh -c 'head -c ${bytes} /dev/zero > "$1"' sh {output}`,
    idle: "true",
    fail: (exitCode, text) => `sh -c 'echo "$1" >&2; exit ${exitCode}' sh '${text}'`,
    print: (bytes, last) =>
      `sh -c 'head -c ${bytes} /dev/zero | tr "\\0" x; echo "$1"; head -c ${bytes} /dev/zero | tr "\\0" x >&2; echo "$1" >&2' sh '${last}'`,
    late: (bytes, afterMs) => `sh -c 'sleep ${afterMs / 1000}; head -c ${bytes} /dev/zero > "$1"' sh {output}`,
    family: `sh -c 'trap "" TERM; setsid sleep 600 & sleep 600' sh {output}`,
    hang: `sh -c 'echo half > "$1"; trap "" TERM; exec sleep 600' sh {output}`,
    env: (name) => `printenv ${name}`,
    impossible: "no-such-renderer --fast"
  },
  place: (name) => path.join(dir, `${name}.mov`),
  size: (file) =>
    fs.stat(file).then(
      ({ size }) => size,
      () => undefined
    ),
  files: async () => [
    ...(await fs.readdir(dir)),
    ...(await fs.readdir("/tmp")).filter((name) => name.startsWith("helios-ssh-"))
  ],
  running: () => renderingIn(dir)
})

/** An adapter for one test. */
export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const { configFile } = yield* sshd
    const dir = yield* folder
    const adapter = SshWorkerAdapter.make({ host: "farm", folder: dir, configFile, killGrace: Duration.millis(200) })
    return Layer.merge(
      Layer.effect(WorkerAdapter.WorkerAdapter, adapter),
      Layer.succeed(WorkerAdapterContract.WorkerRig, WorkerAdapterContract.fromPlain(rigIn(dir)))
    )
  })
)
