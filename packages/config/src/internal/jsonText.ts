/** JSON as the standard has it: no comments, no trailing commas, no key twice. */
import { parse, type ValueNode } from "@humanwhocodes/momoa"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { describe } from "../ConfigFileError.ts"
import type { Fault, Path, Position, Source } from "./source.ts"

const fault = (detail: string, position?: Position): Fault => ({ language: "JSON", detail, position })

/** Reads a text. */
export const read = (text: string): Result.Result<Source, Fault> => {
  try {
    const { body } = parse(text, { mode: "json" })
    const twice = repeatedKey(body)
    if (twice !== undefined) return Result.fail(twice)
    return Result.succeed({ isText: true, value: valueOf(body), positionOf: (path) => positionOf(body, path) })
  } catch (error) {
    return Result.fail(faultOf(error))
  }
}

/** What the library calls them. */
const tokens: Readonly<Record<string, string>> = {
  LBrace: "{",
  RBrace: "}",
  LBracket: "[",
  RBracket: "]",
  Colon: ":",
  Comma: ","
}

const faultOf = (error: unknown): Fault => {
  if (error instanceof RangeError) return fault("it is nested too deeply")
  // The library puts the place at the end of its message as well. What it quotes is one character or token.
  const detail = describe(error)
    .replace(/\s*\(\d+:\d+\)$/, "")
    .replace(/token (\w+)/, (whole, name: string) => (name in tokens ? JSON.stringify(tokens[name]) : whole))
  const { column, line } = Predicate.isObject(error) ? { column: undefined, line: undefined, ...error } : {}
  return Predicate.isNumber(line) && Predicate.isNumber(column) ? fault(detail, { line, column }) : fault(detail)
}

const nameOf = ({ name }: { readonly name: { readonly type: string } }): string =>
  Predicate.hasProperty(name, "value") ? String(name.value) : ""

const valueOf = (node: ValueNode): unknown => {
  switch (node.type) {
    case "Object":
      // Makes properties of all names, `__proto__` too, where an assignment would set the prototype.
      return Object.fromEntries(node.members.map((member) => [nameOf(member), valueOf(member.value)]))
    case "Array":
      return node.elements.map(({ value }) => valueOf(value))
    case "String":
    case "Number":
    case "Boolean":
      return node.value
    default:
      return null
  }
}

const repeatedKey = (node: ValueNode): Fault | undefined => {
  if (node.type === "Array") {
    for (const { value } of node.elements) {
      const found = repeatedKey(value)
      if (found !== undefined) return found
    }
  }
  if (node.type !== "Object") return undefined
  const seen = new Set<string>()
  for (const member of node.members) {
    const name = nameOf(member)
    if (seen.has(name)) return fault(`the key ${JSON.stringify(name)} is there twice`, startOf(member))
    seen.add(name)
    const found = repeatedKey(member.value)
    if (found !== undefined) return found
  }
  return undefined
}

const startOf = ({ loc: { start } }: { readonly loc: { readonly start: Position } }): Position => ({
  line: start.line,
  column: start.column
})

const positionOf = (body: ValueNode, path: Path): Position => {
  let node = body
  let position = startOf(body)
  for (const key of path) {
    if (node.type === "Object") {
      const member = node.members.find((one) => nameOf(one) === String(key))
      if (member === undefined) return position
      position = startOf(member)
      node = member.value
    } else if (node.type === "Array" && Predicate.isNumber(key)) {
      const element = node.elements[key]
      if (element === undefined) return position
      position = startOf(element)
      node = element.value
    } else return position
  }
  return position
}
