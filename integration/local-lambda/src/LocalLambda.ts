/**
 * AWS Lambda on this machine, for tests: the Invoke endpoint as `@aws-sdk/client-lambda` calls it, and behind it functions
 * in processes of their own that run Amazon's runtime client.
 *
 * ```
 * LambdaClient ──POST /2015-03-31/functions/NAME/invocations──▶ LocalLambda ──▶ Instance ──Runtime API──▶ aws-lambda-ric ──▶ handler
 * ```
 *
 * It is strict where the real one is: sizes, concurrency, time limits, JSON, who may call; and it words errors as the real
 * one does. What goes wrong on demand is set with {@link LocalLambda.fault}. It knows synchronous invocations only, checks
 * who calls but not the signature, and does not freeze instances.
 */
import { randomUUID } from "node:crypto"
import { existsSync } from "node:fs"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { builtClient } from "./builtClient.ts"
import { type Ending, Instance, maxReplyBytes } from "./Instance.ts"

export { maxReplyBytes } from "./Instance.ts"

/** The most that a request may have, in bytes. */
export const maxRequestBytes = 6_291_456

/** The access key that may call. */
export const credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } = {
  accessKeyId: "AKIALOCALLAMBDA",
  secretAccessKey: "local"
}

const account = "123456789012"

/** A function. */
export interface FunctionOptions {
  readonly name: string
  /** The folder with its code. */
  readonly taskRoot: string
  /** The module and its export: `"index.handler"`. */
  readonly handler: string
  /** How long an invocation may take, in milliseconds. Default: 3000, as on the real platform. */
  readonly timeoutMs?: number | undefined
  /** How many instances there can be. Default: 10. */
  readonly concurrency?: number | undefined
  /** What the function is told of its memory; not enforced. Default: 128. */
  readonly memoryMb?: number | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Aliases and published versions. `$LATEST` is always there. */
  readonly versions?: Readonly<Record<string, string>> | undefined
}

/** What goes wrong with an invocation. */
export type Fault =
  /** The service answers with an exception, and the function does not run. */
  | {
      readonly _tag: "Exception"
      readonly status: number
      readonly type: string
      readonly message?: string
      readonly headers?: Readonly<Record<string, string>>
      readonly fields?: Readonly<Record<string, unknown>>
    }
  /** 429, with a time to wait. */
  | { readonly _tag: "Throttle"; readonly retryAfterSeconds?: number; readonly reason?: string }
  /** The instance is killed as it begins. */
  | { readonly _tag: "Crash" }
  /** The same, in the words of an instance without memory. */
  | { readonly _tag: "OutOfMemory" }
  /** The function is never heard of again, until its time is up. */
  | { readonly _tag: "Hang" }
  /** The caller gets the reply so many milliseconds after the function gave it. */
  | { readonly _tag: "Late"; readonly ms: number }
  /** The caller gets this in place of the function's reply. */
  | { readonly _tag: "Reply"; readonly payload: string }
  /** What the function replies counts as too large. */
  | { readonly _tag: "TooLarge" }
  /** The connection breaks: before the function runs, after it has, or within its reply. */
  | { readonly _tag: "Drop"; readonly when: "before" | "after" | "within" }

/** Which invocations a fault is for. */
export interface FaultOptions {
  /** How many. Default: 1. */
  readonly times?: number | undefined
  /** Which ones. Default: the next. */
  readonly when?: ((event: unknown, functionName: string) => boolean) | undefined
}

/** An invocation that was let through to the function, as {@link LocalLambda.invocations} remembers it. */
export interface InvocationRecord {
  readonly requestId: string
  readonly functionName: string
  readonly version: string
  readonly event: unknown
  /** The process that ran it; absent before it began. */
  pid?: number | undefined
  /** How it ended; absent while it runs. */
  ended?: Ending["_tag"] | undefined
  /** Whether the caller hung up before that. */
  abandoned: boolean
}

/** How the service is started. */
export interface Options {
  readonly functions: ReadonlyArray<FunctionOptions>
  /** Default: `"eu-west-1"`. */
  readonly region?: string | undefined
  /** Whether to use the native part of the runtime client. Default: where it has been built. */
  readonly native?: boolean | undefined
}

interface Deployed {
  readonly name: string
  readonly taskRoot: string
  readonly handler: string
  readonly timeoutMs: number
  readonly concurrency: number
  readonly memoryMb: number
  readonly env: Readonly<Record<string, string>>
  readonly versions: Readonly<Record<string, string>>
  readonly arn: string
  readonly instances: Set<Instance>
  /** Instances on their way: they count already. */
  starting: number
}

/** An error of the service, before any function ran. */
class ServiceError extends Error {
  readonly status: number
  readonly type: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    type: string,
    message: string,
    fields: Readonly<Record<string, unknown>> = { Type: status < 500 ? "User" : "Service" },
    headers: Readonly<Record<string, string>> = {}
  ) {
    super(message)
    this.status = status
    this.type = type
    this.fields = fields
    this.headers = headers
  }
}

const throttled = (reason: string, retryAfterSeconds: number | undefined): ServiceError =>
  new ServiceError(
    429,
    "TooManyRequestsException",
    "Rate Exceeded.",
    { Reason: reason, Type: "User" },
    retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }
  )

/** Reads a body; gives `undefined` when it is larger than a request may be. */
const read = async (request: IncomingMessage): Promise<Buffer | undefined> => {
  const chunks: Array<Buffer> = []
  let bytes = 0
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes <= maxRequestBytes) chunks.push(chunk)
  }
  return bytes > maxRequestBytes ? undefined : Buffer.concat(chunks)
}

const parse = (body: Buffer): unknown => {
  if (body.length === 0) return {}
  try {
    return JSON.parse(body.toString("utf8"))
  } catch (error) {
    const detail = error instanceof Error ? error.message : ""
    throw new ServiceError(400, "InvalidRequestContentException", `Could not parse request body into json: ${detail}`)
  }
}

const functionPath = /^\/2015-03-31\/functions\/([^/?]+)\/invocations(?:\?Qualifier=([^&]+))?$/
const functionName = /^(?:(?:arn:aws:lambda:[a-z0-9-]+:)?(\d{12}):function:)?([\w-]+)(?::([\w$-]+))?$/
const authorization = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/\d{8}\/([^/]+)\/([^/]+)\/aws4_request, /

/** The service; made by {@link start}. */
export class LocalLambda implements AsyncDisposable {
  /** What clients take as `endpoint`. */
  readonly endpoint: string
  readonly region: string
  /** Whether the native part of the runtime client is used. */
  readonly native: boolean
  /** How many requests came, whatever became of them. */
  requests = 0
  /** The invocations that reached a function, in order. */
  readonly invocations: Array<InvocationRecord> = []

  readonly #server: Server
  readonly #functions: ReadonlyMap<string, Deployed>
  readonly #faults: Array<{ readonly fault: Fault; readonly when: FaultOptions["when"]; left: number }> = []

  /** @internal */
  constructor(server: Server, options: Options) {
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("the service has no port")
    const region = options.region ?? "eu-west-1"
    this.#server = server
    this.endpoint = `http://127.0.0.1:${address.port}`
    this.region = region
    this.native = options.native ?? existsSync(builtClient)
    this.#functions = new Map(
      options.functions.map((given) => [
        given.name,
        {
          name: given.name,
          taskRoot: given.taskRoot,
          handler: given.handler,
          timeoutMs: given.timeoutMs ?? 3000,
          concurrency: given.concurrency ?? 10,
          memoryMb: given.memoryMb ?? 128,
          env: given.env ?? {},
          versions: { $LATEST: "$LATEST", ...given.versions },
          arn: `arn:aws:lambda:${region}:${account}:function:${given.name}`,
          instances: new Set<Instance>(),
          starting: 0
        }
      ])
    )
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#serve(request, response).catch(() => response.destroy())
    })
  }

  /** Lets the next invocations go wrong. Faults are taken in the order in which they were set. */
  fault(fault: Fault, options: FaultOptions = {}): void {
    this.#faults.push({ fault, when: options.when, left: options.times ?? 1 })
  }

  /** How many instances of a function there are. */
  instances(name: string): number {
    return this.#functions.get(name)?.instances.size ?? 0
  }

  /** Ends all instances with all that runs in them, and the service. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    this.#server.closeAllConnections()
    await Promise.all(
      [...this.#functions.values()].flatMap(({ instances }) => [...instances].map((instance) => instance.end()))
    )
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++
    const requestId = randomUUID()
    try {
      await this.#invoke(requestId, request, response)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      response.writeHead(error.status, {
        "content-type": "application/json",
        "x-amzn-requestid": requestId,
        "x-amzn-errortype": error.type,
        ...error.headers
      })
      response.end(JSON.stringify({ ...error.fields, message: error.message }))
    }
  }

  async #invoke(requestId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await read(request)
    const [, encoded, qualified] = functionPath.exec(request.url ?? "") ?? []
    if (request.method !== "POST" || encoded === undefined) {
      throw new ServiceError(404, "UnknownOperationException", `${request.method} ${request.url} is not known here`)
    }
    this.#authorize(request)
    const { deployed, version } = this.#find(decodeURIComponent(encoded), qualified && decodeURIComponent(qualified))
    if ((request.headers["x-amz-invocation-type"] ?? "RequestResponse") !== "RequestResponse") {
      throw new ServiceError(400, "InvalidParameterValueException", "only synchronous invocations are known here")
    }
    if (body === undefined) {
      const message = `Request must be smaller than ${maxRequestBytes} bytes for the InvokeFunction operation`
      throw new ServiceError(413, "RequestTooLargeException", message)
    }
    const event = parse(body)
    const fault = this.#faultFor(event, deployed.name)
    if (fault?._tag === "Throttle") {
      throw throttled(fault.reason ?? "ReservedFunctionConcurrentInvocationLimitExceeded", fault.retryAfterSeconds)
    }
    if (fault?._tag === "Exception") {
      throw new ServiceError(fault.status, fault.type, fault.message ?? fault.type, fault.fields, fault.headers)
    }
    if (fault?._tag === "Drop" && fault.when === "before") {
      request.socket.destroy()
      return
    }

    const record: InvocationRecord = { requestId, functionName: deployed.name, version, event, abandoned: false }
    const instance = await this.#acquire(deployed, version)
    this.invocations.push(record)
    const hungUp = (): void => {
      record.abandoned = record.ended === undefined
    }
    // As on the real platform the function goes on; only nobody hears of it.
    response.once("close", hungUp)
    const startedAt = performance.now()
    const crash = fault?._tag === "Crash" || fault?._tag === "OutOfMemory"
    const ending = await instance.invoke({
      requestId,
      payload: body.length === 0 ? "{}" : body.toString("utf8"),
      traceId: `Root=1-${Math.floor(Date.now() / 1000).toString(16)}-${randomUUID().replaceAll("-", "").slice(0, 24)}`,
      // A quick function answers before it is killed.
      ignoreReply: fault?._tag === "Hang" || crash,
      delivered: () => {
        record.pid = instance.pid
        if (crash) instance.kill()
      }
    })
    record.ended = ending._tag
    response.off("close", hungUp)
    if (instance.over) deployed.instances.delete(instance)

    const outcome = outcomeOf(ending, requestId, deployed.timeoutMs, fault)
    const log = report(requestId, version, instance.log, performance.now() - startedAt, deployed.memoryMb)
    if (fault?._tag === "Late") await new Promise((resolve) => setTimeout(resolve, fault.ms))
    if (fault?._tag === "Drop" && fault.when === "after") {
      request.socket.destroy()
      return
    }
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": outcome.payload.length,
      "x-amzn-requestid": requestId,
      "x-amz-executed-version": version,
      ...(outcome.error === undefined ? {} : { "x-amz-function-error": outcome.error }),
      ...(request.headers["x-amz-log-type"] === "Tail"
        ? { "x-amz-log-result": Buffer.from(log).subarray(-4096).toString("base64") }
        : {})
    })
    if (fault?._tag === "Drop") {
      response.write(outcome.payload.subarray(0, -1), () => request.socket.destroy())
      return
    }
    response.end(outcome.payload)
  }

  #authorize(request: IncomingMessage): void {
    const given = request.headers.authorization
    if (given === undefined) {
      throw new ServiceError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    }
    const [, key, region, service] = authorization.exec(given) ?? []
    if (service !== "lambda" || region !== this.region) {
      const message = "Credential should be scoped to a valid region and correct service: 'lambda'."
      throw new ServiceError(403, "InvalidSignatureException", message)
    }
    if (key !== credentials.accessKeyId) {
      const message = "The security token included in the request is invalid."
      throw new ServiceError(403, "UnrecognizedClientException", message)
    }
  }

  #find(named: string, asked: string | undefined): { readonly deployed: Deployed; readonly version: string } {
    const [, owner, name, suffix] = functionName.exec(named) ?? []
    if (name === undefined) {
      throw new ServiceError(
        400,
        "InvalidParameterValueException",
        `Value '${named}' at 'functionName' failed to satisfy constraint`
      )
    }
    const qualifier = asked ?? suffix
    const deployed = this.#functions.get(name)
    const version = deployed?.versions[qualifier ?? "$LATEST"]
    if (deployed === undefined || version === undefined || (owner !== undefined && owner !== account)) {
      const arn = `arn:aws:lambda:${this.region}:${account}:function:${name}${qualifier === undefined ? "" : `:${qualifier}`}`
      throw new ServiceError(404, "ResourceNotFoundException", `Function not found: ${arn}`)
    }
    return { deployed, version }
  }

  #faultFor(event: unknown, name: string): Fault | undefined {
    const found = this.#faults.find(({ left, when }) => left > 0 && (when === undefined || when(event, name)))
    if (found === undefined) return undefined
    found.left--
    return found.fault
  }

  /** A warm instance, else a new one, as long as there may be more. */
  async #acquire(deployed: Deployed, version: string): Promise<Instance> {
    for (const instance of deployed.instances) {
      if (instance.over) deployed.instances.delete(instance)
      else if (instance.claim()) return instance
    }
    if (deployed.instances.size + deployed.starting >= deployed.concurrency) {
      throw throttled("ReservedFunctionConcurrentInvocationLimitExceeded", undefined)
    }
    deployed.starting++
    try {
      const instance = await Instance.start({
        ...deployed,
        functionName: deployed.name,
        version,
        region: this.region,
        nativeClient: this.native ? builtClient : undefined
      })
      deployed.instances.add(instance)
      return instance
    } finally {
      deployed.starting--
    }
  }
}

interface Outcome {
  readonly payload: Buffer
  /** As the header says it. */
  readonly error?: "Unhandled"
}

const failed = (error: object): Outcome => ({ payload: Buffer.from(JSON.stringify(error)), error: "Unhandled" })

/** What the caller is told, in the words of the platform. */
const outcomeOf = (ending: Ending, requestId: string, timeoutMs: number, fault: Fault | undefined): Outcome => {
  switch (ending._tag) {
    case "TimedOut":
      return failed({
        errorType: "Sandbox.Timedout",
        errorMessage: `RequestId: ${requestId} Error: Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`
      })
    case "Exited":
      return failed({
        errorType: fault?._tag === "OutOfMemory" ? "Runtime.OutOfMemory" : "Runtime.ExitError",
        errorMessage: `RequestId: ${requestId} Error: Runtime exited with error: ${ending.how}`
      })
    case "Error":
      return { payload: ending.body, error: "Unhandled" }
    case "ReplyTooLarge":
    case "Reply":
      if (ending._tag === "ReplyTooLarge" || fault?._tag === "TooLarge") {
        return failed({
          errorType: "Function.ResponseSizeTooLarge",
          errorMessage: `Response payload size exceeded maximum allowed payload size (${maxReplyBytes} bytes).`
        })
      }
      return { payload: fault?._tag === "Reply" ? Buffer.from(fault.payload) : ending.body }
  }
}

const report = (requestId: string, version: string, log: string, ms: number, memoryMb: number): string => {
  const lines = [
    `START RequestId: ${requestId} Version: ${version}`,
    ...(log === "" ? [] : [log.trimEnd()]),
    `END RequestId: ${requestId}`,
    `REPORT RequestId: ${requestId}\tDuration: ${ms.toFixed(2)} ms\tBilled Duration: ${Math.ceil(ms)} ms\tMemory Size: ${memoryMb} MB\tMax Memory Used: ${memoryMb} MB\t`
  ]
  return `${lines.join("\n")}\n`
}

/** Starts the service on a free port of this machine. */
export const start = async (options: Options): Promise<LocalLambda> => {
  // A connection must not end by itself between two requests: real ones do so after much longer.
  const server = createServer({ keepAliveTimeout: 600_000, requestTimeout: 0 })
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve)
  })
  return new LocalLambda(server, options)
}
