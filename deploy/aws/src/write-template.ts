/** Writes `template.json` anew: `pnpm --filter @helios-infra/deploy-aws template`. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { templateText } from "./template.ts"

writeFileSync(join(import.meta.dirname, "../template.json"), templateText())
