/**
 * Uploads: an object in one request, or in a session.
 *
 * ```
 * whole:    POST metadata and content
 * session:  POST metadata → PUT part → 308 … → PUT last part and the checksum of all → the object
 *                              └ no answer: PUT nothing → 308 with what is there, or the object
 *           or DELETE
 * ```
 *
 * An object is there when the last byte is, and not before.
 */
import type { Part } from "@helios-infra/core/ArtifactParts"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import { decodeObject, type ObjectResource, objectFields } from "./objectResource.ts"
import type { Answer, Call, Requests } from "./requests.ts"
import { type Fault, isCorrupt, ofNonsense } from "./serviceFault.ts"

/** What an object will be. */
export interface Target {
  readonly name: string
  readonly metadata: Readonly<Record<string, string>>
  /** Whether there must be none before. */
  readonly ifAbsent: boolean
  readonly kmsKeyName?: string | undefined
}

const contentType = "application/octet-stream"

/** "Go on": what a session answers until the object is complete. */
const incomplete = 308

/** What a session answers that was cancelled. */
const cancelled = 499

/** How long ending a session may take that is not wanted any more. */
const cancelTimeout = Duration.seconds(30)

const paramsOf = ({ ifAbsent, kmsKeyName }: Target) => ({
  ifGenerationMatch: ifAbsent ? "0" : undefined,
  kmsKeyName
})

const objectOf = (what: string, { body }: Answer<string>): Effect.Effect<ObjectResource, Fault> =>
  Effect.mapError(decodeObject(body), ({ message }) => ofNonsense(what, `the answer is no object: ${message}`))

/** Stores an object that is in memory. One that did not arrive as it was is sent again. */
export const whole = Effect.fnUntraced(function* (
  requests: Requests,
  url: string,
  target: Target,
  content: Uint8Array,
  crc32c: string
): Effect.fn.Return<ObjectResource, Fault> {
  const { metadata, name } = target
  const boundary = `=_${randomUUID()}`
  const head = [
    `--${boundary}`,
    "Content-Type: application/json; charset=UTF-8",
    "",
    JSON.stringify({ name, metadata, crc32c, contentType }),
    `--${boundary}`,
    `Content-Type: ${contentType}`,
    "",
    ""
  ].join("\r\n")
  const call: Call = {
    method: "POST",
    url,
    params: { uploadType: "multipart", fields: objectFields, ...paramsOf(target) },
    headers: { "content-type": `multipart/related; boundary="${boundary}"` },
    body: Buffer.concat([Buffer.from(head), content, Buffer.from(`\r\n--${boundary}--\r\n`)])
  }
  const sent = Effect.flatMap(requests.once(call), (answer) => objectOf(`POST of ${name}`, answer))
  return yield* sent.pipe(Effect.retry({ times: 2, while: isCorrupt }), Effect.retry(requests.again))
})

/** Opens a session, and gives its address, which lets whoever has it write the object. */
export const begin = Effect.fnUntraced(function* (
  requests: Requests,
  url: string,
  target: Target,
  bytes: number | undefined
): Effect.fn.Return<string, Fault> {
  const { metadata, name } = target
  const { headers } = yield* requests.send({
    method: "POST",
    url,
    params: { uploadType: "resumable", ...paramsOf(target) },
    headers: {
      "content-type": "application/json; charset=UTF-8",
      "x-upload-content-type": contentType,
      ...(bytes === undefined ? undefined : { "x-upload-content-length": String(bytes) })
    },
    body: JSON.stringify({ name, metadata, contentType })
  })
  const session = headers.get("location")
  return session ?? (yield* ofNonsense(`upload of ${name}`, "the service opened a session and did not say where"))
})

/**
 * Sends a part, as often as it takes until the service has all of it. With the checksum of everything it is the last
 * one, and gives the object.
 * What has no answer is not sent again before the service has said how much of it there is.
 */
export const send = (
  requests: Requests,
  session: string,
  part: Part,
  crc32c: string | undefined
): Effect.Effect<ObjectResource | undefined, Fault> =>
  Effect.suspend(() => {
    const { content, from } = part
    const to = from + content.length
    const total = crc32c === undefined ? "*" : String(to)
    let offset = from
    let unsure = false

    /** Sends what is not there yet, or nothing, to hear what is there. */
    const step = Effect.gen(function* () {
      const rest = unsure ? content.subarray(0, 0) : content.subarray(offset - from)
      const range = rest.length === 0 ? "*" : `${offset}-${offset + rest.length - 1}`
      const asked = unsure
      unsure = true
      const answer = yield* requests.once({
        method: "PUT",
        url: session,
        headers: {
          "content-range": `bytes ${range}/${total}`,
          ...(crc32c === undefined ? undefined : { "x-goog-hash": `crc32c=${crc32c}` })
        },
        ...(rest.length === 0 ? undefined : { body: rest }),
        accepts: [incomplete]
      })
      unsure = false
      if (answer.status !== incomplete) return yield* objectOf("the last part of an upload", answer)
      // There is no range where there is nothing yet.
      const taken = 1 + Number(/^bytes=0-(\d+)$/.exec(answer.headers.get("range") ?? "")?.[1] ?? -1)
      if (taken < from || taken > to) {
        return yield* ofNonsense("an upload", `the service has ${taken} bytes, and should have ${from} to ${to}`)
      }
      if (!asked && taken === offset) {
        return yield* ofNonsense("an upload", `the service took nothing of ${rest.length} bytes, and is not done`)
      }
      offset = taken
      return undefined
    })

    const untilThere: Effect.Effect<ObjectResource | undefined, Fault> = Effect.flatMap(step, (object) =>
      object === undefined && (offset < to || crc32c !== undefined) ? untilThere : Effect.succeed(object)
    )
    return Effect.retry(untilThere, requests.again)
  })

/** Ends a session, if it is not at its end. */
export const cancel = (requests: Requests, session: string): Effect.Effect<void, Fault> =>
  requests.send({ method: "DELETE", url: session, accepts: [cancelled, 404, 410] }).pipe(
    Effect.timeoutOrElse({
      duration: cancelTimeout,
      orElse: () => Effect.fail(ofNonsense("the end of an upload", "no answer for too long"))
    }),
    Effect.asVoid
  )
