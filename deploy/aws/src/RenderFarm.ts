/**
 * What a render needs on AWS: the function that renders chunks, the bucket through which files go to it and come back,
 * and the rights of both sides.
 *
 * ```
 * orchestrator ──lambda:InvokeFunction──▶ function ──▶ logs
 *      │ get, put, list, delete               │ get assets/, jobs/; put jobs/…/chunks/
 *      └───────────────▶ bucket ◀─────────────┘
 * ```
 *
 * There is no queue, no event source and no URL: a chunk is a synchronous call, and who may make it is a matter of IAM.
 * The orchestrator itself runs wherever its owner wants; it is given a policy, not a machine.
 */
import { CfnOutput, Duration, RemovalPolicy, Size, Stack } from "aws-cdk-lib"
import * as iam from "aws-cdk-lib/aws-iam"
import * as lambda from "aws-cdk-lib/aws-lambda"
import * as logs from "aws-cdk-lib/aws-logs"
import * as s3 from "aws-cdk-lib/aws-s3"
import { Construct } from "constructs"
import type { WorkerCode } from "./WorkerCode.ts"

/** How to build a farm. */
export interface RenderFarmProps {
  /** What the function runs. */
  readonly worker: WorkerCode
  /**
   * The function's memory in MiB, 128 to 10 240. It buys processors: one per 1 769 MiB, 6 at most. Default: 3 008, which
   * is 1.7 of them, and the most that a new AWS account may have until it asks for more.
   */
  readonly memorySize?: number
  /**
   * The size of `/tmp` in MiB, 512 to 10 240: the cached assets, what the renderer unpacks, and the output of the chunk.
   * Default: 2 048.
   */
  readonly ephemeralStorage?: number
  /** How long one chunk may take. Default: 15 minutes, the longest that Lambda has. */
  readonly timeout?: Duration
  /**
   * How many chunks may render at once, whoever asks; as many are taken from what the account's other functions share.
   * Default: what the account has left.
   */
  readonly reservedConcurrency?: number
  /** What the image or zip was built for. Default: x86-64. */
  readonly architecture?: lambda.Architecture
  /**
   * How workers get at files. With `credentials`, the function may read all jobs in the bucket. With `urls` it has no
   * rights there at all: each attempt is sent URLs of its own files, which expire (`JobArtifacts`' `access: "urls"`);
   * take this where jobs of people who must not see each other share a farm. Default: `credentials`.
   */
  readonly access?: "credentials" | "urls"
  /** After how many days what is left of a job is deleted. Default: 7. */
  readonly jobsExpireAfter?: Duration
  /**
   * After how many days an asset is deleted, counted from when it was sent: S3 knows nothing of when it was read last.
   * The next job that needs it sends it again; keep it longer than any job takes. Default: 30.
   */
  readonly assetsExpireAfter?: Duration
  /** How long the function's log is kept. Default: a month. */
  readonly logRetention?: logs.RetentionDays
  /** What becomes of the bucket, and all in it, when the stack goes. Default: it stays. */
  readonly removalPolicy?: RemovalPolicy
}

/** A function that renders chunks, its bucket, and the policy of whoever orchestrates jobs on it. */
export class RenderFarm extends Construct {
  readonly function: lambda.Function
  readonly bucket: s3.Bucket
  /** What an orchestrator may do; attach it to its role or user. */
  readonly orchestratorPolicy: iam.ManagedPolicy

  constructor(scope: Construct, id: string, props: RenderFarmProps) {
    super(scope, id)
    const byUrl = props.access === "urls"

    this.bucket = new s3.Bucket(this, "Artifacts", {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      encryption: s3.BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      removalPolicy: props.removalPolicy ?? RemovalPolicy.RETAIN,
      lifecycleRules: [
        { id: "jobs", prefix: "jobs/", expiration: props.jobsExpireAfter ?? Duration.days(7) },
        { id: "assets", prefix: "assets/", expiration: props.assetsExpireAfter ?? Duration.days(30) },
        // Parts of uploads that were never finished are in no listing, and are paid for.
        { id: "unfinished", abortIncompleteMultipartUploadAfter: Duration.days(1) }
      ]
    })

    const logGroup = new logs.LogGroup(this, "Log", {
      retention: props.logRetention ?? logs.RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY
    })

    // A role of our own: the one that CDK makes lets a function write to every log of the account.
    const role = new iam.Role(this, "WorkerRole", {
      assumedBy: new iam.ServicePrincipal("lambda.amazonaws.com"),
      description: "What code in job files can do: it runs as this role"
    })
    const worker = new iam.Policy(this, "WorkerPolicy", {
      roles: [role],
      statements: [
        new iam.PolicyStatement({
          sid: "WriteLog",
          actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
          resources: [logGroup.logGroupArn]
        }),
        ...(byUrl ? [] : this.#bucketRightsOfWorkers())
      ]
    })

    this.function = new lambda.Function(this, "Worker", {
      ...props.worker,
      description: "Renders one chunk of a job per call",
      architecture: props.architecture ?? lambda.Architecture.X86_64,
      memorySize: props.memorySize ?? 3008,
      ephemeralStorageSize: Size.mebibytes(props.ephemeralStorage ?? 2048),
      timeout: props.timeout ?? Duration.minutes(15),
      ...(props.reservedConcurrency === undefined ? {} : { reservedConcurrentExecutions: props.reservedConcurrency }),
      // For calls that do not wait, which nothing here makes: the orchestrator alone decides what is tried again.
      retryAttempts: 0,
      role,
      logGroup,
      environment: byUrl
        ? { HELIOS_INFRA_SOURCES: `https://${this.bucket.bucketRegionalDomainName}/` }
        : { HELIOS_INFRA_BUCKET: this.bucket.bucketName }
    })
    this.function.node.addDependency(worker)

    this.orchestratorPolicy = new iam.ManagedPolicy(this, "OrchestratorPolicy", {
      description: "Runs jobs on the render farm: calls its function, keeps files in its bucket",
      statements: [
        new iam.PolicyStatement({
          sid: "RenderChunks",
          actions: ["lambda:InvokeFunction"],
          // Its versions and aliases too.
          resources: [this.function.functionArn, `${this.function.functionArn}:*`]
        }),
        new iam.PolicyStatement({
          sid: "KeepFiles",
          actions: ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"],
          resources: [this.#objects("assets/*"), this.#objects("jobs/*")]
        }),
        new iam.PolicyStatement({
          sid: "ListFiles",
          // Also what makes S3 say that an asset is not there yet: without it, that is a 403 like what is forbidden.
          actions: ["s3:ListBucket"],
          resources: [this.bucket.bucketArn]
        })
      ]
    })
  }

  #objects(keys: string): string {
    return this.bucket.arnForObjects(keys)
  }

  /**
   * A worker reads what it is told to, and writes the outputs and logs of attempts: it cannot change any job.
   *
   * It may not list, so S3 answers 403 where nothing is, as it does for what is forbidden. That suits it: it looks for
   * the sign that its attempt is cancelled, and goes on unless it finds one.
   */
  #bucketRightsOfWorkers(): Array<iam.PolicyStatement> {
    return [
      new iam.PolicyStatement({
        sid: "ReadJobs",
        actions: ["s3:GetObject"],
        resources: [this.#objects("assets/*"), this.#objects("jobs/*")]
      }),
      new iam.PolicyStatement({
        sid: "WriteOutputs",
        actions: ["s3:PutObject", "s3:AbortMultipartUpload"],
        resources: [this.#objects("jobs/*/chunks/*")]
      })
    ]
  }
}

/** Makes a stack tell what an orchestrator of its farm has to know. */
export const output = (farm: RenderFarm): void => {
  const stack = Stack.of(farm)
  const values = {
    FunctionName: farm.function.functionName,
    BucketName: farm.bucket.bucketName,
    Region: stack.region,
    OrchestratorPolicyArn: farm.orchestratorPolicy.managedPolicyArn
  }
  // oxlint-disable-next-line eslint/no-new -- a construct adds itself to its scope
  for (const [name, value] of Object.entries(values)) new CfnOutput(stack, name, { value })
}
