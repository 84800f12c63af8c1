/** Reads the journals of jobs, and folds them. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { JobRecord } from "../JobEvent.ts"
import { type JobRepository, NotFound, RepositoryError } from "../JobRepository.ts"
import { type JobFold, type JobState, makeFold } from "../JobState.ts"
import * as OpenAttempts from "./OpenAttempts.ts"

/** A journal that is read on and on. */
export interface Following {
  /** Adds a record that was not read. */
  readonly apply: JobFold["apply"]
  /** What the job amounts to, read on from where the fold is. */
  readonly readOn: Effect.Effect<JobState, RepositoryError>
  /** The attempts of whose end what was read says nothing. */
  readonly openAttempts: () => ReadonlyArray<OpenAttempts.OpenAttempt>
}

/** Reads from a repository. */
export const make = (repository: JobRepository["Service"]) => {
  const follow = (jobId: string): Following => {
    const folding = makeFold(jobId)
    const attempts = OpenAttempts.make()
    const take = (record: JobRecord): void => {
      folding.apply(record)
      attempts.apply(record)
    }
    const readOn = Effect.suspend(() =>
      Stream.runForEachArray(repository.read(jobId, folding.state()?.revision ?? 0), (records) =>
        Effect.sync(() => records.forEach(take))
      )
    ).pipe(
      Effect.andThen(Effect.sync(folding.state)),
      Effect.filterOrFail(Predicate.isNotUndefined, () => new RepositoryError({ jobId, reason: new NotFound() }))
    )
    return { apply: folding.apply, readOn, openAttempts: attempts.all }
  }

  const read = (jobId: string): Effect.Effect<JobState, RepositoryError> => Effect.suspend(() => follow(jobId).readOn)

  return { follow, read }
}
