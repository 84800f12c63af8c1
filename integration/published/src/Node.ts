/**
 * The Nodes that the packages must work under: the oldest that their `engines` allow, and the one that the workspace is
 * developed with. Both come from the registry, for Linux; elsewhere there is only the one that runs this.
 */
import { execFileSync } from "node:child_process"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import process from "node:process"

/** One of them. */
export interface Node {
  readonly version: string
  /** Where its `node` is. */
  readonly folder: string
}

const at = (folder: string): Node => ({
  version: execFileSync(join(folder, "node"), ["-p", "process.versions.node"], { encoding: "utf8" }).trim(),
  folder
})

/** The one that runs this. */
export const current: Node = { version: process.versions.node, folder: dirname(process.execPath) }

/** The oldest that is promised. */
export const oldest: Node =
  process.platform === "linux"
    ? at(join(dirname(createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`)), "bin"))
    : current

/** Each of them once. */
export const all: ReadonlyArray<Node> = oldest.version === current.version ? [current] : [oldest, current]
