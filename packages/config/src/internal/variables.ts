/**
 * `${NAME}` in the texts of a JSON or YAML configuration: what the environment variable NAME holds. `$${` is `${` itself.
 *
 * Nothing is looked for in what a variable holds, in keys, in code, and in what says which code is loaded (`plugins` and
 * every `type`).
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { Path } from "./source.ts"

/** Something that is wrong with a text. */
interface Fault {
  readonly path: Path
  readonly message: string
}

/** What came of a configuration. */
export interface Filled {
  readonly value: unknown
  readonly faults: ReadonlyArray<Fault>
  readonly hasVariables: boolean
  /** A text without what came out of the environment, which may be a secret: `${NAME}` stands there in its place. */
  readonly redact: (text: string) => string
}

/** For configurations that have no variables. */
export const keep = (value: unknown): Filled => ({
  value,
  faults: [],
  hasVariables: false,
  redact: (text) => text
})

/** A shorter text is no secret, and taking it out would leave nothing readable. */
const shortestSecret = 4

/** Reads the variables that a configuration names, each once. */
export const fill = Effect.fnUntraced(function* (value: unknown): Effect.fn.Return<Filled> {
  const texts = textsOf(value, [])
  const names = new Set(texts.flatMap(({ text }) => Array.from(text.matchAll(reference), ([, , name]) => name ?? "")))
  const values = new Map<string, string>()
  for (const name of names) {
    const found = name === "" ? Option.none() : yield* Effect.option(Config.String(name))
    if (Option.isSome(found)) values.set(name, found.value)
  }
  const faults = texts.flatMap(({ path, text }) =>
    Array.from(text.matchAll(reference)).flatMap(([whole, escaped, name]): ReadonlyArray<Fault> => {
      if (escaped !== undefined || (name !== undefined && values.has(name))) return []
      const message =
        name === undefined
          ? // oxlint-disable-next-line no-template-curly-in-string -- that is what is meant
            'has a "${" that begins nothing: write ${NAME} with the name of a variable, or $${ for ${ itself'
          : `names the environment variable ${name}, which is not set`
      return whole === "" ? [] : [{ path, message }]
    })
  )
  return { value: filled(value, values), faults, hasVariables: values.size > 0, redact: redactor(values) }
})

// Of what is escaped, well formed and neither, in this order.
const reference = /(\$\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{/g

interface Text {
  readonly path: Path
  readonly text: string
}

const isCode = (key: string | number, depth: number): boolean =>
  key === "type" || (depth === 0 && (key === "plugins" || key === "$schema"))

const textsOf = (value: unknown, path: Path): ReadonlyArray<Text> => {
  if (Predicate.isString(value)) return [{ path, text: value }]
  if (Array.isArray(value)) return value.flatMap((inner, index) => textsOf(inner, [...path, index]))
  if (!Predicate.isObject(value)) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    isCode(key, path.length) ? [] : textsOf(inner, [...path, key])
  )
}

const filled = (value: unknown, values: ReadonlyMap<string, string>, depth = 0): unknown => {
  if (Predicate.isString(value)) {
    return value.replace(reference, (whole: string, escaped: string | undefined, name: string | undefined) =>
      escaped === undefined ? (values.get(name ?? "") ?? whole) : "${"
    )
  }
  if (Array.isArray(value)) return value.map((inner: unknown) => filled(inner, values, depth + 1))
  if (!Predicate.isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, isCode(key, depth) ? inner : filled(inner, values, depth + 1)])
  )
}

const redactor = (values: ReadonlyMap<string, string>): Filled["redact"] => {
  const secrets = Array.from(values)
    .flatMap(([name, value]) => spellings(value).map((text) => ({ name, text })))
    .filter(({ text }) => text.length >= shortestSecret)
    // One that holds another one first.
    .toSorted((a, b) => b.text.length - a.text.length)
  return (text) => secrets.reduce((shown, { name, text: secret }) => shown.replaceAll(secret, `\${${name}}`), text)
}

/** As it is, and as URLs, JSON and the libraries that read them write it. */
const spellings = (value: string): ReadonlyArray<string> => {
  const decoded = Option.liftThrowable(decodeURIComponent)(value)
  return [
    ...new Set([value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1), ...Option.toArray(decoded)])
  ]
}
