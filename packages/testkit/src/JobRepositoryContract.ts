/**
 * What every `JobRepository` promises, whatever it stores jobs in.
 *
 * Holds a repository to what callers can see: it looks into no file or table. Crashes of a process are not simulated;
 * with a store that can be opened again, what another process would find is.
 */
import type { JobEvent, JobRecord } from "@helios-infra/core/JobEvent"
import * as WholeJobRepository from "@helios-infra/core/WholeJobRepository"
import type { JobRepository as PlainJobRepository } from "@helios-infra/core/promise"
import { JobRepository, type JobRequest, type RepositoryError } from "@helios-infra/core/JobRepository"
import type { JobSpec } from "@helios-infra/core/JobSpec"
import { RenderFailed, WorkerError } from "@helios-infra/core/WorkerError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Contract from "./Contract.ts"
import { background, eventually, failureOf, holds, Mismatch, same, show, within } from "./internal/check.ts"

/**
 * The repository to hold to its promises:
 *
 * - a layer that makes one with nothing in it each time it is built, or
 * - an effect that makes an empty store, and gives a layer that opens it: each build is what another process would have.
 *   Then what was stored must be there for whoever opens the store again, or
 * - a function that makes an object of the Promise API, with `save`, `get`, `list` and `delete`, over an empty store.
 *   Such a one needs `{ fencing: false }`, and is not held to what happened between two saves.
 */
export type Store<E> =
  | Layer.Layer<JobRepository, E>
  | Effect.Effect<Layer.Layer<JobRepository, E>, E, Scope.Scope>
  | (() => PlainJobRepository)

/** What the implementation does not promise. */
export interface Options extends Contract.Timing {
  /** Whether a writer that was taken over can do no harm. Default: true. */
  readonly fencing?: boolean | undefined
  /** Whether two that have the store open see each other's writers, appends and requests. Default: false. */
  readonly crossProcess?: boolean | undefined
}

type Repository = JobRepository["Service"]

/** Opens the store once more. */
class Reopen extends Context.Service<Reopen, Effect.Effect<Repository, Mismatch, Scope.Scope>>()(
  "@helios-infra/testkit/JobRepositoryContract/Reopen"
) {}

// ---
// what jobs are made of
// ---

const spec: JobSpec = {
  metadata: { totalFrames: 20, fps: 30 },
  chunks: [1, 4].map((id, index) => ({
    id,
    startFrame: index * 10,
    frameCount: 10,
    outputFile: `${id}.mov`,
    command: `render -o ${id}.mov`
  }))
}

const created: JobEvent = { _tag: "JobCreated", version: 1, spec }

const lost = (found: string): JobEvent => ({ _tag: "OutputLost", chunk: 1, attempt: 1, found })

const cancel: JobRequest = { _tag: "Cancel", by: "me" }
const pause: JobRequest = { _tag: "Pause", mode: "drain" }

const ended: JobEvent = { _tag: "RunEnded", run: 1, how: "paused", leftover: [] }

/** Texts that come apart in lines, quotes, encodings or patterns that were not made for them. */
const nastyTexts = [
  "two\nlines\r\n",
  `"quoted" 'and' \\escaped\\`,
  "日本 🎬 ünï",
  "\u2028\u2029",
  "",
  "{}",
  "null",
  "%s %2F $1 $& {0}",
  "'; DROP TABLE jobs; --",
  "x".repeat(20_000)
]

/** Ids that a job file may have, and that are no good file names. */
const nastyIds = [
  "../outside",
  "..",
  ".",
  "a/b",
  "a\\b",
  "/absolute",
  "job",
  "JOB",
  " job",
  "job.",
  "CON",
  "%2e%2e%2f",
  "日本 🎬",
  `it's "quoted"`,
  "*?<>|:",
  "constructor",
  "__proto__",
  "x".repeat(200)
]

/** An event of every kind but `JobCreated`, with what is optional and without. */
const everyEvent: ReadonlyArray<JobEvent> = [
  { _tag: "RunStarted", run: 1, owner: { host: "here", pid: 1, bootId: "b", processStart: "s" } },
  { _tag: "AttemptStarted", chunk: 1, attempt: 1 },
  { _tag: "AttemptAssigned", chunk: 1, attempt: 1, workerId: "w", handle: "h" },
  { _tag: "AttemptAssigned", chunk: 1, attempt: 1 },
  {
    _tag: "AttemptEnded",
    chunk: 1,
    attempt: 1,
    how: "failed",
    error: new WorkerError({
      adapter: "fake",
      jobId: "job",
      chunkId: 1,
      attempt: 1,
      reason: new RenderFailed({ exitCode: 3, stderrTail: "no\nmemory" })
    }),
    retryInMs: 1000,
    log: "no\nmemory"
  },
  { _tag: "AttemptEnded", chunk: 1, attempt: 2, how: "not-stopped", detail: "w still runs" },
  {
    _tag: "ChunkAccepted",
    chunk: 1,
    attempt: 3,
    output: {
      location: "/a/b.mov",
      bytes: 12,
      sha256: "0a",
      frames: 10,
      format: { width: 64, height: 64, fps: "30000/1001", codec: "h264", pixelFormat: "yuv420p", audio: "none" }
    },
    durationMs: 1.5,
    log: ""
  },
  { _tag: "OutputLost", chunk: 1, attempt: 3, found: "no file" },
  { _tag: "Stitched", outputFile: "/out.mp4", bytes: 5 },
  { _tag: "Stitched" },
  {
    _tag: "RunEnded",
    run: 1,
    how: "failed",
    error: { _tag: "ChunkFailed", message: "no", chunkId: 1 },
    leftover: ["p"]
  }
]

// ---
// how they are used
// ---

/** What core makes of an object with promises that stores whole jobs. */
const layerOf = (make: () => PlainJobRepository): Layer.Layer<JobRepository> =>
  Layer.sync(JobRepository, () => {
    const plain = make()
    const ask = <A>(operation: () => Promise<A>) =>
      Effect.tryPromise({ try: operation, catch: (cause) => new WholeJobRepository.StoreError({ cause }) })
    return WholeJobRepository.fromStore({
      save: (job) => ask(() => plain.save(job)),
      get: (jobId) => ask(() => plain.get(jobId)),
      list: () => ask(() => plain.list()),
      delete: (jobId) => ask(() => plain.delete(jobId))
    })
  })

const journal = (jobs: Repository, jobId: string, after?: number) => Stream.runCollect(jobs.read(jobId, after))

const revisions = (records: ReadonlyArray<JobRecord>) => records.map(({ revision }) => revision)

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

const textsOf = (records: ReadonlyArray<JobRecord>) =>
  records.map(({ event }) => (event._tag === "OutputLost" ? event.found : event._tag))

/** A writer whose scope closes when it is told to, or with the case. */
const open = Effect.fnUntraced(function* (jobs: Repository, jobId: string, takeOver: "if-dead" | "always" = "if-dead") {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* jobs.openWriter(jobId, { takeOver }).pipe(Scope.provide(scope))
  return { ...writer, close: Scope.close(scope, Exit.void) }
})

const failsWith = <A, R>(
  what: string,
  reason: RepositoryError["reason"]["_tag"],
  jobId: string,
  effect: Effect.Effect<A, RepositoryError, R>
): Effect.Effect<RepositoryError, Mismatch, R> =>
  failureOf(what, effect).pipe(
    Effect.tap((error) => same(`${what} should fail with ${reason}`, error.reason._tag, reason)),
    Effect.tap((error) => same(`the job that the error of ${what} names`, error.jobId, jobId)),
    Effect.tap((error) =>
      holds(`the message of ${what} should name the job`, error.message.includes(jobId), error.message)
    )
  )

/** Every operation on a job that must exist. */
const operations = (
  jobs: Repository,
  jobId: string
): ReadonlyArray<readonly [string, Effect.Effect<unknown, RepositoryError, Scope.Scope>]> => [
  ["openWriter", jobs.openWriter(jobId, { takeOver: "if-dead" })],
  ["openWriter to take over", jobs.openWriter(jobId, { takeOver: "always" })],
  ["read", Stream.runDrain(jobs.read(jobId))],
  ["changes", Stream.runDrain(jobs.changes(jobId, 0))],
  ["request", jobs.request(jobId, cancel)],
  ["requests", Stream.runDrain(jobs.requests(jobId))],
  ["delete", jobs.delete(jobId)]
]

/**
 * The contract of a repository.
 *
 * With a store that can be opened again, `options.crossProcess` adds what holds between several that have it open.
 */
export const make = <E>(store: Store<E>, options: Options = {}): Contract.Contract => {
  const { crossProcess = false, fencing = true } = options
  const timing = Contract.patienceOf(options)
  const reopens = Effect.isEffect(store)
  // Whole jobs are saved now and then, and at the end of a run.
  const keepsAll = typeof store !== "function"

  const layer = Layer.unwrap(
    Effect.map(
      reopens ? store : Effect.succeed(typeof store === "function" ? layerOf(store) : store),
      (opened: Layer.Layer<JobRepository, E>) =>
        Layer.merge(
          opened,
          Layer.succeed(
            Reopen,
            Layer.build(Layer.fresh(opened)).pipe(
              Effect.mapError(
                (cause) => new Mismatch({ message: `the store could not be opened again: ${show(cause)}` })
              ),
              Effect.map((context) => Context.get(context, JobRepository))
            )
          )
        )
    )
  )

  /** A promise about a repository with one job, `job`. */
  const withJob = <A, E2 extends Error>(
    promise: (jobs: Repository) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2 | RepositoryError, JobRepository | Scope.Scope> =>
    Effect.flatMap(JobRepository, (jobs) => Effect.andThen(jobs.create("job", created), promise(jobs))).pipe(
      Effect.asVoid
    )

  /** A promise about a repository, and another one that has the same store open. */
  const withTwo = <A, E2 extends Error>(
    promise: (jobs: Repository, others: Repository) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2 | RepositoryError | Mismatch, JobRepository | Reopen | Scope.Scope> =>
    Effect.gen(function* () {
      const jobs = yield* JobRepository
      yield* jobs.create("job", created)
      yield* promise(jobs, yield* yield* Reopen)
    })

  const aside = <A, E2, R>(effect: Effect.Effect<A, E2, R>) => background(timing, effect)

  /** What a stream has given so far. */
  const collecting = Effect.fnUntraced(function* <A>(stream: Stream.Stream<A, RepositoryError>) {
    const seen: Array<A> = []
    const fiber = yield* Stream.runForEach(stream, (value) => Effect.sync(() => void seen.push(value))).pipe(aside)
    return { seen, fiber }
  })

  const sees = (what: string, seen: ReadonlyArray<unknown>, count: number) =>
    eventually(
      timing,
      `${what} should see ${count}`,
      Effect.sync(() => seen.length >= count)
    )

  const ends = <A, E2>(what: string, fiber: Fiber.Fiber<A, E2>) =>
    within(timing, `${what} should end`, Fiber.join(fiber))

  return Contract.make({
    of: "JobRepository",
    layer,
    promises: {
      "it says of itself what it was tested for": Effect.gen(function* () {
        const { guarantees } = yield* JobRepository
        yield* same("guarantees.fencing", guarantees.fencing, fencing)
        yield* same("guarantees.crossProcess", guarantees.crossProcess, crossProcess)
      }),

      "a created job begins with its first event, outside any run": Effect.gen(function* () {
        const jobs = yield* JobRepository
        const before = yield* Clock.currentTimeMillis
        yield* jobs.create("job", created)
        const after = yield* Clock.currentTimeMillis
        const records = yield* journal(jobs, "job")
        yield* same(
          "its journal",
          records.map(({ event, revision, run }) => ({ event, revision, run })),
          [{ event: created, revision: 1, run: 0 }]
        )
        const at = records[0]?.at ?? 0
        yield* holds(`its time should be between ${before} and ${after}`, at >= before - 1 && at <= after + 1, at)
      }),

      "a second job of the same id is refused, and leaves the first as it is": withJob((jobs) =>
        Effect.gen(function* () {
          const again = jobs.create("job", { ...created, spec: { ...spec, id: "other" } })
          yield* failsWith("create", "AlreadyExists", "job", again)
          yield* same("the first event", (yield* journal(jobs, "job"))[0]?.event, created)
          const writer = yield* open(jobs, "job")
          yield* writer.append([lost("kept")])
          yield* failsWith("create while somebody writes", "AlreadyExists", "job", again)
          yield* same("the first job", textsOf(yield* journal(jobs, "job")), ["JobCreated", "kept"])
          yield* writer.append([lost("still mine")])
        })
      ),

      "of many that create one id at once, one succeeds": Effect.gen(function* () {
        const jobs = yield* JobRepository
        const tries = yield* Effect.all(
          upTo(8).map(() => Effect.result(jobs.create("job", created))),
          { concurrency: "unbounded" }
        )
        yield* same("how many succeeded", tries.filter(Result.isSuccess).length, 1)
        yield* same("the journal", revisions(yield* journal(jobs, "job")), [1])
      }),

      "a job that was never created is NotFound, whatever is asked of it": Effect.gen(function* () {
        const jobs = yield* JobRepository
        for (const [what, operation] of operations(jobs, "never")) {
          yield* failsWith(what, "NotFound", "never", Effect.scoped(operation))
        }
        yield* same("the list", yield* Stream.runCollect(jobs.list()), [])
      }),

      "jobs are kept apart, whatever characters their ids have": Effect.gen(function* () {
        const jobs = yield* JobRepository
        for (const id of nastyIds) yield* jobs.create(id, { ...created, spec: { ...spec, id } })
        for (const id of nastyIds) {
          const writer = yield* open(jobs, id)
          yield* writer.append([lost(`of ${id}`), ended])
          yield* writer.close
        }
        for (const id of nastyIds) {
          yield* same(`the journal of ${id}`, textsOf(yield* journal(jobs, id)), ["JobCreated", `of ${id}`, "RunEnded"])
        }
        const listed = yield* Stream.runCollect(jobs.list())
        yield* same("the ids that are listed", listed.map(({ id }) => id).toSorted(), nastyIds.toSorted())
        yield* jobs.delete("..")
        yield* same("the journal of .", textsOf(yield* journal(jobs, ".")), ["JobCreated", "of .", "RunEnded"])
        yield* same("how many are left", (yield* Stream.runCollect(jobs.list())).length, nastyIds.length - 1)
      }),

      "runs count from 1, also those that wrote nothing": withJob((jobs) =>
        Effect.gen(function* () {
          for (const run of [1, 2, 3]) {
            const writer = yield* open(jobs, "job")
            yield* same("the run", writer.run, run)
            yield* writer.close
          }
        })
      ),

      "while a writer lives, another one is refused with Running and the first goes on": withJob((jobs) =>
        Effect.gen(function* () {
          const first = yield* open(jobs, "job")
          const error = yield* failsWith("openWriter", "Running", "job", open(jobs, "job"))
          yield* same("the owner", error.reason._tag === "Running" ? error.reason.owner : undefined, first.owner)
          yield* first.append([lost("still mine"), ended])
          yield* first.close
          yield* same("the run after it has closed", (yield* open(jobs, "job")).run, 2)
        })
      ),

      "a writer is gone with its scope, also when that fails or is interrupted": withJob((jobs) =>
        Effect.gen(function* () {
          const opened = yield* Effect.scoped(jobs.openWriter("job", { takeOver: "if-dead" }))
          yield* same("the first run", opened.run, 1)
          const failing = jobs
            .openWriter("job", { takeOver: "if-dead" })
            .pipe(Effect.andThen(Effect.fail("on purpose")))
          yield* same("the failure", yield* failureOf("the second run", Effect.scoped(failing)), "on purpose")
          let writing = false
          const fiber = yield* jobs.openWriter("job", { takeOver: "if-dead" }).pipe(
            Effect.andThen(
              Effect.sync(() => {
                writing = true
              })
            ),
            Effect.andThen(Effect.never),
            Effect.scoped,
            aside
          )
          yield* eventually(
            timing,
            "the third run should begin",
            Effect.sync(() => writing)
          )
          yield* within(timing, "its interruption", Fiber.interrupt(fiber))
          yield* same("the run after them", (yield* open(jobs, "job")).run, 4)
        })
      ),

      "of many that open at once, one gets the job": withJob((jobs) =>
        Effect.gen(function* () {
          const tries = yield* Effect.all(
            upTo(8).map(() => Effect.result(open(jobs, "job"))),
            { concurrency: "unbounded" }
          )
          const writers = tries.filter(Result.isSuccess)
          yield* same("how many opened", writers.length, 1)
          for (const { success } of writers) yield* success.append([lost("mine")])
          yield* same("the journal", revisions(yield* journal(jobs, "job")), [1, 2])
        })
      ),

      "of an interrupted openWriter nothing is left that keeps others out": withJob((jobs) =>
        Effect.gen(function* () {
          for (const steps of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]) {
            const fiber = yield* jobs
              .openWriter("job", { takeOver: "if-dead" })
              .pipe(Effect.andThen(Effect.never), Effect.scoped, aside)
            yield* Effect.repeat(Effect.yieldNow, { times: steps })
            yield* within(timing, "its interruption", Fiber.interrupt(fiber))
            const next = yield* open(jobs, "job")
            yield* next.close
          }
        })
      ),

      "a writer that was taken over is fenced: its append fails and writes nothing": fencing
        ? withJob((jobs) =>
            Effect.gen(function* () {
              const first = yield* open(jobs, "job")
              yield* first.append([lost("before")])
              const second = yield* open(jobs, "job", "always")
              yield* same("the later run", second.run, 2)
              const error = yield* failsWith(
                "a stale append",
                "Fenced",
                "job",
                first.append([lost("stale"), lost("stale")])
              )
              yield* same("the run that it names", error.reason._tag === "Fenced" ? error.reason.run : undefined, 1)
              yield* second.append([lost("after")])
              yield* failsWith("a second stale append", "Fenced", "job", first.append([lost("stale")]))
              const records = yield* journal(jobs, "job", 1)
              yield* same(
                "the journal",
                records.map(({ event, revision, run }) => ({ event, revision, run })),
                [
                  { event: lost("before"), revision: 2, run: 1 },
                  { event: lost("after"), revision: 3, run: 2 }
                ]
              )
            })
          )
        : undefined,

      "a fenced writer that closes does not take the job from the later one": fencing
        ? withJob((jobs) =>
            Effect.gen(function* () {
              const first = yield* open(jobs, "job")
              const second = yield* open(jobs, "job", "always")
              yield* first.close
              yield* failsWith("openWriter", "Running", "job", open(jobs, "job"))
              yield* second.append([lost("still mine")])
            })
          )
        : undefined,

      "those that take over at once get a run each, and the last one can write": fencing
        ? withJob((jobs) =>
            Effect.gen(function* () {
              const writers = yield* Effect.all(
                upTo(6).map(() => open(jobs, "job", "always")),
                { concurrency: "unbounded" }
              )
              yield* same(
                "the runs",
                writers.map(({ run }) => run).toSorted((a, b) => a - b),
                upTo(6)
              )
              for (const writer of writers) {
                const appended = yield* Effect.result(writer.append([lost("mine")]))
                yield* same(`whether run ${writer.run} can write`, Result.isSuccess(appended), writer.run === 6)
              }
              yield* same("the journal", revisions(yield* journal(jobs, "job")), [1, 2])
            })
          )
        : undefined,

      "append gives the records of its events, and read gives the same": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          const before = yield* Clock.currentTimeMillis
          const events = [...everyEvent, ...nastyTexts.map(lost)]
          const records = yield* writer.append(events)
          yield* same(
            "the revisions and runs",
            records.map(({ revision, run }) => ({ revision, run })),
            events.map((_, index) => ({ revision: index + 2, run: 1 }))
          )
          const found = yield* journal(jobs, "job", 1)
          for (const [index, event] of events.entries()) {
            const expected = JSON.stringify(event)
            yield* same(`what append gives for ${event._tag}`, JSON.stringify(records[index]?.event), expected)
            yield* same(`what read gives for ${event._tag}`, JSON.stringify(found[index]?.event), expected)
            yield* same("its time", found[index]?.at, records[index]?.at)
            yield* holds(
              `its time should be from ${before} on`,
              (found[index]?.at ?? 0) >= before - 1,
              found[index]?.at
            )
          }
          const failed = found.map(({ event }) => event).find((event) => event._tag === "AttemptEnded")
          yield* holds(
            "an error in an event should come back as a WorkerError",
            failed?._tag === "AttemptEnded" && failed.error instanceof WorkerError,
            failed
          )
        })
      ),

      "an append of nothing writes nothing": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          yield* same("its records", yield* writer.append([]), [])
          yield* same("the journal", revisions(yield* journal(jobs, "job")), [1])
          yield* same("the next revision", revisions(yield* writer.append([lost("a")])), [2])
        })
      ),

      "what its caller does to the events later changes nothing": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          const events = [lost("a")]
          yield* writer.append(events)
          events.push(lost("b"))
          yield* same("the journal", textsOf(yield* journal(jobs, "job", 1)), ["a"])
        })
      ),

      "revisions have no gaps, and batches stay whole, however many are appended at once": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          const batches = upTo(40).map((batch) => upTo(1 + (batch % 4)).map((i) => `${batch}.${i}`))
          const appended = yield* Effect.all(
            batches.map((batch) => writer.append(batch.map(lost))),
            { concurrency: "unbounded" }
          )
          const records = yield* journal(jobs, "job")
          yield* same("the revisions", revisions(records), upTo(1 + batches.flat().length))
          for (const [index, batch] of batches.entries()) {
            const first = appended[index]?.[0]?.revision ?? 0
            yield* same(
              `the batch at revision ${first}`,
              textsOf(records.slice(first - 1, first - 1 + batch.length)),
              batch
            )
          }
        })
      ),

      "an append of thousands of events is written whole": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          const texts = upTo(3000).map((i) => `${i} ${"x".repeat(i % 2000)}`)
          const records = yield* writer.append(texts.map(lost))
          yield* same("the records that it gives", records.length, texts.length)
          yield* same(
            "whether read gives the same texts",
            textsOf(yield* journal(jobs, "job", 1)).join() === texts.join(),
            true
          )
        })
      ),

      "an interrupted append is written whole or not at all, and leaves no gap": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          for (const steps of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]) {
            const batch = ["a", "b", "c"].map((text) => `${steps}${text}`)
            const fiber = yield* background(timing, writer.append(batch.map(lost)))
            yield* Effect.repeat(Effect.yieldNow, { times: steps })
            yield* within(timing, "its interruption", Fiber.interrupt(fiber))
            yield* writer.append([lost(`after ${steps}`)])
            const records = yield* journal(jobs, "job")
            yield* same("the revisions", revisions(records), upTo(records.length))
            const found = textsOf(records).filter((text) => batch.includes(text))
            yield* holds("it should be whole or not there", found.length === 0 || found.join() === batch.join(), found)
          }
        })
      ),

      "read gives what is after a revision, in order, and ends": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          yield* writer.append([lost("a"), lost("b"), lost("c")])
          const from = (after?: number) => within(timing, "read", Effect.map(journal(jobs, "job", after), revisions))
          yield* same("all", yield* from(), [1, 2, 3, 4])
          yield* same("after 0", yield* from(0), [1, 2, 3, 4])
          yield* same("after 2", yield* from(2), [3, 4])
          yield* same("after the last", yield* from(4), [])
          yield* same("after one that is yet to come", yield* from(99), [])
        })
      ),

      "changes gives what there is, then each append, across runs, every record once": withJob((jobs) =>
        Effect.gen(function* () {
          const first = yield* open(jobs, "job")
          yield* first.append([lost("history")])
          const { fiber, seen } = yield* collecting(jobs.changes("job", 1))
          yield* sees("the watcher", seen, 1)
          yield* first.append([lost("a"), lost("b")])
          yield* sees("the watcher", seen, 3)
          yield* first.append([ended])
          yield* first.close
          const second = yield* open(jobs, "job")
          yield* second.append([lost("c")])
          yield* sees("the watcher", seen, 5)
          yield* same("what it has seen", textsOf(seen), ["history", "a", "b", "RunEnded", "c"])
          yield* same("the revisions", revisions(seen), [2, 3, 4, 5, 6])
          yield* holds("it should go on", fiber.pollUnsafe() === undefined, fiber.pollUnsafe())
        })
      ),

      "what a run appended is kept when its writer closes before it has said how the run ended": keepsAll
        ? withJob((jobs) =>
            Effect.gen(function* () {
              const first = yield* open(jobs, "job")
              yield* first.append([lost("a")])
              yield* first.close
              const second = yield* open(jobs, "job")
              yield* second.append([lost("b")])
              yield* same("the journal", textsOf(yield* journal(jobs, "job")), ["JobCreated", "a", "b"])
              yield* same("the run", second.run, 2)
            })
          )
        : undefined,

      "every watcher sees every record once and in order, whenever it comes": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          const watchers: Array<ReadonlyArray<JobRecord>> = []
          for (const step of upTo(25)) {
            const appending = yield* background(timing, writer.append(upTo(step % 4).map((i) => lost(`${step}.${i}`))))
            if (step % 3 === 0) watchers.push((yield* collecting(jobs.changes("job", 0))).seen)
            yield* Effect.repeat(Effect.yieldNow, { times: step % 7 })
            yield* Fiber.join(appending)
          }
          const total = (yield* journal(jobs, "job")).length
          for (const seen of watchers) {
            yield* sees("a watcher", seen, total)
            yield* same("its revisions", revisions(seen), upTo(total))
          }
        })
      ),

      "changes after a revision that is yet to come waits for the one after it": withJob((jobs) =>
        Effect.gen(function* () {
          const { seen } = yield* collecting(jobs.changes("job", 3))
          const writer = yield* open(jobs, "job")
          yield* writer.append([lost("2"), lost("3")])
          yield* writer.append([lost("4")])
          yield* sees("the watcher", seen, 1)
          yield* same("what it has seen", revisions(seen), [4])
        })
      ),

      "changes ends when the job is deleted, after all that there was": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          const { fiber, seen } = yield* collecting(jobs.changes("job", 0))
          yield* writer.append([lost("a"), lost("b")])
          yield* sees("the watcher", seen, 3)
          yield* writer.close
          yield* jobs.delete("job")
          yield* ends("the watcher", fiber)
          yield* same("what it has seen", revisions(seen), [1, 2, 3])
        })
      ),

      "a watcher that is interrupted disturbs nobody": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          for (const watch of [Stream.runDrain(jobs.changes("job", 1)), Stream.runDrain(jobs.requests("job"))]) {
            const watching = yield* background(timing, watch)
            yield* Effect.yieldNow
            yield* within(timing, "its interruption", Fiber.interrupt(watching))
          }
          yield* writer.append([lost("nobody watches")])
          yield* same("the journal", revisions(yield* journal(jobs, "job")), [1, 2])
        })
      ),

      "requests reach the current run in order, those from before it listened as well": withJob((jobs) =>
        Effect.gen(function* () {
          yield* open(jobs, "job")
          yield* jobs.request("job", pause)
          const { seen } = yield* collecting(jobs.requests("job"))
          yield* sees("the writer", seen, 1)
          yield* jobs.request("job", cancel)
          yield* sees("the writer", seen, 2)
          yield* same("what it has heard", seen, [pause, cancel])
        })
      ),

      "requests reach no later run": withJob((jobs) =>
        Effect.gen(function* () {
          yield* jobs.request("job", { _tag: "Cancel", by: "too early" })
          const first = yield* open(jobs, "job")
          yield* jobs.request("job", { _tag: "Cancel", by: "the first run" })
          const { seen } = yield* collecting(jobs.requests("job"))
          yield* sees("the first run", seen, 1)
          yield* same("what the first run has heard", seen, [{ _tag: "Cancel", by: "the first run" }])
          yield* first.close
          yield* open(jobs, "job")
          const later = yield* collecting(jobs.requests("job"))
          yield* jobs.request("job", pause)
          yield* sees("the second run", later.seen, 1)
          yield* same("what the second run has heard", later.seen, [pause])
        })
      ),

      "requests of a run end when another one takes over": fencing
        ? withJob((jobs) =>
            Effect.gen(function* () {
              yield* open(jobs, "job")
              const { fiber, seen } = yield* collecting(jobs.requests("job"))
              yield* jobs.request("job", pause)
              yield* sees("the first run", seen, 1)
              yield* open(jobs, "job", "always")
              yield* ends("what the first run listens to", fiber)
              yield* jobs.request("job", cancel)
              yield* same("what the first run has heard", seen, [pause])
            })
          )
        : undefined,

      "requests end when the job is deleted": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          const { fiber, seen } = yield* collecting(jobs.requests("job"))
          yield* jobs.request("job", pause)
          yield* sees("who listens", seen, 1)
          yield* writer.close
          yield* jobs.delete("job")
          yield* ends("what it listens to", fiber)
        })
      ),

      "requests are heard by all who listen, and by nobody of another job": withJob((jobs) =>
        Effect.gen(function* () {
          yield* jobs.create("other", created)
          yield* open(jobs, "job")
          yield* open(jobs, "other")
          const [a, b, other] = [
            yield* collecting(jobs.requests("job")),
            yield* collecting(jobs.requests("job")),
            yield* collecting(jobs.requests("other"))
          ]
          yield* jobs.request("job", cancel)
          yield* jobs.request("other", pause)
          yield* sees("one", a.seen, 1)
          yield* sees("another", b.seen, 1)
          yield* sees("the other job", other.seen, 1)
          yield* same("what they have heard", [a.seen, b.seen, other.seen], [[cancel], [cancel], [pause]])
        })
      ),

      "delete is refused while somebody writes": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          yield* failsWith("delete", "Running", "job", jobs.delete("job"))
          yield* writer.append([lost("still here")])
          yield* writer.close
          yield* jobs.delete("job")
          yield* failsWith("a second delete", "NotFound", "job", jobs.delete("job"))
        })
      ),

      "a deleted job is gone, and its id begins anew": withJob((jobs) =>
        Effect.gen(function* () {
          const writer = yield* open(jobs, "job")
          yield* writer.append([lost("of the first")])
          yield* writer.close
          yield* jobs.delete("job")
          for (const [what, operation] of operations(jobs, "job")) {
            yield* failsWith(what, "NotFound", "job", Effect.scoped(operation))
          }
          yield* same("the list", yield* Stream.runCollect(jobs.list()), [])
          yield* jobs.create("job", created)
          yield* same("the first run of the second", (yield* open(jobs, "job")).run, 1)
          yield* failureOf("an append of a writer of the first", writer.append([lost("late")]))
          yield* same("the journal of the second", textsOf(yield* journal(jobs, "job")), ["JobCreated"])
        })
      ),

      "list gives every job once, newest first, as its journal says": Effect.gen(function* () {
        const jobs = yield* JobRepository
        const ids = ["pending", "running", "paused", "completed", "failed", "cancelled"]
        for (const id of ids) {
          yield* jobs.create(id, created)
          // Jobs of the same moment have no order.
          yield* Effect.sleep("5 millis")
        }
        const running = yield* open(jobs, "running")
        yield* running.append([{ _tag: "RunStarted", run: 1, owner: running.owner }])
        for (const how of ["paused", "completed", "failed", "cancelled"] as const) {
          const writer = yield* open(jobs, how)
          yield* writer.append([{ _tag: "RunStarted", run: 1, owner: writer.owner }])
          yield* writer.append([{ _tag: "RunEnded", run: 1, how, leftover: [] }])
          yield* writer.close
          yield* Effect.sleep("5 millis")
        }
        const all = yield* Stream.runCollect(jobs.list())
        yield* same(
          "the ids",
          all.map(({ id }) => id),
          ids.toReversed()
        )
        for (const job of all) {
          yield* same(`the status of ${job.id}`, job.status, job.id)
          yield* same(`the run of ${job.id}`, job.run, job.id === "pending" ? 0 : 1)
          yield* same(`the progress of ${job.id}`, job.progress, job.id === "completed" ? 1 : 0)
          yield* same(`the owner of ${job.id}`, job.owner, job.id === "running" ? "alive" : "none")
          const [first, ...others] = yield* journal(jobs, job.id)
          yield* same(`when ${job.id} was created`, job.createdAt, first?.at)
          yield* same(`when ${job.id} was updated`, job.updatedAt, (others.at(-1) ?? first)?.at)
        }
        const found = (filter: Parameters<Repository["list"]>[0]) =>
          Effect.map(Stream.runCollect(jobs.list(filter)), (some) => some.map(({ id }) => id))
        yield* same("paused or failed", yield* found({ status: ["paused", "failed"] }), ["failed", "paused"])
        yield* same("of no status", yield* found({ status: [] }), [])
        const updatedAfter = all.find(({ id }) => id === "completed")?.updatedAt
        yield* same("updated later", yield* found({ updatedAfter }), ["cancelled", "failed"])
        yield* same("both", yield* found({ updatedAfter, status: ["paused", "failed"] }), ["failed"])
      }),

      "what was appended is there for who opens the store again": reopens
        ? withTwo((jobs, _others) =>
            Effect.gen(function* () {
              const writer = yield* open(jobs, "job")
              yield* writer.append([lost("a")])
              yield* writer.append(nastyTexts.map(lost))
              yield* writer.close
            })
          ).pipe(
            Effect.andThen(
              Effect.gen(function* () {
                const later = yield* yield* Reopen
                yield* same("the journal", textsOf(yield* journal(later, "job")), ["JobCreated", "a", ...nastyTexts])
                const writer = yield* open(later, "job")
                yield* same("the next run", writer.run, 2)
                yield* same("the next revision", revisions(yield* writer.append([lost("b")])), [nastyTexts.length + 3])
                yield* failsWith("create", "AlreadyExists", "job", later.create("job", created))
              })
            )
          )
        : undefined,

      "a writer of another process is fenced by who takes over":
        reopens && crossProcess && fencing
          ? withTwo((jobs, others) =>
              Effect.gen(function* () {
                const first = yield* open(jobs, "job")
                yield* first.append([lost("before")])
                yield* failsWith("openWriter elsewhere", "Running", "job", open(others, "job"))
                const second = yield* open(others, "job", "always")
                yield* same("the later run", second.run, 2)
                yield* failsWith("a stale append", "Fenced", "job", first.append([lost("stale")]))
                yield* second.append([lost("after")])
                for (const either of [jobs, others]) {
                  yield* same("the journal", textsOf(yield* journal(either, "job")), ["JobCreated", "before", "after"])
                }
              })
            )
          : undefined,

      "appends and requests are seen in another process":
        reopens && crossProcess
          ? withTwo((jobs, others) =>
              Effect.gen(function* () {
                const writer = yield* open(jobs, "job")
                const watcher = yield* collecting(others.changes("job", 0))
                const heard = yield* collecting(jobs.requests("job"))
                yield* sees("a watcher elsewhere", watcher.seen, 1)
                yield* writer.append([lost("a"), lost("b")])
                yield* sees("a watcher elsewhere", watcher.seen, 3)
                yield* same("what it has seen", textsOf(watcher.seen), ["JobCreated", "a", "b"])
                yield* others.request("job", cancel)
                yield* sees("the writer", heard.seen, 1)
                yield* same("what it has heard", heard.seen, [cancel])
                yield* failsWith("delete elsewhere", "Running", "job", others.delete("job"))
              })
            )
          : undefined
    }
  })
}
