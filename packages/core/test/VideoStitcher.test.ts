import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema, Stream } from "effect"
import * as AcceptedPrefix from "../src/AcceptedPrefix.ts"
import * as VideoStitcher from "../src/VideoStitcher.ts"
import type { WorkerResult } from "../src/WorkerAdapter.ts"
import * as Workspace from "../src/Workspace.ts"
import * as Fakes from "./Fakes.ts"
import { settle } from "./TestTime.ts"

const output = (index: number): VideoStitcher.ChunkOutput => ({
  index,
  chunkId: 100 + index,
  attempt: 1,
  frameCount: 10,
  location: `s3://bucket/${index}.mov`,
  bytes: 5
})

const request = (inputs: VideoStitcher.StitchRequest["inputs"]): VideoStitcher.StitchRequest => ({
  inputs,
  total: 3,
  frames: 30,
  fps: "30",
  output: "/job/.film.mp4"
})
const inputs = Stream.fromIterable([0, 1, 2].map(output))

const joined = (more: Partial<WorkerResult> = {}): WorkerResult => ({
  exitCode: 0,
  stdout: "",
  stderr: "",
  durationMs: 42,
  ...more
})

type Join = Parameters<typeof VideoStitcher.fromPaths>[0]

/** A stitcher in a workspace that brings remote outputs here, but for those that it cannot. */
const stitcher = (join: Join, locate?: Workspace.Workspace["Service"]["locate"]) =>
  VideoStitcher.fromPaths(join).pipe(
    Effect.provideService(Workspace.Workspace, {
      ...Fakes.machine().workspace,
      locate: locate ?? ((output) => Effect.succeed(output.location.replace("s3://bucket", "/cache")))
    })
  )

describe("VideoStitcher.fromPaths", () => {
  it.effect("calls the function once, with the local paths in frame order and the file to write", () => {
    const calls: Array<Parameters<Join>> = []
    return Effect.gen(function* () {
      const { stitch } = yield* stitcher((...call) =>
        Effect.sync(() => {
          calls.push(call)
          return joined({ output: { location: "/job/.film.mp4", bytes: 77 } })
        })
      )
      const result = yield* stitch(request(inputs))
      assert.deepStrictEqual(calls, [[["/cache/0.mov", "/cache/1.mov", "/cache/2.mov"], "/job/.film.mp4"]])
      assert.deepStrictEqual(result, { outputFile: "/job/.film.mp4", bytes: 77, frames: 30, durationMs: 42 })
    })
  })

  it.effect("waits for the last chunk", () => {
    let called = false
    return Effect.gen(function* () {
      const { stitch } = yield* stitcher(() =>
        Effect.sync(() => {
          called = true
          return joined()
        })
      )
      const accepted = new Set([2, 0])
      const prefix = AcceptedPrefix.make(3, (index) => (accepted.has(index) ? output(index) : undefined))
      const stitching = yield* Effect.forkChild(stitch(request(prefix.outputs)))
      yield* settle
      assert.isFalse(called)
      accepted.add(1)
      prefix.grow()
      yield* Fiber.join(stitching)
      assert.isTrue(called)
      assert.strictEqual(prefix.read(), 3)
    })
  })

  it.effect("fails with what the tool printed when it exits with anything but 0", () =>
    Effect.gen(function* () {
      const { stitch } = yield* stitcher(() => Effect.succeed(joined({ exitCode: 3, stderr: "moov atom not found\n" })))
      const error = yield* Effect.flip(stitch(request(inputs)))
      assert.deepStrictEqual(
        error.reason,
        new VideoStitcher.ToolFailed({ exitCode: 3, stderrTail: "moov atom not found\n" })
      )
      assert.strictEqual(error.message, "stitching failed: the tool exited with 3:\nmoov atom not found")
    })
  )

  it.effect("fails as the function fails", () =>
    Effect.gen(function* () {
      const missing = new VideoStitcher.StitchError({ reason: new VideoStitcher.ToolMissing({ fix: "install it" }) })
      const { stitch } = yield* stitcher(() => Effect.fail(missing))
      assert.strictEqual(yield* Effect.flip(stitch(request(inputs))), missing)
    })
  )

  it.effect("names the chunk that cannot be brought here, and calls nothing", () => {
    let called = false
    return Effect.gen(function* () {
      const { stitch } = yield* stitcher(
        () =>
          Effect.sync(() => {
            called = true
            return joined()
          }),
        ({ location }) =>
          location.endsWith("1.mov")
            ? Effect.fail(new Workspace.WorkspaceError({ path: location, reason: "NotFound", cause: undefined }))
            : Effect.succeed(location)
      )
      const error = yield* Effect.flip(stitch(request(inputs)))
      assert.strictEqual(error.chunkId, 101)
      assert.strictEqual(error.reason._tag, "ChunkInvalid")
      assert.include(error.message, "stitching failed at chunk 101")
      assert.include(error.message, "expected a file at s3://bucket/1.mov, found s3://bucket/1.mov is not there")
      assert.isFalse(called)
    })
  })

  it.effect("is interrupted with the function, and waits for its end", () =>
    Effect.gen(function* () {
      const began = yield* Deferred.make<void>()
      const cleaned = yield* Deferred.make<void>()
      const { stitch } = yield* stitcher(() =>
        Deferred.succeed(began, undefined).pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Effect.andThen(settle, Deferred.succeed(cleaned, undefined)))
        )
      )
      const stitching = yield* Effect.forkChild(stitch(request(inputs)))
      yield* Deferred.await(began)
      yield* Fiber.interrupt(stitching)
      assert.isTrue(Deferred.isDoneUnsafe(cleaned))
    })
  )

  it.effect("is interrupted while it waits for chunks", () =>
    Effect.gen(function* () {
      const { stitch } = yield* stitcher(() => Effect.die("called"))
      const stitching = yield* Effect.forkChild(stitch(request(AcceptedPrefix.make(3, () => undefined).outputs)))
      yield* settle
      yield* Fiber.interrupt(stitching)
    })
  )
})

describe("StitchError", () => {
  const reasons = {
    toolMissing: new VideoStitcher.ToolMissing({ fix: "install ffmpeg" }),
    toolFailed: new VideoStitcher.ToolFailed({ exitCode: 1, stderrTail: "no such filter\n" }),
    toolKilled: new VideoStitcher.ToolFailed({ exitCode: null, stderrTail: "" }),
    chunkInvalid: new VideoStitcher.ChunkInvalid({ expected: "30 frames", found: "17 frames" }),
    cannotJoin: new VideoStitcher.CannotJoin({ fix: "render the sound as PCM" }),
    outputUnwritable: new VideoStitcher.OutputUnwritable({ path: "/film.mp4", detail: "disk full" }),
    inputsNotConsumed: new VideoStitcher.InputsNotConsumed({ read: 2, total: 5 }),
    resultInvalid: new VideoStitcher.ResultInvalid({ expected: "300 frames", found: "299 frames" }),
    timedOut: new VideoStitcher.StitchTimedOut({ afterMs: 60_000 })
  }
  const cases = Object.entries(reasons)

  it("has a message for every reason there is", () => {
    assert.deepStrictEqual(
      new Set(cases.map(([, reason]) => reason._tag)),
      new Set(VideoStitcher.StitchReason.members.map((member) => member.fields._tag.ast.literal))
    )
  })

  it.each([
    ["toolMissing", "install ffmpeg"],
    ["toolFailed", "the tool exited with 1:\nno such filter"],
    ["toolKilled", "the tool was ended by a signal"],
    ["chunkInvalid", "expected 30 frames, found 17 frames"],
    ["cannotJoin", "cannot be joined as they are: render the sound as PCM"],
    ["outputUnwritable", "/film.mp4 could not be written: disk full"],
    ["inputsNotConsumed", "reading 2 of 5 chunks"],
    ["resultInvalid", "expected 300 frames, found 299 frames"],
    ["timedOut", "stopped 60000 ms after the last chunk was there"]
  ] as const)("says what happened: %s", (name, words) => {
    const reason = reasons[name]
    assert.strictEqual(new VideoStitcher.StitchError({ reason }).message, `stitching failed: ${reason.message}`)
    assert.strictEqual(
      new VideoStitcher.StitchError({ chunkId: 7, reason }).message,
      `stitching failed at chunk 7: ${reason.message}`
    )
    assert.include(reason.message, words)
  })

  it.each(cases)("comes back from JSON as the error it was (%s)", (_, reason) => {
    const json = Schema.fromJsonString(Schema.toCodecJson(VideoStitcher.StitchError))
    const error = new VideoStitcher.StitchError({ chunkId: 7, reason })
    const received = Schema.decodeSync(json)(Schema.encodeSync(json)(error))
    assert.instanceOf(received, VideoStitcher.StitchError)
    assert.strictEqual(Object.getPrototypeOf(received.reason), Object.getPrototypeOf(reason))
    assert.strictEqual(received.message, error.message)
  })
})
