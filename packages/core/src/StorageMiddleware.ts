/**
 * What can be put around an `ArtifactStorage`: logs, metrics, limits, or a function of one's own.
 *
 * What comes as a stream (`get`, `list`) is under way from when it is first read until it ends, fails or is not wanted any
 * more. Results, errors and interruption pass through as they are.
 *
 * ```ts
 * import * as StorageMiddleware from "@helios-infra/core/StorageMiddleware"
 * import * as S3ArtifactStorage from "@helios-infra/storage-s3/S3ArtifactStorage"
 *
 * export const storage = S3ArtifactStorage.layer({ bucket: "films" }).pipe(
 *   StorageMiddleware.onLayer(StorageMiddleware.limitConcurrency(16), StorageMiddleware.metrics())
 * )
 * ```
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { ArtifactError, ArtifactStorage } from "./ArtifactStorage.ts"
import * as Limits from "./internal/Limits.ts"
import * as Observation from "./internal/Observation.ts"

export type { Rate } from "./internal/Limits.ts"

type Storage = ArtifactStorage["Service"]

/** Makes a storage of a storage. */
export type Middleware = (storage: Storage) => Storage

/** One use of a storage. */
export interface Call {
  readonly operation: keyof Storage
  /** The key; the prefix of `list`, the first of the keys of `delete`. */
  readonly key: string
}

/** What goes around the operations of a storage. */
export interface Around {
  /** Around `put`, `head`, `delete` and `url`. Default: nothing. */
  readonly effect?: <A, E>(operation: Effect.Effect<A, E>, call: Call) => Effect.Effect<A, E | ArtifactError>
  /** Around what `get` and `list` give. Default: nothing. */
  readonly stream?: <A>(content: Stream.Stream<A, ArtifactError>, call: Call) => Stream.Stream<A, ArtifactError>
}

/**
 * Puts functions around every operation.
 *
 * ```ts
 * import * as StorageMiddleware from "@helios-infra/core/StorageMiddleware"
 * import * as Effect from "effect/Effect"
 *
 * export const traced = StorageMiddleware.around({
 *   effect: (operation, { key, operation: name }) => Effect.withSpan(operation, `storage.${name}`, { attributes: { key } })
 * })
 * ```
 */
export const around =
  ({ effect = (operation) => operation, stream = (content) => content }: Around): Middleware =>
  (storage) => {
    // What a storage throws is what the operation ends with.
    const ask = <A, E>(operation: keyof Storage, key: string, ask: () => Effect.Effect<A, E>) =>
      effect(Effect.suspend(ask), { operation, key })
    const read = <A>(operation: keyof Storage, key: string, read: () => Stream.Stream<A, ArtifactError>) =>
      stream(Stream.suspend(read), { operation, key })
    return ArtifactStorage.of({
      ...storage,
      put: (key, body, options) => ask("put", key, () => storage.put(key, body, options)),
      get: (key, options) => read("get", key, () => storage.get(key, options)),
      head: (key) => ask("head", key, () => storage.head(key)),
      list: (prefix) => read("list", prefix, () => storage.list(prefix)),
      delete: (keys) => {
        const all = [...keys]
        return ask("delete", all[0] ?? "", () => storage.delete(all))
      },
      url: (key, options) => ask("url", key, () => storage.url(key, options))
    })
  }

/** Puts middleware around the storage of a layer, in the order of a pipe: the last is the outermost. */
export const onLayer =
  (...middleware: ReadonlyArray<Middleware>) =>
  <A, E, R>(layer: Layer.Layer<A | ArtifactStorage, E, R>): Layer.Layer<A | ArtifactStorage, E, R> =>
    Layer.provideMerge(
      Layer.effect(
        ArtifactStorage,
        Effect.map(ArtifactStorage, (storage) => middleware.reduce((inner, around) => around(inner), storage))
      ),
      layer
    )

/** Around both: entered before an operation begins, left with its exit. */
const within = (enter: (call: Call) => Effect.Effect<unknown, never, Scope.Scope>): Middleware =>
  around({
    effect: (operation, call) => Effect.scoped(Effect.andThen(enter(call), operation)),
    stream: (content, call) => Stream.unwrap(Effect.as(enter(call), content))
  })

/** Reasons that answer a question rather than being a failure. */
const answers = new Set(["NotFound", "Exists", "Changed"])

/**
 * Logs how each operation ends, with the annotations `operation`, `key` and `durationMs`: `Debug` when it is done, stopped,
 * or says that an artifact is not there, there already or another one; `Warning` when it failed. URLs are secrets, and are
 * not logged.
 */
export const logging = (): Middleware =>
  within(({ key, operation }) =>
    Effect.acquireRelease(
      Clock.currentTimeMillis,
      Effect.fnUntraced(function* (startedAt, exit) {
        const durationMs = (yield* Clock.currentTimeMillis) - startedAt
        const outcome = Observation.outcomeOf(exit)
        const isFine = Exit.isSuccess(exit) || outcome === "interrupted" || answers.has(outcome)
        yield* (
          isFine
            ? Effect.logDebug(`storage operation ${outcome}`)
            : Effect.logWarning(`storage operation failed: ${outcome}`, exit.cause)
        ).pipe(Effect.annotateLogs({ operation, key, durationMs }))
      })
    )
  )

const meters = Observation.meters("helios.storage.operation", "operations")

/** The attribute of metrics that says what was asked of the storage: the name of its method. */
export const operationAttribute = "helios.storage.operation"

/**
 * `helios.storage.operation.duration`: how long operations took, in milliseconds, by `helios.storage.operation`,
 * `helios.outcome` (`completed`, `failed`, `interrupted`) and `error.type`, the error's reason. Its count is how many there
 * were. A stream of which a part was read is completed.
 */
export const operationDuration: Metric.Histogram<number> = meters.duration

/** `helios.storage.operation.active`: how many operations are under way, by `helios.storage.operation`. */
export const operationsActive: Metric.Counter<number> = meters.active

/** `helios.storage.transferred`: how many bytes were stored and read, by `helios.storage.operation`: `put` or `get`. */
export const transferred: Metric.Counter<number> = Metric.counter("helios.storage.transferred", {
  description: "Bytes that were stored or read",
  attributes: { unit: "By" },
  incremental: true
})

/** Keeps {@link operationDuration}, {@link operationsActive} and {@link transferred}; `attributes` come with each of them. */
export const metrics = (attributes: Readonly<Record<string, string>> = {}): Middleware => {
  const of = (operation: keyof Storage) => ({ [operationAttribute]: operation, ...attributes })
  const meterOf = (operation: keyof Storage) => Observation.makeMeter(meters, of(operation))
  const by: Readonly<Record<keyof Storage, ReturnType<typeof meterOf>>> = {
    put: meterOf("put"),
    get: meterOf("get"),
    head: meterOf("head"),
    list: meterOf("list"),
    delete: meterOf("delete"),
    url: meterOf("url")
  }
  const stored = Metric.withAttributes(transferred, of("put"))
  const got = Metric.withAttributes(transferred, of("get"))
  const measured = within(({ operation }) => by[operation])
  return (storage) => {
    const inner = measured(storage)
    return ArtifactStorage.of({
      ...inner,
      put: (key, body, options) =>
        Effect.tap(inner.put(key, body, options), (info) => Metric.update(stored, info.bytes)),
      get: (key, options) => Stream.tap(inner.get(key, options), (piece) => Metric.update(got, piece.length))
    })
  }
}

/**
 * At most so many operations at once, of all that use the storage; further ones wait. Do not store what is read from the
 * same storage through it: with every place taken by a `put`, their `get`s would wait for ever.
 *
 * Throws a `RangeError` unless `most` is a whole number from 1.
 */
export const limitConcurrency = (most: number): Middleware => {
  Limits.checkCount("most", most)
  return (storage) => {
    const slots = Semaphore.makeUnsafe(most)
    return within(() => slots.takeScoped(1))(storage)
  }
}

/**
 * At most so many operations begin in so much time, of all that use the storage; further ones wait for their turn.
 *
 * Throws a `RangeError` unless `most` is a whole number from 1 and `per` is more than 0.
 */
export const limitRate = (rate: Limits.Rate): Middleware => {
  Limits.checkRate(rate)
  return (storage) => {
    const turn = Limits.makeTurns(rate)
    return within(() => turn)(storage)
  }
}

/**
 * Stops an operation when the storage does nothing for so long, and fails it with `Unavailable`: gives no answer, no next
 * piece of what is read, takes no next piece of what it is to store. Time in which the storage waits, for pieces or for who
 * reads them, does not count.
 *
 * Throws a `RangeError` unless the limit is more than 0.
 */
export const limitTime = (limit: Duration.Input): Middleware => {
  const most = Limits.checkTime("limit", limit)
  const late = (key: string) => {
    const cause = new Error(`the storage did nothing for ${Duration.format(most)}`)
    return Effect.fail(new ArtifactError({ key, reason: "Unavailable", cause }))
  }
  const inTime = around({
    effect: (operation, { key }) => Effect.timeoutOrElse(operation, { duration: most, orElse: () => late(key) }),
    stream: (content, { key }) =>
      Stream.transformPull(content, (pull) =>
        Effect.succeed(Effect.timeoutOrElse(pull, { duration: most, orElse: () => late(key) }))
      )
  })
  return (storage) =>
    ArtifactStorage.of({
      ...inTime(storage),
      put: (key, body, options) =>
        Clock.clockWith((clock) => {
          const now = () => clock.currentTimeMillisUnsafe()
          /** Since when it is the storage's turn; `undefined` while it waits for the next piece. */
          let since: number | undefined = now()
          const told = Stream.transformPull(body, (pull) =>
            Effect.succeed(
              Effect.suspend(() => {
                since = undefined
                return Effect.onExit(pull, () =>
                  Effect.sync(() => {
                    since = now()
                  })
                )
              })
            )
          )
          const watch: Effect.Effect<never, ArtifactError> = Effect.suspend(() => {
            const left = (since ?? now()) + Duration.toMillis(most) - now()
            return left > 0 ? Effect.andThen(Effect.sleep(left), watch) : late(key)
          })
          return Effect.raceFirst(
            Effect.suspend(() => storage.put(key, told, options)),
            watch
          )
        })
    })
}
