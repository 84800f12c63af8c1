import { assert, describe, it } from "@effect/vitest"
import { StitcherMiddleware, VideoStitcher } from "@helios-infra/core"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { logged, metricsOf } from "./Observed.ts"
import { settle } from "./TestTime.ts"

type Stitcher = VideoStitcher.VideoStitcher["Service"]

const chunk = (index: number): VideoStitcher.ChunkOutput => ({
  index,
  chunkId: index,
  attempt: 1,
  frameCount: 10,
  location: `/job/${index}.mov`,
  bytes: 100
})

const request = (inputs = Stream.fromIterable([0, 1].map(chunk))): VideoStitcher.StitchRequest => ({
  inputs,
  total: 2,
  frames: 20,
  fps: "30",
  output: "/job/film.mp4"
})

/** Reads what it is given, then takes its time. */
const stitcherOf = (joins: Effect.Effect<unknown, VideoStitcher.StitchError> = Effect.void): Stitcher => ({
  stitch: ({ frames, inputs, output }) =>
    Stream.runDrain(inputs).pipe(
      Effect.andThen(joins),
      Effect.as({ outputFile: output, bytes: 200, frames, durationMs: 0 })
    )
})

const missing = new VideoStitcher.StitchError({ reason: new VideoStitcher.ToolMissing({ fix: "install ffmpeg" }) })

describe("StitcherMiddleware.around", () => {
  it.effect("sees each request and its end, and may change them", () =>
    Effect.gen(function* () {
      const around = StitcherMiddleware.around(
        (stitch) => (request) =>
          Effect.map(stitch({ ...request, output: `${request.output}.part` }), (result) => ({ ...result, bytes: 7 }))
      )
      const { bytes, outputFile } = yield* around(stitcherOf()).stitch(request())
      assert.deepStrictEqual([bytes, outputFile], [7, "/job/film.mp4.part"])
    })
  )

  it("leaves what the stitcher says of itself to the stitcher", () => {
    const remote: Stitcher = { ...stitcherOf(), readsRemote: true }
    const { limitConcurrency, limitTime, logging, metrics } = StitcherMiddleware
    const all = [limitConcurrency(1), limitTime("1 minute"), logging(), metrics()]
    assert.isTrue(all.reduce((inner, around) => around(inner), remote).readsRemote)
  })

  it.effect("goes around the stitcher of a layer, the last outermost", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const note = (name: string) =>
        StitcherMiddleware.around((stitch) => (request) => {
          order.push(name)
          return stitch(request)
        })
      const layer = Layer.succeed(VideoStitcher.VideoStitcher, stitcherOf()).pipe(
        StitcherMiddleware.onLayer(note("inner"), note("outer"))
      )
      yield* Effect.provide(
        VideoStitcher.VideoStitcher.use(({ stitch }) => stitch(request())),
        layer
      )
      assert.deepStrictEqual(order, ["outer", "inner"])
    })
  )
})

describe("StitcherMiddleware.logging", () => {
  const of = "output=/job/film.mp4 chunks=2"
  const lines = (joins?: Effect.Effect<unknown, VideoStitcher.StitchError>, level?: "Debug") =>
    logged(StitcherMiddleware.logging()(stitcherOf(joins)).stitch(request()), level)

  it.effect("tells how each join ends", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* lines(undefined, "Debug"), [
        `Debug stitch begins ${of}`,
        `Info stitch done: 20 frames ${of}`
      ])
      assert.deepStrictEqual(yield* lines(missing), [`Warn stitch failed: stitching failed: install ffmpeg ${of}`])
      assert.deepStrictEqual(yield* lines(Effect.interrupt), [`Info stitch stopped ${of}`])
      assert.deepStrictEqual(yield* lines(Effect.die(new Error("broken"))), [`Warn stitch died: Error: broken ${of}`])
    })
  )
})

describe("StitcherMiddleware.metrics", () => {
  it.effect("counts joins by how they ended", () =>
    Effect.gen(function* () {
      const wrap = StitcherMiddleware.metrics()
      const told = yield* metricsOf(
        Effect.all(
          [Effect.void, missing, Effect.interrupt].map((joins) =>
            Effect.exit(wrap(stitcherOf(joins)).stitch(request()))
          )
        )
      )
      for (const line of [
        "helios.stitcher.duration{helios.outcome=completed,unit=ms} 1",
        "helios.stitcher.duration{error.type=ToolMissing,helios.outcome=failed,unit=ms} 1",
        "helios.stitcher.duration{helios.outcome=interrupted,unit=ms} 1",
        "helios.stitcher.active{unit={joins}} 0"
      ]) {
        assert.include(told, line)
      }
    })
  )
})

describe("StitcherMiddleware.limitConcurrency", () => {
  it.effect("lets further joins wait until one is over, however it ends", () =>
    Effect.gen(function* () {
      let running = 0
      const { stitch } = StitcherMiddleware.limitConcurrency(1)(
        stitcherOf(
          Effect.andThen(
            Effect.sync(() => running++),
            Effect.never
          )
        )
      )
      const [one, two] = [yield* Effect.forkChild(stitch(request())), yield* Effect.forkChild(stitch(request()))]
      yield* settle
      assert.strictEqual(running, 1)
      yield* Fiber.interrupt(one)
      yield* settle
      assert.strictEqual(running, 2)
      yield* Fiber.interrupt(two)
      assert.throws(() => StitcherMiddleware.limitConcurrency(0), RangeError)
    })
  )
})

describe("StitcherMiddleware.limitTime", () => {
  it.effect("counts from when the last chunk is there, and stops what takes longer", () =>
    Effect.gen(function* () {
      let stopped = false
      const stuck = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (stopped = true)))
      const { stitch } = StitcherMiddleware.limitTime("1 minute")(stitcherOf(stuck))
      const rendered = yield* Deferred.make<void>()
      const inputs = Stream.concat(
        Stream.succeed(chunk(0)),
        Stream.fromEffect(Effect.as(Deferred.await(rendered), chunk(1)))
      )
      const joining = yield* Effect.forkChild(Effect.flip(stitch(request(inputs))))
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(joining.pollUnsafe(), "it waits for its chunks")
      yield* Deferred.succeed(rendered, undefined)
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(joining.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(joining)
      assert.isTrue(stopped)
      assert.strictEqual(error.reason._tag, "StitchTimedOut")
      assert.match(error.message, /^stitching failed: it was stopped 60000 ms after the last chunk was there/)
    })
  )

  it.effect("does not count from when a first look at the chunks ends", () =>
    Effect.gen(function* () {
      const looks: Stitcher = {
        stitch: (request) => Effect.andThen(Stream.runHead(request.inputs), stitcherOf().stitch(request))
      }
      const { stitch } = StitcherMiddleware.limitTime("1 minute")(looks)
      const last = Stream.fromEffect(Effect.as(Effect.sleep("1 hour"), chunk(1)))
      const joining = yield* Effect.forkChild(stitch(request(Stream.concat(Stream.succeed(chunk(0)), last))))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(joining)).frames, 20)
    })
  )

  it.effect("counts once for inputs that are read twice", () =>
    Effect.gen(function* () {
      const twice: Stitcher = {
        stitch: (request) =>
          Effect.andThen(Stream.runDrain(request.inputs), stitcherOf(Effect.sleep("40 seconds")).stitch(request))
      }
      const { stitch } = StitcherMiddleware.limitTime("1 minute")(twice)
      const joining = yield* Effect.forkChild(stitch(request()))
      yield* TestClock.adjust("40 seconds")
      assert.strictEqual((yield* Fiber.join(joining)).frames, 20)
    })
  )
})
