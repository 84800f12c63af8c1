/**
 * Writes what the function runs to `dist/`, and says how large it is: `pnpm --filter @helios-infra/deploy-aws zip`.
 *
 * - `dist/worker/handler.mjs`: for an image.
 * - `dist/worker.zip`: for Lambda's own Node.js.
 * - `dist/handler.mjs.map`: for whoever reads a stack trace (`node --enable-source-maps`).
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as WorkerBundle from "./WorkerBundle.ts"

const dist = join(import.meta.dirname, "../dist")
const bundle = await WorkerBundle.bundle()
const zip = WorkerBundle.zip(bundle)

rmSync(dist, { recursive: true, force: true })
mkdirSync(join(dist, "worker"), { recursive: true })
for (const { bytes, name } of bundle.files) writeFileSync(join(dist, "worker", name), bytes)
writeFileSync(join(dist, bundle.sourceMap.name), bundle.sourceMap.bytes)
writeFileSync(join(dist, "worker.zip"), zip)

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1).padStart(8)} kB`
/** The SDK's packages, and what only it uses. */
const isSdk = (name: string): boolean => /^(?:@(?:aws|aws-sdk|aws-crypto|smithy)\/|bowser$|tslib$)/.test(name)
const sum = (sizes: ReadonlyArray<readonly [string, number]>): number =>
  sizes.reduce((total, [, size]) => total + size, 0)
const packages = [...bundle.packages]
const ours = packages.filter(([name]) => !isSdk(name))

console.log(`${kilobytes(sum(packages))}  handler.mjs`)
for (const [name, size] of ours.slice(0, 12)) console.log(`${kilobytes(size)}    ${name}`)
console.log(`${kilobytes(sum(ours))}  without the AWS SDK`)
console.log(`${kilobytes(zip.length)}  worker.zip`)
