/**
 * How long a large job takes to be run on after its process was killed: from a process that knows nothing of it to the
 * first attempt, beside reading as many lines of JSON and no more.
 */
import { Schema } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { inProcess, type Row, timed } from "./Measure.ts"

const chunks = 100_000
const open = 10

const Resumed = Schema.Struct({ firstMs: Schema.Finite, started: Schema.Int })

const measure = async (store: "folder" | "sqlite", dir: string) => {
  const program = join(import.meta.dirname, "resume-job.ts")
  const args = ["--conditions=@helios-infra/source", program, "die", store, dir, String(chunks), String(open)]
  const dying = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] })
  await once(dying, "exit")
  return Schema.decodeUnknownSync(Resumed)(await inProcess("resume-job.ts", "resume", store, dir, chunks, open))
}

/** Parses every line below a folder. */
const parse = async (dir: string): Promise<void> => {
  for (const name of await readdir(dir, { recursive: true })) {
    if (!name.endsWith(".ndjson")) continue
    // oxlint-disable-next-line no-await-in-loop
    const text = await readFile(join(dir, name), "utf8")
    for (const line of text.split("\n")) if (line.startsWith("{")) JSON.parse(line)
  }
}

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const dir = await mkdtemp(join(tmpdir(), "bench-resume-"))
  try {
    const [inFolder, inSqlite] = [join(dir, "folder"), join(dir, "sqlite")]
    const folder = await measure("folder", inFolder)
    const parsing = await timed(() => parse(inFolder))
    const sqlite = await measure("sqlite", inSqlite)
    const row = (where: string, { firstMs, started }: typeof Resumed.Type): Row => ({
      name: `resuming ${chunks} chunks ${where}, ${open} of them open, until the first starts, against parsing the folder's lines`,
      ours: `${firstMs.toFixed(0)} ms`,
      other: `${parsing.toFixed(0)} ms`,
      ratio: firstMs / parsing,
      budget: { text: `under 500 ms, ${started} rendered`, kept: firstMs < 500 && started === open }
    })
    return [row("in a folder", folder), row("in SQLite", sqlite)]
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
