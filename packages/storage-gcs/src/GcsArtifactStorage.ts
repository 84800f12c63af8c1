/**
 * Artifacts in a bucket of Google Cloud Storage.
 *
 * ```
 * put ─parts→ one part: one request      several: session → part… → check → last part      or the session is cancelled
 * get → one request for everything, of one generation → the rest of that generation when it breaks off → check
 * ```
 *
 * What passes through is held a part at a time. Nothing is made public, and nothing is set up here: the bucket, its
 * lifecycle and who may use it are there before.
 */
import type { Storage } from "@google-cloud/storage"
import * as ArtifactParts from "@helios-infra/core/ArtifactParts"
import {
  ArtifactError,
  type ArtifactInfo,
  ArtifactKey,
  ArtifactStorage,
  checkContent,
  checkKey,
  type PutOptions
} from "@helios-infra/core/ArtifactStorage"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { createHash, randomUUID } from "node:crypto"
import * as client from "./internal/client.ts"
import { Crc32c } from "./internal/crc32c.ts"
import * as downloads from "./internal/downloads.ts"
import { decodeObject, decodePage, objectFields, type ObjectResource } from "./internal/objectResource.ts"
import * as requests from "./internal/requests.ts"
import * as serviceFault from "./internal/serviceFault.ts"
import { signedUrl } from "./internal/signedUrl.ts"
import * as uploads from "./internal/uploads.ts"

/** A service account's key. */
export interface Credentials extends client.Credentials {}

/** What a service account's key file says. */
export interface KeyFile extends client.KeyFile {}

/** Which bucket it is, and how it is used; everything here can come from `Config`. */
export interface BucketOptions {
  readonly bucket: string
  /** What all keys in the bucket begin with: `"renders"` for `renders/jobs/…`. Default: nothing. At most 120 bytes. */
  readonly prefix?: string | undefined
  /** The project. No request needs it; where it is told, the SDK does not look for it. */
  readonly projectId?: string | undefined
  /** A service account's key file. Default: what Google's tools take: the environment, `gcloud`, the machine's account. */
  readonly keyFilename?: string | undefined
  /** Where the service is, for an emulator or an endpoint of your own. */
  readonly apiEndpoint?: string | undefined
  /** Whether no credentials are looked for or sent, for an emulator; only with `apiEndpoint`. Default: false. */
  readonly anonymous?: boolean | undefined
  /** The Cloud KMS key that artifacts are encrypted with, where it is not what the bucket does anyway. */
  readonly kmsKeyName?: string | undefined
  /** How large the parts of an upload are, in bytes; rounded up to 256 KiB. One is in memory. Default: 8 MiB. */
  readonly partBytes?: number | undefined
  /** How often each request is made before it fails, where it can help to make it again. Default: 7, in about 6 seconds. */
  readonly attempts?: number | undefined
}

/** The same from `Config`. */
export interface ConfigOptions extends BucketOptions {
  readonly credentials?: Credentials | undefined
}

/** How a bucket is used. */
export interface Options extends BucketOptions {
  /** A service account's key, in place of `keyFilename`. */
  readonly credentials?: Credentials | KeyFile | undefined
  /**
   * A client of your own, in place of `projectId`, `keyFilename`, `credentials`, `apiEndpoint` and `anonymous`: its
   * credentials, endpoint and connections are used, but not its retries.
   */
  readonly client?: Storage | undefined
}

const defaultPartBytes = 8 * 1024 ** 2

const defaultAttempts = 7

/** The service takes parts of so many bytes, or multiples of it. */
const partUnit = 256 * 1024

/** The service's limit for an object. */
const largestObject = 5 * 1024 ** 4

/** The longest prefix: the service's 1 024 bytes for a name, less the longest that an artifact's may be. */
const longestPrefix = 120

/** How many artifacts are deleted at once: the service takes one at a time. */
const deletesAtOnce = 16

/** How many are tried before it is looked whether one could not be deleted. */
const deleteBatch = 100

/** The service's limit. */
const longestExpiry = Duration.days(7)

/** Tells what one put has written from what another one has, when the answer to it was lost. */
const putId = "put-id"

const isKey = Schema.is(ArtifactKey)

const isSha256 = Schema.is(Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)))

/** Whether the service can have given it: another etag is another artifact's for certain. */
const isGeneration = Schema.is(Schema.String.check(Schema.isPattern(/^\d{1,19}$/)))

/**
 * A storage in a bucket. Fails with `InvalidKey` for a prefix that no key can have, and with `Unauthorized` for a key
 * file that is none. A client that is made here lets go of its connections with the scope.
 *
 * - `put` checks what came before it sends the last part; without that there is no artifact, and the upload is
 *   cancelled. An artifact of one part is one request. The service holds what arrives to a CRC-32C.
 * - `get` asks again for the rest when a body breaks off, and fails with `Changed` when the artifact is another one by
 *   then. What is read whole is checked against the service's CRC-32C.
 * - An artifact of several parts knows its SHA-256 only where `put` was told it: it is stored before the bytes are.
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ArtifactStorage["Service"], ArtifactError, Scope.Scope> {
  const { attempts = defaultAttempts, bucket, kmsKeyName } = options
  const prefix = yield* prefixOf(options.prefix ?? "")
  const partBytes = Math.max(1, Math.ceil((options.partBytes ?? defaultPartBytes) / partUnit)) * partUnit
  const gcs = options.client ?? (yield* client.make(options))
  const service = requests.make(gcs, attempts)
  const listUrl = `${gcs.baseUrl}/b/${encodeURIComponent(bucket)}/o`
  const uploadUrl = `${gcs.apiEndpoint}/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`
  const urlOf = (key: string) => `${listUrl}/${encodeURIComponent(prefix + key)}`

  const head = Effect.fnUntraced(
    function* (key: string) {
      const answer = yield* service.send({ method: "GET", url: urlOf(key), params: { fields: objectFields } })
      return Option.some(yield* Effect.mapError(decodeObject(answer.body), notAnObject))
    },
    (effect, key) =>
      effect.pipe(
        Effect.catchIf(
          (fault) => serviceFault.reasonOf(fault, false) === "NotFound",
          () => Effect.succeed(Option.none<ObjectResource>())
        ),
        Effect.mapError((fault) => serviceFault.errorOf(key, fault, false))
      )
  )

  /** Removes one generation of an object, or whatever is there; what is not there any more is no failure. */
  const remove = (key: string, ifGenerationMatch?: string): Effect.Effect<void, ArtifactError> =>
    service.send({ method: "DELETE", url: urlOf(key), params: { ifGenerationMatch } }).pipe(
      Effect.catchIf(
        (fault) => serviceFault.reasonOf(fault, false) === "NotFound",
        () => Effect.void
      ),
      Effect.mapError((fault) => serviceFault.errorOf(key, fault, true)),
      Effect.asVoid
    )

  // ---
  // put
  // ---

  /**
   * What came of a put that was told that there is an artifact already, or no upload any more: perhaps its own, made by
   * a request to which no answer came and which was then made again.
   */
  const settled = Effect.fnUntraced(function* (key: string, id: string, fault: serviceFault.Fault) {
    const reason = serviceFault.reasonOf(fault, true)
    if (reason === "Exists" || (serviceFault.isUploadGone(fault) && !serviceFault.isBucketMissing(fault))) {
      const found = yield* head(key)
      if (Option.isSome(found) && found.value.metadata?.[putId] === id) return found.value
      if (Option.isNone(found)) return yield* new ArtifactError({ key, reason: "Unavailable", cause: fault.cause })
    }
    return yield* new ArtifactError({ key, reason, cause: fault.cause })
  })

  /** Removes what a put may have stored that was stopped when all was sent and no answer had come. */
  const withdraw = (key: string, id: string): Effect.Effect<void> =>
    head(key).pipe(
      Effect.flatMap((found) =>
        Option.isSome(found) && found.value.metadata?.[putId] === id ? remove(key, found.value.generation) : Effect.void
      ),
      Effect.timeout(cleanUpTimeout),
      Effect.catchCause((cause) =>
        Effect.logWarning(
          `${prefix}${key} may be there though its upload was stopped: it could not be looked for and deleted`,
          cause
        )
      )
    )

  /** Fails when the service has stored something else than was sent, and removes that. */
  const isIntact = Effect.fnUntraced(function* (key: string, object: ObjectResource, crc32c: string) {
    if (object.crc32c === undefined || object.crc32c === crc32c) return object
    yield* Effect.ignore(remove(key, object.generation))
    return yield* failure(key, "Corrupt", `its CRC-32C is ${crc32c}, and the service has ${object.crc32c}`)
  })

  const putWhole = Effect.fnUntraced(function* (
    key: string,
    content: Uint8Array,
    { crc32c, sha256 }: Digests,
    ifAbsent: boolean
  ) {
    const id = randomUUID()
    const target = { name: prefix + key, metadata: { sha256, [putId]: id }, ifAbsent, kmsKeyName }
    const object = yield* uploads.whole(service, uploadUrl, target, content, crc32c).pipe(
      Effect.catch((fault) => settled(key, id, fault)),
      // Without a condition there may have been another artifact, and none at all would be worse than this one.
      Effect.onInterrupt(() => (ifAbsent ? withdraw(key, id) : Effect.void))
    )
    return yield* isIntact(key, object, crc32c)
  })

  const cancel = (key: string, session: string): Effect.Effect<void> =>
    uploads
      .cancel(service, session)
      .pipe(
        Effect.catchCause((cause) =>
          Effect.logWarning(
            `an upload of ${prefix}${key} could not be cancelled: what it has sent stays with the service for a week`,
            cause
          )
        )
      )

  const putParts = <E>(
    key: string,
    content: Stream.Stream<ArtifactParts.Part, E | ArtifactError>,
    told: PutOptions,
    check: Effect.Effect<Digests, ArtifactError>
  ): Effect.Effect<ObjectResource, E | ArtifactError> =>
    Effect.suspend(() => {
      const id = randomUUID()
      const ifAbsent = told.ifAbsent === true
      const metadata = { ...(told.sha256 === undefined ? {} : { sha256: told.sha256 }), [putId]: id }
      let ends = false
      return Effect.acquireUseRelease(
        uploads
          .begin(service, uploadUrl, { name: prefix + key, metadata, ifAbsent, kmsKeyName }, told.bytes)
          .pipe(Effect.mapError((fault) => serviceFault.errorOf(key, fault, true))),
        (session) =>
          content.pipe(
            Stream.mapEffect(
              Effect.fnUntraced(function* (part) {
                const crc32c = part.last ? (yield* check).crc32c : undefined
                ends = part.last
                const object = yield* Effect.catch(uploads.send(service, session, part, crc32c), (fault) =>
                  settled(key, id, fault)
                )
                return crc32c === undefined || object === undefined ? object : yield* isIntact(key, object, crc32c)
              })
            ),
            Stream.runLast,
            Effect.flatMap((object) =>
              Option.isSome(object) && object.value !== undefined
                ? Effect.succeed(object.value)
                : failure(key, "Unavailable", "the upload ended, and the service named no object")
            )
          ),
        (session, exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Effect.andThen(cancel(key, session), ends && ifAbsent ? withdraw(key, id) : Effect.void)
      )
    })

  const put: ArtifactStorage["Service"]["put"] = Effect.fn("GcsArtifactStorage.put")(function* <E>(
    key: string,
    body: Stream.Stream<Uint8Array, E>,
    told: PutOptions = {}
  ): Effect.fn.Return<ArtifactInfo, ArtifactError | E, Scope.Scope> {
    yield* checkKey(key)
    const most = told.bytes ?? largestObject
    if (most > largestObject) return yield* failure(key, "TooLarge", `${most} bytes are more than 5 TiB`)
    const sha256 = createHash("sha256")
    const crc32c = new Crc32c()
    let bytes = 0
    const counted = Stream.tap(body, (piece) => {
      sha256.update(piece)
      crc32c.update(piece)
      bytes += piece.length
      if (bytes <= most) return Effect.void
      return told.bytes === undefined
        ? failure(key, "TooLarge", "more than 5 TiB came")
        : failure(key, "Corrupt", `more than the ${most} bytes came that were told`)
    })
    // Asked for once, when all has come.
    const checked = yield* Effect.cached(
      Effect.suspend(() => {
        const digests = { sha256: sha256.digest("hex"), crc32c: crc32c.digest() }
        return Effect.as(checkContent(key, told, { bytes, sha256: digests.sha256 }), digests)
      })
    )
    const [first, others] = yield* Stream.peel(
      ArtifactParts.parts(counted, () => partBytes),
      Sink.head()
    )
    if (Option.isNone(first)) return yield* Effect.die("a stream of bytes has a last part")
    if (first.value.last) {
      const digests = yield* checked
      return infoOf(key, yield* putWhole(key, first.value.content, digests, told.ifAbsent === true), digests.sha256)
    }
    if (told.ifAbsent === true && Option.isSome(yield* head(key))) {
      return yield* failure(key, "Exists", "there is one of that name")
    }
    const object = yield* putParts(key, Stream.concat(Stream.make(first.value), others), told, checked)
    return infoOf(key, object, (yield* checked).sha256)
  }, Effect.scoped)

  // ---
  // get
  // ---

  /** Nothing of an artifact: fails unless it is there, and the one that is meant. */
  const nothing = Effect.fnUntraced(function* (key: string, etag: string | undefined) {
    const found = yield* head(key)
    if (Option.isNone(found)) return yield* failure(key, "NotFound", "there is none of that name")
    if (etag !== undefined && etag !== found.value.generation) {
      return yield* failure(key, "Changed", `its etag is ${found.value.generation}, not ${etag}`)
    }
    return Stream.empty
  })

  const get: ArtifactStorage["Service"]["get"] = (key, { etag, from = 0, to = Infinity } = {}) =>
    Stream.unwrap(
      Effect.gen(function* () {
        yield* checkKey(key)
        if (to <= from || (etag !== undefined && !isGeneration(etag))) return yield* nothing(key, etag)
        return downloads.content(service, urlOf(key), { from, to, generation: etag }).pipe(
          Stream.catchTags({
            Fault: (fault) =>
              serviceFault.isBeyondEnd(fault)
                ? Stream.unwrap(nothing(key, etag))
                : Stream.fail(serviceFault.errorOf(key, fault, false)),
            Damaged: ({ message }) => Stream.fail(failure(key, "Corrupt", message))
          })
        )
      })
    )

  // ---
  // the rest
  // ---

  const list = (wanted: string): Stream.Stream<ArtifactInfo, ArtifactError> =>
    Stream.paginate(
      undefined,
      Effect.fnUntraced(
        function* (pageToken: string | undefined) {
          const fields = `nextPageToken,items(${objectFields})`
          const params = { prefix: prefix + wanted, pageToken, fields, maxResults: "1000" }
          const answer = yield* service.send({ method: "GET", url: listUrl, params })
          const { items = [], nextPageToken } = yield* Effect.mapError(decodePage(answer.body), notAnObject)
          const infos = items.flatMap((object) => {
            const key = object.name.slice(prefix.length)
            // Folders that a console has made, and whatever else is no artifact.
            return isKey(key) ? [infoOf(key, object)] : []
          })
          return [infos, Option.fromUndefinedOr(nextPageToken)] as const
        },
        Effect.mapError((fault) => serviceFault.errorOf(wanted, fault, true))
      )
    )

  /** Tries all, and fails with the first that could not be deleted. */
  const deleteAll = (keys: ReadonlyArray<string>): Effect.Effect<void, ArtifactError> =>
    Effect.flatMap(
      Effect.partition(keys, (key) => remove(key), { concurrency: deletesAtOnce }),
      ([, [first]]) => (first === undefined ? Effect.void : Effect.fail(first))
    )

  const url: ArtifactStorage["Service"]["url"] = Effect.fnUntraced(function* (key, { expires, method }) {
    yield* checkKey(key)
    const lasts = Duration.fromInputUnsafe(expires)
    if (Duration.isGreaterThan(lasts, longestExpiry)) {
      return yield* failure(key, "Unsupported", "Google Cloud Storage gives no URL that works for more than 7 days")
    }
    const now = yield* Clock.currentTimeMillis
    const seconds = Math.max(1, Math.floor(Duration.toSeconds(lasts)))
    return yield* signedUrl(gcs.bucket(bucket).file(prefix + key), key, method, now, seconds)
  })

  return ArtifactStorage.of({
    put,
    get,
    head: (key) =>
      Effect.andThen(
        checkKey(key),
        Effect.map(
          head(key),
          Option.map((object) => infoOf(key, object))
        )
      ),
    list,
    delete: Effect.fn("GcsArtifactStorage.delete")(function* (keys) {
      const all = [...new Set(keys)]
      yield* Effect.forEach(all, checkKey, { discard: true })
      const batches = Array.from({ length: Math.ceil(all.length / deleteBatch) }, (_, index) =>
        all.slice(index * deleteBatch, (index + 1) * deleteBatch)
      )
      yield* Effect.forEach(batches, deleteAll, { discard: true })
    }),
    url
  })
})

/** {@link make} as a layer. */
export const layer = (options: Options): Layer.Layer<ArtifactStorage, ArtifactError> =>
  Layer.effect(ArtifactStorage, make(options))

/**
 * The same with options from `Config`:
 *
 * ```ts
 * import * as GcsArtifactStorage from "@helios-infra/storage-gcs/GcsArtifactStorage"
 * import * as Config from "effect/Config"
 *
 * export const storage = GcsArtifactStorage.layerConfig({
 *   bucket: Config.String("RENDER_BUCKET"),
 *   prefix: Config.String("RENDER_PREFIX").pipe(Config.withDefault("renders"))
 * })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<ConfigOptions>
): Layer.Layer<ArtifactStorage, ArtifactError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))

/** What is known of content when all of it has come. */
interface Digests {
  readonly sha256: string
  readonly crc32c: string
}

/** How long it may take to remove what is not wanted any more. */
const cleanUpTimeout = Duration.seconds(30)

const prefixOf = (prefix: string): Effect.Effect<string, ArtifactError> => {
  const trimmed = prefix.replaceAll(/^\/+|\/+$/g, "")
  if (trimmed === "") return Effect.succeed("")
  return isKey(trimmed) && new TextEncoder().encode(trimmed).length <= longestPrefix
    ? Effect.succeed(`${trimmed}/`)
    : failure(prefix, "InvalidKey", `a prefix is like a key, and has ${longestPrefix} bytes at most`)
}

const infoOf = (key: string, object: ObjectResource, sha256 = object.metadata?.["sha256"]): ArtifactInfo => ({
  key,
  bytes: Number(object.size),
  etag: object.generation,
  ...(isSha256(sha256) ? { sha256 } : {})
})

const notAnObject = ({ message }: Schema.SchemaError): serviceFault.Fault =>
  serviceFault.ofNonsense("what the service says of an object", message)

const failure = (key: string, reason: ArtifactError["reason"], why: string): ArtifactError =>
  new ArtifactError({ key, reason, cause: new Error(why) })
