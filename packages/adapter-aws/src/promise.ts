/**
 * The Promise API of this package: chunks on AWS Lambda, for
 * `new JobManager().runJob(id, { workerAdapter: new AwsLambdaAdapter({ functionName: "render" }), storage })`.
 */
import type { LambdaClient, LambdaClientConfig } from "@aws-sdk/client-lambda"
import { RemoteAdapterClass } from "@helios-infra/adapter-local/RemoteAdapterClass"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import * as Lambda from "./AwsLambdaAdapter.ts"

/** Which function is called, and how. */
export interface AwsLambdaAdapterOptions extends Lambda.FunctionOptions {
  /** What the SDK takes. Default: what AWS's tools take: the environment, a profile, a role. */
  readonly credentials?: LambdaClientConfig["credentials"]
  /** A client of your own, made with `maxAttempts: 1`, in place of `region`, `credentials` and `endpoint`. */
  readonly client?: LambdaClient | undefined
}

const rules: PromiseOptions.Rules<AwsLambdaAdapterOptions> = {
  functionName: PromiseOptions.text,
  qualifier: PromiseOptions.text,
  region: PromiseOptions.text,
  endpoint: PromiseOptions.text,
  concurrency: PromiseOptions.whole(1),
  maxConcurrency: PromiseOptions.whole(1),
  jobDefUrl: PromiseOptions.text,
  credentials: PromiseOptions.anything,
  client: PromiseOptions.methods("send")
}

/** Runs attempts on AWS Lambda, one synchronous call for each. A call that has begun cannot be stopped, only left. */
export class AwsLambdaAdapter extends RemoteAdapterClass {
  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(options: AwsLambdaAdapterOptions) {
    PromiseOptions.check("AwsLambdaAdapter", options, rules, ["functionName"])
    super(Lambda.info(options), Lambda.make(options))
  }
}
