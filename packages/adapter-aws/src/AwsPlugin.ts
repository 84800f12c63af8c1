/**
 * What this package offers to configurations: `{ "type": "aws-lambda", "functionName": "render" }` renders chunks.
 *
 * Credentials are no options here: AWS's tools find them, in the environment, a profile or a role.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import * as Schema from "effect/Schema"
import * as AwsLambdaAdapter from "./AwsLambdaAdapter.ts"

const atLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** The options of {@link worker}: `AwsLambdaAdapter.FunctionOptions`. */
export const WorkerConfig = Schema.Struct({
  functionName: Schema.NonEmptyString,
  qualifier: Schema.optionalKey(Schema.NonEmptyString),
  region: Schema.optionalKey(Schema.NonEmptyString),
  endpoint: Schema.optionalKey(Schema.NonEmptyString),
  concurrency: Schema.optionalKey(atLeastOne),
  maxConcurrency: Schema.optionalKey(atLeastOne),
  jobDefUrl: Schema.optionalKey(Schema.NonEmptyString)
})

/** Chunks on AWS Lambda. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig> = Plugin.definePlugin({
  kind: "worker",
  type: "aws-lambda",
  apiVersion: 1,
  config: WorkerConfig,
  layer: AwsLambdaAdapter.layer
})
