/**
 * Where a job's files lie when its workers are elsewhere: the job file, its assets, and what attempts wrote.
 *
 * A storage knows keys and bytes and nothing of jobs; what lies under which key is the business of `JobArtifacts`.
 * Everything in it is private: who has no credentials is given a URL that expires.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as Defect from "./internal/Defect.ts"

/** An artifact could not be stored, read, found or removed. */
export class ArtifactError extends Schema.TaggedError<ArtifactError>()("ArtifactError", {
  key: Schema.String,
  /**
   * - `NotFound`: there is no such artifact.
   * - `Exists`: there is one already, and it was not to be replaced.
   * - `Changed`: it is not the one that was asked for any more.
   * - `Corrupt`: what arrived is not what was sent: the hash or the size differs. Nothing was stored.
   * - `Unauthorized`: the credentials do not allow it.
   * - `TooLarge`: the storage takes no artifact of this size.
   * - `InvalidKey`: see {@link ArtifactKey}.
   * - `Unsupported`: this storage cannot do that, such as give URLs.
   * - `Unavailable`: anything else, after the storage's own retries; `cause` has it.
   */
  reason: Schema.Literals([
    "NotFound",
    "Exists",
    "Changed",
    "Corrupt",
    "Unauthorized",
    "TooLarge",
    "InvalidKey",
    "Unsupported",
    "Unavailable"
  ]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    const artifact = `artifact ${JSON.stringify(this.key)}`
    switch (this.reason) {
      case "NotFound":
        return `${artifact} is not there`
      case "Exists":
        return `${artifact} is there already`
      case "Changed":
        return `${artifact} was replaced while it was read`
      case "Corrupt":
        return `${artifact} did not arrive as it was sent: ${Defect.describe(this.cause)}`
      case "Unauthorized":
        return `${artifact}: the storage's credentials do not allow this: ${Defect.describe(this.cause)}`
      case "TooLarge":
        return `${artifact} is too large for this storage: ${Defect.describe(this.cause)}`
      case "InvalidKey":
        return `${artifact}: ${Defect.describe(this.cause)}`
      case "Unsupported":
        return `${artifact}: this storage cannot do that: ${Defect.describe(this.cause)}`
      case "Unavailable":
        return `${artifact}: the storage gave no answer, or a bad one: ${Defect.describe(this.cause)}`
    }
  }
}

/** How many bytes of UTF-8 a key may have: S3 and Google Cloud Storage take 1 024, the bucket's prefix included. */
const longestKey = 900

/**
 * The name of an artifact: parts with `/` between them, none of which is empty, `.` or `..`; at most 900 bytes of
 * UTF-8, no control character, no backslash. Such a name is a legal key in every bucket and a legal path below a folder.
 */
export const ArtifactKey = Schema.String.check(
  Schema.isPattern(/^(?!.*(?:^|\/)\.{0,2}(?:\/|$))[^\p{Cc}\p{Cs}\\]+$/u),
  Schema.makeFilter((key) => new TextEncoder().encode(key).length <= longestKey)
)

/** What a storage knows of an artifact. */
export interface ArtifactInfo {
  readonly key: string
  readonly bytes: number
  /** The content's SHA-256 in lower-case hexadecimal, where it was told or computed when the artifact was stored. */
  readonly sha256?: string | undefined
  /** Changes when the content does. */
  readonly etag: string
}

/** How to store an artifact. */
export interface PutOptions {
  /** Fail with `Exists` when there is one with this key, and leave that as it is. Default: replace it. */
  readonly ifAbsent?: boolean | undefined
  /** How many bytes will come, where that is known: fewer or more fail with `Corrupt`. */
  readonly bytes?: number | undefined
  /** The SHA-256 that the content must have, in lower-case hexadecimal; another one fails with `Corrupt`. */
  readonly sha256?: string | undefined
}

/** Which part of an artifact to read. */
export interface GetOptions {
  /** The first byte. Default: 0. */
  readonly from?: number | undefined
  /** The byte after the last one. Default: the artifact's size. */
  readonly to?: number | undefined
  /** Fail with `Changed` unless the artifact has this etag. */
  readonly etag?: string | undefined
}

/** How a URL may be used. */
export interface UrlOptions {
  readonly method: "GET" | "PUT"
  /** How long it works. Storages have limits: 7 days in S3 and in Google Cloud Storage. */
  readonly expires: Duration.Input
}

/**
 * Stores artifacts.
 *
 * - `put` stores a stream of bytes, whole or not at all; readers see the old artifact until the new one is there. Holds
 *   a bounded part of it in memory, however large it is. When the stream fails, so does `put`, and nothing was stored.
 * - `get` streams an artifact, or part of it. A range that begins at or after its end is empty.
 * - `head` tells what is known of one.
 * - `list` gives all whose keys begin with the prefix, in no particular order.
 * - `delete` removes artifacts; one that is not there is no failure.
 * - `url` gives a URL that lets whoever has it read or write one artifact, with a plain HTTP request and no other
 *   header than `content-length`; it is a secret as long as it works.
 */
export class ArtifactStorage extends Context.Service<
  ArtifactStorage,
  {
    readonly put: <E>(
      key: string,
      body: Stream.Stream<Uint8Array, E>,
      options?: PutOptions
    ) => Effect.Effect<ArtifactInfo, ArtifactError | E>
    readonly get: (key: string, options?: GetOptions) => Stream.Stream<Uint8Array, ArtifactError>
    readonly head: (key: string) => Effect.Effect<Option.Option<ArtifactInfo>, ArtifactError>
    readonly list: (prefix: string) => Stream.Stream<ArtifactInfo, ArtifactError>
    readonly delete: (keys: Iterable<string>) => Effect.Effect<void, ArtifactError>
    readonly url: (key: string, options: UrlOptions) => Effect.Effect<string, ArtifactError>
  }
>()("@helios-infra/core/ArtifactStorage") {}

/** Fails with `InvalidKey` unless the key is an {@link ArtifactKey}: for implementations, before they do anything. */
export const checkKey = (key: string): Effect.Effect<void, ArtifactError> =>
  isKey(key)
    ? Effect.void
    : Effect.fail(
        new ArtifactError({
          key,
          reason: "InvalidKey",
          cause: new Error(
            `a key has 1 to ${longestKey} bytes, and between its slashes no empty part, "." or ".."; it has no backslash and no control character`
          )
        })
      )

const isKey = Schema.is(ArtifactKey)

/** Fails with `Corrupt` unless what came is what was told: for implementations, before they store it. */
export const checkContent = (
  key: string,
  told: PutOptions,
  came: { readonly bytes: number; readonly sha256: string }
): Effect.Effect<void, ArtifactError> => {
  const corrupt = (why: string) => Effect.fail(new ArtifactError({ key, reason: "Corrupt", cause: new Error(why) }))
  if (told.bytes !== undefined && told.bytes !== came.bytes) {
    return corrupt(`${told.bytes} bytes were told, ${came.bytes} came`)
  }
  if (told.sha256 !== undefined && told.sha256 !== came.sha256) {
    return corrupt(`its SHA-256 is ${came.sha256}, not ${told.sha256}`)
  }
  return Effect.void
}

const scheme = "artifact:"

/** The location of an artifact, as an `OutputRef` and a `jobPath` have it. */
export const locationOf = (key: string): string => `${scheme}${key}`

/** The key of a location that {@link locationOf} made; `undefined` for any other location, such as a path. */
export const keyOf = (location: string): string | undefined =>
  location.startsWith(scheme) ? location.slice(scheme.length) : undefined
