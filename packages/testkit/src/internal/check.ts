/**
 * How contract cases say what they expected and what they found. Everything waits on conditions, and for a bounded time.
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** What was found is not what was promised. */
export class Mismatch extends Data.TaggedError("Mismatch")<{ readonly message: string }> {}

/** A value in words, of bounded length. */
export const show = (value: unknown): string => {
  const text = Formatter.format(value)
  return text.length > 2000 ? `${text.slice(0, 2000)}…` : text
}

const mismatch = (message: string): Effect.Effect<never, Mismatch> => Effect.fail(new Mismatch({ message }))

/** Fails unless two values are structurally the same. */
export const same = (what: string, found: unknown, expected: unknown): Effect.Effect<void, Mismatch> =>
  Equal.equals(found, expected) ? Effect.void : mismatch(`${what}: expected ${show(expected)}, found ${show(found)}`)

/** Fails unless a condition holds; `found` is shown beside what should be. */
export const holds = (what: string, condition: boolean, found: unknown): Effect.Effect<void, Mismatch> =>
  condition ? Effect.void : mismatch(`${what}: found ${show(found)}`)

/** The error of an effect that must fail. */
export const failureOf = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<E, Mismatch, R> =>
  Effect.matchEffect(effect, {
    onFailure: Effect.succeed,
    onSuccess: (value) => mismatch(`${what} should fail, and gave ${show(value)}`)
  })

/** How long a case waits for what must happen, and how long it watches for what must not. */
export interface Patience {
  readonly patience: Duration.Duration
  readonly quiet: Duration.Duration
}

/** Waits until a condition holds. */
export const eventually = <E, R>(
  { patience }: Patience,
  what: string,
  condition: Effect.Effect<boolean, E, R>
): Effect.Effect<void, E | Mismatch, R> =>
  condition.pipe(
    Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => mismatch(`${what}: not within ${Duration.format(patience)}`)
    }),
    Effect.asVoid
  )

/** Waits for an effect to end, and leaves it behind where it does not: what hangs cannot be waited for. */
export const within = <A, E, R>(
  { patience }: Patience,
  what: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | Mismatch, R> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Fiber.join(fiber).pipe(
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => mismatch(`${what}: not done within ${Duration.format(patience)}`)
      })
    )
  )

/**
 * Runs an effect beside the case, until the case is over. One that does not end then either is left behind, so that the
 * case can say what is wrong with it.
 */
export const background = <A, E, R>(
  { patience }: Patience,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<Fiber.Fiber<A, E>, never, R | Scope.Scope> =>
  Effect.acquireRelease(Effect.interruptible(effect).pipe(Effect.forkDetach), (fiber) =>
    Fiber.interrupt(fiber).pipe(
      Effect.forkDetach,
      Effect.flatMap((stopping) => Effect.interruptible(Effect.timeoutOption(Fiber.await(stopping), patience)))
    )
  )
