/**
 * Artifacts in a bucket of S3, or of whatever speaks the same: R2, MinIO, Ceph.
 *
 * ```
 * put ─parts→ one part: PutObject          several: CreateMultipartUpload → UploadPart… → check → CompleteMultipartUpload
 *                                                                                          └ or AbortMultipartUpload
 * get → GetObject of the first part → GetObject of the others, some at once, each for the same etag → in order, one stream
 * ```
 *
 * What passes through is held a few parts at a time. Nothing is made public, and nothing is set up here: the bucket, its
 * lifecycle and who may use it are there before.
 */
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  type S3ClientConfig,
  UploadPartCommand
} from "@aws-sdk/client-s3"
import { getSignedUrl } from "@aws-sdk/s3-request-presigner"
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
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { createHash, randomUUID } from "node:crypto"
import * as s3Client from "./internal/client.ts"
import { mostParts, partSizes } from "./internal/partSizes.ts"
import * as serviceFault from "./internal/serviceFault.ts"

/** An access key. */
export interface Credentials extends s3Client.Credentials {}

/** Which bucket it is, and how it is used; everything here can come from `Config`. */
export interface BucketOptions {
  readonly bucket: string
  /** What all keys in the bucket begin with: `"renders"` for `renders/jobs/…`. Default: nothing. At most 120 bytes. */
  readonly prefix?: string | undefined
  /** Default: what AWS's tools take: `AWS_REGION`, the profile. R2 calls its own `"auto"`. */
  readonly region?: string | undefined
  /** Where the service is, for one that is not AWS's. */
  readonly endpoint?: string | undefined
  /** Whether the bucket stands in the path, not in the host's name, as most servers of one's own want it. Default: false. */
  readonly forcePathStyle?: boolean | undefined
  /**
   * What every part is checked with when it arrives, beside the hash of the whole: `"crc32"`; `"md5"` for storages that
   * know no newer one; `"none"`. Default: `"crc32"`.
   */
  readonly partChecksum?: "crc32" | "md5" | "none" | undefined
  /** What artifacts are encrypted with, where it is not what the bucket does anyway. */
  readonly encryption?: "AES256" | "aws:kms" | "aws:kms:dsse" | undefined
  /** The key for `"aws:kms"`. Default: the account's own one for S3. */
  readonly kmsKeyId?: string | undefined
  /** How large parts are, in bytes; S3 takes none below 5 MiB but the last one. Default: 8 MiB. */
  readonly partBytes?: number | undefined
  /** How many parts of an artifact are on their way at once, each held in memory. Default: 4. */
  readonly concurrency?: number | undefined
}

/** The same from `Config`. */
export interface ConfigOptions extends BucketOptions {
  readonly credentials?: Credentials | undefined
}

/** How a bucket is used. */
export interface Options extends BucketOptions {
  /** A key, or what the SDK takes. Default: what AWS's tools take: the environment, a profile, a role. */
  readonly credentials?: Credentials | S3ClientConfig["credentials"]
  /** A client of your own, in place of `region`, `credentials`, `endpoint` and `forcePathStyle`; it is not destroyed. */
  readonly client?: S3Client | undefined
}

const defaultPartBytes = 8 * 1024 ** 2

const defaultConcurrency = 4

/** The longest prefix: S3's 1 024 bytes for a key, less the longest that an artifact's may be. */
const longestPrefix = 120

/** How often what broke off or arrived damaged is asked for again, after ever longer pauses. */
const again = { times: 4, schedule: Schedule.jittered(Schedule.exponential("100 millis")) }

/** How many keys S3 deletes at once. */
const keysPerDelete = 1000

/** How long ending an upload may take that is not wanted any more. */
const abortTimeout = Duration.seconds(30)

/** S3's limit. */
const longestExpiry = Duration.days(7)

/** Tells what one put has written from what another one has, when the answer to it was lost. */
const putId = "put-id"

/** What the SDK has rejected with. */
class Fault extends Data.TaggedError("Fault")<{ readonly cause: unknown }> {}

/** A body broke off, or gave more than it must. */
class BodyBroken extends Data.TaggedError("BodyBroken")<{ readonly cause: unknown }> {}

const isKey = Schema.is(ArtifactKey)

const isSha256 = Schema.is(Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)))

/**
 * A storage in a bucket. Fails with `InvalidKey` for a prefix that no key can have. A client that is made here is
 * destroyed with the scope.
 *
 * - `put` checks what came before it completes an upload; one that is not completed is aborted. An artifact of one part
 *   is one request.
 * - `get` asks again for the rest when a body breaks off, and fails with `Changed` when the artifact is another one by
 *   then. What is read whole is checked against the hash that was stored with it.
 * - An artifact of several parts knows its hash only where `put` was told it: it is stored before the bytes are.
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ArtifactStorage["Service"], ArtifactError, Scope.Scope> {
  const { bucket: Bucket, concurrency = defaultConcurrency, partBytes = defaultPartBytes } = options
  const prefix = yield* prefixOf(options.prefix ?? "")
  const client = options.client ?? (yield* s3Client.make(options))
  const encryption = {
    ServerSideEncryption: options.encryption,
    SSEKMSKeyId: options.kmsKeyId
  }
  const withCrc32 =
    (options.partChecksum ?? "crc32") === "crc32" ? ({ ChecksumAlgorithm: "CRC32" } as const) : undefined
  const checkedBy = (content: Uint8Array) =>
    options.partChecksum === "md5" ? { ContentMD5: createHash("md5").update(content).digest("base64") } : withCrc32

  const at = (key: string) => ({ Bucket, Key: prefix + key })

  /** Makes a request, which is aborted with its fiber. */
  const request = <A>(send: (options: { readonly abortSignal: AbortSignal }) => Promise<A>): Effect.Effect<A, Fault> =>
    Effect.tryPromise({
      try: (abortSignal) => send({ abortSignal }),
      catch: (cause) => new Fault({ cause })
    })

  const head = Effect.fnUntraced(function* (key: string) {
    const found = yield* request((signal) => client.send(new HeadObjectCommand(at(key)), signal)).pipe(
      Effect.catchIf(
        ({ cause }) => serviceFault.statusOf(cause) === 404,
        () => Effect.undefined
      ),
      Effect.mapError(({ cause }) => serviceFault.errorOf(key, cause, false))
    )
    if (found === undefined) return Option.none()
    const info = infoOf(key, found.ContentLength ?? 0, found.ETag, found.Metadata?.["sha256"])
    return Option.some({ info, putId: found.Metadata?.[putId] })
  })

  // ---
  // put
  // ---

  /**
   * What came of a put that was told that there is an artifact already, or no upload any more: perhaps its own, made by
   * a request to which no answer came and which the SDK then made again.
   */
  const settled = Effect.fnUntraced(function* (key: string, id: string, cause: unknown) {
    const reason = serviceFault.reasonOf(cause, true)
    if (reason === "Exists" || serviceFault.isUploadGone(cause)) {
      const found = yield* head(key)
      if (Option.isSome(found) && found.value.putId === id) return found.value.info.etag
      if (Option.isNone(found)) return yield* new ArtifactError({ key, reason: "Unavailable", cause })
    }
    return yield* new ArtifactError({ key, reason, cause })
  })

  const putWhole = Effect.fnUntraced(function* (key: string, content: Uint8Array, sha256: string, ifAbsent: boolean) {
    const id = randomUUID()
    const command = new PutObjectCommand({
      ...at(key),
      ...encryption,
      ...checkedBy(content),
      Body: content,
      ContentLength: content.length,
      Metadata: { sha256, [putId]: id },
      IfNoneMatch: ifAbsent ? "*" : undefined
    })
    return yield* request((signal) => client.send(command, signal)).pipe(
      Effect.retry({
        ...again,
        while: ({ cause }) => serviceFault.isCorrupt(cause) || serviceFault.isConflict(cause)
      }),
      Effect.map(({ ETag }) => ETag),
      Effect.catch(({ cause }) => settled(key, id, cause))
    )
  })

  const abort = (key: string, UploadId: string): Effect.Effect<void> =>
    request((signal) => client.send(new AbortMultipartUploadCommand({ ...at(key), UploadId }), signal)).pipe(
      Effect.catchIf(
        ({ cause }) => serviceFault.isUploadGone(cause),
        () => Effect.void
      ),
      Effect.timeout(abortTimeout),
      Effect.catchCause((cause) =>
        Effect.logWarning(
          `upload ${UploadId} of ${prefix}${key} could not be aborted: what it has sent stays in the bucket until a lifecycle rule removes it`,
          cause
        )
      ),
      Effect.asVoid
    )

  const putParts = <E>(
    key: string,
    content: Stream.Stream<ArtifactParts.Part, E | ArtifactError>,
    told: PutOptions,
    check: Effect.Effect<unknown, ArtifactError>
  ) =>
    Effect.suspend(() => {
      const id = randomUUID()
      const Metadata = { ...(told.sha256 === undefined ? {} : { sha256: told.sha256 }), [putId]: id }
      const failed = ({ cause }: Fault) => serviceFault.errorOf(key, cause, true)
      return Effect.acquireUseRelease(
        request((signal) =>
          client.send(new CreateMultipartUploadCommand({ ...at(key), ...encryption, ...withCrc32, Metadata }), signal)
        ).pipe(Effect.mapError(failed)),
        Effect.fnUntraced(function* ({ UploadId }) {
          const uploaded = yield* content.pipe(
            Stream.mapEffect(
              (part) =>
                request((signal) =>
                  client.send(
                    new UploadPartCommand({
                      ...at(key),
                      ...checkedBy(part.content),
                      UploadId,
                      PartNumber: part.number,
                      Body: part.content,
                      ContentLength: part.content.length
                    }),
                    signal
                  )
                ).pipe(
                  Effect.retry({ ...again, while: ({ cause }) => serviceFault.isCorrupt(cause) }),
                  Effect.mapError(failed),
                  Effect.map(({ ChecksumCRC32, ETag }): CompletedPart => ({
                    PartNumber: part.number,
                    ETag,
                    ChecksumCRC32
                  }))
                ),
              { concurrency, unordered: true }
            ),
            Stream.runCollect
          )
          yield* check
          const command = new CompleteMultipartUploadCommand({
            ...at(key),
            UploadId,
            MultipartUpload: { Parts: uploaded.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0)) },
            IfNoneMatch: told.ifAbsent === true ? "*" : undefined
          })
          return yield* request((signal) => client.send(command, signal)).pipe(
            Effect.map(({ ETag }) => ETag),
            Effect.catch(({ cause }) => settled(key, id, cause))
          )
        }),
        ({ UploadId = "" }, exit) => (Exit.isSuccess(exit) ? Effect.void : abort(key, UploadId))
      )
    })

  const put: ArtifactStorage["Service"]["put"] = Effect.fn("S3ArtifactStorage.put")(function* <E>(
    key: string,
    body: Stream.Stream<Uint8Array, E>,
    told: PutOptions = {}
  ): Effect.fn.Return<ArtifactInfo, ArtifactError | E, Scope.Scope> {
    yield* checkKey(key)
    const sizeOf = partSizes(partBytes, told.bytes)
    if (sizeOf === undefined)
      return yield* failure(key, "TooLarge", `${told.bytes} bytes do not fit in ${mostParts} parts`)
    const ifAbsent = told.ifAbsent === true
    const hash = createHash("sha256")
    let bytes = 0
    const counted = Stream.tap(body, (piece) => {
      hash.update(piece)
      bytes += piece.length
      return bytes > (told.bytes ?? Infinity)
        ? failure(key, "Corrupt", `more than the ${told.bytes} bytes came that were told`)
        : Effect.void
    })
    // Asked for once, when all has come.
    const checked = yield* Effect.cached(
      Effect.suspend(() => {
        const sha256 = hash.digest("hex")
        return Effect.as(checkContent(key, told, { bytes, sha256 }), sha256)
      })
    )
    const [first, others] = yield* Stream.peel(ArtifactParts.parts(counted, sizeOf), Sink.head())
    if (Option.isNone(first)) return yield* Effect.die("a stream of bytes has a last part")
    if (first.value.last) {
      const sha256 = yield* checked
      return infoOf(key, bytes, yield* putWhole(key, first.value.content, sha256, ifAbsent), sha256)
    }
    if (ifAbsent && Option.isSome(yield* head(key))) return yield* failure(key, "Exists", "there is one of that name")
    const content = Stream.concat(Stream.make(first.value), others)
    const etag = yield* putParts(key, content, told, checked)
    return infoOf(key, bytes, etag, yield* checked)
  }, Effect.scoped)

  // ---
  // get
  // ---

  /** Fails unless the artifact is there, and the one that is meant. */
  const isThere = Effect.fnUntraced(function* (key: string, etag: string | undefined) {
    const found = yield* head(key)
    if (Option.isNone(found)) return yield* failure(key, "NotFound", "there is none of that name")
    if (etag !== undefined && etag !== found.value.info.etag) {
      return yield* failure(key, "Changed", `its etag is ${found.value.info.etag}, not ${etag}`)
    }
  })

  /** Reads what is in a range, of an artifact with this etag; `undefined` where nothing is. */
  const fetchRange = Effect.fnUntraced(function* (key: string, from: number, to: number, IfMatch: string | undefined) {
    let etag = IfMatch
    let fetched: Fetched | undefined
    let received = 0
    const rest = Effect.gen(function* (): Effect.fn.Return<Fetched, Fault | BodyBroken> {
      const Range = `bytes=${from + received}-${to - 1}`
      const command = new GetObjectCommand({ ...at(key), Range, IfMatch: etag })
      const answer = yield* request((signal) => client.send(command, signal))
      const body: unknown = answer.Body
      const total = Number(/\/(\d+)$/.exec(answer.ContentRange ?? "")?.[1] ?? Number.NaN)
      if (!Number.isSafeInteger(total)) {
        return yield* new BodyBroken({ cause: new Error(`asked for ${Range}, it gave something else`) })
      }
      fetched ??= {
        content: new Uint8Array(Math.min(to, total) - from),
        total,
        etag: answer.ETag,
        sha256: answer.Metadata?.["sha256"]
      }
      const { content } = fetched
      etag ??= answer.ETag
      yield* (isBody(body) ? Stream.fromAsyncIterable(body, (cause) => new BodyBroken({ cause })) : Stream.empty).pipe(
        Stream.timeoutOrElse({
          duration: s3Client.silence,
          orElse: () =>
            Stream.fail(new BodyBroken({ cause: new Error(`nothing came for ${Duration.format(s3Client.silence)}`) }))
        }),
        Stream.runForEach((piece) => {
          if (received + piece.length > content.length) {
            return Effect.fail(new BodyBroken({ cause: new Error("more came than was asked for") }))
          }
          content.set(piece, received)
          received += piece.length
          return Effect.void
        })
      )
      if (received < content.length) {
        return yield* new BodyBroken({ cause: new Error(`${received} of ${content.length} bytes came`) })
      }
      return fetched
    })
    return yield* rest.pipe(
      Effect.retry({ ...again, while: ({ _tag }) => _tag === "BodyBroken" }),
      Effect.catchTag("Fault", (fault) =>
        serviceFault.nameOf(fault.cause) === "InvalidRange" || serviceFault.statusOf(fault.cause) === 416
          ? Effect.undefined
          : Effect.fail(fault)
      ),
      Effect.mapError(({ cause }) => serviceFault.errorOf(key, cause, false))
    )
  })

  const get: ArtifactStorage["Service"]["get"] = (key, { etag, from = 0, to = Infinity } = {}) =>
    Stream.unwrap(
      Effect.gen(function* () {
        yield* checkKey(key)
        const first = to <= from ? undefined : yield* fetchRange(key, from, Math.min(to, from + partBytes), etag)
        if (first === undefined) {
          yield* isThere(key, etag)
          return Stream.empty
        }
        const end = Math.min(to, first.total)
        const others = Stream.unfold(from + first.content.length, (start) =>
          Effect.succeed(start >= end ? undefined : ([start, start + partBytes] as const))
        ).pipe(
          Stream.rechunk(1),
          Stream.mapEffect((start) => fetchRange(key, start, Math.min(end, start + partBytes), first.etag), {
            concurrency
          }),
          Stream.mapEffect((part) =>
            part === undefined ? failure(key, "Changed", "it has become shorter") : Effect.succeed(part.content)
          )
        )
        const content = Stream.concat(Stream.make(first.content), others)
        const whole = from === 0 && end === first.total
        return whole && isSha256(first.sha256) ? verified(key, content, first.sha256) : content
      })
    )

  // ---
  // the rest
  // ---

  const list = (wanted: string): Stream.Stream<ArtifactInfo, ArtifactError> =>
    Stream.paginate(
      undefined,
      Effect.fnUntraced(function* (ContinuationToken: string | undefined) {
        const command = new ListObjectsV2Command({ Bucket, Prefix: prefix + wanted, ContinuationToken })
        const page = yield* request((signal) => client.send(command, signal)).pipe(
          Effect.mapError(({ cause }) => serviceFault.errorOf(wanted, cause, true))
        )
        const infos = (page.Contents ?? []).flatMap(({ ETag, Key = "", Size = 0 }) => {
          const key = Key.slice(prefix.length)
          // Folders that a console has made, and whatever else is no artifact.
          return isKey(key) ? [infoOf(key, Size, ETag)] : []
        })
        return [infos, Option.fromUndefinedOr(page.IsTruncated === true ? page.NextContinuationToken : undefined)]
      })
    )

  /** Deletes artifacts, at most as many as one request takes. */
  const deleteBatch = (keys: ReadonlyArray<string>): Effect.Effect<void, ArtifactError> =>
    Effect.suspend(() => {
      let left = keys
      return Effect.gen(function* () {
        const Objects = left.map((key) => ({ Key: prefix + key }))
        const command = new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } })
        const { Errors = [] } = yield* request((signal) => client.send(command, signal)).pipe(
          Effect.mapError(({ cause }) => serviceFault.errorOf(left[0] ?? "", cause, true))
        )
        const errors = Errors.filter(({ Code }) => Code !== "NoSuchKey").map(({ Code, Key = "", Message }) => {
          const cause = Object.assign(new Error(Message ?? Code), { name: Code ?? "Error" })
          return serviceFault.errorOf(Key.slice(prefix.length), cause, true)
        })
        const [first] = errors
        if (first === undefined) return
        left = errors.map(({ key }) => key)
        return yield* errors.find(({ reason }) => reason !== "Unavailable") ?? first
      }).pipe(Effect.retry({ ...again, while: ({ reason }) => left.length < keys.length && reason === "Unavailable" }))
    })

  const url: ArtifactStorage["Service"]["url"] = Effect.fnUntraced(function* (key, { expires, method }) {
    yield* checkKey(key)
    const lasts = Duration.fromInputUnsafe(expires)
    if (Duration.isGreaterThan(lasts, longestExpiry)) {
      return yield* failure(key, "Unsupported", "S3 gives no URL that works for more than 7 days")
    }
    const expiresIn = Math.max(1, Math.floor(Duration.toSeconds(lasts)))
    const sign = () => {
      if (method === "GET") return getSignedUrl(client, new GetObjectCommand(at(key)), { expiresIn })
      const command = new PutObjectCommand(at(key))
      command.middlewareStack.add(withoutChecksum, { step: "build", priority: "low" })
      return getSignedUrl(client, command, { expiresIn })
    }
    return yield* Effect.tryPromise({
      try: sign,
      catch: (cause) => serviceFault.errorOf(key, cause, method === "PUT")
    })
  })

  return ArtifactStorage.of({
    put,
    get,
    head: (key) =>
      Effect.andThen(
        checkKey(key),
        Effect.map(
          head(key),
          Option.map(({ info }) => info)
        )
      ),
    list,
    delete: Effect.fn("S3ArtifactStorage.delete")(function* (keys) {
      const all = [...new Set(keys)]
      yield* Effect.forEach(all, checkKey, { discard: true })
      const batches = Array.from({ length: Math.ceil(all.length / keysPerDelete) }, (_, index) =>
        all.slice(index * keysPerDelete, (index + 1) * keysPerDelete)
      )
      yield* Effect.forEach(batches, deleteBatch, { concurrency, discard: true })
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
 * import * as S3ArtifactStorage from "@helios-infra/storage-s3/S3ArtifactStorage"
 * import * as Config from "effect/Config"
 *
 * export const storage = S3ArtifactStorage.layerConfig({
 *   bucket: Config.String("RENDER_BUCKET"),
 *   prefix: Config.String("RENDER_PREFIX").pipe(Config.withDefault("renders"))
 * })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<ConfigOptions>
): Layer.Layer<ArtifactStorage, ArtifactError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))

/**
 * For commands that are signed for somebody else: the SDK would add the checksum of a body that it does not see, which
 * whoever has the URL would have to send.
 */
const withoutChecksum =
  <Args extends { readonly request: unknown }, Answer>(next: (args: Args) => Answer) =>
  (args: Args): Answer => {
    const { request } = args
    if (Predicate.hasProperty(request, "headers") && Predicate.isObject(request.headers)) {
      for (const name of Object.keys(request.headers)) {
        if (/^x-amz-(checksum|sdk-checksum)-/i.test(name)) Reflect.deleteProperty(request.headers, name)
      }
    }
    return next(args)
  }

// ---
// what goes and comes
// ---

/** What was read of an artifact. */
interface Fetched {
  readonly content: Uint8Array
  /** How many bytes the whole artifact has. */
  readonly total: number
  readonly etag: string | undefined
  readonly sha256: string | undefined
}

const prefixOf = (prefix: string): Effect.Effect<string, ArtifactError> => {
  const trimmed = prefix.replaceAll(/^\/+|\/+$/g, "")
  if (trimmed === "") return Effect.succeed("")
  return isKey(trimmed) && new TextEncoder().encode(trimmed).length <= longestPrefix
    ? Effect.succeed(`${trimmed}/`)
    : failure(prefix, "InvalidKey", `a prefix is like a key, and has ${longestPrefix} bytes at most`)
}

const infoOf = (key: string, bytes: number, etag: string | undefined, sha256?: string): ArtifactInfo => ({
  key,
  bytes,
  etag: etag ?? "",
  ...(isSha256(sha256) ? { sha256 } : {})
})

const isBody = (body: unknown): body is AsyncIterable<Uint8Array> =>
  Predicate.isObject(body) && Symbol.asyncIterator in body

/** Fails at the end of a stream that has another hash. */
const verified = (
  key: string,
  content: Stream.Stream<Uint8Array, ArtifactError>,
  sha256: string
): Stream.Stream<Uint8Array, ArtifactError> =>
  Stream.suspend(() => {
    const hash = createHash("sha256")
    return content.pipe(
      Stream.tap((piece) => Effect.sync(() => void hash.update(piece))),
      Stream.concat(
        Stream.suspend(() => {
          const found = hash.digest("hex")
          return found === sha256
            ? Stream.empty
            : Stream.fail(failure(key, "Corrupt", `its SHA-256 is ${found}, and was ${sha256} when it was stored`))
        })
      )
    )
  })

const failure = (key: string, reason: ArtifactError["reason"], why: string): ArtifactError =>
  new ArtifactError({ key, reason, cause: new Error(why) })
