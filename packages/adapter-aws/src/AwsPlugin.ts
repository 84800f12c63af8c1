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
  functionName: Schema.NonEmptyString.annotateKey({
    description: "The function's name, its ARN, or the ARN's end: 123456789012:function:render."
  }),
  qualifier: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "A version or an alias of the function. Default: what functionName says, else $LATEST."
  }),
  region: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "Default: that of the ARN, else what AWS's tools take: AWS_REGION, the profile."
  }),
  endpoint: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "Where the service is, for one that is not AWS's."
  }),
  concurrency: Schema.optionalKey(atLeastOne).annotateKey({
    description: "How many attempts at once suit it when nobody says. Default: 100."
  }),
  maxConcurrency: Schema.optionalKey(atLeastOne).annotateKey({
    description: "How many attempts at once it can take at most, such as its reserved concurrency. Default: no limit."
  }),
  jobDefUrl: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description:
      "Where the function reads the job file of jobs that have no storage: an https URL, or a path that it knows."
  })
})

/** Chunks on AWS Lambda. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig, never, never, "aws-lambda"> = Plugin.definePlugin({
  kind: "worker",
  type: "aws-lambda",
  apiVersion: 1,
  config: WorkerConfig,
  layer: AwsLambdaAdapter.layer
})
