/** What users do with installed packages: import every entry, compile against it, bundle it. */
import { type Plugin, build } from "esbuild"
import { Schema } from "effect"
import { copyFileSync, globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Node } from "./Node.ts"
import { root } from "./Packages.ts"
import { addNodeTypes, type Project } from "./Project.ts"
import { type Problems, run } from "./Run.ts"

const Wrong = Schema.fromJsonString(Schema.Array(Schema.String))

/** What the code of our packages in a project imports from elsewhere: libraries, and Node's own modules. */
const othersIn = ({ folder }: Project): ReadonlyArray<string> => {
  const files = globSync("node_modules/@helios-infra/*/dist/**/*.js", { cwd: folder })
  const statement = /^(?:import|export)\b(?:[^;"]*? from)? "([^."][^"]*)";$/gm
  const imported = files.flatMap((file) =>
    Array.from(readFileSync(join(folder, file), "utf8").matchAll(statement), ([, name = ""]) => name)
  )
  return [...new Set(imported)].filter((name) => !name.startsWith("@helios-infra/")).toSorted()
}

/** Imports every entry, under one Node: `programs/import-all.js` says what must hold. What is no entry must stay shut. */
export const importAll = async (project: Project, entries: ReadonlyArray<string>, node: Node): Promise<Problems> => {
  const { asked, folder } = project
  copyFileSync(join(import.meta.dirname, "../programs/import-all.js"), join(folder, "import-all.js"))
  const closed = asked.flatMap((name) => [`${name}/internal/any`, `${name}/index`])
  const question = JSON.stringify({ entries, closed, others: othersIn(project) })
  const answer = await run("node", ["import-all.js", question], { cwd: folder, node: node.folder })
  return Schema.decodeSync(Wrong)(answer).map((problem) => `under Node ${node.version}, ${problem}`)
}

/** How a compiler may find modules: as Node does, and as bundlers do. */
const resolutions = [
  { module: "NodeNext", moduleResolution: "NodeNext" },
  { module: "ESNext", moduleResolution: "Bundler" }
]

/**
 * Compiles files of a project as strictly as can be, with the declarations of everything checked too, once as Node finds
 * modules and once as bundlers do. `core` is compiled without Node's types: it is for other runtimes as well.
 */
export const compile = async (project: Project, files: ReadonlyArray<string>): Promise<Problems> => {
  const { asked, folder } = project
  const portable = asked.every((name) => name === "@helios-infra/core")
  if (!portable) addNodeTypes(project)
  for (const resolution of resolutions) {
    const compilerOptions = {
      ...resolution,
      target: "ES2023",
      lib: ["ES2023", "DOM", "DOM.Iterable"],
      types: portable ? [] : ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      verbatimModuleSyntax: true,
      skipLibCheck: false,
      noEmit: true
    }
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }))
    try {
      // oxlint-disable-next-line no-await-in-loop -- the same file says both
      await run(join(root, "node_modules/.bin/tsc"), ["--project", "tsconfig.json"], { cwd: folder })
    } catch (error) {
      return [`as ${resolution.moduleResolution} resolves: ${error instanceof Error ? error.message : String(error)}`]
    }
  }
  return []
}

/** Writes a file that imports every entry and has a value of each. */
export const writeConsumer = ({ folder }: Project, entries: ReadonlyArray<string>): string => {
  const imports = entries.map((entry, index) => `import * as m${index} from ${JSON.stringify(entry)}\n`)
  const all = entries.map((_, index) => `m${index}`).join(", ")
  writeFileSync(join(folder, "consumer.ts"), `${imports.join("")}export const all: ReadonlyArray<object> = [${all}]\n`)
  return "consumer.ts"
}

/** Bundles each entry for itself: whoever imports it and uses nothing of it must get nothing. */
export const bundleUnused = async ({ folder }: Project, entries: ReadonlyArray<string>): Promise<Problems> => {
  const importing: Plugin = {
    name: "importing",
    setup: (build) => {
      build.onResolve({ filter: /^importing:/ }, ({ path }) => ({ path: path.slice(10), namespace: "importing" }))
      build.onLoad({ filter: /^/, namespace: "importing" }, ({ path }) => ({
        contents: `import * as unused from ${JSON.stringify(path)}`,
        resolveDir: folder
      }))
    }
  }
  const { metafile } = await build({
    entryPoints: entries.map((entry) => ({ in: `importing:${entry}`, out: entry })),
    plugins: [importing],
    absWorkingDir: folder,
    outdir: ".",
    write: false,
    metafile: true,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    logLevel: "silent"
  })
  return Object.entries(metafile.outputs).flatMap(([file, { bytes }]) =>
    bytes === 0
      ? []
      : [`${file.replace(/\.js$/, "")} leaves ${bytes} bytes where it is imported and nothing of it is used`]
  )
}
