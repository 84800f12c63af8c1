import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import {
  WorkerAdapterContract,
  workerAdapterContract,
  jobRepositoryContract,
  WorkspaceContract,
  workspaceContract
} from "@helios-infra/testkit"
import { Context, Effect, Layer, Option } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

class Folder extends Context.Service<Folder, string>()("test/Folder") {}

const folder = Layer.effect(
  Folder,
  Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "contract-")).then((made) => fs.realpath(made))),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )
)

const sizeOf = (file: string) =>
  Effect.map(
    Effect.promise(() => fs.stat(file).catch(() => undefined)),
    (stat) => Option.map(Option.fromUndefinedOr(stat), ({ size }) => size)
  )

/** How many processes run in a folder that were told to hang. */
const hanging = (dir: string): number => {
  let found = 0
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "latin1")
      const args = readFileSync(`/proc/${pid}/cmdline`, "latin1")
      if (environment.includes(`RIG_FOLDER=${dir}`) && args.includes("sleep\0")) found++
    } catch {
      // It ended while it was looked at.
    }
  }
  return found
}

const rig = Layer.effect(
  WorkerAdapterContract.WorkerRig,
  Effect.gen(function* () {
    const dir = yield* Folder
    return {
      commands: {
        write: (bytes) => `sh -c 'head -c ${bytes} /dev/zero > "$1"' sh {output}`,
        idle: "true",
        fail: (exitCode, text) => `sh -c 'echo "$1" >&2; exit ${exitCode}' sh '${text}'`,
        print: (bytes, last) =>
          `sh -c 'head -c ${bytes} /dev/zero | tr "\\0" x; echo "$1"; head -c ${bytes} /dev/zero | tr "\\0" x >&2; echo "$1" >&2' sh '${last}'`,
        hang: `sh -c 'echo half > "$1"; trap "" TERM; exec sleep 600' sh {output}`,
        env: (name) => `printenv ${name}`,
        frames: (done) => `printf 'frame= %d\\n' ${done.join(" ")}`,
        impossible: "no-such-renderer --fast"
      },
      place: (name) =>
        Effect.promise(() => fs.mkdir(path.join(dir, name), { recursive: true })).pipe(
          Effect.as({ _tag: "File", path: path.join(dir, name, "output.mov") })
        ),
      size: (target) => sizeOf(target._tag === "File" ? target.path : target.key),
      running: Effect.sync(() => hanging(dir)),
      cwd: dir
    }
  })
)

const adapter = Layer.unwrap(
  Effect.map(Folder, (dir) => LocalWorkerAdapter.layer({ killGrace: "100 millis", env: { RIG_FOLDER: dir } }))
)

workerAdapterContract("LocalWorkerAdapter", Layer.merge(adapter, rig).pipe(Layer.provide(folder)), {
  frames: true,
  reap: true,
  patience: "30 seconds"
})

const workspace = Layer.unwrap(
  Effect.map(Folder, (dir) =>
    Layer.merge(
      LocalWorkspace.layer({ dir }),
      Layer.succeed(WorkspaceContract.WorkspaceRig, {
        write: (file, bytes) => Effect.promise(() => fs.writeFile(file, "x".repeat(bytes))),
        size: sizeOf,
        resolve: (name) => path.join(dir, name)
      })
    )
  )
)

workspaceContract("LocalWorkspace", workspace.pipe(Layer.provide(folder)))

const jobs = Effect.map(folder.pipe(Layer.build), (context) =>
  FileJobRepository.layer({ dir: path.join(Context.get(context, Folder), "jobs") })
)

jobRepositoryContract("FileJobRepository", jobs, { crossProcess: true, patience: "30 seconds" })
