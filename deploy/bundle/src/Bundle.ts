/**
 * A program for Node alone as one file: the SDK, from its sources, and all that it needs.
 *
 * The same sources give the same bytes, wherever they are. What the program is, and how it is packed, is the caller's.
 */
import { type BuildResult, type Plugin, build } from "esbuild"
import { basename } from "node:path"

/** A file of a bundle. */
export interface BundledFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/** A program as one file. */
export interface Bundle {
  /** What runs: `NAME.mjs`, and the licences of what is in it. */
  readonly files: ReadonlyArray<BundledFile>
  /** Turns a stack trace of it back into lines of the sources; stays at home. */
  readonly sourceMap: BundledFile
  /** How many bytes of it each package has, the largest first. */
  readonly packages: ReadonlyMap<string, number>
}

/** What to bundle. */
export interface Options {
  /** The folder of the package that bundles, absolute: `deploy/aws`. */
  readonly folder: string
  /** What the program's file is called, without its ending. */
  readonly name: string
  /** The module to begin with. */
  readonly entry: string
  readonly plugins?: ReadonlyArray<Plugin>
}

/** The package that a source belongs to; `home` where it is none of the workspace's and none that is installed. */
const packageOf = (source: string, home: string): string =>
  /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1] ??
  /(?:^|\/)packages\/([^/]+)\//.exec(source)?.[1]?.replace(/^/, "@helios-infra/") ??
  home

const sizes = (
  { metafile: { outputs } }: BuildResult<{ metafile: true }>,
  home: string
): ReadonlyMap<string, number> => {
  const bytes = new Map<string, number>()
  for (const [source, { bytesInOutput }] of Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs))) {
    const name = packageOf(source, home)
    bytes.set(name, (bytes.get(name) ?? 0) + bytesInOutput)
  }
  return new Map([...bytes].filter(([, size]) => size > 0).toSorted(([, a], [, b]) => b - a))
}

/** Bundles a program. */
export const bundle = async ({ entry, folder, name, plugins = [] }: Options): Promise<Bundle> => {
  const built = await build({
    entryPoints: { [name]: entry },
    outdir: "out",
    outExtension: { ".js": ".mjs" },
    absWorkingDir: folder,
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    sourcemap: "external",
    legalComments: "linked",
    charset: "utf8",
    platform: "node",
    target: "node22",
    format: "esm",
    mainFields: ["module", "main"],
    conditions: ["@helios-infra/source"],
    // What was written for CommonJS asks for Node's own modules with `require`.
    banner: {
      js: `import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);`
    },
    // The same whatever lies above the folder.
    tsconfigRaw: {},
    plugins: [...plugins],
    logLevel: "silent"
  })
  const files = built.outputFiles.map(({ contents, path }) => ({
    name: path.split(/[\\/]/).at(-1) ?? path,
    bytes: contents
  }))
  const sourceMap = files.find((file) => file.name.endsWith(".map"))
  if (sourceMap === undefined) throw new Error("esbuild wrote no source map")
  return {
    files: files.filter((file) => file !== sourceMap),
    sourceMap,
    packages: sizes(built, `deploy-${basename(folder)}`)
  }
}
