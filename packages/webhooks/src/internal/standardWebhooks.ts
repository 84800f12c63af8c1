/**
 * Signatures as the Standard Webhooks specification has them: HMAC-SHA256 over `<id>.<seconds>.<body>`, in base64 after
 * `v1,`. Sender and receivers share it, so it needs WebCrypto and nothing else.
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */

/** The headers of every request. */
export const headerNames = {
  id: "webhook-id",
  timestamp: "webhook-timestamp",
  signature: "webhook-signature"
} as const

/** How many bytes a secret has, by the specification. */
const secretBytes = { least: 24, most: 64 }

const secretPrefix = "whsec_"

/** Each costs a comparison with every secret; there is one for each secret that the sender has. */
const mostSignatures = 8

/** What can be wrong with a secret, in words that show nothing of it. */
export const secretRule = `must be "${secretPrefix}" and ${secretBytes.least} to ${secretBytes.most} bytes in base64, such as WebhookSignature.newSecret makes`

/** A secret that can sign and verify, and cannot be read again. */
export type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>

type Bytes = Uint8Array<ArrayBuffer>

const hmac = { name: "HMAC", hash: "SHA-256" } as const

/** Bytes as base64. */
const toBase64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes))

const fromBase64 = (text: string): Bytes | undefined => {
  // `atob` is laxer than a header should be read.
  if (!/^(?:[a-z\d+/]{4})*(?:[a-z\d+/]{2}==|[a-z\d+/]{3}=)?$/i.test(text)) return undefined
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/** The text of a secret. */
export const secretOf = (bytes: Uint8Array): string => `${secretPrefix}${toBase64(bytes)}`

/** The bytes of a secret; `undefined` where it is none, as a variable that is not set. */
const bytesOf = (secret: unknown): Bytes | undefined => {
  // Some libraries leave the padding out.
  const text =
    typeof secret === "string" && secret.startsWith(secretPrefix)
      ? secret.slice(secretPrefix.length).replace(/=+$/, "")
      : ""
  const bytes = fromBase64(text + "=".repeat((4 - (text.length % 4)) % 4))
  return bytes !== undefined && bytes.length >= secretBytes.least && bytes.length <= secretBytes.most
    ? bytes
    : undefined
}

/** Whether a text is a secret. */
export const isSecret = (secret: unknown): boolean => bytesOf(secret) !== undefined

/** Makes a key of a secret; `undefined` where it is none. */
export const keyOf = (secret: unknown): Promise<Key | undefined> => {
  const bytes = bytesOf(secret)
  return bytes === undefined
    ? Promise.resolve(undefined)
    : crypto.subtle.importKey("raw", bytes, hmac, false, ["sign", "verify"])
}

/** What is signed: id, time and body, with dots between them, exactly as they are sent. */
const contentOf = (id: string, seconds: string, body: Uint8Array): Bytes => {
  const head = new TextEncoder().encode(`${id}.${seconds}.`)
  const content = new Uint8Array(head.length + body.length)
  content.set(head)
  content.set(body, head.length)
  return content
}

/** The header with a signature for each key. */
export const sign = (keys: ReadonlyArray<Key>, id: string, seconds: number, body: Uint8Array): Promise<string> => {
  const content = contentOf(id, String(seconds), body)
  return Promise.all(
    keys.map((key) =>
      crypto.subtle.sign(hmac, key, content).then((signature) => `v1,${toBase64(new Uint8Array(signature))}`)
    )
  ).then((signatures) => signatures.join(" "))
}

/** The signatures of a header that this can check; those of other versions are left out. */
const signaturesOf = (header: string): ReadonlyArray<Bytes> =>
  header
    .split(" ", mostSignatures)
    .map((part) => (part.startsWith("v1,") ? fromBase64(part.slice(3)) : undefined))
    .filter((bytes) => bytes !== undefined)

/**
 * Whether one of the keys made one of the header's signatures. WebCrypto compares in constant time; that all pairs are
 * looked at tells nobody which key it was.
 */
export const matches = (
  keys: ReadonlyArray<Key>,
  {
    body,
    id,
    seconds,
    signature
  }: { readonly id: string; readonly seconds: string; readonly signature: string } & {
    readonly body: Uint8Array
  }
): Promise<boolean> => {
  const content = contentOf(id, seconds, body)
  return Promise.all(
    signaturesOf(signature).flatMap((value) => keys.map((key) => crypto.subtle.verify(hmac, key, value, content)))
  ).then((found) => found.includes(true))
}
