/** The attempts of a job that began and of whose end its journal says nothing: what a dead orchestrator may have left. */
import type { JobRecord } from "../JobEvent.ts"

/** One of them. */
export interface OpenAttempt {
  readonly run: number
  readonly chunkId: number
  /** Counted from 1 within the run. */
  readonly attempt: number
  /** What the adapter finds it by, where it said so in time. */
  readonly handle?: string
}

/** A fold of a job's records, in their order. */
export interface OpenAttempts {
  readonly apply: (record: JobRecord) => void
  readonly all: () => ReadonlyArray<OpenAttempt>
}

/** Begins the fold. */
export const make = (): OpenAttempts => {
  /** By chunk: more than one of a chunk where several orchestrators died. */
  const open = new Map<number, ReadonlyArray<OpenAttempt>>()

  const others = (run: number, event: { readonly attempt: number; readonly chunk: number }) =>
    open.get(event.chunk)?.filter((other) => other.run !== run || other.attempt !== event.attempt) ?? []

  const apply = ({ event, run }: JobRecord): void => {
    if (event._tag === "AttemptStarted" || event._tag === "AttemptAssigned") {
      const { attempt, chunk } = event
      const handle = event._tag === "AttemptAssigned" && event.handle !== undefined ? { handle: event.handle } : {}
      open.set(chunk, [...others(run, event), { run, chunkId: chunk, attempt, ...handle }])
    } else if (event._tag === "AttemptEnded" || event._tag === "ChunkAccepted") {
      const left = others(run, event)
      if (left.length > 0) open.set(event.chunk, left)
      else open.delete(event.chunk)
    } else if (event._tag === "RunEnded") {
      // Whoever ended it has seen to its attempts.
      open.clear()
    }
  }
  return { apply, all: () => [...open.values()].flat() }
}
