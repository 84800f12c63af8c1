/**
 * What a published `package.json` must say. This is the one place that knows: a package that says something else, or a
 * new one that forgets something, is told what belongs there.
 */
import { Schema } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { type Package, root, shortName, versionOf } from "./Packages.ts"
import type { Problems } from "./Run.ts"

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

const Workspace = Schema.fromJsonString(
  Schema.Struct({
    homepage: Schema.String,
    bugs: Schema.String,
    license: Schema.String,
    repository: Schema.Struct({ type: Schema.Literal("git"), url: Schema.String }),
    engines: Schema.Struct({ node: Schema.String })
  })
)

const target = (module: string) => ({
  "@helios-infra/source": `./src/${module}.ts`,
  types: `./dist/${module}.d.ts`,
  default: `./dist/${module}.js`
})

const Files = Schema.Struct({ files: Schema.Array(Schema.String) })

/** `src` for source maps and declaration maps; npm adds the licence. */
const code = new Set(["src", "dist", "!dist/.tsbuildinfo", "README.md"])

/** The folders of JSON that a package brings beside its code: schemas, for editors and others who read no TypeScript. */
export const dataFolders = (manifest: unknown): ReadonlyArray<string> =>
  Schema.decodeUnknownSync(Files)(manifest).files.filter((file) => !code.has(file))

/** Fields that are the same in all packages, or follow from where a package is. */
const expected = (
  { folder }: Package,
  manifest: Readonly<Record<string, unknown>>
): Readonly<Record<string, unknown>> => {
  const data = dataFolders(manifest)
  const workspace = Schema.decodeSync(Workspace)(readFileSync(join(root, "package.json"), "utf8"))
  return {
    homepage: `${workspace.homepage}/tree/main/${folder}#readme`,
    bugs: workspace.bugs,
    license: workspace.license,
    // Where provenance says that a package was built must be what it says itself.
    repository: { ...workspace.repository, directory: folder },
    files: ["src", "dist", ...data, "!dist/.tsbuildinfo", "README.md"],
    type: "module",
    sideEffects: false,
    exports: {
      ".": target("index"),
      "./index": null,
      "./internal/*": null,
      "./*": target("*"),
      ...Object.fromEntries(data.map((name) => [`./${name}/*`, `./${name}/*`])),
      "./package.json": "./package.json"
    },
    publishConfig: { access: "public", provenance: true },
    engines: workspace.engines
  }
}

const isSorted = (words: ReadonlyArray<unknown>): boolean =>
  isDeepStrictEqual(words, [...new Set(words.map(String))].toSorted())

/** What is wrong with a manifest as it is in a tarball, given all packages and whether its code imports core. */
export const problems = (
  text: string,
  one: Package,
  packages: ReadonlyArray<Package>,
  importsCore: boolean
): Problems => {
  const manifest = Schema.decodeSync(Json)(text)
  const found: Array<string> = []

  for (const [field, value] of Object.entries(expected(one, manifest))) {
    if (isDeepStrictEqual(manifest[field], value)) continue
    found.push(`package.json: "${field}" is ${JSON.stringify(manifest[field])}, and should be ${JSON.stringify(value)}`)
  }
  const { description, keywords } = manifest
  if (typeof description !== "string" || description === "" || description.endsWith("."))
    found.push(`package.json: "description" should be one line without a full stop`)
  if (!Array.isArray(keywords) || keywords.length < 3 || !isSorted(keywords))
    found.push(`package.json: "keywords" should be at least three, each once, in alphabetical order`)

  for (const [, protocol = ""] of text.matchAll(/"(workspace|catalog|link|file):/g))
    found.push(`package.json: "${protocol}:" means nothing outside of the workspace`)

  const versions = new Set(packages.map(({ version }) => version))
  if (versions.size > 1) found.push(`all packages share one version, and there are ${[...versions].join(", ")}`)

  const peers = Schema.decodeUnknownSync(Schema.Record(Schema.String, Schema.String))(
    manifest["peerDependencies"] ?? {}
  )
  const dependencies = Object.keys(one.dependencies)
  const [core, effect] = ["@helios-infra/core", "effect"]
  // core uses what Effect keeps stable for the major version (a lint rule sees to it), the others some of what may change.
  const range = `${shortName(one) === "core" ? "^" : "~"}${versionOf(effect)}`
  if (peers[effect] !== range)
    found.push(`package.json: the peer "effect" is ${peers[effect] ?? "missing"}, and should be ${range}`)
  if (importsCore && one.name !== core && peers[core] !== `^${one.version}`)
    found.push(`package.json: it imports core, so "${core}" should be a peer, ^${one.version}`)
  for (const shared of [core, effect]) {
    if (dependencies.includes(shared)) found.push(`package.json: "${shared}" is a peer: there must be one copy of it`)
  }
  return found
}
