/**
 * Runs N chunks that print 1 KiB each, and keeps the job; prints what that cost. Usage:
 * node keep.ts folder|sqlite|rewrite CHUNKS, or node keep.ts postgres CHUNKS URL
 */
import { FileJobRepository } from "@helios-infra/adapter-local"
import { JobManager } from "@helios-infra/core"
import { PostgresJobRepository, SqliteJobRepository } from "@helios-infra/repository-sql"
import { Duration, Effect, Layer, Redacted, Stream } from "effect"
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { timed } from "./Measure.ts"
import * as NoOp from "./NoOp.ts"

const [way = "folder", count = "3000", url = ""] = process.argv.slice(2)
const chunks = Number(count)
const log = "x".repeat(1023)

/** Bytes that this process has had written to disk, where the system says so. */
const written = async (): Promise<number> =>
  Number(/write_bytes: (\d+)/.exec(await readFile("/proc/self/io", "utf8"))?.[1])

const folderSize = async (dir: string): Promise<number> => {
  const names = await readdir(dir, { recursive: true })
  const sizes = await Promise.all(
    names.map((name) => stat(join(dir, name)).then((file) => (file.isFile() ? file.size : 0)))
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

const repositories = {
  folder: (dir: string) => FileJobRepository.layer({ dir }),
  sqlite: (dir: string) => SqliteJobRepository.layer({ filename: join(dir, "jobs.db") }),
  postgres: () => PostgresJobRepository.layer({ url: Redacted.make(url) })
}

const keep = (name: keyof typeof repositories) => async (dir: string, total: number) => {
  const before = await written()
  const kept = await Effect.gen(function* () {
    const jobs = yield* JobManager.JobManager
    const { id } = yield* jobs.create(NoOp.spec(total))
    const [took] = yield* Effect.timed(jobs.run(id, { concurrency: 50 }))
    const logs = yield* Stream.runCollect(jobs.logs(id))
    return { ms: Duration.toMillis(took), logs: logs.filter((attempt) => attempt.log === log).length }
  }).pipe(
    Effect.provide(JobManager.layer.pipe(Layer.provide([repositories[name](dir), NoOp.layer(log)]))),
    Effect.runPromise
  )
  // Only now: a database writes some of it when it is closed.
  return { ...kept, bytes: (await written()) - before, payload: total * (log.length + 1) }
}

/** What the field does: the whole job into one file, whenever something of it changes. */
const rewrite = async (dir: string, total: number) => {
  const state = { ...NoOp.spec(total), logs: Array.from({ length: total }, () => "") }
  const before = await written()
  let next = 0
  let saving: Promise<void> = Promise.resolve()
  const save = (): Promise<void> => {
    saving = saving.then(() => writeFile(join(dir, "job.json"), JSON.stringify(state)))
    return saving
  }
  const slot = async (): Promise<void> => {
    while (next < total) {
      state.logs[next++] = log
      // oxlint-disable-next-line no-await-in-loop
      await save()
    }
  }
  const ms = await timed(() => Promise.all(Array.from({ length: 50 }, slot)))
  const logs = state.logs.filter((kept) => kept === log).length
  return { ms, bytes: (await written()) - before, logs, payload: total * (log.length + 1) }
}

const dir = await mkdtemp(join(tmpdir(), "helios-bench-"))
try {
  const run = way === "folder" || way === "sqlite" || way === "postgres" ? keep(way) : rewrite
  if (run !== rewrite) await run(dir, 500)
  const sizeBefore = await folderSize(dir)
  const { bytes, logs, ms, payload } = await run(dir, chunks)
  // Where the system does not count what is written, what lies there at the end is the least that was.
  const onDisk = Number.isNaN(bytes) || bytes === 0 ? (await folderSize(dir)) - sizeBefore : bytes
  process.stdout.write(JSON.stringify({ ms, amplification: onDisk / payload, logs }))
} finally {
  await rm(dir, { recursive: true, force: true })
}
