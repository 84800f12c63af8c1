/** Packages as pnpm packs them for the registry: made, opened, and looked through. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { dirname, join, normalize, relative } from "node:path"
import { Schema } from "effect"
import * as Manifest from "./Manifest.ts"
import { type Package, root, shortName } from "./Packages.ts"
import { type Problems, run } from "./Run.ts"

const Root = Schema.fromJsonString(Schema.Struct({ packageManager: Schema.String }))

/** A package's file as `npm install` takes it. */
export const fileOf = (folder: string, { name, version }: Package): string =>
  join(folder, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`)

/** Packs all packages into a folder. */
export const packAll = async (packages: ReadonlyArray<Package>, folder: string): Promise<void> => {
  const { packageManager } = Schema.decodeSync(Root)(readFileSync(join(root, "package.json"), "utf8"))
  const filters = packages.map(({ name }) => `--filter=${name}`)
  await run("npx", ["--yes", packageManager, ...filters, "pack", "--pack-destination", folder], { cwd: root })
}

/** Unpacks one, and gives the folder. */
const unpack = async (folder: string, one: Package): Promise<string> => {
  const opened = join(folder, shortName(one))
  mkdirSync(opened, { recursive: true })
  await run("tar", ["-xzf", fileOf(folder, one), "-C", opened, "--strip-components=1"], { cwd: folder })
  return opened
}

const SourceMap = Schema.fromJsonString(
  Schema.Struct({ sources: Schema.Array(Schema.String), sourceRoot: Schema.optionalKey(Schema.String) })
)

/** Endings of what is made from a source file. */
const built = [".js", ".js.map", ".d.ts", ".d.ts.map"] as const

/** Names that say where a package was built. */
const traces: ReadonlyArray<string> = [root, homedir()].filter((path) => path !== "/").map((path) => `${path}/`)

/** What is Node's in code or types. */
const nodes = /["']node:|<reference types="node"|\bNodeJS\.|\bBuffer\b/

const looksLikeATest = /(^|\/)(test|tests|__tests__)\/|\.test(-d)?\.|\.spec\.|tsbuildinfo/

/** What is wrong with an opened tarball: files that are too many or missing, maps that lead nowhere, traces of a machine. */
export const problemsIn = (opened: string, one: Package, packages: ReadonlyArray<Package>): Problems => {
  const files = readdirSync(opened, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(opened, join(entry.parentPath, entry.name)))
  const has = new Set(files)
  const read = (file: string) => readFileSync(join(opened, file), "utf8")
  const found: Array<string> = []

  const modules = files
    .filter((file) => /^src\/.+\.ts$/.test(file))
    .map((file) => file.slice("src/".length, -".ts".length))
  const data = Manifest.dataFolders(JSON.parse(read("package.json")))
  const isData = (file: string) => data.includes(file.split("/")[0] ?? "") && file.endsWith(".json")
  const wanted = new Set([
    "LICENSE",
    "README.md",
    "package.json",
    ...modules.flatMap((module) => [`src/${module}.ts`, ...built.map((ending) => `dist/${module}${ending}`)])
  ])
  for (const folder of data) if (!files.some((file) => file.startsWith(`${folder}/`))) found.push(`${folder}/ is empty`)
  for (const file of wanted) if (!has.has(file)) found.push(`${file} is missing`)
  for (const file of files) {
    if (!wanted.has(file) && !isData(file))
      found.push(`${file} is no user's business, or left from a source that is gone: then remove dist and build`)
    if (looksLikeATest.test(file)) found.push(`${file} is for tests or builds`)
    const text = read(file)
    for (const trace of traces) if (text.includes(trace)) found.push(`${file} names a folder of this machine: ${trace}`)
    if (file.endsWith(".map")) {
      const { sourceRoot = "", sources } = Schema.decodeSync(SourceMap)(text)
      for (const source of sources) {
        const at = normalize(join(dirname(file), sourceRoot, source))
        if (!has.has(at)) found.push(`${file} leads to ${at}, which is not there`)
      }
    } else if (file.startsWith("dist/")) {
      const map = `//# sourceMappingURL=${file.slice(file.lastIndexOf("/") + 1)}.map`
      if (!text.trimEnd().endsWith(map)) found.push(`${file} does not end with ${map}`)
    }
    const code = text.replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "")
    if (shortName(one) === "core" && file.startsWith("dist/") && !file.endsWith(".map") && nodes.test(code))
      found.push(`${file} names something that only Node has`)
  }
  const importsCore = files.some(
    (file) => /^dist\/.*\.(js|d\.ts)$/.test(file) && read(file).includes('"@helios-infra/core')
  )
  return [...found, ...Manifest.problems(read("package.json"), one, packages, importsCore)]
}

/** What is wrong with a package's tarball. */
export const problems = async (folder: string, one: Package, packages: ReadonlyArray<Package>): Promise<Problems> =>
  problemsIn(await unpack(folder, one), one, packages)
