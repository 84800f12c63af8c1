/**
 * Runs N chunks through one way of orchestrating them, with work that costs nothing; prints microseconds and held bytes
 * per chunk. Usage: node orchestrate.ts core|traced|promises|effect CHUNKS CONCURRENCY
 */
import { JobManager, JobRepository } from "@helios-infra/core"
import { Duration, Effect, Layer, Schedule, Tracer } from "effect"
import process from "node:process"
import { heldBytes, median, timed } from "./Measure.ts"
import * as NoOp from "./NoOp.ts"

const [way = "core", count = "10000", slots = "50"] = process.argv.slice(2)
const total = Number(count)
const concurrency = Number(slots)

/** Everything on: events in a journal, retries, both time limits, progress. */
const core = (
  chunks: number,
  weigh: boolean,
  tracer: Tracer.Tracer = Tracer.nativeTracer
): Promise<{ readonly ms: number; readonly held: number }> => {
  return Effect.gen(function* () {
    const jobs = yield* JobManager.JobManager
    const { id } = yield* jobs.create(NoOp.spec(chunks))
    const before = weigh ? heldBytes() : 0
    const running = jobs.run(id, { concurrency, retries: 2, attemptTimeout: "1 hour", stallTimeout: "1 minute" })
    const [took, state] = yield* Effect.timed(running)
    const held = weigh ? heldBytes() - before : 0
    return { ms: Duration.toMillis(took), held: state.status === "completed" ? held : Number.NaN }
  }).pipe(
    Effect.provide(JobManager.layer.pipe(Layer.provide([JobRepository.layerMemory, NoOp.layer()]))),
    Effect.withTracer(tracer),
    Effect.runPromise
  )
}

/** The same with all spans, ids and attributes of it made, and none kept: what an exporter costs comes on top. */
const traced = (chunks: number, weigh: boolean) => {
  const recording = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
  return core(chunks, weigh, recording)
}

/** As little as possible: no retry, no limit, no record of anything. */
const promises = async (chunks: number) => {
  const execute = async (id: number) => NoOp.result(`/job/${id}`)
  let next = 0
  const slot = async (): Promise<void> => {
    // oxlint-disable-next-line no-await-in-loop
    while (next < chunks) await execute(next++)
  }
  const ms = await timed(() => Promise.all(Array.from({ length: concurrency }, slot)))
  return { ms, held: 0 }
}

/** What one would write with Effect: a retry and a limit for each, and nothing kept. */
const effect = async (chunks: number) => {
  const one = (id: number) =>
    Effect.suspend(() => Effect.succeed(NoOp.result(`/job/${id}`))).pipe(
      Effect.timeout("1 hour"),
      Effect.retry({ times: 2, schedule: Schedule.exponential("1 second") })
    )
  const ids = Array.from({ length: chunks }, (_, id) => id)
  const ms = await timed(() => Effect.runPromise(Effect.forEach(ids, one, { concurrency, discard: true })))
  return { ms, held: 0 }
}

const ways = new Map([
  ["core", (chunks: number, weigh: boolean) => core(chunks, weigh)],
  ["traced", traced],
  ["promises", promises],
  ["effect", effect]
])
const run = ways.get(way)
if (run === undefined) throw new Error(`no such way: ${way}`)
// Not measured, until the engine has compiled what runs often.
// oxlint-disable-next-line no-await-in-loop
for (let round = 0; round < 6; round++) await run(20_000, false)
// A short run says little by itself: a collection of garbage that falls into it is a tenth of its time.
const times: Array<number> = []
// oxlint-disable-next-line no-await-in-loop
while (times.length * total < 100_000) times.push((await run(total, false)).ms)
// In a run of its own: after a collection that was asked for, memory first has to grow again, which takes its time.
const { held } = await run(total, true)
process.stdout.write(JSON.stringify({ micros: (median(times) * 1000) / total, heldBytes: held / total }))
