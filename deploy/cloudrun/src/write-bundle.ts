/**
 * Writes what the service runs to `dist/`, and says how large it is: `pnpm --filter @helios-infra/deploy-cloudrun bundle`.
 *
 * - `dist/worker/server.mjs`: for the image.
 * - `dist/server.mjs.map`: for whoever reads a stack trace (`node --enable-source-maps`).
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as ServerBundle from "./ServerBundle.ts"

const dist = join(import.meta.dirname, "../dist")
const bundle = await ServerBundle.bundle()

rmSync(dist, { recursive: true, force: true })
mkdirSync(join(dist, "worker"), { recursive: true })
for (const { bytes, name } of bundle.files) writeFileSync(join(dist, "worker", name), bytes)
writeFileSync(join(dist, bundle.sourceMap.name), bundle.sourceMap.bytes)

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1).padStart(8)} kB`
const packages = [...bundle.packages]

console.log(`${kilobytes(packages.reduce((total, [, size]) => total + size, 0))}  server.mjs`)
for (const [name, size] of packages.slice(0, 12)) console.log(`${kilobytes(size)}    ${name}`)
