import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import * as FakeArtifactStorage from "@helios-infra/testkit/FakeArtifactStorage"
import type { WorkerReply } from "@helios-infra/core/WorkerProtocol"
import { Clock, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as Rig from "./Rig.ts"
import * as ServerRig from "./ServerRig.ts"

const reasonOf = (reply: WorkerReply) => {
  assert(reply._tag === "Error", `it answered with ${reply._tag}`)
  return reply.error.reason
}

/** Begins to ask, and goes on when the command runs. */
const asking = Effect.fnUntraced(function* (
  server: { readonly url: string; readonly leftovers: () => ReadonlyArray<string> },
  headers: Readonly<Record<string, string>> = ServerRig.headers
) {
  const fiber = yield* Effect.forkChild(ServerRig.call(server.url, { body: JSON.stringify(ServerRig.chunk), headers }))
  yield* Rig.waitFor(
    Effect.sync(() => server.leftovers().length > 0),
    "the command"
  )
  return fiber
})

describe("a request for a chunk", () => {
  it.live("is answered with what became of it, at both paths", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ workerId: "w-1" })
      server.store(`printf movie > "$1"`)
      for (const path of ["/", "/render", "/render?x=1"]) {
        const { headers, reply, status } = yield* ServerRig.ask(server.url, ServerRig.chunk, ServerRig.headers, path)
        assert.strictEqual(status, 200)
        assert.strictEqual(headers["content-type"], "application/json")
        assert.strictEqual(headers["cache-control"], "no-store")
        assert(reply._tag === "Result", JSON.stringify(reply))
        assert.strictEqual(reply.result.workerId, "w-1")
        assert.strictEqual(reply.result.output?.sha256, Rig.sha256("movie"))
      }
      assert.deepStrictEqual(server.leftovers(), [])
    })
  )

  it.live("that fails is answered all the same, with its exit code and what it printed", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ name: "w" })
      server.store("echo broken >&2; exit 7")
      const { reply, status } = yield* ServerRig.ask(server.url)
      assert.strictEqual(status, 200)
      assert(reply._tag === "Error")
      assert.deepInclude(reply.error, { adapter: "w", jobId: "film", chunkId: 3, attempt: 2 })
      assert.deepInclude(reasonOf(reply), { _tag: "RenderFailed", exitCode: 7, stderrTail: "broken\n" })
    })
  )

  it.live("may have fields that are not known, and names that objects have already", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      server.store(`printf movie > "$1"`)
      const body = `{"jobPath":"artifact:jobs/film/job.json","chunkIndex":3,"next":{"a":[]},"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}`
      const { status, text } = yield* ServerRig.call(server.url, { body, headers: ServerRig.headers })
      assert.strictEqual(status, 200, text)
      assert.strictEqual((yield* ServerRig.replyIn(text))._tag, "Result")
      assert.notProperty({}, "admin")
    })
  )

  it.live("may be sent with fetch, in pieces, and with a question whether to send it", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      server.store(`printf movie > "$1"`)
      const body = JSON.stringify(ServerRig.chunk)
      const fetched = yield* Effect.promise(() =>
        fetch(server.url, { method: "POST", body, headers: ServerRig.headers }).then((response) => response.text())
      )
      assert.strictEqual((yield* ServerRig.replyIn(fetched))._tag, "Result")

      const pieces = yield* ServerRig.connection(server.port)
      const { "content-type": type, authorization } = ServerRig.headers
      pieces.send(
        `POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-type: ${type}\r\nauthorization: ${authorization}\r\n\r\n`
      )
      for (const letter of body) pieces.send(`1\r\n${letter}\r\n`)
      pieces.send("0\r\n\r\n")
      yield* Rig.waitFor(
        Effect.sync(() => pieces.text().includes(`"Result"`)),
        "the answer"
      )

      const polite = yield* ServerRig.connection(server.port)
      const [head = ""] = ServerRig.requestText(body, { ...ServerRig.headers, expect: "100-continue" }).split("{", 1)
      polite.send(head)
      yield* Rig.waitFor(
        Effect.sync(() => polite.text().startsWith("HTTP/1.1 100")),
        "the word to go on"
      )
      polite.send(body)
      yield* Rig.waitFor(
        Effect.sync(() => polite.text().includes(`"Result"`)),
        "the answer"
      )
    })
  )
})

describe("a stream of events", () => {
  it.live("begins with who renders, tells what is printed and done, and ends with the answer", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ workerId: "w-1" })
      server.store(`echo frame=5; echo careful >&2; sleep 0.1; echo frame=9; printf movie > "$1"`)
      const { headers, status, text } = yield* ServerRig.call(server.url, {
        body: JSON.stringify(ServerRig.chunk),
        headers: { ...ServerRig.headers, accept: "application/json;q=0.5, application/x-ndjson" }
      })
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "application/x-ndjson")
      const events = yield* ServerRig.eventsIn(text)
      assert.deepStrictEqual(events[0], { event: "heartbeat", workerId: "w-1" })
      assert.deepInclude(events, { event: "log", stream: "stdout", text: "frame=5" })
      assert.deepInclude(events, { event: "log", stream: "stderr", text: "careful" })
      assert.deepInclude(events, { event: "progress", frames: 9 })
      const last = events.at(-1)
      assert(last?.event === "result")
      assert.strictEqual(last.reply._tag, "Result")
      assert.lengthOf(
        events.filter(({ event }) => event === "result"),
        1
      )
    })
  )

  it.live("says that it is alive as often as it was told to, also while the command prints nothing or a lot", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ heartbeat: "50 millis" })
      for (const work of ["sleep 0.5", "for i in 1 2 3 4 5; do seq 1 2000; sleep 0.1; done"]) {
        server.store(`${work}; printf movie > "$1"`)
        const { text } = yield* ServerRig.call(server.url, {
          body: JSON.stringify(ServerRig.chunk),
          headers: ServerRig.streaming
        })
        const events = yield* ServerRig.eventsIn(text)
        const beats = events.filter(({ event }) => event === "heartbeat")
        assert.isAtLeast(beats.length, 5)
        assert.isAtMost(beats.length, 60)
      }
    })
  )

  it.live("is for those who accept it; others get one answer", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      server.store(`printf movie > "$1"`)
      for (const accept of ["*/*", "application/json", "application/x-ndjson;q=0", "x-ndjson"]) {
        const { headers } = yield* ServerRig.ask(server.url, ServerRig.chunk, { ...ServerRig.headers, accept })
        assert.strictEqual(headers["content-type"], "application/json", accept)
      }
    })
  )

  it.live("does not grow because nobody reads it, holds up nobody, and says how much is left out", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ logBytes: 1000 })
      const done = `${server.dir}/done`
      // 40 MiB of lines.
      server.store(`head -c 41943040 /dev/zero | tr "\\\\0" x | fold -w 4000; printf movie > "$1"; touch ${done}`)
      const client = yield* ServerRig.connection(server.port)
      client.socket.pause()
      const before = yield* ServerRig.held
      client.send(ServerRig.requestText(JSON.stringify(ServerRig.chunk), ServerRig.streaming))
      yield* Rig.waitFor(Rig.exists(done), "the end of the command")
      assert.isBelow((yield* ServerRig.held) - before, 20 * 2 ** 20)
      client.socket.resume()
      yield* Rig.waitFor(
        Effect.sync(() => client.text().includes(`"event":"result"`)),
        "the answer"
      )
      assert.match(client.text(), /\[\d+ lines are left out here/)
      assert.isBelow(client.text().length, 20 * 2 ** 20)
    })
  )

  it.live("ends, and its command with it, where the client leaves it unread for too long", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ heartbeat: "100 millis", sendTimeout: "300 millis" })
      server.store('yes $(head -c 4000 /dev/zero | tr "\\\\0" x)')
      const client = yield* ServerRig.connection(server.port)
      client.socket.pause()
      client.send(ServerRig.requestText(JSON.stringify(ServerRig.chunk), ServerRig.streaming))
      yield* Rig.waitFor(
        Effect.sync(() => server.leftovers().length > 0),
        "the command"
      )
      yield* Rig.waitFor(
        Effect.sync(() => server.leftovers().length === 0),
        "the end of the command"
      )
      // One that reads is not cut off, however long it takes.
      server.store(`sleep 1; printf movie > "$1"`)
      const reading = ServerRig.call(server.url, {
        body: JSON.stringify(ServerRig.chunk),
        headers: ServerRig.streaming
      })
      const { text } = yield* Effect.repeat(reading, { until: ({ status }) => status !== 429 })
      assert.include(text, `"event":"result"`)
    })
  )
})

describe("a client that goes away", () => {
  for (const [kind, headers] of [
    ["one answer", ServerRig.headers],
    ["events", ServerRig.streaming]
  ] as const) {
    it.live(`takes its command and all it started with it (${kind})`, () =>
      Effect.gen(function* () {
        const server = yield* ServerRig.serve()
        // A child, a grandchild, and one that ignores TERM in a session of its own.
        server.store(
          `sleep 601 & sh -c "sleep 602 & wait" & setsid sh -c "trap : TERM; while :; do sleep 1; done" & wait`
        )
        const fiber = yield* asking(server, headers)
        yield* Rig.waitFor(
          Effect.sync(() => server.leftovers().length >= 5),
          "all processes"
        )
        yield* Fiber.interrupt(fiber)
        yield* Rig.waitFor(
          Effect.sync(() => server.leftovers().length === 0),
          "the end of all processes"
        )
        // And there is room for the next one.
        server.store(`printf movie > "$1"`)
        const answer = yield* Effect.repeat(ServerRig.ask(server.url), { until: ({ status }) => status !== 429 })
        assert.strictEqual(answer.reply._tag, "Result")
      })
    )
  }

  it.live("cannot send the next request before the answer: nobody would see it go", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ concurrency: 2 })
      server.store("sleep 600")
      const client = yield* ServerRig.connection(server.port)
      client.send(ServerRig.requestText() + ServerRig.requestText())
      yield* Rig.waitFor(Effect.sync(client.closed), "the end of the connection")
      yield* Rig.waitFor(
        Effect.sync(() => server.leftovers().length === 0),
        "the end of all processes"
      )
    })
  )
})

describe("a server that has enough to do", () => {
  it.live("says so at once, before the body comes, and takes the next one when there is room", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      const go = `${server.dir}/go`
      server.store(`while ! [ -e ${go} ]; do sleep 0.02; done; printf movie > "$1"`)
      const first = yield* asking(server)
      for (const headers of [ServerRig.headers, ServerRig.streaming]) {
        const { headers: answered, reply, status } = yield* ServerRig.ask(server.url, ServerRig.chunk, headers)
        assert.strictEqual(status, 429)
        assert.strictEqual(answered["retry-after"], "1")
        assert.deepInclude(reasonOf(reply), { _tag: "Throttled", retryAfterMs: 1000 })
      }
      const client = yield* ServerRig.connection(server.port)
      client.send(ServerRig.requestText("", { ...ServerRig.headers, "content-length": "1000" }))
      yield* Rig.waitFor(
        Effect.sync(() => client.text().startsWith("HTTP/1.1 429")),
        "the answer"
      )
      yield* Rig.write(go, "")
      assert.strictEqual((yield* Fiber.join(first)).status, 200)
      assert.strictEqual((yield* ServerRig.ask(server.url)).status, 200)
    })
  )

  it.live("renders as many chunks at once as it was told to", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ concurrency: 2 })
      const go = `${server.dir}/go`
      server.store(`while ! [ -e ${go} ]; do sleep 0.02; done; printf movie > "$1"`)
      const statuses: Array<number> = []
      const asked = yield* Effect.forkChild(
        Effect.forEach(
          [1, 2, 3, 4, 5],
          () => Effect.map(ServerRig.ask(server.url), ({ status }) => statuses.push(status)),
          { concurrency: "unbounded" }
        )
      )
      yield* Rig.waitFor(
        Effect.sync(() => statuses.length === 3),
        "the answers for those that there is no room for"
      )
      yield* Rig.write(go, "")
      yield* Fiber.join(asked)
      assert.deepStrictEqual(statuses, [429, 429, 429, 200, 200])
    })
  )
})

describe("who may ask", () => {
  it.live("is whoever knows the secret or signs with it; others are told how, and nothing of them is run", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const server = yield* ServerRig.serve({}, lines)
      server.store(`printf movie > "$1"`)
      const body = JSON.stringify(ServerRig.chunk)
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const call = (headers: Readonly<Record<string, string>>) => ServerRig.call(server.url, { body, headers })
      const json = { "content-type": "application/json" }
      const strangers = [
        json,
        { ...json, authorization: "Bearer something else altogether" },
        ServerRig.signed(body, now, "something else altogether"),
        ServerRig.signed(body, now - 301),
        ServerRig.signed(`${body} `, now)
      ]
      for (const headers of strangers) {
        const answer = yield* call(headers)
        assert.strictEqual(answer.status, 401)
        assert.match(String(answer.headers["www-authenticate"]), /^Bearer /)
        assert.deepInclude(reasonOf(yield* ServerRig.replyIn(answer.text)), { _tag: "Refused", why: "Unauthorized" })
      }
      assert.deepStrictEqual(server.fake.calls, [])
      assert.strictEqual((yield* call(ServerRig.signed(body, now))).status, 200)
      assert.notInclude(lines.join(), ServerRig.secret)
      assert.notInclude(lines.join(), "something else")
    })
  )

  it.live("is not known while the keys of those who sign tokens do not come", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({
        auth: {
          type: "id-token",
          audience: "https://w.example",
          allowedAccounts: ["a@b.example"],
          jwksUrl: "http://127.0.0.1:1/certs"
        }
      })
      const none = yield* ServerRig.ask(server.url, ServerRig.chunk, { "content-type": "application/json" })
      assert.strictEqual(none.status, 401)
      const token = [{ alg: "RS256", kid: "k" }, {}].map((part) =>
        Buffer.from(JSON.stringify(part)).toString("base64url")
      )
      const authorization = `Bearer ${token.join(".")}.AAAA`
      const asked = yield* ServerRig.ask(server.url, ServerRig.chunk, { ...ServerRig.headers, authorization })
      assert.strictEqual(asked.status, 503)
      assert.strictEqual(reasonOf(asked.reply)._tag, "Transport")
    })
  )
})

describe("what is no request for a chunk", () => {
  it.live("is answered with a status and with what is wrong, and runs nothing", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ bodyBytes: 1000 })
      server.store("touch ran")
      const body = JSON.stringify(ServerRig.chunk)
      const { headers } = ServerRig
      const cases: ReadonlyArray<readonly [number, string, string, ServerRig.Call]> = [
        [404, "Refused", "/render", { path: "/x", body, headers }],
        [404, "Refused", "/render", { path: "//render", body, headers }],
        [404, "Refused", "/render", { path: "/render/", body, headers }],
        [405, "Refused", "POST", { method: "GET", headers }],
        [405, "Refused", "POST", { method: "PUT", body, headers }],
        [405, "Refused", "POST", { method: "OPTIONS", path: "/render" }],
        [405, "Refused", "GET", { method: "POST", path: "/health", body }],
        [401, "Refused", "Bearer", { body }],
        [415, "Refused", "application/json", { body, headers: { authorization: headers.authorization } }],
        [415, "Refused", "application/json", { body, headers: { ...headers, "content-type": "text/plain" } }],
        [415, "Refused", "UTF-8", { body, headers: { ...headers, "content-type": "application/json;charset=utf-16" } }],
        [415, "Refused", "application/json", { body, headers: { ...headers, "content-encoding": "gzip" } }],
        [413, "Refused", "1000 bytes", { body: `{"jobPath":"${"x".repeat(1000)}"}`, headers }],
        [
          413,
          "Refused",
          "1000 bytes",
          { body: `{"jobPath":"${"x".repeat(1000)}"}`, headers: { ...headers, "transfer-encoding": "chunked" } }
        ],
        ...["", "null", "[]", "5", `"x"`, "{}", "{", "\uFEFF{}", "[".repeat(900), `{"jobPath":{},"chunkIndex":[]}`].map(
          (body) => [400, "Refused", "jobPath", { body, headers }] as const
        ),
        [400, "Refused", "UTF-8", { body: Uint8Array.of(0x22, 0xff, 0xfe, 0x22), headers }]
      ]
      for (const [status, tag, fix, call] of cases) {
        const answer = yield* ServerRig.call(server.url, call)
        assert.strictEqual(answer.status, status, JSON.stringify(call))
        const reason = reasonOf(yield* ServerRig.replyIn(answer.text))
        assert.strictEqual(reason._tag, tag)
        assert.include(reason.message, fix)
        assert.isBelow(answer.text.length, 5000)
        if (status === 405) assert.isString(answer.headers.allow)
        if (status === 401) assert.include(answer.headers["www-authenticate"], "Bearer")
        assert.notInclude(answer.text, ServerRig.secret)
      }
      assert.deepStrictEqual(server.fake.calls, [])
      assert.deepStrictEqual(yield* Rig.filesIn(server.dir), [])
    })
  )

  it.live("may be nested as deeply as it fits, and as long", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      const deep = "[".repeat(500_000) + "]".repeat(500_000)
      const many = Array.from({ length: 50_000 }, (_, at) => `"k${at}":1`).join(",")
      for (const body of [
        deep,
        `{"jobPath":${deep},"chunkIndex":0}`,
        `{"jobPath":"x","chunkIndex":0,"env":{${many}}}`
      ]) {
        const { status, text } = yield* ServerRig.call(server.url, { body, headers: ServerRig.headers })
        assert.strictEqual(status, 400)
        assert.isBelow(text.length, 6000)
      }
    })
  )

  it.live("says for which chunk it was, as far as that can be told", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      const { reply } = yield* ServerRig.ask(server.url, { jobId: "film", chunkIndex: 3, attempt: 2, jobPath: 5 })
      assert(reply._tag === "Error")
      assert.deepInclude(reply.error, { jobId: "film", chunkId: 3, attempt: 2 })
    })
  )
})

describe("health and readiness", () => {
  it.live("need no secret and tell nothing; readiness waits for the runtime, and so do requests", () =>
    Effect.gen(function* () {
      const { fake, storage } = yield* FakeArtifactStorage.make()
      fake.store("jobs/film/job.json", JSON.stringify(Rig.job(`printf movie > "$1"`)))
      const open = yield* Deferred.make<void>()
      const slow = Layer.effect(ArtifactStorage, Effect.as(Deferred.await(open), storage))
      const lines: Array<string> = []
      const serving = yield* Effect.forkChild(ServerRig.serve({ storage: slow }, lines))
      yield* Rig.waitFor(
        Effect.sync(() => lines.length > 0),
        "the port"
      )
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(lines.join())?.[0] ?? ""
      const get = (path: string, method = "GET") => ServerRig.call(url, { path, method })
      for (const path of ["/health", "/healthz"]) {
        assert.deepInclude(yield* get(path), { status: 200, text: "ok\n" })
        assert.deepInclude(yield* get(path, "HEAD"), { status: 200, text: "" })
      }
      assert.deepInclude(yield* get("/ready"), { status: 503, text: "not ready\n" })
      const early = yield* ServerRig.connection(Number(new URL(url).port))
      early.send(ServerRig.requestText(JSON.stringify(ServerRig.chunk), ServerRig.streaming))
      yield* Rig.waitFor(
        Effect.sync(() => early.text().includes("heartbeat")),
        "a sign of life"
      )
      assert.strictEqual((yield* ServerRig.ask(url)).status, 429)
      yield* Deferred.succeed(open, undefined)
      yield* Rig.waitFor(
        Effect.sync(() => early.text().includes(`"Result"`)),
        "the answer"
      )
      yield* Fiber.join(serving)
      assert.deepInclude(yield* get("/ready"), { status: 200, text: "ok\n" })
    })
  )
})

describe("a server that is to end", () => {
  const closing = Effect.fnUntraced(function* (options: Parameters<typeof ServerRig.serve>[0]) {
    const scope = yield* Scope.make()
    const server = yield* Scope.provide(ServerRig.serve(options), scope)
    return { server, close: Scope.close(scope, Exit.void) }
  })

  it.live("takes nothing more, and lets what runs come to its end", () =>
    Effect.gen(function* () {
      const { close, server } = yield* closing({ drainTimeout: "20 seconds" })
      const go = `${yield* Rig.folder}/go`
      server.store(`while ! [ -e ${go} ]; do sleep 0.02; done; printf movie > "$1"`)
      const first = yield* asking(server)
      const idle = yield* ServerRig.connection(server.port)
      const ended = yield* Effect.forkChild(close)
      yield* Rig.waitFor(
        Effect.map(ServerRig.call(server.url, { path: "/ready" }), ({ status }) => status === 503),
        "the word that it ends"
      )
      const { headers, reply, status } = yield* ServerRig.ask(server.url)
      assert.strictEqual(status, 503)
      assert.strictEqual(headers["retry-after"], "1")
      assert.strictEqual(headers.connection, "close")
      assert.strictEqual(reasonOf(reply)._tag, "Throttled")
      yield* Rig.write(go, "")
      assert.strictEqual((yield* ServerRig.replyIn((yield* Fiber.join(first)).text))._tag, "Result")
      yield* Fiber.join(ended)
      yield* Rig.waitFor(Effect.sync(idle.closed), "the end of all connections")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ServerRig.call(server.url, { path: "/health" }))))
    })
  )

  it.live("stops what takes too long, and says so for it to be rendered elsewhere", () =>
    Effect.gen(function* () {
      for (const headers of [ServerRig.headers, ServerRig.streaming]) {
        const { close, server } = yield* closing({ drainTimeout: "200 millis", workerId: "w-1" })
        server.store(`sleep 601 & trap : TERM; while :; do sleep 602; done`)
        const first = yield* asking(server, headers)
        yield* close
        assert.deepStrictEqual(server.leftovers(), [])
        const { status, text } = yield* Fiber.join(first)
        assert.strictEqual(status, 200)
        const reply = yield* headers === ServerRig.headers ? ServerRig.replyIn(text) : ServerRig.lastIn(text)
        assert(reply._tag === "Error")
        assert.deepInclude(reply.error, { jobId: "film", chunkId: 3, attempt: 2, workerId: "w-1" })
        assert.deepInclude(reasonOf(reply), { _tag: "WorkerLost", detail: "the instance was shut down" })
      }
    })
  )

  it.live("is over at once where nothing runs, whoever is connected", () =>
    Effect.gen(function* () {
      const { close, server } = yield* closing({ drainTimeout: "20 seconds" })
      const idle = yield* ServerRig.connection(server.port)
      idle.send("POST / HTTP/1.1\r\n")
      yield* ServerRig.call(server.url, { path: "/health" })
      yield* Effect.timeout(close, "5 seconds")
      yield* Rig.waitFor(Effect.sync(idle.closed), "the end of all connections")
    })
  )
})

describe("where a server listens", () => {
  it.live("is said, and why it cannot", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      assert.strictEqual(server.url, `http://127.0.0.1:${server.port}`)
      const taken = yield* Effect.flip(ServerRig.serve({ port: server.port }))
      assert.strictEqual(taken._tag, "ListenError")
      assert.include(taken.message, `127.0.0.1 port ${server.port}`)
      assert.strictEqual((yield* Effect.flip(ServerRig.serve({ port: 70_000 })))._tag, "ListenError")
      const everywhere = yield* ServerRig.serve({ host: "0.0.0.0" })
      assert.strictEqual(everywhere.url, `http://localhost:${everywhere.port}`)
    })
  )

  it.live("is this machine only, where nobody is asked who he is", () =>
    Effect.gen(function* () {
      for (const host of ["0.0.0.0", "::", "10.0.0.1", "example.com"]) {
        const error = yield* Effect.flip(ServerRig.serve({ auth: { type: "none" }, host }))
        assert.strictEqual(error._tag, "InvalidAuth", error.message)
      }
      const server = yield* ServerRig.serve({ auth: { type: "none" }, host: "localhost" })
      server.store(`printf movie > "$1"`)
      const json = { "content-type": "application/json" }
      assert.strictEqual((yield* ServerRig.ask(server.url, ServerRig.chunk, json)).status, 200)
      // A page whose name leads to this machine.
      const rebound = yield* ServerRig.ask(server.url, ServerRig.chunk, { ...json, host: "evil.example:8080" })
      assert.strictEqual(rebound.status, 403)
      const open = yield* ServerRig.serve({ auth: { type: "none", anywhere: true }, host: "0.0.0.0" })
      open.store(`printf movie > "$1"`)
      assert.strictEqual((yield* ServerRig.ask(open.url, ServerRig.chunk, { ...json, host: "w.example" })).status, 200)
    })
  )

  it.live("is let go of where the runtime cannot be made", () =>
    Effect.gen(function* () {
      const failing = Effect.scoped(ServerRig.serve({ sources: ["ftp://x"] }))
      assert.strictEqual((yield* Effect.flip(failing))._tag, "InvalidSource")
    })
  )
})
