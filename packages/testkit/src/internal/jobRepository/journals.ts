/** Jobs, events and texts that are hard to keep; and how journals are read. */
import type { JobEvent, JobRecord } from "@helios-infra/core/JobEvent"
import type { JobRepository, JobRequest } from "@helios-infra/core/JobRepository"
import type { JobSpec } from "@helios-infra/core/JobSpec"
import { RenderFailed, WorkerError } from "@helios-infra/core/WorkerError"
import * as Stream from "effect/Stream"

export const spec: JobSpec = {
  metadata: { totalFrames: 20, fps: 30 },
  chunks: [1, 4].map((id, index) => ({
    id,
    startFrame: index * 10,
    frameCount: 10,
    outputFile: `${id}.mov`,
    command: `render -o ${id}.mov`
  }))
}

export const created = { _tag: "JobCreated", version: 1, spec } satisfies JobEvent

export const lost = (found: string): JobEvent => ({ _tag: "OutputLost", chunk: 1, attempt: 1, found })

export const cancel: JobRequest = { _tag: "Cancel", by: "me" }
export const pause: JobRequest = { _tag: "Pause", mode: "drain" }

export const ended: JobEvent = { _tag: "RunEnded", run: 1, how: "paused", leftover: [] }

/** Texts that come apart in lines, quotes, encodings or patterns that were not made for them. */
export const nastyTexts = [
  "two\nlines\r\n",
  `"quoted" 'and' \\escaped\\`,
  "日本 🎬 ünï",
  "\u2028\u2029",
  "",
  "{}",
  "null",
  "%s %2F $1 $& {0}",
  "'; DROP TABLE jobs; --",
  "x".repeat(20_000)
]

/** Ids that a job file may have, and that are no good file names. */
export const nastyIds = [
  "../outside",
  "..",
  ".",
  "a/b",
  "a\\b",
  "/absolute",
  "job",
  "JOB",
  " job",
  "job.",
  "CON",
  "%2e%2e%2f",
  "日本 🎬",
  `it's "quoted"`,
  "*?<>|:",
  "constructor",
  "__proto__",
  "x".repeat(200)
]

/** An event of every kind but `JobCreated`, with what is optional and without. */
export const everyEvent: ReadonlyArray<JobEvent> = [
  { _tag: "RunStarted", run: 1, owner: { host: "here", pid: 1, bootId: "b", processStart: "s" } },
  { _tag: "AttemptStarted", chunk: 1, attempt: 1 },
  { _tag: "AttemptAssigned", chunk: 1, attempt: 1, workerId: "w", handle: "h" },
  { _tag: "AttemptAssigned", chunk: 1, attempt: 1 },
  {
    _tag: "AttemptEnded",
    chunk: 1,
    attempt: 1,
    how: "failed",
    error: new WorkerError({
      adapter: "fake",
      jobId: "job",
      chunkId: 1,
      attempt: 1,
      reason: new RenderFailed({ exitCode: 3, stderrTail: "no\nmemory" })
    }),
    retryInMs: 1000,
    log: "no\nmemory"
  },
  { _tag: "AttemptEnded", chunk: 1, attempt: 2, how: "not-stopped", detail: "w still runs" },
  {
    _tag: "ChunkAccepted",
    chunk: 1,
    attempt: 3,
    output: {
      location: "/a/b.mov",
      bytes: 12,
      sha256: "0a",
      frames: 10,
      format: { width: 64, height: 64, fps: "30000/1001", codec: "h264", pixelFormat: "yuv420p", audio: "none" }
    },
    durationMs: 1.5,
    log: ""
  },
  { _tag: "OutputLost", chunk: 1, attempt: 3, found: "no file" },
  { _tag: "Stitched", outputFile: "/out.mp4", bytes: 5 },
  { _tag: "Stitched" },
  {
    _tag: "RunEnded",
    run: 1,
    how: "failed",
    error: { _tag: "ChunkFailed", message: "no", chunkId: 1 },
    leftover: ["p"]
  }
]

// ---
// what is read of them
// ---

export const journal = (jobs: JobRepository["Service"], jobId: string, after?: number) =>
  Stream.runCollect(jobs.read(jobId, after))

export const revisions = (records: ReadonlyArray<JobRecord>) => records.map(({ revision }) => revision)

/** The numbers from 1. */
export const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

export const textsOf = (records: ReadonlyArray<JobRecord>) =>
  records.map(({ event }) => (event._tag === "OutputLost" ? event.found : event._tag))
