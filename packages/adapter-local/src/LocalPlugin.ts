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
  cwd: Schema.optionalKey(Plugin.FilePath).annotateKey({
    description: "The folder for jobs that do not name theirs. Default: the current one."
  }),
  allowedEnvironment: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)).annotateKey({
    description:
      "The environment variables that pass to commands; a trailing * stands for any ending. Default: what programs need to run at all, and no secret."
  }),
  env: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)).annotateKey({
    description: "Variables that every command gets beside those; the job's own go first."
  }),
  killGrace: Schema.optionalKey(Plugin.Duration).annotateKey({
    description: "How long a command has between TERM and KILL. Default: 5 seconds."
  }),
  tailBytes: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))).annotateKey({
    description: "How much of the end of each output an attempt keeps, in bytes. Default: 4096."
  }),
  concurrency: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))).annotateKey({
    description: "How many attempts at once suit this machine when nobody says. Default: as many as it has processors."
  })
})

/** Chunks as child processes of this machine. */
export const worker: Plugin.Plugin<"worker", typeof WorkerConfig, never, never, "local"> = Plugin.definePlugin({
  kind: "worker",
  type: "local",
  apiVersion: 1,
  config: WorkerConfig,
  layer: LocalWorkerAdapter.layer
})

/** The options of {@link repository}: `FileJobRepository.Options`. */
export const RepositoryConfig = Schema.Struct({
  dir: Plugin.FilePath.annotateKey({
    description: "The folder that holds one folder for each job; made with the first."
  })
})

/** Jobs in a folder of this machine. */
export const repository: Plugin.Plugin<"repository", typeof RepositoryConfig, never, never, "file"> =
  Plugin.definePlugin({
    kind: "repository",
    type: "file",
    apiVersion: 1,
    config: RepositoryConfig,
    layer: FileJobRepository.layer
  })

/** The options of {@link storage}: `FolderArtifactStorage.Options`. */
export const StorageConfig = Schema.Struct({
  dir: Plugin.FilePath.annotateKey({ description: "The folder; made with the first artifact." })
})

/** Artifacts in a folder, for workers that see the same disk. */
export const storage: Plugin.Plugin<"storage", typeof StorageConfig, never, never, "folder"> = Plugin.definePlugin({
  kind: "storage",
  type: "folder",
  apiVersion: 1,
  config: StorageConfig,
  layer: FolderArtifactStorage.layer
})
