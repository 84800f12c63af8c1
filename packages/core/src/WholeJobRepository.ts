/**
 * A `JobRepository` over a store that can only save, get, list and delete whole jobs.
 *
 * ```
 * append ─▶ journal in memory ─▶ JobState ─at most every 250 ms, at a run's end, when it is closed─▶ store.save
 * get, read ◀─ journal in memory while a run is open here, else a journal made from what store.get gives
 * ```
 *
 * Such a store cannot fence, and nobody sees what another process does: one process at a time may run a job. After a
 * crash, what happened since the last save is gone, and the chunks accepted in that time are rendered again. Logs and
 * the history of attempts are not stored; they are kept in memory for the jobs that this process ran last.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { ErrorSummary, type JobEvent, type JobRecord, type Owner, RunOutcome } from "./JobEvent.ts"
import {
  AlreadyExists,
  Corrupt,
  Fenced,
  JobRepository,
  type JobRequest,
  type JobSummary,
  NewerVersion,
  NotFound,
  RepositoryError,
  Running,
  Unavailable
} from "./JobRepository.ts"
import { JobSpec } from "./JobSpec.ts"
import { type ChunkState, type JobFold, type JobState, makeFold } from "./JobState.ts"
import { OutputRef } from "./WorkerAdapter.ts"
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
} from "./WorkerError.ts"

/** The store failed; `cause` is what it said. */
export class StoreError extends Data.TaggedError("StoreError")<{ readonly cause: unknown }> {}

/**
 * What such a store can do. What it gives back is checked: a job that is not one fails with `Corrupt`.
 *
 * - `save` stores a job in place of the one with the same id.
 * - `get` gives a job as it was saved, `null` or `undefined` where there is none.
 * - `list` gives all jobs, in any order.
 * - `delete` removes a job.
 */
export interface Store {
  readonly save: (job: JobState) => Effect.Effect<unknown, StoreError>
  readonly get: (jobId: string) => Effect.Effect<unknown, StoreError>
  readonly list: () => Effect.Effect<unknown, StoreError>
  readonly delete: (jobId: string) => Effect.Effect<unknown, StoreError>
}

/** How long the changes of a running job wait for each other before they are saved together. */
export const saveInterval = Duration.millis(250)

/** How long a writer that is closed waits for the store to take what was appended last. */
const closeTimeout = Duration.seconds(10)

/** How many jobs whose run has ended keep their journal, and with it their logs, in memory. */
const remembered = 32

const owner: Owner = { host: "this process" }

// ---
// what a store gives back
// ---

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
      acceptedBy: Schema.optionalKey(Schema.Struct({ run: Schema.Int, attempt: Schema.Int })),
      error: Schema.optionalKey(ErrorSummary)
    })
  ),
  progress: Schema.Finite,
  createdAt: Schema.Finite,
  updatedAt: Schema.Finite,
  endedAt: Schema.optionalKey(Schema.Finite),
  outputFile: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(ErrorSummary),
  leftover: Schema.optionalKey(Schema.Array(Schema.String))
})

const decodeState = Schema.decodeUnknownEffect(StoredState)
const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const failure = (jobId: string, reason: RepositoryError["reason"]): RepositoryError =>
  new RepositoryError({ jobId, reason })

const corrupt = (jobId: string, where: string): RepositoryError => failure(jobId, new Corrupt({ where }))

const decode = Effect.fnUntraced(function* (
  jobId: string,
  stored: unknown
): Effect.fn.Return<JobState, RepositoryError> {
  const version = Predicate.hasProperty(stored, "version") ? stored.version : undefined
  if (typeof version === "number" && Number.isSafeInteger(version) && version > 1) {
    return yield* failure(jobId, new NewerVersion({ found: version, writtenBy: "@helios-infra/core" }))
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

// ---
// from a state back to events
// ---

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
    events.push({ _tag: "ChunkAccepted", chunk: id, attempt: acceptedBy.attempt, output, durationMs: 0 })
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
  if (status === "running" || during.some((chunk) => chunk.attempts > 0)) {
    records.push({ run, at: begun, event: { _tag: "RunStarted", run, owner } })
  }
  during.forEach(add)
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

// ---
// a job in memory
// ---

interface Journal {
  readonly id: string
  readonly records: Array<JobRecord>
  readonly fold: JobFold
  readonly requests: Array<JobRequest>
  run: number
  open: boolean
  /** Deleted, or stored anew by somebody else: nothing more will be appended. */
  over: boolean
  /** Done, and replaced, whenever something of the job changes. */
  changed: Deferred.Deferred<void>
}

const makeJournal = (id: string, records: Iterable<JobRecord>): Journal => {
  const journal: Journal = {
    id,
    records: [],
    fold: makeFold(id),
    requests: [],
    run: 0,
    open: false,
    over: false,
    changed: Deferred.makeUnsafe()
  }
  for (const record of records) add(journal, record)
  return journal
}

const add = (journal: Journal, record: JobRecord): void => {
  journal.records.push(record)
  journal.fold.apply(record)
  journal.run = Math.max(journal.run, record.run)
}

const revisionOf = ({ records }: Journal): number => records.at(-1)?.revision ?? 0

const notify = (journal: Journal): void => {
  const waiting = journal.changed
  journal.changed = Deferred.makeUnsafe()
  Deferred.doneUnsafe(waiting, Effect.void)
}

const finish = (journal: Journal): void => {
  journal.over = true
  notify(journal)
}

/** The state as it is now: the fold's own changes with the next event. */
const snapshot = ({ fold }: Journal): JobState | undefined => {
  const state = fold.state()
  return state === undefined ? undefined : { ...state, chunks: state.chunks.map((chunk) => ({ ...chunk })) }
}

const summaryOf = (state: JobState, owner: JobSummary["owner"]): JobSummary => {
  const { createdAt, id, progress, run, status, updatedAt } = state
  return { id, status, run, progress, createdAt, updatedAt, owner }
}

/** What a list holds from an index on, then what is added to it. */
const follow = <A>(journal: Journal, list: ReadonlyArray<A>, from: number, until: () => boolean): Stream.Stream<A> =>
  Stream.unfold(from, (next: number) => {
    const pull: Effect.Effect<readonly [ReadonlyArray<A>, number] | undefined> = Effect.suspend(() => {
      if (until()) return Effect.undefined
      if (next < list.length) return Effect.succeed([list.slice(next), list.length] as const)
      if (journal.over) return Effect.undefined
      return Effect.andThen(Deferred.await(journal.changed), pull)
    })
    return pull
  }).pipe(Stream.flatMap(Stream.fromIterable))

// ---
// the repository
// ---

/**
 * A repository over a store of whole jobs. It says of itself that it cannot fence and that a crash costs the last
 * moments (`durable: "interval"`).
 *
 * A job is saved when it is created, at most every {@link saveInterval} while it runs, when a run ends, and when its writer
 * is closed before that. A save that fails in between is made up for by the next one; one that fails at the beginning or
 * at the end is an error (`Unavailable`), and the store keeps what it had.
 */
export const fromStore = (store: Store): JobRepository["Service"] => {
  /** Jobs with an open run, and the last ones that had one. */
  const journals = new Map<string, Journal>()
  const creating = new Set<string>()

  const ask = <A>(jobId: string, operation: () => Effect.Effect<A, StoreError>): Effect.Effect<A, RepositoryError> =>
    Effect.suspend(operation).pipe(
      Effect.catchDefect((cause) => Effect.fail(new StoreError({ cause }))),
      Effect.mapError(({ cause }) => failure(jobId, new Unavailable({ cause })))
    )

  const saveNow = (journal: Journal): Effect.Effect<void, RepositoryError> =>
    Effect.suspend(() => {
      const state = snapshot(journal)
      return state === undefined ? Effect.void : ask(journal.id, () => store.save(state))
    })

  const fetch = Effect.fnUntraced(function* (
    jobId: string
  ): Effect.fn.Return<Option.Option<JobState>, RepositoryError> {
    const stored = yield* ask(jobId, () => store.get(jobId))
    return stored === null || stored === undefined ? Option.none() : Option.some(yield* decode(jobId, stored))
  })

  /** The journal of a job: the one in memory as long as it says what the store says. */
  const load = Effect.fnUntraced(function* (jobId: string): Effect.fn.Return<Journal, RepositoryError> {
    const before = journals.get(jobId)
    if (before?.open === true) return before
    const state = yield* fetch(jobId)
    const known = journals.get(jobId)
    // A run may have begun while the store was asked.
    if (known?.open === true) return known
    if (Option.isNone(state)) {
      forget(jobId)
      return yield* failure(jobId, new NotFound())
    }
    if (known !== undefined && revisionOf(known) === state.value.revision) return known
    forget(jobId)
    return keep(makeJournal(jobId, journalOf(state.value)))
  })

  const keep = (journal: Journal): Journal => {
    journals.set(journal.id, journal)
    const closed = Array.from(journals.values()).filter(({ open }) => !open)
    for (const { id } of closed.slice(0, Math.max(0, closed.length - remembered))) forget(id)
    return journal
  }

  const forget = (jobId: string): void => {
    const journal = journals.get(jobId)
    journals.delete(jobId)
    if (journal !== undefined) finish(journal)
  }

  const create = Effect.fn("JobRepository.create")(function* (jobId: string, first: JobEvent) {
    const at = yield* Clock.currentTimeMillis
    if (creating.has(jobId) || journals.get(jobId)?.open === true) return yield* failure(jobId, new AlreadyExists())
    creating.add(jobId)
    const record: JobRecord = { revision: 1, run: 0, at, event: first }
    yield* Effect.gen(function* () {
      const stored = yield* ask(jobId, () => store.get(jobId))
      if (stored !== null && stored !== undefined) return yield* failure(jobId, new AlreadyExists())
      yield* saveNow(makeJournal(jobId, [record]))
    }).pipe(Effect.ensuring(Effect.sync(() => creating.delete(jobId))))
  })

  const openWriter = Effect.fn("JobRepository.openWriter")(function* (
    jobId: string,
    options: { readonly takeOver: "if-dead" | "always" }
  ) {
    const journal = yield* load(jobId)
    const take = Effect.suspend(() => {
      if (journal.over) return Effect.fail(failure(jobId, new NotFound()))
      if (journal.open && options.takeOver === "if-dead") {
        return Effect.fail(failure(jobId, new Running({ owner, alive: "yes" })))
      }
      journal.run++
      journal.open = true
      journal.requests.length = 0
      notify(journal)
      return Effect.succeed(journal.run)
    })
    const run = yield* Effect.acquireRelease(take, (run) =>
      Effect.sync(() => {
        if (journal.run !== run) return
        journal.open = false
        // Last in, so that it is remembered longest.
        journals.delete(jobId)
        if (!journal.over) keep(journal)
      })
    )
    const save = yield* saver(journal, run)

    const append = Effect.fnUntraced(function* (events: ReadonlyArray<JobEvent>) {
      const at = yield* Clock.currentTimeMillis
      if (journal.over) return yield* failure(jobId, new NotFound())
      if (journal.run !== run) return yield* failure(jobId, new Fenced({ run }))
      const records = events.map((event, i) => ({ revision: revisionOf(journal) + i + 1, run, at, event }))
      for (const record of records) add(journal, record)
      const ended = events.some((event) => event._tag === "RunEnded")
      // What the store does not have is not so: nobody hears of it, and the next reader sees what the store has.
      const undo = Effect.sync(() => {
        journal.records.length -= records.length
        finish(journal)
      })
      yield* ended ? Effect.tapError(save.last, () => undo) : save.soon
      notify(journal)
      return records
    })
    return { run, owner, append }
  })

  /** Saves a journal of a run, one save at a time and each with the newest state, until the scope closes. */
  const saver = Effect.fnUntraced(function* (
    journal: Journal,
    run: number
  ): Effect.fn.Return<
    { readonly soon: Effect.Effect<unknown>; readonly last: Effect.Effect<void, RepositoryError> },
    never,
    Scope.Scope
  > {
    const changed = Latch.makeUnsafe(false)
    const alone = Semaphore.makeUnsafe(1)
    let failing = false
    let saved = revisionOf(journal)
    const once = Effect.suspend(() => {
      changed.closeUnsafe()
      const revision = revisionOf(journal)
      return Effect.map(saveNow(journal), () => {
        failing = false
        saved = revision
      })
    })
    const again = Effect.fnUntraced(function* (error: RepositoryError) {
      if (!failing) yield* Effect.logWarning(`${error.message}; trying again`)
      failing = true
      changed.openUnsafe()
    })
    const next = changed.await.pipe(
      Effect.andThen(alone.withPermit(once)),
      Effect.catch(again),
      Effect.andThen(Effect.sleep(saveInterval))
    )
    yield* Effect.forkScoped(Effect.forever(next))
    const rest = Effect.suspend(() =>
      journal.over || journal.run !== run || saved === revisionOf(journal) ? Effect.void : once
    )
    // Runs before the fiber above is told to stop: a save under way comes first.
    yield* Effect.addFinalizer(() =>
      Effect.interruptible(alone.withPermit(rest)).pipe(
        Effect.timeout(closeTimeout),
        Effect.catch((error) => Effect.logWarning(`job ${journal.id}: what was appended last is not saved`, error))
      )
    )
    return { soon: changed.open, last: alone.withPermit(once) }
  })

  const journalStream = <A>(jobId: string, of: (journal: Journal) => Stream.Stream<A>) =>
    Stream.unwrap(Effect.map(load(jobId), of))

  /** Where in a journal the records after a revision begin. */
  const indexAfter = ({ records }: Journal, revision: number): number =>
    Math.max(0, revision + 1 - (records[0]?.revision ?? 1))

  const list: JobRepository["Service"]["list"] = (options = {}) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const stored = yield* ask("(all jobs)", store.list)
        if (!Array.isArray(stored)) return yield* corrupt("(all jobs)", "the list that the store gave, which is none")
        const states = yield* Effect.forEach(stored, (job: unknown, index) => {
          const id = Predicate.hasProperty(job, "id") && Predicate.isString(job.id) ? job.id : `(number ${index})`
          const live = journals.get(id)
          const state = live?.open === true ? live.fold.state() : undefined
          return state === undefined
            ? Effect.map(decode(id, job), (state) => summaryOf(state, "none"))
            : Effect.succeed(summaryOf(state, "alive"))
        })
        return Stream.fromIterable(
          states
            .filter((job) => options.status?.includes(job.status) ?? true)
            .filter((job) => job.updatedAt > (options.updatedAfter ?? -Infinity))
            .toSorted((a, b) => b.createdAt - a.createdAt)
        )
      })
    )

  return JobRepository.of({
    guarantees: { fencing: false, crossProcess: false, durable: "interval" },
    create,
    openWriter,
    read: (jobId, after = 0) =>
      journalStream(jobId, (journal) => Stream.fromIterable(journal.records.slice(indexAfter(journal, after)))),
    changes: (jobId, after) =>
      journalStream(jobId, (journal) => follow(journal, journal.records, indexAfter(journal, after), () => false)),
    list,
    request: Effect.fn("JobRepository.request")(function* (jobId, request) {
      const journal = yield* load(jobId)
      journal.requests.push(request)
      notify(journal)
    }),
    requests: (jobId) =>
      journalStream(jobId, (journal) => {
        const { run } = journal
        return follow(journal, journal.requests, 0, () => journal.run !== run)
      }),
    delete: Effect.fn("JobRepository.delete")(function* (jobId) {
      const journal = yield* load(jobId)
      if (journal.open) return yield* failure(jobId, new Running({ owner, alive: "yes" }))
      yield* ask(jobId, () => store.delete(jobId))
      forget(jobId)
    })
  })
}

/** {@link fromStore} as a layer. */
export const layer = (store: Store): Layer.Layer<JobRepository> => Layer.succeed(JobRepository, fromStore(store))
