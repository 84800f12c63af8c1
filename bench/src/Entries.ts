/**
 * What can be imported from the packages: every entry that their `exports` open, one per module, and the built file
 * behind it. Says nothing about what is in them.
 */
import { Schema } from "effect"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const Target = Schema.Struct({ "@helios-infra/source": Schema.String, default: Schema.String })

const Manifest = Schema.fromJsonString(
  Schema.Struct({
    name: Schema.String,
    exports: Schema.Record(Schema.String, Schema.NullOr(Schema.Union([Schema.String, Target]))),
    peerDependencies: Schema.Record(Schema.String, Schema.String),
    optionalDependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
  })
)

/** One import. */
export interface Entry {
  /** As it is written: `@helios-infra/core/JobSpec`. */
  readonly name: string
  /** The built module. */
  readonly file: string
}

/** A package's entries, and what it needs that its user brings or does without. */
export interface Package {
  readonly name: string
  readonly entries: ReadonlyArray<Entry>
  readonly peers: ReadonlyArray<string>
}

const root = join(import.meta.dirname, "../..")

/** What `*` stands for where a pattern fits, `""` where one without `*` does. */
const starOf = (pattern: string, text: string): string | undefined => {
  const [before = "", after] = pattern.split("*")
  if (after === undefined) return text === pattern ? "" : undefined
  const fits = text.length >= pattern.length && text.startsWith(before) && text.endsWith(after)
  return fits ? text.slice(before.length, text.length - after.length) : undefined
}

/** By the sources: what is built may be left from a module that is gone. */
const entriesOf = (folder: string, { exports, name }: (typeof Manifest)["Type"]): ReadonlyArray<Entry> => {
  const sources = globSync("src/**/*.ts", { cwd: join(root, folder) }).map((file) => `./${file}`)
  const closed = Object.keys(exports).filter((key) => exports[key] === null)
  return Object.entries(exports).flatMap(([key, target]) => {
    // package.json, and what is closed.
    if (target === null || typeof target === "string") return []
    return sources.flatMap((source) => {
      const star = starOf(target["@helios-infra/source"], source)
      if (star === undefined) return []
      const open = key.replace("*", star)
      if (closed.some((pattern) => starOf(pattern, open) !== undefined)) return []
      return [{ name: join(name, open), file: join(root, folder, target.default.replace("*", star)) }]
    })
  })
}

/** All packages, by name. */
export const packages = (): ReadonlyArray<Package> =>
  globSync("packages/*/package.json", { cwd: root })
    .toSorted()
    .map((file) => {
      const manifest = Schema.decodeSync(Manifest)(readFileSync(join(root, file), "utf8"))
      return {
        name: manifest.name,
        entries: entriesOf(join(file, ".."), manifest).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
        peers: Object.keys({ ...manifest.peerDependencies, ...manifest.optionalDependencies })
      }
    })
