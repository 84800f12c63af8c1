import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import { WorkerAdapter, WorkerError, WorkerProtocol } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Exit, Fiber, Layer, Logger, Redacted, Result, Scope, Tracer } from "effect"
import { createHmac } from "node:crypto"
import { attempt, failureOf, jobFile, run, until } from "./Attempts.ts"
import * as FakeWorker from "./FakeWorker.ts"

const cancelled: WorkerProtocol.WorkerReply = { _tag: "Cancelled", protocol: 1 }

describe("a request", () => {
  it.live("says all that there is to say of the attempt, in the words of the protocol", () =>
    Effect.gen(function* () {
      const { requests, url } = yield* FakeWorker.make({ respond: FakeWorker.succeed })
      const job = attempt("artifact:jobs/job-a/job.json")
      const artifacts = { output: { key: "a" }, log: { key: "b" }, cancelled: { key: "c" } }
      if (job.meta._tag !== "Chunk") return
      const meta = { ...job.meta, artifacts, deadlineMs: 1_900_000_000_000, traceparent: "00-1-2-01" }
      Result.getOrThrow((yield* run({ url }, { ...job, env: { A: "b" }, meta })).result)
      assert.deepStrictEqual(JSON.parse(requests[0]?.body ?? ""), {
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
      assert.include(requests[0]?.headers, {
        accept: "application/x-ndjson, application/json;q=0.9",
        "content-type": "application/json"
      })
    })
  )

  it.live("says where the worker goes on with the attempt's trace, in its body and its headers, and else nothing", () =>
    Effect.gen(function* () {
      const { requests, url } = yield* FakeWorker.make({ respond: FakeWorker.succeed })
      const { meta, ...job } = attempt()
      const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=1" }
      const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
      yield* Effect.provideService(run({ url }, { ...job, meta: { ...meta, ...trace } }), Tracer.Tracer, tracer)
      yield* run({ url }, { ...job, meta })
      const [traced, untraced] = requests
      assert.deepInclude(JSON.parse(traced?.body ?? ""), trace)
      assert.deepInclude(traced?.headers, trace)
      assert.notMatch(untraced?.body ?? "", /trace/)
      for (const name of ["traceparent", "tracestate", "b3"]) assert.notProperty(untraced?.headers, name)
      assert.notProperty(traced?.headers, "b3")
    })
  )

  it.live("has the headers of the options, and names the job file of the attempt, else that of the options", () =>
    Effect.gen(function* () {
      const { requests, url } = yield* FakeWorker.make({ respond: FakeWorker.succeed })
      const to = { url, jobDefUrl: "https://jobs.example/other.json", headers: { "x-team": "a" } }
      yield* run(to)
      const { meta, ...job } = attempt()
      const { jobDefUrl: _, ...without } = meta
      yield* run(to, { ...job, meta: without })
      assert.deepStrictEqual(
        requests.map(({ body }) => /"jobPath":"([^"]*)"/.exec(body)?.[1]),
        [jobFile, "https://jobs.example/other.json"]
      )
      assert.strictEqual(requests[0]?.headers["x-team"], "a")
    })
  )

  it.live("is not sent without a job file, for a merge command, to what is no URL, or where it is too large", () =>
    Effect.gen(function* () {
      const { requests, url } = yield* FakeWorker.make()
      const output = { _tag: "File", path: "/film.mp4" } as const
      const meta = { _tag: "Merge", jobId: "job-a", run: 1, attempt: 1, output } as const
      const { meta: chunk, ...job } = attempt()
      const { jobDefUrl: _, ...without } = chunk
      const refusals = [
        [
          yield* run({ url }, { ...job, meta: without }),
          "InvalidJob",
          /give the job a storage, or the adapter a jobDefUrl/
        ],
        [yield* run({ url }, { id: "job-a/merge/1.1", command: "join", meta }), "Unsupported", /mergeAdapter/],
        [yield* run({ url: "workers.example/render" }), "NotFound", /no http or https URL/],
        [yield* run({ url: "ftp://workers.example/" }), "NotFound", /no http or https URL/],
        [yield* run({ url, maxRequestBytes: 100 }), "TooLarge", /takes 100: make the job's env smaller/]
      ] as const
      for (const [ended, why, message] of refusals) {
        const { reason } = failureOf(ended)
        assert.include(reason, { _tag: "Refused", why })
        assert.match(reason.message, message)
      }
      assert.deepStrictEqual(requests, [])
    })
  )
})

describe("credentials", () => {
  const sent = Effect.fnUntraced(function* (options: Partial<HttpWorkerAdapter.Options>) {
    const { requests, url } = yield* FakeWorker.make({ respond: FakeWorker.succeed })
    const ended = yield* run({ url, ...options })
    return { ...ended, headers: requests[0]?.headers, body: requests[0]?.body ?? "", requests }
  })

  it.live("are sent as a bearer token, and as a key in a header of its own", () =>
    Effect.gen(function* () {
      const { headers } = yield* sent({
        auth: {
          bearer: Redacted.make("the token"),
          key: { header: "X-Functions-Key", value: Redacted.make("the key") }
        }
      })
      assert.include(headers, { authorization: "Bearer the token", "x-functions-key": "the key" })
    })
  )

  it.live("sign the request with a secret, which is not sent, as it is sent and now", () =>
    Effect.gen(function* () {
      const before = Math.floor(Date.now() / 1000)
      const { body, headers } = yield* sent({ auth: { secret: Redacted.make("between us") } })
      const [, seconds = "", signature] =
        /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers?.[WorkerProtocol.signatureHeader])) ?? []
      assert.isAtLeast(Number(seconds), before)
      assert.isAtMost(Number(seconds), Math.floor(Date.now() / 1000))
      assert.strictEqual(signature, createHmac("sha256", "between us").update(`${seconds}.${body}`).digest("hex"))
      assert.notInclude(JSON.stringify(headers), "between us")
    })
  )

  it.live("that no header can hold are not sent: files end in a line break", () =>
    Effect.gen(function* () {
      for (const auth of [
        { bearer: Redacted.make("token\n") },
        { bearer: Redacted.make("") },
        { key: { header: "x-key", value: Redacted.make("a\r\nx-admin: 1") } },
        { secret: Redacted.make("") }
      ]) {
        const { requests, result } = yield* sent({ auth })
        assert.include(failureOf({ result }).reason, { _tag: "Refused", why: "Unauthorized" })
        assert.deepStrictEqual(requests, [])
      }
    })
  )

  it.live("that are renewable are renewed once for a 401, and not for one that follows", () =>
    Effect.gen(function* () {
      const rejected: Array<unknown> = []
      let given = 0
      const credentials = {
        renewable: true,
        secret: [],
        headers: (request: { readonly rejected: object | undefined }) =>
          Effect.sync(() => {
            rejected.push(request.rejected)
            given += 1
            return { authorization: `Bearer ${given}` }
          })
      }
      const good = "Bearer 2"
      const guard: FakeWorker.Options["guard"] = ({ headers }) =>
        headers.authorization === good ? undefined : { status: 401, body: "who?" }
      const { requests, url } = yield* FakeWorker.make({ guard, respond: FakeWorker.succeed })
      Result.getOrThrow((yield* run({ url, credentials })).result)
      assert.deepStrictEqual(
        requests.map(({ headers }) => headers.authorization),
        ["Bearer 1", "Bearer 2"]
      )
      assert.deepStrictEqual(rejected, [undefined, { authorization: "Bearer 1" }])
      const { reason } = failureOf(yield* run({ url, credentials }))
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.strictEqual(requests.length, 4)
    })
  )

  it.live("that are not good say what to do about that", () =>
    Effect.gen(function* () {
      const help = { unknown: "ask for a new one", forbidden: "ask somebody" }
      const credentials = { renewable: false, secret: [], headers: () => Effect.succeed({}), help }
      for (const [status, fix] of [
        [401, help.unknown],
        [403, help.forbidden]
      ] as const) {
        const { url } = yield* FakeWorker.make({ guard: () => ({ status }) })
        assert.include(failureOf(yield* run({ url, credentials })).message, fix)
      }
    })
  )

  it.live("that cannot be had fail the attempt with their own reason", () =>
    Effect.gen(function* () {
      const down = new WorkerError.Transport({ cause: new Error("no tokens today") })
      const credentials = { renewable: true, secret: [], headers: () => Effect.fail(down) }
      const { requests, result } = yield* sent({ credentials })
      assert.strictEqual(failureOf({ result }).reason, down)
      assert.deepStrictEqual(requests, [])
    })
  )

  it.live("are warned of where they can be read on the way; a signature is none", () =>
    Effect.gen(function* () {
      const messages: Array<unknown> = []
      const logger = Logger.make(({ message }) => messages.push(message))
      const make = (options: HttpWorkerAdapter.Options) =>
        HttpWorkerAdapter.make(options).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])))
      const bearer = Redacted.make("t")
      yield* make({ url: "https://workers.example/", auth: { bearer } })
      yield* make({ url: "http://127.0.0.1:8080/", auth: { bearer } })
      yield* make({ url: "http://workers.example/", auth: { secret: bearer } })
      assert.deepStrictEqual(messages, [])
      yield* make({ url: "http://workers.example/", auth: { bearer } })
      assert.match(JSON.stringify(messages), /authorization of requests to http:\/\/workers.example\/.*use https/)
    })
  )
})

describe("a worker that sends events", () => {
  it.live("is told of as it goes on: who it is, that it lives, frames, lines; then its result", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.make({
        respond: ({ begin, finish, send }) => {
          begin()
          send({ event: "heartbeat", workerId: "host/1" })
          send({ event: "log", stream: "stdout", text: "one" })
          send({ event: "progress", frames: 4 })
          send({ event: "heartbeat", workerId: "host/1" })
          // What it prints there was not told yet.
          const result = { exitCode: 0, stdout: "one\n", stderr: "two\n", durationMs: 5 }
          finish({ _tag: "Result", protocol: 1, result })
        }
      })
      const { result, signals } = yield* run({ url })
      assert.deepStrictEqual(Result.getOrThrow(result), {
        exitCode: 0,
        stdout: "one\n",
        stderr: "two\n",
        durationMs: 5,
        workerId: "host/1"
      })
      assert.deepStrictEqual(signals, [
        { _tag: "Assigned", workerId: "host/1" },
        { _tag: "Heartbeat" },
        { _tag: "Line", stream: "stdout", text: "one" },
        { _tag: "Frames", done: 4 },
        { _tag: "Heartbeat" },
        { _tag: "Line", stream: "stderr", text: "two" }
      ])
    })
  )

  it.live("is heard before it has ended", () =>
    Effect.gen(function* () {
      let finish = () => {}
      const { url } = yield* FakeWorker.make({
        respond: (exchange) => {
          exchange.begin()
          exchange.send({ event: "heartbeat", workerId: "host/1" })
          finish = () => exchange.finish(cancelled)
        }
      })
      const adapter = yield* HttpWorkerAdapter.make({ url })
      const signals: Array<WorkerAdapter.WorkerSignal> = []
      const fiber = yield* Effect.forkScoped(Effect.flip(adapter.execute(attempt(), (told) => signals.push(told))))
      yield* until(() => signals.length === 2)
      assert.isUndefined(fiber.pollUnsafe())
      finish()
      assert.strictEqual((yield* Fiber.join(fiber)).workerId, "host/1")
    })
  )

  it.live("may be cut into packets anywhere, end lines as it likes, and say what nobody knows", () =>
    Effect.gen(function* () {
      const lines = [
        '{"event":"heartbeat","workerId":"naïve-🎬"}\r\n',
        "\n",
        '{"event":"thermals","celsius":[91,{"event":"result"}]}\n',
        '{"event":"log","stream":"stdout","text":"a\\nb {\\"event\\":\\"result\\"}"}\n',
        JSON.stringify({ event: "result", reply: cancelled })
      ]
      const { url } = yield* FakeWorker.make({
        respond: ({ begin, response }) => {
          begin()
          response.socket?.setNoDelay(true)
          const bytes = [...Buffer.from(lines.join(""))]
          const next = () => {
            const byte = bytes.shift()
            if (byte === undefined) return void response.end()
            response.write(Uint8Array.of(byte), () => setImmediate(next))
          }
          next()
        }
      })
      const ended = yield* run({ url })
      assert.strictEqual(failureOf(ended).workerId, "naïve-🎬")
      assert.deepStrictEqual(ended.signals, [
        { _tag: "Assigned", workerId: "naïve-🎬" },
        { _tag: "Heartbeat" },
        { _tag: "Line", stream: "stdout", text: 'a\nb {"event":"result"}' }
      ])
    })
  )

  it.live("does not take progress back, nor beyond the chunk", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make()
      worker.jobs.set(jobFile, "frames 3,1,3,7,99,100,-4")
      const { signals } = yield* run(worker)
      assert.deepStrictEqual(
        signals.flatMap((signal) => (signal._tag === "Frames" ? [signal.done] : [])),
        [3, 7, 10]
      )
    })
  )

  it.live("is not waited for after its result, whatever it says and however it ends then", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.make({
        respond: ({ begin, response, send }) => {
          begin()
          send({ event: "result", reply: cancelled })
          response.write('<html>\n{"event":"progress","frames":3}\n')
        }
      })
      const { result, signals } = yield* run({ url })
      assert.strictEqual(failureOf({ result }).reason._tag, "WorkerLost")
      assert.match(failureOf({ result }).message, /told it to stop/)
      assert.deepStrictEqual(signals, [])
    })
  )

  it.live("uses its connection again", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make()
      const adapter = yield* HttpWorkerAdapter.make(worker)
      for (let times = 0; times < 5; times++) yield* adapter.execute(attempt(), () => {})
      assert.strictEqual(worker.connections(), 1)
    })
  )

  const broken: ReadonlyArray<
    readonly [how: string, respond: (exchange: FakeWorker.Exchange) => void, tag: string, message: RegExp]
  > = [
    ["ends without a result", ({ response }) => response.end(), "WorkerLost", /after 1 events, without a result/],
    [
      "is cut off in a line",
      ({ response }) => response.end('{"event":"log","stream":"stdout","te'),
      "Transport",
      /no event, after 1 events; the last that it sent: [^]*"stream":"stdout","te$/
    ],
    [
      "breaks its connection",
      ({ response }) => {
        response.write('{"event":"progress","frames":3}\n', () => response.socket?.resetAndDestroy())
      },
      "Transport",
      /connection to .*\/render broke after [12] events/
    ],
    ["sends a page", ({ response }) => response.end("<html>busy</html>"), "Transport", /<html>busy<\/html>/],
    ["sends what is no text", ({ response }) => response.end(Uint8Array.of(0xff, 0xfe, 10)), "Transport", /no event/],
    ["sends JSON that is no event", ({ response }) => response.end('{"done":true}\n'), "Refused", /{"done":true}/],
    [
      "has a result of another version",
      ({ response }) => response.end('{"event":"result","reply":{"_tag":"Cancelled","protocol":2}}\n'),
      "Refused",
      /@helios-infra\/worker-runtime, in the version of this package/
    ],
    [
      "sends a line without an end",
      ({ response }) => {
        const part = Buffer.alloc(1024 * 1024, "x")
        const more = () => void (response.destroyed || response.write(part, more))
        more()
      },
      "Refused",
      /a line of more than 8388608 bytes/
    ]
  ]
  for (const [how, respond, tag, message] of broken) {
    it.live(`${how}: that is an error that says what was seen`, () =>
      Effect.gen(function* () {
        const { url } = yield* FakeWorker.make({
          respond: (exchange) => {
            exchange.begin()
            exchange.send({ event: "heartbeat", workerId: "host/1" })
            respond(exchange)
          }
        })
        const { reason, workerId } = failureOf(yield* run({ url }))
        assert.strictEqual(reason._tag, tag)
        assert.match(reason.message, message)
        assert.strictEqual(workerId, "host/1")
      })
    )
  }

  it.live("and is silent too long is given up", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make({
        respond: ({ begin, send }) => {
          begin()
          send({ event: "heartbeat", workerId: "host/1" })
        }
      })
      const { reason, workerId } = failureOf(yield* run({ ...worker, idleTimeout: "200 millis" }))
      assert.strictEqual(reason._tag, "Transport")
      assert.match(reason.message, /was silent for 200ms.*raise idleTimeout/)
      assert.strictEqual(workerId, "host/1")
      yield* until(() => worker.connections() === 0)
    })
  )

  it.live("and beats is not, however long it takes", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.make({
        respond: ({ begin, finish, send }) => {
          begin()
          let beats = 0
          const beating = setInterval(() => {
            send({ event: "heartbeat" })
            beats += 1
            if (beats < 200) return
            clearInterval(beating)
            finish(cancelled)
          }, 10)
        }
      })
      const { reason } = failureOf(yield* run({ url, idleTimeout: "1500 millis" }))
      assert.match(reason.message, /told it to stop/)
    })
  )
})

describe("a worker that answers in the end", () => {
  it.live("gives its result in one piece, with what it printed", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make({ events: false })
      worker.jobs.set(jobFile, "print 10 the last line")
      const { result, signals } = yield* run(worker)
      assert.deepInclude(Result.getOrThrow(result), { exitCode: 0, workerId: "worker-1" })
      assert.deepStrictEqual(
        signals.map(({ _tag }) => _tag),
        ["Assigned", "Line", "Line"]
      )
    })
  )

  it.live("can be silent longer than one that sends events, and need not say who it is", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.make({
        respond: (exchange) => void setTimeout(() => FakeWorker.succeed(exchange), 500)
      })
      const { result, signals } = yield* run({ url, idleTimeout: "100 millis" })
      assert.notProperty(Result.getOrThrow(result), "workerId")
      assert.deepStrictEqual(signals, [])
    })
  )

  it.live("and says what is no answer is told apart: lost on the way, or no worker", () =>
    Effect.gen(function* () {
      const answered = Effect.fnUntraced(function* (body: string) {
        const { url } = yield* FakeWorker.make({ respond: ({ response }) => void response.end(body) })
        return failureOf(yield* run({ url })).reason
      })
      for (const body of ["", "<html>sign in</html>", '{"_tag":"Canc']) {
        const reason = yield* answered(body)
        assert.strictEqual(reason._tag, "Transport")
        assert.include(reason.message, body === "" ? "empty" : body)
      }
      const reason = yield* answered('{"ok":true}')
      assert.include(reason, { _tag: "Refused", why: "Unsupported" })
      assert.match(reason.message, /does not answer as a worker does.*{"ok":true}/)
    })
  )

  it.live("is not read beyond what an answer can be", () =>
    Effect.gen(function* () {
      let written = 0
      const { url } = yield* FakeWorker.make({
        respond: ({ response }) => {
          const part = Buffer.alloc(1024 * 1024, " ")
          const more = () => {
            written += 1
            if (!response.destroyed && written < 200) response.write(part, more)
          }
          more()
        }
      })
      const { reason } = failureOf(yield* run({ url }))
      assert.include(reason, { _tag: "Refused", why: "TooLarge" })
      assert.isBelow(written, 100)
    })
  )
})

describe("an answer with another status", () => {
  const refused = Effect.fnUntraced(function* (
    refusal: FakeWorker.Refusal,
    options: Partial<HttpWorkerAdapter.Options> = {}
  ) {
    const { requests, url } = yield* FakeWorker.make({ guard: () => refusal })
    const error = failureOf(yield* run({ url, ...options }))
    // Nobody tries again but the scheduler.
    assert.strictEqual(requests.length, 1)
    return error.reason
  })

  const statuses: ReadonlyArray<readonly [status: number, expected: object]> = [
    [400, { _tag: "Refused", why: "InvalidJob" }],
    [401, { _tag: "Refused", why: "Unauthorized" }],
    [403, { _tag: "Refused", why: "Unauthorized" }],
    [404, { _tag: "Refused", why: "NotFound" }],
    [405, { _tag: "Refused", why: "Unsupported" }],
    [408, { _tag: "Transport" }],
    [413, { _tag: "Refused", why: "TooLarge" }],
    [415, { _tag: "Refused", why: "Unsupported" }],
    [422, { _tag: "Refused", why: "InvalidJob" }],
    [500, { _tag: "WorkerLost" }],
    [502, { _tag: "Transport" }],
    [504, { _tag: "TimedOut", limit: "platform" }],
    [520, { _tag: "Transport" }],
    [524, { _tag: "TimedOut", limit: "platform" }]
  ]
  for (const [status, expected] of statuses) {
    it.live(`${status} has its reason, with the server's words`, () =>
      Effect.gen(function* () {
        const reason = yield* refused({ status, body: "as the server says" })
        assert.include(reason, expected)
        if (reason._tag !== "TimedOut") {
          assert.match(reason.message, new RegExp(`/render answered ${status}: as the server says`))
        }
      })
    )
  }

  it.live("429 or 503 says how long to wait, in seconds or until a date", () =>
    Effect.gen(function* () {
      for (const status of [429, 503]) {
        const throttled = (retryAfter?: string) =>
          refused({ status, headers: retryAfter === undefined ? {} : { "retry-after": retryAfter } })
        assert.deepInclude({ ...(yield* throttled("3")) }, { _tag: "Throttled", retryAfterMs: 3000 })
        assert.notProperty(yield* throttled(), "retryAfterMs")
        assert.notProperty(yield* throttled("soon"), "retryAfterMs")
        const reason = yield* throttled(new Date(Date.now() + 60_000).toUTCString())
        const wait = reason._tag === "Throttled" ? (reason.retryAfterMs ?? 0) : 0
        assert.isAbove(wait, 50_000)
        assert.isAtMost(wait, 60_000)
        const past = yield* throttled(new Date(Date.now() - 60_000).toUTCString())
        assert.deepInclude({ ...past }, { retryAfterMs: 0 })
        // Longer than any time.
        assert.deepInclude({ ...(yield* throttled("9".repeat(20))) }, { retryAfterMs: Number.MAX_SAFE_INTEGER })
      }
    })
  )

  it.live("3xx is not followed: credentials would go there too", () =>
    Effect.gen(function* () {
      const elsewhere = yield* FakeWorker.make({ respond: FakeWorker.succeed })
      for (const status of [301, 302, 307, 308]) {
        const location = `${elsewhere.url}?token=secret`
        const reason = yield* refused({ status, headers: { location } }, { auth: { bearer: Redacted.make("t") } })
        assert.include(reason, { _tag: "Refused", why: "NotFound" })
        assert.include(reason.message, `redirects to ${elsewhere.url}, `)
        assert.notInclude(reason.message, "secret")
      }
      assert.deepStrictEqual(elsewhere.requests, [])
    })
  )

  it.live("is what the worker says, where its body is the worker's error; of credentials it says nothing", () =>
    Effect.gen(function* () {
      const error = new WorkerError.WorkerError({
        adapter: "worker",
        jobId: "other",
        attempt: 99,
        workerId: "host/1",
        reason: new WorkerError.TimedOut({ limit: "attempt", afterMs: 5 })
      })
      const reply = yield* WorkerProtocol.encodeReply({ _tag: "Error", protocol: 1, error })
      const body = JSON.stringify(reply)
      for (const status of [400, 422, 500, 503]) {
        assert.deepInclude(
          { ...(yield* refused({ status, body })) },
          { _tag: "TimedOut", limit: "attempt", afterMs: 5 }
        )
      }
      for (const status of [401, 403]) {
        const reason = yield* refused({ status, body })
        assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
        assert.match(reason.message, /: stopped after 5 ms/)
      }
    })
  )

  it.live("or a connection that breaks is the platform's limit, once that is reached", () =>
    Effect.gen(function* () {
      const late = Effect.fnUntraced(function* (end: (exchange: FakeWorker.Exchange) => void, maxDuration: string) {
        const { url } = yield* FakeWorker.make({ respond: (exchange) => void setTimeout(() => end(exchange), 300) })
        return failureOf(yield* run({ url, maxDuration: maxDuration === "short" ? "200 millis" : "1 hour" })).reason
      })
      const proxy = ({ response }: FakeWorker.Exchange) => void response.writeHead(502).end()
      const broken = ({ response }: FakeWorker.Exchange) => void response.socket?.destroy()
      const ended = (exchange: FakeWorker.Exchange) => {
        exchange.begin()
        exchange.response.end()
      }
      for (const end of [proxy, broken, ended]) {
        assert.include(yield* late(end, "short"), { _tag: "TimedOut", limit: "platform" })
        assert.notInclude(yield* late(end, "long"), { _tag: "TimedOut" })
      }
    })
  )

  it.live("is not waited for when its body never ends", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.make({
        respond: ({ response }) => void response.writeHead(500).write("half of")
      })
      const { reason } = failureOf(yield* run({ url, idleTimeout: "100 millis" }))
      assert.strictEqual(reason._tag, "WorkerLost")
    })
  )
})

describe("an attempt that is interrupted", () => {
  const begin = Effect.fnUntraced(function* (options: HttpWorkerAdapter.Options) {
    const adapter = yield* HttpWorkerAdapter.make(options)
    const signals: Array<WorkerAdapter.WorkerSignal> = []
    const fiber = yield* Effect.forkScoped(adapter.execute(attempt(), (told) => signals.push(told)))
    return { adapter, fiber, signals }
  })

  it.live("hangs up at once, and a worker that sends events stops", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make()
      worker.jobs.set(jobFile, "hang")
      const { fiber, signals } = yield* begin(worker)
      yield* until(() => signals.some(({ _tag }) => _tag === "Heartbeat"))
      assert.strictEqual(worker.running(), 1)
      yield* Fiber.interrupt(fiber)
      yield* until(() => worker.running() === 0 && worker.connections() === 0)
      assert.notInclude(
        signals.map(({ _tag }) => _tag),
        "NotStopped"
      )
    })
  )

  it.live("says what may run on, where the worker was never seen to send events", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make({ events: false })
      worker.jobs.set(jobFile, "hang")
      const { fiber, signals } = yield* begin(worker)
      yield* until(() => worker.running() === 1)
      yield* Fiber.interrupt(fiber)
      const [told, ...others] = signals
      assert.deepStrictEqual(others, [])
      assert.match(
        told?._tag === "NotStopped" ? told.detail : "",
        /^job-a\/7\/1\.2 may run on at http:\/\/127\.0\.0\.1:\d+\/render: /
      )
      yield* until(() => worker.connections() === 0)
    })
  )

  it.live("says nothing before it is answered by a worker that sent events before", () =>
    Effect.gen(function* () {
      let waits = false
      const worker = yield* FakeWorker.make({
        respond: (exchange) => {
          if (waits) return
          exchange.begin()
          exchange.finish(cancelled)
        }
      })
      const adapter = yield* HttpWorkerAdapter.make(worker)
      yield* Effect.flip(adapter.execute(attempt(), () => {}))
      waits = true
      const signals: Array<WorkerAdapter.WorkerSignal> = []
      const fiber = yield* Effect.forkScoped(adapter.execute(attempt(), (told) => signals.push(told)))
      yield* until(() => worker.requests.length === 2)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(signals, [])
    })
  )
})

describe("options", () => {
  it("say how many attempts suit the worker, and how long they can take", () => {
    const { name, stop, where, ...more } = HttpWorkerAdapter.info({})
    assert.deepStrictEqual({ name, stop, where }, { name: "http", stop: "best-effort", where: "remote" })
    assert.deepStrictEqual(more, { concurrency: 10 })
    assert.deepInclude(HttpWorkerAdapter.info({ concurrency: 500 }), { concurrency: 500 })
    assert.deepInclude(HttpWorkerAdapter.info({ maxConcurrency: 4 }), { concurrency: 4, maxConcurrency: 4 })
    assert.deepInclude(HttpWorkerAdapter.info({ maxDuration: "1 hour", name: "farm" }), {
      maxDuration: "1 hour",
      name: "farm"
    })
  })

  it.live("can come from Config, the secret ones redacted", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make({ respond: FakeWorker.succeed })
      const workers = HttpWorkerAdapter.layerConfig({
        url: Config.String("URL"),
        auth: { bearer: Config.Redacted("TOKEN") },
        idleTimeout: Config.Duration("IDLE"),
        concurrency: Config.Int("CONCURRENCY").pipe(Config.withDefault(30))
      })
      const provider = ConfigProvider.fromUnknown({ URL: worker.url, TOKEN: "the token", IDLE: "1 minute" })
      const result = yield* WorkerAdapter.WorkerAdapter.use((adapter) =>
        Effect.map(
          adapter.execute(attempt(), () => {}),
          ({ exitCode }) => ({ exitCode, concurrency: adapter.info.concurrency })
        )
      ).pipe(Effect.provide(workers.pipe(Layer.provide(ConfigProvider.layer(provider)))))
      assert.deepStrictEqual(result, { exitCode: 0, concurrency: 30 })
      assert.strictEqual(worker.requests[0]?.headers.authorization, "Bearer the token")
    })
  )

  it.live("close what they opened with the scope, also what waits for an answer", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make({ respond: FakeWorker.hang })
      const scope = yield* Scope.make()
      const adapter = yield* HttpWorkerAdapter.make(worker).pipe(Scope.provide(scope))
      const fiber = yield* Effect.forkScoped(Effect.flip(adapter.execute(attempt(), () => {})))
      yield* until(() => worker.requests.length === 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Transport")
    })
  )
})
