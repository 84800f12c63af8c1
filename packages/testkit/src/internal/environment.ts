/** The environment of this process, in which an orchestrator has its secrets. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { env } from "node:process"

/** Gives this process a variable until the scope closes. */
export const withVariable = (name: string, value: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        env[name] = value
      }),
      () =>
        Effect.sync(() => {
          delete env[name]
        })
    )
  )
