/**
 * A whole machine in memory for core's tests: files that are numbers of bytes, and workers that do as they are told, on
 * the test clock. Strict: a place that was never given out, or a file that is not there, is an error.
 */
import {
  type ArtifactStorage,
  JobManager,
  JobRepository,
  OutputCheck,
  VideoStitcher,
  WorkerAdapter,
  WorkerError,
  Workspace
} from "@helios-infra/core"
import { Effect, Layer, Option, Stream } from "effect"

interface Attempt {
  readonly chunkId: number
  readonly attempt: number
  readonly job: WorkerAdapter.WorkerJob
  readonly signal: (signal: WorkerAdapter.WorkerSignal) => void
  /** Fails the attempt. */
  readonly fail: (reason: WorkerError.WorkerReason) => Effect.Effect<never, WorkerError.WorkerError>
}

type Output = Partial<Omit<WorkerAdapter.OutputRef, "location">> | "missing"

/** What a worker does for an attempt: takes its time, fails, or writes an output. */
export type Script = (attempt: Attempt) => Effect.Effect<Output | void, WorkerError.WorkerError>

export interface Machine {
  readonly files: Map<string, number>
  /** Every attempt in the order of its start, and how it ended. */
  readonly attempts: Array<{ chunkId: number; attempt: number; at: number; ended?: "done" | "failed" | "interrupted" }>
  readonly running: () => number
  readonly mostRunning: () => number
  readonly stitched: Array<ReadonlyArray<number>>
  readonly workspace: Workspace.Workspace["Service"]
  readonly adapter: WorkerAdapter.WorkerAdapter["Service"]
  readonly stitcher: VideoStitcher.VideoStitcher["Service"]
}

export const reasonOf = {
  failed: new WorkerError.RenderFailed({ exitCode: 1, stderrTail: "no" }),
  lost: new WorkerError.WorkerLost({ detail: "gone" }),
  refused: new WorkerError.Refused({ why: "InvalidJob", fix: "write a better one" }),
  throttled: (retryAfterMs?: number) => new WorkerError.Throttled(retryAfterMs === undefined ? {} : { retryAfterMs })
}

export const machine = (
  script: Script = () => Effect.void,
  info: Partial<WorkerAdapter.WorkerAdapterInfo> = {}
): Machine => {
  const files = new Map<string, number>()
  const attempts: Machine["attempts"] = []
  const stitched: Machine["stitched"] = []
  const places = new Set<string>()
  let running = 0
  let mostRunning = 0

  const workspace = Workspace.Workspace.of({
    root: "/job",
    place: ({ attempt, chunkId, jobId, outputFile, run }) =>
      Effect.sync(() => {
        const place = `/job/.helios/${jobId}/${chunkId}-${run}.${attempt}-${outputFile}`
        if (places.has(place)) throw new Error(`${place} was given out twice`)
        places.add(place)
        return place
      }),
    locate: (output) => Effect.succeed(output.location),
    stat: (output) =>
      Effect.sync(() => Option.map(Option.fromNullishOr(files.get(output.location)), (bytes) => ({ bytes }))),
    publish: (output, outputFile) => copy(output.location, `/job/${outputFile}`),
    stage: (_jobId, outputFile) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const finalPath = outputFile.startsWith("/") ? outputFile : `/job/${outputFile}`
          const path = `${finalPath}.staged`
          return {
            path,
            finalPath,
            publish: Effect.andThen(
              copy(path, finalPath),
              Effect.sync(() => ({ bytes: files.get(finalPath) ?? 0 }))
            )
          }
        }),
        (staged) => Effect.sync(() => files.delete(staged.path))
      ),
    remove: (jobId, keep) =>
      Effect.sync(() => {
        for (const path of files.keys()) {
          if (path.startsWith(`/job/.helios/${jobId}/`) && !keep.includes(path)) files.delete(path)
        }
      })
  })

  const copy = (from: string, to: string) =>
    Effect.suspend(() => {
      const bytes = files.get(from)
      if (bytes === undefined) {
        return Effect.fail(new Workspace.WorkspaceError({ path: from, reason: "NotFound", cause: undefined }))
      }
      files.set(to, bytes)
      return Effect.void
    })

  const execute = Effect.fnUntraced(function* (job: WorkerAdapter.WorkerJob, signal: Attempt["signal"]) {
    const chunkId = WorkerAdapter.chunkId(job) ?? -1
    const { attempt, output } = job.meta
    const location = output._tag === "File" ? output.path : output.key
    const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    const record: Machine["attempts"][number] = { chunkId, attempt, at: now }
    const fail: Attempt["fail"] = (reason) =>
      Effect.fail(new WorkerError.WorkerError({ adapter: "fake", jobId: job.meta.jobId, chunkId, attempt, reason }))
    // Not to be stopped in between: what is counted as begun is counted as ended.
    const begin = Effect.sync(() => {
      attempts.push(record)
      running++
      mostRunning = Math.max(mostRunning, running)
    })
    const written = yield* Effect.acquireUseRelease(
      begin,
      () => Effect.suspend(() => script({ chunkId, attempt, job, signal, fail })),
      (_, exit) =>
        Effect.sync(() => {
          running--
          record.ended =
            exit._tag === "Success"
              ? "done"
              : exit.cause.reasons.some((r) => r._tag === "Interrupt")
                ? "interrupted"
                : "failed"
        })
    )
    const result = { exitCode: 0, stdout: "", stderr: "", durationMs: 0 }
    if (written === "missing") return result
    const output_ = { bytes: 100, ...written, location }
    files.set(location, output_.bytes)
    return { ...result, output: output_ }
  })

  return {
    files,
    attempts,
    running: () => running,
    mostRunning: () => mostRunning,
    stitched,
    workspace,
    adapter: WorkerAdapter.make({
      info: { name: "fake", where: "local", stop: "always", concurrency: 2, ...info },
      execute
    }),
    stitcher: VideoStitcher.VideoStitcher.of({
      stitch: Effect.fnUntraced(function* (request) {
        const inputs = yield* Stream.runCollect(request.inputs)
        const bytes = inputs.reduce((sum, input) => sum + input.bytes, 0)
        stitched.push(inputs.map((input) => input.chunkId))
        files.set(request.output, bytes)
        return { outputFile: request.output, bytes, frames: request.frames, durationMs: 0 }
      })
    })
  }
}

/** The services that attempts need, on a machine; outputs are checked for presence unless `check` does something else. */
export const layerWorker = (
  machine: Machine,
  check?: OutputCheck.OutputCheck["Service"]["check"]
): Layer.Layer<WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace> => {
  const workspace = Layer.succeed(Workspace.Workspace, machine.workspace)
  return Layer.mergeAll(
    Layer.succeed(WorkerAdapter.WorkerAdapter, machine.adapter),
    check === undefined
      ? OutputCheck.layerPresence.pipe(Layer.provide(workspace))
      : Layer.succeed(OutputCheck.OutputCheck, { check }),
    workspace
  )
}

/** A manager on a machine, with a repository in memory; without a stitcher unless `stitch` says so. */
export const layerManager = (
  machine: Machine,
  options: {
    readonly stitch?: boolean
    readonly storage?: Layer.Layer<ArtifactStorage.ArtifactStorage>
  } = {}
): Layer.Layer<JobManager.JobManager | JobRepository.JobRepository> => {
  const stitcher = options.stitch ? Layer.succeed(VideoStitcher.VideoStitcher, machine.stitcher) : Layer.empty
  return JobManager.layer.pipe(
    Layer.provideMerge(JobRepository.layerMemory),
    Layer.provide([layerWorker(machine), stitcher, options.storage ?? Layer.empty])
  )
}

/** A job file of `chunks` chunks with `frames` frames each. */
export const job = (chunks: number, frames = 10, extra: Record<string, unknown> = {}) => ({
  metadata: { totalFrames: chunks * frames, fps: 30, width: 64, height: 64 },
  chunks: Array.from({ length: chunks }, (_, id) => ({
    id,
    startFrame: id * frames,
    frameCount: frames,
    outputFile: `part_${id}.mov`,
    command: `render --from ${id * frames} -o part_${id}.mov`
  })),
  ...extra
})
