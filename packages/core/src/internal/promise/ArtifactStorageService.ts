/** A storage with promises as the service that core works with. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Core from "../../ArtifactStorage.ts"
import type { ArtifactStorage } from "../../promise/ArtifactStorage.ts"
import * as UserPromise from "./UserPromise.ts"

const Info = Schema.Struct({
  key: Schema.String,
  bytes: Schema.Int,
  sha256: Schema.optional(Schema.String),
  etag: Schema.String
})

const isInfo = Schema.is(Info)
const isAnything = Schema.is(Schema.Unknown)
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array

/** The service. */
export const make = (plain: ArtifactStorage): Core.ArtifactStorage["Service"] => {
  const garbage = (key: string, method: string) =>
    new Core.ArtifactError({
      key,
      reason: "Unavailable",
      cause: new Error(`its ${method} gave something else than it must`)
    })
  const ask = <A>(
    key: string,
    method: string,
    call: (signal: AbortSignal) => unknown,
    is: (value: unknown) => value is A
  ) =>
    UserPromise.call(call).pipe(
      Effect.mapError(({ value }) => errorOf(key, value)),
      Effect.filterOrFail(is, () => garbage(key, method))
    )
  const read = <A>(
    key: string,
    method: string,
    call: () => AsyncIterable<unknown>,
    is: (value: unknown) => value is A
  ) =>
    Stream.suspend(() => Stream.fromAsyncIterable(call(), (value) => errorOf(key, value))).pipe(
      Stream.catchDefect((value) => Stream.fail(errorOf(key, value))),
      Stream.mapEffect((value) => (is(value) ? Effect.succeed(value) : Effect.fail(garbage(key, method))))
    )
  return Core.ArtifactStorage.of({
    put: <E>(key: string, body: Stream.Stream<Uint8Array, E>, options: Core.PutOptions = {}) =>
      Effect.suspend((): Effect.Effect<Core.ArtifactInfo, Core.ArtifactError | E> => {
        // What the body fails with comes back through the storage as whatever that makes of it.
        let failed: Cause.Cause<E> | undefined
        const told = Stream.tapCause(body, (cause) =>
          Effect.sync(() => {
            failed = cause
          })
        )
        return ask(
          key,
          "put",
          (signal) => plain.put(key, Stream.toAsyncIterable(told), options, { signal }),
          isInfo
        ).pipe(Effect.catch((error) => Effect.failCause<Core.ArtifactError | E>(failed ?? Cause.fail(error))))
      }),
    get: (key, options = {}) => read(key, "get", () => plain.get(key, options), isBytes),
    head: (key) =>
      Effect.map(
        ask(
          key,
          "head",
          () => plain.head(key),
          (value): value is Core.ArtifactInfo | null => value === null || isInfo(value)
        ),
        Option.fromNullOr
      ),
    list: (prefix) => read(prefix, "list", () => plain.list(prefix), isInfo),
    delete: (keys) =>
      Effect.suspend(() => {
        const all = [...keys]
        return ask(all[0] ?? "", "delete", () => plain.delete(all), isAnything)
      }).pipe(Effect.asVoid),
    url: (key, { expires, method }) =>
      ask(
        key,
        "url",
        () => plain.url(key, { method, expiresMs: Duration.toMillis(Duration.fromInputUnsafe(expires)) }),
        (value) => typeof value === "string"
      )
  })
}

const errorOf = (key: string, value: unknown): Core.ArtifactError =>
  value instanceof Core.ArtifactError ? value : new Core.ArtifactError({ key, reason: "Unavailable", cause: value })
