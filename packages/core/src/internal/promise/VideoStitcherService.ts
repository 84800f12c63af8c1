/** A user's stitcher as the service that core joins chunks with. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { VideoStitcher } from "../../promise/VideoStitcher.ts"
import * as PromiseBacking from "../../PromiseBacking.ts"
import * as Core from "../../VideoStitcher.ts"
import { OutputRef, type WorkerResult } from "../../WorkerAdapter.ts"
import type { Workspace } from "../../Workspace.ts"
import * as Defect from "../Defect.ts"
import * as UserPromise from "./UserPromise.ts"

/** The service: the one behind the stitcher where a package backs it with one, else {@link calling}. */
export const make = (stitcher: VideoStitcher): Effect.Effect<Core.VideoStitcher["Service"], never, Workspace> =>
  Option.match(PromiseBacking.stitcherOf(stitcher), {
    onNone: () => calling(stitcher),
    onSome: (layer) => Effect.provide(Core.VideoStitcher, layer)
  })

/** Calls the stitcher once, when every chunk is there as a local file. */
const calling = (stitcher: VideoStitcher): Effect.Effect<Core.VideoStitcher["Service"], never, Workspace> =>
  Effect.contextWith((context) => {
    const stitch = (request: Core.StitchRequest): Effect.Effect<Core.StitchResult, Core.StitchError> =>
      Core.fromPaths((inputs, output) => join(stitcher, request, inputs, output)).pipe(
        Effect.flatMap((service) => service.stitch(request)),
        Effect.provide(context)
      )
    return Effect.succeed(Core.VideoStitcher.of({ stitch }))
  })

const join = Effect.fnUntraced(function* (
  stitcher: VideoStitcher,
  request: Core.StitchRequest,
  inputs: ReadonlyArray<string>,
  output: string
): Effect.fn.Return<WorkerResult, Core.StitchError> {
  const outputs = yield* Stream.runCollect(request.inputs)
  const chunks = outputs.map(({ attempt, chunkId, frameCount }) => ({ attempt, chunkId, frameCount }))
  const answer: unknown = yield* UserPromise.call((signal) =>
    stitcher.stitch([...inputs], output, { signal, frames: request.frames, fps: request.fps, chunks })
  ).pipe(Effect.mapError(errorOf))
  const exitCode = Predicate.hasProperty(answer, "exitCode") ? answer.exitCode : undefined
  if (!Number.isSafeInteger(exitCode) || !Predicate.isNumber(exitCode)) {
    const fix = `the stitcher gave ${Defect.describe(answer)} in place of { exitCode, stdout, stderr, durationMs }`
    return yield* new Core.StitchError({ reason: new Core.CannotJoin({ fix }) })
  }
  const stderr = Predicate.hasProperty(answer, "stderr") && Predicate.isString(answer.stderr) ? answer.stderr : ""
  const duration = Predicate.hasProperty(answer, "durationMs") ? answer.durationMs : undefined
  const written = decodeOutput(Predicate.hasProperty(answer, "output") ? answer.output : undefined)
  return {
    exitCode,
    stdout: "",
    stderr: stderr.slice(-4096),
    durationMs: Predicate.isNumber(duration) && Number.isFinite(duration) ? duration : 0,
    ...(Option.isNone(written) ? undefined : { output: written.value })
  }
})

const decodeOutput = Schema.decodeUnknownOption(OutputRef)

const isReason = Schema.is(Core.StitchReason)

/** Our own errors stay what they are; any other value becomes one that says it. */
const errorOf = (thrown: UserPromise.Thrown): Core.StitchError => {
  const { value } = thrown
  if (value instanceof Core.StitchError) return value
  if (isReason(value)) return new Core.StitchError({ reason: value })
  const reason = new Core.CannotJoin({ fix: `the stitcher threw: ${thrown.message}` })
  return new Core.StitchError({ reason: UserPromise.causedBy(reason, thrown) })
}
