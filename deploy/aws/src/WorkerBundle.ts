/**
 * The function's code as one file, and as a zip of it that is the same for the same sources.
 *
 * The AWS SDK is in it. Lambda's Node.js brings one of its own, but which version, and when it changes, is Amazon's to
 * say; what was tested is what runs.
 */
import * as Bundle from "@helios-infra/deploy-bundle"
import type { Plugin } from "esbuild"
import { zipSync } from "fflate"
import { join } from "node:path"

const folder = join(import.meta.dirname, "..")

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

/** Bundles `worker/handler.ts`, or another entry that exports `handler`, into `handler.mjs`. */
export const bundle = (entry: string = join(folder, "worker/handler.ts")): Promise<Bundle.Bundle> =>
  Bundle.bundle({ folder, name: "handler", entry, plugins: [lazyHttp] })

/** The zip that Lambda takes: no time and no name of this machine is in it. */
export const zip = ({ files }: Bundle.Bundle): Uint8Array =>
  zipSync(
    Object.fromEntries(files.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({ bytes, name }) => [name, bytes])),
    // The first day that zips know; files that everybody may read, as Lambda's user has to.
    { level: 9, mtime: new Date(1980, 0, 1), os: 3, attrs: 0o100644 << 16 }
  )
