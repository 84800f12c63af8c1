/**
 * Holds every entry of the built packages to its size in `bench/sizes.md`: no more than 10 % above it, and none that is
 * not in the table or no longer there. What installs bring is held to it by `pnpm check packages`.
 *
 * `pnpm sizes --update` writes the file anew, for a growth that is worth it; that packs and installs each package, and
 * needs the registry.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { measure } from "../bench/src/Sizes.ts"
import * as SizesFile from "../bench/src/SizesFile.ts"
import * as Installed from "../integration/published/src/Installed.ts"
import * as Node from "../integration/published/src/Node.ts"
import * as Packages from "../integration/published/src/Packages.ts"
import * as Project from "../integration/published/src/Project.ts"
import * as Tarball from "../integration/published/src/Tarball.ts"

const measured = await measure()

/** Measures what needs installing, one package after the other, since it takes times too, and writes all. */
const update = async () => {
  const scratch = mkdtempSync(join(tmpdir(), "helios-infra-sizes-"))
  try {
    const all = Packages.all()
    await Tarball.packAll(all, scratch)
    const packages = new Map<string, SizesFile.PackageSize>()
    const brings = new Map<string, ReadonlyArray<string>>()
    for (const one of all) {
      const folder = join(scratch, Packages.shortName(one))
      // oxlint-disable-next-line no-await-in-loop
      const project = await Project.install(folder, [one.name], all, scratch, Node.oldest)
      const { brings: others, ...onDisk } = Installed.measure(project, one)
      const bundled = measured.packages.get(one.name)
      if (bundled === undefined) throw new Error(`${one.name} has no main entry`)
      // oxlint-disable-next-line no-await-in-loop
      packages.set(one.name, { ...onDisk, ...bundled, loads: await Installed.loads(project, one) })
      brings.set(one.name, others)
    }
    SizesFile.write({ packages, brings, imports: measured.imports })
    spawnSync("oxfmt", [SizesFile.file], { stdio: "inherit" })
    console.log(`${packages.size} packages and ${measured.imports.size} imports are in bench/sizes.md`)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

if (process.argv.includes("--update")) await update()
else {
  const written = SizesFile.read()
  const wrong = [
    ...SizesFile.grown(measured.imports, written.imports, [
      ["own", "own code"],
      ["whole", "with everything"]
    ]),
    ...SizesFile.grown(measured.packages, written.packages, [
      ["withoutEffect", "zipped without Effect"],
      ["zipped", "zipped with everything"]
    ])
  ]
  if (wrong.length === 0)
    console.log(`${measured.imports.size} imports are as large as bench/sizes.md says, or less than 10 % above`)
  else {
    console.error(`${wrong.join("\n")}\n\nMake them smaller, or accept them with \`pnpm sizes --update\`.`)
    process.exitCode = 1
  }
}
