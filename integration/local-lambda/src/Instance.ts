/**
 * One instance of a function: a process of its own with Amazon's runtime client in it, and the Runtime API that drives it.
 *
 * An instance runs one invocation at a time and stays warm between them. It is over when its process is: after a crash, a
 * timeout, or `end`. Unlike the real ones it is not frozen between invocations.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { killTree } from "./processTree.ts"

/** The most that a reply may have, in bytes: 6 MiB and, on the real platform, these hundred more. */
export const maxReplyBytes = 6_291_556

/** How long an instance may take to ask for its first invocation. */
const initTimeoutMs = 60_000

/** How much of the end of what an invocation prints is kept, in bytes. */
const logTailBytes = 4096

/** What an instance needs to know of its function. */
export interface InstanceOptions {
  readonly functionName: string
  readonly arn: string
  readonly version: string
  readonly region: string
  readonly taskRoot: string
  readonly handler: string
  readonly timeoutMs: number
  readonly memoryMb: number
  readonly env: Readonly<Record<string, string>>
  /** The built native part of the runtime client, if it is to be used. */
  readonly nativeClient: string | undefined
}

/** What an instance is asked to do. */
export interface Invocation {
  readonly requestId: string
  readonly payload: string
  readonly traceId: string
  /** Called when the runtime has been given it. */
  readonly delivered?: (() => void) | undefined
  /** Whether what the runtime answers is not to be heard. */
  readonly ignoreReply?: boolean | undefined
}

/** How an invocation ended. */
export type Ending =
  | { readonly _tag: "Reply"; readonly body: Buffer }
  | { readonly _tag: "ReplyTooLarge" }
  | { readonly _tag: "Error"; readonly body: Buffer }
  | { readonly _tag: "TimedOut" }
  | { readonly _tag: "Exited"; readonly how: string }

interface Current {
  readonly invocation: Invocation
  readonly ended: (ending: Ending) => void
  delivered: boolean
}

const read = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const answer = (response: ServerResponse, status: number, body: object): void => {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
}

/** One instance; made by {@link Instance.start}. */
export class Instance {
  readonly #options: InstanceOptions
  readonly #folder: string
  readonly #api: Server
  readonly #exited: Promise<void>
  #process: ChildProcess | undefined
  #current: Current | undefined
  #waiting: ServerResponse | undefined
  #timer: NodeJS.Timeout | undefined
  #claimed = true
  #over = false
  #log = Buffer.alloc(0)

  private constructor(options: InstanceOptions) {
    this.#options = options
    this.#folder = mkdtempSync(join(tmpdir(), "local-lambda-"))
    this.#api = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy())
    })
    this.#exited = new Promise((resolve) => {
      this.#api.once("close", resolve)
    })
  }

  /** Starts the process, claimed for a first invocation. */
  static async start(options: InstanceOptions): Promise<Instance> {
    const instance = new Instance(options)
    await new Promise<void>((resolve) => {
      instance.#api.listen(0, "127.0.0.1", resolve)
    })
    instance.#spawn()
    return instance
  }

  /** The process, which leads a group of its own. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Takes it for one invocation, if it has none. */
  claim(): boolean {
    if (this.#over || this.#claimed) return false
    this.#claimed = true
    return true
  }

  /** Whether it has ended, or is about to. */
  get over(): boolean {
    return this.#over
  }

  /** The end of what was printed since the last invocation was given to it. */
  get log(): string {
    return this.#log.toString("utf8")
  }

  /** Runs the invocation that it was claimed for. */
  invoke(invocation: Invocation): Promise<Ending> {
    return new Promise((resolve) => {
      this.#log = Buffer.alloc(0)
      this.#current = { invocation, ended: resolve, delivered: false }
      if (this.#process?.pid === undefined) this.#hasExited("exit status 1")
      else this.#deliver()
    })
  }

  /** Kills everything that runs in it, and waits until that is gone. */
  async end(): Promise<void> {
    this.#over = true
    this.kill()
    await this.#exited
  }

  /** Kills everything that runs in it, as the platform does when there is no memory left. */
  kill(): void {
    if (this.#process?.pid === undefined) this.#hasExited("signal: killed")
    else if (this.#process.exitCode === null && this.#process.signalCode === null) killTree(this.#process.pid)
  }

  #spawn(): void {
    const { arn, env, functionName, handler, memoryMb, nativeClient, region, taskRoot, version } = this.#options
    const address = this.#api.address()
    if (address === null || typeof address === "string") throw new Error("the Runtime API has no port")
    const temporary = join(this.#folder, "tmp")
    mkdirSync(temporary)
    this.#process = spawn(process.execPath, [join(import.meta.dirname, "runtime.ts")], {
      cwd: taskRoot,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
        LANG: "en_US.UTF-8",
        TZ: ":UTC",
        TMPDIR: temporary,
        AWS_REGION: region,
        AWS_DEFAULT_REGION: region,
        AWS_ACCESS_KEY_ID: "local",
        AWS_SECRET_ACCESS_KEY: "local",
        AWS_EXECUTION_ENV: "AWS_Lambda_nodejs24.x",
        AWS_LAMBDA_FUNCTION_NAME: functionName,
        AWS_LAMBDA_FUNCTION_VERSION: version,
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
        AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${functionName}`,
        AWS_LAMBDA_LOG_STREAM_NAME: `[${version}]${arn}`,
        AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
        ...env,
        AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${address.port}`,
        LAMBDA_TASK_ROOT: taskRoot,
        _HANDLER: handler,
        ...(nativeClient === undefined ? {} : { LOCAL_LAMBDA_RAPID_CLIENT: nativeClient })
      }
    })
    const keep = (data: Buffer): void => {
      this.#log = Buffer.concat([this.#log, data]).subarray(-logTailBytes)
    }
    this.#process.stdout?.on("data", keep)
    this.#process.stderr?.on("data", keep)
    this.#process.once("error", () => this.#hasExited("exit status 1"))
    this.#process.once("exit", (code, signal) => {
      const how = signal === null ? `exit status ${code}` : `signal: ${signal === "SIGKILL" ? "killed" : signal}`
      // What it printed last is still on its way, and what it started can hold the pipe open.
      const late = setTimeout(() => this.#hasExited(how), 500)
      this.#process?.once("close", () => {
        clearTimeout(late)
        this.#hasExited(how)
      })
    })
    this.#timer = setTimeout(() => this.#timedOut(), initTimeoutMs)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, path = ""] = /^\/2018-06-01\/runtime\/(.+)$/.exec(request.url ?? "") ?? []
    if (request.method === "GET" && path === "invocation/next") {
      // One whose reply is ignored still has its time.
      if (this.#current?.delivered !== true) clearTimeout(this.#timer)
      this.#waiting = response
      this.#deliver()
      return
    }
    const body = await read(request)
    if (request.method === "POST" && path === "init/error") {
      answer(response, 202, { status: "OK" })
      this.#ends({ _tag: "Error", body })
      return
    }
    const [, id, what] = /^invocation\/([^/]+)\/(response|error)$/.exec(path) ?? []
    if (request.method !== "POST" || id === undefined) {
      answer(response, 404, { errorType: "NotFound", errorMessage: path })
      return
    }
    if (id !== this.#current?.invocation.requestId || !this.#current.delivered) {
      answer(response, 400, { errorType: "InvalidRequestID", errorMessage: "Invalid request ID" })
      return
    }
    if (what === "response" && body.length > maxReplyBytes) {
      answer(response, 413, {
        errorType: "RequestEntityTooLarge",
        errorMessage: "Exceeded maximum allowed payload size"
      })
      this.#ends({ _tag: "ReplyTooLarge" })
      return
    }
    answer(response, 202, { status: "OK" })
    this.#ends(what === "response" ? { _tag: "Reply", body } : { _tag: "Error", body })
  }

  /** Gives the runtime its invocation, once both are there. */
  #deliver(): void {
    const current = this.#current
    const waiting = this.#waiting
    if (current === undefined || current.delivered || waiting === undefined) return
    this.#waiting = undefined
    current.delivered = true
    const { arn, timeoutMs } = this.#options
    waiting.writeHead(200, {
      "content-type": "application/json",
      "lambda-runtime-aws-request-id": current.invocation.requestId,
      "lambda-runtime-deadline-ms": String(Date.now() + timeoutMs),
      "lambda-runtime-invoked-function-arn": arn,
      "lambda-runtime-trace-id": current.invocation.traceId
    })
    waiting.end(current.invocation.payload)
    this.#timer = setTimeout(() => this.#timedOut(), timeoutMs)
    current.invocation.delivered?.()
  }

  #timedOut(): void {
    this.#over = true
    const current = this.#current
    this.#current = undefined
    this.kill()
    // Not before it is gone: a caller must not find anything of it still running.
    void this.#exited.then(() => current?.ended({ _tag: "TimedOut" }))
  }

  #ends(ending: Ending): void {
    const current = this.#current
    if (current === undefined || (current.invocation.ignoreReply === true && ending._tag !== "Exited")) return
    clearTimeout(this.#timer)
    this.#current = undefined
    // What it printed before is in the pipe by now, and is read first.
    setImmediate(() => {
      this.#claimed = false
      current.ended(ending)
    })
  }

  #hasExited(how: string): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.#api.close()
    this.#api.closeAllConnections()
    rmSync(this.#folder, { recursive: true, force: true })
    this.#ends({ _tag: "Exited", how })
  }
}
