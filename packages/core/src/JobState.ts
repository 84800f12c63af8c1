/**
 * What a job's events amount to: a pure fold of its journal, as plain data that can be printed, stored and sent.
 */
import * as ChunkIndex from "./internal/ChunkIndex.ts"
import type { ErrorSummary, JobRecord } from "./JobEvent.ts"
import type { JobSpec } from "./JobSpec.ts"
import type { OutputRef } from "./WorkerAdapter.ts"

/**
 * - `pending`: created, never run.
 * - `running`: a run has begun and has not ended, as far as the journal knows: its process may be dead.
 * - `paused`, `failed`, `cancelled`: can be run on; what was accepted is kept.
 * - `completed`: final.
 */
export type JobStatus = "pending" | "running" | "paused" | "completed" | "failed" | "cancelled"

/** What is known of one chunk. */
export interface ChunkState {
  readonly id: number
  readonly status: "pending" | "running" | "retrying" | "accepted"
  /** Attempts started, in all runs. */
  readonly attempts: number
  /** The accepted output. */
  readonly output?: OutputRef
  /** Which attempt, of which run, was accepted; who made it, and how many milliseconds it took, where that is known. */
  readonly acceptedBy?: {
    readonly run: number
    readonly attempt: number
    readonly workerId?: string
    readonly durationMs?: number
  }
  /** Why the last attempt failed, while the chunk is not accepted. */
  readonly error?: ErrorSummary
}

/** What is known of a job. Times are milliseconds since the epoch. */
export interface JobState {
  readonly id: string
  readonly version: 1
  /** The last event's place in the journal. */
  readonly revision: number
  /** The last run, counted from 1; 0 when there was none. */
  readonly run: number
  readonly status: JobStatus
  readonly spec: JobSpec
  /** In the order of the job file. */
  readonly chunks: ReadonlyArray<ChunkState>
  /** Frames accepted over all frames; 1 only when the job is completed. */
  readonly progress: number
  readonly createdAt: number
  readonly updatedAt: number
  /** When the last run ended; absent while one is running. */
  readonly endedAt?: number
  /** The final file. */
  readonly outputFile?: string
  /** Why the last run failed. */
  readonly error?: ErrorSummary
  /** What the last run could not stop or remove. */
  readonly leftover?: ReadonlyArray<string>
  /** What the last run was asked to make. */
  readonly target?: { readonly outputFile?: string; readonly container?: string }
  /** The last run's span, where that is traced, as W3C Trace Context has it. */
  readonly traceparent?: string
  /** How the run that is under way was told to end; it may have died before it did. */
  readonly stopping?: "cancelled" | "paused"
  /** How many runs before the last one broke off in a row, none of which accepted a chunk; absent for 0. */
  readonly brokenOff?: number
}

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

/** Progress as long as the final file is not in place: never more than 0.99. */
export const unfinished = (framesDone: number, framesTotal: number): number =>
  framesTotal === 0 ? 0 : Math.min(0.99, framesDone / framesTotal)

/** Whether a status ends a job for those who wait for it, until somebody runs it on. */
export const hasEnded = (status: JobStatus): boolean =>
  status === "completed" || status === "failed" || status === "cancelled"

/** How many runs in a row broke off without having accepted a chunk, the last one of a job whose process died included. */
export const runsBrokenOff = ({ brokenOff = 0, chunks, run, status }: JobState): number =>
  status !== "running" || chunks.some(({ acceptedBy }) => acceptedBy?.run === run) ? 0 : brokenOff + 1

/** A fold in progress: takes the journal's records in order, each in constant time but for the start and end of runs. */
export interface JobFold {
  readonly apply: (record: JobRecord) => void
  /** What the records so far amount to; `undefined` before `JobCreated`. Changes with the next `apply`. */
  readonly state: () => JobState | undefined
}

/** Begins the fold of one job's journal. */
export const makeFold = (jobId: string): JobFold => {
  let state: Mutable<JobState> | undefined
  let chunks: ReadonlyArray<Mutable<ChunkState>> = []
  let indexOf = ChunkIndex.make(chunks)
  let framesDone = 0
  /** Whether the last run has accepted a chunk. */
  let advanced = false

  const apply = ({ at, event, revision, run }: JobRecord): void => {
    if (event._tag === "JobCreated") {
      if (state !== undefined) return
      // The journal's first record holds a spec that `JobSpec.decode` has accepted: `JobManager.create` saw to that.
      const spec = event.spec
      chunks = spec.chunks.map(({ id }) => ({ id, status: "pending", attempts: 0 }))
      indexOf = ChunkIndex.make(chunks)
      state = {
        id: jobId,
        version: event.version,
        revision,
        run: 0,
        status: "pending",
        spec,
        chunks,
        progress: 0,
        createdAt: at,
        updatedAt: at
      }
      return
    }
    if (state === undefined) return
    state.revision = revision
    state.updatedAt = at
    state.run = run
    switch (event._tag) {
      case "RunStarted": {
        // The run before it never said that it had ended.
        const brokenOff = state.status === "running" && !advanced ? (state.brokenOff ?? 0) + 1 : 0
        turn(state)
        state.status = "running"
        advanced = false
        delete state.brokenOff
        if (brokenOff > 0) state.brokenOff = brokenOff
        const { container, outputFile, traceparent } = event
        delete state.traceparent
        if (traceparent !== undefined) state.traceparent = traceparent
        delete state.target
        if (outputFile !== undefined || container !== undefined) {
          state.target = {
            ...(outputFile === undefined ? undefined : { outputFile }),
            ...(container === undefined ? undefined : { container })
          }
        }
        return
      }
      case "StopRequested":
        state.stopping = event.how
        return
      case "AttemptStarted": {
        const chunk = chunks[indexOf(event.chunk)]
        if (chunk === undefined || chunk.status === "accepted") return
        chunk.status = "running"
        chunk.attempts++
        return
      }
      case "AttemptAssigned":
        return
      case "AttemptEnded": {
        const chunk = chunks[indexOf(event.chunk)]
        if (chunk === undefined || chunk.status === "accepted") return
        chunk.status = event.retryInMs === undefined ? "pending" : "retrying"
        if (event.error !== undefined) {
          chunk.error = { _tag: event.error.reason._tag, message: event.error.message, chunkId: chunk.id }
        }
        return
      }
      case "ChunkAccepted": {
        const index = indexOf(event.chunk)
        const chunk = chunks[index]
        if (chunk === undefined || chunk.status === "accepted") return
        chunk.status = "accepted"
        chunk.output = event.output
        chunk.acceptedBy = {
          run,
          attempt: event.attempt,
          ...(event.workerId === undefined ? undefined : { workerId: event.workerId }),
          ...(event.durationMs > 0 ? { durationMs: event.durationMs } : undefined)
        }
        if (chunk.error !== undefined) delete chunk.error
        advanced = true
        advance(state, index, 1)
        return
      }
      case "OutputLost": {
        const index = indexOf(event.chunk)
        const chunk = chunks[index]
        if (chunk === undefined || chunk.status !== "accepted") return
        chunk.status = "pending"
        delete chunk.output
        delete chunk.acceptedBy
        advance(state, index, -1)
        return
      }
      case "Stitched":
        if (event.outputFile !== undefined) state.outputFile = event.outputFile
        return
      case "RunEnded":
        state.status = event.how
        turn(state)
        delete state.brokenOff
        state.endedAt = at
        if (event.how === "completed") state.progress = 1
        if (event.error !== undefined) state.error = event.error
        if (event.leftover.length > 0) state.leftover = event.leftover
    }
  }

  const advance = (state: Mutable<JobState>, index: number, sign: 1 | -1): void => {
    const { chunks, metadata } = state.spec
    framesDone += sign * (chunks[index]?.frameCount ?? 0)
    state.progress = unfinished(framesDone, metadata.totalFrames)
  }

  // When a run begins or ends (one that was cancelled before it began only ends), how the one before it ended is over,
  // and nothing is under way any more.
  const turn = (state: Mutable<JobState>): void => {
    delete state.endedAt
    delete state.error
    delete state.leftover
    delete state.stopping
    for (const chunk of chunks) if (chunk.status !== "accepted") chunk.status = "pending"
  }

  return { apply, state: () => state }
}

/** Folds a whole journal; `undefined` for one without a `JobCreated`. */
export const fold = (jobId: string, records: Iterable<JobRecord>): JobState | undefined => {
  const folding = makeFold(jobId)
  for (const record of records) folding.apply(record)
  return folding.state()
}
