import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage } from "@helios-infra/core"
import { ArtifactStorageContract, artifactStorageContract, Contract, FakeArtifactStorage } from "@helios-infra/testkit"
import type * as promise from "@helios-infra/core/promise"
import { Effect, Layer, Option, Scope, Stream } from "effect"
import * as Mutants from "./Mutants.ts"

type Service = ArtifactStorage.ArtifactStorage["Service"]
type Fake = FakeArtifactStorage.FakeArtifacts["Service"]

const good = FakeArtifactStorage.layer()

const failure = (key: string, reason: ArtifactStorage.ArtifactError["reason"]) =>
  new ArtifactStorage.ArtifactError({ key, reason, cause: new Error("broken on purpose") })

/** All of a body, held until it has ended, and a copy of it. */
const retained = <E>(body: Stream.Stream<Uint8Array, E>) =>
  Stream.unwrap(
    Effect.map(Stream.runCollect(body), (pieces) =>
      Stream.fromIterable([...pieces, Buffer.concat(pieces)]).pipe(Stream.take(pieces.length))
    )
  )

/** All of a body at once, or whatever came until it failed. */
const swallow = <E>(body: Stream.Stream<Uint8Array, E>) =>
  Effect.suspend(() => {
    const pieces: Array<Uint8Array> = []
    return Stream.runForEach(body, (piece) => Effect.sync(() => void pieces.push(piece))).pipe(
      Effect.exit,
      Effect.map((exit) => ({ exit, content: Buffer.concat(pieces) }))
    )
  })

artifactStorageContract("FakeArtifactStorage", good, { big: 1_000_000 })

/** The same as an author without Effect would write it: nothing of the service behind it is known to core. */
const plain = (): promise.ArtifactStorage => {
  const storage = Effect.runSync(
    Effect.flatMap(Scope.make(), (scope) => Scope.provide(FakeArtifactStorage.make(), scope))
  ).storage
  return {
    put: (key, body, options, { signal }) =>
      Effect.runPromise(storage.put(key, Stream.orDie(Stream.fromAsyncIterable(body, (cause) => cause)), options), {
        signal
      }),
    get: (key, options) => Stream.toAsyncIterable(storage.get(key, options)),
    head: (key) => Effect.runPromise(Effect.map(storage.head(key), Option.getOrNull)),
    list: (prefix) => Stream.toAsyncIterable(storage.list(prefix)),
    delete: (keys) => Effect.runPromise(storage.delete(keys)),
    url: (key, { expiresMs, method }) => Effect.runPromise(storage.url(key, { method, expires: expiresMs }))
  }
}

artifactStorageContract("a storage with promises", plain, { big: 1_000_000, many: 20 })

describe("the contract of ArtifactStorage", () => {
  const contract = (
    change: (storage: Service, fake: Fake) => Partial<Service>,
    options?: ArtifactStorageContract.Options
  ) =>
    ArtifactStorageContract.make(
      Layer.effect(
        ArtifactStorage.ArtifactStorage,
        Effect.gen(function* () {
          const storage = yield* ArtifactStorage.ArtifactStorage
          return { ...storage, ...change(storage, yield* FakeArtifactStorage.FakeArtifacts) }
        })
      ).pipe(Layer.provide(good)),
      { patience: "2 seconds", big: 300_000, ...options }
    )

  /** Only the promises that match: there are many, and every mutant breaks one. */
  const among = ({ cases, of }: Contract.Contract, promise: RegExp): Contract.Contract => ({
    of,
    cases: cases.filter(({ name }) => promise.test(name))
  })

  const catches = (name: string, broken: Contract.Contract, promise: RegExp) =>
    Mutants.catches(name, among(broken, promise), promise)

  it.live("asks for no more than it is told is promised", () =>
    Effect.gen(function* () {
      const modest = contract(
        ({ put }) => ({
          put: (key, body, options) => put(key, body, { ...options, ifAbsent: false }),
          url: (key) => Effect.andThen(ArtifactStorage.checkKey(key), Effect.fail(failure(key, "Unsupported")))
        }),
        { conditional: false, urls: false }
      )
      assert.deepStrictEqual(yield* Contract.check(modest), [])
    })
  )

  it.live("takes storages that hold on to a bounded part of what goes through, and no others", () =>
    Effect.gen(function* () {
      const huge = 64 * 1024 * 1024
      const hoarding = contract(({ put }) => ({ put: (key, body, options) => put(key, retained(body), options) }), {
        huge
      })
      const [broken] = yield* Contract.check(among(hoarding, /bounded memory/))
      assert.include(broken?.detail ?? "", "put should hold half of 64 MiB at most")
    })
  )

  catches(
    "one that stores what came before a body failed",
    contract((_, fake) => ({
      put: (key, body) =>
        Effect.flatMap(swallow(body), ({ content, exit }) => {
          fake.store(key, content)
          return Effect.andThen(exit, Effect.succeed({ key, bytes: content.length, etag: "e" }))
        })
    })),
    /whose body fails/
  )
  catches(
    "one that hides why a body failed",
    contract(({ put }) => ({
      put: (key, body, options) =>
        put(key, body, options).pipe(
          Effect.catchIf(
            (error) => !(error instanceof ArtifactStorage.ArtifactError),
            () => Effect.fail(failure(key, "Unavailable"))
          )
        )
    })),
    /fails with that/
  )
  catches(
    "one that shows an artifact while it comes",
    contract(({ put }, fake) => ({
      put: (key, body, options) => {
        let seen = 0
        return put(
          key,
          Stream.tap(body, (piece) => Effect.sync(() => fake.store(key, new Uint8Array((seen += piece.length))))),
          options
        )
      }
    })),
    /old artifact until the new one/
  )
  catches(
    "one that keeps what an interrupted put has sent",
    contract(({ put }, fake) => ({
      put: (key, body, options) =>
        Effect.onInterrupt(put(key, body, options), () => Effect.sync(() => fake.store(`${key}.part`, "left")))
    })),
    /interrupted stores nothing/
  )
  catches(
    "one that cannot be interrupted",
    contract(({ put }) => ({ put: (key, body, options) => Effect.uninterruptible(put(key, body, options)) })),
    /interrupted stores nothing/
  )
  catches(
    "one that takes what is not what was told",
    contract(({ put }) => ({ put: (key, body) => put(key, body) })),
    /Corrupt, and not stored/
  )
  catches(
    "one that finds out too late that it is Corrupt",
    contract(({ put }) => ({
      put: (key, body, options = {}) =>
        Effect.flatMap(put(key, body), (info) =>
          options.bytes !== undefined && options.bytes !== info.bytes
            ? Effect.fail(failure(key, "Corrupt"))
            : Effect.succeed(info)
        )
    })),
    /Corrupt, and not stored/
  )
  catches(
    "one that ignores ifAbsent",
    contract(({ put }) => ({ put: (key, body, options) => put(key, body, { ...options, ifAbsent: false }) })),
    /with ifAbsent, what is there stays/
  )
  catches(
    "one that looks whether it is there, and then puts it",
    contract(({ head, put }) => ({
      put: (key, body, options = {}) =>
        Effect.gen(function* () {
          yield* ArtifactStorage.checkKey(key)
          const there = yield* head(key)
          if (options.ifAbsent === true && Option.isSome(there)) return yield* failure(key, "Exists")
          return yield* put(key, body, { ...options, ifAbsent: false })
        })
    })),
    /one wins/
  )
  catches(
    "one whose etag says nothing",
    contract(({ get, head, list, put }) => ({
      put: (key, body, options) => Effect.map(put(key, body, options), (info) => ({ ...info, etag: "e" })),
      head: (key) => Effect.map(head(key), (found) => Option.map(found, (info) => ({ ...info, etag: "e" }))),
      list: (prefix) => Stream.map(list(prefix), (info) => ({ ...info, etag: "e" })),
      get: (key, options = {}) => get(key, { from: options.from, to: options.to })
    })),
    /etag changes/
  )
  catches(
    "one that gives another artifact than the one that was asked for",
    contract(({ get }) => ({ get: (key, options = {}) => get(key, { from: options.from, to: options.to }) })),
    /fails with Changed/
  )
  catches(
    "one that looks at the etag only where there is something to give",
    contract(({ get }) => ({
      get: (key, options = {}) =>
        options.from !== undefined && options.from === options.to ? get(key, { from: 0, to: 0 }) : get(key, options)
    })),
    /fails with Changed/
  )
  catches(
    "one that mixes an old and a new artifact",
    contract(({ get, head }) => ({
      get: (key, options = {}) =>
        options.from === undefined && options.to === undefined && options.etag === undefined
          ? Stream.unwrap(
              Effect.gen(function* () {
                yield* ArtifactStorage.checkKey(key)
                const found = yield* head(key)
                if (Option.isNone(found)) return yield* failure(key, "NotFound")
                const half = Math.floor(found.value.bytes / 2)
                return Stream.concat(
                  get(key, { to: half }),
                  Stream.suspend(() => get(key, { from: half }))
                )
              })
            )
          : get(key, options)
    })),
    /gets the old one whole/
  )
  catches(
    "one that counts ranges as HTTP does",
    contract(({ get }) => ({
      get: (key, options = {}) => get(key, options.to === undefined ? options : { ...options, to: options.to + 1 })
    })),
    /a range gives what is in it/
  )
  catches(
    "one that fails for what lies beyond the end",
    contract(({ get }) => ({
      get: (key, options = {}) =>
        (options.from ?? 0) >= 5000 ? Stream.fail(failure(key, "Unavailable")) : get(key, options)
    })),
    /a range gives what is in it/
  )
  catches(
    "one that takes no notice of case",
    contract(({ get, head, put }) => ({
      put: (key, body, options) => put(key.toLowerCase(), body, options),
      get: (key, options) => get(key.toLowerCase(), options),
      head: (key) => head(key.toLowerCase())
    })),
    /whatever characters their keys have/
  )
  catches(
    "one that decodes its keys",
    contract(({ get, head, put }) => {
      const decoded = (key: string) => key.replaceAll("%2F", "/").replaceAll("+", " ")
      return {
        put: (key, body, options) => put(decoded(key), body, options),
        get: (key, options) => get(decoded(key), options),
        head: (key) => head(decoded(key))
      }
    }),
    /whatever characters their keys have/
  )
  catches(
    "one that takes any name",
    contract(({ head }) => ({
      head: (key) => (key.includes("..") ? Effect.succeedNone : head(key))
    })),
    /no key is InvalidKey/
  )
  catches(
    "one that deletes before it looks at the names",
    contract(({ delete: remove }) => ({
      delete: (keys) => Effect.forEach(keys, (key) => remove([key]), { discard: true })
    })),
    /no key is InvalidKey/
  )
  catches(
    "one that lists folders",
    contract(({ list }) => ({
      list: (prefix) =>
        Stream.filter(
          list(prefix),
          ({ key }) => prefix === "" || prefix.endsWith("/") || key === prefix || key.startsWith(`${prefix}/`)
        )
    })),
    /need not be a folder/
  )
  catches(
    "one that lists a page",
    contract(({ list }) => ({ list: (prefix) => Stream.take(list(prefix), 1000) })),
    /many pages/
  )
  catches(
    "one that deletes a page",
    contract(({ delete: remove }) => ({ delete: (keys) => remove([...keys].slice(0, 1000)) })),
    /many pages/
  )
  catches(
    "one that cannot delete what is not there",
    contract(({ delete: remove, head }) => ({
      delete: (keys) =>
        Effect.forEach(
          keys,
          (key) =>
            Effect.flatMap(head(key), (found) =>
              Option.isNone(found) ? Effect.fail(failure(key, "NotFound")) : remove([key])
            ),
          { discard: true }
        )
    })),
    /delete removes what it is told to/
  )
  catches(
    "one that deletes what is below a key as well",
    contract(({ delete: remove, list }) => ({
      delete: (keys) =>
        Effect.forEach(
          [...keys],
          (key) =>
            Effect.andThen(
              ArtifactStorage.checkKey(key),
              Stream.runForEach(list(key), (found) => remove([found.key]))
            ),
          { discard: true }
        )
    })),
    /delete removes what it is told to/
  )
  catches(
    "one whose URLs never expire",
    contract(({ url }) => ({ url: (key, options) => url(key, { ...options, expires: "1 hour" }) })),
    /has expired/
  )
  catches(
    "one whose URLs are for anything",
    contract(({ url }) => ({ url: (key, options) => url(key, { ...options, method: "GET" }) })),
    /lets whoever has it write/
  )
  catches(
    "one whose URLs all open the same artifact",
    contract(({ url }) => ({
      url: (key, options) => Effect.andThen(ArtifactStorage.checkKey(key), url("a", options))
    })),
    /lets whoever has it read/
  )
  catches(
    "one that forgets the end of a large artifact",
    contract(({ get }) => ({
      get: (key, options = {}) => (options.to === undefined ? get(key, { ...options, to: 200_000 }) : get(key, options))
    })),
    /what was put is got/
  )
})
