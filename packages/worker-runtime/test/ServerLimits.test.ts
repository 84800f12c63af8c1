import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as Rig from "./Rig.ts"
import * as ServerRig from "./ServerRig.ts"

/** Sends the body of a request without end, as fast as it is taken, and says how much was until the connection ended. */
const flood = Effect.fnUntraced(function* (port: number, head: string, piece: string, most: number) {
  const client = yield* ServerRig.connection(port)
  client.send(head)
  let sent = 0
  const { socket } = client
  const write = () => {
    while (sent < most && !client.closed()) {
      sent += piece.length
      if (!socket.write(piece)) return
    }
  }
  socket.on("drain", write)
  write()
  yield* Rig.waitFor(Effect.sync(client.closed), "the end of the connection")
  return { sent: socket.bytesWritten - socket.writableLength, text: client.text() }
})

const gigabyte = 2 ** 30

const head = (more: string): string =>
  `POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer ${ServerRig.secret}\r\n${more}\r\n\r\n`

describe("what is too large", () => {
  it.live("is cut off at once: a gigabyte that is announced, and one that is not", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve()
      const piece = "x".repeat(64 * 1024)
      const chunked = `${piece.length.toString(16)}\r\n${piece}\r\n`
      for (const [more, text] of [
        [`content-length: ${gigabyte}`, piece],
        ["transfer-encoding: chunked", chunked]
      ] as const) {
        const before = process.memoryUsage().rss
        const { sent, text: answer } = yield* flood(server.port, head(more), text, gigabyte)
        assert.isTrue(answer.startsWith("HTTP/1.1 413"), answer.slice(0, 100))
        // What was on its way in the buffers of both ends.
        assert.isBelow(sent, 24 * 2 ** 20)
        assert.isBelow(process.memoryUsage().rss - before, 100 * 2 ** 20)
      }
      // Nobody who is not known has anything read.
      const stranger = head(`content-length: ${gigabyte}`).replace(ServerRig.secret, "x".repeat(20))
      const { sent, text } = yield* flood(server.port, stranger, piece, gigabyte)
      assert.isTrue(text.startsWith("HTTP/1.1 401"))
      assert.isBelow(sent, 24 * 2 ** 20)
      const waiting = yield* ServerRig.connection(server.port)
      waiting.send(head(`content-length: ${gigabyte}\r\nexpect: 100-continue`))
      yield* Rig.waitFor(Effect.sync(waiting.closed), "the end of the connection")
      assert.isTrue(waiting.text().startsWith("HTTP/1.1 413"))
    })
  )

  it.live("may be a header, or all of them together", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ headerBytes: 2000 })
      for (const more of [`x: ${"x".repeat(3000)}`, Array.from({ length: 300 }, (_, at) => `x${at}: 1`).join("\r\n")]) {
        const client = yield* ServerRig.connection(server.port)
        client.send(head(more))
        yield* Rig.waitFor(Effect.sync(client.closed), "the end of the connection")
        assert.isTrue(client.text().startsWith("HTTP/1.1 431"), client.text())
      }
    })
  )
})

describe("clients that are slow", () => {
  /** A hundred of them, of all kinds. */
  const slowly = (port: number) =>
    Effect.gen(function* () {
      const kinds = [
        // Nothing at all, a header that never ends, a body that never ends.
        { first: "", rest: "" },
        { first: "POST / HTTP/1.1\r\nhost: x\r\n", rest: "x: y\r\n" },
        { first: head("content-length: 1000"), rest: " " },
        { first: head("transfer-encoding: chunked"), rest: "1\r\n \r\n" }
      ]
      const clients = yield* Effect.forEach(Array.from({ length: 100 }), (_, at) =>
        Effect.gen(function* () {
          const { first = "", rest = "" } = kinds[at % kinds.length] ?? {}
          const client = yield* ServerRig.connection(port)
          client.send(first)
          yield* Effect.sync(() => client.send(rest)).pipe(
            Effect.repeat({ schedule: Schedule.spaced("100 millis"), until: client.closed }),
            Effect.forkScoped
          )
          return client
        })
      )
      return () => clients.filter((client) => !client.closed()).length
    })

  it.live("keep nobody else from being served", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ headersTimeout: "1 minute", requestTimeout: "1 minute" })
      server.store(`printf movie > "$1"`)
      const open = yield* slowly(server.port)
      assert.strictEqual((yield* ServerRig.ask(server.url)).reply._tag, "Result")
      assert.strictEqual(open(), 100)
    })
  )

  it.live("are dropped, all hundred of them, when their time is over", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ headersTimeout: "500 millis", requestTimeout: "1 second" })
      server.store(`printf movie > "$1"`)
      const open = yield* slowly(server.port)
      yield* Rig.waitFor(
        Effect.sync(() => open() === 0),
        "the end of all of them"
      )
      assert.strictEqual((yield* ServerRig.ask(server.url)).reply._tag, "Result")
    })
  )

  it.live("are not those whose command takes longer than a request may", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({
        headersTimeout: "300 millis",
        requestTimeout: "300 millis",
        keepAliveTimeout: "100 millis"
      })
      server.store(`sleep 1; printf movie > "$1"`)
      assert.strictEqual((yield* ServerRig.ask(server.url)).reply._tag, "Result")
      const { text } = yield* ServerRig.call(server.url, {
        body: JSON.stringify(ServerRig.chunk),
        headers: ServerRig.streaming
      })
      assert.strictEqual((yield* ServerRig.lastIn(text))._tag, "Result")
    })
  )
})

describe("clients that are many", () => {
  it.live("are dropped beyond how many there may be, and there is room again when some go", () =>
    Effect.gen(function* () {
      const server = yield* ServerRig.serve({ maxConnections: 5 })
      const few = yield* Effect.forEach([1, 2, 3, 4, 5], () => ServerRig.connection(server.port))
      for (const client of few) client.send("GET /health HTTP/1.1\r\nhost: x\r\n")
      const dropped = yield* ServerRig.connection(server.port)
      yield* Rig.waitFor(Effect.sync(dropped.closed), "the end of the connection")
      assert.strictEqual(few.filter((client) => client.closed()).length, 0)
      for (const client of few) client.socket.destroy()
      const asked = Effect.exit(ServerRig.call(server.url, { path: "/health" }))
      yield* Rig.waitFor(
        Effect.map(asked, (exit) => exit._tag === "Success" && exit.value.status === 200),
        "room"
      )
    })
  )
})
