/** A configuration's content, and where in its text each part of it stands. */
import type { Malformed } from "../ConfigFileError.ts"

/** A place in a text; both from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** What is wrong with a text, and where. */
export interface Fault {
  readonly language: Malformed["language"]
  readonly detail: string
  readonly position: Position | undefined
}

/** A key or an index. */
export type Path = ReadonlyArray<string | number>

/** What was read. */
export interface Source {
  /** Whether it was written as text, in which variables stand; code has its own ways to them. */
  readonly isText: boolean
  /** Plain data; what stands under `__proto__` is a property of that name. */
  readonly value: unknown
  /** Where the last part of a path stands that is there: the key of a member, an element itself. */
  readonly positionOf: (path: Path) => Position | undefined
}

/** Code has no places to point at. */
export const fromValue = (value: unknown): Source => ({ isText: false, value, positionOf: () => undefined })

/** The path that an issue's text names: `zones[1].name`. */
export const parsePath = (text: string): Path =>
  Array.from(text.matchAll(/\[(\d+)\]|[^.[\]]+/g), ([part, index]) => (index === undefined ? part : Number(index)))
