/**
 * What users write with promises, as services: for Effect programs that are given such an object, and for contract suites
 * that hold one to its promises.
 *
 * These are the services that the Promise API itself runs on. The way back is not here: packages that are written with
 * Effect and offer plain classes use `PromiseBacking`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ArtifactStorage } from "./ArtifactStorage.ts"
import * as ArtifactStorageService from "./internal/promise/ArtifactStorageService.ts"
import * as OutputCheckService from "./internal/promise/OutputCheckService.ts"
import * as UserPromise from "./internal/promise/UserPromise.ts"
import * as VideoStitcherService from "./internal/promise/VideoStitcherService.ts"
import * as WorkerAdapterService from "./internal/promise/WorkerAdapterService.ts"
import { findOutput, OutputCheck } from "./OutputCheck.ts"
import type { ArtifactStorage as PlainStorage } from "./promise/ArtifactStorage.ts"
import type { JobRepository as PlainRepository } from "./promise/JobRepository.ts"
import type { OutputCheck as PlainCheck } from "./promise/OutputCheck.ts"
import type { VideoStitcher as PlainStitcher } from "./promise/VideoStitcher.ts"
import type { WorkerAdapter as PlainAdapter } from "./promise/WorkerAdapter.ts"
import * as PromiseBacking from "./PromiseBacking.ts"
import { VideoStitcher } from "./VideoStitcher.ts"
import * as WholeJobRepository from "./WholeJobRepository.ts"
import { WorkerAdapter } from "./WorkerAdapter.ts"
import { Workspace } from "./Workspace.ts"

/**
 * Runs attempts with an adapter. Interruption aborts its signal and waits at most 10 seconds for its promise; one that has
 * not settled by then is told as `NotStopped`. What it rejects with that is no `WorkerReason` is a lost worker.
 */
export const workerAdapter = (adapter: PlainAdapter): Layer.Layer<WorkerAdapter> =>
  Layer.sync(WorkerAdapter, () => WorkerAdapterService.make(adapter))

/**
 * Joins chunks with a stitcher, called once when every chunk is there as a local file; where a package backs it with a service
 * that can begin earlier, with that.
 */
export const videoStitcher = (stitcher: PlainStitcher): Layer.Layer<VideoStitcher, never, Workspace> =>
  Layer.effect(VideoStitcher, VideoStitcherService.make(stitcher))

/** Checks outputs that are there and not empty, with a check that is shown each as a local file. */
export const outputCheck = (check: PlainCheck): Layer.Layer<OutputCheck, never, Workspace> =>
  Layer.effect(
    OutputCheck,
    Effect.map(Workspace, (workspace) =>
      OutputCheckService.make(check, workspace, { check: (job, result) => findOutput(workspace, job, result) })
    )
  )

/** Keeps artifacts in a storage: in the service behind it where a package backs it with one. */
export const artifactStorage = (storage: PlainStorage): PromiseBacking.StorageLayer =>
  Option.getOrElse(PromiseBacking.storageOf(storage), () =>
    Layer.sync(ArtifactStorage, () => ArtifactStorageService.make(storage))
  )

/** How long a repository may take to answer, before it is given up: nobody could stop waiting for it. */
const answerTimeout = Duration.minutes(1)

/**
 * Keeps jobs in a repository: event by event where a package backs it with journals, else as whole jobs. A method whose
 * promise has not settled within a minute has failed.
 */
export const jobRepository = (repository: PlainRepository): PromiseBacking.RepositoryLayer =>
  Option.getOrElse(PromiseBacking.repositoryOf(repository), () => {
    const ask = (method: keyof PlainRepository, call: () => Promise<unknown>) =>
      UserPromise.call(call).pipe(
        Effect.mapError(({ value }) => new WholeJobRepository.StoreError({ cause: value })),
        Effect.timeoutOrElse({
          duration: answerTimeout,
          orElse: () =>
            Effect.fail(
              new WholeJobRepository.StoreError({
                cause: new Error(
                  `${method} has not settled within ${Duration.format(answerTimeout)}: look at the store`
                )
              })
            )
        })
      )
    return WholeJobRepository.layer({
      save: (job) => ask("save", () => repository.save(job)),
      get: (jobId) => ask("get", () => repository.get(jobId)),
      list: () => ask("list", () => repository.list()),
      delete: (jobId) => ask("delete", () => repository.delete(jobId))
    })
  })
