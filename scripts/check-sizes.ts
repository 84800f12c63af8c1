/**
 * Holds every entry of the built packages to its size in `bench/sizes.md`: no more than 10 % above it, and none that is
 * not in the table or no longer there. `pnpm sizes --update` writes the table anew, for a growth that is worth it.
 */
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { measure, type Size } from "../bench/src/Sizes.ts"

const slack = 1.1

const file = join(import.meta.dirname, "../bench/sizes.md")

const heading = `# Sizes

What each import weighs, in kilobytes (1000 bytes), minified: the package's own code, and with everything that it
imports: Effect, libraries, our other packages. \`pnpm check sizes\` fails when one of them grows by more than 10 %;
\`pnpm sizes --update\` accepts it. How long imports take: \`pnpm bench imports\`.

| import | own code | with everything |
| :-- | --: | --: |
`

const kilobytes = (bytes: number) => (bytes / 1000).toFixed(1)

const write = (sizes: ReadonlyMap<string, Size>) => {
  const rows = Array.from(
    sizes,
    ([name, { own, whole }]) => `| \`${name}\` | ${kilobytes(own)} | ${kilobytes(whole)} |\n`
  )
  writeFileSync(file, heading + rows.join(""))
  spawnSync("oxfmt", [file], { stdio: "inherit" })
  console.log(`${sizes.size} imports are in bench/sizes.md`)
}

/** In bytes, from the table. */
const written = (): ReadonlyMap<string, Size> => {
  const rows = readFileSync(file, "utf8").matchAll(/^\| `(.+?)` +\| +([\d.]+) \| +([\d.]+) \|$/gm)
  return new Map(
    Array.from(rows, ([, name = "", own, whole]) => [name, { own: Number(own) * 1000, whole: Number(whole) * 1000 }])
  )
}

/** What is wrong, one line each. */
const compare = (now: ReadonlyMap<string, Size>, before: ReadonlyMap<string, Size>): ReadonlyArray<string> => {
  const gone = [...before.keys()].filter((name) => !now.has(name)).map((name) => `${name} is no longer there`)
  const here = Array.from(now).flatMap(([name, size]) => {
    const was = before.get(name)
    if (was === undefined) return [`${name} is not in the table`]
    return (["own", "whole"] as const).flatMap((which) => {
      // Half of the table's last digit is rounding. Not `>`, which a number that is none would pass.
      if (size[which] <= (was[which] + 50) * slack) return []
      const grown = `${kilobytes(was[which])} kB to ${kilobytes(size[which])} kB`
      return [`${name}, ${which === "own" ? "own code" : "with everything"}: from ${grown}`]
    })
  })
  return [...gone, ...here]
}

const sizes = await measure()
if (process.argv.includes("--update")) write(sizes)
else {
  const wrong = compare(sizes, written())
  if (wrong.length === 0)
    console.log(`${sizes.size} imports are as large as bench/sizes.md says, or less than 10 % above`)
  else {
    console.error(`${wrong.join("\n")}\n\nMake them smaller, or accept them with \`pnpm sizes --update\`.`)
    process.exitCode = 1
  }
}
