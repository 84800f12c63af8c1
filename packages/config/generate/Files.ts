/** The files that are generated, as they should be: formatted like everything else. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import * as JsonSchemas from "./JsonSchemas.ts"
import * as OptionTypes from "./OptionTypes.ts"

const root = join(import.meta.dirname, "../../..")

/** In a folder of the repository, whose rules of format then apply. */
const format = (name: string, text: string): string => {
  const folder = mkdtempSync(join(import.meta.dirname, ".format-"))
  try {
    const file = join(folder, basename(name))
    writeFileSync(file, text)
    execFileSync(join(root, "node_modules/.bin/oxfmt"), [file], { cwd: root })
    return readFileSync(file, "utf8")
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** By their path in this package. */
export const files = async (): Promise<ReadonlyMap<string, string>> => {
  const raw = {
    "src/internal/firstPartyOptions.ts": OptionTypes.write(await JsonSchemas.options()),
    "schemas/helios.config.schema.json": JSON.stringify(await JsonSchemas.config(), null, 2),
    "schemas/job.schema.json": JSON.stringify(JsonSchemas.job(), null, 2)
  }
  return new Map(Object.entries(raw).map(([name, text]) => [name, format(name, text)]))
}
