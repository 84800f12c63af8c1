/**
 * The options of our plugins as TypeScript has them, from the same JSON Schemas that editors read.
 *
 * They could be imported from the packages, and would then be known to nobody who has not installed all of them.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import type { PluginOptions } from "./JsonSchemas.ts"

type Json = JsonSchema.JsonSchema

const isJson = (value: unknown): value is Json => Predicate.isObject(value)

const comment = (schema: Json): string =>
  Predicate.isString(schema["description"]) ? `/** ${schema["description"]} */\n` : ""

const member = (name: string, optional: boolean, schema: Json): string =>
  `${comment(schema)}readonly ${JSON.stringify(name)}${optional ? "?" : ""}: ${typeOf(schema)}\n`

/** The type of what a JSON Schema lets through. */
const typeOf = (schema: unknown): string => {
  if (!isJson(schema)) return "unknown"
  if (Array.isArray(schema["enum"])) return schema["enum"].map((value) => JSON.stringify(value)).join(" | ")
  if (Array.isArray(schema["anyOf"])) return schema["anyOf"].map(typeOf).join(" | ")
  switch (schema["type"]) {
    case "string":
    case "boolean":
    case "number":
      return schema["type"]
    case "integer":
      return "number"
    case "array":
      return `ReadonlyArray<${typeOf(schema["items"])}>`
    case "object":
      return objectOf(schema)
    default:
      throw new Error(`no type for ${JSON.stringify(schema)}`)
  }
}

const objectOf = (schema: Json): string => {
  const { additionalProperties: others, properties, required } = schema
  if (isJson(properties)) {
    const needed: ReadonlyArray<unknown> = Array.isArray(required) ? required : []
    const members = Object.entries(properties).map(([name, inner]) =>
      member(name, !needed.includes(name), isJson(inner) ? inner : {})
    )
    return `{\n${members.join("")}}`
  }
  return isJson(others) ? `Readonly<Record<string, ${typeOf(others)}>>` : "{}"
}

/** The module, to be formatted. */
export const write = (options: ReadonlyArray<PluginOptions>): string => {
  const kinds = Plugin.kinds.map((kind) => {
    const members = options
      .filter((plugin) => plugin.kind === kind)
      .map(({ schema, type }) => member(type, false, schema))
    return `readonly ${JSON.stringify(kind)}: {\n${members.join("")}}\n`
  })
  return `/**
 * The options of the plugins of \`@helios-infra\`, beside their \`type\`, as configurations write them. What reads them are the
 * schemas of the packages; this is generated from those (\`pnpm --filter @helios-infra/config generate\`), so that they are
 * checked in code before a package is installed.
 */

/** By kind and type. */
export interface FirstPartyOptions {
${kinds.join("")}}
`
}
