/**
 * What every `VideoStitcher` promises, whatever it joins chunks with.
 *
 * Looks at frames, files and errors. What only one kind of stitcher can get wrong (sound, containers, timestamps) is for
 * its own tests.
 */
import * as FromPromises from "@helios-infra/core/FromPromises"
import type { VideoStitcher as PlainStitcher } from "@helios-infra/core/promise"
import { type ChunkOutput, type StitchError, type StitchRequest, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Contract from "./Contract.ts"
import { background, eventually, failureOf, holds, type Mismatch, same, within } from "./internal/check.ts"
import * as plain from "./internal/plain.ts"
import { type Damage, fromPlain, type PlainVideoRig, VideoRig } from "./VideoRig.ts"

/** A stitcher of the Promise API for one case, with its rig. */
export interface Plain extends plain.Closing {
  readonly stitcher: PlainStitcher
  readonly rig: PlainVideoRig
}

/**
 * The stitcher to hold to its promises: a layer that brings its rig along, or a function that makes a stitcher of the
 * Promise API and its rig. Either is used anew for every case.
 */
export type Implementation<E> = Layer.Layer<VideoStitcher | VideoRig, E> | (() => plain.Promised<Plain>)

const layerOf = (make: () => plain.Promised<Plain>): Layer.Layer<VideoStitcher | VideoRig, Mismatch> =>
  Layer.unwrap(
    Effect.map(plain.acquire(make), ({ rig, stitcher }) => {
      const service = fromPlain(rig)
      return FromPromises.videoStitcher(stitcher).pipe(
        Layer.provide(plain.workspace(service.size)),
        Layer.merge(Layer.succeed(VideoRig, service))
      )
    })
  )

/** What the implementation does not promise. */
export interface Options extends Contract.Timing {
  /**
   * Whether the file appears whole or not at all, without core, which has every file made beside its final name.
   * Default: true.
   */
  readonly atomic?: boolean | undefined
  /** Whether it says how large the file is. Default: true. */
  readonly sizes?: boolean | undefined
  /** Damages that it finds itself; an `OutputCheck` must find the others. Default: all. */
  readonly finds?: ReadonlyArray<Damage> | undefined
}

/** File names that come apart in lists, patterns, options and shells that were not made for them. */
const nastyNames = [
  "it's",
  `"q"`,
  "new\nline",
  "-dash",
  " a  b ",
  "ünï 日本 🎬",
  "100%d",
  "file:x",
  "#1?a=b&c",
  "a|b,[d];e",
  "$(x)"
]

const lengths = [3, 1, 5, 2]

/** One stitcher with its rig. */
const bench = Effect.gen(function* () {
  const stitcher = yield* VideoStitcher
  const rig = yield* VideoRig

  /** Chunks one after the other; their ids are not their positions. */
  const chunksOf = Effect.fnUntraced(function* (frameCounts: ReadonlyArray<number>, name: (index: number) => string) {
    const chunks: Array<ChunkOutput> = []
    let startFrame = 0
    for (const [index, frameCount] of frameCounts.entries()) {
      const location = yield* rig.chunk(name(index), startFrame, frameCount)
      const bytes = Option.getOrElse(yield* rig.size(location), () => 0)
      chunks.push({ index, chunkId: 100 - index, attempt: 1, frameCount, location, bytes })
      startFrame += frameCount
    }
    return chunks
  })

  const framesOf = (chunks: ReadonlyArray<ChunkOutput>) =>
    Effect.map(
      Effect.forEach(chunks, ({ location }) => rig.frames(location)),
      (frames) => frames.flat()
    )

  const request = (chunks: ReadonlyArray<ChunkOutput>, output: string): StitchRequest => ({
    inputs: Stream.fromIterable(chunks),
    total: chunks.length,
    frames: chunks.reduce((sum, { frameCount }) => sum + frameCount, 0),
    frameCounts: chunks.map(({ frameCount }) => frameCount),
    fps: "30",
    output
  })

  return {
    chunks: chunksOf(lengths, (index) => `part_${index}`),
    chunksOf,
    framesOf,
    request,
    rig,
    stitch: stitcher.stitch
  }
})

type Bench = Effect.Success<typeof bench>

/** The contract of a stitcher. */
export const make = <E>(implementation: Implementation<E>, options: Options = {}): Contract.Contract => {
  const { atomic = true, sizes = true } = options
  const layer: Layer.Layer<VideoStitcher | VideoRig, E | Mismatch> =
    typeof implementation === "function" ? layerOf(implementation) : implementation
  const finds: ReadonlyArray<Damage> = options.finds ?? ["missing", "empty", "truncated", "short", "odd"]
  const timing = Contract.patienceOf(options)

  const promise = <A, E2 extends Error>(
    body: (on: Bench) => Effect.Effect<A, E2, Scope.Scope>
  ): Effect.Effect<void, E2, VideoStitcher | VideoRig | Scope.Scope> => Effect.asVoid(Effect.flatMap(bench, body))

  /** A stitch that must fail and leave no more files than there were. */
  const refuses = Effect.fnUntraced(function* ({ rig, stitch }: Bench, what: string, wrong: StitchRequest) {
    const before = yield* rig.files
    const error: StitchError = yield* failureOf(what, stitch(wrong))
    const after = yield* rig.files
    if (atomic) yield* same(`what is there after ${what}`, after, before)
    else
      yield* holds(`what is there after ${what} should be the output at most`, after.length <= before.length + 1, after)
    return error
  })

  const damaged = (how: Damage) =>
    finds.includes(how)
      ? promise((on) =>
          Effect.gen(function* () {
            const chunks = yield* on.chunks
            const [, , third] = chunks
            if (third === undefined) return
            if (!(yield* on.rig.damage(third.location, how, third.frameCount))) return
            const error = yield* refuses(on, `a chunk that is ${how}`, on.request(chunks, on.rig.output("out")))
            yield* same("the chunk that the error names", error.chunkId, third.chunkId)
            const named = error.message.includes(String(third.chunkId))
            yield* holds(`the message should name chunk ${third.chunkId}`, named, error.message)
          })
        )
      : undefined

  return Contract.make({
    of: "VideoStitcher",
    layer,
    promises: {
      "every frame is in the result once, in the order of the chunks": promise(
        ({ chunks, framesOf, request, rig, stitch }) =>
          Effect.gen(function* () {
            const made = yield* chunks
            const expected = yield* framesOf(made)
            yield* same("how many different frames the rig made", new Set(expected).size, 11)
            const output = rig.output("out")
            const result = yield* stitch(request(made, output))
            yield* same("the frames", yield* rig.frames(output), expected)
            yield* same("the file that it gives", result.outputFile, output)
            yield* same("the frames that it gives", result.frames, 11)
            if (sizes) yield* same("the size that it gives", Option.some(result.bytes), yield* rig.size(output))
            yield* holds("its duration should be a time", result.durationMs >= 0, result.durationMs)
          })
      ),

      "one chunk is a video too": promise(({ chunksOf, framesOf, request, rig, stitch }) =>
        Effect.gen(function* () {
          const made = yield* chunksOf([1], () => "only")
          yield* stitch(request(made, rig.output("out")))
          yield* same("the frames", yield* rig.frames(rig.output("out")), yield* framesOf(made))
        })
      ),

      "it leaves nothing beside the final file, and the chunks as they were": promise((on) =>
        Effect.gen(function* () {
          const made = yield* on.chunks
          const before = yield* on.rig.files
          const frames = yield* on.framesOf(made)
          yield* on.stitch(on.request(made, on.rig.output("out")))
          const after = yield* on.rig.files
          yield* same("how many files there are more", after.length, before.length + 1)
          yield* same(
            "the files that were there",
            after.filter((name) => before.includes(name)),
            before
          )
          yield* same("the frames of the chunks", yield* on.framesOf(made), frames)
        })
      ),

      "inputs that come late are waited for": promise(({ chunks, framesOf, request, rig, stitch }) =>
        Effect.gen(function* () {
          const made = yield* chunks
          const gate = yield* Deferred.make<void>()
          const reached = yield* Deferred.make<void>()
          const output = rig.output("out")
          const inputs = Stream.fromIterable(made).pipe(
            Stream.tap(({ index }) =>
              index < 2 ? Effect.void : Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(gate))
            )
          )
          const stitching = yield* background(timing, stitch({ ...request(made, output), inputs }))
          yield* within(timing, "reading the inputs", Deferred.await(reached))
          yield* same("what is there before the last input", yield* rig.size(output), Option.none())
          yield* Deferred.succeed(gate, undefined)
          yield* within(timing, "joining", Fiber.join(stitching))
          yield* same("the frames", yield* rig.frames(output), yield* framesOf(made))
        })
      ),

      "the same request can be made again, and replaces the file": promise(
        ({ chunks, chunksOf, framesOf, request, rig, stitch }) =>
          Effect.gen(function* () {
            const output = rig.output("out")
            const others = yield* chunksOf([2], () => "other")
            yield* stitch(request(others, output))
            const made = yield* chunks
            const again = request(made, output)
            for (const _ of [1, 2]) {
              yield* stitch(again)
              yield* same("the frames", yield* rig.frames(output), yield* framesOf(made))
            }
          })
      ),

      "two at once do not disturb each other": promise(({ chunks, chunksOf, framesOf, request, rig, stitch }) =>
        Effect.gen(function* () {
          const made = yield* chunks
          const others = yield* chunksOf([4, 4], (index) => `other_${index}`)
          const [a, b] = [rig.output("a"), rig.output("b")]
          yield* Effect.all([stitch(request(made, a)), stitch(request(others, b))], { concurrency: 2 })
          yield* same("the frames of one", yield* rig.frames(a), yield* framesOf(made))
          yield* same("the frames of the other", yield* rig.frames(b), yield* framesOf(others))
        })
      ),

      "names may hold whatever a file system lets them": promise(({ chunksOf, framesOf, request, rig, stitch }) =>
        Effect.gen(function* () {
          const made = yield* chunksOf(
            nastyNames.map(() => 1),
            (index) => nastyNames[index] ?? ""
          )
          const output = rig.output(`-out 'x'\n"%d#?`)
          yield* stitch(request(made, output))
          yield* same("the frames", yield* rig.frames(output), yield* framesOf(made))
        })
      ),

      "a missing chunk is an error that names it, not a wrong file": damaged("missing"),
      "an empty chunk is an error that names it, not a wrong file": damaged("empty"),
      "a truncated chunk is an error that names it, not a wrong file": damaged("truncated"),
      "a chunk that lacks a frame is an error that names it, not a wrong file": damaged("short"),
      "a chunk of another picture size is an error that names it, not a wrong file": damaged("odd"),

      "fewer inputs than there are chunks is an error, not a shorter file": promise((on) =>
        Effect.gen(function* () {
          const made = yield* on.chunks
          const whole = on.request(made, on.rig.output("out"))
          yield* refuses(on, "a missing input", { ...whole, inputs: Stream.take(whole.inputs, made.length - 1) })
        })
      ),

      "chunks that do not add up to the frames asked for are an error": promise((on) =>
        Effect.gen(function* () {
          const whole = on.request(yield* on.chunks, on.rig.output("out"))
          yield* refuses(on, "a frame too many", { ...whole, frames: whole.frames + 1 })
        })
      ),

      "an older file stays as it is when joining fails": !atomic
        ? undefined
        : promise((on) =>
            Effect.gen(function* () {
              const output = on.rig.output("out")
              const older = yield* on.chunksOf([2], () => "older")
              yield* on.stitch(on.request(older, output))
              const made = yield* on.chunks
              yield* on.rig.damage(made[1]?.location ?? "", "missing", 1)
              yield* refuses(on, "a missing chunk", on.request(made, output))
              yield* same("the frames of the older file", yield* on.rig.frames(output), yield* on.framesOf(older))
            })
          ),

      "an output that cannot be written is an error that names it": promise((on) =>
        Effect.gen(function* () {
          const output = on.rig.output("nowhere/out")
          const error = yield* refuses(on, "a folder that is not there", on.request(yield* on.chunks, output))
          yield* holds("the message should name the file", error.message.includes("nowhere"), error.message)
        })
      ),

      "interruption while it waits for chunks ends it and leaves no file": promise((on) =>
        Effect.gen(function* () {
          const made = yield* on.chunks
          const before = yield* on.rig.files
          const reached = yield* Deferred.make<void>()
          const inputs = Stream.concat(
            Stream.fromIterable(made.slice(0, 2)),
            Stream.fromEffect(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
          )
          const wanted = { ...on.request(made, on.rig.output("out")), inputs }
          const stitching = yield* background(timing, on.stitch(wanted))
          yield* within(timing, "reading the inputs", Deferred.await(reached))
          yield* within(timing, "the interruption", Fiber.interrupt(stitching))
          yield* same("what is there", yield* on.rig.files, before)
        })
      ),

      "interruption at any moment ends it, and leaves the whole file or none": promise((on) =>
        Effect.gen(function* () {
          const made = yield* on.chunks
          const expected = yield* on.framesOf(made)
          for (const millis of [0, 1, 5, 20, 60, 120]) {
            const output = on.rig.output(`out-${millis}`)
            const before = yield* on.rig.files
            const stitching = yield* background(timing, on.stitch(on.request(made, output)))
            yield* Effect.sleep(millis)
            yield* within(timing, "the interruption", Fiber.interrupt(stitching))
            if (!atomic) continue
            const left = (yield* on.rig.files).filter((name) => !before.includes(name))
            if (left.length === 0) continue
            yield* same(`how many files are left after ${millis} ms`, left.length, 1)
            yield* same("the frames of what is left", yield* on.rig.frames(output), expected)
          }
        })
      ),

      "the final file appears whole": !atomic
        ? undefined
        : promise(({ chunks, request, rig, stitch }) =>
            Effect.gen(function* () {
              const made = yield* chunks
              const output = rig.output("out")
              const seen = new Set<number>()
              const look = Effect.map(rig.size(output), (size) => {
                if (Option.isSome(size)) seen.add(size.value)
                return Option.isSome(size)
              })
              const stitching = yield* background(timing, stitch(request(made, output)))
              yield* eventually(timing, "a file should appear", look)
              const { bytes } = yield* within(timing, "joining", Fiber.join(stitching))
              yield* look
              yield* same("the sizes that it had", [...seen], [bytes])
            })
          )
    }
  })
}
