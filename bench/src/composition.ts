/** What it costs an attempt that its adapter is one of several, or has something around it, beside the bare adapter. */
import { AdapterMiddleware, AdapterPool, WorkerAdapter } from "@helios-infra/core"
import { Effect, References } from "effect"
import process from "node:process"
import { inTurns, type Row } from "./Measure.ts"
import * as NoOp from "./NoOp.ts"

type Adapter = WorkerAdapter.WorkerAdapter["Service"]

const attempts = 100_000

const bare = (name: string): Adapter =>
  WorkerAdapter.make({
    info: { name, where: "local", stop: "always", concurrency: 2 },
    execute: () => Effect.succeed(NoOp.result("/job/film.mov"))
  })

const jobs = Array.from({ length: attempts }, (_, chunkId): WorkerAdapter.WorkerJob => ({
  id: `film/${chunkId}/1.1`,
  command: "render",
  meta: {
    _tag: "Chunk",
    jobId: "film",
    run: 1,
    attempt: 1,
    output: { _tag: "File", path: "/job/film.mov" },
    chunkId,
    startFrame: chunkId,
    frameCount: 1,
    format: {}
  }
}))

/** How many microseconds of a processor an attempt takes: what else the machine does is no part of it. */
const micros = async (adapter: Adapter): Promise<number> => {
  const all = Effect.forEach(jobs, (job) => adapter.execute(job, () => {}), { concurrency: 4, discard: true }).pipe(
    Effect.provideService(References.MinimumLogLevel, "Warn")
  )
  const before = process.cpuUsage()
  await Effect.runPromise(all)
  const { system, user } = process.cpuUsage(before)
  return (system + user) / attempts
}

const pool = AdapterPool.overflow([bare("a"), bare("b"), bare("c")])

const composed: ReadonlyArray<readonly [name: string, adapter: Adapter, budget: number]> = [
  ["a pool of three", pool, 3],
  ["a pool in a pool", AdapterPool.fallback([pool, bare("d")]), 6],
  ["a concurrency limit", AdapterMiddleware.limitConcurrency(8)(bare("a")), 3],
  ["metrics", AdapterMiddleware.metrics()(bare("a")), 12],
  ["logs that nobody wants", AdapterMiddleware.logging()(bare("a")), 8]
]

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const measured: Array<Row> = []
  for (const [name, adapter, budget] of composed) {
    // oxlint-disable-next-line no-await-in-loop
    const [ours, other] = await inTurns(
      7,
      () => micros(adapter),
      () => micros(bare("a"))
    )
    measured.push({
      name: `an attempt on ${name}, against the adapter itself`,
      ours: `${ours.toFixed(2)} us`,
      other: `${other.toFixed(2)} us`,
      ratio: ours / other,
      budget: { text: `at most ${budget} us more`, kept: ours - other <= budget }
    })
  }
  return measured
}
