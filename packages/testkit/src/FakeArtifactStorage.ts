/**
 * A storage in memory: strict about keys, sizes and hashes, and broken in whatever way a test asks for.
 *
 * It hashes what it stores, gives a new etag to whatever is put, also to the same content again, and lets nobody see half
 * of an artifact. Its URLs are real ones, on a server of the loopback interface that starts with the first of them.
 */
import {
  ArtifactError,
  type ArtifactInfo,
  ArtifactStorage,
  checkContent,
  checkKey
} from "@helios-infra/core/ArtifactStorage"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash, type Hash } from "node:crypto"
import * as ArtifactUrls from "./internal/artifactUrls.ts"

/** What is asked of a storage. */
export type Operation = "put" | "get" | "head" | "list" | "delete" | "url"

/** One call, in the order in which they came; requests to URLs are no calls. */
export interface Call {
  readonly operation: Operation
  /** The key; the prefix of a `list`; one call for each key of a `delete`. */
  readonly key: string
}

/**
 * What goes wrong with a call.
 *
 * - `Fails`: it fails before it does anything.
 * - `Slow`: it takes that long before it does anything; `"Infinity"` for one that gives no answer.
 * - `Corrupt`: one byte of what is put or got is another one; an artifact without bytes gets one.
 * - `Cut`: what is got ends after so many bytes, with `Unavailable`; a `put` fails the same way, and stores nothing.
 */
export type Fault =
  | { readonly _tag: "Fails"; readonly reason: ArtifactError["reason"] }
  | { readonly _tag: "Slow"; readonly by: Duration.Input }
  | { readonly _tag: "Corrupt" }
  | { readonly _tag: "Cut"; readonly after: number }

/** Which calls something goes wrong with. */
export interface Trouble {
  readonly fault: Fault
  /** Default: every one. */
  readonly operation?: Operation | undefined
  /** Default: any key. */
  readonly key?: RegExp | undefined
  /** How many such calls. Default: 1. */
  readonly times?: number | undefined
}

/** One artifact. */
export interface FakeArtifact {
  readonly content: Uint8Array
  readonly info: ArtifactInfo
}

/** What is in a storage, what was asked of it, and what goes wrong with it. */
export class FakeArtifacts extends Context.Service<
  FakeArtifacts,
  {
    /** By key; a test may change it. */
    readonly artifacts: Map<string, FakeArtifact>
    /** Stores an artifact at once, without a call. */
    readonly store: (key: string, content: Uint8Array | string) => void
    /** Every call so far. */
    readonly calls: ReadonlyArray<Call>
    /** Lets the next calls that fit go wrong; of several troubles for one call, the oldest counts. */
    readonly trouble: (trouble: Trouble) => void
  }
>()("@helios-infra/testkit/FakeArtifactStorage/FakeArtifacts") {}

/** What a storage in memory has beside others. */
export interface Options {
  /** The largest artifact that it takes, in bytes. Default: any. */
  readonly maxBytes?: number | undefined
}

/** In pieces of this size artifacts are read, so that what is wrong in the middle of a stream can be seen. */
const pieceBytes = 64 * 1024

/** S3's and Google Cloud Storage's limit. */
const longestExpiry = Duration.days(7)

/** Makes a storage, and the way to look into it. Its URLs work until the scope closes. */
export const make = (
  options: Options = {}
): Effect.Effect<
  { readonly storage: ArtifactStorage["Service"]; readonly fake: FakeArtifacts["Service"] },
  never,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const artifacts = new Map<string, FakeArtifact>()
    const calls: Array<Call> = []
    const troubles: Array<{ readonly trouble: Trouble; left: number }> = []
    let etags = 0

    const set = (key: string, content: Uint8Array, hash: string | undefined): ArtifactInfo => {
      const sha256 = hash === undefined ? {} : { sha256: hash }
      const info = { key, bytes: content.length, etag: `"${++etags}"`, ...sha256 }
      artifacts.set(key, { content, info })
      return info
    }

    const faultOf = ({ key, operation }: Call): Fault | undefined => {
      const index = troubles.findIndex(
        ({ left, trouble }) =>
          left > 0 &&
          (trouble.operation ?? operation) === operation &&
          (trouble.key === undefined || key.search(trouble.key) >= 0)
      )
      const found = troubles[index]
      if (found === undefined) return undefined
      found.left--
      return found.trouble.fault
    }

    /** Notes a call and lets it go wrong, as far as that happens before it does anything. */
    const begin = Effect.fnUntraced(function* (
      operation: Operation,
      key: string
    ): Effect.fn.Return<Fault | undefined, ArtifactError> {
      calls.push({ operation, key })
      const fault = faultOf({ operation, key })
      if (fault?._tag === "Slow") yield* Effect.sleep(fault.by)
      if (fault?._tag === "Fails") return yield* failure(key, fault.reason, "told to fail")
      return fault
    })

    const put: ArtifactStorage["Service"]["put"] = Effect.fnUntraced(function* (key, body, options = {}) {
      yield* checkKey(key)
      const fault = yield* begin("put", key)
      const taken = failure(key, "Exists", "it is there")
      if (options.ifAbsent === true && artifacts.has(key)) return yield* taken
      const { content, sha256 } = yield* receive(key, disturbed(key, body, fault), options.bytes)
      yield* checkContent(key, options, { bytes: content.length, sha256 })
      // From here on nothing can come in between.
      if (options.ifAbsent === true && artifacts.has(key)) return yield* taken
      return set(key, content, sha256)
    })

    /** All bytes of a body. */
    const receive = Effect.fnUntraced(function* <E>(
      key: string,
      body: Stream.Stream<Uint8Array, E>,
      told: number | undefined
    ): Effect.fn.Return<{ readonly content: Uint8Array; readonly sha256: string }, ArtifactError | E> {
      const hash: Hash = createHash("sha256")
      const pieces: Array<Uint8Array> = []
      let bytes = 0
      yield* Stream.runForEach(body, (piece) => {
        bytes += piece.length
        if (bytes > (options.maxBytes ?? Infinity)) {
          return failure(key, "TooLarge", `it takes ${options.maxBytes} bytes at most`)
        }
        if (bytes > (told ?? Infinity))
          return failure(key, "Corrupt", `more than the ${told} bytes came that were told`)
        hash.update(piece)
        // Whoever gave it may use its memory again.
        pieces.push(piece.slice())
        return Effect.void
      })
      return { content: Buffer.concat(pieces), sha256: hash.digest("hex") }
    })

    const get: ArtifactStorage["Service"]["get"] = (key, options = {}) =>
      Stream.unwrap(
        Effect.gen(function* () {
          yield* checkKey(key)
          const fault = yield* begin("get", key)
          const found = artifacts.get(key)
          if (found === undefined) return yield* failure(key, "NotFound", "it is not there")
          if (options.etag !== undefined && options.etag !== found.info.etag) {
            return yield* failure(key, "Changed", `its etag is ${found.info.etag}, not ${options.etag}`)
          }
          const part = found.content.subarray(Math.max(0, options.from ?? 0), options.to)
          const starts = Array.from({ length: Math.ceil(part.length / pieceBytes) }, (_, index) => index * pieceBytes)
          const pieces = Stream.fromIterable(starts).pipe(
            Stream.rechunk(1),
            Stream.map((start) => part.slice(start, start + pieceBytes))
          )
          return disturbed(key, pieces, fault)
        })
      )

    const list = (prefix: string) =>
      Stream.unwrap(
        Effect.map(begin("list", prefix), () =>
          Stream.fromIterable([...artifacts.values()].map(({ info }) => info)).pipe(
            Stream.filter(({ key }) => key.startsWith(prefix))
          )
        )
      )

    const urls = yield* ArtifactUrls.make({
      get: (key) => artifacts.get(key)?.content,
      // A server that only sees bytes come knows no hash of theirs, as S3 does not.
      put: (key, body) => Effect.map(receive(key, body, undefined), ({ content }) => void set(key, content, undefined))
    })

    const storage = ArtifactStorage.of({
      put,
      get,
      head: (key) =>
        checkKey(key).pipe(
          Effect.andThen(begin("head", key)),
          Effect.map(() => Option.map(Option.fromUndefinedOr(artifacts.get(key)), ({ info }) => info))
        ),
      list,
      delete: Effect.fnUntraced(function* (keys) {
        const all = [...keys]
        yield* Effect.forEach(all, checkKey, { discard: true })
        for (const key of all) {
          yield* begin("delete", key)
          artifacts.delete(key)
        }
      }),
      url: Effect.fnUntraced(function* (key, { expires, method }) {
        yield* checkKey(key)
        yield* begin("url", key)
        const lasts = Duration.fromInputUnsafe(expires)
        if (Duration.isGreaterThan(lasts, longestExpiry)) {
          return yield* failure(key, "Unsupported", "a URL works for 7 days at most")
        }
        const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(lasts)
        return yield* urls({ key, method, until })
      })
    })

    const fake = FakeArtifacts.of({
      artifacts,
      store: (key, content) => {
        const bytes = Buffer.from(content)
        set(key, bytes, createHash("sha256").update(bytes).digest("hex"))
      },
      calls,
      trouble: (trouble) => void troubles.push({ trouble, left: trouble.times ?? 1 })
    })

    return { storage, fake }
  })

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<ArtifactStorage | FakeArtifacts> =>
  Layer.effectContext(
    Effect.map(make(options), ({ fake, storage }) =>
      Context.make(ArtifactStorage, storage).pipe(Context.add(FakeArtifacts, fake))
    )
  )

const failure = (key: string, reason: ArtifactError["reason"], why: string): ArtifactError =>
  new ArtifactError({ key, reason, cause: new Error(why) })

/** What goes wrong with bytes on their way. */
const disturbed = <E>(
  key: string,
  body: Stream.Stream<Uint8Array, E>,
  fault: Fault | undefined
): Stream.Stream<Uint8Array, E | ArtifactError> => {
  switch (fault?._tag) {
    case "Corrupt":
      return body.pipe(
        Stream.filter((piece) => piece.length > 0),
        Stream.mapAccum(
          () => false,
          (done: boolean, piece) => [true, [done ? piece : piece.map((byte, index) => (index === 0 ? byte ^ 1 : byte))]]
        ),
        Stream.orElseIfEmpty(() => Stream.make(Uint8Array.of(0)))
      )
    case "Cut":
      return body.pipe(
        Stream.filter((piece) => piece.length > 0),
        Stream.mapAccum(
          () => fault.after,
          (left: number, piece) => [Math.max(0, left - piece.length), [piece.subarray(0, left)]]
        ),
        Stream.takeWhile((piece) => piece.length > 0),
        Stream.concat(Stream.fail(failure(key, "Unavailable", `the connection broke after ${fault.after} bytes`)))
      )
    default:
      return body
  }
}
