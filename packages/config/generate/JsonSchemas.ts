/** The JSON Schemas that this package ships, from the schemas that read what they are about. */
import * as JobSpec from "@helios-infra/core/JobSpec"
import * as Plugin from "@helios-infra/core/Plugin"
import * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import * as FirstParty from "../src/FirstParty.ts"
import * as HeliosConfig from "../src/HeliosConfig.ts"
import { pattern as packageName } from "../src/internal/packageNames.ts"
import { pluginsOf } from "../src/internal/pluginsOf.ts"

type Json = JsonSchema.JsonSchema

// ---
// from Effect's schemas
// ---

const isJson = (value: unknown): value is Json => Predicate.isObject(value)

/** How Effect writes numbers that JSON has not. */
const isNoNumber = (schema: unknown): boolean =>
  isJson(schema) && Array.isArray(schema["enum"]) && schema["enum"].includes("NaN")

const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** The same, shorter: without numbers that JSON has not, and with descriptions where they belong. */
const tidy = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(tidy)
  if (!isJson(value)) return value
  const { allOf, anyOf, ...rest } = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, tidy(inner)]))
  if (rest["maximum"] === Number.MAX_SAFE_INTEGER) delete rest["maximum"]
  const some = listOf(anyOf).filter((member) => !isNoNumber(member))
  const isOpen = (member: unknown) => isJson(member) && Object.keys(member).join() === "type,additionalProperties"
  const parts = [...(some.length === 1 ? some : []), rest, ...listOf(allOf).filter((member) => !isOpen(member))]
  return Object.assign(some.length > 1 ? { anyOf: some } : {}, ...parts)
}

/** What schemas say of their keys gets lost where what is under a key is turned into something else, as paths are. */
const describe = (ast: SchemaAST.AST, json: unknown): void => {
  if (!isJson(json)) return
  if (SchemaAST.isArrays(ast)) {
    for (const element of ast.rest) describe(element, json["items"])
  }
  if (!SchemaAST.isObjects(ast) || !isJson(json["properties"])) return
  for (const { name, type } of ast.propertySignatures) {
    const property = json["properties"][String(name)]
    describe(type, property)
    const description = type.context?.annotations?.["description"]
    if (isJson(property) && description !== undefined) property["description"] = description
  }
}

/** The JSON Schema of what a schema reads; nothing that it does not know is let through where it is closed. */
const schemaOf = (schema: Schema.Constraint, onExcessProperty: "error" | "ignore"): Json => {
  const encoded = SchemaRepresentation.toRepresentation(SchemaAST.toEncoded(schema.ast))
  const document = SchemaRepresentation.toJsonSchemaDocument(encoded, { onExcessProperty })
  if (Object.keys(document.definitions).length > 0)
    throw new Error("schemas with names of their own are not provided for")
  const tidied = tidy(document.schema)
  describe(schema.ast, tidied)
  return isJson(tidied) ? tidied : {}
}

// ---
// options of plugins
// ---

/** The options of a plugin of ours, beside its type. */
export interface PluginOptions {
  readonly kind: Plugin.Kind
  readonly type: string
  readonly schema: Json
}

/** Those of all plugins of ours. */
export const options = async (): Promise<ReadonlyArray<PluginOptions>> => {
  const named = Plugin.kinds.flatMap((kind) =>
    Object.entries<FirstParty.Source>(FirstParty.sources[kind]).map(([type, source]) => ({ kind, type, source }))
  )
  return Promise.all(
    named.map(async ({ kind, source, type }) => {
      const plugin = pluginsOf(await source.load()).find((one) => one.kind === kind && one.type === type)
      const config = Predicate.hasProperty(plugin, "config") ? plugin.config : undefined
      if (!Schema.isSchema(config)) throw new Error(`${source.specifier} has no ${kind} ${type}`)
      const { not: none, ...schema } = schemaOf(config, "error")
      // To Effect, an object without fields is anything but null.
      return { kind, type, schema: none === undefined ? schema : { type: "object", additionalProperties: false } }
    })
  )
}

// ---
// files
// ---

/** Where a file has `${NAME}`, what the variable holds has to fit, which nobody knows yet. */
const orVariable = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(orVariable)
  if (!isJson(value)) return value
  const { pattern, ...rest } = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, orVariable(inner)]))
  return Predicate.isString(pattern) ? { ...rest, pattern: String.raw`^\$\{|${pattern}` } : { ...value, ...rest }
}

const withType = ({ schema, type }: PluginOptions): Json => ({
  ...schema,
  properties: { type: { const: type }, ...(isJson(schema["properties"]) ? schema["properties"] : {}) },
  required: ["type", ...listOf(schema["required"])]
})

const withVariables = (schema: Json): Json => {
  const open = orVariable(schema)
  return isJson(open) ? open : {}
}

const capital = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`

const sections: Readonly<Record<string, Plugin.Kind>> = {
  worker: "worker",
  mergeWorker: "worker",
  stitcher: "stitcher",
  outputCheck: "outputCheck",
  repository: "repository",
  storage: "storage"
}

/** The schema of `helios.config.json` and `.yaml`. Options of plugins that are not ours are let through. */
export const config = async (): Promise<Json> => {
  const plugins = await options()
  const whole = schemaOf(HeliosConfig.HeliosConfig, "error")
  const properties = isJson(whole["properties"]) ? whole["properties"] : {}
  const described = (key: string): Json => {
    const property: unknown = properties[key]
    return isJson(property) ? property : {}
  }
  const definitions: Record<string, Json> = {}
  for (const plugin of plugins) definitions[`${plugin.kind}/${plugin.type}`] = withVariables(withType(plugin))
  for (const kind of Plugin.kinds) {
    const types = plugins.filter((plugin) => plugin.kind === kind).map(({ type }) => type)
    definitions[kind] = {
      type: "object",
      required: ["type"],
      properties: { type: { anyOf: [{ enum: types }, { type: "string" }], description: `Which ${kind}.` } },
      allOf: types.map((type) => ({
        if: { properties: { type: { const: type } }, required: ["type"] },
        then: { $ref: `#/definitions/${kind}~1${type}` }
      }))
    }
    definitions[`own${capital(kind)}`] = { properties: { type: { enum: types } } }
  }
  return {
    $schema: JsonSchema.META_SCHEMA_URI_DRAFT_07,
    title: "The configuration of @helios-infra",
    ...whole,
    properties: {
      ...properties,
      plugins: { ...described("plugins"), items: { type: "string", pattern: packageName } },
      ...Object.fromEntries(
        Object.entries(sections).map(([key, kind]) => [
          key,
          { ...described(key), allOf: [{ $ref: `#/definitions/${kind}` }] }
        ])
      )
    },
    // Without packages of others there are no types but ours.
    if: { not: { required: ["plugins"] } },
    then: {
      properties: Object.fromEntries(
        Object.entries(sections).map(([key, kind]) => [key, { $ref: `#/definitions/own${capital(kind)}` }])
      )
    },
    definitions
  }
}

/** The schema of the job file: each value on its own. Whether every frame is there, only `JobSpec.decode` can tell. */
export const job = (): Json => ({
  $schema: JsonSchema.META_SCHEMA_URI_DRAFT_07,
  title: "A job file of @helios-infra",
  ...schemaOf(JobSpec.JobSpec, "ignore")
})
