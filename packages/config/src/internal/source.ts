/** A configuration's content, and where in its text each part of it stands. */
import * as Predicate from "effect/Predicate"
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

/** Code has no places to point at. An option that is `undefined` there is one that is left out. */
export const fromValue = (value: unknown): Source => ({
  isText: false,
  value: withoutUndefined(value, []),
  positionOf: () => undefined
})

/** Plugins, and whatever else is no plain data, stay as they are. */
const withoutUndefined = (value: unknown, above: ReadonlyArray<unknown>): unknown => {
  if (above.includes(value)) return value
  const within = [...above, value]
  if (Array.isArray(value)) return value.map((inner: unknown) => withoutUndefined(inner, within))
  if (!isPlain(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      if (inner === undefined) return []
      return [[key, above.length === 0 && key === "plugins" ? inner : withoutUndefined(inner, within)]]
    })
  )
}

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isObject(value) && Object.getPrototypeOf(value) === Object.prototype

/** The path that an issue's text names: `zones[1].name`. */
export const parsePath = (text: string): Path =>
  Array.from(text.matchAll(/\[(\d+)\]|[^.[\]]+/g), ([part, index]) => (index === undefined ? part : Number(index)))
