/**
 * The function's code as one file, and as a zip of it that is the same for the same sources.
 *
 * The AWS SDK is in it. Lambda's Node.js brings one of its own, but which version, and when it changes, is Amazon's to
 * say; what was tested is what runs.
 */
import { type BuildResult, type Plugin, build } from "esbuild"
import { zipSync } from "fflate"
import { join } from "node:path"

/** A file of the bundle. */
export interface BundledFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/** The function's code. */
export interface WorkerBundle {
  /** What the function needs: `handler.mjs`, and the licences of what is in it. */
  readonly files: ReadonlyArray<BundledFile>
  /** Turns a stack trace of the function back into lines of the sources; stays at home. */
  readonly sourceMap: BundledFile
  /** How many bytes of `handler.mjs` each package has, the largest first. */
  readonly packages: ReadonlyMap<string, number>
}

const folder = join(import.meta.dirname, "..")

/** The package that a source belongs to. */
const packageOf = (source: string): string =>
  /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1] ??
  /(?:^|\/)packages\/([^/]+)\//.exec(source)?.[1]?.replace(/^/, "@helios-infra/") ??
  "deploy-aws"

const sizes = ({ metafile: { outputs } }: BuildResult<{ metafile: true }>): ReadonlyMap<string, number> => {
  const bytes = new Map<string, number>()
  for (const [source, { bytesInOutput }] of Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs))) {
    bytes.set(packageOf(source), (bytes.get(packageOf(source)) ?? 0) + bytesInOutput)
  }
  return new Map([...bytes].filter(([, size]) => size > 0).toSorted(([, a], [, b]) => b - a))
}

/**
 * Gets `node:http` without its WebSocket: `import` asks a module for all that it exports, and for that one Node loads its
 * whole `fetch`, which took a quarter of the handler's start.
 */
const lazyHttp: Plugin = {
  name: "lazy-http",
  setup: (build) => {
    build.onResolve({ filter: /^(?:node:)?http$/ }, () => ({ path: "node:http", namespace: "lazy" }))
    build.onLoad({ filter: /^/, namespace: "lazy" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`
    }))
  }
}

/** Bundles `worker/handler.ts`, or another entry that exports `handler`. */
export const bundle = async (entry: string = join(folder, "worker/handler.ts")): Promise<WorkerBundle> => {
  const built = await build({
    entryPoints: { handler: entry },
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
    plugins: [lazyHttp],
    logLevel: "silent"
  })
  const files = built.outputFiles.map(({ contents, path }) => ({
    name: path.split(/[\\/]/).at(-1) ?? path,
    bytes: contents
  }))
  const sourceMap = files.find(({ name }) => name.endsWith(".map"))
  if (sourceMap === undefined) throw new Error("esbuild wrote no source map")
  return { files: files.filter((file) => file !== sourceMap), sourceMap, packages: sizes(built) }
}

/** The zip that Lambda takes: no time and no name of this machine is in it. */
export const zip = ({ files }: WorkerBundle): Uint8Array =>
  zipSync(
    Object.fromEntries(files.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({ bytes, name }) => [name, bytes])),
    // The first day that zips know; files that everybody may read, as Lambda's user has to.
    { level: 9, mtime: new Date(1980, 0, 1), os: 3, attrs: 0o100644 << 16 }
  )
