// oxlint-disable eslint/no-await-in-loop -- the cases of these tests go one after the other
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"

const packages = path.resolve(import.meta.dirname, "../../..")

/** Where the classes of errors come from: their base class, alone, is Effect's. */
const errors = "promise/JobError.d.ts"

describe("the declarations of the Promise API", () => {
  it.each(["core", "adapter-local", "stitcher-ffmpeg"])("name no type of Effect in %s", async (name) => {
    const outDir = await fs.mkdtemp(path.join(tmpdir(), "declarations-"))
    try {
      const compilerOptions = {
        noEmit: false,
        emitDeclarationOnly: true,
        declaration: true,
        declarationMap: false,
        composite: false,
        incremental: false,
        rootDir: packages,
        outDir
      }
      const config = path.join(outDir, "tsconfig.json")
      const files = [path.join(packages, name, "src/promise.ts")]
      const typeRoots = [path.join(packages, "../node_modules/@types")]
      await fs.writeFile(
        config,
        JSON.stringify({
          extends: path.join(packages, "../tsconfig.base.json"),
          compilerOptions: { ...compilerOptions, typeRoots },
          files
        })
      )
      await promisify(execFile)("tsc", ["--project", config])
      const emitted = path.join(outDir, name, "src")
      const declarations = (await fs.readdir(emitted, { recursive: true })).filter(
        (file) => /^(internal\/)?promise(\/|\.d\.ts)/.test(file) && file.endsWith(".d.ts") && !file.includes("Service")
      )
      assert.include(declarations, "promise.d.ts")
      for (const file of await reachable(emitted, "promise.d.ts")) {
        if (file === errors) continue
        const text = await fs.readFile(path.join(emitted, file), "utf8")
        assert.notMatch(text, /["']effect(\/|["'])|Effect\.|Layer\.|Stream\./, file)
      }
    } finally {
      await fs.rm(outDir, { recursive: true, force: true })
    }
  })
})

/** The modules of the Promise API that an entry leads to. */
const reachable = async (folder: string, entry: string, seen = new Set<string>()): Promise<Set<string>> => {
  if (seen.has(entry)) return seen
  seen.add(entry)
  const text = await fs.readFile(path.join(folder, entry), "utf8")
  for (const [, specifier = ""] of text.matchAll(/from "(\.[^"]+)\.(?:ts|js)"/g)) {
    const module = path.join(path.dirname(entry), `${specifier}.d.ts`)
    if (module.startsWith("promise/") || module.startsWith("internal/promise/")) await reachable(folder, module, seen)
  }
  return seen
}
