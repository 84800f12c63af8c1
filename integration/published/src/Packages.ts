/**
 * The packages that are published: their manifests as the workspace has them, and which of them bring which others.
 * New ones are found by themselves.
 */
import { Schema } from "effect"
import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import * as Entries from "../../../bench/src/Entries.ts"

const Versions = Schema.optionalKey(Schema.Record(Schema.String, Schema.String))

const Manifest = Schema.fromJsonString(
  Schema.Struct({
    name: Schema.String,
    version: Schema.String,
    private: Schema.optionalKey(Schema.Boolean),
    dependencies: Versions,
    peerDependencies: Versions
  })
)

/** One of them. */
export interface Package {
  readonly name: string
  readonly version: string
  /** `packages/core`, from the repository's root. */
  readonly folder: string
  /** All that can be imported: `@helios-infra/core`, `@helios-infra/core/JobSpec`, … */
  readonly entries: ReadonlyArray<string>
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}

/** The repository. */
export const root = join(import.meta.dirname, "../../..")

/** The version of a library that the workspace is tested with. */
export const versionOf = (library: string, folder = "."): string =>
  Schema.decodeSync(Schema.fromJsonString(Schema.Struct({ version: Schema.String })))(
    readFileSync(join(root, folder, "node_modules", library, "package.json"), "utf8")
  ).version

/** All packages, by folder. */
export const all = (): ReadonlyArray<Package> => {
  const entries = new Map(Entries.packages().map((each) => [each.name, each.entries.map(({ name }) => name)]))
  return globSync("packages/*/package.json", { cwd: root })
    .toSorted()
    .flatMap((file) => {
      const manifest = Schema.decodeSync(Manifest)(readFileSync(join(root, file), "utf8"))
      if (manifest.private === true) return []
      const { dependencies = {}, name, peerDependencies = {}, version } = manifest
      const folder = join(file, "..")
      return [{ name, version, folder, entries: entries.get(name) ?? [], dependencies, peerDependencies }]
    })
}

/** A package and those of ours that it brings, directly or not. */
export const withOurs = (names: ReadonlyArray<string>, packages: ReadonlyArray<Package>): ReadonlyArray<Package> => {
  const found = new Set<Package>()
  const add = (name: string) => {
    const one = packages.find((each) => each.name === name)
    if (one === undefined || found.has(one)) return
    found.add(one)
    for (const needed of Object.keys({ ...one.dependencies, ...one.peerDependencies })) add(needed)
  }
  for (const name of names) add(name)
  return [...found].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** What a user of these packages brings beside them (peers that are not ours), in the versions tested here. */
export const peersOf = (packages: ReadonlyArray<Package>): ReadonlyMap<string, string> => {
  const ours = new Set(packages.map(({ name }) => name))
  return new Map(
    packages.flatMap(({ folder, peerDependencies }) =>
      Object.keys(peerDependencies)
        .filter((peer) => !ours.has(peer))
        .map((peer): [string, string] => [peer, versionOf(peer, folder)])
    )
  )
}

/** `core` of `@helios-infra/core`. */
export const shortName = ({ folder }: Package): string => basename(folder)
