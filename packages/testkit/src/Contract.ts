/**
 * A contract as data: named promises, each with an effect that fails when an implementation breaks it.
 *
 * Nothing here knows a test runner. `Vitest.register` hands a contract to vitest; {@link check} runs it anywhere else.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Patience } from "./internal/check.ts"

/** An implementation does not do what its contract promises. */
export class PromiseBroken extends Schema.TaggedError<PromiseBroken>()("PromiseBroken", {
  /** The contract: `"JobRepository"`. */
  contract: Schema.String,
  /** The promise, which is the name of the case. */
  promise: Schema.String,
  /** What was expected, and what was found. */
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.contract} promises: ${this.promise}\nbroken: ${this.detail}`
  }
}

/** One promise. */
export interface Case {
  readonly name: string
  /** Succeeds when the promise is kept; on an implementation of its own, made for this case and gone after it. */
  readonly run: Effect.Effect<void, PromiseBroken>
}

/** All promises that were asked for. */
export interface Contract {
  /** What it is a contract of: `"JobRepository"`. */
  readonly of: string
  readonly cases: ReadonlyArray<Case>
}

/** How patient the cases are. */
export interface Timing {
  /** How long they wait for what must happen. Default: 10 seconds. */
  readonly patience?: Duration.Input | undefined
  /** How long they watch for what must not happen. Default: 100 milliseconds. */
  readonly quiet?: Duration.Input | undefined
}

/** How long a case may take: many steps, each as patient as can be. */
export const limit: Duration.Duration = Duration.seconds(60)

/** The timing of a contract with its defaults. */
export const patienceOf = (timing: Timing): Patience => ({
  patience: Duration.fromInputUnsafe(timing.patience ?? "10 seconds"),
  quiet: Duration.fromInputUnsafe(timing.quiet ?? "100 millis")
})

/**
 * Makes a contract of promises over one implementation. For contracts of your own; those of core are made by
 * `JobRepositoryContract.make` and its siblings.
 */
export const make = <I, E>(options: {
  readonly of: string
  /** The implementation; built anew for every case. */
  readonly layer: Layer.Layer<I, E>
  /** Each fails when its promise is broken; one that is `undefined` was not asked for. */
  readonly promises: Readonly<Record<string, Effect.Effect<void, Error, I | Scope.Scope> | undefined>>
}): Contract => ({
  of: options.of,
  cases: Object.entries(options.promises).flatMap(([name, promise]) => {
    if (promise === undefined) return []
    const broken = (detail: string) => new PromiseBroken({ contract: options.of, promise: name, detail })
    const run = Layer.build(Layer.fresh(options.layer)).pipe(
      Effect.mapError((cause) => `the implementation could not be made: ${describe(Cause.fail(cause))}`),
      Effect.flatMap((context) =>
        Effect.provideContext(promise, context).pipe(Effect.mapError((cause) => describe(Cause.fail(cause))))
      ),
      Effect.scoped,
      Effect.timeoutOrElse({
        duration: limit,
        orElse: () => Effect.fail(`it was not over after ${Duration.format(limit)}: something never ends`)
      }),
      Effect.catchCause((cause) => Effect.fail(broken(describe(cause))))
    )
    return [{ name, run }]
  })
})

/** Runs every case and gives the promises that are broken, none if the contract is kept. */
export const check = (contract: Contract): Effect.Effect<ReadonlyArray<PromiseBroken>> =>
  Effect.map(
    Effect.forEach(contract.cases, ({ run }) => Effect.result(run)),
    (results) => results.filter(Result.isFailure).map(({ failure }) => failure)
  )

/** The words of an error; with where it came from, when it is a defect: nobody expected that one. */
const describe = (cause: Cause.Cause<unknown>): string =>
  cause.reasons
    .map((reason) => {
      if (reason._tag === "Interrupt") return "it was interrupted"
      const thrown = reason._tag === "Fail" ? reason.error : reason.defect
      if (typeof thrown === "string") return thrown
      return reason._tag === "Fail" && thrown instanceof Error ? thrown.message : Cause.pretty(Cause.die(thrown))
    })
    .join("\n")
