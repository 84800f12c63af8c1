/** How large the built packages' entries are when a bundler has minified them: alone, and with all that they import. */
import { build } from "esbuild"
import { Schema } from "effect"
import { existsSync } from "node:fs"
import { packages } from "./Entries.ts"

/** The sizes of one entry, in bytes. */
export interface Size {
  /** The package's own code. */
  readonly own: number
  /** All that an import adds to a program in which nothing else is. */
  readonly whole: number
}

const Outputs = Schema.Record(Schema.String, Schema.Struct({ bytes: Schema.Number }))

/** By the entries' names, in order. What a user need not have (the peers that are not ours, what is optional) is left out. */
export const measure = async (): Promise<ReadonlyMap<string, Size>> => {
  const ours = packages()
  const entries = ours.flatMap((each) => each.entries)
  const unbuilt = entries.filter(({ file }) => !existsSync(file)).map(({ name }) => name)
  if (unbuilt.length > 0) throw new Error(`not built (\`pnpm build\`, tsconfig.build.json): ${unbuilt.join(", ")}`)
  const within = new Set(["effect", ...ours.map(({ name }) => name)])
  const apart = ours.flatMap(({ peers }) => peers).filter((peer) => !within.has(peer))

  const bytes = async (libraries: "bundle" | "external") => {
    const { metafile } = await build({
      entryPoints: entries.map(({ file, name }) => ({ in: file, out: name })),
      outdir: "sizes",
      write: false,
      metafile: true,
      bundle: true,
      minify: true,
      format: "esm",
      platform: "node",
      target: "node22",
      logLevel: "error",
      packages: libraries,
      external: apart
    })
    const outputs = Schema.decodeSync(Outputs)(metafile.outputs)
    return (name: string) => outputs[`sizes/${name}.js`]?.bytes ?? Number.NaN
  }
  const [own, whole] = await Promise.all([bytes("external"), bytes("bundle")])
  return new Map(entries.map(({ name }) => [name, { own: own(name), whole: whole(name) }]))
}
