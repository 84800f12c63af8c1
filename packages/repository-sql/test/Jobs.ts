/** Jobs in temporary databases, for the tests of this package. */
import { assert } from "@effect/vitest"
import type { JobEvent, JobRepository, JobSpec } from "@helios-infra/core"
import { Effect, Exit, References, Scope, Stream } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

export const spec = (chunks: number): JobSpec.JobSpec => ({
  metadata: { totalFrames: chunks, fps: 30 },
  chunks: Array.from({ length: chunks }, (_, id) => ({
    id,
    startFrame: id,
    frameCount: 1,
    outputFile: `${id}.mov`,
    command: `render -o ${id}.mov`
  }))
})

export const created: JobEvent.JobEvent = { _tag: "JobCreated", version: 1, spec: spec(2) }

/** An event that says something. */
export const lost = (found: string): JobEvent.JobEvent => ({ _tag: "OutputLost", chunk: 1, attempt: 1, found })

export const temporary = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "sql-jobs-"))),
  (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
)

export type Jobs = JobRepository.JobRepository["Service"]

export const journal = (jobs: Jobs, jobId = "job", after?: number) => Stream.runCollect(jobs.read(jobId, after))

/** What the events of a journal say, but for the first. */
export const founds = (jobs: Jobs, jobId = "job") =>
  Effect.map(journal(jobs, jobId), (records) =>
    records.flatMap(({ event }) => (event._tag === "OutputLost" ? [event.found] : []))
  )

/** A writer whose scope closes when it is told to, or with the test. */
export const open = Effect.fnUntraced(function* (
  jobs: Jobs,
  takeOver?: "if-dead" | "always",
  jobId?: string
): Effect.fn.Return<
  JobRepository.JobWriter & { readonly close: Effect.Effect<void> },
  JobRepository.RepositoryError,
  Scope.Scope
> {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const writer = yield* jobs.openWriter(jobId ?? "job", { takeOver: takeOver ?? "if-dead" }).pipe(
    Scope.provide(scope),
    // Some databases are gone by the time that it closes, of which it warns.
    Effect.provideService(References.MinimumLogLevel, "None")
  )
  return { ...writer, close: Scope.close(scope, Exit.void) }
})

/** Appends in a run of its own. */
export const appendAll = Effect.fnUntraced(function* (jobs: Jobs, ...founds: ReadonlyArray<string>) {
  const writer = yield* open(jobs)
  yield* Effect.forEach(founds, (found) => writer.append([lost(found)]))
  yield* writer.close
}, Effect.scoped)

export const errorOf = <A, R>(effect: Effect.Effect<A, JobRepository.RepositoryError, R>) =>
  Effect.tap(Effect.flip(Effect.asVoid(effect)), (error) =>
    Effect.sync(() => assert.strictEqual(error._tag, "RepositoryError"))
  )

export const reasonOf = <A, R>(effect: Effect.Effect<A, JobRepository.RepositoryError, R>) =>
  Effect.map(errorOf(effect), ({ reason }) => reason._tag)
