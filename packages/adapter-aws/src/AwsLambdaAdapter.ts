/**
 * Runs attempts on AWS Lambda: one synchronous call for each, answered when the chunk is rendered.
 *
 * ```
 * WorkerJob ─requestOf→ Invoke (RequestResponse) ─→ the function, made with worker-runtime ─→ WorkerReply ─→ WorkerResult
 * ```
 *
 * A call that has begun cannot be stopped. When an attempt is interrupted its connection is closed, `NotStopped` is told,
 * and whoever keeps the job's artifacts leaves the sign by which the function stops itself.
 *
 * Nothing is deployed here, and nothing stored: the function and its job file are there before.
 */
import { InvokeCommand, LambdaClient, type LambdaClientConfig } from "@aws-sdk/client-lambda"
import * as WorkerAdapter from "@helios-infra/core/WorkerAdapter"
import * as WorkerAnswer from "@helios-infra/core/WorkerAnswer"
import { Refused, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as functionError from "./internal/functionError.ts"
import * as serviceFault from "./internal/serviceFault.ts"
import { describe, regionOf, type Target } from "./internal/target.ts"

/** An access key. */
export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Redacted.Redacted
  readonly sessionToken?: Redacted.Redacted | undefined
}

/** Which function is called, and how; everything here can come from `Config`. */
export interface FunctionOptions {
  /** Its name, its ARN, or the ARN's end (`123456789012:function:render`). */
  readonly functionName: string
  /** A version or an alias. Default: what `functionName` says, else `$LATEST`. */
  readonly qualifier?: string | undefined
  /** Default: that of the ARN, else what AWS's tools take: `AWS_REGION`, the profile. */
  readonly region?: string | undefined
  /** Where the service is, for one that is not AWS's. */
  readonly endpoint?: string | undefined
  /** How many attempts at once suit it when nobody says. Default: 100. */
  readonly concurrency?: number | undefined
  /** How many attempts at once it can take at most, such as its reserved concurrency. Default: no limit. */
  readonly maxConcurrency?: number | undefined
  /** Where the function reads the job file of jobs that have no storage: an https URL, or a path that it knows. */
  readonly jobDefUrl?: string | undefined
}

/** The same from `Config`. */
export interface ConfigOptions extends FunctionOptions {
  readonly credentials?: Credentials | undefined
}

/** How functions are called. */
export interface Options extends FunctionOptions {
  /** A key, or what the SDK takes. Default: what AWS's tools take: the environment, a profile, a role. */
  readonly credentials?: Credentials | LambdaClientConfig["credentials"]
  /**
   * A client of your own, in place of `region`, `credentials` and `endpoint`; it is not destroyed. Give it `maxAttempts: 1`,
   * for the SDK would repeat calls that take long, and sockets for all attempts: it has 50 by default.
   */
  readonly client?: LambdaClient | undefined
}

const name = "aws-lambda"

const defaultConcurrency = 100

/** The longest that any Lambda function may run. */
const maxDuration = Duration.minutes(15)

/** How long a connection may take to come about. */
const connectionTimeoutMs = 10_000

/** How long a silent connection is left alone before it is probed: well below the 350 s after which NATs forget it. */
const keepAliveMs = 30_000

/** How long an idle connection is kept, so that no call goes into one that the other side has just closed. */
const idleMs = 5000

/** What an adapter says of itself. */
export const info = (
  options: Pick<FunctionOptions, "concurrency" | "maxConcurrency">
): WorkerAdapter.WorkerAdapterInfo => {
  const { concurrency = defaultConcurrency, maxConcurrency = Infinity } = options
  return {
    name,
    where: "remote",
    stop: "never",
    concurrency: Math.min(concurrency, maxConcurrency),
    ...(options.maxConcurrency === undefined ? undefined : { maxConcurrency }),
    maxDuration
  }
}

const isOurs = (credentials: NonNullable<Options["credentials"]>): credentials is Credentials =>
  typeof credentials !== "function" && Redacted.isRedacted(credentials.secretAccessKey)

/** Credentials as the SDK takes them. */
const revealed = (credentials: NonNullable<Options["credentials"]>): NonNullable<LambdaClientConfig["credentials"]> => {
  if (!isOurs(credentials)) return credentials
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  return {
    accessKeyId,
    secretAccessKey: Redacted.value(secretAccessKey),
    ...(sessionToken === undefined ? undefined : { sessionToken: Redacted.value(sessionToken) })
  }
}

/** A client whose connections last as long as a function may run, one for every attempt; destroyed with the scope. */
const makeClient = (options: Options): Effect.Effect<LambdaClient, never, Scope.Scope> => {
  const { credentials, endpoint, functionName, region = regionOf(functionName) } = options
  // Attempts are as many as the scheduler lets begin; an agent that lets fewer through would hold them up unseen.
  const agent = { keepAlive: true, keepAliveMsecs: keepAliveMs, maxSockets: Infinity, timeout: idleMs }
  return Effect.acquireRelease(
    Effect.sync(
      () =>
        new LambdaClient({
          ...(region === undefined ? undefined : { region }),
          ...(endpoint === undefined ? undefined : { endpoint }),
          ...(credentials === undefined ? undefined : { credentials: revealed(credentials) }),
          // A call that is repeated renders the chunk once more; the scheduler knows when that is right.
          maxAttempts: 1,
          requestHandler: {
            httpAgent: agent,
            httpsAgent: agent,
            connectionTimeout: connectionTimeoutMs,
            // Silence is what a render sounds like.
            requestTimeout: 0,
            socketTimeout: 0
          }
        })
    ),
    (client) => Effect.sync(() => client.destroy())
  )
}

/** Says so when somebody's own client would repeat calls. */
const checkRetries = (client: LambdaClient): Effect.Effect<void> =>
  Effect.promise(() => client.config.maxAttempts()).pipe(
    Effect.flatMap((attempts) =>
      attempts > 1
        ? Effect.logWarning(
            `the LambdaClient given to AwsLambdaAdapter tries calls up to ${attempts} times, each of which renders a chunk: make it with maxAttempts: 1`
          )
        : Effect.void
    )
  )

const encodeRequest = Schema.encodeEffect(Schema.fromJsonString(WorkerProtocol.WorkerRequest))

/** The adapter; its client is destroyed with the scope. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<WorkerAdapter.WorkerAdapter["Service"], never, Scope.Scope> {
  const client = options.client ?? (yield* makeClient(options))
  if (options.client !== undefined) yield* checkRetries(options.client)
  const { functionName, qualifier } = options
  const target = yield* Effect.tryPromise(() => client.config.region()).pipe(
    Effect.option,
    Effect.map((region): Target => ({ functionName, qualifier, region: Option.getOrUndefined(region) })),
    Effect.cached
  )

  const execute = Effect.fn("AwsLambdaAdapter.execute")(function* (
    job: WorkerAdapter.WorkerJob,
    signal: (signal: WorkerAdapter.WorkerSignal) => void
  ) {
    const fail = (reason: WorkerReason, workerId?: string) =>
      Effect.fail(WorkerAdapter.failure(name, job, reason, workerId))
    const jobPath = job.meta.jobDefUrl ?? options.jobDefUrl
    const request = WorkerProtocol.requestOf(job, jobPath ?? "")
    if (request === undefined) {
      const fix = "a mergeCommand runs where all chunks are: give the run a mergeAdapter, such as the local one"
      return yield* fail(new Refused({ why: "Unsupported", fix }))
    }
    if (jobPath === undefined) {
      const fix = "the function has no job file to read: give the job a storage, or the adapter a jobDefUrl"
      return yield* fail(new Refused({ why: "InvalidJob", fix }))
    }

    const command = new InvokeCommand({
      FunctionName: functionName,
      ...(qualifier === undefined ? undefined : { Qualifier: qualifier }),
      InvocationType: "RequestResponse",
      LogType: "Tail",
      Payload: yield* Effect.orDie(encodeRequest(request))
    })
    const called = yield* target
    const startedAt = yield* Clock.currentTimeMillis
    const answer = yield* Effect.tryPromise({
      try: (abortSignal) => client.send(command, { abortSignal }),
      catch: (error) =>
        WorkerAdapter.failure(name, job, serviceFault.reasonOf(error, called), serviceFault.requestIdOf(error))
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => signal({ _tag: "NotStopped", detail: runsOn(job, called) }))))
    const elapsedMs = (yield* Clock.currentTimeMillis) - startedAt

    const { ExecutedVersion: version = "$LATEST", $metadata } = answer
    const requestId = $metadata.requestId ?? "unknown"
    const invocation = version === "$LATEST" ? requestId : `${requestId} (version ${version})`
    const payload = answer.Payload?.transformToString() ?? ""
    if (answer.FunctionError !== undefined) {
      const log = Result.getOrElse(Base64.decodeString(answer.LogResult ?? ""), () => "")
      WorkerAnswer.tell(signal, { workerId: invocation, stderr: functionError.printed(log) })
      return yield* fail(functionError.reasonOf({ payload, log, elapsedMs, target: called }), invocation)
    }
    // Functions answer in JSON, and Lambda passes that on as it is.
    const reply = yield* WorkerAnswer.read(payload, describe(called)).pipe(
      Effect.catch((reason) => fail(reason, invocation))
    )
    return yield* WorkerAnswer.settle({ adapter: name, job, reply, signal, workerId: invocation })
  })

  return WorkerAdapter.make({ info: info(options), execute })
})

/** What is left of an attempt whose call was given up. */
const runsOn = (job: WorkerAdapter.WorkerJob, target: Target): string =>
  `${job.id} may run on in ${describe(target)}: a call to Lambda cannot be stopped, only left. It ends when it finds its sign to stop, or at the function's time limit, and what it writes is not used`

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<WorkerAdapter.WorkerAdapter> =>
  Layer.effect(WorkerAdapter.WorkerAdapter, make(options))

/**
 * {@link layer} with options from `Config`.
 *
 * ```ts
 * import * as AwsLambdaAdapter from "@helios-infra/adapter-aws/AwsLambdaAdapter"
 * import * as Config from "effect/Config"
 *
 * export const workers = AwsLambdaAdapter.layerConfig({
 *   functionName: Config.String("RENDER_FUNCTION"),
 *   concurrency: Config.Int("RENDER_CONCURRENCY").pipe(Config.withDefault(100))
 * })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<ConfigOptions>
): Layer.Layer<WorkerAdapter.WorkerAdapter, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
