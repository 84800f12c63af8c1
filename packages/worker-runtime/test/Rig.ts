/** What tests of a worker need: folders, job files, servers of this machine, and a storage in memory. */
import { ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import type { AssetList } from "@helios-infra/core/ArtifactLayout"
import * as FakeArtifactStorage from "@helios-infra/testkit/FakeArtifactStorage"
import * as WorkerRuntime from "@helios-infra/worker-runtime/WorkerRuntime"
import { Effect, Layer, Logger, Schedule } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { createServer, type RequestListener, type Server } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { generate } from "selfsigned"

/** A folder that is removed after the test. */
export const folder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "worker-")).then((made) => fs.realpath(made))),
  (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
)

export const sha256 = (content: string | Uint8Array): string => createHash("sha256").update(content).digest("hex")

export const write = (file: string, content: string): Effect.Effect<void> =>
  Effect.promise(() => fs.mkdir(path.dirname(file), { recursive: true }).then(() => fs.writeFile(file, content)))

export const read = (file: string): Effect.Effect<string> => Effect.promise(() => fs.readFile(file, "utf8"))

export const exists = (file: string): Effect.Effect<boolean> => Effect.sync(() => existsSync(file))

export const waitFor = (there: Effect.Effect<boolean>, what: string): Effect.Effect<void> =>
  there.pipe(
    Effect.repeat({ until: (is) => is, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.die(new Error(`never came: ${what}`)) }),
    Effect.asVoid
  )

/** All files below a folder, by their names from there, in order. */
export const filesIn = (dir: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(() => fs.readdir(dir, { recursive: true, withFileTypes: true })).pipe(
    Effect.map((entries) =>
      entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => path.relative(dir, path.join(entry.parentPath, entry.name)))
        .toSorted()
    )
  )

/** A job of one chunk, 3, whose command is run by a shell. */
export const job = (script: string, more: Readonly<Record<string, unknown>> = {}) => ({
  id: "film",
  metadata: { totalFrames: 10, fps: 30 },
  chunks: [
    {
      id: 3,
      startFrame: 0,
      frameCount: 10,
      outputFile: "part_3.mov",
      command: `sh -c '${script}' sh {output}`
    }
  ],
  ...more
})

/** One asset of a job. */
export const asset = (path: string, content: string, location: string): AssetList["assets"][number] => ({
  path,
  bytes: Buffer.byteLength(content),
  sha256: sha256(content),
  location
})

export const assetList = (...assets: AssetList["assets"]): string => JSON.stringify({ version: 1, assets })

/** Processes that have a text in their environment. */
export const processesWith = (text: string): ReadonlyArray<string> =>
  readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return readFileSync(`/proc/${name}/environ`, "latin1").includes(text)
    } catch {
      return false
    }
  })

/** A storage in memory, and a runtime with it. */
export const withStorage = Effect.fnUntraced(function* (
  options: Partial<WorkerRuntime.Options> = {},
  { workspaceDir }: { readonly workspaceDir?: string } = {}
) {
  const dir = workspaceDir ?? (yield* folder)
  const { fake, storage } = yield* FakeArtifactStorage.make()
  const worker = yield* WorkerRuntime.make({
    workspaceDir: dir,
    storage: Layer.succeed(ArtifactStorage, storage),
    killGrace: "300 millis",
    cancelInterval: "50 millis",
    ...options
  })
  const text = (key: string): string | undefined => {
    const found = fake.artifacts.get(key)
    return found === undefined ? undefined : Buffer.from(found.content).toString()
  }
  const store = (spec: unknown) => fake.store("jobs/film/job.json", JSON.stringify(spec))
  return { dir, fake, storage, store, text, worker }
})

/** What the orchestrator asks for: the second attempt of the first run at chunk 3. */
export const request = (more: Readonly<Record<string, unknown>> = {}) => ({
  protocol: 1,
  jobPath: "artifact:jobs/film/job.json",
  chunkIndex: 3,
  jobId: "film",
  run: 1,
  attempt: 2,
  artifacts: {
    output: { key: "jobs/film/chunks/3/1.2/output.mov" },
    log: { key: "jobs/film/chunks/3/1.2/log.txt" },
    cancelled: { key: "jobs/film/chunks/3/1.2/cancelled" }
  },
  format: {},
  ...more
})

const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number }>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed({ port: typeof address === "object" && address !== null ? address.port : 0 }))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

/** A plain HTTP server; gives its origin, `http://127.0.0.1:…`. */
export const server = (answer: RequestListener) =>
  Effect.map(listening(createServer(answer)), ({ port }) => `http://127.0.0.1:${port}`)

/** An HTTPS server under the name localhost, and the certificate to trust. */
export const tlsServer = Effect.fnUntraced(function* (answer: RequestListener) {
  const { cert, private: key } = yield* Effect.promise(() =>
    generate([{ name: "commonName", value: "localhost" }], {
      extensions: [
        { name: "basicConstraints", cA: true },
        {
          name: "subjectAltName",
          altNames: [
            { type: 2, value: "localhost" },
            { type: 7, ip: "127.0.0.1" }
          ]
        }
      ]
    })
  )
  const { port } = yield* listening(createTlsServer({ cert, key }, answer))
  return { origin: `https://localhost:${port}`, port, ca: cert }
})

/** Collects what is logged. */
export const logsTo = (lines: Array<string>) =>
  Effect.provide(Logger.layer([Logger.map(Logger.formatJson, (line) => void lines.push(line))]))

/** A process that renders chunk 3 of `job.json` in a folder, to be killed. */
export const killedWorker = (dir: string): Effect.Effect<ChildProcess> =>
  Effect.sync(() =>
    spawn(
      process.execPath,
      ["--conditions=@helios-infra/source", path.join(import.meta.dirname, "fixtures", "render.ts"), dir],
      { stdio: ["ignore", "ignore", "inherit"] }
    )
  )
