import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
import * as Promises from "@helios-infra/adapter-local/promise"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import * as AdapterMiddleware from "@helios-infra/core/AdapterMiddleware"
import * as AdapterPool from "@helios-infra/core/AdapterPool"
import {
  WorkerAdapterContract,
  workerAdapterContract,
  jobRepositoryContract,
  WorkspaceContract,
  workspaceContract
} from "@helios-infra/testkit"
import { Context, Effect, Layer, Logger, Option } from "effect"
import { mkdtempSync, readdirSync, readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll } from "vitest"

class Folder extends Context.Service<Folder, string>()("test/Folder") {}

const makeFolder = () => fs.mkdtemp(path.join(tmpdir(), "contract-")).then((made) => fs.realpath(made))
const removeFolder = (dir: string) => fs.rm(dir, { recursive: true, force: true })

const folder = Layer.effect(
  Folder,
  Effect.acquireRelease(Effect.promise(makeFolder), (made) => Effect.promise(() => removeFolder(made)))
)

const sizeOf = (file: string) =>
  fs.stat(file).then(
    ({ size }) => size,
    () => undefined
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

/** Commands of a shell, their outputs in a folder. */
const rigIn = (dir: string): WorkerAdapterContract.PlainRig => ({
  cwd: dir,
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
    frames: (done) => `printf 'frame= %d\\n' ${done.join(" ")}`,
    impossible: "no-such-renderer --fast"
  },
  place: async (name) => {
    await fs.mkdir(path.join(dir, name), { recursive: true })
    return path.join(dir, name, "output.mov")
  },
  size: sizeOf,
  files: async () => {
    const entries = await fs.readdir(dir, { recursive: true, withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
  },
  running: () => hanging(dir)
})

const adapterIn = (dir: string) =>
  Layer.merge(
    LocalWorkerAdapter.layer({ killGrace: "100 millis", env: { RIG_FOLDER: dir } }),
    Layer.succeed(WorkerAdapterContract.WorkerRig, WorkerAdapterContract.fromPlain(rigIn(dir)))
  )

workerAdapterContract("LocalWorkerAdapter", Layer.unwrap(Effect.map(Folder, adapterIn)).pipe(Layer.provide(folder)), {
  children: true,
  files: true,
  frames: true,
  reap: true,
  patience: "30 seconds"
})

workerAdapterContract(
  "a pool of LocalWorkerAdapters with logs and metrics around it",
  Layer.unwrap(
    Effect.map(Folder, (dir) => {
      const local = LocalWorkerAdapter.layer({ killGrace: "100 millis", env: { RIG_FOLDER: dir }, concurrency: 1 })
      return Layer.merge(
        AdapterPool.layerOverflow([local, Layer.fresh(local)]).pipe(
          AdapterMiddleware.onLayer(AdapterMiddleware.metrics(), AdapterMiddleware.logging())
        ),
        Layer.succeed(WorkerAdapterContract.WorkerRig, WorkerAdapterContract.fromPlain(rigIn(dir)))
      )
    })
  ).pipe(Layer.provide(folder), Layer.provideMerge(Logger.layer([]))),
  { frames: true, reap: true, patience: "30 seconds" }
)

workerAdapterContract(
  "LocalWorkerAdapter of the Promise API",
  async () => {
    const dir = await makeFolder()
    return {
      adapter: new Promises.LocalWorkerAdapter({ killGrace: 100, env: { RIG_FOLDER: dir } }),
      rig: rigIn(dir),
      close: () => removeFolder(dir)
    }
  },
  { children: true, files: true, frames: true, reap: true, patience: "30 seconds" }
)

const workspace = Layer.unwrap(
  Effect.map(Folder, (dir) =>
    Layer.merge(
      LocalWorkspace.layer({ dir }),
      Layer.succeed(WorkspaceContract.WorkspaceRig, {
        write: (file, bytes) =>
          Effect.promise(() =>
            fs.mkdir(path.dirname(file), { recursive: true }).then(() => fs.writeFile(file, "x".repeat(bytes)))
          ),
        size: (file) =>
          Effect.map(
            Effect.promise(() => sizeOf(file)),
            Option.fromUndefinedOr
          ),
        resolve: (name) => path.join(dir, name),
        files: Effect.promise(() => fs.readdir(dir, { recursive: true, withFileTypes: true })).pipe(
          Effect.map((entries) =>
            entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
          )
        )
      })
    )
  )
)

workspaceContract("LocalWorkspace", workspace.pipe(Layer.provide(folder)), { transfer: true })

const jobs = Effect.map(folder.pipe(Layer.build), (context) =>
  FileJobRepository.layer({ dir: path.join(Context.get(context, Folder), "jobs") })
)

jobRepositoryContract("FileJobRepository", jobs, { crossProcess: true, patience: "30 seconds" })

const places: Array<string> = []
afterAll(() => Promise.all(places.map(removeFolder)))

jobRepositoryContract(
  "FileJobRepository of the Promise API",
  () => {
    const place = mkdtempSync(path.join(tmpdir(), "contract-"))
    places.push(place)
    return new Promises.FileJobRepository(path.join(place, "jobs"))
  },
  { crossProcess: true, patience: "30 seconds" }
)
