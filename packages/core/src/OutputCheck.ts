/**
 * Whether what an attempt wrote is what the job asked for.
 *
 * The check runs inside the attempt, before its output is accepted, so that a bad output is tried again like any other
 * failure. Checks that look into the file need a tool: `@helios-infra/stitcher-ffmpeg` has one; those here do not.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { OutputRef, WorkerJob, WorkerResult } from "./WorkerAdapter.ts"
import * as WorkerAdapter from "./WorkerAdapter.ts"
import { OutputInvalid, type WorkerError, type WorkerReason } from "./WorkerError.ts"
import * as Workspace from "./Workspace.ts"

/** Checks the output of an attempt that said it was done; fails with `OutputInvalid` when it is not what was asked for. */
export class OutputCheck extends Context.Service<
  OutputCheck,
  {
    readonly check: (job: WorkerJob, result: WorkerResult) => Effect.Effect<OutputRef, WorkerError>
  }
>()("@helios-infra/core/OutputCheck") {}

/** The failure of a check, for implementations of it. */
export const failure = (job: WorkerJob, result: WorkerResult, reason: WorkerReason): WorkerError =>
  WorkerAdapter.failure("output-check", job, reason, result.workerId)

/** The place where an attempt was asked to put its output, for messages. */
export const targetOf = (job: WorkerJob): string =>
  job.meta.output._tag === "File" ? job.meta.output.path : job.meta.output.key

/**
 * Takes the worker's word for it: only an attempt that names no output at all fails.
 *
 * For adapters whose workers check before they answer.
 */
export const layerTrusting: Layer.Layer<OutputCheck> = Layer.succeed(OutputCheck, {
  check: (job, result) =>
    result.output === undefined ? Effect.fail(missing(job, result, "no output")) : Effect.succeed(result.output)
})

/**
 * Finds the output of an attempt and its size; fails where there is none, an empty one, or one of another size than the
 * worker told: who tells 0 does not know. Looks into no file.
 */
export const findOutput: (
  workspace: Workspace.Workspace["Service"],
  job: WorkerJob,
  result: WorkerResult
) => Effect.Effect<OutputRef, WorkerError> = Effect.fnUntraced(function* (workspace, job, result) {
  const { output } = result
  if (output === undefined) return yield* missing(job, result, "no output")
  const stat = yield* Effect.mapError(workspace.stat(output), (error) => missing(job, result, error.message))
  if (Option.isNone(stat)) return yield* missing(job, result, "no file")
  const { bytes } = stat.value
  if (bytes === 0) return yield* missing(job, result, "an empty file")
  if (output.bytes !== 0 && output.bytes !== bytes) {
    const expected = `the ${output.bytes} bytes that the worker told at ${targetOf(job)}`
    return yield* failure(job, result, new OutputInvalid({ expected, found: `${bytes} bytes` }))
  }
  return { ...output, bytes }
})

/** Checks that the output is there and not empty, and no more. */
export const layerPresence: Layer.Layer<OutputCheck, never, Workspace.Workspace> = Layer.effect(
  OutputCheck,
  Effect.map(Workspace.Workspace, (workspace) =>
    OutputCheck.of({ check: (job, result) => findOutput(workspace, job, result) })
  )
)

const missing = (job: WorkerJob, result: WorkerResult, found: string): WorkerError =>
  failure(job, result, new OutputInvalid({ expected: `a file at ${targetOf(job)}`, found }))
