/**
 * What a role or policy of a synthesised template allows, asked as IAM would: by action and by the name of a thing.
 *
 * Knows as much of IAM as the farm's policies use; anything else, such as a condition, throws.
 */
import { Schema } from "effect"

const Texts = Schema.Union([Schema.String, Schema.Array(Schema.String)])
const Statement = Schema.Struct({
  Sid: Schema.optionalKey(Schema.String),
  Effect: Schema.Literals(["Allow", "Deny"]),
  Action: Texts,
  Resource: Schema.Unknown
})
const Document = Schema.Struct({ Version: Schema.Literal("2012-10-17"), Statement: Schema.Array(Statement) })

/** One statement, its resources named: a bucket's ARN is `<logical id>.Arn`. */
export interface Right {
  readonly sid: string
  readonly effect: "Allow" | "Deny"
  readonly actions: ReadonlyArray<string>
  readonly resources: ReadonlyArray<string>
}

const list = (texts: typeof Texts.Type): ReadonlyArray<string> => (typeof texts === "string" ? [texts] : texts)

const Joined = Schema.Struct({ "Fn::Join": Schema.Tuple([Schema.String, Schema.Array(Schema.Unknown)]) })
const Attribute = Schema.Struct({ "Fn::GetAtt": Schema.Tuple([Schema.String, Schema.Literal("Arn")]) })
const isJoined = Schema.is(Joined)
const isAttribute = Schema.is(Attribute)

const nameOf = (value: unknown): string => {
  if (typeof value === "string") return value
  if (isAttribute(value)) return value["Fn::GetAtt"].join(".")
  if (isJoined(value)) return value["Fn::Join"][1].map(nameOf).join(value["Fn::Join"][0])
  throw new Error(`what is this resource? ${JSON.stringify(value)}`)
}

/** Reads the statements of a policy document. */
export const rightsOf = (document: unknown): ReadonlyArray<Right> =>
  Schema.decodeUnknownSync(Document)(document, { onExcessProperty: "error" }).Statement.map((statement) => ({
    sid: statement.Sid ?? "",
    effect: statement.Effect,
    actions: list(statement.Action),
    resources: (Array.isArray(statement.Resource) ? statement.Resource : [statement.Resource]).map(nameOf)
  }))

const matches = (pattern: string, text: string): boolean =>
  new RegExp(
    `^${pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`
  ).test(text)

/** Whether the statements together allow this. */
export const allows = (rights: ReadonlyArray<Right>, action: string, resource: string): boolean => {
  const applying = rights.filter(
    ({ actions, resources }) =>
      actions.some((pattern) => matches(pattern, action)) && resources.some((pattern) => matches(pattern, resource))
  )
  return applying.some(({ effect }) => effect === "Allow") && !applying.some(({ effect }) => effect === "Deny")
}

/**
 * What is granted too widely: actions with a wildcard, things that are not of the template, and all that is in one.
 */
export const overWide = (rights: ReadonlyArray<Right>): ReadonlyArray<string> =>
  rights
    .filter(({ effect }) => effect === "Allow")
    .flatMap(({ actions, resources, sid }) => [
      ...actions.filter((action) => action.includes("*")).map((action) => `${sid}: ${action}`),
      ...resources
        .filter((resource) => !/^\w+\.Arn(?:$|:|\/(?!\*$))/.test(resource))
        .map((resource) => `${sid}: ${resource}`)
    ])
