/**
 * Which trace a request belongs to, for log entries: from the W3C's header, or from the one that Google's frontends send.
 * Spans are not made here.
 */
import { parse } from "@helios-infra/core/TraceContext"

/** A place in a trace, as OpenTelemetry writes it: 32 and 16 hexadecimal digits. */
export interface TraceContext {
  readonly traceId: string
  readonly spanId: string | undefined
  readonly sampled: boolean
}

/** `<trace, hexadecimal>/<span, decimal>;o=<1 where it is sampled>`. */
const google = /^([\da-f]{32})(?:\/(\d{1,20}))?(?:;o=(\d+))?$/i

/** What the headers say; `undefined` where they say nothing. */
export const fromHeaders = (headers: Readonly<Record<string, string | undefined>>): TraceContext | undefined => {
  const parent = parse(headers)
  if (parent !== undefined) return { traceId: parent.traceId, spanId: parent.spanId, sampled: parent.sampled }
  const [, trace, span, options] = google.exec(headers["x-cloud-trace-context"] ?? "") ?? []
  if (trace === undefined) return undefined
  return { traceId: trace.toLowerCase(), spanId: hexadecimal(span), sampled: options === "1" }
}

/** A span's number as 16 hexadecimal digits; none for 0, which stands for no span, and for what has more than 64 bits. */
const hexadecimal = (span: string = "0"): string | undefined => {
  const number = BigInt(span)
  return number === 0n || number >= 1n << 64n ? undefined : number.toString(16).padStart(16, "0")
}
