/** A user's project: an empty folder into which plain npm installs our tarballs and what those need. */
import { Schema } from "effect"
import { mkdirSync, readdirSync, readFileSync, realpathSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Node } from "./Node.ts"
import { type Package, peersOf, root, withOurs } from "./Packages.ts"
import { type Problems, run } from "./Run.ts"
import * as Tarball from "./Tarball.ts"

/** An installed one. */
export interface Project {
  readonly folder: string
  /** What was asked for. */
  readonly asked: ReadonlyArray<string>
  /** What npm put there, by where: `node_modules/effect` to its version. */
  readonly installed: ReadonlyMap<string, string>
}

const Lock = Schema.fromJsonString(
  Schema.Struct({
    packages: Schema.Record(Schema.String, Schema.Struct({ version: Schema.optionalKey(Schema.String) }))
  })
)

/** What npm says it installed; optional dependencies that it left out are not in it. */
const readLock = (folder: string): ReadonlyMap<string, string> => {
  const { packages } = Schema.decodeSync(Lock)(readFileSync(join(folder, "node_modules/.package-lock.json"), "utf8"))
  return new Map(Object.entries(packages).map(([place, { version = "" }]) => [place, version]))
}

/**
 * Installs some of the packages, and what they need of ours, from tarballs: with npm under the given Node, with the peers
 * that a user brings in the versions that are tested here, and nothing else. `libraries` are asked for by name as well.
 */
export const install = async (
  folder: string,
  names: ReadonlyArray<string>,
  packages: ReadonlyArray<Package>,
  tarballs: string,
  node: Node,
  libraries: ReadonlyArray<string> = []
): Promise<Project> => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  const ours = withOurs(names, packages)
  const peers = Array.from(peersOf(ours), ([name, version]) => `${name}@${version}`)
  const wanted = [...ours.map((one) => Tarball.fileOf(tarballs, one)), ...peers, ...libraries]
  // What is optional downloads ffmpeg from elsewhere. Strict, so that a dependency that needs a newer Node is refused.
  const flags = ["--no-audit", "--no-fund", "--omit=optional", "--prefer-offline", "--engine-strict"]
  await run("npm", ["install", ...flags, ...wanted], { cwd: folder, node: node.folder })
  return { folder, asked: names, installed: readLock(folder) }
}

/** The package at a place in `node_modules`. */
const nameAt = (place: string): string => place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length)

/** The names of all that is there, each once, in order. */
export const namesIn = ({ installed }: Project): ReadonlyArray<string> =>
  [...new Set(Array.from(installed.keys(), nameAt))].toSorted()

/** Whether there is one Effect and one core, and of ours what the manifests name and nothing else. */
export const problems = (project: Project, packages: ReadonlyArray<Package>): Problems => {
  const found: Array<string> = []
  const expected = withOurs(project.asked, packages).map(({ name }) => name)
  for (const single of ["effect", "@helios-infra/core"]) {
    const copies = [...project.installed.keys()].filter((place) => nameAt(place) === single)
    const needed = single === "effect" || expected.includes(single) ? 1 : 0
    if (copies.length !== needed) found.push(`${copies.length} copies of ${single}: ${copies.join(", ")}`)
  }
  const ours = namesIn(project).filter((name) => name.startsWith("@helios-infra/"))
  if (ours.join() !== expected.join())
    found.push(`it brings ${ours.join(", ")}, and should bring ${expected.join(", ")}`)
  return found
}

/** How many bytes the files below a folder of a project have. */
export const bytesIn = ({ folder }: Project, below: string): number =>
  readdirSync(join(folder, below), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== ".package-lock.json")
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)

/** Puts Node's types into a project, and what those need, unless a library brought them: as npm would, without asking it. */
export const addNodeTypes = ({ folder, installed }: Project): void => {
  if (installed.has("node_modules/@types/node")) return
  const types = realpathSync(join(root, "integration/published/node_modules/@types/node"))
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true })
  symlinkSync(types, join(folder, "node_modules/@types/node"))
  symlinkSync(realpathSync(join(types, "../../undici-types")), join(folder, "node_modules/undici-types"))
}
