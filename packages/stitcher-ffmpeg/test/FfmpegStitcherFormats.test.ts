/** What is no video, as a chunk and as the output: animated GIFs, and folders of pictures. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"
import { assertReason, failure, stitch } from "./Stitching.ts"

/** The pictures of a file in gray, 64x64. */
const gray = (...input: ReadonlyArray<string>) =>
  Effect.map(
    real.ffmpeg(...input, ...real.frameMode("passthrough"), ..."-map 0:v -f rawvideo -pix_fmt gray -".split(" ")),
    (bytes) =>
      Array.from({ length: bytes.length / 4096 }, (_, index) => bytes.subarray(index * 4096, (index + 1) * 4096))
  )

const distance = (a: Buffer | undefined, b: Buffer) =>
  a === undefined ? Infinity : a.reduce((sum, value, at) => sum + Math.abs(value - (b[at] ?? 0)), 0)

/** How many pictures a file has, each of which is nearer to its own among those of the chunks than to those beside that. */
const nearest = Effect.fnUntraced(function* (file: string, chunks: ReadonlyArray<string>) {
  const found = yield* gray("-i", file)
  const own = (yield* Effect.forEach(chunks, (chunk) => gray("-i", chunk))).flat()
  for (const [index, picture] of found.entries()) {
    const here = distance(own[index], picture)
    assert.isBelow(here, distance(own[index - 1], picture), `${index}`)
    assert.isBelow(here, distance(own[index + 1], picture), `${index}`)
  }
  return found.length
})

const lossless = { codec: "libx264rgb", args: ["-qp", "0", "-preset", "ultrafast"] }

describe("a .gif", () => {
  it.live.each([
    ["30", real.bFrames],
    ["25", real.x264],
    ["30000/1001", real.x264],
    ["50", real.x264]
  ] as const)("shows every frame when it should be, and none of the sound, at %s fps", ([fps, video]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [8, 3, 13]
      const files = yield* real.renderChunks(dir, lengths, { fps, video, audio: real.pcm }, "mov")
      const output = path.join(dir, "out.gif")
      yield* stitch(real.request(files, lengths, output, fps))
      const streams = yield* real.ffprobe(output)
      assert.lengthOf(streams, 1)
      assert.deepInclude(streams[0], { codec_name: "gif", width: 64, height: 64, nb_read_packets: "24" })
      assert.strictEqual(yield* nearest(output, files), 24)
    })
  )

  it.live("is refused where it would be too fast, or chunks were encoded in several ways", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [4, 4], {})
      const fast = yield* real.renderChunks(yield* real.folder, [4, 4], { fps: "60" })
      const output = path.join(dir, "out.gif")
      assertReason(
        yield* failure(real.request(fast, [4, 4], output, "60")),
        "CannotJoin",
        undefined,
        /50 frames a second at most/
      )
      yield* real.render(files[1] ?? "", { from: 4, to: 8, video: [...real.x264, "-coder", "1", "-refs", "3"] })
      const request = real.request(files, [4, 4], output)
      assertReason(yield* failure(request), "CannotJoin", 11, /other settings.*option reencode/)
      yield* stitch(request, { reencode: { codec: "libx264" } })
      assert.include(yield* real.listing(dir), "out.gif")
    })
  )
})

describe("a chunk that is a .gif", () => {
  it.live.each([
    ["30", "mp4"],
    ["50", "mov"],
    ["24", "mkv"],
    ["30000/1001", "mp4"]
  ] as const)("is joined where it is encoded again, each frame on the grid: %s fps into .%s", ([fps, extension]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [11, 1, 7]
      const files = yield* real.renderChunks(dir, lengths, { fps, video: [] }, "gif")
      const output = path.join(dir, `out.${extension}`)
      const request = real.request(files, lengths, output, fps)
      assertReason(yield* failure(request), "CannotJoin", undefined, /\.gif files are no video.*option reencode/)
      yield* stitch(request, { reencode: lossless })
      assert.deepStrictEqual(
        yield* gray("-i", output),
        (yield* Effect.forEach(files, (file) => gray("-i", file))).flat()
      )
      const [picture] = yield* real.ffprobe(output)
      if (extension !== "mkv") assert.strictEqual(picture?.["avg_frame_rate"], fps.includes("/") ? fps : `${fps}/1`)
    })
  )

  it.live("is drawn again into a .gif, and into pictures, without being asked", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [6, 9]
      const files = yield* real.renderChunks(dir, lengths, { video: [] }, "gif")
      const output = path.join(dir, "out.gif")
      yield* stitch(real.request(files, lengths, output))
      assert.strictEqual(yield* nearest(output, files), 15)
      const pictures = path.join(dir, "out")
      yield* stitch({ ...real.request(files, lengths, pictures), format: "png" })
      assert.lengthOf(yield* real.listing(pictures), 15)
    })
  )

  it.live("may show each frame for the hundredths that are nearest, and for no others", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      // Written as many tools do: 3 hundredths for each of 30 frames a second, 4 for each of 24.
      const steady = (delay: number, name: string) =>
        real.render(path.join(dir, name), { from: 0, to: 20, fps: `100/${delay}`, video: [] })
      const output = path.join(dir, "out.mp4")
      const three = yield* steady(3, "three.gif")
      yield* stitch(real.request([three], [20], output, "30"), { reencode: lossless })
      assert.strictEqual((yield* real.ffprobe(output))[0]?.["avg_frame_rate"], "30/1")
      const four = yield* steady(4, "four.gif")
      yield* stitch(real.request([four], [20], output, "24"), { reencode: lossless })
      const error = yield* failure(real.request([four], [20], output, "30"), { reencode: lossless })
      assertReason(error, "ChunkInvalid", 10, /expected 30 frames per second, found 25/)
    })
  )
})

/** A folder of pictures of frames `from` to `to` (not included), numbered as the renderer pleases. */
const renderPictures = (
  folder: string,
  from: number,
  to: number,
  { extension = "png", start = from, name = "%04d" }: { extension?: string; start?: number; name?: string } = {}
) =>
  Effect.gen(function* () {
    yield* Effect.promise(() => fs.mkdir(folder, { recursive: true }))
    const picture = ["-vf", `trim=start_frame=${from}:end_frame=${to},setpts=PTS-STARTPTS`]
    const where = path.join(folder.replaceAll("%", "%%"), `${name}.${extension}`)
    yield* real.ffmpeg(
      ..."-f lavfi -i testsrc2=s=64x64:r=30".split(" "),
      ...picture,
      ..."-r 30 -f image2 -start_number".split(" "),
      `${start}`,
      `file:${where}`
    )
    return folder
  })

describe("a chunk that is a folder of pictures", () => {
  it.live.each([
    ["png", "mov", "30000/1001"],
    ["jpg", "mkv", "24"],
    ["tif", "mov", "60"],
    ["tga", "mov", "25"]
  ] as const)("is joined as it is: .%s into .%s at %s fps", ([extension, to, fps]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [12, 1, 5]
      const folders = [
        yield* renderPictures(path.join(dir, "part 0 %d"), 0, 12, { extension, name: "frame_%04d", start: 0 }),
        yield* renderPictures(path.join(dir, "part_1"), 12, 13, { extension, name: "s1 %d", start: 1200 }),
        yield* renderPictures(path.join(dir, "part_2"), 13, 18, { extension, name: "%d", start: 8 })
      ]
      const output = path.join(dir, `out.${to}`)
      yield* stitch(real.request(folders, lengths, output, fps))
      const names = ["frame_%04d", "s1 %d", "%d"].map((name, index) =>
        path.join(`${folders[index]}`.replaceAll("%", "%%"), `${name}.${extension}`)
      )
      const starts = [0, 1200, 8]
      const own = yield* Effect.forEach(names, (name, index) => real.decodedPictures(name, starts[index] ?? 0))
      assert.deepStrictEqual(yield* real.decodedFrames(output), own.flat())
      assert.strictEqual(new Set(own.flat()).size, 18)
      const [picture] = yield* real.ffprobe(output)
      if (to === "mov") assert.strictEqual(picture?.["avg_frame_rate"], fps.includes("/") ? fps : `${fps}/1`)
    })
  )

  it.live("is encoded where that is asked for, with sound from elsewhere", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const folders = [
        yield* renderPictures(path.join(dir, "part_0"), 0, 10, { extension: "bmp" }),
        yield* renderPictures(path.join(dir, "part_1"), 10, 20, { extension: "bmp" })
      ]
      const music = path.join(dir, "music.wav")
      yield* real.ffmpeg("-f", "lavfi", "-i", real.tone(48_000), "-t", "1", music)
      const output = path.join(dir, "out.mp4")
      const request = real.request(folders, [10, 10], output)
      const audioTracks = [{ path: music }]
      assertReason(yield* failure(request), "CannotJoin", 10, /of a kind that no video has.*option reencode/)
      yield* stitch(request, { audioTracks, reencode: lossless })
      const streams = yield* real.ffprobe(output)
      assert.deepInclude(streams[0], { codec_name: "h264", nb_read_packets: "20", avg_frame_rate: "30/1" })
      assert.strictEqual(streams[1]?.["codec_name"], "aac")
    })
  )

  const broken: ReadonlyArray<readonly [string, (folder: string) => Promise<unknown>, RegExp]> = [
    ["a picture short", (folder) => fs.rm(path.join(folder, "0009.png")), /expected 10 frames, found 9 pictures/],
    ["a gap", (folder) => fs.rm(path.join(folder, "0004.png")), /"0004.png" is not there, and "0005.png" is/],
    ["an empty picture", (folder) => fs.truncate(path.join(folder, "0003.png")), /"0003.png" is empty/],
    ["another kind", (folder) => fs.rename(path.join(folder, "0002.png"), path.join(folder, "0002.jpg")), /not there/],
    ["something else", (folder) => fs.writeFile(path.join(folder, "notes.txt"), "mine"), /"notes.txt" is no numbered/],
    ["nothing", (folder) => fs.rm(folder, { recursive: true }).then(() => fs.mkdir(folder)), /it holds no pictures/]
  ]
  it.live.each(broken)("is refused with %s", ([, breakIt, text]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const folder = yield* renderPictures(path.join(dir, "part_0"), 0, 10)
      yield* Effect.promise(() => breakIt(folder))
      const before = yield* real.listing(dir)
      assertReason(yield* failure(real.request([folder], [10], path.join(dir, "out.mov"))), "ChunkInvalid", 10, text)
      assert.deepStrictEqual(yield* real.listing(dir), before)
    })
  )
})

describe("pictures as the output", () => {
  const alpha = "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le".split(" ")
  it.live.each([
    ["png", real.bFrames, "30"],
    ["jpg", real.x264, "30000/1001"],
    ["tiff", alpha, "24000/1001"]
  ] as const)("are one for each frame, in a folder that appears whole: .%s", ([extension, video, fps]) =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const lengths = [7, 1, 12]
      const files = yield* real.renderChunks(dir, lengths, { fps, video, audio: real.pcm }, "mov")
      const output = path.join(dir, "film")
      const result = yield* stitch({ ...real.request(files, lengths, output, fps), format: extension })
      const names = yield* real.listing(output)
      assert.lengthOf(names, 20)
      assert.strictEqual(names[0], `frame_00000.${extension}`)
      assert.strictEqual(names.at(-1), `frame_00019.${extension}`)
      const sizes = yield* Effect.promise(() => Promise.all(names.map((name) => fs.stat(path.join(output, name)))))
      assert.strictEqual(
        result.bytes,
        sizes.reduce((sum, { size }) => sum + size, 0)
      )
      assert.strictEqual(yield* nearest(path.join(output, `frame_%05d.${extension}`), files), 20)
      assert.notInclude((yield* real.listing(dir)).join(" "), ".stitching")
    })
  )

  it.live("keep the alpha of their chunks, that of VP9 as well", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const chunk = path.join(dir, "part_0.webm")
      yield* real.ffmpeg(
        ..."-f lavfi -i color=red@0.3:s=64x64:r=30,format=yuva420p -frames:v 4".split(" "),
        ..."-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -auto-alt-ref 0 -pix_fmt yuva420p".split(" "),
        chunk
      )
      const chunks = yield* real.repeat([chunk], 2)
      const output = path.join(dir, "film")
      yield* stitch({ ...real.request(chunks, [4, 4], output), format: "png" })
      const alphaOf = (...input: ReadonlyArray<string>) =>
        real.ffmpeg(...input, ..."-vf alphaextract,scale=1:1 -f rawvideo -pix_fmt gray -".split(" "))
      const found = yield* alphaOf("-i", path.join(output, "frame_%05d.png"))
      assert.lengthOf(found, 8)
      for (const value of found) assert.closeTo(value, 0.3 * 255, 4)
      // Encoded again it is not lost either.
      const movie = path.join(dir, "out.mov")
      yield* stitch(real.request(chunks, [4, 4], movie), { reencode: { codec: "png" } })
      for (const value of yield* alphaOf("-i", movie)) assert.closeTo(value, 0.3 * 255, 4)
    })
  )

  it.live("take nobody's place, and are a folder by name", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [3, 3], {})
      const output = path.join(dir, "film")
      yield* Effect.promise(() => fs.mkdir(output))
      yield* Effect.promise(() => fs.writeFile(path.join(output, "mine.png"), "mine"))
      const request = { ...real.request(files, [3, 3], output), format: "png" }
      assertReason(yield* failure(request), "OutputUnwritable", undefined, /something is there already/)
      assert.deepStrictEqual(yield* real.listing(output), ["mine.png"])
      for (const name of ["frame_%05d.png", "film.png"]) {
        const single = real.request(files, [3, 3], path.join(dir, name))
        assertReason(
          yield* failure(single),
          "CannotJoin",
          undefined,
          /single picture.*name a folder.*"png" as its format/
        )
      }
      assert.deepStrictEqual(yield* real.listing(dir), ["film", "part_0.mp4", "part_1.mp4"])
    })
  )

  it.live("are thrown away when ffmpeg loses one without a word", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(dir, [6, 6], {})
      const ffmpegPath = yield* real.ffmpegThat(
        path.join(dir, "lossy"),
        `exec "$FFMPEG" "\${@:1:$#-1}" -frames:v 11 "$last"`
      )
      const request = { ...real.request(files, [6, 6], path.join(dir, "film")), format: "png" }
      assertReason(yield* failure(request, { ffmpegPath }), "ResultInvalid", undefined, /12 frames, found 11 frames/)
      assert.deepStrictEqual(yield* real.listing(dir), ["lossy", "part_0.mp4", "part_1.mp4"])
    })
  )
})
