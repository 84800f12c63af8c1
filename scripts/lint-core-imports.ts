/**
 * The lint rule that keeps `core` portable and on what Effect promises not to break. A file may import its own package's
 * modules, with their extension, and top-level modules of `effect`, one by one; and every module and export of `effect`
 * that it uses must carry `@stability stable` in Effect's own source, because core accepts any `effect` from ^4.1.0.
 *
 * It reads the tags from the installed `effect`, so there is no list here to keep up to date. Which files it applies to
 * is said in `.oxlintrc.json`, as are the globals that core may use.
 */
import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import type { RuleTester } from "oxlint/plugins-dev"

type Rule = Parameters<RuleTester["run"]>[1]
type Context = Parameters<NonNullable<Rule["create"]>>[0]
type Node = NonNullable<Parameters<Context["report"]>[0]["node"]>

interface Stability {
  readonly module: string
  readonly exports: ReadonlyMap<string, string>
}

const sources = join(dirname(createRequire(import.meta.url).resolve("effect/package.json")), "src")

const ownModule = /^\.\.?\/.+\.ts$/
const effectModule = /^effect\/([A-Z]\w*)$/

const tag = /@stability (\w+)/
const documentedExport =
  /\/\*\*((?:[^*]|\*(?!\/))*)\*\/\s*(?:export (?:declare )?(?:abstract )?(?:const|function|class|interface|type|namespace) (\w+)|(?:\w+ as )?(\w+)(?=[\s,]*(?:\}|\/\*\*)))/g

/** The tags of one module of Effect; overloads and merged declarations count as their least stable part. */
const read = (name: string): Stability | undefined => {
  const file = join(sources, `${name}.ts`)
  if (!existsSync(file)) return undefined
  const source = readFileSync(file, "utf8")
  const exports = new Map<string, string>()
  for (const [, doc = "", declared, renamed] of source.matchAll(documentedExport)) {
    const stability = tag.exec(doc)?.[1]
    const exported = declared ?? renamed
    if (stability === undefined || exported === undefined) continue
    if (exports.get(exported) === undefined || stability !== "stable") exports.set(exported, stability)
  }
  return { module: tag.exec(source)?.[1] ?? "untagged", exports }
}

const known = new Map<string, Stability | undefined>()
const stabilityOf = (name: string): Stability | undefined => {
  if (!known.has(name)) known.set(name, read(name))
  return known.get(name)
}

const rule: Rule = {
  create(context) {
    /** The local names of whole modules: `import * as Effect from "effect/Effect"`. */
    const namespaces = new Map<string, string>()

    const checkSource = (node: Node & { readonly value?: unknown }) => {
      if (typeof node.value === "string" && (ownModule.test(node.value) || effectModule.test(node.value))) return
      const message =
        'core imports its own modules ("./JobSpec.ts") and modules of effect ("effect/Effect"), nothing else'
      context.report({ node, message })
    }

    const checkModule = (node: Node, module: string) => {
      const stability = stabilityOf(module)?.module ?? "not there"
      if (stability === "stable") return
      context.report({ node, message: `core uses stable API only; to Effect, effect/${module} is ${stability}` })
    }

    const checkMember = (node: Node, module: string | undefined, member: string) => {
      if (module === undefined) return
      const stability = stabilityOf(module)?.exports.get(member) ?? "stable"
      if (stability === "stable") return
      context.report({ node, message: `core uses stable API only; to Effect, ${module}.${member} is ${stability}` })
    }

    return {
      ImportDeclaration(node) {
        checkSource(node.source)
        const module = effectModule.exec(node.source.value)?.[1]
        if (module === undefined) return
        checkModule(node.source, module)
        for (const specifier of node.specifiers) {
          if (specifier.type === "ImportNamespaceSpecifier") namespaces.set(specifier.local.name, module)
          if (specifier.type !== "ImportSpecifier") continue
          const { imported } = specifier
          checkMember(specifier, module, imported.type === "Identifier" ? imported.name : imported.value)
        }
      },
      ExportAllDeclaration: (node) => checkSource(node.source),
      ExportNamedDeclaration: (node) => {
        if (node.source !== null) checkSource(node.source)
      },
      ImportExpression: (node) => checkSource(node.source),
      MemberExpression({ object, property }) {
        if (object.type !== "Identifier" || property.type !== "Identifier") return
        checkMember(property, namespaces.get(object.name), property.name)
      },
      TSQualifiedName({ left, right }) {
        if (left.type === "Identifier") checkMember(right, namespaces.get(left.name), right.name)
      }
    }
  }
}

export default { meta: { name: "helios-infra" }, rules: { "core-imports": rule } }
