/**
 * The farm as a CDK app, to deploy as it is or to start from: `npx aws-cdk deploy -c image=URI`, or `-c zip=FILE` for a
 * worker whose renderer comes from layers (`-c layers=ARN,ARN`).
 */
import { App, Stack } from "aws-cdk-lib"
import { LayerVersion } from "aws-cdk-lib/aws-lambda"
import { output, RenderFarm } from "./RenderFarm.ts"
import * as WorkerCode from "./WorkerCode.ts"

const app = new App()
const stack = new Stack(app, "RenderFarm", { description: "helios-infra: renders the chunks of a video on AWS Lambda" })

const context = (key: string): string | undefined => {
  const value: unknown = app.node.tryGetContext(key)
  return typeof value === "string" && value !== "" ? value : undefined
}

const worker = (): WorkerCode.WorkerCode => {
  const image = context("image")
  if (image !== undefined) return WorkerCode.imageUri(image)
  const zip = context("zip")
  if (zip === undefined) throw new Error("say what the function runs: -c image=URI or -c zip=FILE")
  const layers = context("layers")
    ?.split(",")
    .map((arn, index) => LayerVersion.fromLayerVersionArn(stack, `Layer${index}`, arn))
  return WorkerCode.zip(zip, layers)
}

output(new RenderFarm(stack, "Farm", { worker: worker() }))
