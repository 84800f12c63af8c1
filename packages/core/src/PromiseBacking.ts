/**
 * The services behind the plain classes of the Promise API, for packages that are written with Effect and offer such
 * classes: `./promise` entries say nothing of Effect, and core still gets the whole service.
 *
 * What is registered here is found again by the copy of core that registered it, and by no other one.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ArtifactError, ArtifactStorage } from "./ArtifactStorage.ts"
import type { JobRepository, RepositoryError } from "./JobRepository.ts"
import { JobFolder } from "./promise/JobFolder.ts"
import type { Workspace, WorkspaceError } from "./Workspace.ts"

/** The layer of a job's files. */
export type WorkspaceLayer = Layer.Layer<Workspace, WorkspaceError>

/** The layer of a repository that keeps journals. */
export type RepositoryLayer = Layer.Layer<JobRepository, RepositoryError>

/** The layer of a storage. */
export type StorageLayer = Layer.Layer<ArtifactStorage, ArtifactError>

const workspaces = new WeakMap<object, WorkspaceLayer>()
const repositories = new WeakMap<object, RepositoryLayer>()
const storages = new WeakMap<object, StorageLayer>()

/** Makes what an adapter's `files` gives. */
export const jobFolder = (dir: string, workspace: WorkspaceLayer): JobFolder => {
  const folder = new JobFolder(dir)
  workspaces.set(folder, workspace)
  return folder
}

/** The workspace behind what an adapter's `files` gave. */
export const workspaceOf = (folder: JobFolder): Option.Option<WorkspaceLayer> =>
  Option.fromUndefinedOr(workspaces.get(folder))

/** Says that a plain repository is one that keeps journals: core uses that in place of saving whole jobs. */
export const backRepository = (plain: object, repository: RepositoryLayer): void => {
  repositories.set(plain, repository)
}

/** The repository behind a plain one. */
export const repositoryOf = (plain: object): Option.Option<RepositoryLayer> =>
  Option.fromUndefinedOr(repositories.get(plain))

/** Says which storage a plain object stands for. */
export const backStorage = (plain: object, storage: StorageLayer): void => {
  storages.set(plain, storage)
}

/** The storage behind a plain object. */
export const storageOf = (plain: object): Option.Option<StorageLayer> => Option.fromUndefinedOr(storages.get(plain))

/** Runs an effect as a promise: rejects with its error as it is, or, when the signal stopped it, with the signal's reason. */
export const run = <A, E>(effect: Effect.Effect<A, E>, signal?: AbortSignal): Promise<A> =>
  Effect.runPromiseExit(effect, signal === undefined ? {} : { signal }).then((exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    if (Cause.hasInterruptsOnly(exit.cause)) signal?.throwIfAborted()
    throw Cause.squash(exit.cause)
  })
