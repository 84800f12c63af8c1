/**
 * Where jobs are kept: one append-only journal per job, with one writer at a time.
 *
 * Opening a writer begins the next run and fences the run before it: whoever still appends for that one fails with
 * `Fenced`. Everybody else speaks to the writer through requests, which are kept beside the journal.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Defect from "./internal/Defect.ts"
import * as MemoryJournal from "./internal/MemoryJournal.ts"
import { type JobEvent, type JobRecord, Owner } from "./JobEvent.ts"
import type { JobState, JobStatus } from "./JobState.ts"

/** There is no such job. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {
  override get message(): string {
    return "there is no such job"
  }
}

/** There is a job with this id already. */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>()("AlreadyExists", {}) {
  override get message(): string {
    return "there is a job with this id already: give the job file another id, or none"
  }
}

/** Somebody else runs the job. */
export class Running extends Schema.TaggedError<Running>()("Running", {
  owner: Owner,
  alive: Schema.Literals(["yes", "unknown"])
}) {
  override get message(): string {
    const pid = this.owner.pid === undefined ? "" : `, process ${this.owner.pid}`
    return `it is run by ${this.owner.host}${pid}${this.alive === "yes" ? "" : " (which may be dead)"}: cancel it there, or take it over (takeOver: "always")`
  }
}

/** The run cannot be written any more: a later one has taken over, or its writer was closed. Whoever runs it must stop. */
export class Fenced extends Schema.TaggedError<Fenced>()("Fenced", { run: Schema.Int }) {
  override get message(): string {
    return `run ${this.run} has been taken over by a later one, or has ended: look at the job's state`
  }
}

/** The stored journal cannot be read. */
export class Corrupt extends Schema.TaggedError<Corrupt>()("Corrupt", { where: Schema.String }) {
  override get message(): string {
    return `its journal is damaged at ${this.where}: restore it from a copy, or create the job anew`
  }
}

/** The stored journal was written by a later version of `writtenBy`, the package that keeps it. */
export class NewerVersion extends Schema.TaggedError<NewerVersion>()("NewerVersion", {
  found: Schema.Int,
  writtenBy: Schema.String
}) {
  override get message(): string {
    return `its journal has version ${this.found}, which a later ${this.writtenBy} wrote: update that package`
  }
}

/** The store did not do what was asked. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { cause: Schema.Defect() }) {
  override get message(): string {
    return `the store failed: ${Defect.describe(this.cause)}`
  }
}

/** A job could not be stored, read or written to. */
export class RepositoryError extends Schema.TaggedError<RepositoryError>()("RepositoryError", {
  jobId: Schema.String,
  reason: Schema.Union([NotFound, AlreadyExists, Running, Fenced, Corrupt, NewerVersion, Unavailable])
}) {
  override get message(): string {
    return `job ${this.jobId}: ${this.reason.message}`
  }
}

/** What somebody asks of whoever runs a job. */
export type JobRequest =
  | { readonly _tag: "Cancel"; readonly by: string }
  | { readonly _tag: "Pause"; readonly mode: "drain" | "interrupt" }

/** The right to write one run of a job. */
export interface JobWriter {
  readonly run: number
  readonly owner: Owner
  /** Appends all of the events or none of them; gives their records. */
  readonly append: (events: ReadonlyArray<JobEvent>) => Effect.Effect<ReadonlyArray<JobRecord>, RepositoryError>
}

/** A job, without its chunks. */
export interface JobSummary extends Pick<JobState, "id" | "status" | "run" | "progress" | "createdAt" | "updatedAt"> {
  /** Whether the process that runs it is known to live. */
  readonly owner: "alive" | "dead" | "unknown" | "none"
}

/** What a repository promises. */
export interface RepositoryGuarantees {
  /** Whether a writer that was taken over can do no harm. */
  readonly fencing: boolean
  /** Whether several processes can share it. */
  readonly crossProcess: boolean
  /** What survives a crash: every append that returned (`batch`), all but the last moments (`interval`), nothing. */
  readonly durable: "batch" | "interval" | "none"
}

/**
 * Keeps jobs.
 *
 * - `create` stores a new job with its first event.
 * - `openWriter` begins the next run, until the scope closes. `if-dead` fails with `Running` while the last writer
 *   lives, `always` takes over from it. Who appends after that fails with `Fenced`.
 * - `read` gives the journal after a revision, in order, and ends; `changes` goes on with what is appended later.
 * - `list` gives the jobs, newest first.
 * - `request` asks the current writer for something, `requests` is how it hears of it: what was asked since its run
 *   began. What nobody heard is dropped when the next run begins.
 * - `delete` removes the journal; the job's files are not its business.
 */
export class JobRepository extends Context.Service<
  JobRepository,
  {
    readonly guarantees: RepositoryGuarantees
    readonly create: (jobId: string, first: JobEvent) => Effect.Effect<void, RepositoryError>
    readonly openWriter: (
      jobId: string,
      options: { readonly takeOver: "if-dead" | "always" }
    ) => Effect.Effect<JobWriter, RepositoryError, Scope.Scope>
    readonly read: (jobId: string, after?: number) => Stream.Stream<JobRecord, RepositoryError>
    readonly changes: (jobId: string, after: number) => Stream.Stream<JobRecord, RepositoryError>
    readonly list: (options?: {
      readonly status?: ReadonlyArray<JobStatus> | undefined
      readonly updatedAfter?: number | undefined
    }) => Stream.Stream<JobSummary, RepositoryError>
    readonly request: (jobId: string, request: JobRequest) => Effect.Effect<void, RepositoryError>
    readonly requests: (jobId: string) => Stream.Stream<JobRequest, RepositoryError>
    readonly delete: (jobId: string) => Effect.Effect<void, RepositoryError>
  }
>()("@helios-infra/core/JobRepository") {}

type Journal = MemoryJournal.MemoryJournal<JobRequest>

const running = (jobId: string): RepositoryError =>
  new RepositoryError({ jobId, reason: new Running({ owner: MemoryJournal.owner, alive: "yes" }) })

const make = Effect.sync((): JobRepository["Service"] => {
  const jobs = new Map<string, Journal>()

  /** Looks a job up and begins `step` with it at once: no other fiber comes between. */
  const on = <A>(
    jobId: string,
    step: (job: Journal) => Effect.Effect<A, RepositoryError>
  ): Effect.Effect<A, RepositoryError> =>
    Effect.suspend(() => {
      const job = jobs.get(jobId)
      return job === undefined ? Effect.fail(new RepositoryError({ jobId, reason: new NotFound() })) : step(job)
    })

  const create = Effect.fn("JobRepository.create")(function* (jobId: string, first: JobEvent) {
    const at = yield* Clock.currentTimeMillis
    if (jobs.has(jobId)) return yield* new RepositoryError({ jobId, reason: new AlreadyExists() })
    const job = MemoryJournal.make<JobRequest>(jobId)
    MemoryJournal.append(job, 0, at, [first])
    jobs.set(jobId, job)
  })

  const openWriter = Effect.fn("JobRepository.openWriter")(function* (
    jobId: string,
    options: { readonly takeOver: "if-dead" | "always" }
  ) {
    const take = on(jobId, (job) => {
      if (job.open && options.takeOver === "if-dead") return Effect.fail(running(jobId))
      job.run++
      job.open = true
      job.requests.length = 0
      MemoryJournal.notify(job)
      return Effect.succeed({ job, run: job.run })
    })
    const { job, run } = yield* Effect.acquireRelease(take, ({ job, run }) =>
      Effect.sync(() => {
        if (job.run === run) job.open = false
      })
    )
    // The time first: nothing may come between looking and writing.
    const append = (events: ReadonlyArray<JobEvent>) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) => {
        if (job.over) return Effect.fail(new RepositoryError({ jobId, reason: new NotFound() }))
        if (job.run !== run || !job.open)
          return Effect.fail(new RepositoryError({ jobId, reason: new Fenced({ run }) }))
        const records = MemoryJournal.append(job, run, at, events)
        MemoryJournal.notify(job)
        return Effect.succeed(records)
      })
    return { run, owner: MemoryJournal.owner, append }
  })

  const summary = (job: Journal): JobSummary | undefined => {
    const state = MemoryJournal.state(job)
    if (state === undefined) return undefined
    const { createdAt, id, progress, run, status, updatedAt } = state
    return { id, status, run, progress, createdAt, updatedAt, owner: job.open ? "alive" : "none" }
  }

  return JobRepository.of({
    guarantees: { fencing: true, crossProcess: false, durable: "none" },
    create,
    openWriter,
    read: (jobId, after = 0) =>
      Stream.unwrap(on(jobId, (job) => Effect.succeed(Stream.fromIterable(MemoryJournal.recordsAfter(job, after))))),
    changes: (jobId, after) => Stream.unwrap(on(jobId, (job) => Effect.succeed(MemoryJournal.changes(job, after)))),
    list: (options = {}) =>
      Stream.suspend(() =>
        Stream.fromIterable(
          Array.from(jobs.values(), summary)
            .filter((job) => job !== undefined)
            .filter((job) => options.status?.includes(job.status) ?? true)
            .filter((job) => job.updatedAt > (options.updatedAfter ?? -Infinity))
            .toReversed()
        )
      ),
    request: Effect.fn("JobRepository.request")((jobId, request) =>
      on(jobId, (job) => {
        job.requests.push(request)
        MemoryJournal.notify(job)
        return Effect.void
      })
    ),
    requests: (jobId) => Stream.unwrap(on(jobId, (job) => Effect.succeed(MemoryJournal.requests(job)))),
    delete: Effect.fn("JobRepository.delete")((jobId) =>
      on(jobId, (job) => {
        if (job.open) return Effect.fail(running(jobId))
        jobs.delete(jobId)
        MemoryJournal.finish(job)
        return Effect.void
      })
    )
  })
})

/** Keeps jobs in memory, for as long as the layer lives: for tests, and for jobs that need not survive a crash. */
export const layerMemory: Layer.Layer<JobRepository> = Layer.effect(JobRepository, make)
