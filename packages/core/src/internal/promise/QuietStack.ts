/** Stacks for people who wait for a promise: the engine's own frames say nothing of them, and bury who they are. */
import * as Predicate from "effect/Predicate"

/** Takes the engine's frames out of the errors in an error; `where` are frames that say more, such as those of who waits. */
export const quiet = (error: unknown, where: string = ""): void => {
  if (!(error instanceof Error)) return
  if (/~effect\/|FiberImpl/.test(error.stack ?? "")) error.stack = `${error.name}: ${error.message}${where}`
  if (Predicate.hasProperty(error, "reason")) quiet(error.reason)
  if (Predicate.hasProperty(error, "last")) quiet(error.last)
}

/** The frames of who calls who calls this; after an `await`, of who waits. */
export const here = (): string => {
  const [, , ...frames] = (new Error("here").stack ?? "").split("\n    at ")
  return frames.map((frame) => `\n    at ${frame}`).join("")
}
