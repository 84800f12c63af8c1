/**
 * For receivers: whether a request is a webhook that was really sent, and which event it holds.
 *
 * It needs WebCrypto and nothing else, and imports nothing of Effect: it runs in Node, Deno, Bun, browsers, and on
 * platforms at the edge. Receivers in other languages take any library that implements Standard Webhooks
 * (standardwebhooks.com).
 *
 * It cannot know whether an event came before: whoever receives the same `id` twice has it already.
 */
import * as standard from "./internal/standardWebhooks.ts"
import type { WebhookEvent } from "./WebhookEvent.ts"

export type { WebhookEvent } from "./WebhookEvent.ts"

/** How a webhook is verified. */
export interface VerifyOptions {
  /** The secrets that may have signed it, each `whsec_…`; several while one is changed for another. */
  readonly secrets: string | ReadonlyArray<string>
  /** How far its time may be off, in milliseconds: what is older may have been overheard. Default: 300 000, 5 minutes. */
  readonly tolerance?: number | undefined
  /** Now, in milliseconds since the epoch. Default: the clock. */
  readonly now?: number | undefined
}

/** How a request is received. */
export interface ReceiveOptions extends VerifyOptions {
  /** How long a body may be, in bytes: more is not read. Default: 262 144. Events have less than 20 000. */
  readonly maxBytes?: number | undefined
}

/** A webhook that was really sent. */
export interface Verified {
  /** The event's id, which is the same however often it is sent: keep it, and leave out what has one that you know. */
  readonly id: string
  /** When it was sent, in milliseconds since the epoch. That an event happened earlier stands in itself. */
  readonly sentAt: number
  /** What happened. A later sender may send types that this version does not name: leave those out. */
  readonly event: WebhookEvent
}

/**
 * Why a request is not accepted.
 *
 * - `MissingHeaders`: it is no webhook: `webhook-id`, `webhook-timestamp` or `webhook-signature` is not there.
 * - `WrongTime`: it was sent too long ago, or later than now.
 * - `WrongSignature`: none of the secrets signed these bytes. The body must be what came, before anything parses it.
 * - `TooLarge`: its body is longer than is read.
 * - `NotAnEvent`: it was signed, and holds no event of version 1.
 * - `InvalidSecret`: one of the secrets of the options is none; nothing can be verified.
 */
export type VerificationReason =
  | "MissingHeaders"
  | "WrongTime"
  | "WrongSignature"
  | "TooLarge"
  | "NotAnEvent"
  | "InvalidSecret"

const statuses: { readonly [Reason in VerificationReason]: number } = {
  MissingHeaders: 400,
  WrongTime: 401,
  WrongSignature: 401,
  TooLarge: 413,
  NotAnEvent: 400,
  InvalidSecret: 500
}

/** A request is not accepted. */
export class WebhookVerificationError extends Error {
  override readonly name = "WebhookVerificationError"
  readonly reason: VerificationReason
  /** The status to answer with. */
  readonly status: number

  constructor(reason: VerificationReason, message: string) {
    super(message)
    this.reason = reason
    this.status = statuses[reason]
  }
}

/** Headers as `Request` has them, as `node:http` has them, or any record by lower-case names. */
export type WebhookHeaders =
  | { readonly get: (name: string) => string | null }
  | { readonly [name: string]: string | ReadonlyArray<string> | undefined }

const defaultTolerance = 300_000

const defaultMaxBytes = 262_144

const hasGet = (headers: WebhookHeaders): headers is { readonly get: (name: string) => string | null } =>
  typeof headers.get === "function"

const headerOf = (headers: WebhookHeaders, name: string): string => {
  const value = hasGet(headers) ? headers.get(name) : headers[name]
  return typeof value === "string" ? value : ""
}

/**
 * Verifies a webhook by its body, exactly as it came: `request.text()` or `arrayBuffer()`, not `json()`. Rejects with a
 * {@link WebhookVerificationError}.
 *
 * ```ts
 * import { verify, WebhookVerificationError } from "@helios-infra/webhooks/verify"
 *
 * export const POST = async (request: Request): Promise<Response> => {
 *   try {
 *     const { event, id } = await verify(await request.text(), request.headers, { secrets: "whsec_…" })
 *     console.log(id, event.type)
 *     return new Response(null, { status: 204 })
 *   } catch (error) {
 *     if (error instanceof WebhookVerificationError) return new Response(error.message, { status: error.status })
 *     throw error
 *   }
 * }
 * ```
 */
export const verify = async (
  body: string | ArrayBuffer | Uint8Array,
  headers: WebhookHeaders,
  options: VerifyOptions
): Promise<Verified> => {
  const bytes =
    typeof body === "string" ? new TextEncoder().encode(body) : body instanceof Uint8Array ? body : new Uint8Array(body)
  const keys = await keysOf(options.secrets)
  const id = headerOf(headers, standard.headerNames.id)
  const seconds = headerOf(headers, standard.headerNames.timestamp)
  const signature = headerOf(headers, standard.headerNames.signature)
  if (id === "" || seconds === "" || signature === "") {
    const names = Object.values(standard.headerNames).join(", ")
    throw new WebhookVerificationError("MissingHeaders", `this is no webhook: it needs the headers ${names}`)
  }
  // There is no Effect here whose clock could be set: `now` is.
  // @effect-diagnostics-next-line globalDate:off
  const now = options.now ?? Date.now() // oxlint-disable-line no-restricted-globals
  const { tolerance = defaultTolerance } = options
  const sentAt = /^\d{1,12}$/.test(seconds) ? Number(seconds) * 1000 : Number.NaN
  if (!(Math.abs(now - sentAt) <= tolerance)) {
    const off = Number.isNaN(sentAt) ? "is no time in seconds" : `is ${Math.round(Math.abs(now - sentAt) / 1000)} s off`
    throw new WebhookVerificationError("WrongTime", `its ${standard.headerNames.timestamp} ${off}: look at both clocks`)
  }
  if (!(await standard.matches(keys, { id, seconds, signature, body: bytes }))) {
    throw new WebhookVerificationError(
      "WrongSignature",
      "none of the secrets signed this: take the secret of this endpoint, and the body as it came, before it is parsed"
    )
  }
  return { id, sentAt, event: eventOf(bytes) }
}

/**
 * Reads a request, but not too much of it, and verifies it: a `Request` as `fetch`-style handlers get it (Hono, Next.js,
 * Deno, Bun, Workers), or one of `node:http`. Rejects with a {@link WebhookVerificationError}, or with what reading failed
 * with.
 *
 * ```ts
 * import { receive, WebhookVerificationError } from "@helios-infra/webhooks/verify"
 * import { createServer } from "node:http"
 *
 * createServer((request, response) => {
 *   receive(request, { secrets: ["whsec_…"] }).then(
 *     ({ event, id }) => {
 *       console.log(id, event.type)
 *       response.writeHead(204).end()
 *     },
 *     (error: unknown) => {
 *       response.writeHead(error instanceof WebhookVerificationError ? error.status : 500).end()
 *     }
 *   )
 * }).listen(8080)
 * ```
 */
export const receive = async (
  request:
    | { readonly headers: WebhookHeaders; readonly body: AsyncIterable<Uint8Array> | null }
    | ({ readonly headers: WebhookHeaders } & AsyncIterable<Uint8Array>),
  options: ReceiveOptions
): Promise<Verified> => {
  const { maxBytes = defaultMaxBytes } = options
  const parts: Array<Uint8Array> = []
  let size = 0
  const source = Symbol.asyncIterator in request ? request : request.body
  if (source !== null) {
    for await (const part of source) {
      size += part.length
      if (size > maxBytes) {
        throw new WebhookVerificationError("TooLarge", `its body has more than the ${maxBytes} bytes that are read`)
      }
      parts.push(part)
    }
  }
  const body = new Uint8Array(size)
  let offset = 0
  for (const part of parts) {
    body.set(part, offset)
    offset += part.length
  }
  return verify(body, request.headers, options)
}

/** Keys are made once for each secret: few programs have more than two. */
const known = new Map<string, Promise<standard.Key | undefined>>()

const mostKnown = 64

const keysOf = async (secrets: string | ReadonlyArray<string>): Promise<ReadonlyArray<standard.Key>> => {
  const made = await Promise.all(
    [secrets].flat().map((secret) => {
      const key = known.get(secret) ?? standard.keyOf(secret)
      if (known.size >= mostKnown) known.clear()
      known.set(secret, key)
      return key
    })
  )
  const keys = made.filter((key) => key !== undefined)
  if (keys.length === 0 || keys.length < made.length) {
    const which = made.length === 0 ? "there is no secret" : `secret ${made.indexOf(undefined) + 1} is none`
    throw new WebhookVerificationError("InvalidSecret", `${which}: it ${standard.secretRule}`)
  }
  return keys
}

const isEvent = (value: unknown): value is WebhookEvent =>
  typeof value === "object" &&
  value !== null &&
  "version" in value &&
  value.version === 1 &&
  "type" in value &&
  typeof value.type === "string" &&
  "data" in value &&
  typeof value.data === "object"

const eventOf = (body: Uint8Array): WebhookEvent => {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(body))
  } catch {
    value = undefined
  }
  if (isEvent(value)) return value
  const message =
    "it was signed, and holds no event of version 1: update @helios-infra/webhooks here, or the secret is used for something else as well"
  throw new WebhookVerificationError("NotAnEvent", message)
}
