/** YAML 1.2 as its core schema has it: no tags of one's own, one document, no key twice, few aliases. */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml"
import { describe } from "../ConfigFileError.ts"
import type { Fault, Path, Position, Source } from "./source.ts"

const fault = (detail: string, position?: Position): Fault => ({ language: "YAML", detail, position })

/** Aliases stand for nodes that may be full of aliases: more than this many is no configuration. */
const maxAliasCount = 100

/** Reads a text. */
export const read = (text: string): Result.Result<Source, Fault> => {
  const lines = new LineCounter()
  const at = (offset: number): Position => {
    const { col, line } = lines.linePos(offset)
    return { line, column: col }
  }
  try {
    // Not "pretty" errors, which quote the lines around: there may be a secret in them.
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
    // What is a warning to the library, such as a tag that nobody knows, is not what was meant either.
    const [wrong] = [...document.errors, ...document.warnings]
    if (wrong !== undefined) {
      // The library's words for this are about its own functions.
      const detail = wrong.code === "MULTIPLE_DOCS" ? "there is more than one document in it" : wrong.message
      return Result.fail(fault(detail, at(wrong.pos[0])))
    }
    const value: unknown = document.toJS({ maxAliasCount })
    // An alias inside its own anchor; nothing can be done with what goes on for ever.
    JSON.stringify(value)
    const { contents } = document
    return Result.succeed({
      isText: true,
      value,
      positionOf: (path) => (contents === null ? undefined : positionOf(contents, path, at))
    })
  } catch (error) {
    if (error instanceof RangeError) return Result.fail(fault("it is nested too deeply"))
    if (error instanceof TypeError) return Result.fail(fault("an alias stands inside of what it stands for"))
    return Result.fail(fault(describe(error)))
  }
}

const positionOf = (contents: Node, path: Path, at: (offset: number) => Position): Position | undefined => {
  let node: unknown = contents
  let found = isNode(node) ? node : undefined
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((one) => isScalar(one.key) && String(one.key.value) === String(key))
      if (pair === undefined) break
      if (isNode(pair.key)) found = pair.key
      node = pair.value
    } else if (isSeq(node) && Predicate.isNumber(key)) {
      node = node.items[key]
      if (!isNode(node)) break
      found = node
    } else break
  }
  const offset = found?.range?.[0]
  return offset === undefined ? undefined : at(offset)
}
