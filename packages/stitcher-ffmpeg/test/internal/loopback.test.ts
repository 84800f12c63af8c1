import * as loopback from "../../src/internal/loopback.ts"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Predicate, Scope, Stream } from "effect"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import * as fs from "node:fs/promises"
import { Server } from "node:http"
import { connect, Socket } from "node:net"
import { networkInterfaces } from "node:os"
import * as path from "node:path"
import * as real from "../RealVideos.ts"

const content = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251))

const get = (url: string, headers: Record<string, string> = {}, method = "GET") =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { headers, method, signal })
    return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) }
  })

/** A server of one file, `0`, and of two other things; says what of the file was lost. */
const serve = Effect.gen(function* () {
  const file = path.join(yield* real.folder, "0")
  yield* Effect.promise(() => fs.writeFile(file, content))
  const lost: Array<string> = []
  const late = yield* Deferred.make<Option.Option<loopback.Resource>>()
  const resource: loopback.Resource = {
    _tag: "File",
    path: file,
    bytes: content.length,
    onLost: (detail) => Effect.sync(() => lost.push(detail))
  }
  const { url } = yield* loopback.make((name) => {
    if (name === "0") return Effect.succeedSome(resource)
    if (name === "late") return Deferred.await(late)
    if (name === "bytes") return Effect.succeedSome({ _tag: "Bytes", content: Stream.make(content, content) })
    return Effect.succeedNone
  })
  return { url, file, lost, late, resource }
})

const connects = (host: string, port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = connect({ host, port })
    socket.once("connect", () => resume(Effect.succeed(true)))
    socket.once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

describe("loopback", () => {
  it.live("waits for hours: nothing of it has a time limit, at either end", () =>
    Effect.gen(function* () {
      const seen: Array<Record<"headersTimeout" | "requestTimeout" | "timeout" | "idle", number>> = []
      const look = (message: unknown) => {
        if (Predicate.hasProperty(message, "server") && Predicate.hasProperty(message, "socket")) {
          const { server, socket } = message
          if (!(server instanceof Server) || !(socket instanceof Socket)) return
          const { headersTimeout, requestTimeout, timeout } = server
          seen.push({ headersTimeout, requestTimeout, timeout, idle: socket.timeout ?? 0 })
        }
      }
      subscribe("http.server.request.start", look)
      yield* Effect.addFinalizer(() => Effect.sync(() => unsubscribe("http.server.request.start", look)))
      const { late, resource, url } = yield* serve
      const fiber = yield* Effect.forkChild(get(`${url}late`))
      const one = yield* Effect.sync(() => seen[0]).pipe(
        Effect.filterOrFail(Predicate.isNotUndefined),
        Effect.eventually
      )
      assert.deepStrictEqual(one, { headersTimeout: 0, requestTimeout: 0, timeout: 0, idle: 0 })
      yield* Deferred.succeed(late, Option.some(resource))
      assert.deepStrictEqual((yield* Fiber.join(fiber)).body, content)
    })
  )

  it.live("sends a file, or the part of it that is asked for", () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const whole = yield* get(`${url}0`)
      assert.strictEqual(whole.status, 200)
      assert.strictEqual(whole.headers.get("accept-ranges"), "bytes")
      assert.deepStrictEqual(whole.body, content)
      const parts: ReadonlyArray<readonly [string, number, number]> = [
        ["bytes=0-", 0, 1000],
        ["bytes=990-", 990, 1000],
        ["bytes=10-19", 10, 20],
        ["bytes=999-5000", 999, 1000],
        ["bytes=-7", 993, 1000]
      ]
      for (const [range, start, end] of parts) {
        const part = yield* get(`${url}0`, { range })
        assert.strictEqual(part.status, 206, range)
        assert.strictEqual(part.headers.get("content-range"), `bytes ${start}-${end - 1}/1000`)
        assert.deepStrictEqual(part.body, content.subarray(start, end), range)
      }
      for (const range of ["bytes=1000-", "bytes=-", "bytes=9-8", "frames=1-2", "bytes=0-1,5-6"]) {
        assert.strictEqual((yield* get(`${url}0`, { range })).status, 416, range)
      }
    })
  )

  it.live("sends bytes one after the other", () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const { body } = yield* get(`${url}bytes`, { range: "bytes=0-" })
      assert.deepStrictEqual(body, Buffer.concat([content, content]))
    })
  )

  it.live("answers when what is asked for is there", () =>
    Effect.gen(function* () {
      const { late, resource, url } = yield* serve
      const asking = yield* Effect.forkChild(get(`${url}late`))
      // Others are answered meanwhile, and the one that waits is not.
      yield* get(`${url}0`)
      assert.isUndefined(asking.pollUnsafe())
      yield* Deferred.succeed(late, Option.some(resource))
      assert.deepStrictEqual((yield* Fiber.join(asking)).body, content)
    })
  )

  it.live("tells nothing to who does not know its path, and takes nothing", () =>
    Effect.gen(function* () {
      const { url } = yield* serve
      const { origin, pathname } = new URL(url)
      assert.match(pathname, /^\/[0-9a-f]{32}\/$/)
      for (const guess of ["/", "/0", `/${"0".repeat(32)}/0`, `${pathname}nothing`, `${pathname}../0`]) {
        assert.strictEqual((yield* get(`${origin}${guess}`)).status, 404, guess)
      }
      assert.strictEqual((yield* get(`${url}0`, {}, "DELETE")).status, 405)
      assert.notStrictEqual((yield* serve).url.split("/")[3], url.split("/")[3])
    })
  )

  it.live("says what became of a file that is not what it was", () =>
    Effect.gen(function* () {
      const { file, lost, url } = yield* serve
      yield* Effect.promise(() => fs.truncate(file, 10))
      assert.strictEqual((yield* get(`${url}0`)).status, 410)
      yield* Effect.promise(() => fs.rm(file))
      assert.strictEqual((yield* get(`${url}0`)).status, 410)
      assert.strictEqual(lost[0], "10 bytes")
      assert.match(lost[1] ?? "", /ENOENT/)
    })
  )

  it.live("can be reached from this machine alone, and not at all once it is closed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { url } = yield* serve.pipe(Scope.provide(scope))
      const port = Number(new URL(url).port)
      assert.isTrue(yield* connects("127.0.0.1", port))
      const others = Object.values(networkInterfaces()).flatMap((addresses) =>
        (addresses ?? []).flatMap(({ address, family, internal }) => (internal || family !== "IPv4" ? [] : [address]))
      )
      for (const other of others) assert.isFalse(yield* connects(other, port), other)
      const waiting = yield* Effect.forkChild(Effect.exit(get(`${url}late`)))
      yield* get(`${url}0`)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      assert.isFalse(yield* connects("127.0.0.1", port))
    })
  )
})
