export * as AwsLambdaAdapter from "./AwsLambdaAdapter.ts"
export * as AwsPlugin from "./AwsPlugin.ts"
