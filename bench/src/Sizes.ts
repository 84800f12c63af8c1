/** How large the built packages' entries are when a bundler has minified them: alone, and with all that they import. */
import { build, type BuildOptions } from "esbuild"
import { existsSync } from "node:fs"
import { gzipSync } from "node:zlib"
import { packages, type Entry, type Package } from "./Entries.ts"
import type { ImportSize, PackageSize } from "./SizesFile.ts"

/** What needs no installation to be measured. */
export interface Measured {
  readonly imports: ReadonlyMap<string, ImportSize>
  readonly packages: ReadonlyMap<string, Pick<PackageSize, "withoutEffect" | "zipped">>
}

/** The bundles of some entries, each by itself, by name. */
const bundles = async (
  entries: ReadonlyArray<Entry>,
  options: Pick<BuildOptions, "external" | "packages">
): Promise<(name: string) => Uint8Array> => {
  const { outputFiles } = await build({
    ...options,
    entryPoints: entries.map(({ file, name }) => ({ in: file, out: name })),
    outdir: "sizes",
    write: false,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node22",
    logLevel: "error"
  })
  return (name) => {
    const found = outputFiles.find(({ path }) => path.endsWith(`/sizes/${name}.js`))
    if (found === undefined) throw new Error(`esbuild made no bundle of ${name}`)
    return found.contents
  }
}

const mainOf = ({ entries, name }: Package): ReadonlyArray<Entry> => entries.filter((entry) => entry.name === name)

/** By name, in order. What a user need not have (the peers that are not ours, what is optional) is left out. */
export const measure = async (): Promise<Measured> => {
  const ours = packages()
  const entries = ours.flatMap((each) => each.entries)
  const unbuilt = entries.filter(({ file }) => !existsSync(file)).map(({ name }) => name)
  if (unbuilt.length > 0) throw new Error(`not built (\`pnpm build\`, tsconfig.build.json): ${unbuilt.join(", ")}`)
  const within = new Set(["effect", ...ours.map(({ name }) => name)])
  const external = ours.flatMap(({ peers }) => peers).filter((peer) => !within.has(peer))

  const main = ours.flatMap(mainOf)
  const [own, whole, withoutEffect] = await Promise.all([
    bundles(entries, { external, packages: "external" }),
    bundles(entries, { external, packages: "bundle" }),
    bundles(main, { external: [...external, "effect"], packages: "bundle" })
  ])
  const zipped = (code: Uint8Array) => gzipSync(code, { level: 9 }).length
  return {
    imports: new Map(entries.map(({ name }) => [name, { own: own(name).length, whole: whole(name).length }])),
    packages: new Map(
      main.map(({ name }) => [name, { withoutEffect: zipped(withoutEffect(name)), zipped: zipped(whole(name)) }])
    )
  }
}
