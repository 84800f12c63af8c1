/** The API reference: a page for every public module of every package, from the doc comments. */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Application, Comment, type Context, Converter, ReflectionKind } from "typedoc"
import type { PluginOptions } from "typedoc-plugin-markdown"
import { root } from "./Pages.ts"

/** Everything that `exports` of the packages offers: their modules, `internal/` and the barrels excepted. */
export const modules = (): ReadonlyArray<string> =>
  globSync("packages/*/src/**/*.ts", { cwd: root })
    .filter((file) => !/\/internal\/|\/src\/index\.ts$|\.d\.ts$/.test(file))
    .toSorted()

const markdown: Partial<PluginOptions> = {
  entryFileName: "index.md",
  hideBreadcrumbs: true,
  hidePageHeader: true,
  useCodeBlocks: true,
  parametersFormat: "table",
  interfacePropertiesFormat: "table",
  classPropertiesFormat: "table",
  typeAliasPropertiesFormat: "table",
  pageTitleTemplates: { module: "@helios-infra/{name}", member: "{name}", index: "API reference" }
}

/** What a file says of itself: the comment that it opens with, which TypeDoc takes for that of an import. */
const opening = (file: string): Comment | undefined => {
  const [, text] = /^\/\*\*([^]*?)\*\//.exec(readFileSync(file, "utf8")) ?? []
  const plain = text
    ?.replaceAll(/^ *\* ?/gm, "")
    .replaceAll(/\{@link (\S+?)\}/g, "`$1`")
    .trim()
  return plain === undefined ? undefined : new Comment([{ kind: "text", text: plain }])
}

/**
 * Names modules as they are imported, has them say what they are, and leaves out what classes have from Effect: their
 * constructors, their messages, the schemas of their fields, and that they extend an expression.
 */
const simplify = ({ project }: Context): void => {
  for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
    const comment = module.comment ?? opening(join(root, "packages", `${module.name}.ts`))
    if (comment !== undefined) module.comment = comment
    module.name = module.name.replace("/src/", "/")
  }
  for (const reflection of Object.values(project.reflections)) {
    if (!reflection.isDeclaration()) continue
    const isMessage = reflection.kindOf(ReflectionKind.Accessor) && reflection.name === "message"
    if (isMessage || (reflection.kindOf(ReflectionKind.Constructor) && reflection.inheritedFrom !== undefined)) {
      project.removeReflection(reflection)
      continue
    }
    for (const one of [reflection, ...(reflection.signatures ?? []), reflection.getSignature]) {
      delete one?.inheritedFrom
      delete one?.overwrites
    }
    if (reflection.parent?.kindOf(ReflectionKind.Class) === true) delete reflection.defaultValue
    if (reflection.extendedTypes?.every(({ type }) => type === "intersection")) delete reflection.extendedTypes
  }
}

/** Writes the reference into `out`. Fails on what TypeDoc warns of, such as a link to what is not there. */
export const write = async (out: string): Promise<void> => {
  const app = await Application.bootstrapWithPlugins({
    ...markdown,
    plugin: ["typedoc-plugin-markdown"],
    router: "module",
    outputs: [{ name: "markdown", path: out }],
    tsconfig: join(root, "site/typedoc.tsconfig.json"),
    basePath: join(root, "packages"),
    entryPoints: modules().map((file) => join(root, file)),
    readme: "none",
    excludeExternals: true,
    disableSources: true,
    sort: ["source-order"],
    logLevel: "Warn"
  })
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, simplify)
  const project = await app.convert()
  if (project !== undefined) await app.generateOutputs(project)
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error("the API reference is not whole: see above")
}
