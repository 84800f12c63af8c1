/**
 * The blocks of code in the pages, and what each says is to be done with it.
 *
 * The words after the language in a fence's first line: `run` has it executed in CI, in a folder of its own for each page;
 * `[plan.mjs]` is the name under which a reader saves it, and other blocks of the page find it; `file=…` says which file of
 * the repository it shows, whole; `output` says that the block above prints this; `no-check: …` leaves it alone, and why.
 */
import type { Tokens } from "marked"
import { fencesIn, textOf } from "./Markdown.ts"

/** A block of code. */
export interface Fence {
  /** The page, relative to the repository's folder. */
  readonly page: string
  /** Where in the page it begins, counted from 1. */
  readonly line: number
  readonly language: string
  readonly code: string
  readonly run: boolean
  readonly output: boolean
  readonly name: string | undefined
  readonly file: string | undefined
  /** Why it is not checked. */
  readonly unchecked: string | undefined
}

/** Where a fence is, as a message names it. */
export const place = ({ line, page }: Fence): string => `${page}:${line}`

/** The file that it is saved as, in the folder of its page. */
export const fileOf = ({ language, line, name }: Fence): string =>
  name ?? `line-${line}.${language === "js" ? "mjs" : language}`

const parse = (page: string, line: number, { lang = "", text }: Tokens.Code): Fence => {
  const [said = "", unchecked] = lang.split(/ no-check(?::\s*|$)/, 2)
  const [language = "", ...words] = said.trim().split(/\s+/)
  const named = (pattern: RegExp): string | undefined => {
    const index = words.findIndex((word) => pattern.test(word))
    return index === -1 ? undefined : pattern.exec(words.splice(index, 1)[0] ?? "")?.[1]
  }
  const flag = (word: string): boolean => named(new RegExp(`^(${word})$`)) !== undefined
  const fence = { page, line, language, code: `${text}\n`, unchecked }
  const meant = { name: named(/^\[(.+)\]$/), file: named(/^file=(.+)$/), run: flag("run"), output: flag("output") }
  if (words.length > 0) throw new Error(`${page}:${line}: a fence cannot say ${words.join(" ")}`)
  if (unchecked === "") throw new Error(`${page}:${line}: no-check says why, after a colon`)
  return { ...fence, ...meant }
}

/** All fences of a page's text, in order, those in lists and quotes included. */
export const fencesFrom = (page: string, text: string): ReadonlyArray<Fence> => {
  let end = 0
  return fencesIn(text).map((token) => {
    const opening = token.raw.split("\n", 1)[0] ?? ""
    const start = text.indexOf(opening, end)
    // One in a list is indented in the text, and not in `raw`.
    end = start + (text.startsWith(token.raw, start) ? token.raw : opening).length
    return parse(page, text.slice(0, start).split("\n").length, token)
  })
}

/** All fences of a page. */
export const fencesOf = (page: string): ReadonlyArray<Fence> => fencesFrom(page, textOf(page))

/** All fences of the doc comments in a source's text, which the API reference shows, in the lines where they are. */
export const fencesInComments = (file: string, source: string): ReadonlyArray<Fence> => {
  let inside = false
  const lines = source.split("\n").map((line) => {
    inside ||= /^\s*\/\*\*/.test(line)
    const said = inside ? line.replace(/^\s*(?:\/\*\*|\*(?!\/)) ?/, "") : ""
    if (!line.includes("*/")) return said
    inside = false
    return said.replace(/\s*\*\/.*$/, "")
  })
  return fencesFrom(file, lines.join("\n"))
}
