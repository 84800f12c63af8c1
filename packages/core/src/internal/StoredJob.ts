/** A job as a store of whole jobs gives it back: checked, and turned into the journal that it must have come from. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { ErrorSummary, type JobEvent, type JobRecord, RunOutcome } from "../JobEvent.ts"
import { Corrupt, NewerVersion, RepositoryError } from "../JobRepository.ts"
import { JobSpec } from "../JobSpec.ts"
import type { ChunkState, JobState } from "../JobState.ts"
import { OutputRef } from "../WorkerAdapter.ts"
import {
  OutputInvalid,
  Refused,
  RenderFailed,
  Stalled,
  Throttled,
  TimedOut,
  Transport,
  WorkerError,
  WorkerLost,
  type WorkerReason
} from "../WorkerError.ts"
import * as MemoryJournal from "./MemoryJournal.ts"

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))

const StoredState: Schema.Codec<JobState> = Schema.Struct({
  id: Schema.String,
  version: Schema.Literal(1),
  revision: Schema.Int,
  run: Schema.Int,
  status: Schema.Union([Schema.Literals(["pending", "running"]), RunOutcome]),
  spec: JobSpec,
  chunks: Schema.Array(
    Schema.Struct({
      id: Schema.Int,
      status: Schema.Literals(["pending", "running", "retrying", "accepted"]),
      attempts: Count,
      output: Schema.optionalKey(OutputRef),
      acceptedBy: Schema.optionalKey(
        Schema.Struct({
          run: Schema.Int,
          attempt: Schema.Int,
          workerId: Schema.optionalKey(Schema.String),
          durationMs: Schema.optionalKey(Schema.Finite)
        })
      ),
      error: Schema.optionalKey(ErrorSummary)
    })
  ),
  progress: Schema.Finite,
  createdAt: Schema.Finite,
  updatedAt: Schema.Finite,
  endedAt: Schema.optionalKey(Schema.Finite),
  outputFile: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(ErrorSummary),
  leftover: Schema.optionalKey(Schema.Array(Schema.String)),
  target: Schema.optionalKey(
    Schema.Struct({ outputFile: Schema.optionalKey(Schema.String), container: Schema.optionalKey(Schema.String) })
  ),
  traceparent: Schema.optionalKey(Schema.String),
  stopping: Schema.optionalKey(Schema.Literals(["cancelled", "paused"])),
  brokenOff: Schema.optionalKey(Count)
})

const decodeState = Schema.decodeUnknownEffect(StoredState)
const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

export const corrupt = (jobId: string, where: string): RepositoryError =>
  new RepositoryError({ jobId, reason: new Corrupt({ where }) })

/** Checks what a store gave for a job. Fails with `Corrupt` or `NewerVersion`. */
export const decode = Effect.fnUntraced(function* (
  jobId: string,
  stored: unknown
): Effect.fn.Return<JobState, RepositoryError> {
  const version = Predicate.hasProperty(stored, "version") ? stored.version : undefined
  if (typeof version === "number" && Number.isSafeInteger(version) && version > 1) {
    const reason = new NewerVersion({ found: version, writtenBy: "@helios-infra/core" })
    return yield* new RepositoryError({ jobId, reason })
  }
  const state = yield* decodeState(stored).pipe(
    Effect.mapError(({ issue }) => {
      const [first] = formatIssue(issue).issues
      const where = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join(".")
      return corrupt(jobId, `${where === "" ? "the job that the store gave" : where}: ${first?.message ?? "invalid"}`)
    })
  )
  if (state.id !== jobId) return yield* corrupt(jobId, `id: the store gave job ${state.id}`)
  const ids = new Set(state.spec.chunks.map((chunk) => chunk.id))
  const stray = state.chunks.find((chunk) => !ids.has(chunk.id))
  return stray === undefined ? state : yield* corrupt(jobId, `chunks: ${stray.id} is no chunk of the job`)
})

/** The error of an attempt of which only the summary is left: says what it said. */
class RememberedError extends WorkerError.extend<RememberedError>("RememberedError")({ said: Schema.String }) {
  override get message(): string {
    return this.said
  }
}

const reasonOf = (tag: string, message: string): WorkerReason => {
  switch (tag) {
    case "Throttled":
      return new Throttled({})
    case "Transport":
      return new Transport({ cause: message })
    case "TimedOut":
      return new TimedOut({ limit: "attempt", afterMs: 0 })
    case "Stalled":
      return new Stalled({ silentMs: 0, frames: 0 })
    case "RenderFailed":
      return new RenderFailed({ exitCode: null, stderrTail: message })
    case "OutputInvalid":
      return new OutputInvalid({ expected: "", found: message })
    case "Refused":
      return new Refused({ why: "InvalidJob", fix: message })
    default:
      return new WorkerLost({ detail: message })
  }
}

const rememberedError = (
  fields: { readonly adapter: string; readonly jobId: string; readonly chunkId: number; readonly attempt: number },
  { _tag, message }: ErrorSummary
): WorkerError => new RememberedError({ ...fields, reason: reasonOf(_tag, message), said: message })

/** What must have happened to a chunk of the job. */
const chunkEvents = (jobId: string, chunk: ChunkState): ReadonlyArray<JobEvent> => {
  const { acceptedBy, attempts, error, id, output, status } = chunk
  const events: Array<JobEvent> = Array.from({ length: attempts }, (_, i) => ({
    _tag: "AttemptStarted",
    chunk: id,
    attempt: i + 1
  }))
  if (output !== undefined && acceptedBy !== undefined && status === "accepted") {
    const { attempt, durationMs = 0, workerId } = acceptedBy
    const by = workerId === undefined ? undefined : { workerId }
    events.push({ _tag: "ChunkAccepted", chunk: id, attempt, output, durationMs, ...by })
  } else if (error !== undefined || status === "retrying") {
    const fields = { adapter: "store", jobId, chunkId: id, attempt: Math.max(1, attempts) }
    const ended: JobEvent = {
      _tag: "AttemptEnded",
      chunk: id,
      attempt: fields.attempt,
      how: "failed",
      ...(error === undefined ? undefined : { error: rememberedError(fields, error) }),
      ...(status === "retrying" ? { retryInMs: 0 } : undefined)
    }
    const last = status === "running" ? events.pop() : undefined
    events.push(ended, ...(last === undefined ? [] : [last]))
  }
  return events
}

/** The shortest journal that amounts to a state: its fold is the state again. */
export const journalOf = (state: JobState): ReadonlyArray<JobRecord> => {
  const { id, run, status } = state
  const begun = state.createdAt
  const records: Array<{ readonly run: number; readonly at: number; readonly event: JobEvent }> = [
    { run: 0, at: begun, event: { _tag: "JobCreated", version: 1, spec: state.spec } }
  ]
  const runOf = (chunk: ChunkState): number => {
    if (chunk.status === "accepted") return chunk.acceptedBy?.run ?? run
    // Begun in an earlier run, and not yet in this one: the beginning of a run says so.
    return chunk.status === "pending" && status === "running" && chunk.error === undefined ? run - 1 : run
  }
  const inOrder = state.chunks.toSorted((a, b) => runOf(a) - runOf(b))
  const before = inOrder.filter((chunk) => runOf(chunk) < run)
  const during = inOrder.filter((chunk) => runOf(chunk) >= run)
  const add = (chunk: ChunkState): void => {
    for (const event of chunkEvents(id, chunk)) records.push({ run: runOf(chunk), at: begun, event })
  }
  before.forEach(add)
  const start = (run: number): void =>
    void records.push({
      run,
      at: begun,
      event: {
        _tag: "RunStarted",
        run,
        owner: MemoryJournal.owner,
        ...state.target,
        ...(state.traceparent === undefined ? undefined : { traceparent: state.traceparent })
      }
    })
  const { brokenOff = 0 } = state
  for (let earlier = run - brokenOff; earlier < run; earlier++) start(earlier)
  const knownStart = state.target ?? state.traceparent
  if (status === "running" || knownStart !== undefined || during.some((chunk) => chunk.attempts > 0)) start(run)
  during.forEach(add)
  if (state.stopping !== undefined) {
    records.push({ run, at: begun, event: { _tag: "StopRequested", how: state.stopping } })
  }
  if (state.outputFile !== undefined) {
    records.push({ run, at: begun, event: { _tag: "Stitched", outputFile: state.outputFile } })
  }
  if (status !== "pending" && status !== "running") {
    const error = state.error === undefined ? undefined : { error: state.error }
    records.push({
      run,
      at: begun,
      event: { _tag: "RunEnded", run, how: status, leftover: state.leftover ?? [], ...error }
    })
  }
  const first = Math.max(1, state.revision - records.length + 1)
  return records.map((record, i) => ({
    ...record,
    at: i === records.length - 1 ? state.updatedAt : record.at,
    revision: first + i
  }))
}
