/**
 * What every `JobRepository` promises, whatever it stores jobs in.
 *
 * Holds a repository to what callers can see: it looks into no file or table. Crashes of a process are not simulated;
 * with a store that can be opened again, what another process would find is.
 */
import * as FromPromises from "@helios-infra/core/FromPromises"
import { JobRepository, type RepositoryError } from "@helios-infra/core/JobRepository"
import type { JobRepository as PlainJobRepository } from "@helios-infra/core/promise"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Contract from "./Contract.ts"
import { Mismatch, show } from "./internal/check.ts"
import * as appends from "./internal/jobRepository/appends.ts"
import * as bench from "./internal/jobRepository/bench.ts"
import * as jobs from "./internal/jobRepository/jobs.ts"
import * as readers from "./internal/jobRepository/readers.ts"
import * as requests from "./internal/jobRepository/requests.ts"
import * as stores from "./internal/jobRepository/stores.ts"
import * as writers from "./internal/jobRepository/writers.ts"

/**
 * The repository to hold to its promises:
 *
 * - a layer that makes one with nothing in it each time it is built, or
 * - an effect that makes an empty store, and gives a layer that opens it: each build is what another process would have.
 *   Then what was stored must be there for whoever opens the store again, or
 * - a function that makes an object of the Promise API, with `save`, `get`, `list` and `delete`, over an empty store.
 *   Such a one needs `{ fencing: false }`, and is not held to what happened between two saves.
 */
export type Store<E> =
  | Layer.Layer<JobRepository, E>
  | Effect.Effect<Layer.Layer<JobRepository, E>, E, Scope.Scope>
  | (() => PlainJobRepository)

/** What the implementation does not promise. */
export interface Options extends Contract.Timing {
  /** Whether a writer that was taken over can do no harm. Default: true. */
  readonly fencing?: boolean | undefined
  /** Whether two that have the store open see each other's writers, appends and requests. Default: false. */
  readonly crossProcess?: boolean | undefined
}

/**
 * The contract of a repository.
 *
 * With a store that can be opened again, `options.crossProcess` adds what holds between several that have it open.
 */
export const make = <E>(store: Store<E>, options: Options = {}): Contract.Contract => {
  const { crossProcess = false, fencing = true } = options
  const reopens = Effect.isEffect(store)
  const opening: Effect.Effect<Layer.Layer<JobRepository, E | RepositoryError>, E, Scope.Scope> = reopens
    ? store
    : Effect.sync(() => (typeof store === "function" ? FromPromises.jobRepository(store()) : store))
  const on = bench.make({
    crossProcess,
    fencing,
    reopens,
    // Whole jobs, which cannot fence, are saved now and then, and at the end of a run.
    keepsAll: typeof store !== "function" || fencing,
    timing: Contract.patienceOf(options)
  })

  return Contract.make({
    of: "JobRepository",
    layer: Layer.unwrap(Effect.map(opening, (opened) => Layer.merge(opened, reopening(opened)))),
    promises: {
      ...jobs.promises(on),
      ...writers.promises(on),
      ...appends.promises(on),
      ...readers.promises(on),
      ...requests.promises(on),
      ...stores.promises(on)
    }
  })
}

const reopening = <E>(store: Layer.Layer<JobRepository, E>): Layer.Layer<bench.Reopen> =>
  Layer.succeed(
    bench.Reopen,
    Layer.build(Layer.fresh(store)).pipe(
      Effect.mapError((cause) => new Mismatch({ message: `the store could not be opened again: ${show(cause)}` })),
      Effect.map((context) => Context.get(context, JobRepository))
    )
  )
