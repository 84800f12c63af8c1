/**
 * The Promise API of this package: a `JobManager` that has everything that a configuration says, for
 * `const { jobs } = await loadConfig()`.
 */
import { JobManager } from "@helios-infra/core/promise"
import * as Manager from "@helios-infra/core/JobManager"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import { WorkspaceError } from "@helios-infra/core/Workspace"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as ConfigServices from "./ConfigServices.ts"
import type { ConfigFileError } from "./ConfigFileError.ts"

export type { FileOptions } from "./ConfigServices.ts"
export { ConfigFileError } from "./ConfigFileError.ts"
export { defineConfig } from "./HeliosConfig.ts"

/** What a configuration came to. */
export interface Configured {
  /**
   * The jobs: `createJob`, `runJob(id, { outputFile })` and so on, with no adapter to give. What a run is given counts in
   * place of what the configuration says; `jobDir` is another folder for one job.
   */
  readonly jobs: JobManager
  /** Where the configuration was; absent for one that came from no file. */
  readonly file: string | undefined
  /** Lets go of what plugins hold open, such as the connections of a database, when no job runs here any more. */
  readonly close: () => Promise<void>
}

/**
 * Finds a configuration, in the current folder or above it, and makes what it says. Rejects with a `ConfigFileError`: in
 * which file, at which line and column, and what to do. Nothing was started then.
 */
export const loadConfig = (options: ConfigServices.FileOptions = {}): Promise<Configured> =>
  open(ConfigServices.resolve(options))

/**
 * The same for a configuration that the program has itself: what `defineConfig` gives. Paths in it are meant from
 * `folder`. Default: the current one.
 */
export const fromConfig = (
  config: unknown,
  options: { readonly folder?: string | undefined } = {}
): Promise<Configured> => open(ConfigServices.resolveConfig(config, options))

const open = async (resolving: Effect.Effect<ConfigServices.Resolved, ConfigFileError>): Promise<Configured> => {
  const { file, inFolder, layer } = await PromiseBacking.run(resolving)
  const runtime = ManagedRuntime.make(Layer.provideMerge(Manager.layer, layer))
  // Rather now than when the first job runs.
  const context = await PromiseBacking.run(Effect.onError(runtime.contextEffect, () => runtime.disposeEffect))
  const own = Layer.succeedContext(context)
  const options = {}
  PromiseBacking.backManager(options, {
    layer: own,
    inFolder: (folder) => (folder === undefined ? own : Layer.catch(inFolder(folder), unavailable(folder)))
  })
  return { jobs: new JobManager(options), file, close: () => runtime.dispose() }
}

/** A stitcher or a check that could be made for one folder and cannot be made for another. */
const unavailable = (folder: string) => (error: ConfigFileError) => {
  const { reason } = error
  const failed =
    reason._tag === "WorkspaceError"
      ? reason
      : new WorkspaceError({ path: folder, reason: "Unavailable", cause: error })
  return Layer.effectContext(Effect.fail(failed))
}
