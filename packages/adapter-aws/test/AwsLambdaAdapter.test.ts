import { LambdaClient } from "@aws-sdk/client-lambda"
import { AwsLambdaAdapter } from "@helios-infra/adapter-aws"
import { WorkerAdapter, type WorkerError } from "@helios-infra/core"
import { credentials, type Fault } from "@helios-infra/local-lambda"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Exit, Fiber, Layer, Logger, Redacted, Result, Schedule, Scope } from "effect"
import { readFileSync } from "node:fs"
import * as http from "node:http"
import * as Fleet from "./Fleet.ts"

const failureOf = ({ result }: { readonly result: Result.Result<unknown, WorkerError.WorkerError> }) =>
  Result.isFailure(result) ? result.failure : assert.fail("it succeeded")

const until = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (met: boolean) => met, schedule: Schedule.spaced("10 millis") })

const jobFile = "/jobs/job.json"

/** Runs an attempt on a function that is called, and one thing that goes wrong there. */
const withFault = (fault: Fault, functionName = "echoing") =>
  Effect.gen(function* () {
    const { lambda, options } = yield* Fleet.make()
    lambda.fault(fault)
    const ended = yield* Fleet.run({ ...options, functionName }, Fleet.attempt(jobFile))
    return { ...ended, error: failureOf(ended), requests: lambda.requests }
  })

describe("a call", () => {
  it.live("says all that there is to say of the attempt, in the words of the protocol", () =>
    Effect.gen(function* () {
      const { lambda, options } = yield* Fleet.make()
      const job = Fleet.attempt("artifact:jobs/job-a/job.json")
      const artifacts = { output: { key: "a" }, log: { key: "b" }, cancelled: { key: "c" } }
      if (job.meta._tag !== "Chunk") return
      const meta = { ...job.meta, artifacts, deadlineMs: 1_900_000_000_000, traceparent: "00-1-2-01" }
      yield* Fleet.run({ ...options, functionName: "echoing" }, { ...job, env: { A: "b" }, meta })
      assert.deepStrictEqual(lambda.invocations[0]?.event, {
        protocol: 1,
        jobPath: "artifact:jobs/job-a/job.json",
        chunkIndex: 7,
        jobId: "job-a",
        run: 1,
        attempt: 2,
        artifacts,
        format: { width: 640 },
        deadlineMs: 1_900_000_000_000,
        env: { A: "b" },
        traceparent: "00-1-2-01"
      })
    })
  )

  it.live("gives the worker's result, who it was, and what it printed", () =>
    Effect.gen(function* () {
      const fleet = yield* Fleet.make()
      const file = yield* Fleet.jobFile(fleet, "job", { command: "echo one; echo two >&2; printf 12345 > {output}" })
      const { result, signals } = yield* Fleet.run(fleet.options, Fleet.attempt(file))
      const requestId = fleet.lambda.invocations[0]?.requestId
      const { durationMs, ...known } = Result.getOrThrow(result)
      assert.isAbove(durationMs, 0)
      assert.deepStrictEqual(known, {
        exitCode: 0,
        stdout: "one\n",
        stderr: "two\n",
        output: { location: "artifact:7.mov", bytes: 5 },
        workerId: requestId ?? ""
      })
      assert.deepStrictEqual(signals, [
        { _tag: "Assigned", workerId: requestId ?? "" },
        { _tag: "Line", stream: "stdout", text: "one" },
        { _tag: "Line", stream: "stderr", text: "two" }
      ])
    })
  )

  it.live("goes to the version that the qualifier or the name asks for, and says which one answered", () =>
    Effect.gen(function* () {
      const { lambda, options } = yield* Fleet.make()
      const arn = `arn:aws:lambda:${lambda.region}:123456789012:function:echoing`
      // The region is that of the ARN.
      const { region: _, ...elsewhere } = options
      const named = [
        { ...options, functionName: "echoing", qualifier: "live" },
        { ...options, functionName: "123456789012:function:echoing:live" },
        { ...elsewhere, functionName: arn }
      ]
      for (const each of named) Result.getOrThrow((yield* Fleet.run(each, Fleet.attempt(jobFile))).result)
      assert.deepStrictEqual(
        lambda.invocations.map(({ version }) => version),
        ["7", "7", "$LATEST"]
      )
      const { signals } = yield* Fleet.run({ ...options, functionName: "echoing:live" }, Fleet.attempt(jobFile))
      const [assigned] = signals
      assert.match(assigned?._tag === "Assigned" ? (assigned.workerId ?? "") : "", /^[0-9a-f-]{36} \(version 7\)$/)
    })
  )

  it.live("names the job file of the attempt, else that of the options, and is not made without any", () =>
    Effect.gen(function* () {
      const { lambda, options } = yield* Fleet.make()
      const to = { ...options, functionName: "echoing", jobDefUrl: "https://jobs.example/job.json" }
      yield* Fleet.run(to, Fleet.attempt("https://jobs.example/other.json"))
      yield* Fleet.run(to, Fleet.attempt())
      assert.nestedPropertyVal(lambda.invocations, "[0].event.jobPath", "https://jobs.example/other.json")
      assert.nestedPropertyVal(lambda.invocations, "[1].event.jobPath", "https://jobs.example/job.json")
      const { reason } = failureOf(yield* Fleet.run(options, Fleet.attempt()))
      assert.include(reason, { _tag: "Refused", why: "InvalidJob" })
      assert.match(reason.message, /give the job a storage, or the adapter a jobDefUrl/)
      assert.strictEqual(lambda.requests, 2)
    })
  )

  it.live("is not made for a merge command, which needs the chunks", () =>
    Effect.gen(function* () {
      const { lambda, options } = yield* Fleet.make()
      const output = { _tag: "File", path: "/film.mp4" } as const
      const meta = { _tag: "Merge", jobId: "job-a", run: 1, attempt: 1, output } as const
      const { reason } = failureOf(yield* Fleet.run(options, { id: "job-a/merge/1.1", command: "join", meta }))
      assert.include(reason, { _tag: "Refused", why: "Unsupported" })
      assert.match(reason.message, /mergeAdapter/)
      assert.strictEqual(lambda.requests, 0)
    })
  )
})

describe("the worker's answer", () => {
  const answered = (answer: unknown) =>
    Effect.gen(function* () {
      const fleet = yield* Fleet.make()
      const file = yield* Fleet.jobFile(fleet, "job", { answer })
      const ended = yield* Fleet.run(fleet.options, Fleet.attempt(file))
      return { ...ended, error: failureOf(ended), requestId: fleet.lambda.invocations[0]?.requestId }
    })

  it.live("that it failed keeps its reason, under the name of this attempt", () =>
    Effect.gen(function* () {
      const reason = { _tag: "RenderFailed", exitCode: 3, stderrTail: "out of paint\n" }
      const error = { _tag: "WorkerError", adapter: "worker", jobId: "other", chunkId: 1, attempt: 99, reason }
      const { error: failed, requestId, signals } = yield* answered({ _tag: "Error", protocol: 1, error })
      assert.include(failed.reason, { _tag: "RenderFailed", exitCode: 3, stderrTail: "out of paint\n" })
      const { adapter, attempt, chunkId, jobId, workerId } = failed
      assert.deepStrictEqual([adapter, jobId, chunkId, attempt], ["aws-lambda", "job-a", 7, 2])
      assert.strictEqual(workerId, requestId)
      assert.deepInclude(signals, { _tag: "Line", stream: "stderr", text: "out of paint" })
    })
  )

  it.live("with another exit code than 0 is no success", () =>
    Effect.gen(function* () {
      const result = { exitCode: 2, stdout: "", stderr: "no", durationMs: 1 }
      const { error } = yield* answered({ _tag: "Result", protocol: 1, result })
      assert.include(error.reason, { _tag: "RenderFailed", exitCode: 2, stderrTail: "no" })
    })
  )

  it.live("that somebody else stopped it can be tried again", () =>
    Effect.gen(function* () {
      const { error } = yield* answered({ _tag: "Cancelled", protocol: 1 })
      assert.strictEqual(error.reason._tag, "WorkerLost")
      assert.match(error.message, /told it to stop/)
    })
  )

  it.live("is refused when it is not one of the protocol: that function is no worker, or an older one", () =>
    Effect.gen(function* () {
      for (const answer of [null, { statusCode: 200, body: "hello" }, { _tag: "Cancelled", protocol: 2 }]) {
        const { error } = yield* answered(answer)
        assert.include(error.reason, { _tag: "Refused", why: "Unsupported" })
        assert.match(error.message, /function "worker" in eu-west-1 does not answer as a worker does.*worker-runtime/)
        assert.include(error.message, JSON.stringify(answer))
      }
    })
  )

  it.live("that is no JSON was not the function's: something between did not pass it on", () =>
    Effect.gen(function* () {
      const { error } = yield* withFault({ _tag: "Reply", payload: "<html>" })
      assert.strictEqual(error.reason._tag, "Transport")
      assert.match(error.message, /<html>/)
    })
  )
})

describe("a function that does not answer", () => {
  it.live("because it threw, says what", () =>
    Effect.gen(function* () {
      const { options } = yield* Fleet.make()
      const { result, signals } = yield* Fleet.run({ ...options, functionName: "throwing" }, Fleet.attempt(jobFile))
      const { reason } = failureOf({ result })
      assert.strictEqual(reason._tag, "WorkerLost")
      assert.match(reason.message, /function "throwing" in eu-west-1 failed: RangeError: no such scene/)
      const lines = signals.flatMap((signal) => (signal._tag === "Line" ? [signal.text] : []))
      assert.match(lines.join("\n"), /looking for the scene/)
      assert.notMatch(lines.join("\n"), /^(START|END|REPORT) /m)
    })
  )

  it.live("because it ended, says its last words, and that memory may be why", () =>
    Effect.gen(function* () {
      const { options } = yield* Fleet.make()
      const { reason } = failureOf(yield* Fleet.run({ ...options, functionName: "exiting" }, Fleet.attempt(jobFile)))
      assert.strictEqual(reason._tag, "WorkerLost")
      assert.match(reason.message, /ended before it answered.*memory.*Runtime exited with error: exit status 7/)
      assert.match(reason.message, /the last words/)
    })
  )

  it.live("because there was no memory left, says to give it more", () =>
    Effect.gen(function* () {
      for (const _tag of ["OutOfMemory", "Crash"] as const) {
        const { error } = yield* withFault({ _tag })
        assert.strictEqual(error.reason._tag, "WorkerLost")
        assert.match(error.message, /ran out of memory \(512 MB, of which it used 512\), give it more/)
      }
    })
  )

  it.live("because it took too long, says how long that was", () =>
    Effect.gen(function* () {
      const { options } = yield* Fleet.make({ timeoutMs: 1250 })
      const fleet = { ...options, functionName: "worker" }
      const file = yield* Fleet.jobFile({ ...(yield* Fleet.make()), options }, "job", { command: "sleep 600" })
      const { reason } = failureOf(yield* Fleet.run(fleet, Fleet.attempt(file)))
      assert.deepInclude({ ...reason }, { _tag: "TimedOut", limit: "platform", afterMs: 1250 })
    })
  )

  it.live("because it answered too much, is not asked again", () =>
    Effect.gen(function* () {
      const { options } = yield* Fleet.make()
      const { reason } = failureOf(yield* Fleet.run({ ...options, functionName: "wordy" }, Fleet.attempt(jobFile)))
      assert.include(reason, { _tag: "Refused", why: "TooLarge" })
    })
  )

  it.live("because its code cannot be loaded, is not asked again", () =>
    Effect.gen(function* () {
      const { options } = yield* Fleet.make()
      const { reason } = failureOf(yield* Fleet.run({ ...options, functionName: "unloadable" }, Fleet.attempt(jobFile)))
      assert.include(reason, { _tag: "Refused", why: "Unsupported" })
      assert.match(reason.message, /deploy it anew.*Runtime\.HandlerNotFound/)
    })
  )
})

describe("a call that the service does not take", () => {
  const refusals: ReadonlyArray<readonly [status: number, type: string, expected: object, message?: RegExp]> = [
    [404, "ResourceNotFoundException", { _tag: "Refused", why: "NotFound" }, /no function "echoing" in eu-west-1/],
    [403, "AccessDeniedException", { _tag: "Refused", why: "Unauthorized" }, /lambda:InvokeFunction/],
    [403, "ExpiredTokenException", { _tag: "Refused", why: "Unauthorized" }, /must not have expired/],
    [403, "SomethingNewException", { _tag: "Refused", why: "Unauthorized" }],
    [413, "RequestTooLargeException", { _tag: "Refused", why: "TooLarge" }, /6 MB/],
    [413, "SomethingNewException", { _tag: "Refused", why: "TooLarge" }],
    [400, "InvalidParameterValueException", { _tag: "Refused", why: "InvalidJob" }],
    [400, "InvalidRequestContentException", { _tag: "Refused", why: "InvalidJob" }],
    [502, "KMSAccessDeniedException", { _tag: "Refused", why: "Unauthorized" }, /change its role or its key/],
    [502, "InvalidRuntimeException", { _tag: "Refused", why: "Unsupported" }],
    [502, "InvalidZipFileException", { _tag: "Refused", why: "Unsupported" }],
    [429, "TooManyRequestsException", { _tag: "Throttled" }],
    [429, "SomethingNewException", { _tag: "Throttled" }],
    [502, "EC2ThrottledException", { _tag: "Throttled" }],
    [502, "ENILimitReachedException", { _tag: "Throttled" }],
    [409, "ResourceConflictException", { _tag: "Throttled", retryAfterMs: 5000 }],
    [409, "SnapStartNotReadyException", { _tag: "Throttled", retryAfterMs: 5000 }],
    [502, "ResourceNotReadyException", { _tag: "Throttled", retryAfterMs: 5000 }],
    [410, "EFSMountConnectivityException", { _tag: "WorkerLost" }, /could not begin/],
    [400, "SnapStartException", { _tag: "WorkerLost" }],
    [500, "ServiceException", { _tag: "Transport" }],
    [503, "ServiceUnavailableException", { _tag: "Transport" }]
  ]
  for (const [status, type, expected, message = new RegExp(type)] of refusals) {
    it.live(`with ${status} ${type}`, () =>
      Effect.gen(function* () {
        const { error, requests } = yield* withFault({
          _tag: "Exception",
          status,
          type,
          message: "as the service says"
        })
        assert.deepInclude({ ...error.reason }, expected)
        if (!("retryAfterMs" in expected) && error.reason._tag !== "Throttled") assert.match(error.message, message)
        // Nobody tries again but the scheduler.
        assert.strictEqual(requests, 1)
      })
    )
  }

  it.live("for there are too many says how long to wait, where the service does", () =>
    Effect.gen(function* () {
      for (const reason of ["ConcurrentInvocationLimitExceeded", "CallerRateLimitExceeded"]) {
        const { error } = yield* withFault({ _tag: "Throttle", retryAfterSeconds: 3, reason })
        assert.deepInclude({ ...error.reason }, { _tag: "Throttled", retryAfterMs: 3000 })
      }
      const { error } = yield* withFault({ _tag: "Throttle" })
      assert.strictEqual(error.reason._tag === "Throttled" && error.reason.retryAfterMs, undefined)
    })
  )

  it.live("for all instances are busy", () =>
    Effect.gen(function* () {
      const fleet = yield* Fleet.make({ concurrency: 1 })
      const file = yield* Fleet.jobFile(fleet, "job", { command: "sleep 600" })
      yield* Effect.forkScoped(Fleet.run(fleet.options, Fleet.attempt(file)))
      yield* until(() => fleet.lambda.invocations.length === 1)
      assert.strictEqual(failureOf(yield* Fleet.run(fleet.options, Fleet.attempt(file))).reason._tag, "Throttled")
    })
  )

  it.live("for the request is larger than 6 MB", () =>
    Effect.gen(function* () {
      const { options } = yield* Fleet.make()
      const job = { ...Fleet.attempt(jobFile), env: { LARGE: "x".repeat(6_300_000) } }
      const { reason } = failureOf(yield* Fleet.run(options, job))
      assert.include(reason, { _tag: "Refused", why: "TooLarge" })
      assert.match(reason.message, /env/)
    })
  )

  it.live("for nobody knows the caller", () =>
    Effect.gen(function* () {
      const { options } = yield* Fleet.make()
      const stranger = { accessKeyId: "AKIASTRANGER", secretAccessKey: Redacted.make("?") }
      const { reason } = failureOf(yield* Fleet.run({ ...options, credentials: stranger }, Fleet.attempt(jobFile)))
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
    })
  )
})

describe("a call that does not get there, or whose answer gets lost", () => {
  for (const when of ["before", "after", "within"] as const) {
    it.live(`with the connection broken ${when} the answer`, () =>
      Effect.gen(function* () {
        const { error, requests } = yield* withFault({ _tag: "Drop", when })
        assert.strictEqual(error.reason._tag, "Transport")
        assert.strictEqual(requests, 1)
      })
    )
  }

  it.live("with nobody there, or no such host", () =>
    Effect.gen(function* () {
      for (const endpoint of ["http://127.0.0.1:1", "http://lambda.invalid"]) {
        const options = { functionName: "worker", region: "eu-west-1", credentials, endpoint }
        const { reason } = failureOf(yield* Fleet.run(options, Fleet.attempt(jobFile)))
        assert.strictEqual(reason._tag, "Transport")
        assert.match(reason.message, /ECONNREFUSED|lambda\.invalid/)
      }
    })
  )

  it.live("with an answer of a proxy's", () =>
    Effect.gen(function* () {
      const { endpoint } = yield* stub((_request, response) => response.writeHead(502).end("<html>"))
      const options = { functionName: "worker", region: "eu-west-1", credentials, endpoint }
      assert.strictEqual(failureOf(yield* Fleet.run(options, Fleet.attempt(jobFile))).reason._tag, "Transport")
    })
  )

  it.live("without credentials or a region", () =>
    Effect.gen(function* () {
      const none = Object.assign(new Error("Could not load credentials"), { name: "CredentialsProviderError" })
      const { options } = yield* Fleet.make()
      const without = { ...options, credentials: () => Promise.reject(none) }
      const unauthorized = failureOf(yield* Fleet.run(without, Fleet.attempt(jobFile))).reason
      assert.include(unauthorized, { _tag: "Refused", why: "Unauthorized" })
      assert.match(unauthorized.message, /there are no AWS credentials/)

      const nowhere = () => Promise.reject(new Error("Region is missing"))
      const client = new LambdaClient({ credentials, region: nowhere, maxAttempts: 1 })
      const missing = failureOf(yield* Fleet.run({ functionName: "worker", client }, Fleet.attempt(jobFile))).reason
      assert.include(missing, { _tag: "Refused", why: "NotFound" })
      assert.match(missing.message, /set the option region, or AWS_REGION/)
    })
  )
})

/** A server that does as it is told, and is gone with the test. */
const stub = (listener: http.RequestListener) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<http.Server>((resolve) => {
          const server: http.Server = http.createServer(listener).listen(0, "127.0.0.1", () => resolve(server))
        })
    ),
    (server) => Effect.sync(() => server.close().closeAllConnections())
  ).pipe(
    Effect.map((server) => {
      const address = server.address()
      if (address === null || typeof address === "string") return assert.fail("no port")
      return { server, endpoint: `http://127.0.0.1:${address.port}` }
    })
  )

const cancelled = JSON.stringify({ _tag: "Cancelled", protocol: 1 })

describe("connections", () => {
  it.live("are as many as there are attempts", () =>
    Effect.gen(function* () {
      const waiting: Array<http.ServerResponse> = []
      const { endpoint } = yield* stub((_request, response) => {
        waiting.push(response)
        // Nobody is answered before all are here: with less connections than attempts that would never be.
        if (waiting.length === 120) for (const each of waiting) each.end(cancelled)
      })
      const adapter = yield* AwsLambdaAdapter.make({ functionName: "f", region: "eu-west-1", credentials, endpoint })
      const errors = yield* Effect.forEach(
        Array.from({ length: 120 }),
        () => Effect.flip(adapter.execute(Fleet.attempt(jobFile), () => {})),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(errors.length, 120)
    })
  )

  it.live("stay open through silence, longer than idle ones are kept, and are probed meanwhile", () =>
    Effect.gen(function* () {
      let answer: (() => void) | undefined
      let port = 0
      const { endpoint } = yield* stub((request, response) => {
        port = request.socket.remotePort ?? 0
        answer = () => response.end(cancelled)
      })
      const adapter = yield* AwsLambdaAdapter.make({ functionName: "f", region: "eu-west-1", credentials, endpoint })
      const fiber = yield* Effect.forkScoped(Effect.flip(adapter.execute(Fleet.attempt(jobFile), () => {})))
      yield* until(() => answer !== undefined)
      // What the kernel says of the connection: timer 2 is that of keep-alive.
      yield* until(() => timerOf(port) === "02")
      yield* Effect.sleep("6 seconds")
      assert.strictEqual(timerOf(port), "02")
      answer?.()
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "WorkerLost")
    })
  )

  it.live("close with the scope, also those that wait for an answer", () =>
    Effect.gen(function* () {
      let arrived = false
      const { endpoint } = yield* stub(() => {
        arrived = true
      })
      const scope = yield* Scope.make()
      const options = { functionName: "f", region: "eu-west-1", credentials, endpoint }
      const adapter = yield* AwsLambdaAdapter.make(options).pipe(Scope.provide(scope))
      const fiber = yield* Effect.forkScoped(Effect.flip(adapter.execute(Fleet.attempt(jobFile), () => {})))
      yield* until(() => arrived)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Transport")
    })
  )
})

/** The timer of this machine's end of a connection to a server on this machine. */
const timerOf = (port: number): string | undefined => {
  const own = `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n")) {
    const [, local, , , , timer] = line.trim().split(/\s+/)
    if (local?.endsWith(own)) return timer?.slice(0, 2)
  }
  return undefined
}

describe("an attempt that is interrupted", () => {
  it.live("hangs up at once, and says what may run on", () =>
    Effect.gen(function* () {
      const fleet = yield* Fleet.make()
      const file = yield* Fleet.jobFile(fleet, "job", { command: "sleep 600" })
      const adapter = yield* AwsLambdaAdapter.make(fleet.options)
      const signals: Array<WorkerAdapter.WorkerSignal> = []
      const fiber = yield* Effect.forkScoped(adapter.execute(Fleet.attempt(file), (signal) => signals.push(signal)))
      yield* until(() => fleet.lambda.invocations.some(({ pid }) => pid !== undefined))
      yield* Fiber.interrupt(fiber)
      const [told, ...others] = signals
      assert.deepStrictEqual(others, [])
      assert.match(
        told?._tag === "NotStopped" ? told.detail : "",
        /^job-a\/7\/1\.2 may run on in function "worker" in eu-west-1/
      )
      yield* until(() => fleet.lambda.invocations[0]?.abandoned === true)
      assert.isUndefined(fleet.lambda.invocations[0]?.ended)
    })
  )
})

describe("options", () => {
  it.live("say how many attempts suit the function", () =>
    Effect.gen(function* () {
      const infoOf = (more: Partial<AwsLambdaAdapter.Options>) =>
        Effect.map(AwsLambdaAdapter.make({ functionName: "f", region: "eu-west-1", ...more }), ({ info }) => info)
      const { name, stop, where } = yield* infoOf({})
      assert.deepStrictEqual({ name, stop, where }, { name: "aws-lambda", stop: "never", where: "remote" })
      assert.deepInclude(yield* infoOf({}), { concurrency: 100 })
      assert.deepInclude(yield* infoOf({ concurrency: 500 }), { concurrency: 500 })
      assert.deepInclude(yield* infoOf({ maxConcurrency: 20 }), { concurrency: 20, maxConcurrency: 20 })
    })
  )

  it.live("can come from Config, the secret ones redacted", () =>
    Effect.gen(function* () {
      const { lambda } = yield* Fleet.make()
      const workers = AwsLambdaAdapter.layerConfig({
        functionName: Config.String("FUNCTION"),
        endpoint: Config.String("ENDPOINT"),
        region: Config.String("REGION"),
        concurrency: Config.Int("CONCURRENCY").pipe(Config.withDefault(30)),
        credentials: {
          accessKeyId: Config.String("KEY"),
          secretAccessKey: Config.Redacted("SECRET")
        }
      })
      const provider = ConfigProvider.fromUnknown({
        FUNCTION: "echoing",
        ENDPOINT: lambda.endpoint,
        REGION: lambda.region,
        KEY: credentials.accessKeyId,
        SECRET: credentials.secretAccessKey
      })
      const result = yield* WorkerAdapter.WorkerAdapter.use((adapter) =>
        Effect.map(
          adapter.execute(Fleet.attempt(jobFile), () => {}),
          ({ exitCode }) => ({ exitCode, concurrency: adapter.info.concurrency })
        )
      ).pipe(Effect.provide(workers.pipe(Layer.provide(ConfigProvider.layer(provider)))))
      assert.deepStrictEqual(result, { exitCode: 0, concurrency: 30 })
    })
  )

  it.live("can bring a client, which is left as it is; one that would repeat calls is warned of", () =>
    Effect.gen(function* () {
      const { lambda } = yield* Fleet.make()
      const { endpoint, region } = lambda
      const messages: Array<unknown> = []
      const logger = Logger.make(({ message }) => messages.push(message))
      const clientOf = (maxAttempts: number) =>
        Effect.acquireRelease(
          Effect.sync(() => new LambdaClient({ endpoint, region, credentials, maxAttempts })),
          (client) => Effect.sync(() => client.destroy())
        )
      const runWith = (client: LambdaClient) =>
        Effect.scoped(Fleet.run({ functionName: "echoing", client }, Fleet.attempt(jobFile))).pipe(
          Effect.provide(Logger.layer([logger]))
        )
      const client = yield* clientOf(1)
      Result.getOrThrow((yield* runWith(client)).result)
      Result.getOrThrow((yield* runWith(client)).result)
      assert.deepStrictEqual(messages, [])
      yield* runWith(yield* clientOf(3))
      assert.match(JSON.stringify(messages), /tries calls up to 3 times.*maxAttempts: 1/)
    })
  )
})
