import * as Formatter from "effect/Formatter"

/** What was thrown, in words: never throws and stays short. A host of which no address answers throws errors in an error. */
export const describe = (cause: unknown): string =>
  cause instanceof AggregateError && cause.message === ""
    ? cause.errors.slice(0, 5).map(describe).join(", ")
    : Formatter.format(cause).slice(0, 1000)

/** How much of a text is kept that nobody else bounds, in characters. */
const most = 4096

/** A text that stays short, however much somebody wrote: how it begins, and more of how it ends. */
export const brief = (text: string): string =>
  text.length <= most ? text : `${text.slice(0, most / 4)}\n…\n${text.slice(-(most / 4) * 3)}`
