/**
 * Checks requests that are signed with a shared secret, as `signatureHeader` of core's `WorkerProtocol` says, and compares
 * secrets without telling by the time it takes how much of one was right.
 */
import { signatureAgeMs, signedText } from "@helios-infra/core/WorkerProtocol"
import * as Redacted from "effect/Redacted"
import { createHash, createHmac, timingSafeEqual } from "node:crypto"

/** What a signature's header says. */
export interface Signature {
  /** When it was made, in seconds since the epoch. */
  readonly seconds: number
  readonly values: ReadonlyArray<Buffer>
}

/** As many as there can be while secrets are changed; each costs as much as there are secrets. */
const mostValues = 8

/** Reads the header; `undefined` where it is none. */
export const parse = (header: string): Signature | undefined => {
  let seconds: number | undefined
  const values: Array<Buffer> = []
  for (const part of header.split(",")) {
    const [, time, value] = /^\s*(?:t=(\d{1,12})|v1=([\da-f]{64}))\s*$/.exec(part) ?? []
    if (time !== undefined && seconds === undefined) seconds = Number(time)
    else if (value !== undefined && values.length < mostValues) values.push(Buffer.from(value, "hex"))
    else return undefined
  }
  return seconds === undefined || values.length === 0 ? undefined : { seconds, values }
}

/** Whether it was made so lately that it counts; a clock may be fast as well as slow. */
export const isRecent = ({ seconds }: Signature, nowMs: number): boolean =>
  Math.abs(nowMs - seconds * 1000) <= signatureAgeMs

/** Whether one of the secrets signed the body. */
export const matches = (
  { seconds, values }: Signature,
  body: Uint8Array,
  secrets: ReadonlyArray<Redacted.Redacted>
): boolean => {
  let right = false
  for (const secret of secrets) {
    // The body as it came: what it says once it is decoded could be the same for others.
    const expected = createHmac("sha256", Redacted.value(secret)).update(signedText(seconds, "")).update(body).digest()
    for (const value of values) right = timingSafeEqual(expected, value) || right
  }
  return right
}

/** Whether it is one of the secrets. */
export const isSecret = (text: string, secrets: ReadonlyArray<Redacted.Redacted>): boolean => {
  const given = digest(text)
  let right = false
  for (const secret of secrets) right = timingSafeEqual(digest(Redacted.value(secret)), given) || right
  return right
}

/** Equally long, whatever the text is. */
const digest = (text: string): Buffer => createHash("sha256").update(text).digest()
