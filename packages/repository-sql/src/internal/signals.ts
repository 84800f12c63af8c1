/**
 * Wakes those who wait for news of a job: its writer in this process does, and whoever hears of other processes.
 *
 * A signal says that something may have happened, never what: who is woken looks into the database.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

/** What somebody waits for: records, or requests and the end of the run that they are for. */
export type Kind = "events" | "requests"

export interface Signals {
  /** A latch that opens with news of a job, until the scope closes. Close it before you look. */
  readonly follow: (job: number, kind: Kind) => Effect.Effect<Latch.Latch, never, Scope.Scope>
  /** News of a job: of one kind, or of both. */
  readonly wake: (job: number, kind?: Kind) => void
  /** There may be news of any job. */
  readonly wakeAll: () => void
  /** Waits until somebody waits for something. */
  readonly isFollowed: Effect.Effect<void>
}

interface Follower {
  readonly kind: Kind
  readonly latch: Latch.Latch
}

export const make = (): Signals => {
  const followers = new Map<number, Set<Follower>>()
  const followed = Latch.makeUnsafe(false)

  const wakeThose = (some: Iterable<Follower>, kind: Kind | undefined): void => {
    for (const follower of some) if (kind === undefined || follower.kind === kind) follower.latch.openUnsafe()
  }

  const enter = (job: number, kind: Kind): Follower => {
    const follower = { kind, latch: Latch.makeUnsafe(true) }
    followers.set(job, (followers.get(job) ?? new Set()).add(follower))
    followed.openUnsafe()
    return follower
  }

  const leave = (job: number, follower: Follower): void => {
    const others = followers.get(job)
    others?.delete(follower)
    if (others?.size === 0) followers.delete(job)
    if (followers.size === 0) followed.closeUnsafe()
  }

  return {
    follow: (job, kind) =>
      Effect.acquireRelease(
        Effect.sync(() => enter(job, kind)),
        (follower) => Effect.sync(() => leave(job, follower))
      ).pipe(Effect.map(({ latch }) => latch)),
    wake: (job, kind) => wakeThose(followers.get(job) ?? [], kind),
    wakeAll: () => {
      for (const some of followers.values()) wakeThose(some, undefined)
    },
    isFollowed: followed.await
  }
}
