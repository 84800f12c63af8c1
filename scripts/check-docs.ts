/**
 * Holds the pages, and the doc comments that the API reference is made of, to what is true: their code compiles as a user
 * would write it, against the packages' sources; what they
 * show of a file is what the file holds; their job files and configurations are such; their shell commands parse; and every error has its
 * entry. Code that says `run` is run by the tests of `site/`; dead links are found by `pnpm check site`.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { dataIssue } from "../site/src/DataFiles.ts"
import * as Errors from "../site/src/Errors.ts"
import { type Fence, fencesInComments, fencesOf, fileOf, place } from "../site/src/Fences.ts"
import { install } from "../site/src/Packages.ts"
import { root, written } from "../site/src/Pages.ts"
import { modules } from "../site/src/Reference.ts"

const fences = [
  ...["README.md", ...written].flatMap(fencesOf),
  ...modules().flatMap((file) => fencesInComments(file, readFileSync(join(root, file), "utf8")))
]
const checked = fences.filter(({ unchecked }) => unchecked === undefined)
const issues: Array<string> = []

// Below the package that has what examples name.
const folder = join(root, "site/.docs")

/** That a parameter has no type, which is no mistake in JavaScript. */
const untyped = /^\S+\.mjs\(\d+,\d+\): error TS70\d\d:/

/** Compiles every block as a file of its own; gives what is wrong. */
const compile = (blocks: ReadonlyArray<Fence>): ReadonlyArray<string> => {
  for (const fence of blocks) {
    // Blocks of one page that have names find each other by them.
    const file = join(folder, fence.page.replaceAll("/", "_"), fileOf(fence))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, fence.code)
  }
  const compilerOptions = {
    allowJs: true,
    checkJs: true,
    noEmit: true,
    noUnusedLocals: false,
    declaration: false,
    declarationMap: false
  }
  const project = { extends: join(root, "tsconfig.base.json"), compilerOptions, include: ["**/*.ts", "**/*.mjs"] }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project))
  const { stdout } = spawnSync("tsc", ["--pretty", "false", "--project", folder], { encoding: "utf8" })
  const lines = stdout.split("\n").filter((line) => line !== "" && !untyped.test(line))
  return lines.length === 0 ? [] : [...lines, "line-7.ts is the block that begins in line 7"]
}

const issueOf = ({ code, file, language }: Fence): string | undefined => {
  if (file !== undefined) {
    if (!existsSync(join(root, file))) return `there is no ${file}`
    if (readFileSync(join(root, file), "utf8") !== code) return `is not what ${file} holds`
  }
  switch (language) {
    case "json":
    case "yaml":
      return dataIssue(language, code)
    case "sh": {
      const { status, stderr } = spawnSync("bash", ["-n"], { input: code, encoding: "utf8" })
      return status === 0 ? undefined : stderr
    }
    default:
      return undefined
  }
}

try {
  install(folder)
  issues.push(...compile(checked.filter(({ language }) => language === "ts" || language === "js")))
  for (const fence of checked) {
    const issue = issueOf(fence)
    if (issue !== undefined) issues.push(`${place(fence)}: ${issue}`)
  }
  issues.push(...(await Errors.differences()))
} finally {
  rmSync(folder, { recursive: true, force: true })
}

const count = (of: string, which: ReadonlyArray<Fence>) => `${which.length} ${of}`
const counts = ["ts", "js", "json", "yaml", "sh"].map((one) =>
  count(
    one,
    checked.filter(({ language }) => language === one)
  )
)
const run = checked.filter(({ run }) => run)
console.log(`${fences.length} blocks of code: ${counts.join(", ")}; ${count("of them run in the tests", run)}`)
for (const fence of fences) {
  if (fence.unchecked !== undefined) console.log(`not checked: ${place(fence)}: ${fence.unchecked}`)
}
for (const issue of issues) console.error(issue)
if (issues.length > 0) process.exitCode = 1
