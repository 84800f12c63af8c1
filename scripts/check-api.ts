/**
 * Holds what the packages export to `packages/<name>/api.md`, one readable page per package: a change of it is seen in
 * review, or it fails. `pnpm api --update` writes the pages anew.
 *
 * API Extractor makes the reports, from the built declarations, one for each entry. It takes a module imported by a
 * relative path for a part of the entry and would print it again in each; so the entries are given to it in a copy where
 * they import each other by name, as users do. Modules that are no entries are parts of those that show them.
 */
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor"
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import process from "node:process"
import * as Entries from "../bench/src/Entries.ts"

const root = join(import.meta.dirname, "..")
const update = process.argv.includes("--update")
const folderOf = (one: Entries.Package) => join(root, "packages", one.name.split("/")[1] ?? "")

/** Copies a package's declarations, so that they import its entries by name; gives each entry's declarations. */
const copyDeclarations = (one: Entries.Package, into: string): ReadonlyMap<string, string> => {
  const folder = folderOf(one)
  const nameOf = new Map(one.entries.map(({ file, name }) => [file.replace(/\.js$/, ""), name]))
  // Without `exports`: the package that its name leads to is the one beside it.
  writeFileSync(join(into, "package.json"), JSON.stringify({ name: one.name, version: "0.0.0", type: "module" }))
  symlinkSync(join(folder, "node_modules"), join(into, "node_modules"))
  for (const file of globSync("dist/**/*.d.ts", { cwd: folder })) {
    const text = readFileSync(join(folder, file), "utf8")
    const renamed = text.replaceAll(/(?<=\bfrom |\bimport\()"(\.[^"]+)\.ts"/g, (same, path: string) => {
      const name = nameOf.get(join(folder, file, "..", path))
      return name === undefined ? same : JSON.stringify(name)
    })
    // The same in two statements: API Extractor does not know the short form of what is not its own.
    const spelled = renamed.replaceAll(/^export \* as (\w+) from ("@.+);$/gm, "import * as $1 from $2;\nexport { $1 };")
    mkdirSync(join(into, file, ".."), { recursive: true })
    writeFileSync(join(into, file), spelled)
  }
  return new Map(Array.from(nameOf, ([file, name]) => [name, join(into, relative(folder, `${file}.d.ts`))]))
}

/** The report of one entry, without what is the same in all of them and what API Extractor has to say about it. */
const body = (report: string): string =>
  (/^```ts\n([^]*?)^```$/m.exec(report)?.[1] ?? "")
    .replaceAll(/^ *\/\/ (?:@public.*|\(undocumented\)|\(No @packageDocumentation .*)\n/gm, "")
    .replaceAll(" (undocumented)\n", "\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .replaceAll(/(?<=^export \{ .+ \}\n)\n(?=export \{)/gm, "")
    .trim()

/** A package's page. */
const pageOf = (one: Entries.Package, scratch: string): string => {
  const into = join(scratch, "copies", one.name)
  mkdirSync(into, { recursive: true })
  const declarations = copyDeclarations(one, into)
  const files = [...declarations.values()]
  const configOf = (file: string) =>
    ExtractorConfig.prepare({
      configObjectFullPath: undefined,
      packageJsonFullPath: join(into, "package.json"),
      configObject: {
        projectFolder: into,
        mainEntryPointFilePath: file,
        newlineKind: "lf",
        compiler: {
          overrideTsconfig: {
            compilerOptions: {
              target: "ES2023",
              lib: ["ES2023", "DOM"],
              module: "NodeNext",
              strict: true,
              exactOptionalPropertyTypes: true,
              allowImportingTsExtensions: true,
              skipLibCheck: true,
              noEmit: true,
              types: ["node"],
              typeRoots: [join(root, "node_modules/@types")]
            },
            files
          }
        },
        // The fields of an error are in a class that its own extends, and is not exported.
        apiReport: {
          enabled: true,
          reportFolder: into,
          reportTempFolder: into,
          reportFileName: "report",
          includeForgottenExports: true
        },
        docModel: { enabled: false },
        dtsRollup: { enabled: false },
        messages: {
          compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
          extractorMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
          tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } }
        }
      }
    })
  let compilerState: CompilerState | undefined
  const sections = Array.from(declarations, ([name, file]) => {
    const config = configOf(file)
    compilerState ??= CompilerState.create(config, { additionalEntryPoints: files })
    const { succeeded } = Extractor.invoke(config, {
      compilerState,
      localBuild: true,
      messageCallback: (message) => {
        message.handled = message.logLevel !== ExtractorLogLevel.Error
      }
    })
    if (!succeeded) throw new Error(`API Extractor could not read ${name}`)
    return `## ${name}\n\n\`\`\`ts\n${body(readFileSync(join(into, "report.api.md"), "utf8"))}\n\`\`\`\n`
  })
  const heading = `# What ${one.name} exports\n\nWritten by \`pnpm api --update\` and checked by \`pnpm check api\`; not for editing.\n\n`
  return heading + sections.join("\n")
}

/** Where two texts begin to differ, a few lines of each. */
const firstDifference = (written: string, now: string): string => {
  const [before, after] = [written.split("\n"), now.split("\n")]
  const at = after.findIndex((line, index) => line !== before[index])
  const show = (sign: string, lines: ReadonlyArray<string>) =>
    lines.slice(at, at + 5).map((line) => `${sign} ${line}\n`)
  return [...show("-", before), ...show("+", after)].join("")
}

const scratch = mkdtempSync(join(tmpdir(), "helios-infra-api-"))
try {
  mkdirSync(join(scratch, "node_modules/@helios-infra"), { recursive: true })
  for (const one of Entries.packages()) symlinkSync(folderOf(one), join(scratch, "node_modules", one.name))
  for (const one of Entries.packages()) {
    const file = join(folderOf(one), "api.md")
    const page = pageOf(one, scratch)
    const written = existsSync(file) ? readFileSync(file, "utf8") : ""
    if (page === written) continue
    if (update) writeFileSync(file, page)
    else {
      console.error(`${relative(root, file)} is not what ${one.name} exports:\n${firstDifference(written, page)}`)
      process.exitCode = 1
    }
  }
  if (process.exitCode === 1) console.error("Undo the change, or accept it with `pnpm api --update`.")
  else console.log(`packages/*/api.md say what ${Entries.packages().length} packages export`)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
