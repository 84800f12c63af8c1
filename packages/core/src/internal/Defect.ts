import * as Formatter from "effect/Formatter"

/** What was thrown, in words: never throws and stays short. A host of which no address answers throws errors in an error. */
export const describe = (cause: unknown): string =>
  cause instanceof AggregateError && cause.message === ""
    ? cause.errors.slice(0, 5).map(describe).join(", ")
    : Formatter.format(cause).slice(0, 1000)
