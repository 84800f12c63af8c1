/** Which errors the packages can give, and which of them the page about troubleshooting explains. */
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { sectionsIn, textOf } from "./Markdown.ts"
import { root } from "./Pages.ts"
import { modules } from "./Reference.ts"

/** The page that explains them: a section for each error, in it a table with a line for each of its reasons. */
const page = "docs/troubleshooting.md"

/** What the tags of a union are: of the errors that are its members, or the words themselves. */
const tagsOf = (schema: unknown): ReadonlyArray<string> => {
  if (!Schema.isSchema(schema) || !SchemaAST.isUnion(schema.ast)) return []
  return schema.ast.types.flatMap((type) => {
    const tag = SchemaAST.isLiteral(type) ? type.literal : type.annotations?.["identifier"]
    return typeof tag === "string" ? [tag] : []
  })
}

const Fields = Schema.Struct({ reason: Schema.optionalKey(Schema.Unknown), why: Schema.optionalKey(Schema.Unknown) })

/** The reasons of an error: the members of its field `reason`, or `why`. */
const reasonsOf = (error: object): ReadonlyArray<string> => {
  if (!("fields" in error) || !Schema.is(Fields)(error.fields)) return []
  return tagsOf(error.fields.reason ?? error.fields.why)
}

const isErrorClass = (value: unknown): value is object =>
  typeof value === "function" && "prototype" in value && value.prototype instanceof Error

const load = (file: string): Promise<object> => import(pathToFileURL(join(root, file)).href)

/** Everything that a public module exports and that is an error, by name, with its reasons. */
const exported = async (): Promise<ReadonlyMap<string, ReadonlySet<string>>> => {
  const errors = new Map<string, Set<string>>()
  // That one registers tests, and loads in a test runner only.
  const files = modules().filter((file) => !file.endsWith("/Vitest.ts"))
  for (const module of await Promise.all(files.map(load))) {
    for (const [name, value] of Object.entries<unknown>({ ...module })) {
      if (!isErrorClass(value)) continue
      const reasons = errors.get(name) ?? new Set()
      for (const reason of reasonsOf(value)) reasons.add(reason)
      errors.set(name, reasons)
    }
  }
  return errors
}

const plain = (text: string): ReadonlyArray<string> => /^`(.+)`$/.exec(text)?.slice(1) ?? []

/** Which errors the page has sections for, by name, with the reasons in their tables. */
const explained = (): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map(
    sectionsIn(textOf(page)).flatMap(({ heading, rows }) =>
      plain(heading).map((name) => [name, new Set(rows.flatMap(plain))] as const)
    )
  )

const missing = (from: ReadonlySet<string>, others: ReadonlySet<string>): ReadonlyArray<string> =>
  [...from].filter((one) => !others.has(one))

/** What the page lacks, and what it has that there is not. An error that is a reason of another one needs no section. */
export const differences = async (): Promise<ReadonlyArray<string>> => {
  const [errors, sections] = [await exported(), explained()]
  const reasons = new Set(Array.from(errors.values(), (tags) => [...tags]).flat())
  const lacking = Array.from(errors, ([name, tags]) => {
    const section = sections.get(name)
    if (section === undefined) return tags.size > 0 || !reasons.has(name) ? [`has no section \`${name}\``] : []
    return missing(tags, section).map((tag) => `says nothing of \`${tag}\` in the section \`${name}\``)
  }).flat()
  const invented = Array.from(sections, ([name, section]) => {
    const tags = errors.get(name)
    if (tags === undefined) return [`has a section \`${name}\`, and nothing exports such an error`]
    return missing(section, tags).map((tag) => `explains \`${tag}\` of \`${name}\`, which has no such reason`)
  }).flat()
  return [...lacking, ...invented].map((what) => `${page} ${what}`)
}
