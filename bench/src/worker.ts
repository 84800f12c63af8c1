/**
 * What the worker's runtime costs inside a function: the bundle that is uploaded, the start of a container, and each
 * chunk beside a bare spawn of its command.
 */
import { FolderArtifactStorage } from "@helios-infra/adapter-local"
import { AwsHandler } from "@helios-infra/worker-runtime"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
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

/** The same chunk through a warm handler, with its job file, output and log in a storage, and as a bare process. */
const chunks = async (dir: string): Promise<readonly [ours: number, other: number]> => {
  const storage = join(dir, "storage")
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
  const other = () =>
    timed(() =>
      once(spawn("cp", ["/etc/hostname", join(dir, "part.mov")], { stdio: ["ignore", "pipe", "pipe"] }), "close")
    )
  await inTurns(20, ours, other)
  return inTurns(200, ours, other)
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
    const [ours, other] = await chunks(dir)
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
        name: "a chunk on a warm worker, its output and log stored, against a bare spawn of its command",
        ours: `${ours.toFixed(1)} ms`,
        other: `${other.toFixed(1)} ms`,
        ratio: ours / other,
        budget: { text: "under 10 ms more", kept: ours - other < 10 }
      }
    ]
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
