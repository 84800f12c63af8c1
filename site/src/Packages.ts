/** A folder in which all packages are installed: this repository's, from their sources, and those that examples name. */
import { globSync, mkdirSync, readFileSync, symlinkSync } from "node:fs"
import { dirname, join } from "node:path"
import * as Schema from "effect/Schema"
import { root } from "./Pages.ts"

const site = join(root, "site")

const Manifest = Schema.fromJsonString(
  Schema.Struct({
    name: Schema.String,
    dependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
  })
)

const manifestOf = (folder: string) => Schema.decodeSync(Manifest)(readFileSync(join(folder, "package.json"), "utf8"))

/** Makes `node_modules` in the folder, of links. Code there needs the condition `@helios-infra/source`. */
export const install = (folder: string): void => {
  const link = (name: string, target: string): void => {
    const path = join(folder, "node_modules", name)
    mkdirSync(dirname(path), { recursive: true })
    symlinkSync(target, path)
  }
  for (const file of globSync("packages/*/package.json", { cwd: root })) {
    const one = join(root, dirname(file))
    link(manifestOf(one).name, one)
  }
  for (const name of Object.keys(manifestOf(site).dependencies ?? {})) link(name, join(site, "node_modules", name))
}
