/**
 * The service account of the tests, and how a strict service tells what it has signed from what somebody else has.
 *
 * Nothing here is taken from the SDK: not the signatures, and not the checksums.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto"
import type { IncomingMessage } from "node:http"

/** What the service says when it does not do what it was asked. */
export class GcsError extends Error {
  readonly status: number
  readonly reason: string
  constructor(status: number, reason: string, message: string = reason) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

const pair = generateKeyPairSync("rsa", { modulusLength: 2048 })
const privateKey = createPrivateKey(pair.privateKey.export({ type: "pkcs8", format: "pem" }))
const publicKey = createPublicKey(pair.publicKey.export({ type: "spki", format: "pem" }))

/** The service account that may do everything in the bucket, as its key file has it. */
export const keyFile = {
  type: "service_account",
  project_id: "render-farm",
  client_email: "farm@render-farm.iam.gserviceaccount.com",
  private_key: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString()
}

/** What Google signs for an account that asks for it. */
export const signBlob = (payload: Uint8Array): string => sign("RSA-SHA256", payload, privateKey).toString("base64")

// ---
// checksums, made from the polynomial and not from the SDK's table
// ---

const castagnoli = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

/** The checksum of bytes, after others. */
export const crcOf = (bytes: Uint8Array, before = 0): number => {
  let value = ~before
  for (let index = 0; index < bytes.length; index++) {
    value = (castagnoli[((bytes[index] ?? 0) ^ value) & 255] ?? 0) ^ (value >>> 8)
  }
  return ~value
}

/** A checksum as the service writes it. */
export const base64Of = (crc: number): string => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(crc)
  return bytes.toString("base64")
}

// ---
// who asks
// ---

const signed = (input: string, signature: string, encoding: "base64url" | "hex"): boolean =>
  verify("RSA-SHA256", Buffer.from(input), publicKey, Buffer.from(signature, encoding))

/** What a token says that the account has signed itself, if it is valid. */
export const claimsOf = (token: string): Record<string, unknown> | undefined => {
  const [header = "", payload = "", signature = ""] = token.split(".")
  if (!signed(`${header}.${payload}`, signature, "base64url")) return undefined
  const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString())
  if (typeof claims !== "object" || claims === null) return undefined
  const { exp, iat, iss } = { exp: 0, iat: 0, iss: "", ...claims }
  const now = Date.now() / 1000
  return iss === keyFile.client_email && now < exp && iat <= now + 60 && exp - iat <= 3600 ? { ...claims } : undefined
}

/** Whether scopes let their owner write. */
export const mayStore = (scope: unknown): boolean =>
  String(scope)
    .split(" ")
    .some((one) =>
      /^https:\/\/www\.googleapis\.com\/auth\/(cloud-platform|devstorage\.(full_control|read_write))$/.test(one)
    )

const rfc3986 = (text: string) =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )

/** Fails unless a URL is signed by the account, not expired, and about just this. */
export const authenticateUrl = (request: IncomingMessage, url: URL): void => {
  const query = url.searchParams
  const names = query.get("X-Goog-SignedHeaders") ?? ""
  const time = query.get("X-Goog-Date") ?? ""
  const [account, ...scope] = (query.get("X-Goog-Credential") ?? "").split("/")
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time) ?? []
  const signedAt = Date.UTC(Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(s))
  const expires = Number(query.get("X-Goog-Expires"))
  if (query.get("X-Goog-Algorithm") !== "GOOG4-RSA-SHA256" || account !== keyFile.client_email) {
    throw new GcsError(403, "AccessDenied", "nothing is public here")
  }
  if (scope.join("/") !== `${time.slice(0, 8)}/auto/storage/goog4_request`) throw new GcsError(403, "InvalidScope")
  if (!(expires >= 1 && expires <= 604_800 && Number.isInteger(expires))) throw new GcsError(400, "InvalidExpires")
  if (Date.now() >= signedAt + expires * 1000) throw new GcsError(400, "ExpiredToken", "Invalid argument.")
  const headers = names.split(";")
  for (const name of Object.keys(request.headers)) {
    if (name.startsWith("x-goog-") && !headers.includes(name)) throw new GcsError(403, "AccessDenied", name)
  }
  const canonical = [
    request.method,
    (request.url ?? "").replace(/\?.*$/, ""),
    [...query.entries()]
      .filter(([name]) => name !== "X-Goog-Signature")
      .map(([name, value]) => `${rfc3986(name)}=${rfc3986(value)}`)
      .toSorted()
      .join("&"),
    // The SDK signs the host without its port, which Google's has not.
    ...headers.map(
      (name) =>
        `${name}:${String(request.headers[name] ?? "")
          .replace(name === "host" ? /:\d+$/ : "", "")
          .trim()}`
    ),
    "",
    names,
    "UNSIGNED-PAYLOAD"
  ].join("\n")
  const hash = createHash("sha256").update(canonical).digest("hex")
  const input = ["GOOG4-RSA-SHA256", time, scope.join("/"), hash].join("\n")
  if (!signed(input, query.get("X-Goog-Signature") ?? "", "hex")) throw new GcsError(403, "SignatureDoesNotMatch")
}
