/**
 * Tells a callback of every chunk that a run accepts, from the job's journal: once per chunk, never with 100 per cent
 * before the run is over.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import { JobError } from "../../JobError.ts"
import type { JobRecord } from "../../JobEvent.ts"
import { JobManager } from "../../JobManager.ts"
import { JobRepository } from "../../JobRepository.ts"
import * as JobSpec from "../../JobSpec.ts"
import type { ChunkProgress } from "./Options.ts"
import * as UserPromise from "./UserPromise.ts"

/** The reports of one run. */
export interface ChunkReports {
  /** Tells what was not told yet, the last chunk included: call it when the job is completed. */
  readonly finish: Effect.Effect<void, JobError>
}

/** Follows the job until the scope closes. What the callback throws is logged and changes nothing. */
export const make = Effect.fnUntraced(function* (
  jobId: string,
  onProgress: ((progress: ChunkProgress) => unknown) | undefined
): Effect.fn.Return<ChunkReports, JobError, JobManager | JobRepository | Scope> {
  if (onProgress === undefined) return { finish: Effect.void }
  const repository = yield* JobRepository
  const before = yield* JobManager.use((jobs) => jobs.get(jobId))
  if (before.status === "completed") return { finish: Effect.void }

  const { metadata } = before.spec
  const chunks = JobSpec.chunksInOrder(before.spec)
  const frames = new Map(chunks.map((chunk) => [chunk.id, chunk.frameCount]))
  const totalChunks = chunks.length
  const accepted = new Set(before.chunks.filter(({ status }) => status === "accepted").map(({ id }) => id))
  let framesDone = [...accepted].reduce((sum, id) => sum + (frames.get(id) ?? 0), 0)
  let last = chunks.at(-1)?.id ?? 0
  let revision = before.revision

  const warn = (thrown: UserPromise.Thrown) => Effect.logWarning(`job ${jobId}: onProgress threw: ${thrown.message}`)

  const tell = (chunkId: number, percent: number): Effect.Effect<unknown> =>
    Effect.try({
      try: () => onProgress({ chunkId, totalChunks, percent }),
      catch: (value) => new UserPromise.Thrown({ value })
    }).pipe(
      // A callback may be an async function: nobody waits for it, and its rejection is not left unhandled.
      Effect.flatMap((result) =>
        Predicate.isPromiseLike(result)
          ? Effect.forkDetach(
              Effect.catch(
                UserPromise.call(() => result),
                warn
              ),
              { startImmediately: true }
            )
          : Effect.void
      ),
      Effect.catch(warn)
    )

  const take = (record: JobRecord): Effect.Effect<unknown> => {
    if (record.revision <= revision) return Effect.void
    revision = record.revision
    const { event } = record
    if (event._tag === "OutputLost" && accepted.delete(event.chunk)) framesDone -= frames.get(event.chunk) ?? 0
    if (event._tag !== "ChunkAccepted" || accepted.has(event.chunk)) return Effect.void
    accepted.add(event.chunk)
    framesDone += frames.get(event.chunk) ?? 0
    last = event.chunk
    if (accepted.size === totalChunks) return Effect.void
    return tell(event.chunk, Math.floor((100 * framesDone) / metadata.totalFrames))
  }

  const follow = (records: Stream.Stream<JobRecord, JobError>) => Stream.runForEach(records, take)
  const failed = (reason: JobError["reason"]) => new JobError({ jobId, reason })
  const live = repository.changes(jobId, before.revision).pipe(Stream.mapError(failed))
  const following = yield* Effect.forkScoped(Effect.ignore(follow(live)))
  return {
    finish: Effect.gen(function* () {
      yield* Fiber.interrupt(following)
      yield* follow(Stream.mapError(repository.read(jobId, revision), failed))
      yield* tell(last, 100)
    })
  }
})
