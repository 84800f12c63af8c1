/** The parts of a page that somebody looks for. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { lexer, type Token, type Tokens, walkTokens } from "marked"
import { root } from "./Pages.ts"

/** What a page says. */
export const textOf = (page: string): string => readFileSync(join(root, page), "utf8")

const isFence = (token: Token): token is Tokens.Code => token.type === "code" && /^[`~]/.test(token.raw)

/** The fenced blocks of a text, in order, those in lists and quotes included. */
export const fencesIn = (text: string): ReadonlyArray<Tokens.Code> => {
  const found: Array<Tokens.Code> = []
  void walkTokens(lexer(text), (token) => void (isFence(token) && found.push(token)))
  return found
}

/** A heading, and the first cells of the tables below it. */
export interface Section {
  readonly heading: string
  readonly rows: ReadonlyArray<string>
}

const isHeading = (token: Token): token is Tokens.Heading => token.type === "heading"
const isTable = (token: Token): token is Tokens.Table => token.type === "table"

/** The sections of a text, in order. */
export const sectionsIn = (text: string): ReadonlyArray<Section> => {
  const sections: Array<{ readonly heading: string; readonly rows: Array<string> }> = []
  for (const token of lexer(text)) {
    if (isHeading(token)) sections.push({ heading: token.text, rows: [] })
    if (isTable(token)) sections.at(-1)?.rows.push(...token.rows.map(([first]) => first?.text ?? ""))
  }
  return sections
}
