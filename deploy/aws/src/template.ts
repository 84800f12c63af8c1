/**
 * The farm as a plain CloudFormation template, for people without the CDK: what `template.json` holds.
 *
 * It runs a container image that was pushed before; what differs between installations are its parameters.
 */
import { App, CfnParameter, Duration, Stack } from "aws-cdk-lib"
import { Template } from "aws-cdk-lib/assertions"
import { Schema } from "effect"
import { output, RenderFarm } from "./RenderFarm.ts"
import * as WorkerCode from "./WorkerCode.ts"

/** Makes the stack that the template is taken from. */
export const makeStack = (app: App): Stack => {
  const stack = new Stack(app, "RenderFarm", {
    description: "helios-infra: renders the chunks of a video on AWS Lambda"
  })
  const number = (id: string, value: number, minValue: number, maxValue: number, description: string) =>
    new CfnParameter(stack, id, { type: "Number", default: value, minValue, maxValue, description }).valueAsNumber
  const image = new CfnParameter(stack, "ImageUri", {
    description: "The worker's image in this region's ECR, by digest: ….dkr.ecr.REGION.amazonaws.com/NAME@sha256:…",
    allowedPattern: String.raw`\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9/._-]+(:[\w.-]+|@sha256:[0-9a-f]{64})`
  })
  const farm = new RenderFarm(stack, "Farm", {
    worker: WorkerCode.imageUri(image.valueAsString),
    memorySize: number("MemorySize", 3008, 128, 10_240, "MiB of memory; one processor per 1769"),
    ephemeralStorage: number("EphemeralStorage", 2048, 512, 10_240, "MiB of /tmp"),
    jobsExpireAfter: Duration.days(number("JobDays", 7, 1, 3650, "Days until what is left of a job is deleted")),
    assetsExpireAfter: Duration.days(number("AssetDays", 30, 1, 3650, "Days until an asset is deleted, once sent"))
  })
  output(farm)
  return stack
}

const Fields = Schema.decodeUnknownSync(Schema.Record(Schema.String, Schema.Unknown))

/** The template's text, as it is committed. */
export const templateText = (outdir?: string): string => {
  const app = new App({
    analyticsReporting: false,
    builtinCloudFormationValidation: false,
    ...(outdir === undefined ? undefined : { outdir })
  })
  // The CDK makes every stack ask whether the account is ready for assets, of which this one has none.
  const { Rules: _, Parameters, ...template } = Fields(Template.fromStack(makeStack(app)).toJSON())
  const { BootstrapVersion: __, ...parameters } = Fields(Parameters)
  const { Description, ...rest } = template
  return `${JSON.stringify({ Description, Parameters: parameters, ...rest }, null, 2)}\n`
}
