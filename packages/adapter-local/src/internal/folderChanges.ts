/** Says that something in a folder may have changed: at once where the system tells, else after a while. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { watch as watchFolder } from "node:fs"

/** How long a change can stay unseen where the system tells of none: on network file systems, or out of watches. */
const longest = Duration.millis(200)

/** A folder that is being watched. */
export interface FolderChanges {
  /** Waits for a change since it returned last, or a fifth of a second. */
  readonly next: Effect.Effect<void>
}

/** Watches until the scope closes. `names` asks for files that come and go alone, not for what is written to them. */
export const watch: (folder: string, what: "names" | "contents") => Effect.Effect<FolderChanges, never, Scope.Scope> =
  Effect.fnUntraced(function* (folder, what) {
    const latch = Latch.makeUnsafe(false)
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const watcher = Result.try(() =>
          watchFolder(folder, { persistent: false }, (event) => {
            if (what === "contents" || event === "rename") latch.openUnsafe()
          })
        )
        if (Result.isFailure(watcher)) return undefined
        return watcher.success.on("error", () => latch.openUnsafe())
      }),
      (watcher) => Effect.sync(() => watcher?.close())
    )
    const next = latch.await.pipe(Effect.timeoutOption(longest), Effect.andThen(Effect.sync(() => latch.closeUnsafe())))
    return { next }
  })
