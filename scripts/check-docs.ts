/**
 * Type-checks every TypeScript block of the READMEs, as a user would write it: against the packages' sources, in a file of
 * its own. A block that is a part of something says so by ` ```ts no-check `.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { blocksOf, readmes } from "./readme-blocks.ts"

const root = join(import.meta.dirname, "..")
// A workspace package that depends on all the others, so that their names resolve.
const folder = join(root, "examples/recipes/.docs")

const blocks = readmes().flatMap((page) =>
  blocksOf(page, "ts").map((code, index) => ({ name: `${page.replaceAll("/", "_")}.${index + 1}.ts`, code }))
)

mkdirSync(folder, { recursive: true })
try {
  const compilerOptions = { noEmit: true, noUnusedLocals: false }
  for (const { code, name } of blocks) writeFileSync(join(folder, name), code)
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: join(root, "tsconfig.base.json"), compilerOptions, include: ["*.ts"] })
  )
  const { status } = spawnSync("tsc", ["--project", folder], { stdio: ["ignore", "inherit", "inherit"] })
  console.log(`${blocks.length} blocks of TypeScript in the READMEs`)
  process.exitCode = status ?? 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
