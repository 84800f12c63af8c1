/** Writes what is generated: `pnpm --filter @helios-infra/config generate`. A test fails when it is not up to date. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { files } from "./Files.ts"

for (const [name, text] of await files()) writeFileSync(join(import.meta.dirname, "..", name), text)
