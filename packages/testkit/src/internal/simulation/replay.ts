/**
 * A job that was really run, run again in a world where nothing else happens: its attempts take as long and end as its
 * journal says.
 */
import type { JobRecord } from "@helios-infra/core/JobEvent"
import type { JobSpec } from "@helios-infra/core/JobSpec"
import type { WorkerReason } from "@helios-infra/core/WorkerError"
import type { Plan } from "./fleet.ts"

/** What a worker did. */
interface Deed {
  readonly tookMs: number
  /** Why it failed. */
  readonly reason: WorkerReason | undefined
}

/** What a journal says of a job. */
export interface History {
  readonly spec: JobSpec
  /** What the nth attempt at a chunk does; those that the journal does not know succeed, and take as long as others. */
  readonly plan: (chunkId: number, nth: number) => Plan
  /** The most attempts that ran at once. */
  readonly concurrency: number
  /** The most failures of one chunk in one run. */
  readonly failures: number
  /** How long joining took after the last chunk was accepted. */
  readonly stitchMs: number
  /** From the beginning of the first run to the end of the last. */
  readonly tookMs: number
}

/** Reads it; `undefined` where there is no job in it. */
export const read = (records: ReadonlyArray<JobRecord>): History | undefined => {
  const created = records.find(({ event }) => event._tag === "JobCreated")?.event
  if (created?._tag !== "JobCreated") return undefined
  const deeds = new Map<number, Array<Deed>>()
  const begun = new Map<string, number>()
  const failed = new Map<string, number>()
  const accepted: Array<number> = []
  let [concurrency, failures, stitchMs] = [0, 0, 0]
  let [first, last, lastAccepted] = [Infinity, -Infinity, -Infinity]

  for (const { at, event, run } of records) {
    if (event._tag === "RunStarted") {
      first = Math.min(first, at)
      begun.clear()
    }
    if (event._tag !== "JobCreated") last = Math.max(last, at)
    if (event._tag === "Stitched") stitchMs = Math.max(0, at - lastAccepted)
    if (event._tag !== "AttemptStarted" && event._tag !== "AttemptEnded" && event._tag !== "ChunkAccepted") continue
    const key = `${event.chunk}/${event.attempt}`
    if (event._tag === "AttemptStarted") {
      begun.set(key, at)
      concurrency = Math.max(concurrency, begun.size)
      continue
    }
    const took = Math.max(0, at - (begun.get(key) ?? at))
    begun.delete(key)
    const done = deeds.get(event.chunk) ?? []
    deeds.set(event.chunk, done)
    if (event._tag === "ChunkAccepted") {
      done.push({ tookMs: event.durationMs, reason: undefined })
      accepted.push(event.durationMs)
      lastAccepted = at
    } else if (event.error !== undefined) {
      // What was interrupted says something about its run, and nothing about the worker.
      const { reason } = event.error
      done.push({ tookMs: took, reason })
      if (reason._tag === "Throttled") continue
      const count = (failed.get(`${run}/${event.chunk}`) ?? 0) + 1
      failed.set(`${run}/${event.chunk}`, count)
      failures = Math.max(failures, count)
    }
  }

  const usual = accepted.toSorted((one, other) => one - other)[Math.floor(accepted.length / 2)] ?? 0
  const { chunks, metadata } = created.spec
  const plan = (chunkId: number, nth: number): Plan => {
    const { reason, tookMs } = deeds.get(chunkId)?.[nth - 1] ?? { tookMs: usual, reason: undefined }
    return { takesMs: tookMs, fault: undefined, fails: reason, signEveryMs: Math.max(1, tookMs / 4), stopsAfterMs: 0 }
  }
  return {
    // Workers of a simulation make pictures of one size.
    spec: { chunks, metadata: { totalFrames: metadata.totalFrames, fps: metadata.fps } },
    plan,
    concurrency: Math.max(1, concurrency),
    failures,
    stitchMs,
    tookMs: last > first ? last - first : 0
  }
}
