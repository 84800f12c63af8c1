/**
 * Brings bytes from where a worker may read, and takes what it made to where that was asked for.
 *
 * Everything is read as a stream with an upper limit, and written from a file. Failures are reasons of an attempt:
 * `Refused` for what will never work, `Transport` for what may the next time.
 */
import { ArtifactError, type ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import type { ArtifactPlace } from "@helios-infra/core/WorkerAdapter"
import { Refused, Transport } from "@helios-infra/core/WorkerError"
import * as LocalFiles from "@helios-infra/adapter-local/LocalFiles"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import type * as Sources from "../Sources.ts"
import { type Body, type GuardedHttp, limited } from "./guardedHttp.ts"

/** Why something could not be brought or taken. */
export type TransferError = Refused | Transport

/** Something of a known size to send; `sha256` in lower-case hexadecimal, where it is known. */
interface Parcel<E> extends Body<E> {
  readonly sha256?: string | undefined
}

/** What can be brought and taken. */
export interface Transfers {
  /** The content of a location; fails with `TooLarge` when it has more than `maxBytes`. */
  readonly read: (location: string, maxBytes: number) => Stream.Stream<Uint8Array, TransferError>
  /** Sends something, again when that may help; the content is read anew each time. */
  readonly send: <E>(place: ArtifactPlace, parcel: Parcel<E>) => Effect.Effect<void, TransferError | E>
  readonly exists: (place: ArtifactPlace) => Effect.Effect<boolean, TransferError>
}

/** How often what may work the next time is tried again here, before the whole attempt is. */
const retries = 2

/** Tries again what may work the next time. */
export const retrying = <A, E, R>(
  self: Effect.Effect<A, E | TransferError, R>
): Effect.Effect<A, E | TransferError, R> =>
  Effect.retry(self, {
    times: retries,
    schedule: Schedule.jittered(Schedule.exponential(Duration.millis(200))),
    while: (error) => error instanceof Transport
  })

/** What a worker has at hand to bring and take things with. */
export interface Means {
  readonly http: GuardedHttp
  readonly sources: Sources.Sources
  readonly storage: ArtifactStorage["Service"] | undefined
}

/** Makes them. */
export const make = ({ http, sources, storage }: Means): Transfers => {
  const read: Transfers["read"] = (location, maxBytes) =>
    Stream.unwrap(
      Effect.gen(function* (): Effect.fn.Return<Stream.Stream<Uint8Array, TransferError>, TransferError> {
        const located = yield* Effect.fromResult(sources.locate(location))
        switch (located._tag) {
          case "Url":
            return http.get(located.url, maxBytes)
          case "Artifact":
            if (storage === undefined) return yield* noStorage
            return limited(Stream.mapError(storage.get(located.key), reasonOf), location, maxBytes)
          case "File":
            return yield* readFile(located, maxBytes)
        }
      })
    )

  const target = Effect.fnUntraced(function* (place: ArtifactPlace) {
    if (place.url !== undefined) return { url: yield* Effect.fromResult(sources.url(place.url)) }
    return storage === undefined ? yield* noStorage : { storage }
  })

  const send: Transfers["send"] = Effect.fnUntraced(function* (place, parcel) {
    const { bytes, content, sha256 } = parcel
    const to = yield* target(place)
    yield* retrying(
      to.url === undefined
        ? to.storage.put(place.key, content, { bytes, ...(sha256 === undefined ? undefined : { sha256 }) }).pipe(
            Effect.mapError((error) => (error instanceof ArtifactError ? reasonOf(error) : error)),
            Effect.asVoid
          )
        : http.put(to.url, parcel)
    )
  })

  const exists: Transfers["exists"] = Effect.fnUntraced(function* (place) {
    const at = yield* target(place)
    if (at.url !== undefined) return yield* http.exists(at.url)
    return Option.isSome(yield* Effect.mapError(at.storage.head(place.key), reasonOf))
  })

  return { read, send, exists }
}

const noStorage = Effect.fail(
  new Refused({
    why: "Unsupported",
    fix: "this worker has no storage: configure one, or let JobManager give it URLs (access: urls)"
  })
)

// ---
// files of this machine
// ---

/**
 * A file below a folder that may be read, its links followed. What lies there can change while it is looked at, so the
 * real path is opened without following another link, and a pipe or a device is not read.
 */
const readFile = Effect.fnUntraced(function* (
  file: Extract<Sources.Located, { readonly _tag: "File" }>,
  maxBytes: number
): Effect.fn.Return<Stream.Stream<Uint8Array, TransferError>, TransferError> {
  const about = Effect.mapError((error: LocalFiles.FileError) => fileReason(file.path, error))
  const real = yield* about(LocalFiles.file(() => fs.realpath(file.path)))
  const folder = yield* about(LocalFiles.file(() => fs.realpath(file.folder)))
  if (!LocalFiles.isBelow(folder, real)) {
    return yield* new Refused({ why: "Unauthorized", fix: `${file.path} is a link that leads out of ${file.folder}` })
  }
  const flags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK
  const opened = Effect.acquireRelease(about(LocalFiles.file(() => fs.open(real, flags))), (handle) =>
    Effect.ignore(LocalFiles.file(() => handle.close()))
  )
  const content = Effect.gen(function* () {
    const handle = yield* opened
    const found = yield* about(LocalFiles.file(() => handle.stat()))
    if (!found.isFile()) return yield* new Refused({ why: "InvalidJob", fix: `${file.path} is no file` })
    return Stream.mapError(LocalFiles.readHandle(handle, { to: found.size }), (error) => fileReason(file.path, error))
  })
  return limited(Stream.unwrap(content), path.basename(file.path), maxBytes)
})

const fileReason = (name: string, { code, message }: LocalFiles.FileError): TransferError => {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new Refused({ why: "NotFound", fix: `${name} is not there` })
    case "EACCES":
    case "EPERM":
      return new Refused({ why: "Unauthorized", fix: `${name} may not be read by this worker's user` })
    case "ELOOP":
    case "ENAMETOOLONG":
    case "ENXIO":
      return new Refused({ why: "InvalidJob", fix: message })
    default:
      return new Transport({ cause: new Error(message) })
  }
}

// ---
// what a storage's failures mean for an attempt
// ---

const reasonOf = (error: ArtifactError): TransferError => {
  const why = whyOf(error.reason)
  // Not the error itself: what is in its cause is not ours to send around.
  return why === undefined
    ? new Transport({ cause: new Error(error.message) })
    : new Refused({ why, fix: error.message })
}

const whyOf = (reason: ArtifactError["reason"]): Refused["why"] | undefined => {
  switch (reason) {
    case "NotFound":
    case "Unauthorized":
    case "TooLarge":
    case "Unsupported":
      return reason
    case "InvalidKey":
      return "InvalidJob"
    case "Exists":
    case "Changed":
    case "Corrupt":
    case "Unavailable":
      return undefined
  }
}
