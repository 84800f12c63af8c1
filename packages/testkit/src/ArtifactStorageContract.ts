/**
 * What every `ArtifactStorage` promises: artifacts that are there whole or not at all, as they were sent, under the key
 * that they were given and no other one.
 *
 * Holds a storage to what callers can see. Where it keeps things, and whether they survive its process, is not looked at.
 */
import { type ArtifactError, type ArtifactInfo, ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import * as FromPromises from "@helios-infra/core/FromPromises"
import type { ArtifactStorage as PlainStorage } from "@helios-infra/core/promise"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import http from "node:http"
import https from "node:https"
import * as Contract from "./Contract.ts"
import { background, eventually, failureOf, holds, same, within } from "./internal/check.ts"
import { peakDuring } from "./internal/memory.ts"

/** What the implementation does not promise, and how hard it is tried. */
export interface Options extends Contract.Timing {
  /** Whether `ifAbsent` is kept. Default: true. */
  readonly conditional?: boolean | undefined
  /** Whether there are URLs; where there are none, they are `Unsupported`. Default: true. */
  readonly urls?: boolean | undefined
  /** The size of artifacts that are too large for one piece, in bytes. Default: 12 MiB. */
  readonly big?: number | undefined
  /** How many keys make a list of several pages. Default: 1 100. */
  readonly many?: number | undefined
  /**
   * The size, in bytes, of an artifact that goes through while the memory of this process is watched: at most half of it
   * may be held. Slow, and only meaningful where that is much more than the storage's own parts. Default: none.
   */
  readonly huge?: number | undefined
}

type Storage = ArtifactStorage["Service"]

// ---
// keys
// ---

/** Keys that come apart in URLs, XML, shells, file names or pages that were not made for them; all are different ones. */
const nastyKeys = [
  "a",
  "A",
  "a/b",
  "a%2Fb",
  "a%252Fb",
  "a b",
  "a+b",
  "a%20b",
  "a#b",
  "a?b=c&d",
  "a&amp;b",
  "<a>",
  `"quoted" 'and'`,
  "a:b",
  "a*b|c;d",
  "a.",
  "a..b",
  "...",
  ".hidden",
  ".../a",
  " a",
  "a ",
  "~",
  "-a",
  "$a{b}",
  "con",
  "日本/🎬.mov",
  "\u00e9",
  "e\u0301",
  "constructor",
  "__proto__",
  `${"x".repeat(200)}/${"y".repeat(200)}/${"z".repeat(200)}/${"日".repeat(99)}`
]

/** Names that are no keys. */
const invalidKeys = [
  "",
  "/a",
  "a/",
  "a//b",
  ".",
  "..",
  "../a",
  "a/../b",
  "a/./b",
  "a/..",
  "a\\b",
  "..\\a",
  "a\0b",
  "a\nb",
  "a\u007fb",
  "a\ud800b",
  "x".repeat(901),
  "日".repeat(301)
]

// ---
// contents
// ---

/** So many bytes that are always the same ones for a seed, and of which no two pieces are the same. */
const content = (seed: number, bytes: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(bytes / 4))
  let state = seed + 1
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    words[index] = state
  }
  return new Uint8Array(words.buffer, 0, bytes)
}

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const textOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** In pieces that no part of a storage's own size begins with. */
const streamOf = (bytes: Uint8Array, piece = 99_991): Stream.Stream<Uint8Array> =>
  Stream.fromIterable(Array.from({ length: Math.ceil(bytes.length / piece) }, (_, index) => index * piece)).pipe(
    Stream.rechunk(1),
    Stream.map((start) => bytes.subarray(start, start + piece))
  )

const hashOf = <E>(stream: Stream.Stream<Uint8Array, E>): Effect.Effect<string, E> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    return Effect.map(
      Stream.runForEach(stream, (piece) => Effect.sync(() => void hash.update(piece))),
      () => hash.digest("hex")
    )
  })

// ---
// what is asked
// ---

const read = (storage: Storage, key: string, options?: Parameters<Storage["get"]>[1]) =>
  Effect.map(Stream.runCollect(storage.get(key, options)), (pieces) => new Uint8Array(Buffer.concat(pieces)))

const keysOf = (storage: Storage, prefix = "") =>
  Effect.map(Stream.runCollect(storage.list(prefix)), (found) => found.map(({ key }) => key).toSorted())

const fails = <A, R>(
  what: string,
  reason: ArtifactError["reason"],
  key: string,
  effect: Effect.Effect<A, ArtifactError, R>
) =>
  failureOf(what, effect).pipe(
    Effect.tap((error) => same(`the reason for which ${what} fails`, error.reason, reason)),
    Effect.tap((error) => same(`the key that the error of ${what} names`, error.key, key))
  )

/** What the storage says of an artifact, and gives. */
const isThere = Effect.fnUntraced(function* (storage: Storage, key: string, bytes: Uint8Array, info?: ArtifactInfo) {
  const found = yield* storage.head(key)
  yield* holds(`head of ${key} should find it`, Option.isSome(found), found)
  if (Option.isNone(found)) return
  yield* same(`the key that head of ${key} gives`, found.value.key, key)
  yield* same(`the bytes that head of ${key} gives`, found.value.bytes, bytes.length)
  if (found.value.sha256 !== undefined) {
    yield* same(`the hash that head of ${key} gives`, found.value.sha256, sha256Of(bytes))
  }
  if (info !== undefined) {
    yield* same(`the bytes that put of ${key} gave`, info.bytes, bytes.length)
    yield* same(`the etag that head of ${key} gives, and put gave`, found.value.etag, info.etag)
    if (info.sha256 !== undefined) yield* same(`the hash that put of ${key} gave`, info.sha256, sha256Of(bytes))
  }
  yield* same(`the hash of what get of ${key} gives`, yield* hashOf(storage.get(key)), sha256Of(bytes))
})

const isNowhere = Effect.fnUntraced(function* (storage: Storage, key: string) {
  yield* same(`what head of ${key} gives`, yield* storage.head(key), Option.none())
  yield* fails(`get of ${key}`, "NotFound", key, read(storage, key))
  yield* same(`the keys that begin with ${key}`, yield* keysOf(storage, key), [])
})

/** A body that stops before its last byte, until it is told to go on. */
const held = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const reached = yield* Deferred.make<void>()
  const open = yield* Deferred.make<void>()
  const end = bytes.subarray(-1)
  const body = streamOf(bytes.subarray(0, -1)).pipe(
    Stream.concat(Stream.fromEffectDrain(Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(open)))),
    Stream.concat(Stream.make(end))
  )
  return { body, reached: Deferred.await(reached), open: Deferred.succeed(open, undefined) }
})

/** A plain HTTP request; one that was refused or reset is not ok. */
const request = (url: string, body?: Uint8Array): Effect.Effect<{ readonly ok: boolean; readonly body: Uint8Array }> =>
  Effect.callback((resume) => {
    const failed = () => resume(Effect.succeed({ ok: false, body: new Uint8Array() }))
    const { request } = url.startsWith("https:") ? https : http
    const headers = body === undefined ? {} : { "content-length": body.length }
    const sent = request(url, { method: body === undefined ? "GET" : "PUT", headers, agent: false }, (response) => {
      const pieces: Array<Buffer> = []
      response.on("data", (piece: Buffer) => pieces.push(piece))
      response.on("error", failed)
      response.on("end", () => {
        const { statusCode = 0 } = response
        const ok = statusCode >= 200 && statusCode < 300
        resume(Effect.succeed({ ok, body: new Uint8Array(Buffer.concat(pieces)) }))
      })
    })
    sent.on("error", failed).end(body)
    return Effect.sync(() => sent.destroy())
  })

/**
 * The storage to hold to its promises: a layer that makes one with nothing in it each time it is built, or a function that
 * makes an object of the Promise API.
 */
export type Store<E> = Layer.Layer<ArtifactStorage, E> | (() => PlainStorage)

/** The contract of a storage. */
export const make = <E>(store: Store<E>, options: Options = {}): Contract.Contract => {
  const layer: Layer.Layer<ArtifactStorage, E | ArtifactError> =
    typeof store === "function" ? Layer.unwrap(Effect.sync(() => FromPromises.artifactStorage(store()))) : store
  const { big = 12 * 1024 * 1024, conditional = true, huge, many = 1100, urls = true } = options
  const timing = Contract.patienceOf(options)
  const small = content(1, 1000)
  const large = content(2, big)

  const promise = <A, E2 extends Error>(
    body: (storage: Storage) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2, ArtifactStorage | Scope.Scope> => Effect.asVoid(Effect.flatMap(ArtifactStorage, body))

  return Contract.make({
    of: "ArtifactStorage",
    layer,
    promises: {
      "what was put is got, whole and as it was, whatever its size and its pieces": promise((storage) =>
        Effect.gen(function* () {
          const bodies: ReadonlyArray<readonly [string, Uint8Array, Stream.Stream<Uint8Array>]> = [
            ["empty", new Uint8Array(), Stream.empty],
            ["empty-pieces", new Uint8Array(), Stream.make(new Uint8Array(), new Uint8Array())],
            ["one", small.subarray(0, 1), streamOf(small.subarray(0, 1))],
            ["small", small, streamOf(small)],
            ["small-pieces", small, streamOf(small, 1)],
            ["big", large, streamOf(large)],
            ["big-piece", large, streamOf(large, large.length)]
          ]
          for (const [key, bytes, body] of bodies) {
            const info = yield* storage.put(key, body)
            yield* isThere(storage, key, bytes, info)
          }
          const told = yield* storage.put("told", streamOf(large), { bytes: big, sha256: sha256Of(large) })
          yield* same("the hash that was told", told.sha256, sha256Of(large))
          yield* isThere(storage, "told", large, told)
        })
      ),

      "there is nothing before it is put": promise((storage) =>
        Effect.andThen(
          isNowhere(storage, "never"),
          fails("get", "NotFound", "never", read(storage, "never", { to: 0 }))
        )
      ),

      "put replaces what is there, and its etag changes": promise((storage) =>
        Effect.gen(function* () {
          const first = yield* storage.put("a", streamOf(small))
          const second = yield* storage.put("a", streamOf(large))
          yield* holds("the etag should be another one", first.etag !== second.etag, first.etag)
          yield* isThere(storage, "a", large, second)
          yield* storage.put("a", streamOf(small))
          yield* isThere(storage, "a", small)
        })
      ),

      "readers see the old artifact until the new one is there": promise((storage) =>
        Effect.gen(function* () {
          for (const [key, bytes] of [
            ["small", small],
            ["big", large]
          ] as const) {
            const body = yield* held(bytes)
            yield* storage.put(key, streamOf(textOf("old")))
            const putting = yield* background(timing, storage.put(key, body.body))
            yield* within(timing, "put should read its body", body.reached)
            yield* isThere(storage, key, textOf("old"))
            yield* same("the keys", yield* keysOf(storage, key), [key])
            yield* body.open
            yield* within(timing, "put", Fiber.join(putting))
            yield* isThere(storage, key, bytes)
          }
        })
      ),

      "a put whose body fails fails with that, and stores nothing": promise((storage) =>
        Effect.gen(function* () {
          const stops = new Error("the body stops here")
          yield* storage.put("there", streamOf(small))
          for (const [what, bytes] of [
            ["at once", new Uint8Array()],
            ["early", small],
            ["late", large]
          ] as const) {
            for (const key of ["there", "new"]) {
              const body = Stream.concat(streamOf(bytes), Stream.fail(stops))
              const error = yield* failureOf(`put that fails ${what}`, storage.put(key, body))
              yield* holds(`it should fail with what its body fails with, ${what}`, error === stops, error)
            }
          }
          yield* isThere(storage, "there", small)
          yield* isNowhere(storage, "new")
          yield* same("the keys", yield* keysOf(storage), ["there"])
        })
      ),

      "a put that is interrupted stores nothing": promise((storage) =>
        Effect.gen(function* () {
          yield* storage.put("there", streamOf(small))
          for (const bytes of [small, large]) {
            for (const key of ["there", "new"]) {
              const body = yield* held(bytes)
              const putting = yield* background(timing, storage.put(key, body.body))
              yield* within(timing, "put should read its body", body.reached)
              yield* within(timing, "interruption of put", Fiber.interrupt(putting))
            }
          }
          yield* isThere(storage, "there", small)
          yield* isNowhere(storage, "new")
          yield* same("the keys", yield* keysOf(storage), ["there"])
        })
      ),

      "what is not what was told is Corrupt, and not stored": promise((storage) =>
        Effect.gen(function* () {
          yield* storage.put("there", streamOf(textOf("old")))
          for (const bytes of [new Uint8Array(), small, large]) {
            const wrongs = [
              { bytes: bytes.length + 1 },
              { bytes: bytes.length - 1 },
              { sha256: sha256Of(textOf("other")) },
              { bytes: bytes.length, sha256: sha256Of(textOf("other")) }
            ].filter((told) => told.bytes !== -1)
            for (const told of wrongs) {
              for (const key of ["there", "new"]) {
                const what = `put of ${bytes.length} bytes with ${JSON.stringify(told)}`
                yield* fails(what, "Corrupt", key, storage.put(key, streamOf(bytes), told))
              }
            }
          }
          yield* isThere(storage, "there", textOf("old"))
          yield* isNowhere(storage, "new")
          yield* same("the keys", yield* keysOf(storage), ["there"])
        })
      ),

      "of puts at once, one is there whole": promise((storage) =>
        Effect.gen(function* () {
          const bodies = [3, 4, 5, 6].map((seed) => content(seed, big))
          const infos = yield* Effect.forEach(bodies, (bytes) => storage.put("a", streamOf(bytes)), {
            concurrency: "unbounded"
          })
          const hash = yield* hashOf(storage.get("a"))
          const winner = bodies.map(sha256Of).indexOf(hash)
          yield* holds("it should be one of those that were put", winner >= 0, hash)
          const found = yield* storage.head("a")
          yield* same(
            "what head says",
            Option.map(found, ({ etag }) => etag),
            Option.some(infos[winner]?.etag)
          )
        })
      ),

      "with ifAbsent, what is there stays": conditional
        ? promise((storage) =>
            Effect.gen(function* () {
              for (const bytes of [small, large]) {
                const first = yield* storage.put("a", streamOf(bytes), { ifAbsent: true })
                yield* isThere(storage, "a", bytes, first)
                for (const again of [bytes, textOf("other"), large]) {
                  yield* fails("put", "Exists", "a", storage.put("a", streamOf(again), { ifAbsent: true }))
                }
                yield* isThere(storage, "a", bytes, first)
                yield* storage.delete(["a"])
              }
            })
          )
        : undefined,

      "of puts with ifAbsent at once, one wins and the others find that it Exists": conditional
        ? promise((storage) =>
            Effect.gen(function* () {
              for (const size of [1000, big]) {
                const key = `raced-${size}`
                const racers = yield* Effect.forEach([3, 4, 5, 6], (seed) => held(content(seed, size)))
                const puts = yield* Effect.forEach(racers, ({ body }) =>
                  background(timing, Effect.result(storage.put(key, body, { ifAbsent: true })))
                )
                yield* Effect.forEach(racers, ({ reached }) => within(timing, "put should read its body", reached))
                yield* Effect.forEach(racers, ({ open }) => open)
                const results = yield* Effect.forEach(puts, (put) => within(timing, "put", Fiber.join(put)))
                const winner = results.findIndex(Result.isSuccess)
                yield* same("how many have won", results.filter(Result.isSuccess).length, 1)
                yield* same(
                  "why the others failed",
                  results.filter(Result.isFailure).map(({ failure }) => failure.reason),
                  ["Exists", "Exists", "Exists"]
                )
                yield* isThere(storage, key, content(winner + 3, size))
              }
            })
          )
        : undefined,

      "a range gives what is in it, and nothing beyond the end": promise((storage) =>
        Effect.gen(function* () {
          yield* storage.put("empty", Stream.empty)
          yield* storage.put("small", streamOf(small))
          yield* storage.put("big", streamOf(large))
          const middle = Math.floor(big / 2)
          const ranges: ReadonlyArray<readonly [string, Uint8Array, number | undefined, number | undefined]> = [
            ["small", small, 0, undefined],
            ["small", small, undefined, 1],
            ["small", small, 0, 0],
            ["small", small, 10, 10],
            ["small", small, 20, 10],
            ["small", small, 1, 2],
            ["small", small, 999, undefined],
            ["small", small, 999, 1000],
            ["small", small, 990, 2000],
            ["small", small, 1000, undefined],
            ["small", small, 1000, 2000],
            ["small", small, 5000, undefined],
            ["small", small, 5000, 6000],
            ["empty", new Uint8Array(), 0, 0],
            ["empty", new Uint8Array(), 0, 10],
            ["empty", new Uint8Array(), 5, undefined],
            ["big", large, 1, undefined],
            ["big", large, middle - 1, middle + 1],
            ["big", large, 7, big - 7],
            ["big", large, big - 1, big + 1]
          ]
          for (const [key, bytes, from, to] of ranges) {
            const found = yield* hashOf(storage.get(key, { from, to }))
            const part = bytes.subarray(from ?? 0, Math.max(from ?? 0, to ?? bytes.length))
            yield* same(`the hash of bytes ${from} to ${to} of ${key}`, found, sha256Of(part))
          }
          yield* fails("get of a range of nothing", "NotFound", "never", read(storage, "never", { from: 5, to: 5 }))
        })
      ),

      "get with an etag gives that artifact, and fails with Changed once it is another one": promise((storage) =>
        Effect.gen(function* () {
          for (const bytes of [small, large]) {
            const { etag } = yield* storage.put("a", streamOf(bytes))
            yield* same("the hash of it", yield* hashOf(storage.get("a", { etag })), sha256Of(bytes))
            const part = yield* read(storage, "a", { etag, from: 10, to: 20 })
            yield* same("a part of it", Array.from(part), Array.from(bytes.subarray(10, 20)))
            yield* storage.put("a", streamOf(textOf("another one, which is longer than that range")))
            for (const range of [{}, { from: 10, to: 20 }, { from: 5, to: 5 }]) {
              yield* fails("get of the old one", "Changed", "a", read(storage, "a", { etag, ...range }))
            }
            yield* storage.delete(["a"])
            yield* fails("get of one that is gone", "NotFound", "a", read(storage, "a", { etag }))
          }
        })
      ),

      "who reads while it is replaced gets the old one whole, or fails with Changed": promise((storage) =>
        Effect.gen(function* () {
          yield* storage.put("a", streamOf(large))
          const other = content(9, big)
          const hash = createHash("sha256")
          let replaced = false
          const reading = Stream.runForEach(storage.get("a"), (piece) =>
            Effect.gen(function* () {
              hash.update(piece)
              if (replaced) return
              replaced = true
              yield* storage.put("a", streamOf(other))
            })
          )
          const ended = yield* Effect.result(reading)
          if (Result.isFailure(ended)) {
            yield* same("the reason for which get fails", ended.failure.reason, "Changed")
          } else {
            yield* same("the hash of what was read", hash.digest("hex"), sha256Of(large))
          }
          yield* isThere(storage, "a", other)
        })
      ),

      "who stops reading early holds up nobody": promise((storage) =>
        Effect.gen(function* () {
          yield* storage.put("a", streamOf(large))
          const peek = Stream.runHead(storage.get("a"))
          yield* within(timing, "reading the beginning 70 times", Effect.repeat(peek, { times: 69 }))
          yield* isThere(storage, "a", large)
        })
      ),

      "artifacts are kept apart, whatever characters their keys have": promise((storage) =>
        Effect.gen(function* () {
          for (const key of nastyKeys) yield* storage.put(key, streamOf(textOf(`of ${key}`)))
          for (const key of nastyKeys) yield* isThere(storage, key, textOf(`of ${key}`))
          yield* same("the keys", yield* keysOf(storage), nastyKeys.toSorted())
          for (const key of nastyKeys) {
            const expected = nastyKeys.filter((one) => one.startsWith(key)).toSorted()
            yield* same(`the keys that begin with ${key}`, yield* keysOf(storage, key), expected)
          }
          const [first = "", ...others] = nastyKeys
          yield* storage.delete([first])
          yield* same("the keys without the first", yield* keysOf(storage), others.toSorted())
          yield* storage.delete(others)
          yield* same("the keys, when all are deleted", yield* keysOf(storage), [])
        })
      ),

      "a name that is no key is InvalidKey, whatever is asked of it": promise((storage) =>
        Effect.gen(function* () {
          yield* storage.put("b", streamOf(small))
          for (const key of invalidKeys) {
            const operations: ReadonlyArray<readonly [string, Effect.Effect<unknown, ArtifactError>]> = [
              ["put", storage.put(key, streamOf(small))],
              ["get", read(storage, key)],
              ["head", storage.head(key)],
              ["delete", storage.delete(["b", key])],
              ["url", storage.url(key, { method: "GET", expires: "1 minute" })]
            ]
            for (const [what, operation] of operations) {
              yield* fails(`${what} of ${JSON.stringify(key).slice(0, 40)}`, "InvalidKey", key, operation)
            }
          }
          yield* same("the keys", yield* keysOf(storage), ["b"])
        })
      ),

      "list gives what begins with the prefix, which need not be a folder": promise((storage) =>
        Effect.gen(function* () {
          const keys = ["jobs/a/1", "jobs/a/10", "jobs/a/2", "jobs/ab/1", "jobs-old", "jobs/a"]
          const infos = yield* Effect.forEach(keys, (key) => storage.put(key, streamOf(textOf(key))))
          const prefixes = [
            "",
            "j",
            "jobs",
            "jobs/",
            "jobs/a",
            "jobs/a/",
            "jobs/a/1",
            "jobs/a/1/",
            "obs",
            "%",
            "jobs//"
          ]
          for (const prefix of prefixes) {
            const expected = keys.filter((key) => key.startsWith(prefix)).toSorted()
            yield* same(`the keys that begin with ${prefix}`, yield* keysOf(storage, prefix), expected)
          }
          const listed = yield* Stream.runCollect(storage.list("jobs/a"))
          for (const { bytes, etag, key } of listed) {
            const put = infos.find((info) => info.key === key)
            yield* same(`what list says of ${key}`, { bytes, etag }, { bytes: put?.bytes, etag: put?.etag })
          }
        })
      ),

      "a list of many pages has each key once, and they can be deleted at once": promise((storage) =>
        Effect.gen(function* () {
          const keys = Array.from({ length: many }, (_, index) => `many/${index}`)
          yield* Effect.forEach([...keys, "other"], (key) => storage.put(key, streamOf(textOf(key))), {
            concurrency: 16,
            discard: true
          })
          yield* same("the keys", yield* keysOf(storage, "many/"), keys.toSorted())
          yield* same("the first one", (yield* Stream.runCollect(Stream.take(storage.list("many/"), 1))).length, 1)
          yield* storage.delete(keys)
          yield* same("the keys, when they are deleted", yield* keysOf(storage), ["other"])
        })
      ),

      "delete removes what it is told to; what is not there is no failure": promise((storage) =>
        Effect.gen(function* () {
          for (const key of ["a", "a/b", "c"]) yield* storage.put(key, streamOf(small))
          yield* storage.delete([])
          yield* storage.delete(["never", "a/never", "a", "a"])
          yield* isNowhere(storage, "never")
          yield* same("what head of a deleted one gives", yield* storage.head("a"), Option.none())
          yield* fails("get of a deleted one", "NotFound", "a", read(storage, "a"))
          yield* same("the keys", yield* keysOf(storage), ["a/b", "c"])
          yield* storage.put("a", streamOf(large))
          yield* isThere(storage, "a", large)
          yield* isThere(storage, "a/b", small)
        })
      ),

      "a URL lets whoever has it read one artifact": urls
        ? promise((storage) =>
            Effect.gen(function* () {
              for (const key of ["a", "b c/+%2F#?&.mov", "日本", "empty"]) {
                const bytes = key === "empty" ? new Uint8Array() : textOf(`of ${key}`)
                yield* storage.put(key, streamOf(bytes))
                const url = yield* storage.url(key, { method: "GET", expires: "1 minute" })
                const found = yield* request(url)
                yield* same(`what the URL of ${key} gives`, found, { ok: true, body: bytes })
                yield* same("whether it can be written with", (yield* request(url, textOf("new"))).ok, false)
                yield* isThere(storage, key, bytes)
              }
              const url = yield* storage.url("never", { method: "GET", expires: "1 minute" })
              yield* same("whether there is something where nothing is", (yield* request(url)).ok, false)
            })
          )
        : undefined,

      "a URL lets whoever has it write one artifact": urls
        ? promise((storage) =>
            Effect.gen(function* () {
              for (const [key, bytes] of [
                ["a", textOf("new")],
                ["b c/+%2F#?&.mov", large],
                ["empty", new Uint8Array()]
              ] as const) {
                yield* storage.put(key, streamOf(textOf("old")))
                const url = yield* storage.url(key, { method: "PUT", expires: "1 minute" })
                yield* same("whether it can be read with", (yield* request(url)).ok, false)
                yield* same("whether it can be written with", (yield* request(url, bytes)).ok, true)
                yield* isThere(storage, key, bytes)
              }
            })
          )
        : undefined,

      "a URL opens nothing but its own artifact": urls
        ? promise((storage) =>
            Effect.gen(function* () {
              for (const key of ["first-artifact", "other-artifact"]) yield* storage.put(key, streamOf(textOf(key)))
              for (const method of ["GET", "PUT"] as const) {
                const url = yield* storage.url("first-artifact", { method, expires: "1 minute" })
                const body = method === "PUT" ? textOf("new") : undefined
                const others = [url.replace("first-artifact", "other-artifact"), url.replace(/\?.*$/, "")]
                for (const other of others.filter((one) => one !== url)) {
                  const { ok } = yield* request(other, body)
                  yield* holds(`a URL that was changed should not work for ${method}`, !ok, other)
                }
              }
              for (const key of ["first-artifact", "other-artifact"]) yield* isThere(storage, key, textOf(key))
            })
          )
        : undefined,

      "a URL that has expired opens nothing": urls
        ? promise((storage) =>
            Effect.gen(function* () {
              yield* storage.put("a", streamOf(small))
              const writing = yield* storage.url("a", { method: "PUT", expires: "1 second" })
              const reading = yield* storage.url("a", { method: "GET", expires: "1 second" })
              const refused = Effect.map(request(reading), ({ ok }) => !ok)
              yield* eventually(timing, "a URL should expire", refused)
              yield* same("whether it can be written with", (yield* request(writing, textOf("late"))).ok, false)
              yield* isThere(storage, "a", small)
            })
          )
        : undefined,

      "URLs are Unsupported": urls
        ? undefined
        : promise((storage) =>
            Effect.forEach(["GET", "PUT"] as const, (method) =>
              fails("url", "Unsupported", "a", storage.url("a", { method, expires: "1 minute" }))
            )
          ),

      "an artifact of any size goes through in bounded memory":
        huge === undefined
          ? undefined
          : promise((storage) =>
              Effect.gen(function* () {
                const hash = createHash("sha256")
                const count = Math.ceil(huge / 1_048_576)
                const body = Stream.range(1, count).pipe(
                  Stream.rechunk(1),
                  Stream.map((index) => {
                    const piece = content(index, 1_048_576)
                    hash.update(piece)
                    return piece
                  })
                )
                const writing = yield* peakDuring(huge / 2, storage.put("huge", watched(body)))
                yield* same("the bytes that put gives", writing.value.bytes, count * 1_048_576)
                const reading = yield* peakDuring(huge / 2, hashOf(watched(storage.get("huge"))))
                yield* same("the hash of what was read", reading.value, hash.digest("hex"))
                for (const [what, { peak }] of [
                  ["put", writing],
                  ["get", reading]
                ] as const) {
                  const mebibytes = Math.round(peak / 1_048_576)
                  yield* holds(`${what} should hold half of ${count} MiB at most`, peak < huge / 2, `${mebibytes} MiB`)
                }
              })
            )
    }
  })
}

/** Lets others have a look between two pieces. */
const watched = <E>(stream: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  Stream.tap(stream, () => Effect.yieldNow)
