/**
 * Checks the packages as users get them: packs each, lets publint and attw look at the tarballs, installs all of them
 * with plain npm into an empty folder, imports every entry under plain Node, and compiles a program that imports every
 * entry with the declarations of everything checked too (`skipLibCheck: false`).
 *
 * Needs the build (`pnpm build`) and the registry, for what the packages depend on.
 */
import { Schema } from "effect"
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import process from "node:process"

const Manifest = Schema.fromJsonString(
  Schema.Struct({ name: Schema.String, version: Schema.String, private: Schema.optionalKey(Schema.Boolean) })
)
const Root = Schema.fromJsonString(Schema.Struct({ packageManager: Schema.String }))

const read = (file: string) => readFileSync(file, "utf8")

/** Runs a program, shows what it printed when it failed, and stops there. */
const run = (command: string, args: ReadonlyArray<string>, cwd = process.cwd()) => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (status === 0) return
  console.error(`${command} ${args.join(" ")} failed:\n${error?.message ?? `${stdout}${stderr}`}`)
  process.exit(1)
}

const packages = globSync("packages/*/package.json")
  .toSorted()
  .map((file) => ({ folder: join(file, ".."), ...Schema.decodeSync(Manifest)(read(file)) }))
  .filter((manifest) => manifest.private !== true)

const scratch = mkdtempSync(join(tmpdir(), "helios-infra-packages-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))

const tarballs = join(scratch, "tarballs")
const consumer = join(scratch, "consumer")
mkdirSync(consumer)

const { packageManager } = Schema.decodeSync(Root)(read("package.json"))
run("npx", ["--yes", packageManager, "--filter=./packages/*", "pack", "--pack-destination", tarballs])
const tarballOf = (name: string, version: string) =>
  join(tarballs, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`)

for (const { name, version } of packages) {
  const tarball = tarballOf(name, version)
  run("publint", ["--strict", tarball])
  run("attw", ["--profile", "esm-only", tarball])
  console.log(`${name}: publint and attw are content`)
}

// What a user has beside our packages: the peer, and the types of Node.
const versionOf = (name: string) => Schema.decodeSync(Manifest)(read(`node_modules/${name}/package.json`)).version
const dependencies: Record<string, string> = {}
for (const { name, version } of packages) dependencies[name] = `file:${tarballOf(name, version)}`
for (const name of ["effect", "@types/node"]) dependencies[name] = versionOf(name)
writeFileSync(join(consumer, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }))
run("npm", ["install", "--no-audit", "--no-fund", "--omit=optional"], consumer)

const entries = packages.flatMap(({ folder, name }) =>
  globSync("dist/**/*.js", { cwd: folder })
    .map((file) => file.slice("dist/".length, -".js".length))
    .filter((module) => !module.startsWith("internal/"))
    .toSorted()
    .map((module) => (module === "index" ? name : `${name}/${module}`))
)
const imports = entries.map((entry, index) => `import * as m${index} from ${JSON.stringify(entry)}`)
const all = `[${entries.map((_, index) => `m${index}`).join(", ")}]`

writeFileSync(
  join(consumer, "consumer.mjs"),
  `${imports.join("\n")}
for (const [index, module] of ${all}.entries()) {
  if (Object.keys(module).length === 0) throw new Error("entry " + index + " exports nothing: " + ${JSON.stringify(entries)}[index])
}
for (const closed of ${JSON.stringify(packages.map(({ name }) => `${name}/internal/any`))}) {
  const error = await import(closed).catch((error) => error)
  if (error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw new Error(closed + " can be imported: " + error)
}
`
)
run(process.execPath, ["consumer.mjs"], consumer)
console.log(`${entries.length} entries load under Node ${process.versions.node}`)

writeFileSync(
  join(consumer, "consumer.ts"),
  `${imports.join("\n")}\nexport const all: ReadonlyArray<object> = ${all}\n`
)
writeFileSync(
  join(consumer, "tsconfig.json"),
  JSON.stringify({
    compilerOptions: {
      target: "ES2023",
      module: "NodeNext",
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      types: ["node"]
    },
    files: ["consumer.ts"]
  })
)
run("tsc", ["--project", "tsconfig.json"], consumer)
console.log(
  `${packages.map(({ folder }) => basename(folder)).join(", ")}: installed, loaded and type-checked as a user would`
)
