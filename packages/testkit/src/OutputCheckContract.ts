/**
 * What every `OutputCheck` promises: what is accepted is there and is what was asked for, and what is not says so in an
 * error that the scheduler can act on.
 */
import * as FromPromises from "@helios-infra/core/FromPromises"
import type { OutputCheck as PlainCheck } from "@helios-infra/core/promise"
import { OutputCheck } from "@helios-infra/core/OutputCheck"
import type { WorkerJob, WorkerResult } from "@helios-infra/core/WorkerAdapter"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Contract from "./Contract.ts"
import { failureOf, holds, type Mismatch, same } from "./internal/check.ts"
import * as plain from "./internal/plain.ts"
import { type Damage, fromPlain, type PlainVideoRig, VideoRig } from "./VideoRig.ts"

/** A check of the Promise API for one case, with its rig. Core has seen that a file is there before it asks. */
export interface Plain extends plain.Closing {
  readonly check: PlainCheck
  readonly rig: PlainVideoRig
}

/**
 * The check to hold to its promises: a layer that brings its rig along, or a function that makes a check of the Promise
 * API and its rig. Either is used anew for every case.
 */
export type Implementation<E> = Layer.Layer<OutputCheck | VideoRig, E> | (() => plain.Promised<Plain>)

const layerOf = (make: () => plain.Promised<Plain>): Layer.Layer<OutputCheck | VideoRig, Mismatch> =>
  Layer.unwrap(
    Effect.map(plain.acquire(make), ({ check, rig }) => {
      const service = fromPlain(rig)
      return FromPromises.outputCheck(check).pipe(
        Layer.provide(plain.workspace(service.size)),
        Layer.merge(Layer.succeed(VideoRig, service))
      )
    })
  )

/** What the implementation does not promise. */
export interface Options extends Contract.Timing {
  /** Damages that it finds. Default: all but `odd`, which nobody can tell from one chunk alone. */
  readonly finds?: ReadonlyArray<Damage> | undefined
}

const frameCount = 6

const bench = Effect.gen(function* () {
  const { check } = yield* OutputCheck
  const rig = yield* VideoRig
  const location = yield* rig.chunk("part", 0, frameCount)
  const job = (frames = frameCount): WorkerJob => ({
    id: "job-a/7/1.2",
    command: "render",
    meta: {
      _tag: "Chunk",
      jobId: "job-a",
      run: 1,
      attempt: 2,
      output: { _tag: "File", path: location },
      chunkId: 7,
      startFrame: 0,
      frameCount: frames,
      format: {}
    }
  })
  const ended: WorkerResult = { exitCode: 0, stdout: "", stderr: "", durationMs: 1, workerId: "w1" }
  // A worker that does not know how large its file is; one that tells a size is another promise.
  const wrote: WorkerResult = { ...ended, output: { location, bytes: 0 } }
  return { check, ended, job, location, rig, wrote }
})

type Bench = Effect.Success<typeof bench>

/** The contract of a check. */
export const make = <E>(implementation: Implementation<E>, options: Options = {}): Contract.Contract => {
  const layer: Layer.Layer<OutputCheck | VideoRig, E | Mismatch> =
    typeof implementation === "function" ? layerOf(implementation) : implementation
  const finds: ReadonlyArray<Damage> = options.finds ?? ["missing", "empty", "truncated", "short"]

  const promise = <A, E2 extends Error>(
    body: (on: Bench) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2, OutputCheck | VideoRig | Scope.Scope> => Effect.asVoid(Effect.flatMap(bench, body))

  const refuses = Effect.fnUntraced(function* ({ check }: Bench, what: string, job: WorkerJob, result: WorkerResult) {
    const error = yield* failureOf(what, check(job, result))
    yield* same("the reason, which decides that it is tried again", error.reason._tag, "OutputInvalid")
    yield* same("the job, chunk and attempt", [error.jobId, error.chunkId, error.attempt], ["job-a", 7, 2])
    yield* same("the worker", error.workerId, "w1")
    if (error.reason._tag !== "OutputInvalid") return
    const { expected, found } = error.reason
    yield* holds("it should say what was expected, and what was found", expected !== "" && found !== "", error.reason)
  })

  const damaged = (how: Damage) =>
    finds.includes(how)
      ? promise((on) =>
          Effect.gen(function* () {
            if (!(yield* on.rig.damage(on.location, how, frameCount))) return
            yield* refuses(on, `an output that is ${how}`, on.job(), on.wrote)
          })
        )
      : undefined

  return Contract.make({
    of: "OutputCheck",
    layer,
    promises: {
      "a good output is accepted, with its real size, and left as it is": promise((on) =>
        Effect.gen(function* () {
          const frames = yield* on.rig.frames(on.location)
          const accepted = yield* on.check(on.job(), on.wrote)
          yield* same("its location", accepted.location, on.location)
          yield* same("its size", Option.some(accepted.bytes), yield* on.rig.size(on.location))
          if (accepted.frames !== undefined) yield* same("its frames", accepted.frames, frameCount)
          yield* same("the frames of the file", yield* on.rig.frames(on.location), frames)
          yield* same("a second look", yield* on.check(on.job(), on.wrote), accepted)
        })
      ),
      "an output of another size than the worker told is not accepted": promise((on) =>
        Effect.gen(function* () {
          const bytes = Option.getOrElse(yield* on.rig.size(on.location), () => 0)
          const told = (bytes: number): WorkerResult => ({ ...on.ended, output: { location: on.location, bytes } })
          yield* on.check(on.job(), told(bytes))
          for (const wrong of [bytes - 1, bytes + 1]) yield* refuses(on, `${wrong} bytes`, on.job(), told(wrong))
        })
      ),
      "an attempt without an output is not accepted": promise((on) => refuses(on, "no output", on.job(), on.ended)),
      "a missing output is not accepted": damaged("missing"),
      "an empty output is not accepted": damaged("empty"),
      "a truncated output is not accepted": damaged("truncated"),
      "an output that lacks a frame is not accepted": damaged("short"),
      "an output with a frame too many is not accepted": finds.includes("short")
        ? promise((on) => refuses(on, "a frame too many", on.job(frameCount - 1), on.wrote))
        : undefined
    }
  })
}
