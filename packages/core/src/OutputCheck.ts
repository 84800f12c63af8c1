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
import { chunkId } from "./WorkerAdapter.ts"
import { OutputInvalid, WorkerError } from "./WorkerError.ts"
import * as Workspace from "./Workspace.ts"

/** Checks the output of an attempt that said it was done; fails with `OutputInvalid` when it is not what was asked for. */
export class OutputCheck extends Context.Service<
  OutputCheck,
  {
    readonly check: (job: WorkerJob, result: WorkerResult) => Effect.Effect<OutputRef, WorkerError>
  }
>()("@helios-infra/core/OutputCheck") {}

/** The `OutputInvalid` failure of an attempt, for implementations of the check. */
export const invalid = (
  job: WorkerJob,
  result: WorkerResult,
  detail: { readonly expected: string; readonly found: string }
): WorkerError => {
  const id = chunkId(job)
  return new WorkerError({
    adapter: "output-check",
    jobId: job.meta.jobId,
    ...(id === undefined ? {} : { chunkId: id }),
    attempt: job.meta.attempt,
    ...(result.workerId === undefined ? {} : { workerId: result.workerId }),
    reason: new OutputInvalid(detail)
  })
}

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
    result.output === undefined
      ? Effect.fail(invalid(job, result, { expected: `a file at ${targetOf(job)}`, found: "no output" }))
      : Effect.succeed(result.output)
})

/** Checks that the output is there and not empty; looks into no file. */
export const layerPresence: Layer.Layer<OutputCheck, never, Workspace.Workspace> = Layer.effect(
  OutputCheck,
  Effect.gen(function* () {
    const workspace = yield* Workspace.Workspace
    const check = Effect.fnUntraced(function* (job: WorkerJob, result: WorkerResult) {
      const expected = `a file at ${targetOf(job)}`
      if (result.output === undefined) return yield* invalid(job, result, { expected, found: "no output" })
      const stat = yield* workspace
        .stat(result.output)
        .pipe(Effect.mapError((error) => invalid(job, result, { expected, found: error.message })))
      if (Option.isNone(stat)) return yield* invalid(job, result, { expected, found: "no file" })
      if (stat.value.bytes === 0) return yield* invalid(job, result, { expected, found: "an empty file" })
      return { ...result.output, bytes: stat.value.bytes }
    })
    return OutputCheck.of({ check })
  })
)
