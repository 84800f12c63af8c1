/**
 * Calls code that a user wrote with promises, as an effect: what it throws or rejects with, whatever that is, becomes a
 * `Thrown`; interruption aborts its signal and then waits for it, but not for ever.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Defect from "../Defect.ts"

/** What a user's promise was rejected with. */
export class Thrown extends Data.TaggedError("Thrown")<{ readonly value: unknown }> {
  override get message(): string {
    return textOf(this.value)
  }
}

/** What was thrown, in words. Errors of commands hold what these have printed, and an error's message can throw itself. */
const textOf = (value: unknown): string => {
  try {
    if (typeof value === "string") return Defect.brief(value)
    return value instanceof Error && value.message !== "" ? Defect.brief(value.message) : Defect.describe(value)
  } catch {
    return "something that cannot be told in words"
  }
}

/** How long a user's promise may take to settle once its signal is aborted. */
const settleTimeout = Duration.seconds(10)

/** What a signal was given out in: the trace and the annotations of whoever called. */
const contexts = new WeakMap<AbortSignal, Context.Context<never>>()

/** The context of the call that a signal was given out for. */
export const contextOf = (signal: AbortSignal | undefined): Context.Context<never> =>
  (signal === undefined ? undefined : contexts.get(signal)) ?? Context.empty()

/** Calls it. `abandoned` is told when it had not settled in time after an abort; what it does then changes nothing. */
export const call = <A>(
  run: (signal: AbortSignal) => PromiseLike<A> | A,
  abandoned: () => void = () => {}
): Effect.Effect<A, Thrown> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.callback((resume, signal) => {
      contexts.set(signal, context)
      const settled = Promise.resolve(signal)
        .then(run)
        .then(
          (value) => resume(Effect.succeed(value)),
          (value: unknown) => resume(Effect.fail(new Thrown({ value })))
        )
      return Effect.promise(() => settled).pipe(
        Effect.timeoutOrElse({ duration: settleTimeout, orElse: () => Effect.sync(abandoned) })
      )
    })
  )

/** An error that says what a user's code said, and keeps what it threw as its `cause`, for whoever prints it. */
export const causedBy = <E extends Error>(error: E, { value }: Thrown): E => {
  Object.defineProperty(error, "cause", { value, configurable: true })
  return error
}
