/**
 * A check that looks into the videos of {@link FakeFiles}: all frames there, all bytes there.
 */
import { failure, OutputCheck, targetOf } from "@helios-infra/core/OutputCheck"
import type { WorkerJob } from "@helios-infra/core/WorkerAdapter"
import { OutputInvalid } from "@helios-infra/core/WorkerError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FakeFiles, isWhole } from "./FakeFiles.ts"

/** How it behaves. */
export interface Options {
  /** What is wrong with an output that looks good; `undefined` for nothing. */
  readonly finds?: ((job: WorkerJob) => string | undefined) | undefined
}

/** Makes the check. */
export const make = (options: Options = {}): Effect.Effect<OutputCheck["Service"], never, FakeFiles> =>
  Effect.map(FakeFiles, (files) =>
    OutputCheck.of({
      check: (job, result) => {
        const invalid = (found: string) =>
          Effect.fail(failure(job, result, new OutputInvalid({ expected: `a video at ${targetOf(job)}`, found })))
        const { output } = result
        if (output === undefined) return invalid("no output")
        const file = files.get(output.location)
        if (file === undefined) return invalid("no file")
        if (output.bytes !== 0 && output.bytes !== file.bytes) {
          return invalid(`${file.bytes} bytes where the worker told ${output.bytes}`)
        }
        if (file.bytes === 0 || !isWhole(file)) return invalid(`${file.bytes} bytes for ${file.frames.length} frames`)
        const known = { ...output, bytes: file.bytes, frames: file.frames.length }
        if (job.meta._tag === "Merge") return Effect.succeed(known)
        const { frameCount } = job.meta
        if (file.frames.length !== frameCount) return invalid(`${file.frames.length} frames instead of ${frameCount}`)
        const found = options.finds?.(job)
        return found === undefined ? Effect.succeed(known) : invalid(found)
      }
    })
  )

/** {@link make} as a layer. */
export const layer = (options?: Options): Layer.Layer<OutputCheck, never, FakeFiles> =>
  Layer.effect(OutputCheck, make(options))
