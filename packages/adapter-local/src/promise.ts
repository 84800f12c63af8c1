/**
 * The Promise API of this package: chunks as child processes of this machine, and jobs and artifacts in folders of it, for
 * `new JobManager({ repository: new FileJobRepository("jobs") }).runJob(id, { workerAdapter: new LocalWorkerAdapter() })`.
 */
import type {
  AdapterInfo,
  AttemptContext,
  JobFolder,
  Reaped,
  WorkerAdapter,
  WorkerJob,
  WorkerResult
} from "@helios-infra/core/promise"
import * as PromiseBacking from "@helios-infra/core/PromiseBacking"
import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import { RepositoryClass } from "@helios-infra/core/RepositoryClass"
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"
import * as Artifacts from "./FolderArtifactStorage.ts"
import * as Journals from "./FileJobRepository.ts"
import * as Local from "./LocalWorkerAdapter.ts"
import * as LocalWorkspace from "./LocalWorkspace.ts"

/** How commands run on this machine. */
export interface LocalWorkerAdapterOptions {
  /** The folder for jobs that do not name theirs. Default: the current one. */
  readonly cwd?: string | undefined
  /**
   * The environment variables that pass to commands; a trailing `*` stands for any ending. Default: what programs need to
   * run at all (`PATH`, `HOME`, `LANG` and their like), and no secret.
   */
  readonly allowedEnvironment?: ReadonlyArray<string> | undefined
  /** Variables that every command gets beside those; the job's own go first. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How long a command has between TERM and KILL, in milliseconds. Default: 5000. */
  readonly killGrace?: number | undefined
  /** How much of the end of each output an attempt keeps, in bytes. Default: 4096. */
  readonly tailBytes?: number | undefined
  /** How many attempts at once suit this machine when nobody says. Default: as many as it has processors. */
  readonly concurrency?: number | undefined
}

const rules: PromiseOptions.Rules<LocalWorkerAdapterOptions> = {
  cwd: PromiseOptions.text,
  allowedEnvironment: PromiseOptions.texts,
  env: PromiseOptions.variables,
  killGrace: PromiseOptions.millis,
  tailBytes: PromiseOptions.whole(0),
  concurrency: PromiseOptions.whole(1)
}

/** A folder's path; throws a `TypeError` where it is none. */
const folder = (who: string, dir: string): string => {
  const wrong = PromiseOptions.text(dir, "its folder")
  if (wrong !== undefined) throw new TypeError(`${who}: ${wrong}`)
  return dir
}

/** Runs attempts as child processes; when one is over, so are all its processes. */
export class LocalWorkerAdapter implements WorkerAdapter {
  readonly info: AdapterInfo
  readonly #options: LocalWorkerAdapterOptions

  /** Throws a `TypeError` where an option is wrong, or there is none of its name. */
  constructor(options: LocalWorkerAdapterOptions = {}) {
    PromiseOptions.check("LocalWorkerAdapter", options, rules)
    this.#options = options
    this.info = {
      name: "local",
      where: "local",
      stop: "always",
      concurrency: options.concurrency ?? availableParallelism()
    }
  }

  /** Runs one attempt. Rejects with a `WorkerError`, or with the signal's reason once everything has ended. */
  execute(job: WorkerJob, context: Partial<AttemptContext> = {}): Promise<WorkerResult> {
    const { report = () => {}, signal } = context
    return PromiseBacking.run(
      Effect.flatMap(Local.make(this.#options), (adapter) => adapter.execute(job, report)),
      signal
    )
  }

  /** Ends the processes that a process which died has left of a job. */
  reap(
    jobId: string,
    handles: ReadonlyArray<string>,
    context: { readonly signal?: AbortSignal } = {}
  ): Promise<Reaped> {
    return PromiseBacking.run(
      Effect.flatMap(Local.make(this.#options), (adapter) => adapter.reap(jobId, handles)),
      context.signal
    )
  }

  /** The job's files: in `jobDir`, else in the folder of the options, else in the current one. */
  files(jobDir?: string): JobFolder {
    const dir = jobDir ?? this.#options.cwd ?? "."
    return PromiseBacking.jobFolder(dir, LocalWorkspace.layer({ dir }))
  }
}

/**
 * Keeps jobs in a folder, one journal per job. A `JobManager` writes those journals event by event; several processes can
 * share the folder, and no two of them run the same job.
 */
export class FileJobRepository extends RepositoryClass {
  /** The folder is made with the first job, when it is not there. */
  constructor(dir: string) {
    super(Journals.layer({ dir: folder("FileJobRepository", dir) }))
  }
}

/** Keeps artifacts in a folder, for workers that see the same disk. It gives no URLs. */
export class FolderArtifactStorage extends PromiseBacking.StorageClass {
  /** The folder is made with the first artifact, when it is not there. */
  constructor(dir: string) {
    super(Artifacts.layer({ dir: folder("FolderArtifactStorage", dir) }))
  }
}
