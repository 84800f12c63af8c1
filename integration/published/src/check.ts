/**
 * Checks the packages as their users get them, from the tarballs that would be published: what is in them and what their
 * manifests say; each installed alone by plain npm under the oldest Node, and all together under the current one; every
 * entry imported under both, compiled, and bundled unused; what the READMEs say, done, to a rendered video; and how much
 * an install brings.
 *
 * Needs the build (`pnpm build`) and the registry, for what the packages depend on. Publishes nothing.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { performance } from "node:perf_hooks"
import process from "node:process"
import * as SizesFile from "../../../bench/src/SizesFile.ts"
import * as Installed from "./Installed.ts"
import * as Node from "./Node.ts"
import * as Packages from "./Packages.ts"
import * as Project from "./Project.ts"
import * as Readme from "./Readme.ts"
import { checkEach, type Problems, run } from "./Run.ts"
import * as Tarball from "./Tarball.ts"
import * as Use from "./Use.ts"

const scratch = mkdtempSync(join(tmpdir(), "helios-infra-published-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))
const tarballs = join(scratch, "tarballs")

const packages = Packages.all()
const entries = packages.flatMap((one) => one.entries)
const programs = join(import.meta.dirname, "../node_modules/.bin")

/** A tarball, looked at by us, by publint, and by attw, which asks how TypeScript finds every single entry. */
const checkTarball = async (one: Packages.Package): Promise<Problems> => {
  const tarball = Tarball.fileOf(tarballs, one)
  const problems = await Tarball.problems(tarballs, one, packages)
  await run(join(programs, "publint"), ["--strict", tarball], { cwd: scratch })
  const paths = one.entries.map((entry) => entry.replace(one.name, "."))
  await run(join(programs, "attw"), ["--profile", "esm-only", "--entrypoints", ...paths, "--", tarball], {
    cwd: scratch
  })
  return problems
}

const sizes = new Map<string, Installed.Installed>()

/** A package as the only one of a project. */
const checkAlone = async (one: Packages.Package): Promise<Problems> => {
  const folder = join(scratch, "alone", Packages.shortName(one))
  const project = await Project.install(folder, [one.name], packages, tarballs, Node.oldest)
  sizes.set(one.name, Installed.measure(project, one))
  return [
    ...Project.problems(project, packages),
    ...(await Use.importAll(project, one.entries, Node.oldest)),
    ...(await Use.importAll(project, one.entries, Node.current)),
    ...(await Use.compile(project, [Use.writeConsumer(project, one.entries)])),
    ...(await Use.bundleUnused(project, one.entries))
  ]
}

/** All packages in one project, with what the code in the READMEs needs beside them. */
const checkTogether = async (): Promise<Problems> => {
  const names = packages.map(({ name }) => name)
  const folder = join(scratch, "together")
  const project = await Project.install(folder, names, packages, tarballs, Node.current, Readme.libraries())
  return [
    ...Project.problems(project, packages),
    ...(await Use.importAll(project, entries, Node.current)),
    ...(await Use.compile(project, [Use.writeConsumer(project, entries), ...Readme.writeBlocks(project)]))
  ]
}

/** What the README says to install, and its two programs. */
const checkReadme = async (): Promise<Problems> => {
  const { libraries, ours } = Readme.asked()
  const project = await Project.install(join(scratch, "readme"), ours, packages, tarballs, Node.oldest, libraries)
  return [
    ...Project.problems(project, packages),
    ...(await Readme.render(project, Node.oldest)),
    ...(Node.all.length > 1 ? await Readme.render(project, Node.current) : [])
  ]
}

await Tarball.packAll(packages, tarballs)

const problems: Array<string> = []
const step = async (what: string, check: () => Promise<Problems>) => {
  const started = performance.now()
  const found = await check()
  problems.push(...found)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${what}: ${found.length === 0 ? "as it should be" : `${found.length} problems`}, after ${seconds} s`)
}
const nameOf = (one: Packages.Package) => one.name

await step(`${packages.length} tarballs`, () => checkEach(packages, nameOf, checkTarball))
const versions = Node.all.map(({ version }) => version).join(" and ")
await step(`${entries.length} imports, each package alone under Node ${versions}`, () =>
  checkEach(packages, nameOf, checkAlone)
)
await step("all packages together, and the READMEs", () =>
  checkEach(
    [
      { name: "together", check: checkTogether },
      { name: "README", check: checkReadme }
    ],
    ({ name }) => name,
    ({ check }) => check()
  )
)
await step("what an install brings", () => Promise.resolve(Installed.problems(sizes, SizesFile.read())))

if (problems.length > 0) {
  console.error(`\n${problems.join("\n")}`)
  process.exitCode = 1
}
