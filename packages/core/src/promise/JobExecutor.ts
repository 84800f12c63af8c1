/** Runs one job, from a job file to the final file, and keeps nothing of it. */
import * as Engine from "../internal/promise/Engine.ts"
import type { JobSpec } from "../JobSpec.ts"
import type { JobExecutionOptions } from "../internal/promise/Options.ts"
import type { WorkerResult } from "./WorkerAdapter.ts"

export type { ArtifactsOptions, ChunkProgress, JobExecutionOptions } from "../internal/promise/Options.ts"
export type { Chunk, JobSpec, Metadata } from "../JobSpec.ts"

/** Runs one job. */
export class JobExecutor {
  readonly #jobSpec: JobSpec
  readonly #options: JobExecutionOptions

  /** Takes the content of a job file; nothing is checked or started yet. */
  constructor(jobSpec: JobSpec, options: JobExecutionOptions = {}) {
    this.#jobSpec = jobSpec
    this.#options = options
  }

  /**
   * Runs the job, again from its beginning each time. Resolves with exit code 0 and, where there is one, the final file;
   * whatever goes wrong rejects.
   */
  async execute(): Promise<WorkerResult> {
    Engine.admit(this.#options)
    const engine = Engine.make({ telemetry: this.#options.telemetry })
    const exit = await engine.exit(Engine.execute(this.#jobSpec, this.#options), {
      name: "JobExecutor.execute",
      trace: this.#options
    })
    return Engine.valueOf(exit, this.#options.signal)
  }
}
