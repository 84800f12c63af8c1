/**
 * An S3 of the tests: as strict as the real one where no server that a test can install is. It verifies signatures and
 * checksums, keeps conditions, shows no artifact before it is whole, and goes wrong as it is told to.
 *
 * What it stores lies in files, so that large artifacts take none of the memory that is watched.
 */
import { Effect } from "effect"
import { createHash, createHmac, randomUUID } from "node:crypto"
import { once } from "node:events"
import { createReadStream } from "node:fs"
import * as fs from "node:fs/promises"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { setTimeout as delay } from "node:timers/promises"
import { crc32 } from "node:zlib"

export const bucket = "renders"
export const region = "eu-central-1"
const accessKeyId = "AKIDEXAMPLE"
const secretAccessKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

/** The key as the SDK takes it. */
export const credentials = { accessKeyId, secretAccessKey }

/** What is asked: `"UploadPart"`, `"GetObject"`, … */
type Operation =
  | "AbortMultipartUpload"
  | "CompleteMultipartUpload"
  | "CreateMultipartUpload"
  | "DeleteObjects"
  | "GetObject"
  | "HeadObject"
  | "ListObjectsV2"
  | "PutObject"
  | "UploadPart"

/** One request that came, and was let in. */
interface Request {
  readonly operation: Operation
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage["headers"]
}

/**
 * What goes wrong with a request.
 *
 * - `error`: it is answered with that, and nothing is done.
 * - `slow`: it is answered later.
 * - `reset`: the connection breaks before anything is done, or when all is done and the answer is due.
 * - `cut`: the connection breaks after so many bytes of the answer.
 * - `ignoreRange`: the whole artifact is given, not the part that was asked for.
 * - `damage`: one byte of what was sent, or of what is given, is another one.
 */
export type Fault =
  | { readonly error: readonly [status: number, code: string] }
  | { readonly slow: number }
  | { readonly reset: "before" | "after" }
  | { readonly cut: number }
  | { readonly ignoreRange: true }
  | { readonly damage: "request" | "answer" }

/** Which requests something goes wrong with. */
interface Trouble {
  readonly on: Operation
  readonly fault: Fault
  /** Default: 1. */
  readonly times?: number
  /** How many such requests go well before. Default: 0. */
  readonly after?: number
}

interface Blob {
  readonly file: string
  readonly bytes: number
  readonly md5: Buffer
  readonly crc: string | undefined
}

interface Stored {
  readonly blobs: ReadonlyArray<Blob>
  readonly bytes: number
  readonly etag: string
  readonly metadata: Readonly<Record<string, string>>
}

interface Upload {
  readonly key: string
  readonly metadata: Readonly<Record<string, string>>
  readonly checksum: string | undefined
  readonly parts: Map<number, Blob>
}

class S3Error extends Error {
  readonly status: number
  readonly code: string
  constructor(status: number, code: string, message = code) {
    super(message)
    this.status = status
    this.code = code
  }
}

// ---
// XML
// ---

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;"
}
const escape = (text: string) => text.replaceAll(/[&<>"']/g, (character) => escapes[character] ?? character)
const unescape = (text: string) =>
  text
    .replaceAll(/&#x([0-9a-f]+);/gi, (_, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)))
    .replaceAll(/&#(\d+);/g, (_, digits: string) => String.fromCodePoint(Number(digits)))
    .replaceAll(
      /&(lt|gt|quot|apos);/g,
      (entity) => Object.entries(escapes).find(([, one]) => one === entity)?.[0] ?? ""
    )
    .replaceAll("&amp;", "&")
const element = (name: string, content: string) => `<${name}>${content}</${name}>`
const document = (name: string, content: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${name}>`
const texts = (xml: string, name: string) =>
  [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"))].map(([, text = ""]) => unescape(text))

// ---
// signatures
// ---

const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest()
const sha256 = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex")
const rfc3986 = (text: string) =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )

/** Fails unless a request is signed with the right key, not expired, and about just this. */
const authenticate = (request: IncomingMessage, url: URL): void => {
  const header = /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)$/.exec(
    request.headers.authorization ?? ""
  )
  const query = url.searchParams
  const presigned = query.has("X-Amz-Signature")
  const [credential = "", names = "", signature] = presigned
    ? [query.get("X-Amz-Credential") ?? "", query.get("X-Amz-SignedHeaders") ?? "", query.get("X-Amz-Signature")]
    : (header ?? []).slice(1)
  if (signature === undefined) throw new S3Error(403, "AccessDenied", "nothing is public here")
  const [id, date = "", ...scope] = credential.split("/")
  if (id !== accessKeyId) throw new S3Error(403, "InvalidAccessKeyId")
  const time = (presigned ? query.get("X-Amz-Date") : request.headers["x-amz-date"])?.toString() ?? ""
  if (presigned) {
    const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time) ?? []
    const signedAt = Date.UTC(Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(s))
    const expires = Number(query.get("X-Amz-Expires"))
    if (!(expires >= 1 && expires <= 604_800)) throw new S3Error(400, "AuthorizationQueryParametersError")
    if (Date.now() >= signedAt + expires * 1000) throw new S3Error(403, "AccessDenied", "Request has expired")
  }
  const signed = names.split(";")
  for (const name of Object.keys(request.headers)) {
    if (name.startsWith("x-amz-") && !signed.includes(name))
      throw new S3Error(403, "AccessDenied", `${name} is not signed`)
  }
  const canonicalQuery = [...query.entries()]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => [rfc3986(name), rfc3986(value)] as const)
    .toSorted(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("&")
  const canonical = [
    request.method,
    url.pathname
      .split("/")
      .map((part) => rfc3986(decodeURIComponent(part)))
      .join("/"),
    canonicalQuery,
    ...signed.map((name) => `${name}:${String(request.headers[name] ?? "").trim()}`),
    "",
    names,
    presigned ? "UNSIGNED-PAYLOAD" : request.headers["x-amz-content-sha256"]
  ].join("\n")
  const toSign = ["AWS4-HMAC-SHA256", time, [date, ...scope].join("/"), sha256(canonical)].join("\n")
  const key = [region, "s3", "aws4_request"].reduce<Buffer>(hmac, hmac(`AWS4${secretAccessKey}`, date))
  if (hmac(key, toSign).toString("hex") !== signature) throw new S3Error(403, "SignatureDoesNotMatch")
}

// ---
// the server
// ---

/** The smallest part of an upload but the last one: S3's is 5 MiB, which tests need not always send. */
export const smallestPart = 256 * 1024

/** Starts a server with an empty bucket; it is gone with the scope. */
export const start = Effect.acquireRelease(
  Effect.promise(() => open()),
  ({ close }) => Effect.promise(close)
)

/** A server. */
export type StrictS3 = Effect.Success<typeof start>

const open = async () => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), "strict-s3-"))
  const objects = new Map<string, Stored>()
  const uploads = new Map<string, Upload>()
  const requests: Array<Request> = []
  const troubles: Array<{ readonly on: Operation; readonly fault: Fault; after: number; times: number }> = []
  let mostAtOnce = 0
  let atOnce = 0

  const save = async (content: Uint8Array, crc?: string): Promise<Blob> => {
    const file = path.join(dir, randomUUID())
    await fs.writeFile(file, content)
    return { file, bytes: content.length, md5: createHash("md5").update(content).digest(), crc }
  }

  const metadataOf = (headers: IncomingMessage["headers"]) =>
    Object.fromEntries(
      Object.entries(headers).flatMap(([name, value]) =>
        name.startsWith("x-amz-meta-") ? [[name.slice("x-amz-meta-".length), String(value)]] : []
      )
    )

  /** Checks what was sent against everything that was said of it. */
  const check = (content: Uint8Array, headers: IncomingMessage["headers"]): string | undefined => {
    const hash = headers["x-amz-content-sha256"]
    if (typeof hash === "string" && hash.startsWith("STREAMING-")) throw new S3Error(501, "NotImplemented")
    if (typeof hash === "string" && hash !== "UNSIGNED-PAYLOAD" && hash !== sha256(content)) {
      throw new S3Error(400, "XAmzContentSHA256Mismatch")
    }
    const md5 = headers["content-md5"]
    if (md5 !== undefined && md5 !== createHash("md5").update(content).digest("base64")) {
      throw new S3Error(400, "BadDigest")
    }
    const told = headers["x-amz-checksum-crc32"]
    const found = Buffer.alloc(4)
    found.writeUInt32BE(crc32(content))
    if (told !== undefined && told !== found.toString("base64")) throw new S3Error(400, "BadDigest")
    return told?.toString()
  }

  const isMissing = (key: string, headers: IncomingMessage["headers"]) => {
    if (headers["if-none-match"] === "*" && objects.has(key)) throw new S3Error(412, "PreconditionFailed")
  }

  const uploadOf = (query: URLSearchParams): Upload => {
    const upload = uploads.get(query.get("uploadId") ?? "")
    if (upload === undefined) throw new S3Error(404, "NoSuchUpload")
    return upload
  }

  const read = async function* (stored: Stored, from: number, to: number) {
    let at = 0
    for (const { bytes, file } of stored.blobs) {
      const start = Math.max(0, from - at)
      const end = Math.min(bytes, to - at)
      if (start < end) yield* createReadStream(file, { start, end: end - 1 })
      at += bytes
    }
  }

  type Answer = {
    readonly status?: number
    readonly headers?: Record<string, string | number>
    readonly body?: string | Readable
  }

  const operate: Record<Operation, (request: Request, content: Uint8Array) => Answer | Promise<Answer>> = {
    PutObject: async ({ headers, key }, content) => {
      const crc = check(content, headers)
      const blob = await save(content, crc)
      // From here on nothing comes in between.
      isMissing(key, headers)
      const etag = `"${blob.md5.toString("hex")}"`
      objects.set(key, { blobs: [blob], bytes: blob.bytes, etag, metadata: metadataOf(headers) })
      return { headers: { etag } }
    },
    CreateMultipartUpload: ({ headers, key }) => {
      const id = randomUUID()
      const checksum = headers["x-amz-checksum-algorithm"]?.toString()
      uploads.set(id, { key, metadata: metadataOf(headers), checksum, parts: new Map() })
      return { body: document("InitiateMultipartUploadResult", element("UploadId", id)) }
    },
    UploadPart: async ({ headers, query }, content) => {
      const upload = uploadOf(query)
      const crc = check(content, headers)
      if ((crc === undefined) !== (upload.checksum === undefined)) throw new S3Error(400, "InvalidRequest", "checksums")
      const number = Number(query.get("partNumber"))
      if (!(number >= 1 && number <= 10_000)) throw new S3Error(400, "InvalidArgument")
      const blob = await save(content, crc)
      uploadOf(query).parts.set(number, blob)
      return {
        headers: {
          etag: `"${blob.md5.toString("hex")}"`,
          ...(crc === undefined ? {} : { "x-amz-checksum-crc32": crc })
        }
      }
    },
    CompleteMultipartUpload: ({ headers, key, query }, content) => {
      const upload = uploadOf(query)
      const parts = Buffer.from(content)
        .toString()
        .split("</Part>")
        .slice(0, -1)
        .map((xml) => ({
          number: Number(texts(xml, "PartNumber")[0]),
          etag: texts(xml, "ETag")[0],
          crc: texts(xml, "ChecksumCRC32")[0]
        }))
      const blobs = parts.map(({ crc, etag, number }, index) => {
        const blob = upload.parts.get(number)
        if (blob === undefined || etag !== `"${blob.md5.toString("hex")}"`) throw new S3Error(400, "InvalidPart")
        if (upload.checksum !== undefined && crc !== blob.crc) throw new S3Error(400, "InvalidPart", "checksum")
        if (number <= (parts[index - 1]?.number ?? 0)) throw new S3Error(400, "InvalidPartOrder")
        if (index < parts.length - 1 && blob.bytes < smallestPart) throw new S3Error(400, "EntityTooSmall")
        return blob
      })
      if (blobs.length === 0) throw new S3Error(400, "MalformedXML")
      isMissing(key, headers)
      const md5 = createHash("md5").update(Buffer.concat(blobs.map((blob) => blob.md5)))
      const etag = `"${md5.digest("hex")}-${blobs.length}"`
      const bytes = blobs.reduce((sum, blob) => sum + blob.bytes, 0)
      objects.set(key, { blobs, bytes, etag, metadata: upload.metadata })
      uploads.delete(query.get("uploadId") ?? "")
      return { body: document("CompleteMultipartUploadResult", element("ETag", escape(etag))) }
    },
    AbortMultipartUpload: ({ query }) => {
      uploadOf(query)
      uploads.delete(query.get("uploadId") ?? "")
      return { status: 204 }
    },
    HeadObject: ({ key }) => {
      const stored = objects.get(key)
      if (stored === undefined) return { status: 404 }
      return { headers: { ...headersOf(stored), "content-length": stored.bytes } }
    },
    GetObject: ({ headers, key }) => {
      const stored = objects.get(key)
      if (stored === undefined) throw new S3Error(404, "NoSuchKey")
      const etag = headers["if-match"]
      if (etag !== undefined && etag !== stored.etag) throw new S3Error(412, "PreconditionFailed")
      const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "")
      if (range === null) {
        const body = Readable.from(read(stored, 0, stored.bytes))
        return { headers: { ...headersOf(stored), "content-length": stored.bytes }, body }
      }
      const from = Number(range[1])
      const to = Math.min(stored.bytes, range[2] === "" ? stored.bytes : Number(range[2]) + 1)
      if (from >= stored.bytes || to <= from) throw new S3Error(416, "InvalidRange")
      return {
        status: 206,
        headers: {
          ...headersOf(stored),
          "content-length": to - from,
          "content-range": `bytes ${from}-${to - 1}/${stored.bytes}`
        },
        body: Readable.from(read(stored, from, to))
      }
    },
    ListObjectsV2: ({ query }) => {
      const prefix = query.get("prefix") ?? ""
      const after = Buffer.from(query.get("continuation-token") ?? "", "base64")
      const all = [...objects.keys()]
        .filter((key) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), after) > 0)
        .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      const page = all.slice(0, 1000)
      const contents = page.map((key) => {
        const stored = objects.get(key)
        return element(
          "Contents",
          element("Key", escape(key)) +
            element("ETag", escape(stored?.etag ?? "")) +
            element("Size", String(stored?.bytes ?? 0))
        )
      })
      const more = all.length > page.length
      const token = more ? element("NextContinuationToken", Buffer.from(page.at(-1) ?? "").toString("base64")) : ""
      return { body: document("ListBucketResult", element("IsTruncated", String(more)) + token + contents.join("")) }
    },
    DeleteObjects: ({ headers }, content) => {
      if (headers["content-md5"] === undefined && headers["x-amz-checksum-crc32"] === undefined) {
        throw new S3Error(400, "InvalidRequest", "Missing required header for this request: Content-MD5")
      }
      check(content, headers)
      const keys = texts(Buffer.from(content).toString(), "Key")
      if (keys.length > 1000) throw new S3Error(400, "MalformedXML")
      const errors = keys.map((key) => {
        const denied = refused.get(key)
        if (denied === undefined) {
          objects.delete(key)
          return ""
        }
        if (denied.times-- <= 1) refused.delete(key)
        return element("Error", element("Key", escape(key)) + element("Code", denied.code))
      })
      return { body: document("DeleteResult", errors.join("")) }
    }
  }

  const headersOf = ({ etag, metadata }: Stored): Record<string, string> => ({
    etag,
    "accept-ranges": "bytes",
    ...Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`x-amz-meta-${name}`, value]))
  })

  const refused = new Map<string, { readonly code: string; times: number }>()

  const operationOf = (method: string, key: string, query: URLSearchParams): Operation => {
    if (key === "" && method === "GET" && query.get("list-type") === "2") return "ListObjectsV2"
    if (key === "" && method === "POST" && query.has("delete")) return "DeleteObjects"
    if (method === "PUT") return query.has("uploadId") ? "UploadPart" : "PutObject"
    if (method === "POST" && query.has("uploads")) return "CreateMultipartUpload"
    if (method === "POST" && query.has("uploadId")) return "CompleteMultipartUpload"
    if (method === "DELETE" && query.has("uploadId")) return "AbortMultipartUpload"
    if (method === "HEAD" && key !== "") return "HeadObject"
    if (method === "GET" && key !== "") return "GetObject"
    throw new S3Error(501, "NotImplemented", `${method} ${key} ${query.toString()}`)
  }

  const faultOf = (operation: Operation): Fault | undefined => {
    for (const trouble of troubles) {
      if (trouble.on !== operation || trouble.times === 0) continue
      if (trouble.after > 0) {
        trouble.after--
        continue
      }
      trouble.times--
      return trouble.fault
    }
    return undefined
  }

  const damaged = (content: Uint8Array) => content.map((byte, index) => (index === 0 ? byte ^ 1 : byte))

  const reply = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "", "http://localhost")
    const [, found = "", ...parts] = url.pathname.split("/")
    const key = decodeURIComponent(parts.join("/"))
    let fault: Fault | undefined
    const answer = await (async (): Promise<Answer> => {
      authenticate(request, url)
      if (found !== bucket) throw new S3Error(404, "NoSuchBucket")
      const operation = operationOf(request.method ?? "", key, url.searchParams)
      const received = { operation, key, query: url.searchParams, headers: request.headers }
      requests.push(received)
      fault = faultOf(operation)
      if (fault !== undefined && "reset" in fault && fault.reset === "before") {
        request.socket.destroy()
        return {}
      }
      const pieces: Array<Uint8Array> = []
      for await (const piece of request) pieces.push(Buffer.from(piece))
      const content = Buffer.concat(pieces)
      if (fault !== undefined && "slow" in fault) await delay(fault.slow)
      if (fault !== undefined && "error" in fault) throw new S3Error(...fault.error)
      return operate[operation](
        fault !== undefined && "ignoreRange" in fault
          ? { ...received, headers: { ...received.headers, range: undefined } }
          : received,
        fault !== undefined && "damage" in fault && fault.damage === "request" ? damaged(content) : content
      )
    })().catch((error: unknown): Answer => {
      if (!(error instanceof S3Error)) throw error
      const body =
        request.method === "HEAD"
          ? ""
          : `<?xml version="1.0" encoding="UTF-8"?>\n${element("Error", element("Code", error.code) + element("Message", escape(error.message)))}`
      return { status: error.status, body }
    })
    if (fault !== undefined && "reset" in fault) {
      request.socket.destroy()
      return
    }
    const { body = "", headers = {}, status = 200 } = answer
    response.writeHead(status, {
      ...(typeof body === "string" && headers["content-length"] === undefined
        ? { "content-type": "application/xml", "content-length": Buffer.byteLength(body) }
        : {}),
      ...headers
    })
    if (typeof body === "string") {
      response.end(body)
      return
    }
    const answered = fault
    await pipeline(
      body,
      async function* (source: AsyncIterable<Uint8Array>) {
        let sent = 0
        for await (const piece of source) {
          if (answered !== undefined && "cut" in answered && sent + piece.length > answered.cut) {
            yield piece.subarray(0, answered.cut - sent)
            await delay(20)
            throw new Error("cut")
          }
          yield answered !== undefined && "damage" in answered && sent === 0 ? damaged(piece) : piece
          sent += piece.length
        }
      },
      response
    )
  }

  const server = createServer((request, response) => {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce)
    void Promise.race([reply(request, response), once(response, "close")])
      .catch(() => response.destroy())
      .finally(() => atOnce--)
  })
  const sockets = new Set<Socket>()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" ? address?.port : 0

  return {
    endpoint: `http://127.0.0.1:${port}`,
    /** Every request that was let in, in the order in which they came. */
    requests,
    /** How many requests there were of a kind. */
    count: (operation: Operation) => requests.filter((request) => request.operation === operation).length,
    /** How many requests are being answered. */
    open: () => atOnce,
    /** How many connections there are. */
    sockets: () => sockets.size,
    /** Ends all trouble. */
    calm: () => {
      troubles.length = 0
    },
    /** The most requests that were answered at the same time. */
    mostAtOnce: () => mostAtOnce,
    /** The uploads that nobody has completed or aborted. */
    uploads: () => [...uploads.values()].map(({ key }) => key),
    keys: () => [...objects.keys()].toSorted(),
    metadata: (key: string) => objects.get(key)?.metadata,
    /** How many bytes each part of an artifact has. */
    parts: (key: string) => objects.get(key)?.blobs.map(({ bytes }) => bytes),
    /** Stores something at once. */
    store: async (key: string, content: string, metadata: Record<string, string> = {}) => {
      const blob = await save(Buffer.from(content))
      objects.set(key, { blobs: [blob], bytes: blob.bytes, etag: `"${blob.md5.toString("hex")}"`, metadata })
    },
    /** Lets the next requests that fit go wrong. */
    trouble: ({ after = 0, fault, on, times = 1 }: Trouble) => void troubles.push({ on, fault, after, times }),
    /** Refuses to delete a key. */
    refuse: (key: string, code: string, times = Infinity) => void refused.set(key, { code, times }),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await fs.rm(dir, { recursive: true, force: true })
    }
  }
}
