/** What the check of the published packages would find: each kind of mistake, made in a package of its own. */
import { assert, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll } from "vitest"
import { grown } from "../../../bench/src/SizesFile.ts"
import * as Manifest from "../src/Manifest.ts"
import * as Node from "../src/Node.ts"
import * as Packages from "../src/Packages.ts"
import * as Tarball from "../src/Tarball.ts"
import * as Use from "../src/Use.ts"

const scratch = mkdtempSync(join(tmpdir(), "helios-infra-published-test-"))
afterAll(() => rmSync(scratch, { recursive: true }))

/** A new folder with these files. */
const folderOf = (files: Readonly<Record<string, string>>): string => {
  const folder = mkdtempSync(join(scratch, "folder-"))
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  return folder
}

const packages = Packages.all()
const named = (name: string): Packages.Package => {
  const found = packages.find((one) => one.name === `@helios-infra/${name}`)
  if (found === undefined) throw new Error(`no package ${name}`)
  return found
}
const core = named("core")

/** A manifest as pnpm would pack it. */
const packed = (one: Packages.Package): string =>
  readFileSync(join(Packages.root, one.folder, "package.json"), "utf8")
    .replaceAll("workspace:^", `^${one.version}`)
    .replaceAll(/"catalog:"/g, '"^1.0.0"')

/** What is found in a manifest in which something was replaced. */
const inManifest = (one: Packages.Package, from: string | RegExp, to: string): string => {
  const text = packed(one)
  const changed = text.replace(from, to)
  assert.notStrictEqual(changed, text)
  return Manifest.problems(changed, one, packages, true).join("\n")
}

describe("a manifest", () => {
  it("is right in all packages", () => {
    for (const one of packages) {
      const importsCore = Object.hasOwn(one.peerDependencies, core.name)
      assert.deepStrictEqual(Manifest.problems(packed(one), one, packages, importsCore), [], one.name)
    }
  })

  it.each([
    ["leads to no repository", /"directory": ".+"/, '"directory": "elsewhere"', '"repository"'],
    ["is not ready for provenance", '"provenance": true', '"provenance": false', '"publishConfig"'],
    ["claims other Nodes", '">=22.19"', '">=18"', '"engines"'],
    ["has an entry too many", '"./index": null,', '"./src/*": "./src/*.ts",', '"exports"'],
    ["claims side effects", '"sideEffects": false', '"sideEffects": true', '"sideEffects"'],
    ["still has what pnpm replaces", /"effect": "\^1.0.0"/, '"effect": "catalog:"', '"catalog:"'],
    ["takes another Effect", '"effect": "^4', '"effect": "^3', 'peer "effect"'],
    ["has its keywords in disorder", '"chunks",', '"video", "chunks",', '"keywords"']
  ])("is refused when it %s", (_, from, to, said) => {
    assert.include(inManifest(core, from, to), said)
  })

  it("must have core as a peer where core is imported, and Effect in no other way than as a peer", () => {
    assert.include(
      inManifest(named("adapter-local"), /"@helios-infra\/core": "\^[\d.]+",\s+"effect": "~/, '"effect": "~'),
      "should be a peer"
    )
    const both = { ...core, dependencies: { effect: "^4.1.0" } }
    assert.include(Manifest.problems(packed(core), both, packages, true).join("\n"), "one copy of it")
  })

  it("must be of the same version as the others", () => {
    const others = [core, { ...named("process"), version: "9.9.9" }]
    assert.include(Manifest.problems(packed(core), core, others, true).join("\n"), "share one version")
  })
})

describe("a tarball", () => {
  const map = JSON.stringify({ version: 3, sources: ["../src/index.ts"], mappings: "" })
  const good = {
    LICENSE: "MIT",
    "README.md": "# core",
    "package.json": packed(core),
    "src/index.ts": "export const a = 1\n",
    "dist/index.js": "export const a = 1;\n//# sourceMappingURL=index.js.map",
    "dist/index.js.map": map,
    "dist/index.d.ts": "export declare const a = 1;\n//# sourceMappingURL=index.d.ts.map",
    "dist/index.d.ts.map": map
  }
  const inTarball = (files: Readonly<Record<string, string>>) => Tarball.problemsIn(folderOf(files), core, packages)

  it("is right with its sources, what is built from them, and maps between the two", () => {
    assert.deepStrictEqual(inTarball(good), [])
  })

  it.each([
    ["a test", { "src/index.test.ts": "" }, "src/index.test.ts is for tests"],
    ["a build's notes", { "dist/.tsbuildinfo": "{}" }, "dist/.tsbuildinfo is no user's business"],
    ["something of a source that is gone", { "dist/Gone.js": "" }, "dist/Gone.js is no user's business"],
    ["a folder of this machine", { "README.md": `see ${Packages.root}/src` }, "names a folder of this machine"],
    [
      "a map that leads nowhere",
      { "dist/index.js.map": map.replace("index.ts", "other.ts") },
      "src/other.ts, which is not there"
    ],
    ["code without its map", { "dist/index.js": "export const a = 1;" }, "does not end with //# sourceMappingURL"],
    [
      "a type of Node in core",
      { "dist/index.d.ts": `import type { Stats } from "node:fs";\n${good["dist/index.d.ts"]}` },
      "only Node has"
    ]
  ])("is refused with %s", (_, files, said) => {
    assert.include(inTarball({ ...good, ...files }).join("\n"), said)
  })

  it("is refused without its licence, and without what a source was built into", () => {
    const { LICENSE: _, "dist/index.d.ts": __, ...rest } = good
    const found = inTarball(rest).join("\n")
    assert.include(found, "LICENSE is missing")
    assert.include(found, "dist/index.d.ts is missing")
  })
})

describe("an import", () => {
  const manifest = JSON.stringify({
    name: "@helios-infra/made-up",
    type: "module",
    sideEffects: false,
    exports: { ".": "./dist/index.js", "./internal/*": null, "./index": null, "./open/*": "./dist/*.js" }
  })
  const projectOf = (code: string, text = manifest) => ({
    folder: folderOf({
      "package.json": `{"type":"module"}`,
      "node_modules/@helios-infra/made-up/package.json": text,
      "node_modules/@helios-infra/made-up/dist/index.js": code
    }),
    asked: ["@helios-infra/made-up"],
    installed: new Map<string, string>()
  })
  const imported = async (code: string, text?: string) =>
    (await Use.importAll(projectOf(code, text), ["@helios-infra/made-up"], Node.oldest)).join("\n")

  it("may load libraries and keep values of its own", async () => {
    assert.strictEqual(
      await imported(
        `import "node:http";\nimport { createServer } from "node:http";\nexport const a = new Map([["b", createServer]]);`
      ),
      ""
    )
  })

  it.each([
    ["it sets a global", "globalThis.mine = 1; export const a = 1", "globalThis mine"],
    ["it extends what all share", "Array.prototype.mine = 1; export const a = 1", "Array mine"],
    ["it listens to the process", `process.on("exit", () => {}); export const a = 1`, "process.on exit"],
    ["it starts a timer", "setTimeout(() => {}, 50); export const a = 1", "Timeout"],
    ["it changes the environment", `process.env.MINE = "1"; export const a = 1`, "process.env MINE=1"],
    ["it exports nothing", "const a = 1", "exports nothing"],
    ["it fails", `throw new Error("no")`, "cannot be imported"]
  ])("is refused when %s", async (_, code, said) => {
    assert.include(await imported(code), said)
  })

  it("is refused when it opens what is internal", async () => {
    const open = manifest.replace(`"./internal/*":null`, `"./internal/*":"./dist/index.js"`)
    assert.include(await imported("export const a = 1", open), "/internal/any can be imported")
  })

  it("leaves nothing in a bundle that does not use it, or is refused", async () => {
    const code = "export const a = globalThis.made()"
    const entries = ["@helios-infra/made-up"]
    assert.deepStrictEqual(await Use.bundleUnused(projectOf(code), entries), [])
    const effects = manifest.replace(`"sideEffects":false`, `"sideEffects":true`)
    assert.match((await Use.bundleUnused(projectOf(code, effects), entries)).join(), /made-up leaves \d+ bytes/)
  })
})

describe("sizes", () => {
  const sizes = (bytes: number) => new Map([["core", { own: bytes }]])
  const columns = [["own", "own code"]] as const

  it("may grow by a tenth, and no more", () => {
    assert.deepStrictEqual(grown(sizes(109_000), sizes(100_000), columns), [])
    assert.deepStrictEqual(grown(sizes(111_000), sizes(100_000), columns), [
      "core, own code: from 100.0 kB to 111.0 kB"
    ])
  })

  it("must be known, and there", () => {
    assert.include(grown(sizes(1), new Map(), columns).join(), "is not in bench/sizes.md")
    assert.include(grown(new Map(), sizes(1), columns).join(), "is no longer there")
    assert.isNotEmpty(grown(sizes(Number.NaN), sizes(1), columns))
  })
})
