/**
 * What the service runs as one file: the worker's server, Google's client for its storage, and all that they need.
 *
 * Node alone runs it, so that the image has no `node_modules` but the renderer's.
 */
import { type BuildResult, build } from "esbuild"
import { join } from "node:path"

/** A file of the bundle. */
export interface BundledFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/** The service's code. */
export interface ServerBundle {
  /** What the image needs: `server.mjs`, and the licences of what is in it. */
  readonly files: ReadonlyArray<BundledFile>
  /** Turns a stack trace of the service back into lines of the sources; stays at home. */
  readonly sourceMap: BundledFile
  /** How many bytes of `server.mjs` each package has, the largest first. */
  readonly packages: ReadonlyMap<string, number>
}

const folder = join(import.meta.dirname, "..")

/** The package that a source belongs to. */
const packageOf = (source: string): string =>
  /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1] ??
  /(?:^|\/)packages\/([^/]+)\//.exec(source)?.[1]?.replace(/^/, "@helios-infra/") ??
  "deploy-cloudrun"

const sizes = ({ metafile: { outputs } }: BuildResult<{ metafile: true }>): ReadonlyMap<string, number> => {
  const bytes = new Map<string, number>()
  for (const [source, { bytesInOutput }] of Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs))) {
    bytes.set(packageOf(source), (bytes.get(packageOf(source)) ?? 0) + bytesInOutput)
  }
  return new Map([...bytes].filter(([, size]) => size > 0).toSorted(([, a], [, b]) => b - a))
}

/** Bundles `worker/server.ts`, or another entry that serves. */
export const bundle = async (entry: string = join(folder, "worker/server.ts")): Promise<ServerBundle> => {
  const built = await build({
    entryPoints: { server: entry },
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
