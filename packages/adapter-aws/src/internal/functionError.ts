/**
 * Why a function gave no answer of its own: the platform ended it, it crashed, or it threw. The platform says so with an
 * answer whose payload is an error object; what counts is its type, and its words where it has no type.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Refused, TimedOut, WorkerLost, type WorkerReason } from "@helios-infra/core/WorkerError"
import { describe, type Target } from "./target.ts"

const decode = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({ errorType: Schema.optionalKey(Schema.String), errorMessage: Schema.optionalKey(Schema.String) })
  )
)

/** The code that was deployed cannot be loaded: no call can succeed. */
const cannotLoad = new Set([
  "Runtime.ImportModuleError",
  "Runtime.HandlerNotFound",
  "Runtime.MalformedHandlerName",
  "Runtime.UserCodeSyntaxError",
  "Runtime.InvalidEntrypoint",
  "Runtime.InvalidWorkingDir"
])

/** How much of the end of a function's log an error repeats, in characters. */
const logLimit = 1000

/** What a function printed, of the end of its log: without the lines that are the platform's own. */
export const printed = (log: string): string =>
  log
    .split("\n")
    .filter((line) => !/^(START|END|REPORT|INIT_START|INIT_REPORT|XRAY) /.test(line))
    .join("\n")
    .trim()

/** What the platform reports of the memory, as a sentence: ` (512 MB, of which it used 512)`. */
const memory = (log: string): string => {
  const [, size, used] = /Memory Size: (\d+) MB\s+Max Memory Used: (\d+) MB/.exec(log) ?? []
  return size === undefined ? "" : ` (${size} MB, of which it used ${used})`
}

/** What is known of a call that ended this way. */
export interface Failed {
  /** The payload of the answer. */
  readonly payload: string
  /** The end of the log, where the platform sent it. */
  readonly log: string
  /** How long the call took, in milliseconds. */
  readonly elapsedMs: number
  readonly target: Target
}

/** The reason for which it gave no answer. */
export const reasonOf = ({ elapsedMs, log, payload, target }: Failed): WorkerReason => {
  const unknown = { errorType: "", errorMessage: payload.slice(0, logLimit) }
  const { errorMessage = "", errorType = "" } = Option.getOrElse(decode(payload), () => unknown)
  const said = [errorType, errorMessage].filter((part) => part !== "").join(": ")

  const [timedOut, seconds] = /Task timed out after ([\d.]+) seconds/.exec(errorMessage) ?? []
  if (timedOut !== undefined || errorType === "Sandbox.Timedout") {
    const afterMs = seconds === undefined ? elapsedMs : Number(seconds) * 1000
    return new TimedOut({ limit: "platform", afterMs: Math.round(afterMs) })
  }
  if (errorType === "Function.ResponseSizeTooLarge") {
    const fix = `the answer of ${describe(target)} was larger than the 6 MB that Lambda takes: outputs belong into a storage`
    return new Refused({ why: "TooLarge", fix: `${fix} (${said})` })
  }
  if (cannotLoad.has(errorType)) {
    return new Refused({
      why: "Unsupported",
      fix: `the code of ${describe(target)} cannot be loaded: deploy it anew (${said})`
    })
  }
  const last = printed(log).slice(-logLimit)
  const lost = (what: string) =>
    new WorkerLost({
      detail: `${describe(target)} ${what}: ${said}${last === "" ? "" : `\nthe last that it printed:\n${last}`}`
    })
  if (errorType === "Runtime.OutOfMemory" || /signal: (killed|aborted)|exit status 13[47]/.test(errorMessage)) {
    return lost(`ran out of memory${memory(log)}, give it more`)
  }
  if (errorType === "Runtime.ExitError") {
    return lost(`ended before it answered, give it more memory if nothing else explains it${memory(log)}`)
  }
  return lost("failed")
}
