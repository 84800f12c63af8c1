import { assert, describe, it } from "@effect/vitest"
import { App, Stack } from "aws-cdk-lib"
import { Match, Template } from "aws-cdk-lib/assertions"
import * as iam from "aws-cdk-lib/aws-iam"
import { Architecture } from "aws-cdk-lib/aws-lambda"
import { Schema } from "effect"
import { strToU8, zipSync } from "fflate"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import { RenderFarm, type RenderFarmProps } from "../src/RenderFarm.ts"
import * as WorkerCode from "../src/WorkerCode.ts"
import { allows, overWide, type Right, rightsOf } from "./Rights.ts"

const uri = `123456789012.dkr.ecr.eu-central-1.amazonaws.com/render@sha256:${"0".repeat(64)}`

const folder = mkdtempSync(join(tmpdir(), "helios-infra-cdk-"))
afterAll(() => rmSync(folder, { recursive: true }))

const synthesise = (props: Partial<RenderFarmProps> = {}, change: (farm: RenderFarm) => void = () => {}): Template => {
  // AWS's own check of templates takes seconds: once, in template.test.ts, is enough.
  const app = new App({ analyticsReporting: false, builtinCloudFormationValidation: false, outdir: folder })
  const stack = new Stack(app, "Stack")
  change(new RenderFarm(stack, "Farm", { worker: WorkerCode.imageUri(uri), ...props }))
  return Template.fromStack(stack)
}

const Policies = Schema.Record(
  Schema.String,
  Schema.Struct({ Properties: Schema.Struct({ PolicyDocument: Schema.Unknown }) })
)

/** All that a policy of this type says; there is one in a farm. */
const rights = (template: Template, type: "AWS::IAM::Policy" | "AWS::IAM::ManagedPolicy"): ReadonlyArray<Right> =>
  Object.values(Schema.decodeUnknownSync(Policies)(template.findResources(type))).flatMap(({ Properties }) =>
    rightsOf(Properties.PolicyDocument)
  )

const idOf = (template: Template, type: string): string => {
  const ids = Object.keys(template.findResources(type))
  assert.lengthOf(ids, 1, `one ${type}`)
  return ids[0] ?? ""
}

const arnOf = (template: Template, type: string): string => `${idOf(template, type)}.Arn`

describe("the worker's role", () => {
  const template = synthesise()
  const worker = rights(template, "AWS::IAM::Policy")
  const bucket = arnOf(template, "AWS::S3::Bucket")
  const may = (action: string, key: string) => allows(worker, action, `${bucket}/${key}`)

  it("reads assets and jobs", () => {
    for (const key of ["assets/0a1b", "jobs/j/job.json", "jobs/j/assets.json", "jobs/j/chunks/0/1.1/cancelled"]) {
      assert.isTrue(may("s3:GetObject", key), key)
    }
    assert.isFalse(may("s3:GetObject", "elsewhere/secret"))
  })

  it("writes outputs and logs, and nothing that another worker goes by", () => {
    for (const key of ["jobs/j/chunks/0/1.1/output.mov", "jobs/j/chunks/0/1.1/log.txt"]) {
      assert.isTrue(may("s3:PutObject", key), key)
      assert.isTrue(may("s3:AbortMultipartUpload", key), key)
    }
    for (const key of ["assets/0a1b", "jobs/j/job.json", "jobs/j/assets.json"]) {
      assert.isFalse(may("s3:PutObject", key), key)
    }
  })

  it("deletes nothing and lists nothing", () => {
    assert.isFalse(may("s3:DeleteObject", "jobs/j/chunks/0/1.1/output.mov"))
    assert.isFalse(allows(worker, "s3:ListBucket", bucket))
  })

  it("writes its own log and calls no function", () => {
    assert.isTrue(allows(worker, "logs:PutLogEvents", arnOf(template, "AWS::Logs::LogGroup")))
    assert.isFalse(allows(worker, "logs:CreateLogGroup", arnOf(template, "AWS::Logs::LogGroup")))
    assert.isFalse(allows(worker, "lambda:InvokeFunction", arnOf(template, "AWS::Lambda::Function")))
  })

  it("is for Lambda alone, and has no policy of Amazon's", () => {
    template.hasResourceProperties("AWS::IAM::Role", {
      AssumeRolePolicyDocument: {
        Statement: [{ Action: "sts:AssumeRole", Principal: { Service: "lambda.amazonaws.com" } }]
      },
      ManagedPolicyArns: Match.absent()
    })
    template.resourceCountIs("AWS::IAM::Role", 1)
    template.resourceCountIs("AWS::IAM::Policy", 1)
  })

  it("has no right to the bucket where attempts are sent URLs", () => {
    const template = synthesise({ access: "urls" })
    const worker = rights(template, "AWS::IAM::Policy")
    assert.deepStrictEqual(
      worker.flatMap(({ actions }) => actions),
      ["logs:CreateLogStream", "logs:PutLogEvents"]
    )
    template.hasResourceProperties("AWS::Lambda::Function", {
      Environment: {
        Variables: {
          HELIOS_INFRA_BUCKET: Match.absent(),
          HELIOS_INFRA_SOURCES: {
            "Fn::Join": ["", ["https://", { "Fn::GetAtt": [Match.anyValue(), "RegionalDomainName"] }, "/"]]
          }
        }
      }
    })
  })
})

describe("the orchestrator's policy", () => {
  const template = synthesise()
  const orchestrator = rights(template, "AWS::IAM::ManagedPolicy")
  const bucket = arnOf(template, "AWS::S3::Bucket")
  const worker = arnOf(template, "AWS::Lambda::Function")

  it("calls the function, whichever version of it", () => {
    assert.isTrue(allows(orchestrator, "lambda:InvokeFunction", worker))
    assert.isTrue(allows(orchestrator, "lambda:InvokeFunction", `${worker}:live`))
    assert.isFalse(allows(orchestrator, "lambda:InvokeFunction", `${worker}Other`))
    assert.isFalse(allows(orchestrator, "lambda:UpdateFunctionCode", worker))
  })

  it("reads, writes, deletes and lists what jobs have, and nothing else", () => {
    for (const action of ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"]) {
      assert.isTrue(allows(orchestrator, action, `${bucket}/jobs/j/job.json`), action)
      assert.isTrue(allows(orchestrator, action, `${bucket}/assets/0a1b`), action)
      assert.isFalse(allows(orchestrator, action, `${bucket}/elsewhere/secret`), action)
    }
    assert.isTrue(allows(orchestrator, "s3:ListBucket", bucket))
    assert.isFalse(allows(orchestrator, "s3:DeleteBucket", bucket))
    assert.isFalse(allows(orchestrator, "s3:PutBucketPolicy", bucket))
  })
})

describe("what is granted too widely", () => {
  const all = (template: Template) =>
    overWide([...rights(template, "AWS::IAM::Policy"), ...rights(template, "AWS::IAM::ManagedPolicy")])

  it("is nothing", () => {
    assert.deepStrictEqual(all(synthesise()), [])
    assert.deepStrictEqual(all(synthesise({ access: "urls" })), [])
  })

  it.each([
    [["s3:*"], ["arn:aws:s3:::other/jobs/*"], ["Wide: s3:*", "Wide: arn:aws:s3:::other/jobs/*"]],
    [["s3:GetObject"], ["*"], ["Wide: *"]],
    [["s3:Get*"], ["*"], ["Wide: s3:Get*", "Wide: *"]]
  ])("would be noticed: %s on %s", (actions, resources, noticed) => {
    const wide = new iam.PolicyStatement({ sid: "Wide", actions, resources })
    assert.deepStrictEqual(all(synthesise({}, (farm) => farm.function.addToRolePolicy(wide))), noticed)
    assert.deepStrictEqual(all(synthesise({}, (farm) => farm.orchestratorPolicy.addStatements(wide))), noticed)
  })

  it("would be noticed when it is a whole bucket", () => {
    const template = synthesise({}, (farm) => farm.bucket.grantDelete(farm.function))
    assert.deepStrictEqual(all(template), [": s3:DeleteObject*", `: ${arnOf(template, "AWS::S3::Bucket")}/*`])
  })

  it("would be noticed on the bucket, where only refusals speak of everybody", () => {
    const statements = Match.objectLike({
      PolicyDocument: { Statement: Match.arrayWith([Match.objectLike({ Effect: "Allow" })]) }
    })
    synthesise().resourcePropertiesCountIs("AWS::S3::BucketPolicy", statements, 0)
    const open = synthesise({}, (farm) => farm.bucket.grantRead(new iam.AccountPrincipal("210987654321")))
    open.resourcePropertiesCountIs("AWS::S3::BucketPolicy", statements, 1)
  })
})

describe("the bucket", () => {
  const template = synthesise()

  it("is private, encrypted, and keeps its objects its owner's", () => {
    template.hasResourceProperties("AWS::S3::Bucket", {
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true
      },
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: "AES256" } }]
      },
      OwnershipControls: { Rules: [{ ObjectOwnership: "BucketOwnerEnforced" }] }
    })
  })

  it("refuses whoever comes without TLS, or with an old one", () => {
    const refusal = (condition: object) =>
      Match.objectLike({ Effect: "Deny", Action: "s3:*", Principal: { AWS: "*" }, Condition: condition })
    template.hasResourceProperties("AWS::S3::BucketPolicy", {
      PolicyDocument: {
        Statement: Match.arrayWith([
          refusal({ Bool: { "aws:SecureTransport": "false" } }),
          refusal({ NumericLessThan: { "s3:TlsVersion": 1.2 } })
        ])
      }
    })
  })

  it("forgets jobs after a week, assets after a month, and uploads that were never finished after a day", () => {
    template.hasResourceProperties("AWS::S3::Bucket", {
      LifecycleConfiguration: {
        Rules: [
          { Id: "jobs", Prefix: "jobs/", ExpirationInDays: 7, Status: "Enabled" },
          { Id: "assets", Prefix: "assets/", ExpirationInDays: 30, Status: "Enabled" },
          { Id: "unfinished", AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 }, Status: "Enabled" }
        ]
      }
    })
  })

  it("stays when the stack goes", () => {
    template.hasResource("AWS::S3::Bucket", { DeletionPolicy: "Retain", UpdateReplacePolicy: "Retain" })
  })
})

describe("the function", () => {
  it("may take as long as Lambda lets it, with what a new account may have", () => {
    synthesise().hasResourceProperties("AWS::Lambda::Function", {
      PackageType: "Image",
      Code: { ImageUri: uri },
      Timeout: 900,
      MemorySize: 3008,
      EphemeralStorage: { Size: 2048 },
      Architectures: ["x86_64"],
      ReservedConcurrentExecutions: Match.absent(),
      DeadLetterConfig: Match.absent()
    })
  })

  it("is as large and as many as one says", () => {
    synthesise({
      memorySize: 10_240,
      ephemeralStorage: 10_240,
      reservedConcurrency: 200,
      architecture: Architecture.ARM_64
    }).hasResourceProperties("AWS::Lambda::Function", {
      MemorySize: 10_240,
      EphemeralStorage: { Size: 10_240 },
      ReservedConcurrentExecutions: 200,
      Architectures: ["arm64"]
    })
  })

  it("is never called again by AWS itself", () => {
    synthesise().hasResourceProperties("AWS::Lambda::EventInvokeConfig", { MaximumRetryAttempts: 0 })
  })

  it("cannot be called from outside of IAM", () => {
    const template = synthesise()
    template.resourceCountIs("AWS::Lambda::Url", 0)
    template.resourceCountIs("AWS::Lambda::Permission", 0)
  })

  it("keeps a month of its log, in a group of its own", () => {
    const template = synthesise()
    template.hasResourceProperties("AWS::Logs::LogGroup", { RetentionInDays: 30 })
    template.hasResourceProperties("AWS::Lambda::Function", {
      LoggingConfig: { LogGroup: { Ref: idOf(template, "AWS::Logs::LogGroup") } }
    })
  })

  it("runs a zip on Lambda's own Node.js", () => {
    const zip = join(folder, "worker.zip")
    writeFileSync(zip, zipSync({ "handler.mjs": strToU8("export const handler = async () => ({})\n") }))
    synthesise({ worker: WorkerCode.zip(zip) }).hasResourceProperties("AWS::Lambda::Function", {
      Runtime: "nodejs24.x",
      Handler: "handler.handler",
      PackageType: Match.absent()
    })
  })
})
