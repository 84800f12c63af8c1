/**
 * What authors without Effect give to a contract: made anew for every case, and closed after it.
 *
 * What their functions throw is a defect, so that a case shows where it came from.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Workspace, WorkspaceError } from "@helios-infra/core/Workspace"
import { Mismatch, show } from "./check.ts"

/** A value, or the promise of one. */
export type Promised<A> = A | PromiseLike<A>

/** What a case is given may have something to close. */
export interface Closing {
  /** Called when the case is over, whatever came of it. */
  readonly close?: (() => unknown) | undefined
}

/** Calls a function of the author. */
export const ask = <A>(call: () => Promised<A>): Effect.Effect<A> => Effect.promise(() => Promise.resolve().then(call))

/** A size, where there is one. */
export const sizeOf = (call: () => Promised<number | undefined>): Effect.Effect<Option.Option<number>> =>
  Effect.map(ask(call), Option.fromUndefinedOr)

/** Makes what a case is given, until its scope closes. */
export const acquire = <A extends Closing>(make: () => Promised<A>): Effect.Effect<A, Mismatch, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => Promise.resolve().then(make),
      catch: (cause) => new Mismatch({ message: cause instanceof Error ? cause.message : show(cause) })
    }),
    ({ close }) => ask(() => close?.())
  )

/** The job's files as core shows them to stitchers and checks of the Promise API: where they are, if they are there. */
export const workspace = (size: (path: string) => Effect.Effect<Option.Option<number>>): Layer.Layer<Workspace> =>
  Layer.mock(Workspace, {
    root: ".",
    locate: ({ location }) =>
      Effect.flatMap(size(location), (found) =>
        Option.isSome(found)
          ? Effect.succeed(location)
          : Effect.fail(new WorkspaceError({ path: location, reason: "NotFound", cause: undefined }))
      ),
    stat: ({ location }) =>
      Effect.map(
        size(location),
        Option.map((bytes) => ({ bytes }))
      )
  })
