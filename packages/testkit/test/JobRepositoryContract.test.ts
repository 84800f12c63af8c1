import { describe } from "@effect/vitest"
import { JobRepository } from "@helios-infra/core"
import * as Promises from "@helios-infra/core/promise"
import { JobRepositoryContract, jobRepositoryContract } from "@helios-infra/testkit"
import { Context, Effect, Layer, Stream } from "effect"
import { catches, changed } from "./Mutants.ts"

const { JobRepository: Repository, layerMemory } = JobRepository

/** A store that can be opened again: everybody gets the same memory. */
const shared = Effect.map(Layer.build(layerMemory), (context) =>
  Layer.succeed(Repository, Context.get(context, Repository))
)

const acrossProcesses = Effect.map(shared, (layer) =>
  changed(Repository, layer, (jobs) => ({ ...jobs, guarantees: { ...jobs.guarantees, crossProcess: true } }))
)

jobRepositoryContract("JobRepository.layerMemory", layerMemory)
jobRepositoryContract("a store that is opened again", shared)
jobRepositoryContract("a store that several have open", acrossProcesses, { crossProcess: true })

const isJob = (value: unknown): value is Promises.JobState =>
  typeof value === "object" && value !== null && "spec" in value

const read = (text: string | undefined): ReadonlyArray<Promises.JobState> => {
  const job: unknown = JSON.parse(text ?? "null")
  return isJob(job) ? [job] : []
}

/** What a user would write: jobs as text, in whatever keeps text. */
class TextJobRepository implements Promises.JobRepository {
  readonly #texts = new Map<string, string>()
  save = (job: Promises.JobState) => Promise.resolve(void this.#texts.set(job.id, JSON.stringify(job)))
  get = (jobId: string) => Promise.resolve(read(this.#texts.get(jobId))[0] ?? null)
  list = () => Promise.resolve(Array.from(this.#texts.values()).flatMap(read))
  delete = (jobId: string) => Promise.resolve(void this.#texts.delete(jobId))
}

const whole = { fencing: false } as const
jobRepositoryContract("InMemoryJobRepository", () => new Promises.InMemoryJobRepository(), whole)
jobRepositoryContract("a class with save, get, list and delete", () => new TextJobRepository(), whole)

describe("the contract of JobRepository", () => {
  const quick = { patience: "300 millis" } as const
  const broken = (change: (jobs: JobRepository.JobRepository["Service"]) => JobRepository.JobRepository["Service"]) =>
    JobRepositoryContract.make(changed(Repository, layerMemory, change), quick)

  catches(
    "one that claims what it was not tested for",
    broken((jobs) => ({ ...jobs, guarantees: { ...jobs.guarantees, crossProcess: true } })),
    /says of itself/
  )

  catches(
    "one that overwrites a job of the same id",
    broken((jobs) => ({
      ...jobs,
      create: (id, first) =>
        jobs
          .create(id, first)
          .pipe(Effect.catch(() => Effect.andThen(Effect.ignore(jobs.delete(id)), jobs.create(id, first))))
    })),
    /second job of the same id/
  )

  catches(
    "one that finds out too late that an id is taken",
    broken((jobs) => {
      const taken = new Set<string>()
      return {
        ...jobs,
        create: (id, first) =>
          taken.has(id)
            ? jobs.create(id, first)
            : Effect.yieldNow.pipe(
                Effect.andThen(Effect.sync(() => taken.add(id))),
                Effect.andThen(jobs.create(id, first)),
                Effect.catch(() => Effect.void)
              )
      }
    }),
    /create one id at once/
  )

  catches(
    "one that lets everybody write",
    broken((jobs) => ({ ...jobs, openWriter: (id) => jobs.openWriter(id, { takeOver: "always" }) })),
    /another one is refused with Running/
  )

  catches(
    "one that does not fence: what a stale writer appends is written by the later run",
    broken((jobs) => {
      const current = new Map<string, JobRepository.JobWriter>()
      return {
        ...jobs,
        openWriter: (id, options) =>
          Effect.map(jobs.openWriter(id, options), (writer) => {
            current.set(id, writer)
            return { ...writer, append: (events) => (current.get(id) ?? writer).append(events) }
          })
      }
    }),
    /is fenced/
  )

  catches(
    "one whose stale append fails after it has written a part",
    broken((jobs) => {
      const current = new Map<string, JobRepository.JobWriter>()
      return {
        ...jobs,
        openWriter: (id, options) =>
          Effect.map(jobs.openWriter(id, options), (writer) => {
            current.set(id, writer)
            const append: JobRepository.JobWriter["append"] = (events) =>
              writer
                .append(events)
                .pipe(Effect.tapError(() => Effect.ignore(current.get(id)?.append(events.slice(0, 1)) ?? Effect.void)))
            return { ...writer, append }
          })
      }
    }),
    /is fenced/
  )

  catches(
    "one that keeps the job after a writer has closed",
    broken((jobs) => ({
      ...jobs,
      openWriter: (id, options) =>
        Effect.tap(jobs.openWriter(id, options), () =>
          Effect.forkDetach(Effect.scoped(Effect.andThen(jobs.openWriter(id, { takeOver: "always" }), Effect.never)), {
            startImmediately: true
          })
        )
    })),
    /runs count from 1|gone with its scope/
  )

  catches(
    "one that writes batches event by event",
    broken((jobs) => ({
      ...jobs,
      openWriter: (id, options) =>
        Effect.map(jobs.openWriter(id, options), (writer) => ({
          ...writer,
          append: (events) =>
            Effect.map(
              Effect.forEach(events, (event) => Effect.tap(writer.append([event]), Effect.yieldNow)),
              (records) => records.flat()
            )
        }))
    })),
    /batches stay whole|interrupted append/
  )

  catches(
    "one that drops errors and texts that are hard to write",
    broken((jobs) => ({
      ...jobs,
      read: (id, after) =>
        Stream.map(jobs.read(id, after), (record) => ({
          ...record,
          event:
            record.event._tag === "OutputLost"
              ? { ...record.event, found: record.event.found.replaceAll("\n", " ") }
              : record.event
        }))
    })),
    /read gives the same/
  )

  catches(
    "one whose read forgets `after`",
    broken((jobs) => ({ ...jobs, read: (id) => jobs.read(id) })),
    /read gives what is after/
  )

  catches(
    "one whose changes only gives what is new",
    broken((jobs) => ({
      ...jobs,
      changes: (id, after) =>
        Stream.unwrap(
          Effect.map(Stream.runCollect(jobs.read(id)), (records) => jobs.changes(id, Math.max(after, records.length)))
        )
    })),
    /changes gives what there is/
  )

  catches(
    "one whose changes ends with what there is",
    broken((jobs) => ({ ...jobs, changes: (id, after) => jobs.read(id, after) })),
    /changes gives what there is, then each append/
  )

  catches(
    "one whose changes never ends",
    broken((jobs) => ({ ...jobs, changes: (id, after) => Stream.concat(jobs.changes(id, after), Stream.never) })),
    /changes ends when the job is deleted/
  )

  catches(
    "one that brings the requests of earlier runs",
    broken((jobs) => {
      const all = new Map<string, Array<JobRepository.JobRequest>>()
      return {
        ...jobs,
        request: (id, request) =>
          Effect.andThen(
            jobs.request(id, request),
            Effect.sync(() => void all.set(id, [...(all.get(id) ?? []), request]))
          ),
        requests: (id) =>
          Stream.unwrap(
            Effect.sync(() => {
              const earlier = all.get(id) ?? []
              return Stream.concat(Stream.fromIterable(earlier), Stream.drop(jobs.requests(id), earlier.length))
            })
          )
      }
    }),
    /requests reach no later run/
  )

  catches(
    "one that loses requests from before somebody listened",
    broken((jobs) => ({ ...jobs, requests: (id) => Stream.drop(jobs.requests(id), 1) })),
    /requests reach the current run/
  )

  catches(
    "one that deletes under a writer",
    broken((jobs) => ({
      ...jobs,
      delete: (id) => Effect.scoped(jobs.openWriter(id, { takeOver: "always" })).pipe(Effect.andThen(jobs.delete(id)))
    })),
    /delete is refused/
  )

  catches(
    "one that takes two ids for one",
    broken((jobs) => {
      const name = (id: string) => id.toLowerCase()
      return {
        ...jobs,
        create: (id, first) => jobs.create(name(id), first),
        openWriter: (id, options) => jobs.openWriter(name(id), options),
        read: (id, after) => jobs.read(name(id), after),
        delete: (id) => jobs.delete(name(id))
      }
    }),
    /kept apart/
  )

  catches(
    "one that lists oldest first",
    broken((jobs) => ({
      ...jobs,
      list: (options) =>
        Stream.unwrap(
          Effect.map(Stream.runCollect(jobs.list(options)), (all) => Stream.fromIterable([...all].toReversed()))
        )
    })),
    /list gives every job/
  )

  catches(
    "one that cannot be made",
    JobRepositoryContract.make(Layer.effect(Repository, Effect.fail("no disk"))),
    /begins with its first event/
  )

  class Forgetful extends Promises.InMemoryJobRepository {
    override async delete(): Promise<void> {}
  }
  catches(
    "a class whose delete does nothing",
    JobRepositoryContract.make(() => new Forgetful(), { ...quick, ...whole }),
    /a deleted job is gone/
  )

  class Mixing extends Promises.InMemoryJobRepository {
    override get(jobId: string): Promise<Promises.JobState | null> {
      return super.get(jobId.toLowerCase())
    }
  }
  catches(
    "a class that takes two ids for one",
    JobRepositoryContract.make(() => new Mixing(), { ...quick, ...whole }),
    /kept apart/
  )

  class Rejecting extends Promises.InMemoryJobRepository {
    override list(): Promise<Array<Promises.JobState>> {
      return Promise.reject(new Error("list is not implemented"))
    }
  }
  catches(
    "a class that cannot list",
    JobRepositoryContract.make(() => new Rejecting(), { ...quick, ...whole }),
    /list gives every job/
  )

  catches(
    "one that forgets everything when it is opened again",
    JobRepositoryContract.make(Effect.succeed(layerMemory), quick),
    /opens the store again/
  )

  catches(
    "one that says it is for several processes and is not",
    JobRepositoryContract.make(
      Effect.succeed(
        changed(Repository, layerMemory, (jobs) => ({
          ...jobs,
          guarantees: { ...jobs.guarantees, crossProcess: true }
        }))
      ),
      { ...quick, crossProcess: true }
    ),
    /seen in another process/
  )
})
