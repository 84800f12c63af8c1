/**
 * What the worker's runtime costs inside a function: the bundle that is uploaded, the start of a container, and each
 * chunk beside a bare spawn of its command.
 */
import { FolderArtifactStorage } from "@helios-infra/adapter-local"
import { FolderArtifactStorage as PlainStorage } from "@helios-infra/adapter-local/promise"
import { AwsHandler } from "@helios-infra/worker-runtime"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createReadStream } from "node:fs"
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Fresh from "./Fresh.ts"
import { inTurns, type Row, timed } from "./Measure.ts"

const mostBytes = 250_000

/** A handler as somebody would write it, without a cloud's SDK. */
const handler = `
import * as FolderArtifactStorage from "@helios-infra/adapter-local/FolderArtifactStorage"
import * as AwsHandler from "@helios-infra/worker-runtime/AwsHandler"
export const handler = AwsHandler.make({ storage: FolderArtifactStorage.layer({ dir: "/mnt/renders" }) })
`

const bundle = async (outfile: string): Promise<number> => {
  await build({
    stdin: { contents: handler, resolveDir: join(import.meta.dirname, "..") },
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

/** The same chunk through a warm handler, as a bare process whose output and log are stored, and as a bare process. */
const chunks = async (dir: string): Promise<readonly [ours: number, stored: number, bare: number]> => {
  const storage = join(dir, "storage")
  const plain = new PlainStorage(join(dir, "plain"))
  const workspaceDir = join(dir, "workspace")
  const command = "cp /etc/hostname"
  const job = {
    id: "bench",
    metadata: { totalFrames: 1, fps: 30 },
    chunks: [{ id: 0, startFrame: 0, frameCount: 1, outputFile: "part.mov", command: `${command} {output}` }]
  }
  await mkdir(join(workspaceDir, "jobs"), { recursive: true })
  await writeFile(join(workspaceDir, "jobs/job.json"), JSON.stringify(job))
  const warm = AwsHandler.make({
    workspaceDir,
    storage: FolderArtifactStorage.layer({ dir: storage }),
    sources: [join(workspaceDir, "jobs")]
  })
  const ours = () => timed(() => warm({ jobPath: "job.json", chunkIndex: 0 }))
  const part = join(dir, "part.mov")
  const run = () => once(spawn("cp", ["/etc/hostname", part], { stdio: ["ignore", "pipe", "pipe"] }), "close")
  const bare = () => timed(run)
  const stored = () =>
    timed(async () => {
      await run()
      await Promise.all(["part.mov", "log.txt"].map((key) => plain.put(key, createReadStream(part))))
    })
  await inTurns(20, ours, stored, bare)
  return inTurns(200, ours, stored, bare)
}

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const dir = await mkdtemp(join(tmpdir(), "bench-worker-"))
  try {
    const outfile = join(dir, "handler.mjs")
    const bytes = await bundle(outfile)
    const code = `import ${JSON.stringify(pathToFileURL(outfile).href)}`
    const [started, bare] = await inTurns(
      21,
      () => timed(() => Fresh.run(code)),
      () => timed(() => Fresh.run(""))
    )
    const [ours, stored, spawned] = await chunks(dir)
    return [
      {
        name: "a Lambda handler, bundled and minified, without a cloud's SDK, against what it may have",
        ours: `${(bytes / 1000).toFixed(0)} kB`,
        other: `${mostBytes / 1000} kB`,
        ratio: bytes / mostBytes,
        budget: { text: "at most 250 kB", kept: bytes <= mostBytes }
      },
      {
        name: "importing that handler, against Node alone",
        ours: `${started.toFixed(0)} ms`,
        other: `${bare.toFixed(0)} ms`,
        ratio: started / bare,
        budget: { text: "at most 80 ms more", kept: started - bare <= 80 }
      },
      {
        name: "a chunk on a warm worker, against a bare spawn of its command, its output and log stored",
        ours: `${ours.toFixed(1)} ms`,
        other: `${stored.toFixed(1)} ms`,
        ratio: ours / stored,
        budget: { text: "under 10 ms more", kept: ours - stored < 10 }
      },
      {
        name: "the same, against the bare spawn alone",
        ours: `${ours.toFixed(1)} ms`,
        other: `${spawned.toFixed(1)} ms`,
        ratio: ours / spawned
      }
    ]
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
