import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import type { WorkerError } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Predicate } from "effect"
import { HttpClient } from "effect/http"
import * as diagnostics from "node:diagnostics_channel"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as net from "node:net"
import * as path from "node:path"
import { attempt, failureOf, run, until } from "../Attempts.ts"
import * as FakeWorker from "../FakeWorker.ts"

const cancelled = { _tag: "Cancelled", protocol: 1 } as const

/** Lets undici believe that so much time has passed: it has a clock for its limits that can be put forward. */
const pass = (hours: number) => {
  const fromPlatform = createRequire(createRequire(import.meta.url).resolve("@effect/platform-node/package.json"))
  const timers: unknown = fromPlatform("undici/lib/util/timers.js")
  if (!Predicate.hasProperty(timers, "tick") || !Predicate.isFunction(timers.tick)) return assert.fail("no such clock")
  // The first one lets timers begin that were set since the last.
  Reflect.apply(timers.tick, timers, [0])
  Reflect.apply(timers.tick, timers, [hours * 3_600_000])
}

const execute = Effect.fnUntraced(function* (options: HttpWorkerAdapter.Options) {
  const adapter = yield* HttpWorkerAdapter.make(options)
  return yield* Effect.flip(adapter.execute(attempt(), () => {}))
})

describe("a connection", () => {
  it.live("waits for an answer however long that takes, and for the rest of it", () =>
    Effect.gen(function* () {
      let finish = () => {}
      const worker = yield* FakeWorker.make({ respond: (exchange) => (finish = () => exchange.finish(cancelled)) })
      const fiber = yield* Effect.forkScoped(execute(worker))
      yield* until(() => worker.requests.length === 1)
      pass(100)
      // One round trip, in which a limit would have been noticed.
      yield* Effect.promise(() => fetch(worker.origin))
      assert.isUndefined(fiber.pollUnsafe())
      finish()
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "WorkerLost")

      let rest = () => {}
      const slow = yield* FakeWorker.make({
        respond: ({ response }) => {
          response.writeHead(200, { "content-type": "application/json" }).write('{"_tag":"Cancelled",')
          rest = () => response.end('"protocol":1}')
        }
      })
      const reading = yield* Effect.forkScoped(execute(slow))
      yield* until(() => slow.requests.length === 1)
      yield* Effect.promise(() => fetch(slow.origin))
      pass(100)
      yield* Effect.promise(() => fetch(slow.origin))
      assert.isUndefined(reading.pollUnsafe())
      rest()
      assert.strictEqual((yield* Fiber.join(reading)).reason._tag, "WorkerLost")
    })
  )

  it.live("would not, with the client as it comes: what the test above sees can happen", () =>
    Effect.gen(function* () {
      const worker = yield* FakeWorker.make({ respond: FakeWorker.hang })
      const client = yield* HttpClient.HttpClient
      const fiber = yield* Effect.forkScoped(execute({ url: worker.url, client }))
      yield* until(() => worker.requests.length === 1)
      pass(2)
      assert.match((yield* Fiber.join(fiber)).message, /Headers Timeout/)
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("is asked for without limits", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const watch = (message: unknown) => seen.push(message)
      yield* Effect.acquireRelease(
        Effect.sync(() => diagnostics.subscribe("undici:request:create", watch)),
        () => Effect.sync(() => diagnostics.unsubscribe("undici:request:create", watch))
      )
      const { url } = yield* FakeWorker.make({ respond: FakeWorker.succeed })
      yield* run({ url })
      assert.strictEqual(seen.length, 1)
      assert.nestedPropertyVal(seen, "[0].request.headersTimeout", 0)
      assert.nestedPropertyVal(seen, "[0].request.bodyTimeout", 0)
    })
  )

  it.live("is there for every attempt", () =>
    Effect.gen(function* () {
      const waiting: Array<FakeWorker.Exchange> = []
      const { url } = yield* FakeWorker.make({
        respond: (exchange) => {
          waiting.push(exchange)
          // Nobody is answered before all are here: with less connections than attempts that would never be.
          if (waiting.length === 150) for (const each of waiting) each.finish(cancelled)
        }
      })
      const adapter = yield* HttpWorkerAdapter.make({ url })
      const errors = yield* Effect.forEach(
        Array.from({ length: 150 }),
        () => Effect.flip(adapter.execute(attempt(), () => {})),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(errors.length, 150)
    })
  )

  it.live("is probed while it is silent", () =>
    Effect.gen(function* () {
      let port = 0
      const worker = yield* FakeWorker.make({ respond: ({ request }) => (port = request.socket.remotePort ?? 0) })
      yield* Effect.forkScoped(execute(worker))
      // What the kernel says of the connection: timer 2 is that of keep-alive.
      yield* until(() => port !== 0 && timerOf(port) === "02")
    })
  )

  it.live("to nobody, or to no host, is an error that names it; a secret in the address is not shown", () =>
    Effect.gen(function* () {
      for (const url of ["http://127.0.0.1:1/render?code=secret", "http://user:secret@workers.invalid/render"]) {
        const { reason } = failureOf(yield* run({ url }))
        assert.strictEqual(reason._tag, "Transport")
        assert.match(reason.message, /\/render failed/)
        assert.match(reason.message, /ECONNREFUSED|workers\.invalid/)
        assert.notInclude(reason.message, "secret")
      }
    })
  )

  it.live("that does not come about in time is given up", () =>
    Effect.gen(function* () {
      // Somebody is there, and never says a word of TLS.
      const silent = yield* Effect.acquireRelease(
        Effect.promise(
          () =>
            new Promise<net.Server>((resolve) => {
              const server = net.createServer().listen(0, "127.0.0.1", () => resolve(server))
            })
        ),
        (server) => Effect.sync(() => server.close())
      )
      const address = silent.address()
      if (address === null || typeof address === "string") return assert.fail("no port")
      const url = `https://127.0.0.1:${address.port}/render`
      const { reason } = failureOf(yield* run({ url, connectTimeout: "100 millis" }))
      assert.strictEqual(reason._tag, "Transport")
      assert.match(reason.message, /Connect Timeout/i)
    })
  )

  it.live("over https trusts the authority that it is given, and no other", () =>
    Effect.gen(function* () {
      const read = (name: string) => readFileSync(path.join(import.meta.dirname, "..", "fixtures", name), "utf8")
      const tls = { cert: read("cert.pem"), key: read("key.pem") }
      const { url } = yield* FakeWorker.make({ tls, respond: ({ finish }) => finish(cancelled) })
      const reasonOf = (options: Partial<HttpWorkerAdapter.Options>): Effect.Effect<WorkerError.WorkerReason> =>
        Effect.map(run({ url, ...options }), (ended) => failureOf(ended).reason)
      assert.strictEqual((yield* reasonOf({ ca: tls.cert }))._tag, "WorkerLost")
      const reason = yield* reasonOf({})
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.match(reason.message, /certificate of https:.* is not trusted: set ca/)
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
