/** The environment of this process, in which an orchestrator has its secrets. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import process from "node:process"

/** Gives this process a variable until the scope closes. */
export const withVariable = (name: string, value: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        // oxlint-disable-next-line node/no-process-env -- a secret of the orchestrator, to see who gets it
        process.env[name] = value
      }),
      () =>
        Effect.sync(() => {
          // oxlint-disable-next-line node/no-process-env -- the same
          delete process.env[name]
        })
    )
  )
