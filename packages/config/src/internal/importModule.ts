/** `import()` as an effect. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { describe } from "../ConfigFileError.ts"

/** A module could not be found, or failed when it was run; `cause` is what it threw. */
export class ImportError extends Data.TaggedError("ImportError")<{ readonly cause: unknown }> {
  override get message(): string {
    return describe(this.cause)
  }
  /** Whether it is this package that was not found, and not something that it needs itself. */
  isMissing(name: string): boolean {
    const { cause } = this
    const code = Predicate.hasProperty(cause, "code") ? cause.code : undefined
    return code === "ERR_MODULE_NOT_FOUND" && describe(cause).includes(`'${name}'`)
  }
}

const fail = (cause: unknown): ImportError => new ImportError({ cause })

/** Loads a module. One that has begun to run cannot be stopped. */
export const load = (run: () => Promise<object>): Effect.Effect<object, ImportError> =>
  Effect.tryPromise({ try: run, catch: fail })

/** The module at a URL. */
export const importModule = (url: string): Effect.Effect<object, ImportError> =>
  // Bundlers cannot know what it will be.
  load(() => import(/* @vite-ignore */ /* webpackIgnore: true */ url))

/** The module that `import(specifier)` would give in another one. Node's own tells what it would give here. */
export const importFrom = (specifier: string, parent: string): Effect.Effect<object, ImportError> =>
  Effect.promise(() => import("import-meta-resolve")).pipe(
    Effect.flatMap(({ resolve }) => Effect.try({ try: () => resolve(specifier, parent), catch: fail })),
    Effect.flatMap(importModule)
  )
