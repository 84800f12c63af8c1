/** `import()` as an effect. */
import * as Effect from "effect/Effect"

/** The module at a URL; fails with what it threw. A module that has begun cannot be stopped. */
export const importModule = (url: string): Effect.Effect<object, unknown> =>
  Effect.tryPromise({
    // Bundlers cannot know what it will be.
    try: (): Promise<object> => import(/* @vite-ignore */ /* webpackIgnore: true */ url),
    catch: (cause) => cause
  })
