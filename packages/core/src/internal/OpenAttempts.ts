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
  const open = new Map<string, OpenAttempt>()
  const apply = ({ event, run }: JobRecord): void => {
    if (event._tag === "AttemptStarted" || event._tag === "AttemptAssigned") {
      const { attempt, chunk: chunkId } = event
      const handle = event._tag === "AttemptAssigned" && event.handle !== undefined ? { handle: event.handle } : {}
      open.set(keyOf(run, event), { run, chunkId, attempt, ...handle })
    } else if (event._tag === "AttemptEnded" || event._tag === "ChunkAccepted") {
      open.delete(keyOf(run, event))
    } else if (event._tag === "RunEnded") {
      // Whoever ended it has seen to its attempts.
      open.clear()
    }
  }
  return { apply, all: () => [...open.values()] }
}

const keyOf = (run: number, { attempt, chunk }: { readonly attempt: number; readonly chunk: number }): string =>
  `${run}/${chunk}/${attempt}`
