/**
 * What a worker behind HTTP costs: the bundle of its server, its start, and each chunk through adapter and server beside
 * the same chunk in the worker's runtime alone.
 */
import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import type { WorkerAdapter } from "@helios-infra/core"
import { WorkerRuntime } from "@helios-infra/worker-runtime"
import { Effect, Logger } from "effect"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import * as Fresh from "./Fresh.ts"
import { inPairs, type Row, timed } from "./Measure.ts"

/** A server as somebody would write it, without a cloud's SDK; says where it is once it listens. */
const program = `
import * as WorkerServer from "@helios-infra/worker-runtime/WorkerServer"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import process from "node:process"

await WorkerServer.make({ auth: { type: "none" }, workspaceDir: process.argv[2] ?? "", port: 0 }).pipe(
  Effect.tap(({ url }) => Effect.sync(() => process.stdout.write(url))),
  Effect.andThen(Effect.never),
  Effect.scoped,
  Effect.provide(Logger.layer([])),
  Effect.runPromise
)
`

const bundle = async (outfile: string): Promise<number> => {
  await build({
    stdin: { contents: program, resolveDir: join(import.meta.dirname, "..") },
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node22",
    conditions: ["@helios-infra/source"],
    logLevel: "error"
  })
  return (await stat(outfile)).size
}

const job = {
  id: "bench",
  metadata: { totalFrames: 1, fps: 30 },
  chunks: [{ id: 0, startFrame: 0, frameCount: 1, outputFile: "part.mov", command: "cp /etc/hostname {output}" }]
}

/** A folder with the job's file in it. */
const workspace = async (dir: string, name: string): Promise<string> => {
  const folder = join(dir, name)
  await mkdir(folder)
  await writeFile(join(folder, "job.json"), JSON.stringify(job))
  return folder
}

const attempt = (jobPath: string): WorkerAdapter.WorkerJob => ({
  id: "bench/0/1.1",
  command: "",
  meta: {
    _tag: "Chunk",
    jobId: "bench",
    run: 1,
    attempt: 1,
    chunkId: 0,
    startFrame: 0,
    frameCount: 1,
    format: {},
    jobDefUrl: jobPath,
    output: { _tag: "File", path: "part.mov" }
  }
})

const start = async (outfile: string, folder: string) => {
  const child = spawn(process.execPath, [outfile, folder], { stdio: ["ignore", "pipe", "inherit"] })
  const url = await once(child.stdout, "data").then(([text]: ReadonlyArray<unknown>) => String(text))
  return { child, url }
}

/** From nothing to the first answer. */
const coldStart = (outfile: string, folder: string) =>
  timed(async () => {
    const { child, url } = await start(outfile, folder)
    const { ok } = await fetch(`${url}/ready`)
    child.kill("SIGKILL")
    if (!ok) throw new Error("it is not ready")
  })

const perChunk = async (outfile: string, dir: string) => {
  const [served, alone] = [await workspace(dir, "served"), await workspace(dir, "alone")]
  const { child, url } = await start(outfile, served)
  try {
    return await Effect.gen(function* () {
      const adapter = yield* HttpWorkerAdapter.make({ url })
      const runtime = yield* WorkerRuntime.make({ workspaceDir: alone })
      const ours = adapter.execute(attempt(join(served, "job.json")), () => {})
      const other = runtime.execute({ jobPath: join(alone, "job.json"), chunkIndex: 0 })
      yield* Effect.repeat(Effect.andThen(ours, other), { times: 20 })
      const run = Effect.runPromiseWith(yield* Effect.context())
      return yield* Effect.promise(() =>
        inPairs(
          200,
          () => timed(() => run(ours)),
          () => timed(() => run(other))
        )
      )
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])), Effect.runPromise)
  } finally {
    child.kill("SIGKILL")
  }
}

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const dir = await mkdtemp(join(tmpdir(), "bench-http-"))
  try {
    const outfile = join(dir, "server.mjs")
    const bytes = await bundle(outfile)
    const folder = await workspace(dir, "cold")
    const starts = await inPairs(
      21,
      () => coldStart(outfile, folder),
      () => timed(() => Fresh.run(""))
    )
    const chunk = await perChunk(outfile, dir)
    return [
      {
        name: "a worker's server, bundled and minified, without a cloud's SDK, against a Lambda handler's limit",
        ours: `${(bytes / 1000).toFixed(0)} kB`,
        other: "250 kB",
        ratio: bytes / 250_000
      },
      {
        name: "starting that server until it has answered, against Node alone",
        ours: `${starts.ours.toFixed(0)} ms`,
        other: `${starts.other.toFixed(0)} ms`,
        ratio: starts.ratio,
        budget: { text: "under 400 ms", kept: starts.ours < 400 }
      },
      {
        name: "a chunk through adapter and server on loopback, against the worker's runtime alone",
        ours: `${chunk.ours.toFixed(1)} ms`,
        other: `${chunk.other.toFixed(1)} ms`,
        ratio: chunk.ratio,
        budget: { text: "under 10 ms more", kept: chunk.ours - chunk.other < 10 }
      }
    ]
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
