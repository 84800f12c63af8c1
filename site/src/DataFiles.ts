/** Whether the JSON and YAML in the pages is what it looks like: a job file, a configuration, or at least JSON and YAML. */
import * as JobSpec from "@helios-infra/core/JobSpec"
import { Ajv } from "ajv"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import { root } from "./Pages.ts"

const ajv = new Ajv({ strict: false, allErrors: true })
const schema: unknown = JSON.parse(
  readFileSync(join(root, "packages/config/schemas/helios.config.schema.json"), "utf8")
)
const isConfiguration = ajv.compile(typeof schema === "object" && schema !== null ? schema : false)

/** What is wrong with it. */
export const dataIssue = (language: "json" | "yaml", text: string): string | undefined => {
  let data: unknown
  try {
    data = language === "json" ? JSON.parse(text) : parse(text)
  } catch (error) {
    return String(error)
  }
  if (typeof data !== "object" || data === null) return undefined
  if ("chunks" in data) {
    const decoded = Effect.runSync(Effect.result(JobSpec.decode(data)))
    return Result.isFailure(decoded) ? decoded.failure.message : undefined
  }
  if ("worker" in data) return isConfiguration(data) ? undefined : ajv.errorsText(isConfiguration.errors)
  return undefined
}
