import { WorkerAdapterContract, workerAdapterContract } from "@helios-infra/testkit"
import { Duration, Effect, Layer } from "effect"
import { readFileSync, readdirSync, readlinkSync } from "node:fs"
import { mkdtemp, readdir, realpath, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MyAdapter from "../src/MyAdapter.ts"

/** How many of the contract's commands run in a folder, seen without the adapter. */
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

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "my-adapter-")).then((dir) => realpath(dir))),
  (dir) => Effect.promise(() => rm(dir, { recursive: true }))
)

const rigIn = (dir: string) =>
  WorkerAdapterContract.fromPlain({
    cwd: dir,
    // What the contract asks for, in commands that your platform can run.
    commands: {
      write: (bytes) => `sh -c 'head -c ${bytes} /dev/zero > "$0"' {output}`,
      idle: "true",
      fail: (exitCode, text) => `sh -c 'echo "$0" >&2; exit ${exitCode}' '${text}'`,
      print: (bytes, last) =>
        `sh -c 'for fd in 1 2; do { head -c ${bytes} /dev/zero | tr "\\0" x; echo "$0"; } >&$fd; done' '${last}'`,
      late: (bytes, afterMs) => `sh -c 'sleep ${afterMs / 1000}; head -c ${bytes} /dev/zero > "$0"' {output}`,
      hang: `sh -c 'echo half > "$0"; exec sleep 600' {output}`,
      family: `sh -c 'trap "" TERM; sleep 600 & sleep 600'`,
      env: (name) => `printenv ${name}`,
      impossible: "no-such-renderer"
    },
    place: (name) => join(dir, `${name}.mov`),
    size: (path) =>
      stat(path).then(
        ({ size }) => size,
        () => undefined
      ),
    running: () => running(dir),
    files: () => readdir(dir)
  })

workerAdapterContract(
  "MyAdapter",
  Layer.unwrap(
    Effect.map(folder, (dir) =>
      Layer.merge(
        MyAdapter.layer({ killGrace: Duration.millis(200) }),
        Layer.succeed(WorkerAdapterContract.WorkerRig, rigIn(dir))
      )
    )
  ),
  // What your adapter promises beyond the rest, and what it does not.
  { stop: "always", children: true, files: true, reap: true }
)
