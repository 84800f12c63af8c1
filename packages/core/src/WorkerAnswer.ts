/**
 * What an adapter makes of a worker's answer: the attempt's result or its failure, and the signals that are still owed.
 *
 * Every adapter whose workers speak `WorkerProtocol` ends an attempt here, so that an answer means the same wherever it
 * comes from. How it came, and what it means that none came, is the adapter's own affair.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { Refused, RenderFailed, Transport, WorkerLost, type WorkerError } from "./WorkerError.ts"
import * as WorkerProtocol from "./WorkerProtocol.ts"

/** How much of an answer that is none an error shows, in characters. */
const excerptLimit = 200

/** The beginning of a text that is not what it should be, for an error. */
export const excerpt = (text: string): string => (text.length > excerptLimit ? `${text.slice(0, excerptLimit)}…` : text)

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))

/**
 * Reads the text of an answer from `from`, the worker in the words of errors. What is no JSON was not the worker's
 * (`Transport`: something between did not pass it on); what is JSON and no answer comes from no worker, or from one of
 * another version (`Refused`: it would say the same again).
 */
export const read = (text: string, from: string): Effect.Effect<WorkerProtocol.WorkerReply, Transport | Refused> => {
  const json = decodeJson(text)
  if (Option.isSome(json)) return replyOf(json.value, from)
  const found = text === "" ? "empty" : `no JSON: ${excerpt(text)}`
  return Effect.fail(new Transport({ cause: new Error(`what came back from ${from} is ${found}`) }))
}

/** Reads an answer that is JSON data already; one that is none is `Refused`, as {@link read} says. */
export const replyOf = (json: unknown, from: string): Effect.Effect<WorkerProtocol.WorkerReply, Refused> =>
  Effect.mapError(WorkerProtocol.decodeReply(json), () => notOurs(json, from))

/** Whoever said this is no worker, or one of another version. */
export const notOurs = (json: unknown, from: string): Refused =>
  new Refused({
    why: "Unsupported",
    fix: `${from} does not answer as a worker does: deploy one made with @helios-infra/worker-runtime, in the version of this package. It said: ${excerpt(JSON.stringify(json) ?? "nothing")}`
  })

/** What was told of an attempt while it ran. */
export interface Told {
  /** Who runs it, if `Assigned` was told. */
  readonly workerId?: string | undefined
  /** Whether its lines were told as they were printed. */
  readonly stdout?: boolean | undefined
  readonly stderr?: boolean | undefined
}

/** Tells who ran an attempt, and what it printed as far as that is known only now; nothing that was told already. */
export const tell = (
  signal: (signal: WorkerAdapter.WorkerSignal) => void,
  said: { readonly workerId?: string | undefined; readonly stdout?: string; readonly stderr?: string },
  told: Told = {}
): void => {
  const { stderr = "", stdout = "", workerId } = said
  if (workerId !== undefined && told.workerId === undefined) signal({ _tag: "Assigned", workerId })
  if (stdout !== "" && told.stdout !== true) signal({ _tag: "Line", stream: "stdout", text: stdout.trimEnd() })
  if (stderr !== "" && told.stderr !== true) signal({ _tag: "Line", stream: "stderr", text: stderr.trimEnd() })
}

/** An answer, and what it answers. */
export interface Answered {
  /** The adapter's name. */
  readonly adapter: string
  readonly job: WorkerAdapter.WorkerJob
  readonly reply: WorkerProtocol.WorkerReply
  readonly signal: (signal: WorkerAdapter.WorkerSignal) => void
  /** Who ran it, where neither the answer nor `told` says so. */
  readonly workerId?: string | undefined
  /** What was told already. Default: nothing. */
  readonly told?: Told | undefined
}

/**
 * Ends an attempt by its answer. What it printed and who ran it is told now, if it was not before; a failure has the
 * name of this adapter and attempt, whatever the worker took them for.
 */
export const settle = Effect.fnUntraced(function* (
  answered: Answered
): Effect.fn.Return<WorkerAdapter.WorkerResult, WorkerError> {
  const { adapter, job, reply, signal, told = {} } = answered
  const who = (said: string | undefined): string | undefined => told.workerId ?? said ?? answered.workerId
  switch (reply._tag) {
    case "Result": {
      const { exitCode, stderr, stdout } = reply.result
      const workerId = who(reply.result.workerId)
      tell(signal, { workerId, stdout, stderr }, told)
      if (exitCode === 0) return { ...reply.result, ...(workerId === undefined ? undefined : { workerId }) }
      const reason = new RenderFailed({ exitCode, stderrTail: stderr === "" ? stdout : stderr })
      return yield* WorkerAdapter.failure(adapter, job, reason, workerId)
    }
    case "Error": {
      const { reason } = reply.error
      const workerId = who(reply.error.workerId)
      tell(signal, { workerId, ...(reason._tag === "RenderFailed" ? { stderr: reason.stderrTail } : undefined) }, told)
      return yield* WorkerAdapter.failure(adapter, job, reason, workerId)
    }
    case "Cancelled": {
      // Nobody here stopped it, or nobody would be listening.
      const workerId = who(undefined)
      tell(signal, { workerId }, told)
      const reason = new WorkerLost({ detail: "somebody told it to stop, and it has" })
      return yield* WorkerAdapter.failure(adapter, job, reason, workerId)
    }
  }
})
