/**
 * A job of many chunks whose process dies with a few of them open, and its resumption in another one; prints how long that
 * takes until the first attempt. Usage: node resume-job.ts die|resume folder|sqlite DIR CHUNKS OPEN
 */
import { FileJobRepository } from "@helios-infra/adapter-local"
import { JobManager, OutputCheck, WorkerAdapter, Workspace } from "@helios-infra/core"
import { SqliteJobRepository } from "@helios-infra/repository-sql"
import { Effect, Layer, Stream } from "effect"
import { join } from "node:path"
import { performance } from "node:perf_hooks"
import process from "node:process"
import * as NoOp from "./NoOp.ts"

const [what = "", store = "folder", dir = "", count = "", left = ""] = process.argv.slice(2)
const chunks = Number(count)
const every = Math.ceil(chunks / Number(left))

const repository =
  store === "sqlite" ? SqliteJobRepository.layer({ filename: join(dir, "jobs.db") }) : FileJobRepository.layer({ dir })

const services = (execute: (chunkId: number) => Effect.Effect<void>) =>
  JobManager.layer.pipe(
    Layer.provide([
      repository,
      OutputCheck.layerTrusting,
      Layer.succeed(Workspace.Workspace, NoOp.workspace),
      WorkerAdapter.layer({
        info: { name: "no-op", where: "local", stop: "always" },
        execute: (job) =>
          Effect.as(
            execute(WorkerAdapter.chunkId(job) ?? 0),
            NoOp.result(job.meta.output._tag === "File" ? job.meta.output.path : "")
          )
      })
    ])
  )

const die = Effect.gen(function* () {
  const jobs = yield* JobManager.JobManager
  yield* jobs.create(NoOp.spec(chunks), { id: "film" })
  yield* jobs.start("film", { concurrency: 1000 })
  yield* jobs.watch("film").pipe(
    Stream.takeUntil(({ chunks: { done } }) => done === chunks - Number(left)),
    Stream.runDrain
  )
  process.kill(process.pid, "SIGKILL")
}).pipe(Effect.provide(services((id) => (id % every === 0 ? Effect.never : Effect.void))))

const resume = Effect.gen(function* () {
  const startedAt = performance.now()
  let firstMs: number | undefined
  let started = 0
  const began = Effect.sync(() => {
    firstMs ??= performance.now() - startedAt
    started++
  })
  yield* JobManager.JobManager.use((jobs) => jobs.resume("film", { concurrency: 50 })).pipe(
    Effect.provide(services(() => began))
  )
  process.stdout.write(JSON.stringify({ firstMs, started }))
})

await Effect.runPromise(what === "die" ? die : resume)
