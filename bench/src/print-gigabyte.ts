/**
 * Runs a job with one chunk that prints a gigabyte, as an embedder would: on this machine, kept in a folder. Prints the
 * most memory that this process, the orchestrator, held.
 */
import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
import * as LocalWorkerAdapter from "@helios-infra/adapter-local/LocalWorkerAdapter"
import * as LocalWorkspace from "@helios-infra/adapter-local/LocalWorkspace"
import * as JobManager from "@helios-infra/core/JobManager"
import * as OutputCheck from "@helios-infra/core/OutputCheck"
import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { lines, reportPeak, script } from "./Gigabyte.ts"

let told = 0
const counting = Layer.effect(
  WorkerAdapter.WorkerAdapter,
  Effect.map(LocalWorkerAdapter.make(), (local) => ({
    ...local,
    execute: (job, signal) =>
      local.execute(job, (said) => {
        if (said._tag === "Line") told++
        signal(said)
      })
  }))
)

const dir = mkdtempSync(join(tmpdir(), "gigabyte-"))
const program = Effect.gen(function* () {
  const jobs = yield* JobManager.JobManager
  const { id } = yield* jobs.create({
    metadata: { totalFrames: 1, fps: 30 },
    chunks: [
      { id: 0, startFrame: 0, frameCount: 1, outputFile: "part_0.mov", command: `sh -c '${script}' sh {output}` }
    ]
  })
  yield* jobs.run(id, { retries: 0 })
}).pipe(
  Effect.provide(
    JobManager.layer.pipe(
      Layer.provide([counting, OutputCheck.layerPresence, FileJobRepository.layer({ dir: join(dir, "jobs") })]),
      Layer.provide(LocalWorkspace.layer({ dir }))
    )
  )
)

try {
  await Effect.runPromise(program)
} finally {
  rmSync(dir, { recursive: true })
}
if (told !== lines) throw new Error(`${told} lines were told, of ${lines}`)
reportPeak()
