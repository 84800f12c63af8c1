/**
 * The accepted chunks from the first frame on, without a gap: what a stitcher may read.
 *
 * Chunks are accepted in any order and appear here in frame order, once every chunk before them is there. The prefix
 * only grows; reading it causes no work, never fails, and can be repeated.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { ChunkOutput } from "./VideoStitcher.ts"

/** The prefix of one run of a job. */
export interface AcceptedPrefix {
  /** Says that there may be more: whoever waits looks again. */
  readonly grow: () => void
  /** The chunks in frame order; waits for those that are not there yet, and ends after the last. */
  readonly outputs: Stream.Stream<ChunkOutput>
  /** How far the furthest reader of `outputs` has come, in chunks. */
  readonly read: () => number
}

/** Makes the prefix of a job with `total` chunks, of which `at` gives one by its place once it is accepted. */
export const make = (total: number, at: (index: number) => ChunkOutput | undefined): AcceptedPrefix => {
  let read = 0
  /** There is one while somebody waits. */
  let grown: Deferred.Deferred<void> | undefined

  const grow = (): void => {
    const waiting = grown
    grown = undefined
    if (waiting !== undefined) Deferred.doneUnsafe(waiting, Effect.void)
  }

  // One chunk a pull, so that a reader that stops early is known not to have read the rest.
  const outputs = Stream.fromPull(
    Effect.sync(() => {
      let index = 0
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<ChunkOutput>> = Effect.suspend(() => {
        if (index === total) return Cause.done()
        const output = at(index)
        if (output === undefined) return Effect.andThen(Deferred.await((grown ??= Deferred.makeUnsafe())), next)
        index++
        read = Math.max(read, index)
        return Effect.succeed([output])
      })
      return next
    })
  )

  return { grow, outputs, read: () => read }
}
