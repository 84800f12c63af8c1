/**
 * Checks options of the Promise API where no compiler has seen them: one that does not exist, and a value that is none,
 * are told at once and by name, so that nobody's limit is lost to a slip of the pen. For core's own classes, and for
 * packages that offer such classes.
 *
 * ```ts
 * import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
 *
 * interface FarmOptions {
 *   readonly queue?: string | undefined
 *   readonly slots?: number | undefined
 * }
 *
 * const rules: PromiseOptions.Rules<FarmOptions> = { queue: PromiseOptions.text, slots: PromiseOptions.whole(1) }
 *
 * export class FarmAdapter {
 *   constructor(options: FarmOptions = {}) {
 *     PromiseOptions.check("FarmAdapter", options, rules)
 *   }
 * }
 * ```
 */
import * as Predicate from "effect/Predicate"
import * as NearMiss from "./internal/NearMiss.ts"

/** Says what is wrong with the value of an option, by its name; nothing where it is right. */
export type Rule = (value: unknown, name: string) => string | undefined

/** A rule for every option that there is. */
export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule }

/** What is wrong with options: the first thing. One that is `undefined` counts as left out. */
export const issue = (
  options: unknown,
  rules: Readonly<Record<string, Rule>>,
  name: string = "the options"
): string | undefined => {
  if (!isRecord(options)) return `${name} must be an object, ${name.endsWith("s") ? "are" : "is"} ${told(options)}`
  const known = Object.keys(rules)
  const unknown = Object.keys(options).find((key) => options[key] !== undefined && !Object.hasOwn(rules, key))
  if (unknown !== undefined) {
    const near = NearMiss.find(unknown, known)
    const there = near === undefined ? `there are ${known.join(", ")}` : `did you mean ${near}?`
    return `there is no option ${unknown.slice(0, 100)}: ${there}`
  }
  for (const key of known) {
    const wrong = options[key] === undefined ? undefined : rules[key]?.(options[key], key)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

/** Throws a `TypeError` that says what is wrong with options, and whose they are; also where one of `needed` is left out. */
export const check = (
  who: string,
  options: unknown,
  rules: Readonly<Record<string, Rule>>,
  needed: ReadonlyArray<string> = []
): void => {
  const missing = needed.find((key) => isRecord(options) && options[key] === undefined)
  const wrong = issue(options, rules) ?? (missing === undefined ? undefined : `${missing} is missing`)
  if (wrong !== undefined) throw new TypeError(`${who}: ${wrong}`)
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isObject(value) && !Predicate.isPromiseLike(value)

/** A value in words. What is in an object is not told: it may be a secret. */
const told = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100))
  if (typeof value === "function") return "a function"
  if (Array.isArray(value)) return "a list"
  if (Predicate.isPromiseLike(value)) return "a promise"
  return typeof value === "object" && value !== null ? "an object" : String(value)
}

/** A rule of one's own: what the value must be, in words, and whether it is that. */
export const must =
  (expected: string, is: (value: unknown) => boolean): Rule =>
  (value, name) =>
    is(value) ? undefined : `${name} must be ${expected}, is ${told(value)}`

/** Whatever it is, somebody else looks at it. */
export const anything: Rule = () => undefined

/** A text. */
export const text: Rule = must("a text", Predicate.isString)

/** A list of texts. */
export const texts: Rule = must("a list of texts", (value) => Array.isArray(value) && value.every(Predicate.isString))

/** One of some texts. */
export const oneOf = (...words: ReadonlyArray<string>): Rule =>
  must(words.map((word) => JSON.stringify(word)).join(" or "), (value) => words.some((word) => word === value))

/** `true` or `false`. */
export const flag: Rule = must("true or false", Predicate.isBoolean)

/** A whole number. */
export const whole = (least: number): Rule =>
  must(`a whole number from ${least}`, (value) => Number.isSafeInteger(value) && Number(value) >= least)

/** A time as a number. */
export const millis: Rule = must(
  "a number of milliseconds from 0",
  (value) => Predicate.isNumber(value) && Number.isFinite(value) && value >= 0
)

/** A function. */
export const callable: Rule = must("a function", Predicate.isFunction)

/** An object with such methods. */
export const methods =
  (...methods: ReadonlyArray<string>): Rule =>
  (value, name) => {
    const missing = methods.find(
      (method) => !Predicate.hasProperty(value, method) || !Predicate.isFunction(value[method])
    )
    return missing === undefined ? undefined : `${name} must have a method ${missing}`
  }

/** Environment variables. */
export const variables: Rule = (value, name) => {
  if (!isRecord(value)) return `${name} must be an object of texts, is ${told(value)}`
  const wrong = Object.keys(value).find((key) => !Predicate.isString(value[key]))
  return wrong === undefined ? undefined : text(value[wrong], `${name}.${wrong}`)
}

/** An `AbortSignal`, of this realm or another. */
export const abortSignal: Rule = must(
  "an AbortSignal, such as the signal of an AbortController",
  (value) =>
    Predicate.hasProperty(value, "aborted") &&
    Predicate.hasProperty(value, "addEventListener") &&
    Predicate.hasProperty(value, "throwIfAborted") &&
    Predicate.isFunction(value.throwIfAborted)
)
