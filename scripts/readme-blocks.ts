/** The code in the READMEs. A block that is a part of something says so by ` ```ts no-check `, and is not one of these. */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")

/** The pages that have code, from the repository's root. */
export const readmes = (): ReadonlyArray<string> =>
  globSync(["README.md", "docs/*.md", "packages/*/README.md"], { cwd: root }).toSorted()

/** A page's blocks in one language, in order. */
export const blocksOf = (page: string, language: string): ReadonlyArray<string> =>
  Array.from(
    readFileSync(join(root, page), "utf8").matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "gm")),
    ([, code = ""]) => code
  )
