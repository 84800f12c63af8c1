/**
 * How far a job is: frames, not chunks, so that it moves while chunks render; never back; 1 only when the final file
 * is in place.
 */
import type { JobRecord } from "./JobEvent.ts"
import type { JobSpec } from "./JobSpec.ts"
import { hasEnded, type JobStatus, unfinished } from "./JobState.ts"

/** How many of something are done. */
export interface Count {
  readonly done: number
  readonly total: number
}

/** A chunk that is being rendered. */
export interface RunningChunk {
  readonly chunkId: number
  readonly attempt: number
  /** Frames, where the worker tells them. */
  readonly frames: Count
}

/** How far a job is. */
export interface JobProgress {
  readonly jobId: string
  readonly run: number
  readonly status: JobStatus
  /** From 0 to 1: frames accepted and frames done in running chunks, over all frames. */
  readonly fraction: number
  readonly frames: Count
  /** Chunks accepted. */
  readonly chunks: Count
  readonly running: ReadonlyArray<RunningChunk>
  /** Milliseconds until the last frame, from the speed of this run; `undefined` until there is one. */
  readonly etaMs: number | undefined
}

/** What a running attempt tells of its frames. */
export interface FramesDone {
  readonly run: number
  readonly chunkId: number
  readonly attempt: number
  readonly done: number
}

/** Follows one job. */
export interface Tracker {
  /** Takes the next record of the journal, in constant time. */
  readonly apply: (record: JobRecord) => void
  /** Takes what a running attempt tells. */
  readonly framesDone: (told: FramesDone) => void
  readonly snapshot: (nowMs: number) => JobProgress
}

/** Makes the tracker of a job. */
export const make = (jobId: string, spec: JobSpec): Tracker => {
  const frameCounts = new Map(spec.chunks.map((chunk) => [chunk.id, chunk.frameCount]))
  const total = spec.metadata.totalFrames
  const accepted = new Set<number>()
  // Keyed by chunk: one attempt of a chunk runs at a time.
  const running = new Map<number, { readonly attempt: number; done: number }>()
  /** Told of attempts whose start has not come here yet: the journal may be slower than what attempts tell. */
  const early = new Map<number, FramesDone>()
  let run = 0
  let status: JobStatus = "pending"
  let acceptedFrames = 0
  let most = 0
  let startedAt: number | undefined
  let atStart = 0

  const done = (): number => {
    let frames = acceptedFrames
    for (const chunk of running.values()) frames += chunk.done
    return frames
  }

  const apply = ({ at, event, ...record }: JobRecord): void => {
    run = record.run
    switch (event._tag) {
      case "RunStarted":
        status = "running"
        running.clear()
        startedAt = at
        atStart = acceptedFrames
        return
      case "AttemptStarted":
        if (!frameCounts.has(event.chunk) || accepted.has(event.chunk)) return
        running.set(event.chunk, { attempt: event.attempt, done: 0 })
        framesDone(early.get(event.chunk))
        return
      case "AttemptEnded":
        running.delete(event.chunk)
        return
      case "ChunkAccepted": {
        running.delete(event.chunk)
        early.delete(event.chunk)
        const frames = frameCounts.get(event.chunk)
        if (frames === undefined || accepted.has(event.chunk)) return
        accepted.add(event.chunk)
        acceptedFrames += frames
        return
      }
      case "OutputLost": {
        if (!accepted.delete(event.chunk)) return
        const frames = frameCounts.get(event.chunk) ?? 0
        acceptedFrames -= frames
        // What this run has done, and so its speed, stays as it is.
        atStart -= frames
        return
      }
      case "RunEnded":
        status = event.how
        running.clear()
        return
      case "JobCreated":
      case "AttemptAssigned":
      case "StopRequested":
      case "Stitched":
    }
  }

  const framesDone = (told: FramesDone | undefined): void => {
    if (told === undefined) return
    const { chunkId, done: frames } = told
    const chunk = running.get(chunkId)
    if (chunk === undefined || told.attempt !== chunk.attempt || told.run !== run) {
      if (!accepted.has(chunkId)) early.set(chunkId, told)
      return
    }
    early.delete(chunkId)
    // Not `Math.max`, for which what is no number would be the most.
    if (frames > chunk.done) chunk.done = Math.min(frames, frameCounts.get(chunkId) ?? 0)
  }

  const snapshot = (nowMs: number): JobProgress => {
    const frames = done()
    most = Math.max(most, frames)
    const inThisRun = frames - atStart
    const elapsed = startedAt === undefined ? 0 : nowMs - startedAt
    const etaMs =
      status === "running" && inThisRun > 0 && elapsed > 0
        ? Math.round(((total - frames) * elapsed) / inThisRun)
        : undefined
    return {
      jobId,
      run,
      status,
      fraction: status === "completed" ? 1 : unfinished(most, total),
      frames: { done: most, total },
      chunks: { done: accepted.size, total: spec.chunks.length },
      running: Array.from(running, ([chunkId, chunk]) => ({
        chunkId,
        attempt: chunk.attempt,
        frames: { done: chunk.done, total: frameCounts.get(chunkId) ?? 0 }
      })),
      etaMs
    }
  }

  return { apply, framesDone, snapshot }
}

/** Whether nothing more will happen unless somebody runs the job on. */
export const isAtRest = (progress: JobProgress): boolean => progress.status === "paused" || hasEnded(progress.status)
