/** What a user without Effect would write: a job, an adapter, a stitcher and a repository, with promises alone. */
import type {
  AttemptContext,
  JobRepository,
  JobSpec,
  JobState,
  VideoStitcher,
  WorkerAdapter,
  WorkerJob,
  WorkerResult
} from "@helios-infra/core/promise"

/** A job of `count` chunks of 10 frames each. */
export const job = (count: number, more: Partial<JobSpec> = {}): JobSpec => ({
  metadata: { totalFrames: count * 10, fps: 30 },
  chunks: Array.from({ length: count }, (_, id) => ({
    id,
    startFrame: id * 10,
    frameCount: 10,
    outputFile: `part_${id}.mov`,
    command: `render part_${id}.mov`
  })),
  ...more
})

export const ok: WorkerResult = { exitCode: 0, stdout: "", stderr: "", durationMs: 1 }

export const chunkOf = ({ meta }: WorkerJob): number | undefined => (meta._tag === "Chunk" ? meta.chunkId : undefined)

type Work = (job: WorkerJob, context: AttemptContext) => Promise<WorkerResult>

/** Does what it is told for each attempt, and remembers what it was asked. */
export class Adapter implements WorkerAdapter {
  readonly jobs: Array<WorkerJob> = []
  running = 0
  most = 0
  readonly #work: Work
  constructor(work: Work = async () => ok) {
    this.#work = work
  }
  async execute(job: WorkerJob, context: AttemptContext): Promise<WorkerResult> {
    this.jobs.push(job)
    this.most = Math.max(this.most, ++this.running)
    try {
      return await this.#work(job, context)
    } finally {
      this.running--
    }
  }
}

export class Stitcher implements VideoStitcher {
  readonly calls: Array<{ readonly inputs: Array<string>; readonly output: string }> = []
  async stitch(inputs: Array<string>, output: string): Promise<WorkerResult> {
    this.calls.push({ inputs, output })
    return ok
  }
}

/** A store of whole jobs as JSON, like a table with two columns. */
export class Store implements JobRepository {
  readonly rows = new Map<string, string>()
  saves = 0
  async save(job: JobState): Promise<void> {
    this.saves++
    this.rows.set(job.id, JSON.stringify(job))
  }
  async get(jobId: string): Promise<JobState | null> {
    const row = this.rows.get(jobId)
    return row === undefined ? null : untyped(JSON.parse(row))
  }
  async list(): Promise<Array<JobState>> {
    return Array.from(this.rows.values(), (row) => untyped(JSON.parse(row)))
  }
  async delete(jobId: string): Promise<void> {
    this.rows.delete(jobId)
  }
}

/** Settles when the signal is aborted, as a well-behaved worker does. */
export const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const abort = () => reject(new Error("aborted"))
    if (signal.aborted) abort()
    else signal.addEventListener("abort", abort)
  })

/** A promise and what resolves it. */
export const gate = () => {
  let resolve = (): void => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve: () => resolve() }
}

/** What a promise is rejected with. */
export const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => {
      throw new Error(`it resolved with ${JSON.stringify(value)}`)
    },
    (error: unknown) => error
  )

/** What plain JavaScript passes without anybody checking it. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion, typescript/no-unnecessary-type-parameters -- it has no types
export const untyped = <T>(value: unknown): T => value as T

/** A promise that is rejected with anything. */
// oxlint-disable-next-line typescript/prefer-promise-reject-errors -- which need not be an error
export const rejected = (reason: unknown): Promise<never> => Promise.reject(reason)

/** What an error says. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : `no error: ${String(error)}`
