/** What an `npm install` of each package brings, and how large that is: measured, and held to `bench/sizes.md`. */
import { join } from "node:path"
import { inPairs, timed } from "../../../bench/src/Measure.ts"
import { grown, type PackageSize, type Sizes } from "../../../bench/src/SizesFile.ts"
import * as Node from "./Node.ts"
import type { Package } from "./Packages.ts"
import * as Project from "./Project.ts"
import { type Problems, run } from "./Run.ts"

/** What is on disk, and by whom. */
export type Installed = Pick<PackageSize, "own" | "installed"> & { readonly brings: ReadonlyArray<string> }

/** Measures a project in which one package alone was asked for. */
export const measure = (project: Project.Project, { name }: Package): Installed => {
  const others = Project.namesIn(project).filter((other) => !other.startsWith("@helios-infra/"))
  return {
    own: Project.bytesIn(project, join("node_modules", name)),
    installed: Project.bytesIn(project, "node_modules"),
    brings: [...new Set(others.map((other) => other.replace(/^(@[^/]+)\/.*/, "$1/*")))]
  }
}

const rounds = 7

/** How long a package's main entry takes to import, in times of what Node alone takes to start. */
export const loads = async ({ folder }: Project.Project, { name }: Package): Promise<number> => {
  const place = { cwd: folder, node: Node.current.folder }
  const took = (code: string) => timed(() => run("node", ["--input-type=module", "--eval", code], place))
  await took(`import ${JSON.stringify(name)}`)
  return (
    await inPairs(
      rounds,
      () => took(`import ${JSON.stringify(name)}`),
      () => took("")
    )
  ).ratio
}

/** What has grown, and what is brought that was not. */
export const problems = (now: ReadonlyMap<string, Installed>, written: Sizes): Problems => [
  ...grown(now, written.packages, [
    ["own", "its own files"],
    ["installed", "what an install of it brings"]
  ]),
  ...Array.from(now).flatMap(([name, { brings }]) => {
    const known = written.brings.get(name) ?? []
    const added = brings.filter((other) => !known.includes(other))
    const gone = known.filter((other) => !brings.includes(other))
    return [
      ...added.map((other) => `${name} brings ${other}, which bench/sizes.md does not know`),
      ...gone.map((other) => `${name} no longer brings ${other}: take it out of bench/sizes.md`)
    ]
  })
]
