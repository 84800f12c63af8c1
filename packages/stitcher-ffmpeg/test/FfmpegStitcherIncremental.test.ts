/** Joining while later chunks are still to come. What a joined file is like, `FfmpegStitcherPicture.test.ts` and `FfmpegStitcherSound.test.ts` say. */
import * as AcceptedPrefix from "@helios-infra/core/AcceptedPrefix"
import { type ChunkOutput, type StitchRequest, VideoStitcher } from "@helios-infra/core/VideoStitcher"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import process from "node:process"
import * as real from "./RealVideos.ts"
import { assertReason } from "./Stitching.ts"

/** Chunks large enough that ffmpeg does not keep one to itself before it writes. */
const large = { size: "320x240", video: [...real.x264, "-crf", "1"] }
const lengths = [20, 10, 25, 15]

/** A stitch of chunks that land when they are told to. */
const begin = Effect.fnUntraced(function* (
  dir: string,
  files: ReadonlyArray<string>,
  options: FfmpegStitcher.Options & { readonly lengths?: ReadonlyArray<number>; readonly output?: string } = {}
) {
  const counts = options.lengths ?? lengths
  const whole = real.request(files, counts, path.join(dir, options.output ?? "out.mp4"))
  const outputs = yield* Stream.runCollect(whole.inputs)
  const landed: Array<ChunkOutput | undefined> = []
  const prefix = AcceptedPrefix.make(files.length, (index) => landed[index])
  const request: StitchRequest = { ...whole, inputs: prefix.outputs }
  const stitcher = yield* real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath, ...options }))
  const fiber = yield* Effect.forkChild(stitcher.stitch(request))
  return {
    fiber,
    output: request.output,
    land: (index: number) =>
      Effect.sync(() => {
        landed[index] = outputs[index]
        prefix.grow()
      })
  }
})

/** The file that is being made, once it holds so many bytes. */
const growing = (dir: string, atLeast = 1) =>
  Effect.promise(async () => {
    const folder = (await fs.readdir(dir)).find((name) => name.startsWith(".stitching-")) ?? ""
    const names = await fs.readdir(path.join(dir, folder))
    const joined = path.join(dir, folder, names.find((name) => name.startsWith("joined")) ?? "not there")
    return { joined, folder: path.join(dir, folder), bytes: (await fs.stat(joined)).size }
  }).pipe(
    Effect.sandbox,
    Effect.filterOrFail(({ bytes }) => bytes >= atLeast),
    Effect.eventually
  )

const sizeOf = (file: string) => Effect.promise(async () => (await fs.stat(file)).size)

const wholeFrames = (files: ReadonlyArray<string>) =>
  Effect.map(Effect.forEach(files, real.decodedFrames), (frames) => frames.flat())

describe("while chunks are rendered", () => {
  it.live("what has landed is joined already", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, large)
      const { fiber, land, output } = yield* begin(dir, files)
      // Before it begins, ffmpeg looks into more than the first.
      yield* land(0)
      yield* land(1)
      const both = (yield* sizeOf(files[0] ?? "")) + (yield* sizeOf(files[1] ?? ""))
      yield* growing(dir, (both * 3) / 4)
      assert.isUndefined(fiber.pollUnsafe())
      assert.notInclude(yield* real.listing(dir), "out.mp4")
      yield* land(2)
      yield* land(3)
      const result = yield* Fiber.join(fiber)
      assert.strictEqual(result.frames, 70)
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* wholeFrames(files))
      assert.deepStrictEqual(
        (yield* real.listing(dir)).filter((name) => name.startsWith(".")),
        []
      )
    })
  )

  it.live("they may be accepted in any order", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, { video: real.bFrames, audio: real.pcm }, "mov")
      const { fiber, land, output } = yield* begin(dir, files)
      for (const index of [2, 3, 0]) yield* land(index)
      yield* growing(dir, 0)
      yield* land(1)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* wholeFrames(files))
    })
  )

  it.live("one that does not fit ends it at once, whatever is still to come", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, {})
      yield* real.render(files[1] ?? "", { from: 0, to: 9 })
      const { fiber, land } = yield* begin(dir, files)
      yield* land(0)
      yield* growing(dir, 0)
      yield* land(1)
      assertReason(yield* Effect.flip(Fiber.join(fiber)), "ChunkInvalid", 11, /expected 10 frames, found 9/)
      assert.lengthOf(yield* real.listing(dir), 4)
    })
  )

  const fragmented = [...real.bFrames, "-movflags", "+frag_keyframe+empty_moov"]
  it.live.each([
    [
      "with B-frames, behind one without any",
      {},
      { video: real.bFrames },
      /more of its frames .* \(B-frames\) than of chunk 10/
    ],
    [
      "that is silent, and begins elsewhere than one with sound",
      { video: real.bFrames, audio: ["-c:a", "aac"] },
      { video: fragmented },
      /its picture begins 66\.7 ms into its file, and that of chunk 10 0\.0 ms/
    ]
  ] as const)("one that ffmpeg would not put where it belongs ends it at once: %s", ([, piece, other, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, piece)
      yield* real.render(files[1] ?? "", { from: 20, to: 30, ...other })
      const { fiber, land } = yield* begin(dir, files)
      yield* land(0)
      yield* land(1)
      assertReason(yield* Effect.flip(Fiber.join(fiber)), "CannotJoin", 11, text)
      // As the text says, they are joined when they are encoded again.
      const again = yield* begin(dir, files, { reencode: { codec: "libx264" } })
      for (const index of lengths.keys()) yield* again.land(index)
      yield* Fiber.join(again.fiber)
      assert.lengthOf(yield* real.decodedFrames(again.output), 70)
    })
  )

  it.live("one that comes with other frames than were said ends it", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [20, 10], {})
      const request = real.request(files, [20, 10], path.join(dir, "out.mp4"))
      const stitcher = yield* real.service(VideoStitcher, FfmpegStitcher.layer({ ffmpegPath: real.ffmpegPath }))
      const error = yield* Effect.flip(stitcher.stitch({ ...request, frameCounts: [21, 9] }))
      assertReason(error, "CannotJoin", 10, /came with 20 frames and should have 21/)
      const short = yield* Effect.flip(stitcher.stitch({ ...request, frameCounts: [30] }))
      assertReason(short, "InputsNotConsumed", undefined, /1 of 2/)
    })
  )

  it.live("one that is gone before it was read ends it, by its name", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, {})
      const go = path.join(dir, "go")
      const ffmpegPath = yield* real.ffmpegThat(path.join(dir, "slow"), `while [ ! -e '${go}' ]; do sleep 0.02; done`)
      const { fiber, land } = yield* begin(dir, files, { ffmpegPath })
      for (const index of [0, 1, 2]) yield* land(index)
      yield* Effect.promise(() => fs.readdir(dir)).pipe(
        Effect.flatMap((names) =>
          Effect.promise(() => fs.readdir(path.join(dir, names.find((name) => name.startsWith(".stitch")) ?? "")))
        ),
        Effect.sandbox,
        Effect.filterOrFail((names) => names.includes("2.mp4") && names.includes("chunks.ffconcat")),
        Effect.eventually
      )
      yield* Effect.promise(() => fs.rm(files[1] ?? ""))
      // Chunk 2 was read when it landed; chunk 1 is gone now, and nothing has been copied.
      yield* Effect.promise(() => fs.writeFile(go, ""))
      const exit = yield* Fiber.await(fiber)
      assert(Exit.isFailure(exit))
      const error = yield* Effect.flip(exit)
      assertReason(error, "ChunkInvalid", 11, /bytes at .*part_1\.mp4, found .*(ENOENT|no file)/)
    })
  )

  it.live("they are waited for where that is asked, and joined all the same", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, { audio: real.pcm }, "mov")
      const starts = path.join(dir, "starts")
      const ffmpegPath = yield* real.ffmpegThat(path.join(dir, "counting"), `echo start >> '${starts}'`)
      const { fiber, land, output } = yield* begin(dir, files, { ffmpegPath, incremental: false })
      for (const index of [0, 1, 2]) yield* land(index)
      yield* Effect.promise(() => fs.readdir(dir)).pipe(
        Effect.flatMap((names) =>
          Effect.promise(() => fs.readdir(path.join(dir, names.find((name) => name.startsWith(".stitch")) ?? "")))
        ),
        Effect.sandbox,
        Effect.filterOrFail((names) => names.includes("2.mov")),
        Effect.eventually
      )
      assert.notInclude(yield* real.listing(dir), "starts")
      yield* land(3)
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(starts, "utf8")), "start\n")
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* wholeFrames(files))
    })
  )
})

describe("hours between chunks", () => {
  // That it lasts for eleven minutes, longer than any default of Node's server, was seen by hand. What would break is a limit.
  it.live("are no matter to ffmpeg: it is told of no time limit, and has none of its own for reading", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, { audio: real.pcm }, "mov")
      const args = path.join(dir, "args")
      const ffmpegPath = yield* real.ffmpegThat(path.join(dir, "telling"), `printf '%s\\n' "$@" > '${args}'`)
      const { fiber, land, output } = yield* begin(dir, files, { ffmpegPath })
      yield* land(0)
      yield* land(1)
      yield* growing(dir, 0)
      // Longer than ffmpeg may take to connect, and the server to look for connections that are late.
      yield* Effect.sleep("7 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* land(2)
      yield* land(3)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* wholeFrames(files))
      assert.notMatch(yield* Effect.promise(() => fs.readFile(args, "utf8")), /timeout|reconnect/)
    })
  )
})

describe("stopping in the middle", () => {
  it.live("leaves no process, no file, and nobody listening", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, large)
      const pidFile = path.join(yield* real.folder, "pid")
      const ffmpegPath = yield* real.ffmpegThat(`${pidFile}-ffmpeg`, `echo $$ > '${pidFile}'`)
      const before = yield* real.listing(dir)
      const { fiber, land } = yield* begin(dir, files, { ffmpegPath })
      yield* land(0)
      const { folder } = yield* growing(dir)
      const list = yield* Effect.promise(() => fs.readFile(path.join(folder, "chunks.ffconcat"), "utf8"))
      const url = /file (http:\S+)/.exec(list)?.[1] ?? ""
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/0$/)
      const pid = (yield* Effect.promise(() => fs.readFile(pidFile, "utf8"))).trim()
      // The address is nowhere where other users of the machine could see it.
      const command = yield* Effect.promise(() => fs.readFile(`/proc/${pid}/cmdline`, "utf8"))
      assert.include(command, "chunks.ffconcat")
      assert.notInclude(command, new URL(url).pathname.slice(1, 20))
      assert.strictEqual((yield* Effect.promise(() => fs.stat(folder))).mode & 0o077, 0)

      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* real.listing(dir), before)
      const gone = yield* Effect.promise(() =>
        fetch(url).then(
          () => false,
          () => true
        )
      )
      assert.isTrue(gone)
      const alive = yield* Effect.promise(() => fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone"))
      assert.match(alive, /^gone$|\) Z /)
    })
  )
})

describe("an ffmpeg that dies", () => {
  it.live("is started again from what is there", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, large)
      const pidFile = path.join(dir, "pids")
      const ffmpegPath = yield* real.ffmpegThat(path.join(dir, "mortal"), `echo $$ >> '${pidFile}'`)
      const { fiber, land, output } = yield* begin(dir, files, { ffmpegPath })
      const pids = Effect.map(
        Effect.promise(() => fs.readFile(pidFile, "utf8")),
        (text) => text.trim().split("\n").map(Number)
      )
      yield* land(0)
      yield* land(1)
      yield* growing(dir, yield* sizeOf(files[0] ?? ""))
      const [first = 0] = yield* pids
      process.kill(first, "SIGKILL")
      const [, second = 0] = yield* pids.pipe(
        Effect.filterOrFail((all) => all.length === 2),
        Effect.eventually
      )
      // One that is told to stop finishes its file, and calls that a success of a kind.
      process.kill(second, "SIGTERM")
      yield* pids.pipe(
        Effect.filterOrFail((all) => all.length === 3),
        Effect.eventually
      )
      yield* land(2)
      yield* land(3)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* wholeFrames(files))
      assert.lengthOf(yield* pids, 3)
    })
  )

  it.live.each([
    ["with an error", "exit 3", /exited with 3/],
    ["without one, before the last chunk", "exit 0", /exited with 0/],
    ["of a signal", "kill -9 $$", /ended by a signal/]
  ] as const)("each time is given up: %s", ([, death, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const starts = path.join(dir, "starts")
      const ffmpegPath = yield* real.ffmpegThat(path.join(dir, "dying"), `echo start >> '${starts}'; ${death}`)
      const { fiber, land } = yield* begin(dir, files, { ffmpegPath, lengths: [3, 3] })
      yield* land(0)
      const error = yield* Effect.flip(Fiber.join(fiber))
      assertReason(error, "ToolFailed", undefined, text)
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(starts, "utf8")), "start\nstart\nstart\n")
      assert.deepStrictEqual(
        (yield* real.listing(dir)).filter((name) => name.startsWith(".")),
        []
      )
    })
  )
})

describe("the index of the result", () => {
  const boxes = (file: string) =>
    Effect.map(
      Effect.promise(() => fs.readFile(file)),
      (bytes) => ({
        moov: bytes.indexOf("moov"),
        mdat: bytes.indexOf("mdat")
      })
    )

  it.live.each([
    ["a silent video", "mp4", {}],
    ["B-frames and sound", "mp4", { video: real.bFrames, audio: real.pcm }],
    ["PCM", "mov", { audio: real.pcm }],
    ["chunks of a frame", "mp4", { audio: real.pcm, lengths: Array.from({ length: 20 }, () => 1) }]
  ] as const)("stands in front, in room that was left for it: %s", ([, extension, piece]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const counts = "lengths" in piece ? piece.lengths : lengths
      const files = yield* real.renderChunks(dir, counts, piece, "mov")
      const starts = path.join(dir, "starts")
      const ffmpegPath = yield* real.ffmpegThat(path.join(dir, "counting"), `echo start >> '${starts}'`)
      const { fiber, land, output } = yield* begin(dir, files, {
        ffmpegPath,
        lengths: counts,
        output: `out.${extension}`
      })
      for (const index of files.keys()) yield* land(index)
      yield* Fiber.join(fiber)
      const { mdat, moov } = yield* boxes(output)
      assert.isAbove(moov, 0)
      assert.isBelow(moov, mdat)
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(starts, "utf8")), "start\n")
    })
  )

  it.live("is moved there when the room was too small", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, lengths, { audio: real.pcm }, "mov")
      const starts = path.join(dir, "starts")
      const ffmpegPath = yield* real.ffmpegThat(
        path.join(dir, "cramped"),
        `echo start >> '${starts}'
for ((i = 1; i <= $#; i++)); do
  if [[ "\${!i}" == -moov_size ]]; then set -- "\${@:1:i}" 200 "\${@:i+2}"; fi
done`
      )
      const { fiber, land, output } = yield* begin(dir, files, { ffmpegPath })
      for (const index of files.keys()) yield* land(index)
      yield* Fiber.join(fiber)
      const { mdat, moov } = yield* boxes(output)
      assert.isAbove(moov, 0)
      assert.isBelow(moov, mdat)
      assert.deepStrictEqual(yield* real.decodedFrames(output), yield* wholeFrames(files))
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(starts, "utf8")), "start\nstart\n")
    })
  )
})

describe("thousands of chunks", () => {
  it.live(
    "take a few connections",
    () =>
      Effect.gen(function* () {
        const dir = yield* real.folder
        const two = yield* real.renderChunks(dir, [1, 1], {})
        const files = yield* real.repeat(two, 2000)
        const { fiber, land, output } = yield* begin(dir, files, { lengths: files.map(() => 1) })
        let most = 0
        const watching = yield* Effect.forkChild(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => {
                const sockets = process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap")
                most = Math.max(most, sockets.length)
              }),
              Effect.sleep(5)
            )
          )
        )
        for (const index of files.keys()) yield* land(index)
        yield* Fiber.join(fiber)
        yield* Fiber.interrupt(watching)
        assert.isAbove(most, 0)
        assert.isBelow(most, 10)
        const frames = yield* real.decodedFrames(output)
        assert.lengthOf(frames, 2000)
        const [a, b] = yield* wholeFrames(two)
        assert.isTrue(frames.every((hash, index) => hash === (index % 2 === 0 ? a : b)))
      }),
    120_000
  )
})
