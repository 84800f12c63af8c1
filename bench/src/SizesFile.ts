/**
 * `bench/sizes.md`: what the packages and each import of them weigh, written for people, and read back to hold the code to
 * it. Measuring is not done here.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** What a package costs whoever installs and imports it. */
export interface PackageSize {
  /** The files of the package itself, in bytes. */
  readonly own: number
  /** All that an `npm install` of it puts into `node_modules`, in bytes. */
  readonly installed: number
  /** Its main entry with all that it imports but Effect, minified and gzipped, in bytes. */
  readonly withoutEffect: number
  /** The same with Effect. */
  readonly zipped: number
  /** How long its main entry takes to import, in times of what Node alone takes to start. */
  readonly loads: number
}

/** What an import weighs, minified, in bytes. */
export interface ImportSize {
  /** The package's own code. */
  readonly own: number
  /** All that an import adds to a program in which nothing else is. */
  readonly whole: number
}

/** All that the file says. */
export interface Sizes {
  readonly packages: ReadonlyMap<string, PackageSize>
  /** The names of the packages of others that each brings; a scope stands for all of its packages. */
  readonly brings: ReadonlyMap<string, ReadonlyArray<string>>
  readonly imports: ReadonlyMap<string, ImportSize>
}

/** Where it is. */
export const file = join(import.meta.dirname, "../sizes.md")

const heading = `# Sizes

In kilobytes (1000 bytes). \`pnpm check sizes packages\` fails when one of these grows by more than 10 %, or when a package
brings one that is not listed here; \`pnpm sizes --update\` accepts it.

## Packages

On disk: the package's own files, with sources and maps, and all that \`npm install\` of it brings, optional
dependencies aside. Then what its main entry adds to a program, minified and gzipped: Effect left out, which a program
that uses Effect has anyway, and with everything. Last, how long it takes to import, in times of what Node alone takes to
start; measured once, held to nothing, and by import with \`pnpm bench imports\`.

| package | own files | installed | without Effect | with everything | loads in |
| :-- | --: | --: | --: | --: | --: |
`

const bringsHeading = `
## What comes with them

The packages of others that an \`npm install\` of each brings; \`@scope/*\` stands for any number.

`

const importsHeading = `
## Imports

Minified: the package's own code, and with everything that it imports: Effect, libraries, our other packages.

| import | own code | with everything |
| :-- | --: | --: |
`

const kilobytes = (bytes: number) => (bytes / 1000).toFixed(1)

/** Writes it anew. */
export const write = ({ brings, imports, packages }: Sizes): void => {
  const packageRows = Array.from(packages, ([name, { installed, loads, own, withoutEffect, zipped }]) => {
    const sizes = [own, installed, withoutEffect, zipped].map(kilobytes)
    return `| \`${name}\` | ${sizes.join(" | ")} | ${loads.toFixed(1)} × |\n`
  })
  const bringRows = Array.from(
    brings,
    ([name, others]) => `- \`${name}\`: ${others.map((other) => `\`${other}\``).join(", ")}\n`
  )
  const importRows = Array.from(
    imports,
    ([name, { own, whole }]) => `| \`${name}\` | ${kilobytes(own)} | ${kilobytes(whole)} |\n`
  )
  writeFileSync(file, [heading, ...packageRows, bringsHeading, ...bringRows, importsHeading, ...importRows].join(""))
}

/** What it says. */
export const read = (): Sizes => {
  const text = readFileSync(file, "utf8")
  const cell = String.raw` +\| +([\d.]+)`
  const packageRows = text.matchAll(new RegExp(`^\\| \`(.+?)\`${cell.repeat(5)} × +\\|$`, "gm"))
  const bringRows = text.matchAll(/^- `(.+?)`: (.+)$/gm)
  const importRows = text.matchAll(new RegExp(`^\\| \`(.+?)\`${cell.repeat(2)} \\|$`, "gm"))
  const bytes = (kilobytes: string | undefined) => Number(kilobytes) * 1000
  return {
    packages: new Map(
      Array.from(packageRows, ([, name = "", own, installed, withoutEffect, zipped, loads]) => [
        name,
        {
          own: bytes(own),
          installed: bytes(installed),
          withoutEffect: bytes(withoutEffect),
          zipped: bytes(zipped),
          loads: Number(loads)
        }
      ])
    ),
    brings: new Map(
      Array.from(bringRows, ([, name = "", others = ""]) => [
        name,
        Array.from(others.matchAll(/`(.+?)`/g), ([, other = ""]) => other)
      ])
    ),
    imports: new Map(
      Array.from(importRows, ([, name = "", own, whole]) => [name, { own: bytes(own), whole: bytes(whole) }])
    )
  }
}

const slack = 1.1

/** Which of these have grown by more than 10 % over what is written, are not written, or are gone; one line each. */
export const grown = <Column extends string>(
  now: ReadonlyMap<string, Readonly<Record<Column, number>>>,
  before: ReadonlyMap<string, Readonly<Record<Column, number>>>,
  /** Each column, and what it is called where it has grown. */
  columns: ReadonlyArray<readonly [Column, string]>
): ReadonlyArray<string> => {
  const gone = [...before.keys()].filter((name) => !now.has(name)).map((name) => `${name} is no longer there`)
  const here = Array.from(now).flatMap(([name, size]) => {
    const was = before.get(name)
    if (was === undefined) return [`${name} is not in bench/sizes.md`]
    return columns.flatMap(([column, called]) => {
      // Half of the table's last digit is rounding. Not `>`, which a number that is none would pass.
      if (size[column] <= (was[column] + 50) * slack) return []
      return [`${name}, ${called}: from ${kilobytes(was[column])} kB to ${kilobytes(size[column])} kB`]
    })
  })
  return [...gone, ...here]
}
