/** What is asked of a stitch, what it leaves behind, and how it ends when it cannot be done. */
import * as Environment from "@helios-infra/process/Environment"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"
import { assertReason, failure, stitch } from "./Stitching.ts"

const wholeOf = (files: ReadonlyArray<string>) =>
  Effect.map(Effect.forEach(files, real.decodedFrames), (frames) => frames.flat())

describe("the request", () => {
  it.live("is refused when its counts do not agree", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const good = real.request(files, [3, 3], path.join(dir, "out.mp4"))
      assertReason(yield* failure({ ...good, frames: 7 }), "CannotJoin", undefined, /add up to 6 frames/)
      assertReason(
        yield* failure({ ...good, inputs: Stream.take(good.inputs, 1) }),
        "InputsNotConsumed",
        undefined,
        /1 of 2/
      )
      assertReason(
        yield* failure({ ...good, inputs: Stream.empty, total: 0, frames: 0, frameCounts: [] }),
        "CannotJoin",
        undefined,
        /no chunks/
      )
      assertReason(yield* failure({ ...good, fps: "fast" }), "CannotJoin", undefined, /30000\/1001/)
      assertReason(
        yield* failure({ ...good, output: path.join(dir, "out.avi") }),
        "CannotJoin",
        undefined,
        /"avi" is no container/
      )
      assertReason(
        yield* failure({ ...good, output: path.join(dir, "out.webm") }),
        "CannotJoin",
        undefined,
        /cannot hold h264/
      )
      assert.deepStrictEqual(yield* real.listing(dir), ["part_0.mp4", "part_1.mp4"])
    })
  )

  it.live("is refused when it names a file twice", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const [a = "", b = ""] = yield* real.renderChunks(dir, [3, 3], {})
      const again = real.request([a, b, a], [3, 3, 3], path.join(dir, "out.mp4"))
      const text = /part_0\.mp4 is the output of chunk 10 as well: give each chunk a file of its own/
      assertReason(yield* failure(again), "CannotJoin", 12, text)
      assert.deepStrictEqual(yield* real.listing(dir), ["part_0.mp4", "part_1.mp4"])
    })
  )

  it.live("may name the container", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const output = path.join(dir, "final")
      yield* stitch({ ...real.request(files, [3, 3], output), format: "mp4" })
      assert.lengthOf(yield* real.decodedFrames(output), 6)
    })
  )

  it.live(
    "of 500 chunks takes one ffmpeg to join and a few to read",
    () =>
      Effect.gen(function* () {
        const dir = yield* real.folder
        const two = yield* real.renderChunks(dir, [1, 1], { audio: real.pcm }, "mov")
        const files = yield* real.repeat(two, 500)
        const output = path.join(dir, "out.mp4")
        yield* stitch(
          real.request(
            files,
            files.map(() => 1),
            output
          )
        )
        const frames = yield* real.decodedFrames(output)
        assert.lengthOf(frames, 500)
        const [a, b] = (yield* Effect.forEach(two, real.decodedFrames)).flat()
        assert.isTrue(frames.every((hash, index) => hash === (index % 2 === 0 ? a : b)))
      }),
    120_000
  )
})

describe("the output", () => {
  it.live.each([
    ["by its name", (file: string) => Effect.succeed(file)],
    [
      "by another path",
      (file: string) =>
        Effect.succeed(path.join(path.dirname(file), "../", path.basename(path.dirname(file)), path.basename(file)))
    ],
    [
      "by a link",
      (file: string) =>
        Effect.as(
          Effect.promise(() => fs.link(file, `${file}-link.mp4`)),
          `${file}-link.mp4`
        )
    ]
  ] as const)("is none of the chunks: %s", ([, as]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const before = yield* wholeOf(files)
      const error = yield* failure(real.request(files, [3, 3], yield* as(files[1] ?? "")))
      assertReason(error, "CannotJoin", 11, /is the output, and this chunk as well: choose another name/)
      assert.deepStrictEqual(yield* wholeOf(files), before)
    })
  )

  const unwritable: ReadonlyArray<readonly [string, (dir: string) => string, RegExp]> = [
    ["in a folder that is not there", (dir) => path.join(dir, "nowhere/out.mp4"), /create it/],
    ["below a file", (dir) => path.join(dir, "part_0.mp4/out.mp4"), /not a folder/],
    ["where a folder is", (dir) => dir, /no file is there/],
    ["where a device is", () => "/dev/full", /no file is there/],
    ["in a folder that nobody may write to", () => "/proc/self/out.mp4", /could not be written/]
  ]
  it.live.each(unwritable)("cannot be written: %s", ([, where, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3], {})
      const error = yield* failure({ ...real.request(files, [3], where(dir)), format: "mp4" })
      assertReason(error, "OutputUnwritable", undefined, text)
    })
  )

  it.live("cannot be written: the disk is full", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      // Stands for a full disk: sends what ffmpeg writes to the device that is always full.
      const full = path.join(dir, "ffmpeg-full")
      const script = `#!/bin/bash\nlast="\${@: -1}"\nif [[ "$last" == joined* ]]; then exec '${real.ffmpegPath}' -y "\${@:1:$#-1}" -f mp4 /dev/full; fi\nexec '${real.ffmpegPath}' "$@"\n`
      yield* Effect.promise(() => fs.writeFile(full, script, { mode: 0o755 }))
      const error = yield* failure(real.request(files, [3, 3], path.join(dir, "out.mp4")), { ffmpegPath: full })
      assertReason(error, "OutputUnwritable", undefined, /No space left/)
      assert.notInclude(yield* real.listing(dir), "out.mp4")
    })
  )

  it.live("cannot be written: there is no room for what is made on the way, which is no fault of a chunk's", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], { audio: ["-c:a", "aac"] })
      const output = path.join(dir, "out.mp4")
      const lacksRoomFor = (name: string) => {
        const script = `#!/bin/bash\nlast="\${@: -1}"\nif [[ "$last" == */${name} ]]; then exec '${real.ffmpegPath}' -y "\${@:1:$#-1}" -f mov /dev/full; fi\nexec '${real.ffmpegPath}' "$@"\n`
        const file = path.join(dir, `ffmpeg-${name.length}`)
        return Effect.as(
          Effect.promise(() => fs.writeFile(file, script, { mode: 0o755 })),
          file
        )
      }
      const sound = yield* lacksRoomFor("sound-*/samples")
      const request = real.request(files, [3, 3], output)
      assertReason(yield* failure(request, { ffmpegPath: sound }), "OutputUnwritable", undefined, /No space left/)
      const encoded = yield* lacksRoomFor("*-encoded.mov")
      const options = { ffmpegPath: encoded, reencode: { codec: "libx264" } }
      assertReason(yield* failure(request, options), "OutputUnwritable", undefined, /No space left/)
      assert.notInclude(yield* real.listing(dir), "out.mp4")
    })
  )

  it.live("replaces an older one, which stays when joining fails", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const output = path.join(dir, "out.mp4")
      yield* Effect.promise(() => fs.writeFile(output, "older"))
      const files = yield* real.renderChunks(dir, [3, 3], {})
      yield* failure(real.request(files, [3, 4], output))
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(output, "utf8")), "older")
      yield* stitch(real.request(files, [3, 3], output))
      assert.lengthOf(yield* real.decodedFrames(output), 6)
    })
  )

  it.live("is thrown away when ffmpeg succeeds and frames are missing", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [6, 6], {})
      // Stands for an ffmpeg that loses frames without a word, as its concat demuxer does.
      const lossy = path.join(dir, "ffmpeg-lossy")
      const script = `#!/bin/bash\nlast="\${@: -1}"\nif [[ "$last" == joined* ]]; then exec '${real.ffmpegPath}' "\${@:1:$#-1}" -frames:v 11 "$last"; fi\nexec '${real.ffmpegPath}' "$@"\n`
      yield* Effect.promise(() => fs.writeFile(lossy, script, { mode: 0o755 }))
      const error = yield* failure(real.request(files, [6, 6], path.join(dir, "out.mp4")), { ffmpegPath: lossy })
      assertReason(error, "ResultInvalid", undefined, /expected 12 frames, found 11 frames/)
      assert.notInclude(yield* real.listing(dir), "out.mp4")
    })
  )
})

describe("stopping", () => {
  it.live("leaves neither a process nor a file", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const before = yield* real.listing(dir)
      // An ffmpeg that writes half a file, says where it runs, and never ends.
      const hanging = path.join(dir, "../", `${path.basename(dir)}-hanging`)
      const pidFile = `${hanging}.pid`
      yield* Effect.addFinalizer(() =>
        Effect.promise(() => Promise.all([fs.rm(hanging, { force: true }), fs.rm(pidFile, { force: true })]))
      )
      const script = `#!/bin/bash\nlast="\${@: -1}"\nif [[ "$last" == joined* ]]; then echo half > "$last"; trap '' TERM; sleep 1000 & echo "$! $$" > '${pidFile}'; wait; sleep 1000; fi\nexec '${real.ffmpegPath}' "$@"\n`
      yield* Effect.promise(() => fs.writeFile(hanging, script, { mode: 0o755 }))
      const fiber = yield* Effect.forkChild(
        stitch(real.request(files, [3, 3], path.join(dir, "out.mp4")), { ffmpegPath: hanging })
      )
      const pids = yield* Effect.promise(() => fs.readFile(pidFile, "utf8")).pipe(
        Effect.filterOrFail((text) => text.endsWith("\n")),
        Effect.sandbox,
        Effect.eventually
      )
      assert.isAbove((yield* real.listing(dir)).length, before.length)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* real.listing(dir), before)
      for (const pid of pids.trim().split(" ")) {
        const alive = yield* Effect.promise(() => fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone"))
        // A dead process that nobody has waited for is a zombie, and runs no more.
        assert.match(alive, /^gone$|\) Z /)
      }
    })
  )
})

describe("ffmpeg", () => {
  it.live("is asked for when it is missing", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3], {})
      const error = yield* failure(real.request(files, [3], path.join(dir, "out.mp4")), { ffmpegPath: undefined }).pipe(
        Effect.provideService(Environment.ParentEnvironment, { PATH: dir })
      )
      assertReason(error, "ToolMissing", undefined, /apt install ffmpeg/)
    })
  )

  it.live("is asked for in another version, where it lacks an encoder or an option, and not tried again", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], { audio: real.pcm }, "mov")
      const request = real.request(files, [3, 3], path.join(dir, "out.mp4"))
      const encoder = yield* failure(request, { audioCodec: "libnone" })
      assertReason(
        encoder,
        "ToolMissing",
        undefined,
        /ffmpeg \(\S+\) cannot .*Unknown encoder 'libnone'.*ffmpeg 4\.1 or later/
      )
      const starts = path.join(dir, "starts")
      const ffmpegPath = yield* real.ffmpegThat(
        path.join(dir, "ffmpeg-old"),
        `echo start >> '${starts}'; echo "[error] Unrecognized option 'moov_size'." >&2; exit 1`
      )
      const old = yield* failure(request, { ffmpegPath })
      assertReason(old, "ToolMissing", undefined, /ffmpeg-old \(\S+\).*'moov_size'.*FFMPEG_PATH/)
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(starts, "utf8")), "start\n")
      assert.deepStrictEqual(yield* real.listing(dir), ["ffmpeg-old", "part_0.mov", "part_1.mov", "starts"])
    })
  )
})
