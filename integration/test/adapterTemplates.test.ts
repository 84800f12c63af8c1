// oxlint-disable eslint/no-await-in-loop -- one after the other: this machine has other tests to run
/**
 * The templates of adapters work where they were copied to: with our packages as they are published, and nothing of this
 * repository beside them.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const root = path.join(import.meta.dirname, "../..")
const ours = ["core", "process", "testkit"]
const exec = promisify(execFile)

/** Runs a program with none of the settings of the run that we are in. */
const run = async (cwd: string, program: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const env = {
    PATH: `${path.dirname(process.execPath)}:${process.env["PATH"]}`,
    HOME: process.env["HOME"],
    NO_COLOR: "1"
  }
  const ended = await exec(program, args, { cwd, env, maxBuffer: 2 ** 24 }).catch(
    (error: Error & { readonly stdout?: string; readonly stderr?: string }) => {
      throw new Error(`${error.message}\n${error.stdout}\n${error.stderr}`)
    }
  )
  return ended.stdout
}

/** Puts what stands for a package of the registry where `npm install` would. */
const link = async (modules: string, name: string, to: string): Promise<void> => {
  await fs.mkdir(path.dirname(path.join(modules, name)), { recursive: true })
  await fs.symlink(await fs.realpath(to), path.join(modules, name))
}

let scratch = ""

beforeAll(async () => {
  scratch = await fs.realpath(await fs.mkdtemp(path.join(tmpdir(), "templates-")))
  const projects = ours.map((name) => `packages/${name}/tsconfig.build.json`)
  await run(root, path.join(root, "node_modules/.bin/tsc"), "--build", ...projects)
  for (const name of ours) {
    const tarball = await run(
      path.join(root, "packages", name),
      "npm",
      "pack",
      "--silent",
      "--pack-destination",
      scratch
    )
    await fs.mkdir(path.join(scratch, name))
    await run(scratch, "tar", "-xzf", tarball.trim(), "--strip-components=1", "-C", name)
  }
}, 300_000)

afterAll(() => fs.rm(scratch, { recursive: true, force: true }))

describe.each(["adapter-template", "adapter-template-effect"])("%s, copied out", (template) => {
  it("compiles, and keeps the contract of worker adapters", async () => {
    const source = path.join(root, "examples", template)
    const copy = path.join(scratch, `my-${template}`)
    const modules = path.join(copy, "node_modules")
    await fs.cp(source, copy, { recursive: true, filter: (file) => path.basename(file) !== "node_modules" })
    for (const name of ours) {
      await fs.cp(path.join(scratch, name), path.join(modules, "@helios-infra", name), { recursive: true })
    }
    for (const name of ["effect", "typescript", "vitest", "@types/node"]) {
      await link(modules, name, path.join(source, "node_modules", name))
    }
    await link(modules, "shlex", path.join(root, "packages/process/node_modules/shlex"))
    await link(modules, ".bin/tsc", path.join(modules, "typescript/bin/tsc"))
    await link(modules, ".bin/vitest", path.join(modules, "vitest/vitest.mjs"))

    const said = await run(copy, "npm", "test")
    assert.match(said, /Tests .*\b2\d passed/)
    assert.notMatch(said, /failed|skipped/)
    assert.sameMembers(await fs.readdir(copy), await fs.readdir(source), "the tests leave nothing")

    const packed = await run(copy, "npm", "pack", "--silent")
    const entries = await run(copy, "tar", "-tzf", packed.trim())
    for (const entry of ["dist/MyAdapter.js", "dist/MyAdapter.d.ts", "README.md", "package.json"]) {
      assert.include(entries.split("\n"), `package/${entry}`)
    }
    assert.notInclude(entries, "test")
  }, 300_000)
})
