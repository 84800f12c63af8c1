/** A job whose chunks cost nothing, and the services that they need: what is left is what orchestrating them costs. */
import { type JobSpec, OutputCheck, WorkerAdapter, Workspace } from "@helios-infra/core"
import { Effect, Layer } from "effect"

export const spec = (chunks: number): JobSpec.JobSpec => ({
  metadata: { totalFrames: chunks, fps: 30 },
  chunks: Array.from({ length: chunks }, (_, id) => ({
    id,
    startFrame: id,
    frameCount: 1,
    outputFile: `part_${id}.mov`,
    command: "render {output}"
  }))
})

export const workspace = Workspace.Workspace.of({
  root: "/job",
  place: ({ attempt, chunkId, run }) => Effect.succeed(`/job/${run}.${chunkId}.${attempt}`),
  locate: (output) => Effect.succeed(output.location),
  stat: () => Effect.succeedSome({ bytes: 1 }),
  publish: () => Effect.void,
  stage: () => Effect.die("nothing is stitched here"),
  remove: () => Effect.void
})

/** What a worker says that had nothing to do. */
export const result = (location: string): WorkerAdapter.WorkerResult => ({
  exitCode: 0,
  stdout: "",
  stderr: "",
  durationMs: 0,
  output: { location, bytes: 1 }
})

/** Workers that print `log`, where there is one, and are done. */
export const layer = (
  log?: string
): Layer.Layer<WorkerAdapter.WorkerAdapter | OutputCheck.OutputCheck | Workspace.Workspace> =>
  Layer.mergeAll(
    WorkerAdapter.layer({
      info: { name: "no-op", where: "local", stop: "always" },
      execute: (job, signal) =>
        Effect.sync(() => {
          if (log !== undefined) signal({ _tag: "Line", stream: "stdout", text: log })
          return result(job.meta.output._tag === "File" ? job.meta.output.path : "")
        })
    }),
    OutputCheck.layerTrusting,
    Layer.succeed(Workspace.Workspace, workspace)
  )
