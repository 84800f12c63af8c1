/** Where the native part of `aws-lambda-ric` is, once it has been built for this Node. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import process from "node:process"

const manifest: unknown = JSON.parse(
  readFileSync(createRequire(import.meta.url).resolve("aws-lambda-ric/package.json"), "utf8")
)
const version =
  typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "unknown"

export const builtClient: string = join(
  import.meta.dirname,
  `../node_modules/.cache/aws-lambda-ric-${version}-${process.platform}-${process.arch}-${process.versions.modules}/rapid-client.node`
)
