/**
 * What an attempt's failure looks like from outside: short, whatever went wrong, and without what was in the query of a
 * URL. What a command printed is its own affair, and stays as it is.
 */
import { Transport, OutputInvalid, Refused, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import * as Predicate from "effect/Predicate"

const mostCharacters = 4000

/** A text without the queries of URLs, which in presigned ones are secrets, and not too long. */
export const plain = (text: string): string => {
  const safe = text.replaceAll(/(\bhttps?:\/\/[^\s"'<>?#]*)[?#][^\s"'<>)\]]*/gi, "$1?…")
  return safe.length > mostCharacters ? `${safe.slice(0, mostCharacters)}…` : safe
}

/** A reason as it may be told. */
export const told = (reason: WorkerReason): WorkerReason => {
  switch (reason._tag) {
    case "Refused":
      return new Refused({ why: reason.why, fix: plain(reason.fix) })
    case "Transport": {
      const { cause } = reason
      return new Transport({ cause: new Error(plain(cause instanceof Error ? cause.message : String(cause))) })
    }
    case "WorkerLost":
      return new WorkerLost({ ...reason, detail: plain(reason.detail) })
    case "OutputInvalid":
      return new OutputInvalid({ expected: plain(reason.expected), found: plain(reason.found) })
    case "RenderFailed":
    case "Stalled":
    case "Throttled":
    case "TimedOut":
      return reason
  }
}

/** What can be told of a request that is none. */
export const idsIn = (input: unknown): { readonly jobId: string; readonly chunkId?: number } => ({
  jobId:
    Predicate.hasProperty(input, "jobId") && Predicate.isString(input.jobId) ? input.jobId.slice(0, 200) : "unknown",
  ...(Predicate.hasProperty(input, "chunkIndex") && Number.isSafeInteger(input.chunkIndex)
    ? { chunkId: Number(input.chunkIndex) }
    : undefined)
})

/** What log entries about a request are marked with. */
export const annotationsOf = (input: unknown): Record<string, unknown> => {
  const { chunkId, jobId } = idsIn(input)
  const numbers = (["run", "attempt"] as const).flatMap((key) =>
    Predicate.hasProperty(input, key) && Number.isSafeInteger(input[key]) ? [[key, input[key]] as const] : []
  )
  return { job: jobId, chunk: chunkId, ...Object.fromEntries(numbers) }
}

/** Which attempt it is. */
export const attemptIn = (input: unknown): number =>
  Predicate.hasProperty(input, "attempt") && Number.isSafeInteger(input.attempt) ? Number(input.attempt) : 1
