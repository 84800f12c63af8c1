/**
 * What this package offers to configurations: `{ "type": "local", "concurrency": 4 }` renders chunks,
 * `{ "type": "file", "dir": "jobs" }` keeps jobs, `{ "type": "folder", "dir": "artifacts" }` their artifacts.
 *
 * The options are those of the modules they are passed to, as JSON can write them.
 */
import * as Plugin from "@helios-infra/core/Plugin"
import * as Schema from "effect/Schema"
import * as FileJobRepository from "./FileJobRepository.ts"
import * as FolderArtifactStorage from "./FolderArtifactStorage.ts"
import * as LocalWorkerAdapter from "./LocalWorkerAdapter.ts"

/** The options of {@link worker}: `LocalWorkerAdapter.Options`, `killGrace` as `"5 seconds"` or in milliseconds. */
export const WorkerConfig = Schema.Struct({
  cwd: Schema.optionalKey(Schema.NonEmptyString),
  allowedEnvironment: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
  env: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  killGrace: Schema.optionalKey(Plugin.Duration),
  tailBytes: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)))
})

/** Chunks as child processes of this machine. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig> = Plugin.definePlugin({
  kind: "worker",
  type: "local",
  apiVersion: 1,
  config: WorkerConfig,
  layer: LocalWorkerAdapter.layer
})

/** The options of {@link repository}: `FileJobRepository.Options`. */
export const RepositoryConfig = Schema.Struct({ dir: Schema.NonEmptyString })

/** Jobs in a folder of this machine. */
export const repository: Plugin.Plugin<"repository", typeof RepositoryConfig> = Plugin.definePlugin({
  kind: "repository",
  type: "file",
  apiVersion: 1,
  config: RepositoryConfig,
  layer: FileJobRepository.layer
})

/** The options of {@link storage}: `FolderArtifactStorage.Options`. */
export const StorageConfig = Schema.Struct({ dir: Schema.NonEmptyString })

/** Artifacts in a folder, for workers that see the same disk. */
export const storage: Plugin.Plugin<"storage", typeof StorageConfig> = Plugin.definePlugin({
  kind: "storage",
  type: "folder",
  apiVersion: 1,
  config: StorageConfig,
  layer: FolderArtifactStorage.layer
})
