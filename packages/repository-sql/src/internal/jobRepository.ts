/**
 * Jobs in a database: the repository itself, in SQL that SQLite and Postgres both take.
 *
 * Who may write a job is a number in its row: whoever counts it up is the next run, and an append is written only while
 * the number is its own, in one transaction with looking at it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { JobEvent, JobRecord } from "@helios-infra/core/JobEvent"
import {
  AlreadyExists,
  JobRepository,
  type JobRequest,
  type JobSummary,
  type JobWriter,
  type RepositoryError,
  Running
} from "@helios-infra/core/JobRepository"
import { makeFold } from "@helios-infra/core/JobState"
import { randomUUID } from "node:crypto"
import { failure, unavailable } from "./failures.ts"
import * as jobList from "./jobList.ts"
import * as journal from "./journal.ts"
import * as rows from "./rows.ts"
import type { Store } from "./store.ts"
import * as writer from "./writer.ts"

/** Somebody who follows a journal here, and wants what is left of it before it is deleted. */
interface Follower {
  readonly readRest: Effect.Effect<void, RepositoryError>
}

/** How long the last appends of a run, and then its end, may take to be written down. */
const letGoTimeout = Duration.seconds(5)

/** How many journals that were read are remembered for their writers. */
const remembered = 2

/** Makes the repository of a database whose tables are there. */
export const make = (store: Store): JobRepository["Service"] => {
  const { announce, attempt, signals, sql, tables } = store
  const followers = new Map<number, Set<Follower>>()
  /** Claims that this process has let go of, and could not write that down. */
  const released = new Set<string>()
  /** What the journals amount to that were read last: who reads one often means to write it next. */
  const lately = new Map<number, journal.Folded>()

  const create = Effect.fn("JobRepository.create")(function* (
    jobId: string,
    first: JobEvent
  ): Effect.fn.Return<void, RepositoryError> {
    const at = yield* Clock.currentTimeMillis
    const json = yield* Effect.try({
      try: () => rows.eventJson(first),
      catch: (cause) => failure(jobId, unavailable("the job cannot be written as JSON", cause))
    })
    const fold = makeFold(jobId)
    fold.apply({ revision: 1, run: 0, at, event: first })
    const state = fold.state()
    const creation = randomUUID()
    const values = {
      key: rows.keyOf(jobId),
      id: rows.writtenId(jobId),
      creation,
      run: 0,
      revision: 1,
      status: state?.status ?? null,
      event_run: 0,
      progress: state?.progress ?? 0,
      created_at: at,
      updated_at: at
    }
    const insert = Effect.gen(function* () {
      const [made] = yield* sql<{ job: number }>`
        INSERT INTO ${sql(tables.jobs)} ${sql.insert(values)} ON CONFLICT (key) DO NOTHING RETURNING job`
      if (made !== undefined) {
        const record = { job: made.job, first_revision: 1, revision: 1, run: 0, at, events: rows.batchJson([json]) }
        yield* sql`INSERT INTO ${sql(tables.events)} ${sql.insert(record)}`
        return true
      }
      const [there] = yield* sql<{ creation: string }>`
        SELECT creation FROM ${sql(tables.jobs)} WHERE key = ${values.key}`
      return there?.creation === creation
    })
    const created = yield* sql.withTransaction(insert).pipe(attempt(jobId))
    if (!created) return yield* failure(jobId, new AlreadyExists())
  })

  // ---
  // writers
  // ---

  /** Whether the process lives that has a job. */
  const lifeOf = Effect.fnUntraced(function* (jobId: string, { claim, holder }: journal.Job) {
    if (holder === null || (claim !== null && released.has(claim))) return "none"
    if (holder === store.holder) return "alive"
    const lives = attempt(jobId)(store.livesOf([holder]))
    const life = (yield* lives).get(holder) ?? "unknown"
    if (life !== "dead") return life
    // It may only have lost its connection, as all do when the database is started anew.
    yield* Effect.sleep(store.deathPause)
    return (yield* lives).get(holder) ?? "unknown"
  })

  /**
   * Begins the next run, which fences the run before it. Fails with `Running` when that one must not be taken over.
   * Whatever becomes of it, `letGo` of its claim undoes it.
   */
  const begin = Effect.fnUntraced(function* (
    jobId: string,
    takeOver: "if-dead" | "always",
    claim: string
  ): Effect.fn.Return<journal.Job, RepositoryError> {
    while (true) {
      const found = yield* journal.find(store, jobId)
      // By an attempt that did not hear of it.
      if (found.claim === claim) return found
      if (takeOver === "if-dead") {
        const life = yield* lifeOf(jobId, found)
        if (life === "alive" || life === "unknown") {
          const alive = life === "alive" ? "yes" : "unknown"
          return yield* failure(jobId, new Running({ owner: journal.ownerOf(found), alive }))
        }
      }
      const { job } = found
      const next = { run: found.run + 1, claim, holder: store.holder, owner: rows.ownerJson(store.owner) }
      const update = sql<{ revision: number }>`UPDATE ${sql(tables.jobs)} SET ${sql.update(next)}
        WHERE job = ${job} AND run = ${found.run} RETURNING revision`
      const dropRequests = sql`DELETE FROM ${sql(tables.requests)} WHERE job = ${job} AND run < ${next.run}`
      const [done] = yield* sql.withTransaction(Effect.tap(update, dropRequests)).pipe(attempt(jobId))
      if (done === undefined) continue
      signals.wake(job)
      yield* Effect.ignore(announce(job))
      return { ...found, ...next, revision: done.revision }
    }
  })

  /** Says that nobody writes a run any more. Where that cannot be written down, this process remembers it. */
  const letGo = (jobId: string, claim: string): Effect.Effect<void> =>
    sql`UPDATE ${sql(tables.jobs)} SET holder = NULL WHERE key = ${rows.keyOf(jobId)} AND claim = ${claim}`.pipe(
      attempt(jobId),
      Effect.interruptible,
      Effect.timeout(letGoTimeout),
      Effect.catch((error) => {
        released.add(claim)
        return Effect.logWarning(`job ${jobId}: that its run is over could not be written down:`, error.message)
      })
    )

  const openWriter = Effect.fn("JobRepository.openWriter")(function* (
    jobId: string,
    options: { readonly takeOver: "if-dead" | "always" }
  ): Effect.fn.Return<JobWriter, RepositoryError, Scope.Scope> {
    const claim = randomUUID()
    // First, for an interruption may leave open whether it has begun.
    yield* Effect.addFinalizer(() => letGo(jobId, claim))
    const { job, run } = yield* begin(jobId, options.takeOver, claim)
    const known = lately.get(job)
    // From here on it changes with what is written.
    lately.delete(job)
    const folded = yield* journal.fold(store, jobId, job, known)
    const { append } = yield* Effect.acquireRelease(
      Effect.sync(() => writer.make(store, { jobId, job, run, folded })),
      // What is still under way then is fenced like everything else.
      ({ close }) => Effect.timeoutOption(Effect.interruptible(close), letGoTimeout)
    )
    return { run, owner: store.owner, append }
  })

  // ---
  // readers
  // ---

  const read = (jobId: string, after = 0): Stream.Stream<JobRecord, RepositoryError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { job } = yield* journal.find(store, jobId)
        const { next } = journal.reader(store, jobId, job, after)
        const { fold } = journal.nothing(jobId)
        let revision = after
        return pieces(
          Effect.map(next, (records) => {
            if (after === 0) records.forEach(fold.apply)
            revision += records.length
            if (records.length > 0) return records
            if (after === 0) remember(job, { fold, revision })
            return undefined
          })
        )
      })
    )

  const remember = (job: number, folded: journal.Folded): void => {
    lately.delete(job)
    lately.set(job, folded)
    const [oldest] = lately.keys()
    if (oldest !== undefined && lately.size > remembered) lately.delete(oldest)
  }

  /** Waits for news, or until it is time to look without any. */
  const news = (latch: Latch.Latch) => Effect.timeoutOption(latch.await, store.lookAgain)

  const changes = (jobId: string, after: number): Stream.Stream<JobRecord, RepositoryError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { job } = yield* journal.find(store, jobId)
        const latch = yield* signals.follow(job, "events")
        const reader = journal.reader(store, jobId, job, after)
        const reading = Semaphore.makeUnsafe(1)
        let rest: Array<JobRecord> | undefined
        const readRest = Effect.gen(function* () {
          const left: Array<JobRecord> = []
          for (let records = yield* reader.next; records.length > 0; records = yield* reader.next) left.push(...records)
          rest = left
        })
        yield* registered(followers, job, { readRest: reading.withPermit(readRest) })
        const look = reading.withPermit(
          Effect.suspend(() => {
            latch.closeUnsafe()
            if (rest === undefined) return Effect.map(reader.next, (records) => ({ records, ended: false }))
            const records = rest
            rest = []
            return Effect.succeed({ records, ended: true })
          })
        )
        const next: Effect.Effect<ReadonlyArray<JobRecord> | undefined, RepositoryError> = Effect.suspend(() =>
          Effect.flatMap(look, ({ ended, records }) => {
            if (records.length > 0) return Effect.succeed(records)
            return ended ? Effect.undefined : Effect.andThen(news(latch), next)
          })
        )
        return pieces(untilGone(next))
      })
    )

  // ---
  // requests
  // ---

  const request = Effect.fn("JobRepository.request")(function* (
    jobId: string,
    request: JobRequest
  ): Effect.fn.Return<void, RepositoryError> {
    const { job, run } = yield* journal.find(store, jobId)
    const values = { id: randomUUID(), job, run, content: rows.requestJson(request) }
    yield* sql`INSERT INTO ${sql(tables.requests)} ${sql.insert(values)} ON CONFLICT (id) DO NOTHING`.pipe(
      attempt(jobId)
    )
    signals.wake(job, "requests")
    yield* Effect.ignore(announce(job, "requests"))
  })

  const requests = (jobId: string): Stream.Stream<JobRequest, RepositoryError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { job, run } = yield* journal.find(store, jobId)
        const latch = yield* signals.follow(job, "requests")
        // By its number alone one could be missed: a lower one may be committed later.
        const seen = new Set<number>()
        const unseen = Effect.fnUntraced(function* () {
          const found = yield* sql<{ run: number; request: number | null; content: string | null }>`
            SELECT jobs.run, requests.request, requests.content FROM ${sql(tables.jobs)} jobs
            LEFT JOIN ${sql(tables.requests)} requests ON requests.job = jobs.job AND requests.run = jobs.run
            WHERE jobs.job = ${job} ORDER BY requests.request`.pipe(attempt(jobId))
          if (found[0]?.run !== run) return undefined
          const fresh = found.filter(({ request }) => request !== null && !seen.has(request))
          for (const { request } of fresh) if (request !== null) seen.add(request)
          return fresh.flatMap(({ content }) => Option.toArray(rows.readRequest(content)))
        })
        const next: Effect.Effect<ReadonlyArray<JobRequest> | undefined, RepositoryError> = Effect.suspend(() => {
          latch.closeUnsafe()
          return Effect.flatMap(unseen(), (fresh) =>
            fresh === undefined || fresh.length > 0 ? Effect.succeed(fresh) : Effect.andThen(news(latch), next)
          )
        })
        return pieces(next)
      })
    )

  const remove = Effect.fn("JobRepository.delete")(function* (jobId: string): Effect.fn.Return<void, RepositoryError> {
    const claim = randomUUID()
    const dropping = Effect.gen(function* () {
      // Nobody appends to it any more.
      const { job, run } = yield* begin(jobId, "if-dead", claim)
      yield* Effect.forEach(followers.get(job) ?? [], ({ readRest }) => Effect.ignore(readRest), { discard: true })
      yield* sql.withTransaction(drop(job, run)).pipe(attempt(jobId))
      signals.wake(job)
      yield* Effect.ignore(announce(job))
      // Somebody may have taken it over in between.
      const there = yield* Effect.option(journal.find(store, jobId))
      if (Option.isSome(there) && there.value.job === job) {
        return yield* failure(jobId, new Running({ owner: journal.ownerOf(there.value), alive: "yes" }))
      }
    })
    yield* Effect.onError(dropping, () => letGo(jobId, claim))
  }, Effect.uninterruptible)

  const drop = Effect.fnUntraced(function* (job: number, run: number) {
    const gone = yield* sql`DELETE FROM ${sql(tables.jobs)} WHERE job = ${job} AND run = ${run} RETURNING job`
    if (gone.length === 0) return
    yield* sql`DELETE FROM ${sql(tables.events)} WHERE job = ${job}`
    yield* sql`DELETE FROM ${sql(tables.requests)} WHERE job = ${job}`
  })

  return JobRepository.of({
    guarantees: { fencing: true, crossProcess: true, durable: "batch" },
    create,
    openWriter,
    read,
    changes,
    list: (options = {}): Stream.Stream<JobSummary, RepositoryError> => jobList.make(store, options, released),
    request,
    requests,
    delete: remove
  })
}

// ---
// streams
// ---

/** A stream of what an effect gives, until it gives nothing. */
const pieces = <A>(
  next: Effect.Effect<ReadonlyArray<A> | undefined, RepositoryError>
): Stream.Stream<A, RepositoryError> =>
  Stream.paginate(undefined, () =>
    Effect.map(next, (found) => [found ?? [], found === undefined ? Option.none() : Option.some(undefined)] as const)
  )

const untilGone: <A>(self: Effect.Effect<A, RepositoryError>) => Effect.Effect<A | undefined, RepositoryError> =
  Effect.catchReason("RepositoryError", "NotFound", () => Effect.undefined)

/** Keeps a follower of a job in a map until the scope closes. */
const registered = (
  followers: Map<number, Set<Follower>>,
  job: number,
  follower: Follower
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void followers.set(job, (followers.get(job) ?? new Set()).add(follower))),
    () =>
      Effect.sync(() => {
        const others = followers.get(job)
        others?.delete(follower)
        if (others?.size === 0) followers.delete(job)
      })
  )
