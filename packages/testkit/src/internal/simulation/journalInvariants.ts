/**
 * What must hold of a job's journal, whoever wrote it: all that can be seen from its records alone.
 */
import type { JobRecord } from "@helios-infra/core/JobEvent"
import { type JobState, makeFold } from "@helios-infra/core/JobState"

/** What must always hold, by a short name. */
export const invariants = {
  outcome: "a run ends in exactly one outcome, and completed is final",
  frames: "the final file has every frame once and in order",
  accepted: "a chunk has at most one accepted output, and nothing changes it",
  paid: "no accepted chunk is rendered again unless its output was lost",
  left: "when a run is over nothing of it is left running, or it stands in leftover",
  concurrency: "there are never more attempts at once than the concurrency",
  retries: "a chunk never fails more often than its retries allow; being throttled does not count",
  progress: "progress never goes back, and is 1 only when the final file is in place",
  whole: "the final file appears whole or not at all",
  writer: "only the last run writes: revisions have no gaps, and whoever was taken over stops",
  wishes: "a job that was told to stop is not run on by itself",
  live: "a job that is run on without faults is completed in time",
  journal: "the journal tells one story: attempts begin before they end, and end once"
} as const

/** The name of something that must always hold. */
export type Invariant = keyof typeof invariants

/** Something that must always hold and did not. */
export interface Broken {
  readonly invariant: Invariant
  /** What was found. */
  readonly detail: string
  /** When, in milliseconds of the journal's clock. */
  readonly at: number
}

/** Watches a journal as it is written. */
export interface JournalWatch {
  readonly apply: (record: JobRecord) => void
  readonly state: () => JobState | undefined
  /** How a run ended, as far as it said so. */
  readonly endOf: (run: number) => (JobRecord["event"] & { readonly _tag: "RunEnded" }) | undefined
}

/** Watches the journal of a job from its beginning; without `retries`, nobody knows how many were allowed. */
export const watchJournal = (
  jobId: string,
  options: { readonly retries?: number | undefined },
  broke: (broken: Broken) => void
): JournalWatch => {
  const fold = makeFold(jobId)
  const ends = new Map<number, JobRecord["event"] & { readonly _tag: "RunEnded" }>()
  /** Attempts by `run/chunk/attempt`: whether they have ended. */
  const attempts = new Map<string, boolean>()
  const lastAttempt = new Map<string, number>()
  const failures = new Map<string, number>()
  let [lastRun, lastRevision, lastAt, completed] = [0, 0, -Infinity, false]

  const apply = (record: JobRecord): void => {
    const { at, event, revision, run } = record
    const broken = (invariant: Invariant, detail: string) =>
      broke({ invariant, detail: `#${revision} ${event._tag}: ${detail}`, at })
    if (revision !== lastRevision + 1) broken("writer", `comes after revision ${lastRevision}`)
    if (run < lastRun) broken("writer", `run ${run} writes after run ${lastRun} has begun`)
    if (at < lastAt) broken("journal", `its time ${at} is before ${lastAt}, that of the record before it`)
    if (completed) broken("outcome", "comes after the job was completed")
    else if (ends.has(run)) broken("outcome", `comes after the end of run ${run}`)
    const before = fold.state()
    const chunkBefore = "chunk" in event ? before?.chunks.find(({ id }) => id === event.chunk) : undefined
    if ("chunk" in event && chunkBefore === undefined) broken("journal", `there is no chunk ${event.chunk}`)
    const wasAccepted = chunkBefore?.status === "accepted"
    lastRun = Math.max(run, lastRun)
    lastRevision = revision
    lastAt = Math.max(at, lastAt)
    fold.apply(record)
    const state = fold.state()
    if (state === undefined) return broken("journal", "there is no job yet")
    if (state.progress < 0 || state.progress > 1 || (state.progress === 1 && state.status !== "completed")) {
      broken("progress", `it is ${state.progress} while the job is ${state.status}`)
    }

    if ("attempt" in event && event._tag !== "OutputLost") {
      const key = `${run}/${event.chunk}`
      const ended = attempts.get(`${key}/${event.attempt}`)
      const name = `attempt ${event.attempt} of chunk ${event.chunk} in run ${run}`
      if (event._tag === "AttemptStarted") {
        const last = lastAttempt.get(key) ?? 0
        if (event.attempt !== last + 1) broken("journal", `${name} begins after attempt ${last}`)
        if (wasAccepted) broken("paid", `chunk ${event.chunk} is accepted, and its output is not lost`)
        lastAttempt.set(key, event.attempt)
        attempts.set(`${key}/${event.attempt}`, false)
      } else {
        if (ended === undefined) broken("journal", `${name} never began`)
        else if (ended && event._tag !== "AttemptAssigned") broken("journal", `${name} had ended`)
        if (event._tag !== "AttemptAssigned") attempts.set(`${key}/${event.attempt}`, true)
      }
    }
    switch (event._tag) {
      case "ChunkAccepted":
        if (wasAccepted) broken("accepted", `chunk ${event.chunk} is accepted already`)
        break
      case "OutputLost":
        if (!wasAccepted) broken("accepted", `chunk ${event.chunk} is not accepted`)
        break
      case "AttemptEnded": {
        const { chunk, error } = event
        if (error === undefined || error.reason._tag === "Throttled") break
        const key = `${run}/${chunk}`
        const failed = (failures.get(key) ?? 0) + 1
        failures.set(key, failed)
        const { retries } = options
        if (retries === undefined) break
        if (failed > retries + 1 || (event.retryInMs !== undefined && failed > retries)) {
          broken("retries", `chunk ${chunk} has failed ${failed} times in run ${run}; ${retries} retries are allowed`)
        }
        break
      }
      case "RunEnded": {
        if (event.run !== run) broken("outcome", `run ${run} says how run ${event.run} ended`)
        ends.set(run, event)
        if (event.how !== "completed") break
        completed = true
        const open = state.chunks.filter(({ status }) => status !== "accepted")
        if (open.length > 0) broken("frames", `it is completed without ${open.map(({ id }) => id).join(", ")}`)
        break
      }
      case "JobCreated":
      case "RunStarted":
      case "StopRequested":
      case "AttemptStarted":
      case "AttemptAssigned":
      case "Stitched":
    }
  }
  return { apply, state: fold.state, endOf: (run) => ends.get(run) }
}

/** What is broken in a whole journal. */
export const inJournal = (
  jobId: string,
  records: ReadonlyArray<JobRecord>,
  options: { readonly retries?: number | undefined } = {}
): ReadonlyArray<Broken> => {
  const broken: Array<Broken> = []
  const watch = watchJournal(jobId, options, (one) => broken.push(one))
  records.forEach(watch.apply)
  return broken
}
