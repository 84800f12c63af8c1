/**
 * Posts what happens to jobs to endpoints: in order for each job, at least once, over restarts, and without ever holding
 * up a run.
 *
 * ```
 * JobExecutor ─append→ JobRepository (attach) ─"there is news"→ Webhooks
 *                            │                                     │ one lane per job and endpoint
 *                            └────────── journal ──read, in order──┤
 *                                                                  ├─post→ endpoint
 *                                       WebhookCursors ←how far────┘
 * ```
 *
 * A lane reads the journal as fast as its endpoint takes events, and holds one event at a time: what is due waits in the
 * journal, where it is anyway, not in memory. An event is done with when the endpoint took it or it was given up, which is
 * reported; only then comes the next one. After a crash at any point a lane begins after its cursor.
 *
 * Which jobs there are, and what happens to them, is not decided here: nothing is ever written to a job.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { JobRecord } from "@helios-infra/core/JobEvent"
import { JobRepository, type JobSummary, type RepositoryError } from "@helios-infra/core/JobRepository"
import * as cursors from "./internal/cursor.ts"
import * as JobFeed from "./JobFeed.ts"
import { type CursorError, WebhookCursors } from "./WebhookCursors.ts"
import * as WebhookDelivery from "./WebhookDelivery.ts"
import * as WebhookEndpoint from "./WebhookEndpoint.ts"
import type { WebhookEvent } from "./WebhookEvent.ts"

/** An endpoint did not take an event for as long as `giveUpAfter` says. It can be sent again with `resend`. */
export interface GivenUp {
  readonly _tag: "GivenUp"
  readonly endpoint: string
  readonly event: WebhookEvent
  /** Since when the endpoint has taken no event of this job, in milliseconds since the epoch. */
  readonly failingSince: number
  /** Why the last attempt failed. */
  readonly error: WebhookDelivery.DeliveryError
}

/** An endpoint answered 410 and is sent nothing more. What is due to it stays due, for when it is opened again. */
export interface EndpointGone {
  readonly _tag: "EndpointGone"
  readonly endpoint: string
  /** The event that it answered so. */
  readonly event: WebhookEvent
}

/** A job was deleted while events of it were due to an endpoint: those are lost. */
export interface Deleted {
  readonly _tag: "Deleted"
  readonly endpoint: string
  readonly jobId: string
  /** How many there were. */
  readonly events: number
}

/** What an endpoint did not get. */
export type Report = GivenUp | EndpointGone | Deleted

/** Nobody could be told what an endpoint did not get; `cause` says why. */
export class ReportError extends Data.TaggedError("ReportError")<{ readonly cause: unknown }> {}

/** What is sent where. */
export interface Options {
  /**
   * The endpoints of all jobs; or a function that looks up those of one job, by its id: when it is created, when a run
   * begins or ends, before each further try, and after a restart. It has 30 seconds.
   */
  readonly endpoints:
    | ReadonlyArray<WebhookEndpoint.Endpoint>
    | ((jobId: string) => Effect.Effect<ReadonlyArray<WebhookEndpoint.Endpoint>, WebhookEndpoint.EndpointError>)
  /**
   * Told what an endpoint did not get. An event counts as given up when this returns; when it fails, the event is tried,
   * and reported, again. Default: an error in the log.
   */
  readonly report?: ((report: Report) => Effect.Effect<unknown, ReportError>) | undefined
  /** How long closing waits for endpoints that take what is due to them. Default: 5 seconds. */
  readonly drain?: Duration.Input | undefined
}

/** Which of the jobs that run are looked after. */
export interface RecoverOptions {
  /**
   * Whether jobs that another process runs are taken as well: for a process that sends and does not render, while those
   * that render do not send. Default: no.
   */
  readonly elsewhere?: boolean | undefined
}

/**
 * Sends the events of jobs, in the background, until its layer is closed.
 *
 * - `watch` sends what happened and will happen to a job, and returns at once. Jobs whose repository is the one that
 *   {@link layer} gives need no call: it is told when they are created or run.
 * - `recover` does so for all jobs of which something is due: those that ended while nobody sent, and those whose process
 *   died. At the start of a process; gives their ids. Where the endpoints of a job are not known it fails, in the end.
 * - `resend` sends one event of a job again to an endpoint, and all after it, by its `sequence`. Fails where the job has no
 *   such endpoint.
 * - `reopen` lets an endpoint that answered 410 have events again, those that were due to it first.
 */
export class Webhooks extends Context.Service<
  Webhooks,
  {
    readonly watch: (jobId: string) => Effect.Effect<void>
    readonly recover: (
      options?: RecoverOptions
    ) => Effect.Effect<ReadonlyArray<string>, RepositoryError | CursorError | WebhookEndpoint.EndpointError>
    readonly resend: (
      jobId: string,
      options: { readonly endpoint: string; readonly sequence: number }
    ) => Effect.Effect<void, CursorError | WebhookEndpoint.EndpointError>
    readonly reopen: (
      endpoint: string
    ) => Effect.Effect<void, RepositoryError | CursorError | WebhookEndpoint.EndpointError>
  }
>()("@helios-infra/webhooks/Webhooks") {}

/** How long closing waits when nobody says. */
const defaultDrain = Duration.seconds(5)

/** How long a lane waits whose journal or cursor cannot be read or written. */
const troublePause = Duration.seconds(5)

/** How long it may take to look the endpoints of a job up. */
const lookUpLimit = Duration.seconds(30)

const unknown = (jobId: string, why: string): Effect.Effect<never, WebhookEndpoint.EndpointError> =>
  Effect.fail(
    new WebhookEndpoint.EndpointError({ endpoint: "(all)", fix: `those of job ${jobId} are not known: ${why}` })
  )

/** A lane ends before what is due was delivered. */
class LaneEnded extends Data.TaggedError("LaneEnded")<{ readonly why: "gone" | "removed" | "taken" | "closing" }> {}

/** An endpoint of a job, and from when on its events are sent. */
interface Target {
  readonly endpoint: WebhookEndpoint.Ready
  readonly since: number
}

/** What the lanes of an endpoint share. */
interface Gate {
  readonly permits: Semaphore.Semaphore
  lanes: number
  /** The hash of the URL that answered 410. */
  gone: string | undefined
}

/**
 * A lane that is under way: it begins again unless it has come as far as it is known that there is something. Its target is
 * what was last known of the endpoint.
 */
interface Lane {
  wanted: number
  target: Target
  /** Until when nothing is given up of what failed before this process began. */
  patientUntil: number
}

const make = Effect.fnUntraced(function* (options: Options) {
  const repository = yield* JobRepository
  const store = yield* WebhookCursors
  const client = yield* HttpClient.HttpClient
  const fibers = yield* FiberMap.make<string, unknown, never>()
  const run = yield* FiberMap.runtime(fibers)()
  const closing = Deferred.makeUnsafe<void>()
  const lanes = new Map<string, Lane>()
  /** Lanes whose place somebody else sees to: none of them begins meanwhile, and none forgets its place. */
  const held = new Set<string>()
  const gates = new Map<string, Gate>()
  const holder = `${(yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36)}-${yield* Clock.currentTimeMillis}`

  const isClosing = () => Deferred.isDoneUnsafe(closing)
  const nameOf = (jobId: string, endpoint: string) => `${jobId}\n${endpoint}`

  // ---
  // endpoints
  // ---

  const targetOf = Effect.fnUntraced(function* (endpoint: WebhookEndpoint.Endpoint, listed: boolean) {
    const ready = yield* WebhookEndpoint.ready(endpoint)
    if (!listed) return { endpoint: ready, since: ready.since ?? 0 }
    const note = yield* cursors.loadNote(store, ready.id, yield* Clock.currentTimeMillis)
    return { endpoint: ready, since: ready.since ?? note.firstSeen }
  })

  const unique = (targets: ReadonlyArray<Target>) => {
    const ids = targets.map(({ endpoint }) => endpoint.id)
    const twice = ids.find((id, index) => ids.indexOf(id) < index)
    return twice === undefined
      ? Effect.succeed(targets)
      : Effect.fail(
          new WebhookEndpoint.EndpointError({ endpoint: twice, fix: "another one has this id: give each its own" })
        )
  }

  const { endpoints } = options
  const listed = Predicate.isFunction(endpoints)
    ? undefined
    : yield* Effect.flatMap(
        Effect.forEach(endpoints, (endpoint) => targetOf(endpoint, true)),
        unique
      )

  const targetsOf = (
    jobId: string
  ): Effect.Effect<ReadonlyArray<Target>, WebhookEndpoint.EndpointError | CursorError> =>
    listed !== undefined || !Predicate.isFunction(endpoints)
      ? Effect.succeed(listed ?? [])
      : Effect.suspend(() => endpoints(jobId)).pipe(
          Effect.timeoutOrElse({
            duration: lookUpLimit,
            orElse: () => unknown(jobId, `no answer within ${Duration.format(lookUpLimit)}`)
          }),
          Effect.flatMap((found) => Effect.forEach(found, (endpoint) => targetOf(endpoint, false))),
          Effect.flatMap(unique),
          // A fault of whoever looks up must not become one of the job.
          Effect.catchDefect((defect) => unknown(jobId, String(defect)))
        )

  const gateOf = ({ concurrency, id }: WebhookEndpoint.Ready): Effect.Effect<Gate, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const gate = gates.get(id) ?? { permits: Semaphore.makeUnsafe(concurrency), lanes: 0, gone: undefined }
        gates.set(id, gate)
        gate.lanes++
        return gate
      }),
      (gate) =>
        Effect.sync(() => {
          gate.lanes--
          if (gate.lanes === 0) gates.delete(id)
        })
    )

  // ---
  // reports
  // ---

  /** Whether whoever is to know has been told. */
  const tell = (report: Report): Effect.Effect<boolean> =>
    Effect.suspend(() => (options.report ?? logReport)(report)).pipe(
      Effect.as(true),
      Effect.catchCause((cause) =>
        Effect.as(Effect.logError(`a webhook report failed, and will be made again: ${wordsOf(report)}`, cause), false)
      )
    )

  // ---
  // lanes
  // ---

  /** Sends what is due of a job to an endpoint, until the job is at rest; gives how far it read. */
  const send = Effect.fnUntraced(function* (
    jobId: string,
    own: Lane
  ): Effect.fn.Return<number, RepositoryError | CursorError | LaneEnded, Scope.Scope> {
    const { endpoint, since } = own.target
    const gate = yield* gateOf(endpoint)
    const { gone } = yield* cursors.loadNote(store, endpoint.id, yield* Clock.currentTimeMillis)
    if (gone?.urlHash === endpoint.urlHash) return yield* new LaneEnded({ why: "gone" })
    const key = yield* cursors.cursorKey(endpoint.id, jobId)
    const found = yield* cursors.loadCursor(store, key)
    const feed = JobFeed.make(jobId, endpoint.feed)
    let cursor: cursors.Cursor | undefined
    let read = { revision: 0, run: 0 }

    /** Fails where somebody else sends now, or the job is deleted. A cursor that is lost otherwise is written anew. */
    const checkMine = Effect.gen(function* () {
      const now = yield* cursors.loadCursor(store, key)
      if (now?.holder === holder) return
      if (now !== undefined) return yield* new LaneEnded({ why: "taken" })
      yield* Stream.runDrain(Stream.take(repository.read(jobId, read.revision), 1))
      if (cursor !== undefined) yield* cursors.saveCursor(store, key, cursor)
    })

    /** Not written, it would be sent again: tried until it is. */
    const save = (next: cursors.Cursor): Effect.Effect<void, LaneEnded | RepositoryError> =>
      Effect.andThen(checkMine, cursors.saveCursor(store, key, next)).pipe(
        Effect.tapErrorTag("CursorError", (error) => Effect.logWarning(`${error.message}; trying again`)),
        Effect.retry({
          while: ({ _tag }) => _tag === "CursorError" && !isClosing(),
          schedule: Schedule.spaced(troublePause)
        }),
        Effect.catchTag("CursorError", () => Effect.fail(new LaneEnded({ why: "closing" }))),
        Effect.andThen(Effect.sync(() => void (cursor = next)))
      )

    const begin = Effect.fnUntraced(function* (createdAt: number) {
      const known = found?.createdAt === createdAt ? found : undefined
      const first: cursors.Cursor = {
        version: 1,
        endpoint: endpoint.id,
        jobId,
        createdAt,
        holder,
        revision: known?.revision ?? 0,
        run: known?.run ?? 0,
        atRest: false,
        failingSince: known?.failingSince ?? null
      }
      yield* cursors.saveCursor(store, key, first)
      if (first.failingSince !== null && known?.holder !== holder) {
        own.patientUntil = (yield* Clock.currentTimeMillis) + Math.min(endpoint.giveUpAfterMs, endpoint.maxDelayMs)
      }
      return (cursor = first)
    })

    /** What is known of the endpoint by now, where somebody else keeps it. */
    const renew =
      listed !== undefined
        ? Effect.void
        : targetsOf(jobId).pipe(
            Effect.map((targets) => targets.find((target) => target.endpoint.id === endpoint.id)),
            Effect.flatMap((target) =>
              target === undefined
                ? Effect.fail(new LaneEnded({ why: "removed" }))
                : Effect.sync(() => void (own.target = target))
            ),
            // Then what was known before is tried on.
            Effect.catchTag(["EndpointError", "CursorError"], ({ message }) =>
              Effect.logWarning(`webhooks of job ${jobId} go on as they did: ${message}`)
            )
          )

    /** Sends an event until it is taken or given up; gives the cursor with how the endpoint is. */
    const settle = Effect.fnUntraced(function* (at: number, draft: JobFeed.Draft, from: cursors.Cursor) {
      const event = yield* JobFeed.identify(from.createdAt, draft)
      let { failingSince } = from
      for (let pauses = 0; ; pauses++) {
        const { endpoint } = own.target
        if (gate.gone === endpoint.urlHash) return yield* new LaneEnded({ why: "gone" })
        const isLate = (yield* Clock.currentTimeMillis) - at > endpoint.feed.progressEveryMs
        if (event.type === "job.progress" && isLate) return { ...from, failingSince }
        const outcome = yield* Effect.result(gate.permits.withPermit(WebhookDelivery.post(client, endpoint, event)))
        if (Result.isSuccess(outcome)) return { ...from, failingSince: null }
        const error = outcome.failure
        const now = yield* Clock.currentTimeMillis
        if (error.reason._tag === "Gone") {
          yield* close(endpoint, gate, event, now)
          return yield* new LaneEnded({ why: "gone" })
        }
        if (failingSince === null) {
          failingSince = now
          yield* Effect.logWarning(`${error.message}; trying again`)
          yield* save({ ...from, failingSince })
        }
        const left = Math.max(failingSince + endpoint.giveUpAfterMs, own.patientUntil) - now
        if (left <= 0 && (yield* tell({ _tag: "GivenUp", endpoint: endpoint.id, event, failingSince, error }))) {
          return { ...from, failingSince }
        }
        const pause = yield* pauseAfter(endpoint, error, pauses)
        // The last attempt is made when the time is up, not long before.
        const wait = Effect.sleep(left > 0 ? Math.min(pause, left) : pause)
        yield* Effect.raceFirst(wait, Deferred.await(closing))
        if (isClosing()) return yield* new LaneEnded({ why: "closing" })
        yield* checkMine
        yield* renew
      }
    })

    const take = Effect.fnUntraced(function* (record: JobRecord) {
      const drafts = feed.next(record)
      const { revision, run } = record
      read = { revision, run }
      let now = cursor ?? (yield* begin(feed.createdAt() ?? record.at))
      // A store of whole jobs may have lost records, whose places are those of others in the next run.
      if (revision <= now.revision && run <= now.run) return
      const due = record.at >= since ? drafts : []
      for (const draft of due) now = yield* settle(record.at, draft, now)
      if (due.length > 0) yield* save({ ...now, revision, run })
      else cursor = { ...now, revision, run }
    })

    while (true) {
      yield* Stream.runForEach(repository.read(jobId, read.revision), take)
      if (!feed.isRunning() || isClosing()) break
      yield* repository.changes(jobId, read.revision).pipe(
        Stream.takeUntil(({ event }) => event._tag === "RunEnded"),
        Stream.interruptWhen(Deferred.await(closing)),
        Stream.runForEach(take)
      )
    }
    if (cursor !== undefined) yield* save({ ...cursor, ...read, atRest: !feed.isRunning() })
    return read.revision
  }, Effect.scoped)

  /** Sends nothing more to an endpoint. */
  const close = Effect.fnUntraced(function* (
    { id, urlHash }: WebhookEndpoint.Ready,
    gate: Gate,
    event: WebhookEvent,
    at: number
  ) {
    if (gate.gone === urlHash) return
    gate.gone = urlHash
    yield* cursors.loadNote(store, id, at).pipe(
      Effect.flatMap((note) => cursors.saveNote(store, { ...note, gone: { urlHash, at } })),
      // Not written down, the next request finds out.
      Effect.onError(() => Effect.sync(() => void (gate.gone = undefined)))
    )
    yield* tell({ _tag: "EndpointGone", endpoint: id, event })
  })

  /** How far a lane came; everything, where it has nothing more to do here. */
  const lane = (jobId: string, own: Lane): Effect.Effect<number> => {
    const { endpoint } = own.target
    const again = (why: string) =>
      Effect.logWarning(`webhooks of job ${jobId} to ${JSON.stringify(endpoint.id)} wait: ${why}`).pipe(
        Effect.andThen(Effect.raceFirst(Effect.sleep(troublePause), Deferred.await(closing))),
        Effect.andThen(Effect.suspend(() => (isClosing() ? Effect.succeed(Infinity) : lane(jobId, own))))
      )
    return send(jobId, own).pipe(
      Effect.catchTags({
        LaneEnded: () => Effect.succeed(Infinity),
        CursorError: ({ message }) => again(message),
        RepositoryError: ({ message, reason }) => {
          switch (reason._tag) {
            case "NotFound":
              return Effect.as(held.has(nameOf(jobId, endpoint.id)) ? Effect.void : forget(jobId, own.target), Infinity)
            case "Corrupt":
            case "NewerVersion":
              return Effect.as(Effect.logError(`no webhooks of job ${jobId} are sent: ${message}`), Infinity)
            default:
              return again(message)
          }
        }
      })
    )
  }

  const forget = (jobId: string, { endpoint }: Target): Effect.Effect<void> =>
    cursors.cursorKey(endpoint.id, jobId).pipe(Effect.flatMap(store.remove), Effect.ignore)

  /** Lets a lane go at least as far as this; begins it where there is none. */
  const want = (jobId: string, target: Target, revision: number): void => {
    const name = nameOf(jobId, target.endpoint.id)
    const known = lanes.get(name)
    if (known !== undefined) {
      known.wanted = Math.max(known.wanted, revision)
      known.target = target
      return
    }
    if (isClosing() || held.has(name)) return
    const own: Lane = { wanted: revision, target, patientUntil: 0 }
    lanes.set(name, own)
    run(
      name,
      lane(jobId, own).pipe(
        Effect.repeat({
          // In one step: news that comes after it finds no lane, and begins one.
          until: (reached) => {
            const isDone = reached >= own.wanted || isClosing()
            if (isDone && lanes.get(name) === own) lanes.delete(name)
            return isDone
          }
        }),
        Effect.tapDefect((defect) =>
          Effect.logError(
            `no webhooks of job ${jobId} are sent to ${JSON.stringify(target.endpoint.id)}, because of a fault`,
            defect
          )
        ),
        Effect.ensuring(
          Effect.sync(() => {
            if (lanes.get(name) === own) lanes.delete(name)
          })
        )
      )
    )
  }

  /** Begins to send what there is of a job. Endpoints that cannot be looked up are looked up again. */
  const begin = (jobId: string, revision: number): void => {
    if (listed !== undefined) {
      for (const target of listed) want(jobId, target, revision)
      return
    }
    if (isClosing()) return
    const lookUp: Effect.Effect<void> = targetsOf(jobId).pipe(
      Effect.map((targets) => {
        for (const target of targets) want(jobId, target, revision)
      }),
      Effect.catch((error) =>
        Effect.logWarning(`webhooks of job ${jobId} wait: ${error.message}`).pipe(
          Effect.andThen(Effect.raceFirst(Effect.sleep(troublePause), Deferred.await(closing))),
          Effect.andThen(Effect.suspend(() => (isClosing() ? Effect.void : lookUp)))
        )
      )
    )
    run(nameOf(jobId, ""), lookUp)
  }

  const isDue = Effect.fnUntraced(function* (
    { createdAt, id, run, status, updatedAt }: JobSummary,
    { endpoint, since }: Target
  ) {
    if (lanes.has(nameOf(id, endpoint.id))) return false
    const cursor = yield* cursors.loadCursor(store, yield* cursors.cursorKey(endpoint.id, id))
    if (cursor === undefined || cursor.createdAt !== createdAt) return updatedAt >= since
    return !(cursor.atRest && cursor.run === run && status !== "running")
  })

  const sweep = Effect.fnUntraced(function* (which: (job: JobSummary, target: Target) => boolean) {
    const jobs = yield* Stream.runCollect(repository.list())
    const begun: Array<string> = []
    let failed: WebhookEndpoint.EndpointError | undefined
    // The oldest first.
    for (const job of jobs.toReversed()) {
      // One whose endpoints are not known keeps no other waiting.
      const targets = yield* Effect.catchTag(targetsOf(job.id), "EndpointError", (error) =>
        Effect.sync((): ReadonlyArray<Target> => {
          failed ??= error
          return []
        })
      )
      const wanted = targets.filter((target) => which(job, target))
      const due = yield* Effect.filter(wanted, (target) => isDue(job, target))
      for (const target of due) want(job.id, target, 0)
      if (due.length > 0) begun.push(job.id)
    }
    if (failed !== undefined) return yield* failed
    return begun
  })

  /** Stops a lane, in the middle of a request where it is in one. */
  const stop = (name: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      lanes.delete(name)
      return FiberMap.remove(fibers, name)
    })

  const hold = <A, E>(names: ReadonlyArray<string>, use: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.sync(() => names.forEach((name) => held.add(name))),
      () => use,
      () => Effect.sync(() => names.forEach((name) => held.delete(name)))
    )

  /** What will be lost with a job that is deleted: the places of what is due, by endpoint. */
  const dueOf = (jobId: string, { endpoint, since }: Target) =>
    Effect.suspend(() => {
      const feed = JobFeed.make(jobId, endpoint.feed)
      return Stream.runFold(
        repository.read(jobId),
        (): Array<JobRecord["revision"]> => [],
        (places, record) => {
          const drafts = feed.next(record)
          if (record.at >= since) places.push(...drafts.map(() => record.revision))
          return places
        }
      )
    }).pipe(Effect.orElseSucceed((): Array<number> => []))

  const attached = JobRepository.of({
    guarantees: repository.guarantees,
    read: (jobId, after) => repository.read(jobId, after),
    changes: (jobId, after) => repository.changes(jobId, after),
    list: (which) => repository.list(which),
    request: (jobId, request) => repository.request(jobId, request),
    requests: (jobId) => repository.requests(jobId),
    create: (jobId, first) => Effect.tap(repository.create(jobId, first), () => Effect.sync(() => begin(jobId, 1))),
    openWriter: (jobId, how) =>
      Effect.map(repository.openWriter(jobId, how), (writer) => ({
        ...writer,
        append: (events) =>
          Effect.tap(writer.append(events), (records) =>
            Effect.sync(() => {
              const turn = records.findLast(({ event }) => event._tag === "RunStarted" || event._tag === "RunEnded")
              if (turn !== undefined) begin(jobId, turn.revision)
            })
          )
      })),
    delete: Effect.fnUntraced(function* (jobId) {
      const targets = yield* Effect.orElseSucceed(targetsOf(jobId), (): ReadonlyArray<Target> => [])
      const due = yield* Effect.forEach(targets, (target) => dueOf(jobId, target))
      const names = targets.map(({ endpoint }) => nameOf(jobId, endpoint.id))
      const drop = Effect.forEach(targets, (target, index) =>
        Effect.gen(function* () {
          const { id } = target.endpoint
          yield* stop(nameOf(jobId, id))
          const cursor = yield* Effect.orElseSucceed(
            Effect.flatMap(cursors.cursorKey(id, jobId), (key) => cursors.loadCursor(store, key)),
            () => undefined
          )
          yield* forget(jobId, target)
          return { endpoint: id, events: due[index]?.filter((place) => place > (cursor?.revision ?? 0)).length ?? 0 }
        })
      )
      const lost = yield* hold(names, Effect.andThen(repository.delete(jobId), drop)).pipe(
        // Not deleted: what came meanwhile is still to be sent.
        Effect.onError(() => Effect.sync(() => begin(jobId, 0)))
      )
      for (const { endpoint, events } of lost) {
        if (events > 0) yield* tell({ _tag: "Deleted", endpoint, jobId, events })
      }
    })
  })

  const watch: Webhooks["Service"]["watch"] = (jobId) => Effect.sync(() => begin(jobId, 0))

  const recover: Webhooks["Service"]["recover"] = Effect.fn("Webhooks.recover")(({ elsewhere = false } = {}) =>
    // Whoever runs a job sends its events; one that is at rest has nobody who must.
    sweep(({ owner, status }) => elsewhere || status !== "running" || owner === "dead" || owner === "none")
  )

  const resend: Webhooks["Service"]["resend"] = Effect.fn("Webhooks.resend")((jobId, { endpoint, sequence }) => {
    const name = nameOf(jobId, endpoint)
    const check = Effect.flatMap(targetsOf(jobId), (targets) => {
      const ids = targets.map(({ endpoint }) => endpoint.id)
      if (ids.includes(endpoint)) return Effect.void
      const those = ids.length === 0 ? "it has none" : `it has ${ids.map((id) => JSON.stringify(id)).join(", ")}`
      const fix = `job ${JSON.stringify(jobId)} has none of this id; ${those}`
      return Effect.fail(new WebhookEndpoint.EndpointError({ endpoint, fix }))
    })
    const back = Effect.gen(function* () {
      yield* stop(name)
      const key = yield* cursors.cursorKey(endpoint, jobId)
      const cursor = yield* cursors.loadCursor(store, key)
      // What was not sent yet comes all the same, and nothing before it may be passed over.
      if (cursor === undefined || sequence > cursor.revision) return
      // Of any run: only its place counts.
      const place = { revision: sequence - 1, run: Number.MAX_SAFE_INTEGER, atRest: false }
      yield* cursors.saveCursor(store, key, { ...cursor, ...place, holder })
    })
    return Effect.andThen(
      check,
      Effect.ensuring(
        hold([name], back),
        Effect.sync(() => begin(jobId, 0))
      )
    )
  })

  const reopen: Webhooks["Service"]["reopen"] = Effect.fn("Webhooks.reopen")(function* (endpoint) {
    const { gone: _, ...note } = yield* cursors.loadNote(store, endpoint, yield* Clock.currentTimeMillis)
    yield* cursors.saveNote(store, note)
    const gate = gates.get(endpoint)
    if (gate !== undefined) gate.gone = undefined
    yield* sweep((_, target) => target.endpoint.id === endpoint)
  })

  const drain = Duration.fromInputUnsafe(options.drain ?? defaultDrain)
  // Runs before the fibers of the lanes are told to stop.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Deferred.succeed(closing, undefined),
      Duration.isZero(drain)
        ? Effect.void
        : Effect.interruptible(FiberMap.awaitEmpty(fibers)).pipe(Effect.timeoutOption(drain), Effect.ignore)
    )
  )

  return Context.make(Webhooks, Webhooks.of({ watch, recover, resend, reopen })).pipe(
    Context.add(JobRepository, attached)
  )
})

/** How long to wait before the next attempt, in milliseconds: what the endpoint asks for, where that is longer. */
const pauseAfter = (
  { delayMs, maxDelayMs, maxRetryAfterMs }: WebhookEndpoint.Ready,
  { reason }: WebhookDelivery.DeliveryError,
  pauses: number
): Effect.Effect<number> =>
  Effect.map(Random.nextBetween(0.8, 1.2), (jitter) => {
    const asked = reason._tag === "Answered" ? (reason.retryAfterMs ?? 0) : 0
    // Whole milliseconds, as the clock has them: a part of one would be no time at all.
    return Math.ceil(
      Math.max(Math.min(maxDelayMs, delayMs * 2 ** pauses) * jitter, Math.min(maxRetryAfterMs, asked), 1)
    )
  })

const wordsOf = (report: Report): string => {
  switch (report._tag) {
    case "GivenUp":
      return `event ${report.event.id} (${report.event.type}, sequence ${report.event.sequence}) is given up: ${report.error.message}`
    case "EndpointGone":
      return `webhook endpoint ${JSON.stringify(report.endpoint)} answered 410 Gone and is sent nothing more, until it is reopened or its URL changes`
    case "Deleted":
      return `job ${report.jobId} was deleted before webhook endpoint ${JSON.stringify(report.endpoint)} had ${report.events} of its events`
  }
}

const logReport = (report: Report): Effect.Effect<void> => Effect.logError(wordsOf(report))

/**
 * Sends the events of all jobs whose repository is the one that it gives, which is the one that it is given and tells it
 * of what is new. Fails where an endpoint cannot be used, or a cursor not be read.
 *
 * ```ts
 * import * as FileJobRepository from "@helios-infra/adapter-local/FileJobRepository"
 * import * as FolderCursors from "@helios-infra/webhooks/FolderCursors"
 * import * as WebhookClient from "@helios-infra/webhooks/WebhookClient"
 * import * as Webhooks from "@helios-infra/webhooks/Webhooks"
 * import * as Config from "effect/Config"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * // Jobs, and webhooks of what happens to them: what JobManager.layer is provided with.
 * export const jobs = Layer.unwrap(
 *   Effect.map(Config.Redacted("WEBHOOK_SECRET"), (secret) =>
 *     Webhooks.layer({ endpoints: [{ id: "shop", url: "https://shop.example/renders", secrets: [secret] }] })
 *   )
 * ).pipe(
 *   Layer.provide([
 *     FileJobRepository.layer({ dir: "jobs" }),
 *     FolderCursors.layer({ dir: "webhooks" }),
 *     WebhookClient.layer()
 *   ])
 * )
 * ```
 */
export const layer = (
  options: Options
): Layer.Layer<
  Webhooks | JobRepository,
  WebhookEndpoint.EndpointError | CursorError,
  JobRepository | WebhookCursors | HttpClient.HttpClient
> => Layer.effectContext(make(options))
