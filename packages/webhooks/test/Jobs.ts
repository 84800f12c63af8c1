/** Jobs for the tests of this package: journals written by hand, in a repository. */
import type { JobEvent, JobRepository } from "@helios-infra/core"
import { WorkerError } from "@helios-infra/core"
import { Effect } from "effect"

type Repository = JobRepository.JobRepository["Service"]

/** A job with so many chunks of ten frames. */
export const created = (chunks: number): JobEvent.JobEvent => ({
  _tag: "JobCreated",
  version: 1,
  spec: {
    metadata: { totalFrames: chunks * 10, fps: 30, width: 1280, height: 720 },
    chunks: Array.from({ length: chunks }, (_, id) => ({
      id,
      startFrame: id * 10,
      frameCount: 10,
      outputFile: `part_${id}.mov`,
      command: `render --token very-secret -o part_${id}.mov`
    }))
  }
})

export const accepted = (chunk: number, attempt = 1): JobEvent.JobEvent => ({
  _tag: "ChunkAccepted",
  chunk,
  attempt,
  output: { location: `https://bucket.example/part_${chunk}?X-Amz-Signature=very-secret`, bytes: 100 },
  durationMs: 5,
  log: "it printed very-secret"
})

export const failed = (chunk: number, attempt = 1): JobEvent.JobEvent => ({
  _tag: "AttemptEnded",
  chunk,
  attempt,
  how: "failed",
  error: new WorkerError.WorkerError({
    adapter: "fake",
    jobId: "job",
    chunkId: chunk,
    attempt,
    reason: new WorkerError.RenderFailed({ exitCode: 1, stderrTail: "it printed very-secret" })
  }),
  retryInMs: 1000,
  log: "it printed very-secret"
})

export const started = (run: number): JobEvent.JobEvent => ({
  _tag: "RunStarted",
  run,
  owner: { host: "here", pid: 1 },
  outputFile: "film.mp4"
})

export const stitched: JobEvent.JobEvent = { _tag: "Stitched", outputFile: "/films/film.mp4", bytes: 1000 }

export const ended = (run: number, how: "completed" | "failed" | "cancelled" | "paused"): JobEvent.JobEvent => ({
  _tag: "RunEnded",
  run,
  how,
  ...(how === "failed" ? { error: { _tag: "ChunkFailed", message: "it printed very-secret", chunkId: 1 } } : undefined),
  leftover: how === "failed" ? ["a process"] : []
})

/** Begins the next run of a job and writes all this into its journal. */
export const write = (
  repository: Repository,
  jobId: string,
  events: (run: number) => ReadonlyArray<JobEvent.JobEvent>
) =>
  Effect.scoped(
    Effect.flatMap(repository.openWriter(jobId, { takeOver: "always" }), ({ append, run }) =>
      Effect.forEach(events(run), (event) => append([event]))
    )
  )

/** A whole job that went well. */
export const render = (repository: Repository, jobId: string, chunks: number) =>
  Effect.andThen(
    repository.create(jobId, created(chunks)),
    write(repository, jobId, (run) => [
      started(run),
      ...Array.from({ length: chunks }, (_, id) => accepted(id)),
      stitched,
      ended(run, "completed")
    ])
  )
