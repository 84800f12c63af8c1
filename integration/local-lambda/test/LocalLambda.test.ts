import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda"
import { credentials, type FunctionOptions, type LocalLambda, maxReplyBytes, start } from "@helios-infra/local-lambda"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, assert, describe, it } from "vitest"
import { builtClient } from "../src/builtClient.ts"

const acts: FunctionOptions = {
  name: "acts",
  taskRoot: join(import.meta.dirname, "fixtures"),
  handler: "index.handler"
}

const open: Array<() => Promise<void>> = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()))
})

const connect = (lambda: LocalLambda, as = credentials) => {
  const client = new LambdaClient({ endpoint: lambda.endpoint, region: lambda.region, credentials: as, maxAttempts: 1 })
  open.push(async () => client.destroy())
  return client
}

const serve = async (options: Partial<FunctionOptions> = {}, native = false) => {
  const lambda = await start({ native, functions: [{ timeoutMs: 20_000, ...acts, ...options }] })
  open.push(() => lambda.close())
  const client = connect(lambda)
  return { lambda, client, invoke: (event: object) => invoke(client, event) }
}

const invoke = async (client: LambdaClient, event: object, name = "acts") => {
  const command = new InvokeCommand({ FunctionName: name, Payload: JSON.stringify(event), LogType: "Tail" })
  const { ExecutedVersion, FunctionError, LogResult = "", Payload } = await client.send(command)
  const text = Payload?.transformToString() ?? ""
  const reply: unknown = text.startsWith('"xxx') ? text.length : JSON.parse(text)
  return { reply, error: FunctionError, version: ExecutedVersion, log: Buffer.from(LogResult, "base64").toString() }
}

const exceptionOf = async (call: Promise<unknown>): Promise<string> => {
  const ended = await call.then(
    () => "none",
    (error: unknown) => error
  )
  return ended instanceof Error ? ended.name : String(ended)
}

const until = async (condition: () => boolean) => {
  // oxlint-disable-next-line no-await-in-loop -- one look after the other
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** Whether a process is there; one that only waits to be buried is not. */
const runs = (pid: number): boolean =>
  existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"))

const running = (lambda: LocalLambda) => lambda.invocations.filter(({ ended, pid }) => pid !== undefined && !ended)

for (const native of existsSync(builtClient) ? [false, true] : [false]) {
  describe(`a function in Amazon's runtime client${native ? ", native part included" : ""}`, () => {
    it("gets its event and context, and answers", async () => {
      const { invoke } = await serve({}, native)
      const { error, reply, version } = await invoke({ act: "echo", text: "äöü" })
      assert.isUndefined(error)
      assert.strictEqual(version, "$LATEST")
      assert.nestedPropertyVal(reply, "event.text", "äöü")
      assert.nestedPropertyVal(reply, "context.arn", "arn:aws:lambda:eu-west-1:123456789012:function:acts")
    })

    it("stays warm, in one process as long as it is asked one thing after the other", async () => {
      const { invoke, lambda } = await serve({}, native)
      const { reply: first } = await invoke({ act: "count" })
      const { reply: second } = await invoke({ act: "count" })
      assert.deepEqual(
        [first, second],
        [
          { invocations: 1, pid: lambda.invocations[0]?.pid },
          { invocations: 2, pid: lambda.invocations[0]?.pid }
        ]
      )
    })

    it("that throws is an error with its type and message, and what it printed", async () => {
      const { invoke } = await serve({}, native)
      const { error, log, reply } = await invoke({ act: "throw", message: "no such scene" })
      assert.strictEqual(error, "Unhandled")
      assert.include(reply, { errorType: "RangeError", errorMessage: "no such scene" })
      assert.match(log, /about to throw/)
    })

    it("that exits is worded as the platform does it, and the next one starts anew", async () => {
      const { invoke } = await serve({}, native)
      const { error, log, reply } = await invoke({ act: "exit", code: 3 })
      assert.strictEqual(error, "Unhandled")
      assert.nestedPropertyVal(reply, "errorType", "Runtime.ExitError")
      assert.match(JSON.stringify(reply), /Error: Runtime exited with error: exit status 3"/)
      assert.match(log, /the last words/)
      assert.nestedPropertyVal((await invoke({ act: "count" })).reply, "invocations", 1)
    })

    it("that answers too much is told so", async () => {
      const { invoke } = await serve({}, native)
      assert.strictEqual((await invoke({ act: "large", bytes: maxReplyBytes - 2 })).reply, maxReplyBytes)
      const { error, reply } = await invoke({ act: "large", bytes: maxReplyBytes - 1 })
      assert.strictEqual(error, "Unhandled")
      assert.nestedPropertyVal(reply, "errorType", "Function.ResponseSizeTooLarge")
    })
  })
}

describe("the platform", () => {
  it("kills what takes too long, with all that it started", async () => {
    const { invoke } = await serve({ timeoutMs: 1500 })
    const { error, log, reply } = await invoke({ act: "child" })
    assert.strictEqual(error, "Unhandled")
    assert.nestedPropertyVal(reply, "errorType", "Sandbox.Timedout")
    assert.match(JSON.stringify(reply), /Error: Task timed out after 1\.50 seconds"/)
    const [, child] = /child (\d+)/.exec(log) ?? []
    assert.isDefined(child)
    await until(() => !runs(Number(child)))
  })

  it("says when it will, and how much time is left", async () => {
    const { invoke } = await serve({ timeoutMs: 60_000 })
    const { reply } = await invoke({ act: "remaining" })
    assert.isTrue(Number(reply) > 50_000 && Number(reply) <= 60_000, String(reply))
  })

  it("has so many instances, each with one invocation at a time, and takes no more", async () => {
    const { invoke, lambda } = await serve({ concurrency: 2 })
    const calls = [exceptionOf(invoke({ act: "child" })), exceptionOf(invoke({ act: "child" }))]
    await until(() => running(lambda).length === 2)
    assert.strictEqual(await exceptionOf(invoke({ act: "count" })), "TooManyRequestsException")
    assert.strictEqual(lambda.instances("acts"), 2)
    await lambda.close()
    await Promise.all(calls)
  })

  it("goes on when the caller hangs up", async () => {
    const { client, lambda } = await serve()
    const gone = new AbortController()
    const command = new InvokeCommand({ FunctionName: "acts", Payload: JSON.stringify({ act: "sleep", ms: 300 }) })
    const call = exceptionOf(client.send(command, { abortSignal: gone.signal }))
    await until(() => running(lambda).length === 1)
    gone.abort()
    assert.strictEqual(await call, "AbortError")
    await until(() => lambda.invocations[0]?.ended === "Reply")
    assert.isTrue(lambda.invocations[0]?.abandoned)
  })

  it("knows who calls, and what", async () => {
    const { client, lambda } = await serve({ versions: { live: "7" } })
    assert.strictEqual((await invoke(client, { act: "count" }, "acts:live")).version, "7")
    assert.strictEqual(await exceptionOf(invoke(client, {}, "nothing")), "ResourceNotFoundException")
    assert.strictEqual(await exceptionOf(invoke(client, {}, "acts:unknown")), "ResourceNotFoundException")
    assert.strictEqual(await exceptionOf(invoke(client, { large: "x".repeat(6_291_456) })), "RequestTooLargeException")
    const stranger = connect(lambda, { accessKeyId: "AKIASTRANGER", secretAccessKey: "?" })
    assert.strictEqual(await exceptionOf(invoke(stranger, { act: "count" })), "UnrecognizedClientException")
    const unsigned = await fetch(`${lambda.endpoint}/2015-03-31/functions/acts/invocations`, { method: "POST" })
    assert.strictEqual(unsigned.headers.get("x-amzn-errortype"), "MissingAuthenticationTokenException")
    const bad = new InvokeCommand({ FunctionName: "acts", Payload: "{" })
    assert.strictEqual(await exceptionOf(client.send(bad)), "InvalidRequestContentException")
  })

  it("shows a function its own environment, and nothing of the caller's", async () => {
    const { invoke } = await serve({ env: { BUCKET: "films" }, memoryMb: 512 })
    const names = ["BUCKET", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_REGION", "VITEST"]
    assert.deepEqual((await invoke({ act: "environment", names })).reply, ["films", "512", "eu-west-1", null])
  })

  it("says that code cannot be loaded", async () => {
    const { invoke } = await serve({ handler: "missing.handler" })
    const { error, reply } = await invoke({})
    assert.strictEqual(error, "Unhandled")
    assert.nestedPropertyVal(reply, "errorType", "Runtime.ImportModuleError")
  })

  it("leaves nothing when it is closed", async () => {
    const { invoke, lambda } = await serve()
    await invoke({ act: "count" })
    const ended = exceptionOf(invoke({ act: "child" }))
    await until(() => running(lambda).length === 1)
    const pids = lambda.invocations.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
    await lambda.close()
    await ended
    assert.deepEqual(pids.filter(runs), [])
  })
})
