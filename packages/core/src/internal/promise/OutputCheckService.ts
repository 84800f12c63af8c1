/** A user's check of outputs as the service that core has them checked with. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Core from "../../OutputCheck.ts"
import type { OutputCheck } from "../../promise/OutputCheck.ts"
import * as Worker from "../../WorkerAdapter.ts"
import { OutputInvalid, WorkerError, WorkerReason } from "../../WorkerError.ts"
import type { Workspace } from "../../Workspace.ts"
import * as UserPromise from "./UserPromise.ts"

/** The service: shows the check a local file, after `before` was content. */
export const make = (
  check: OutputCheck,
  workspace: Workspace["Service"],
  before: Core.OutputCheck["Service"]
): Core.OutputCheck["Service"] =>
  Core.OutputCheck.of({
    check: Effect.fnUntraced(function* (job, result) {
      const output = yield* before.check(job, result)
      const location = yield* Effect.mapError(workspace.locate(output), (error) =>
        Core.failure(job, result, invalid(job, error.message))
      )
      const shown = { ...result, outputFile: location, output: { ...output, location } }
      const learnt: unknown = yield* UserPromise.call((signal) => check.check(job, shown, { signal })).pipe(
        Effect.mapError((thrown) => errorOf(job, result, thrown))
      )
      return Option.match(decodeOutput(learnt), {
        onNone: () => output,
        // Where it is stays as the worker said: the local path may be a copy.
        onSome: (found) => ({ ...output, ...found, location: output.location })
      })
    })
  })

const decodeOutput = Schema.decodeUnknownOption(Worker.OutputRef)
const isReason = Schema.is(WorkerReason)

const invalid = (job: Worker.WorkerJob, found: string): OutputInvalid =>
  new OutputInvalid({ expected: `an output at ${Core.targetOf(job)} that passes its check`, found })

const errorOf = (job: Worker.WorkerJob, result: Worker.WorkerResult, thrown: UserPromise.Thrown): WorkerError => {
  const { value } = thrown
  if (value instanceof WorkerError) return Core.failure(job, result, value.reason)
  if (isReason(value)) return Core.failure(job, result, value)
  return Core.failure(job, result, UserPromise.causedBy(invalid(job, thrown.message), thrown))
}
