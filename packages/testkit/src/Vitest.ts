/**
 * The contracts as vitest suites: one call each, in any test file.
 *
 * The cases run on the real clock, one after the other. Nothing else of this package knows vitest.
 */
import type { Workspace } from "@helios-infra/core/Workspace"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { describe, it } from "vitest"
import * as ArtifactStorageContract from "./ArtifactStorageContract.ts"
import { type Contract, limit } from "./Contract.ts"
import * as JobRepositoryContract from "./JobRepositoryContract.ts"
import * as OutputCheckContract from "./OutputCheckContract.ts"
import * as VideoStitcherContract from "./VideoStitcherContract.ts"
import * as WorkerAdapterContract from "./WorkerAdapterContract.ts"
import * as WorkspaceContract from "./WorkspaceContract.ts"

/** Cases bound themselves, and say what never ended; vitest's own limit is for those that cannot even do that. */
const timeout = Duration.toMillis(limit) + 10_000

/** Registers a suite with one test per promise. */
export const register = (name: string, contract: Contract): void => {
  describe(`${name} keeps the contract of ${contract.of}`, () => {
    for (const { name, run } of contract.cases) {
      // oxlint-disable-next-line vitest/expect-expect, vitest/valid-title -- the case asserts, and has the name
      it(name, ({ signal }) => Effect.runPromise(run, { signal }), timeout)
    }
  })
}

/** {@link JobRepositoryContract.make} as a suite. */
export const jobRepositoryContract = <E>(
  name: string,
  store: JobRepositoryContract.Store<E>,
  options?: JobRepositoryContract.Options
): void => register(name, JobRepositoryContract.make(store, options))

/** {@link WorkerAdapterContract.make} as a suite. */
export const workerAdapterContract = <E>(
  name: string,
  implementation: WorkerAdapterContract.Implementation<E>,
  options?: WorkerAdapterContract.Options
): void => register(name, WorkerAdapterContract.make(implementation, options))

/** {@link VideoStitcherContract.make} as a suite. */
export const videoStitcherContract = <E>(
  name: string,
  implementation: VideoStitcherContract.Implementation<E>,
  options?: VideoStitcherContract.Options
): void => register(name, VideoStitcherContract.make(implementation, options))

/** {@link OutputCheckContract.make} as a suite. */
export const outputCheckContract = <E>(
  name: string,
  implementation: OutputCheckContract.Implementation<E>,
  options?: OutputCheckContract.Options
): void => register(name, OutputCheckContract.make(implementation, options))

/** {@link WorkspaceContract.make} as a suite. */
export const workspaceContract = <E>(
  name: string,
  layer: Layer.Layer<Workspace | WorkspaceContract.WorkspaceRig, E>,
  options?: WorkspaceContract.Options
): void => register(name, WorkspaceContract.make(layer, options))

/** {@link ArtifactStorageContract.make} as a suite. */
export const artifactStorageContract = <E>(
  name: string,
  store: ArtifactStorageContract.Store<E>,
  options?: ArtifactStorageContract.Options
): void => register(name, ArtifactStorageContract.make(store, options))
