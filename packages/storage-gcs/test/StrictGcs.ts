/**
 * A Google Cloud Storage of the tests: as strict as the real one where no server that a test can install is. It verifies
 * tokens, signatures and checksums, keeps conditions, shows no object before it is whole, and goes wrong as it is told to.
 *
 * It speaks the JSON API below `/storage/v1` and below `/`, and of the XML API what signed URLs need; it gives tokens for
 * signed assertions, tells who the machine is, and signs for it. What it stores lies in files, so that large objects
 * take none of the memory that is watched.
 */
import { Effect, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { createReadStream } from "node:fs"
import * as fs from "node:fs/promises"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import type { Readable } from "node:stream"
import { buffer } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { setTimeout as delay } from "node:timers/promises"
import {
  authenticateUrl,
  base64Of,
  claimsOf,
  crcOf,
  GcsError,
  keyFile,
  mayStore,
  signBlob
} from "./StrictGcsAccount.ts"

export { keyFile }

export const bucket = "renders"

/** The smallest chunk of an upload but the last one; all are multiples of it. */
export const partUnit = 256 * 1024

/** What is asked. */
type Operation =
  | "CancelUpload"
  | "DeleteObject"
  | "DownloadObject"
  | "GetObject"
  | "InsertObject"
  | "ListObjects"
  | "Metadata"
  | "QueryUpload"
  | "SignBlob"
  | "SignedGet"
  | "SignedPut"
  | "StartUpload"
  | "Token"
  | "UploadChunk"

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
 * - `slow`: it is answered later, and done only then.
 * - `waits`: the same, when something has happened.
 * - `lost`: all is done, and the answer never comes.
 * - `reset`: the connection breaks before anything is done, or when all is done and the answer is due.
 * - `cut`: the connection breaks after so many bytes of the answer.
 * - `ignoreRange`: the whole object is given, not the part that was asked for.
 * - `damage`: one byte of what was sent, or of what is given, is another one.
 * - `wrongCrc`: the service has another checksum than it should, and says so.
 * - `takes`: only so many bytes of a chunk are taken.
 * - `nonsense`: the answer is no JSON.
 */
export type Fault =
  | { readonly error: readonly [status: number, reason: string, message?: string] }
  | { readonly slow: number }
  | { readonly waits: Promise<unknown> }
  | { readonly lost: true }
  | { readonly reset: "before" | "after" }
  | { readonly cut: number }
  | { readonly ignoreRange: true }
  | { readonly damage: "request" | "answer" }
  | { readonly wrongCrc: true }
  | { readonly takes: number }
  | { readonly nonsense: true }

/** Which requests something goes wrong with. */
interface Trouble {
  readonly on: Operation
  readonly fault: Fault
  /** Default: 1. */
  readonly times?: number
  /** How many such requests go well before. Default: 0. */
  readonly after?: number
}

interface Stored {
  readonly file: string
  readonly bytes: number
  readonly crc32c: string
  readonly generation: string
  readonly metadata: Readonly<Record<string, string>>
}

interface Upload {
  readonly name: string
  readonly metadata: Readonly<Record<string, string>>
  readonly match: string | null
  readonly told: number | undefined
  readonly file: string
  bytes: number
  crc: number
  done?: Stored
}

interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string | number>
  readonly body?: string | Readable
}

// ---
// the server
// ---

/** What each operation may be told in its URL; anything else is a mistake. */
const parameters: Partial<Record<Operation, ReadonlyArray<string>>> = {
  CancelUpload: ["upload_id", "uploadType"],
  DeleteObject: ["ifGenerationMatch"],
  DownloadObject: ["alt", "ifGenerationMatch"],
  GetObject: ["fields", "ifGenerationMatch"],
  InsertObject: ["uploadType", "name", "ifGenerationMatch", "kmsKeyName", "fields"],
  ListObjects: ["prefix", "pageToken", "maxResults", "fields"],
  QueryUpload: ["upload_id", "uploadType"],
  StartUpload: ["uploadType", "name", "ifGenerationMatch", "kmsKeyName"],
  UploadChunk: ["upload_id", "uploadType"]
}

const decodeTargetBody = Schema.decodeSync(
  Schema.fromJsonString(
    Schema.Struct({
      name: Schema.optionalKey(Schema.String),
      crc32c: Schema.optionalKey(Schema.String),
      metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
    })
  )
)

const decodePayload = Schema.decodeSync(Schema.fromJsonString(Schema.Struct({ payload: Schema.String })))

/** Starts a server with an empty bucket; it is gone with the scope. */
export const start = Effect.acquireRelease(
  Effect.promise(() => open()),
  ({ close }) => Effect.promise(close)
)

/** A server. */
export type StrictGcs = Effect.Success<typeof start>

const open = async () => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), "strict-gcs-"))
  const objects = new Map<string, Stored>()
  const uploads = new Map<string, Upload>()
  const tokens = new Set<string>()
  const requests: Array<Request> = []
  const troubles: Array<{ readonly on: Operation; readonly fault: Fault; after: number; times: number }> = []
  const refused = new Map<string, readonly [status: number, reason: string]>()
  let generations = 1_700_000_000_000_000
  let atOnce = 0
  let endpoint = ""

  const newFile = () => path.join(dir, randomUUID())

  const store = (name: string, object: Omit<Stored, "generation">): Stored => {
    const stored = { ...object, generation: String(++generations) }
    objects.set(name, stored)
    return stored
  }

  const resourceOf = (name: string, stored: Stored) => ({
    kind: "storage#object",
    name,
    bucket,
    generation: stored.generation,
    size: String(stored.bytes),
    crc32c: stored.crc32c,
    ...(Object.keys(stored.metadata).length === 0 ? {} : { metadata: stored.metadata })
  })

  /** Only what was asked for. */
  const selected = (resource: object, fields: string | null): object => {
    if (fields === null) return resource
    const names = fields.split(",")
    return Object.fromEntries(Object.entries(resource).filter(([name]) => names.includes(name)))
  }

  const json = (value: object, status = 200): Answer => ({
    status,
    headers: { "content-type": "application/json; charset=UTF-8" },
    body: JSON.stringify(value)
  })

  const meets = (name: string, match: string | null) => {
    if (match === null) return
    if (match !== (objects.get(name)?.generation ?? "0")) {
      throw new GcsError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
    }
  }

  const objectOf = (name: string): Stored => {
    const stored = objects.get(name)
    if (stored === undefined) throw new GcsError(404, "notFound", `No such object: ${bucket}/${name}`)
    return stored
  }

  const isIntact = (told: string | undefined, found: string) => {
    if (told !== undefined && told !== found) {
      throw new GcsError(400, "invalid", `Provided CRC32C "${told}" doesn't match calculated CRC32C "${found}".`)
    }
  }

  const told = (headers: IncomingMessage["headers"]): string | undefined =>
    /crc32c=([^,]+)/.exec(headers["x-goog-hash"]?.toString() ?? "")?.[1]

  /** What an object will be; its name is in the URL or in what is sent. */
  const decodeTarget = (query: URLSearchParams, text: string) => {
    const { crc32c, metadata = {}, name = query.get("name") } = decodeTargetBody(text)
    if (typeof name !== "string" || name === "" || Buffer.byteLength(name) > 1024) {
      throw new GcsError(400, "required", "Required")
    }
    return { name, metadata, crc32c }
  }

  /** The two parts of a `multipart/related` body. */
  const partsOf = (headers: IncomingMessage["headers"], content: Buffer) => {
    const boundary = /^multipart\/related; boundary="?([^"]+)"?$/.exec(headers["content-type"] ?? "")?.[1]
    if (boundary === undefined) throw new GcsError(400, "badContent", "no boundary")
    const begin = content.indexOf("\r\n\r\n") + 4
    const middle = content.indexOf(`\r\n--${boundary}\r\n`, begin)
    const second = content.indexOf("\r\n\r\n", middle + boundary.length) + 4
    const end = content.lastIndexOf(`\r\n--${boundary}--`)
    if (!content.subarray(0, boundary.length + 2).equals(Buffer.from(`--${boundary}`)) || middle < 0 || end < second) {
      throw new GcsError(400, "badContent", "malformed multipart body")
    }
    return [content.subarray(begin, middle).toString(), content.subarray(second, end)] as const
  }

  const insert = async (name: string, content: Uint8Array, metadata: Record<string, string>, match: string | null) => {
    const file = newFile()
    await fs.writeFile(file, content)
    // From here on nothing comes in between.
    meets(name, match)
    return store(name, { file, bytes: content.length, crc32c: base64Of(crcOf(content)), metadata })
  }

  const uploadOf = (query: URLSearchParams): Upload => {
    const upload = uploads.get(query.get("upload_id") ?? "")
    if (upload === undefined) throw new GcsError(404, "notFound", "")
    return upload
  }

  const rangeOf = ({ bytes }: Upload): Answer => ({
    status: 308,
    headers: { "content-length": 0, ...(bytes === 0 ? {} : { range: `bytes=0-${bytes - 1}` }) }
  })

  const finish = (upload: Upload, total: number, headers: IncomingMessage["headers"]): Stored => {
    if (upload.told !== undefined && upload.told !== total) throw new GcsError(400, "invalid", "other size than told")
    const crc32c = base64Of(upload.crc)
    isIntact(told(headers), crc32c)
    meets(upload.name, upload.match)
    const { bytes, file, metadata, name } = upload
    upload.done = store(name, { file, bytes, crc32c, metadata })
    return upload.done
  }

  const download = (stored: Stored, headers: IncomingMessage["headers"]): Answer => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "")
    const from = Number(range?.[1] ?? 0)
    const to = Math.min(stored.bytes, (range?.[2] ?? "") === "" ? stored.bytes : Number(range?.[2]) + 1)
    if (range !== null && from >= stored.bytes) {
      throw new GcsError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    }
    return {
      status: range === null ? 200 : 206,
      headers: {
        "content-type": "application/octet-stream",
        "content-length": to - from,
        "x-goog-generation": stored.generation,
        "x-goog-hash": `crc32c=${stored.crc32c},md5=AAAAAAAAAAAAAAAAAAAAAA==`,
        "x-goog-stored-content-length": stored.bytes,
        ...(range === null ? {} : { "content-range": `bytes ${from}-${to - 1}/${stored.bytes}` })
      },
      body: to <= from ? "" : createReadStream(stored.file, { start: from, end: to - 1 })
    }
  }

  const operate: Record<Operation, (request: Request, content: Buffer, fault?: Fault) => Answer | Promise<Answer>> = {
    InsertObject: async ({ headers, query }, body, fault) => {
      const [text, content] = partsOf(headers, body)
      const { crc32c, metadata, name } = decodeTarget(query, text)
      const sent = fault !== undefined && "damage" in fault ? damaged(content) : content
      isIntact(crc32c, base64Of(crcOf(sent)))
      const stored = await insert(name, sent, metadata, query.get("ifGenerationMatch"))
      return json(selected(resourceOf(name, stored), query.get("fields")))
    },
    StartUpload: ({ headers, query }, body) => {
      const { metadata, name } = decodeTarget(query, body.toString())
      const match = query.get("ifGenerationMatch")
      meets(name, match)
      const id = randomUUID()
      const length = headers["x-upload-content-length"]
      uploads.set(id, {
        name,
        metadata,
        match,
        told: length === undefined ? undefined : Number(length),
        file: newFile(),
        bytes: 0,
        crc: 0
      })
      const location = `${endpoint}/upload/storage/v1/b/${bucket}/o?uploadType=resumable&upload_id=${id}`
      return { headers: { location, "content-length": 0 } }
    },
    UploadChunk: async ({ headers, query }, content, fault) => {
      const upload = uploadOf(query)
      const [, first, last, total = "*"] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers["content-range"] ?? "") ?? []
      const from = Number(first)
      const to = Number(last) + 1
      if (upload.done === undefined) {
        if (to - from !== content.length) throw new GcsError(400, "invalid", "another length than the range")
        if (from > upload.bytes) throw new GcsError(503, "backendError", "a gap before the chunk")
        if (total === "*" && content.length % partUnit !== 0) throw new GcsError(400, "invalid", "not times 256 KiB")
        if (total !== "*" && Number(total) < to) throw new GcsError(400, "invalid", "more than the total")
        const fresh = content.subarray(upload.bytes - from)
        const taken = fault !== undefined && "takes" in fault ? fresh.subarray(0, fault.takes) : fresh
        const kept = fault !== undefined && "damage" in fault ? damaged(taken) : taken
        await fs.appendFile(upload.file, kept)
        upload.bytes += kept.length
        upload.crc = crcOf(kept, upload.crc)
        if (total === "*" || upload.bytes < Number(total)) return rangeOf(upload)
        finish(upload, Number(total), headers)
      }
      const stored = upload.done
      if (stored === undefined) throw new Error("finished, and not there")
      return json(resourceOf(upload.name, stored))
    },
    QueryUpload: ({ headers, query }) => {
      const upload = uploadOf(query)
      const total = /^bytes \*\/(\d+|\*)$/.exec(headers["content-range"] ?? "")?.[1]
      if (total === undefined) throw new GcsError(400, "invalid", "malformed range")
      if (upload.done === undefined && total !== "*" && upload.bytes === Number(total)) {
        finish(upload, Number(total), headers)
      }
      if (upload.done === undefined) return rangeOf(upload)
      return json(resourceOf(upload.name, upload.done))
    },
    CancelUpload: ({ query }) => {
      const upload = uploadOf(query)
      uploads.delete(query.get("upload_id") ?? "")
      if (upload.done !== undefined) throw new GcsError(404, "notFound", "")
      return { status: 499, headers: { "content-length": 0 } }
    },
    GetObject: ({ key, query }) => {
      const stored = objectOf(key)
      meets(key, query.get("ifGenerationMatch"))
      return json(selected(resourceOf(key, stored), query.get("fields")))
    },
    DownloadObject: ({ headers, key, query }) => {
      const stored = objectOf(key)
      meets(key, query.get("ifGenerationMatch"))
      return download(stored, headers)
    },
    ListObjects: ({ query }) => {
      const prefix = query.get("prefix") ?? ""
      const after = Buffer.from(query.get("pageToken") ?? "", "base64")
      const all = [...objects.keys()]
        .filter((key) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), after) > 0)
        .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      // As the real one, which gives 1 000 at most, it gives fewer than were asked for when it likes.
      const page = all.slice(0, Math.min(100, Number(query.get("maxResults") ?? 100)))
      const fields = /items\(([^)]*)\)/.exec(query.get("fields") ?? "")?.[1] ?? null
      return json({
        ...(page.length === 0 ? {} : { items: page.map((key) => selected(resourceOf(key, objectOf(key)), fields)) }),
        ...(all.length > page.length ? { nextPageToken: Buffer.from(page.at(-1) ?? "").toString("base64") } : {})
      })
    },
    DeleteObject: ({ key, query }) => {
      const denied = refused.get(key)
      if (denied !== undefined) throw new GcsError(...denied)
      objectOf(key)
      meets(key, query.get("ifGenerationMatch"))
      objects.delete(key)
      return { status: 204 }
    },
    SignedGet: ({ headers, key }) => download(objectOf(key), headers),
    SignedPut: async ({ key }, content) => {
      await insert(key, content, {}, null)
      return { headers: { "content-length": 0 } }
    },
    Token: (_, content) => {
      const form = new URLSearchParams(content.toString())
      const claims = claimsOf(form.get("assertion") ?? "")
      if (claims === undefined || !mayStore(claims["scope"])) return json({ error: "invalid_grant" }, 400)
      const token = `ya29.${randomUUID()}`
      tokens.add(token)
      return json({ access_token: token, expires_in: 3599, token_type: "Bearer" })
    },
    Metadata: ({ key }) => {
      const flavor = { "metadata-flavor": "Google", "content-type": "application/text" }
      if (key.endsWith("/token")) {
        const token = `ya29.${randomUUID()}`
        tokens.add(token)
        return {
          headers: { ...flavor, "content-type": "application/json" },
          body: JSON.stringify({ access_token: token, expires_in: 3599, token_type: "Bearer" })
        }
      }
      if (key.endsWith("/email")) return { headers: flavor, body: keyFile.client_email }
      if (key.endsWith("/project-id")) return { headers: flavor, body: keyFile.project_id }
      if (key.endsWith("/universe-domain")) return { headers: flavor, body: "googleapis.com" }
      return { headers: flavor, body: "instance/\n" }
    },
    SignBlob: ({ key }, content) => {
      if (!key.startsWith(`${keyFile.client_email}:`)) throw new GcsError(403, "forbidden", "another account")
      const { payload } = decodePayload(content.toString())
      const signedBlob = signBlob(Buffer.from(payload, "base64"))
      return json({ keyId: "1", signedBlob })
    }
  }

  /** What is asked, about what. Names are one part of the path, with every slash of theirs encoded. */
  const routeOf = (request: IncomingMessage, url: URL): readonly [Operation, string, string | undefined] => {
    const { method = "" } = request
    const query = url.searchParams
    if (url.pathname === "/token" && method === "POST") return ["Token", "", undefined]
    if (url.pathname.startsWith("/computeMetadata/v1/")) return ["Metadata", url.pathname, undefined]
    const blob = /^\/v1\/projects\/-\/serviceAccounts\/(.+:signBlob)$/.exec(url.pathname)
    if (blob !== null && method === "POST") return ["SignBlob", decodeURIComponent(blob[1] ?? ""), undefined]
    const upload = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(url.pathname)
    if (upload !== null) {
      const named = decodeURIComponent(upload[1] ?? "")
      const type = query.get("uploadType")
      if (method === "POST" && type === "multipart") return ["InsertObject", "", named]
      if (method === "POST" && type === "resumable") return ["StartUpload", "", named]
      if (method === "PUT" && query.has("upload_id")) {
        const asks = request.headers["content-range"]?.startsWith("bytes */") === true
        return [asks ? "QueryUpload" : "UploadChunk", "", named]
      }
      if (method === "DELETE" && query.has("upload_id")) return ["CancelUpload", "", named]
    }
    const object = /^(?:\/storage\/v1)?\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(url.pathname)
    if (object !== null) {
      const named = decodeURIComponent(object[1] ?? "")
      const key = decodeURIComponent(object[2] ?? "")
      if (key === "" && method === "GET") return ["ListObjects", "", named]
      if (method === "GET") return [query.get("alt") === "media" ? "DownloadObject" : "GetObject", key, named]
      if (method === "DELETE") return ["DeleteObject", key, named]
    }
    const plain = /^\/([^/]+)\/(.+)$/.exec(url.pathname)
    if (plain !== null && object === null && upload === null) {
      const key = decodeURIComponent(plain[2] ?? "")
      if (method === "GET") return ["SignedGet", key, plain[1]]
      if (method === "PUT") return ["SignedPut", key, plain[1]]
    }
    throw new GcsError(404, "notFound", `${method} ${url.pathname} is nothing that the service knows`)
  }

  const authenticate = (operation: Operation, request: IncomingMessage, url: URL) => {
    if (operation === "Token") return
    if (operation === "Metadata") {
      if (request.headers["metadata-flavor"] !== "Google") throw new GcsError(403, "forbidden")
      return
    }
    if (operation === "SignedGet" || operation === "SignedPut") return authenticateUrl(request, url)
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1]
    if (token === undefined) {
      if (isOpen) return
      throw new GcsError(401, "required", "Anonymous caller does not have storage.objects access.")
    }
    if (!tokens.has(token) && !mayStore(claimsOf(token)?.["scope"])) {
      throw new GcsError(401, "authError", "Invalid Credentials")
    }
  }

  let isOpen = false

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

  const complaint = (operation: Operation | undefined, error: GcsError): Answer => {
    if (operation === "DownloadObject") return { status: error.status, body: error.message }
    if (operation === "SignedGet" || operation === "SignedPut") {
      return { status: error.status, body: `<?xml version='1.0'?><Error><Code>${error.reason}</Code></Error>` }
    }
    const { message, reason, status } = error
    return json({ error: { code: status, message, errors: [{ message, domain: "global", reason }] } }, status)
  }

  const reply = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "", "http://localhost")
    let operation: Operation | undefined
    let fault: Fault | undefined
    const answer = await (async (): Promise<Answer> => {
      const [found, key, named] = routeOf(request, url)
      operation = found
      authenticate(operation, request, url)
      if (named !== undefined && named !== bucket) {
        throw new GcsError(404, "notFound", "The specified bucket does not exist.")
      }
      const allowed = parameters[operation]
      for (const name of url.searchParams.keys()) {
        if (allowed !== undefined && !allowed.includes(name)) throw new GcsError(400, "invalidParameter", name)
      }
      const received = { operation, key, query: url.searchParams, headers: request.headers }
      requests.push(received)
      fault = faultOf(operation)
      if (fault !== undefined && "reset" in fault && fault.reset === "before") {
        request.socket.destroy()
        return {}
      }
      const content = await buffer(request)
      if (fault !== undefined && "waits" in fault) await fault.waits
      if (fault !== undefined && "slow" in fault) {
        await delay(fault.slow)
        if (response.destroyed || request.socket.destroyed) return {}
      }
      if (fault !== undefined && "error" in fault) throw new GcsError(...fault.error)
      const asked =
        fault !== undefined && "ignoreRange" in fault
          ? { ...received, headers: { ...received.headers, range: undefined } }
          : received
      return operate[operation](asked, content, fault)
    })().catch((error: unknown): Answer => {
      if (!(error instanceof GcsError)) throw error
      return complaint(operation, error)
    })
    if (fault !== undefined && "lost" in fault) return
    if (fault !== undefined && "reset" in fault) {
      request.socket.destroy()
      return
    }
    const { body = "", headers = {}, status = 200 } = answer
    const text =
      fault !== undefined && "nonsense" in fault
        ? "<html>"
        : fault !== undefined && "wrongCrc" in fault && typeof body === "string"
          ? body.replace(/"crc32c":"[^"]*"/, '"crc32c":"AAAAAA=="')
          : body
    response.writeHead(status, {
      ...(typeof text === "string" ? { "content-length": Buffer.byteLength(text) } : {}),
      ...headers,
      ...(typeof text === "string" && text !== body ? { "content-length": Buffer.byteLength(text) } : {})
    })
    if (typeof text === "string") {
      response.end(text)
      return
    }
    const answered = fault
    await pipeline(
      text,
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
    atOnce++
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
  endpoint = `http://127.0.0.1:${port}`

  return {
    endpoint,
    host: `127.0.0.1:${port}`,
    /** Every request that was let in, in the order in which they came. */
    requests,
    /** How many requests there were of a kind. */
    count: (operation: Operation) => requests.filter((request) => request.operation === operation).length,
    /** How many requests are being answered. */
    open: () => atOnce,
    /** How many connections there are. */
    sockets: () => sockets.size,
    /** Lets in whoever has no token, as an emulator does. */
    letIn: () => {
      isOpen = true
    },
    /** Ends all trouble. */
    calm: () => {
      troubles.length = 0
    },
    /** The uploads that nobody has completed or cancelled. */
    uploads: () => [...uploads.values()].filter(({ done }) => done === undefined).map(({ name }) => name),
    /** Ends all uploads, as the service does with old ones. */
    forgetUploads: () => uploads.clear(),
    keys: () => [...objects.keys()].toSorted(),
    metadata: (key: string) => objects.get(key)?.metadata,
    /** Stores something at once. */
    store: async (key: string, content: string, metadata: Record<string, string> = {}) => {
      await insert(key, Buffer.from(content), metadata, null)
    },
    /** Lets the next requests that fit go wrong. */
    trouble: ({ after = 0, fault, on, times = 1 }: Trouble) => void troubles.push({ on, fault, after, times }),
    /** Refuses to delete a key. */
    refuse: (key: string, status: number, reason: string) => void refused.set(key, [status, reason]),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await fs.rm(dir, { recursive: true, force: true })
    }
  }
}
