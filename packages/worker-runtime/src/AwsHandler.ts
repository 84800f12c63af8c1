/**
 * The worker's runtime as a handler for AWS Lambda's Node.js runtime.
 *
 * ```ts
 * import * as S3ArtifactStorage from "@helios-infra/storage-s3/S3ArtifactStorage"
 * import * as AwsHandler from "@helios-infra/worker-runtime/AwsHandler"
 *
 * export const handler = AwsHandler.make({ storage: S3ArtifactStorage.layer({ bucket: "renders" }) })
 * ```
 *
 * What it needs is made once for each container, and used again by every invocation that the container gets. It answers
 * whatever the event is; the function itself fails only when its process does.
 */
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import { Refused, WorkerError, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as Option from "effect/Option"
import { stdout } from "node:process"
import * as replies from "./internal/replies.ts"
import { InvalidSource } from "./Sources.ts"
import * as WorkerRuntime from "./WorkerRuntime.ts"

/** How the function works. */
export interface Options<E = never> extends Omit<WorkerRuntime.Options<E>, "workspaceDir" | "name"> {
  /** The folder that everything happens in. Default: `"/tmp"`, the only one that a function can write to. */
  readonly workspaceDir?: string | undefined
  /**
   * Where spans and metrics go, and log entries beside standard output. With a `Flusher` in it, which layers of
   * `effect/observability` have, all is sent before an invocation is answered: between two of them a container stands
   * still. Default: nowhere.
   */
  readonly telemetry?: Layer.Layer<never, E> | undefined
}

/** What the handler uses of Lambda's context. */
export interface LambdaContext {
  readonly awsRequestId?: string | undefined
  readonly invokedFunctionArn?: string | undefined
  readonly getRemainingTimeInMillis?: (() => number) | undefined
}

/** A Lambda handler: takes an event, and answers with a `WorkerReply` as JSON data. */
export type Handler = (event: unknown, context?: LambdaContext) => Promise<unknown>

const name = "aws-lambda"

/** Makes the handler. Begins to make what it needs at once, while the container starts with all its processors. */
export const make = <E = never>(options: Options<E> = {}): Handler => {
  const { workspaceDir = "/tmp" } = options
  const layer = WorkerRuntime.layer({
    ...options,
    name,
    workspaceDir,
    // The home that the system names is a folder that is not there.
    env: { HOME: workspaceDir, ...options.env }
  }).pipe(Layer.provideMerge(options.telemetry ?? Layer.empty), Layer.provideMerge(Logger.layer([logToStdout])))

  const start = () => {
    const started = ManagedRuntime.make(layer)
    // What went wrong is told to whoever asks for something.
    started.context().catch(() => {})
    return started
  }
  let runtime = start()

  return (event, context = {}) => {
    const { awsRequestId, invokedFunctionArn } = context
    const workerId = [invokedFunctionArn, awsRequestId].filter((part) => part !== undefined).join("/")
    const remainingMs = context.getRemainingTimeInMillis?.()
    const answering = WorkerRuntime.WorkerRuntime.use((worker) =>
      worker.run(event, {
        ...(workerId === "" ? undefined : { workerId }),
        ...(remainingMs === undefined ? undefined : { remainingMs })
      })
    ).pipe(
      Effect.flatMap(WorkerProtocol.encodeReply),
      Effect.ensuring(flush),
      Effect.annotateLogs({ requestId: awsRequestId })
    )
    return runtime.runPromiseExit(answering).then((exit) => {
      if (Exit.isSuccess(exit)) return exit.value
      // The next invocation may find the disk or the storage well again.
      runtime = start()
      return Effect.runPromise(WorkerProtocol.encodeReply(unbuilt(Cause.squash(exit.cause))))
    })
  }
}

/** How long an answer waits for its telemetry to be sent. */
const flushTimeout = Duration.seconds(2)

const flush = Effect.flatMap(Effect.serviceOption(OtlpExporter.Flusher), (flusher) =>
  Option.isNone(flusher) ? Effect.void : Effect.timeoutOption(flusher.value.flush, flushTimeout)
)

const unbuilt = (cause: unknown): WorkerProtocol.WorkerReply => ({
  _tag: "Error",
  protocol: WorkerProtocol.version,
  error: new WorkerError({ adapter: name, jobId: "unknown", attempt: 1, reason: replies.told(reasonOf(cause)) })
})

const reasonOf = (cause: unknown): WorkerReason => {
  if (cause instanceof InvalidSource) return new Refused({ why: "Unsupported", fix: cause.message })
  return new WorkerLost({ detail: `could not start: ${cause instanceof Error ? cause.message : String(cause)}` })
}

/** One line of JSON for each message, with its job, chunk and attempt. */
const logToStdout = Logger.map(Logger.formatJson, (line) => {
  stdout.write(`${line}\n`)
})
