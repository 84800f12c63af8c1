/**
 * What an attempt's failure looks like from outside: short, whatever went wrong, and without what was in the query of a
 * URL. What a command printed is its own affair, and stays as it is.
 */
import { Transport, OutputInvalid, Refused, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"

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
