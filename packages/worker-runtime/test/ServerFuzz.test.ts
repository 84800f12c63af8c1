import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomInt } from "node:crypto"
import { connect } from "node:net"
import * as Rig from "./Rig.ts"
import * as ServerRig from "./ServerRig.ts"

/** Numbers that look like chance and are the same for the same seed (mulberry32). */
const numbers = (seed: number) => {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (most: number): number => Math.floor(next() * most)
  const one = <A>(values: readonly [A, ...ReadonlyArray<A>]): A => values[below(values.length)] ?? values[0]
  return { below, one }
}

type Numbers = ReturnType<typeof numbers>

/** Data that is no request for a chunk that is there. */
const value = (numbers: Numbers, depth = 0): unknown => {
  const { below, one } = numbers
  switch (below(depth > 4 ? 6 : 9)) {
    case 0:
      return null
    case 1:
      return one([0, -1, 1.5, 1e308, 2 ** 53, 3])
    case 2:
      return one([
        "",
        "x",
        "\u0000",
        "../../etc/passwd",
        "artifact:../x",
        "file:///etc/passwd",
        "http://169.254.169.254/"
      ])
    case 3:
      return one([true, false])
    case 4:
      return "y".repeat(below(200))
    case 5:
      return one(["Infinity", "__proto__", "$(touch ran)", "\u{1F600}", "\uD800"])
    case 6:
      return Array.from({ length: below(4) }, () => value(numbers, depth + 1))
    default:
      return Object.fromEntries(
        Array.from({ length: below(6) }, () => [
          one([
            "jobPath",
            "chunkIndex",
            "protocol",
            "env",
            "artifacts",
            "__proto__",
            "constructor",
            "attempt",
            "jobId"
          ]),
          value(numbers, depth + 1)
        ])
      )
  }
}

const garbage = ({ below }: Numbers, most: number): Buffer =>
  Buffer.from(Array.from({ length: below(most) }, () => below(256)))

/** A text with some of its bytes changed, left out, or more of them. */
const mangled = (numbers: Numbers, text: string): Buffer => {
  const { below } = numbers
  const bytes = [...Buffer.from(text)]
  for (let times = 1 + below(6); times > 0; times--) {
    const at = below(bytes.length)
    const kind = below(3)
    if (kind === 0) bytes[at] = below(256)
    else if (kind === 1) bytes.splice(at, 1 + below(8))
    else bytes.splice(at, 0, ...garbage(numbers, 12))
  }
  return Buffer.from(bytes)
}

/** What is sent over one connection. */
interface Sent {
  readonly bytes: Buffer
  /** Whether it is a whole request, which is answered. */
  readonly whole: boolean
}

const whole = (text: string): Sent => ({ bytes: Buffer.from(text), whole: true })
const broken = (bytes: Buffer): Sent => ({ bytes, whole: false })

/** Nothing of it asks for the chunk that is there. */
const nonsense = (numbers: Numbers): Sent => {
  const { below, one } = numbers
  const body = one([
    () => JSON.stringify(value(numbers)) ?? "",
    () => JSON.stringify({ jobPath: value(numbers), chunkIndex: value(numbers) }),
    () => JSON.stringify({ jobPath: "artifact:nowhere", chunkIndex: 3, env: value(numbers) }),
    () => JSON.stringify({ jobPath: "artifact:nowhere", chunkIndex: 3, next: value(numbers) }),
    () => garbage(numbers, 300).toString("latin1"),
    () => "[".repeat(below(2000))
  ])()
  const request = ServerRig.requestText(body, {
    ...ServerRig.headers,
    ...(below(4) === 0 ? { accept: "application/x-ndjson" } : undefined)
  })
  switch (below(6)) {
    case 0:
      return broken(garbage(numbers, 600))
    case 1:
      return whole(request)
    case 2:
      return broken(mangled(numbers, request))
    case 3:
      return broken(
        Buffer.from(
          `${one(["GET", "POST", "PUT", "TRACE", "CONNECT", "PRI", "\u0000"])} ${one(["/", "*", "/%00", "//", "http://x/", "/render", "/../", "x"])} HTTP/${one(["1.1", "1.0", "2.0", "9"])}\r\nhost: x\r\n${one(["", "upgrade: websocket\r\nconnection: upgrade\r\n", "upgrade: h2c\r\n", "transfer-encoding: chunked\r\ncontent-length: 5\r\n", "content-length: -1\r\n", "content-length: 9999999999999999999\r\n", "expect: 100-continue\r\n", "expect: x\r\n", " folded\r\n", "\u0000: x\r\n"])}\r\n${one(["", "0\r\n\r\n", "ffffffff\r\nx", "-1\r\nx\r\n", body])}`,
          "latin1"
        )
      )
    case 4:
      return broken(Buffer.from(request.slice(0, below(request.length))))
    default:
      return whole(
        ServerRig.requestText(body, {
          "content-type": one(["application/json", "text/plain", "", "application/json; charset=x"]),
          authorization: one([
            "",
            "Bearer",
            `Bearer ${ServerRig.secret}`,
            "Bearer eyJhbGciOiJub25lIn0.e30.",
            "Basic x"
          ]),
          ...(below(2) === 0
            ? { "x-helios-signature": one(["t=1", "t=1,v1=00", `t=1,v1=${"0".repeat(64)}`, ","]) }
            : {})
        })
      )
  }
}

/** Sends it, waits for an answer to begin or says that nothing more comes, and goes on when the connection is over. */
const send = (port: number, { bytes, whole }: Sent): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const socket = connect(port, "127.0.0.1", () => (whole ? socket.write(bytes) : socket.end(bytes)))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.void))
    if (whole) socket.once("data", () => socket.destroy())
    socket.resume()
    return Effect.sync(() => socket.destroy())
  })

describe("nonsense", () => {
  it.live(
    "of ten thousand kinds does not end the server, runs nothing, and costs no memory",
    () =>
      Effect.gen(function* () {
        const seed = randomInt(2 ** 31)
        const server = yield* ServerRig.serve({
          concurrency: 64,
          headersTimeout: "500 millis",
          requestTimeout: "500 millis"
        })
        const ran = `${server.dir}/ran`
        server.store(`touch ${ran}; printf movie > "$1"`)
        const random = numbers(seed)
        const count = 10_000
        const cases = Array.from({ length: count }, () => nonsense(random))
        const before = yield* ServerRig.held
        yield* Effect.forEach(cases, (sent) => send(server.port, sent), { concurrency: 64, discard: true })
        const about = `seed ${seed}`
        // Some of it came as far as the runtime.
        assert.isAbove(server.fake.calls.length, 100, about)
        assert.isFalse(yield* Rig.exists(ran), about)
        assert.deepStrictEqual(server.leftovers(), [], about)
        assert.isBelow((yield* ServerRig.held) - before, 40 * 2 ** 20, about)
        assert.isFalse("admin" in {}, about)
        assert.strictEqual((yield* ServerRig.call(server.url, { path: "/ready" })).status, 200, about)
        assert.strictEqual((yield* ServerRig.ask(server.url)).reply._tag, "Result", about)
        assert.isTrue(yield* Rig.exists(ran), about)
      }),
    120_000
  )
})
