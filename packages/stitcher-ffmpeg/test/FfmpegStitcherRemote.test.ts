/** Chunks that are no files of this machine, read where they are. */
import type { ChunkOutput, RemoteChunk, StitchRequest } from "@helios-infra/core/VideoStitcher"
import type * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import * as StitchManifest from "@helios-infra/stitcher-ffmpeg/StitchManifest"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"
import { assertReason, stitch } from "./Stitching.ts"

/** What a storage does with a range, in place of giving it. */
type Trouble = (range: { readonly from: number; readonly to: number }, bytes: Buffer) => ReturnType<RemoteChunk["read"]>

/** What a storage gives, in pieces of 10 000 bytes. */
const pieces = (bytes: Buffer): Stream.Stream<Uint8Array> =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / 10_000) }, (_, index) =>
      bytes.subarray(index * 10_000, (index + 1) * 10_000)
    )
  )

/** A storage with files in it, of which the second is in trouble. */
const makeStorage = Effect.fnUntraced(function* (files: ReadonlyArray<string>, trouble?: Trouble) {
  const contents = yield* Effect.promise(() => Promise.all(files.map((file) => fs.readFile(file))))
  let given = 0
  const remote = ({ index }: ChunkOutput): RemoteChunk => {
    const bytes = contents[index] ?? Buffer.alloc(0)
    return {
      bytes: bytes.length,
      read: (range) => {
        const part = bytes.subarray(range.from, range.to)
        const stream = index === 1 && trouble !== undefined ? trouble(range, part) : pieces(part)
        return Stream.tap(stream, ({ length }) => Effect.sync(() => (given += length)))
      }
    }
  }
  const sha256 = contents.map((bytes) => createHash("sha256").update(bytes).digest("hex"))
  return { remote, sha256, given: () => given, all: contents.reduce((sum, { length }) => sum + length, 0) }
})

const requestOf = (
  files: ReadonlyArray<string>,
  lengths: ReadonlyArray<number>,
  output: string,
  storage: { readonly remote: (output: ChunkOutput) => RemoteChunk; readonly sha256: ReadonlyArray<string> }
): StitchRequest => {
  const request = real.request(files, lengths, output)
  return {
    ...request,
    inputs: Stream.map(request.inputs, (one) => ({
      ...one,
      location: `artifact:chunks/${one.index}`,
      bytes: storage.remote(one).bytes,
      sha256: storage.sha256[one.index] ?? ""
    })),
    remote: storage.remote
  }
}

const lengths = [20, 30, 25]
const large = { size: "320x240", video: [...real.x264, "-crf", "1"] }
// About half a megabyte a frame.
const prores = "-c:v prores_ks -profile:v 4444 -qscale:v 1 -pix_fmt yuv444p10le".split(" ")
/** Several times what is brought here of a chunk before it is joined. */
const huge = { size: "1280x720", video: [...real.x264, "-qp", "0", "-g", "1"] }

const set = Effect.fnUntraced(function* (
  piece: Omit<real.Piece, "from" | "to">,
  extension: string,
  trouble?: (give: (bytes: Buffer) => ReturnType<RemoteChunk["read"]>) => Trouble,
  options: FfmpegStitcher.Options & { readonly to?: string } = {}
) {
  const dir = yield* real.folder
  const files = yield* real.renderChunks(yield* real.folder, lengths, piece, extension)
  const storage = yield* makeStorage(files, trouble?.(pieces))
  const output = path.join(dir, `out.${options.to ?? "mp4"}`)
  const expected = (yield* Effect.forEach(files, real.decodedFrames)).flat()
  return { dir, files, storage, output, expected, joining: stitch(requestOf(files, lengths, output, storage), options) }
})

describe("chunks elsewhere", () => {
  it.live.each([
    ["H.264 with its index behind", { ...huge, audio: real.pcm }, "mov", {}],
    ["H.264 with its index in front", { ...huge, audio: [...real.pcm, "-movflags", "+faststart"] }, "mov", {}],
    ["with B-frames", { ...huge, video: [...real.bFrames, "-qp", "0"] }, "mp4", {}],
    ["when all are there", { ...huge, audio: real.pcm }, "mov", { incremental: false }],
    ["into Matroska", huge, "mp4", { to: "mkv" }],
    ["ProRes, whose first frame is larger than that", { ...huge, video: prores }, "mov", { to: "mov" }]
  ] as const)("are joined without a copy of them, and read about once: %s", ([, piece, extension, options]) =>
    Effect.gen(function* () {
      const { dir, expected, joining, output, storage } = yield* set(piece, extension, undefined, {
        ...options,
        // Keeps its folder, to be looked into.
        manifest: path.join(yield* real.folder, "manifest.json")
      })
      const mostCopied = yield* watch(dir, joining)
      assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
      assert.isBelow(mostCopied, storage.all / 2, "no more than indexes and beginnings is here")
      // Small ones nearly fit into what the system keeps of a connection that is given up at once.
      assert.isBelow(storage.given(), 3 * storage.all)
    })
  )

  it.live(
    "are copied where more than their packets is needed: encoded sound, Matroska, fragments, another encode",
    () =>
      Effect.gen(function* () {
        const cases = [
          [{ audio: ["-c:a", "aac"] }, "mp4", {}],
          [{ audio: real.pcm }, "mkv", { to: "mkv" }],
          [{ video: [...real.x264, "-movflags", "+frag_keyframe+empty_moov"] }, "mp4", {}],
          [{}, "mp4", { reencode: { codec: "libx264", args: ["-qp", "0", "-preset", "ultrafast"] } }]
        ] as const
        for (const [piece, extension, options] of cases) {
          const { expected, joining, output, storage } = yield* set(piece, extension, undefined, options)
          yield* joining
          assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
          // Once for the copy, and the beginnings.
          assert.isBelow(storage.given(), 3 * storage.all)
        }
      })
  )

  it.live("are copied when their sound turns out not to add up: beside one without any", () =>
    Effect.gen(function* () {
      const dir = yield* real.folder
      const files = yield* real.renderChunks(yield* real.folder, lengths, { audio: real.pcm }, "mov")
      yield* real.render(files[2] ?? "", { from: 50, to: 75 })
      const output = path.join(dir, "out.mov")
      yield* stitch(requestOf(files, lengths, output, yield* makeStorage(files)))
      const samples = yield* real.decodedSamples(output)
      assert.strictEqual(samples.length, 75 * 1600)
      const [heard = 0] = real.loudness(samples.subarray(0, 50 * 1600), 50 * 1600)
      const [silent = 0] = real.loudness(samples.subarray(50 * 1600), 25 * 1600)
      assert.isAbove(heard, -12)
      assert.isBelow(silent, -100)
    })
  )

  it.live("stand in the manifest with the hash that they were proven to have", () =>
    Effect.gen(function* () {
      const manifest = path.join(yield* real.folder, "manifest.json")
      const { joining, storage } = yield* set({ ...large, audio: real.pcm }, "mov", undefined, { manifest })
      yield* joining
      const text = yield* Effect.promise(() => fs.readFile(manifest, "utf8"))
      const { chunks } = yield* Schema.decodeEffect(StitchManifest.json)(text)
      assert.deepStrictEqual(
        chunks.map(({ sha256 }) => sha256),
        storage.sha256
      )
    })
  )
})

/** How many bytes a stitch has on the disk at most beside the file that it makes. */
const watch = <A, E, R>(dir: string, joining: Effect.Effect<A, E, R>) => {
  let most = 0
  const look = Effect.promise(async () => {
    const folder = (await fs.readdir(dir)).find((name) => name.startsWith(".stitching-"))
    if (folder === undefined) return
    const names = (await fs.readdir(path.join(dir, folder))).filter((name) => !name.startsWith("joined"))
    const stats = await Promise.all(names.map((name) => fs.stat(path.join(dir, folder, name))))
    most = Math.max(
      most,
      stats.reduce((sum, { blocks }) => sum + blocks * 512, 0)
    )
  }).pipe(Effect.ignoreCause)
  return Effect.raceFirst(joining, Effect.forever(Effect.andThen(Effect.sleep("5 millis"), look))).pipe(
    Effect.map(() => most)
  )
}

describe("a storage that is", () => {
  const withPcm = { ...large, audio: real.pcm }
  it.live("slow is waited for", () =>
    Effect.gen(function* () {
      const { expected, joining, output } = yield* set(
        withPcm,
        "mov",
        (give) => (_, bytes) => Stream.tap(give(bytes), () => Effect.sleep("5 millis"))
      )
      yield* joining
      assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
    })
  )

  it.live("broken off again and again, or ends early, is gone on with where it broke off", () =>
    Effect.gen(function* () {
      for (const end of [Stream.fail({ message: "socket hang up" }), Stream.empty]) {
        const { expected, joining, output } = yield* set(
          withPcm,
          "mov",
          (give) => (_, bytes) =>
            bytes.length <= 30_000 ? give(bytes) : Stream.concat(give(bytes.subarray(0, 30_000)), end)
        )
        yield* joining
        assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
      }
    })
  )

  const bad: ReadonlyArray<
    readonly [string, (give: (bytes: Buffer) => ReturnType<RemoteChunk["read"]>) => Trouble, RegExp]
  > = [
    ["gone from the start", () => () => Stream.fail({ message: "artifact is not there" }), /artifact is not there/],
    [
      "gone before it is joined",
      (give) => {
        let reads = 0
        return (_, bytes) => (++reads > 2 ? Stream.fail({ message: "artifact is not there" }) : give(bytes))
      },
      /artifact is not there/
    ],
    [
      "shorter than was said",
      (give) =>
        ({ from }, bytes) =>
          from > 40_000 ? Stream.empty : give(bytes.subarray(0, 50_000 - from)),
      /found \d+ bytes of it, where \d+ were sent/
    ],
    [
      "lying in one byte of a picture, which is as valid as the right one",
      (give) =>
        ({ from }, bytes) => {
          const changed = Buffer.from(bytes)
          if (from <= 60_000 && from + bytes.length > 60_000) changed[60_000 - from] = (changed[60_000 - from] ?? 0) ^ 1
          return give(changed)
        },
      /expected the SHA-256 \w+, found the SHA-256/
    ],
    ["giving a text", (give) => (_, bytes) => give(Buffer.alloc(bytes.length, "no video ")), /SHA-256|no video/],
    ["giving nothing", () => () => Stream.make(new Uint8Array(0)), /found \d+ bytes of it/]
  ]
  it.live.each(bad)("%s fails the stitch, by the chunk's name, and leaves nothing", ([, trouble, text]) =>
    Effect.gen(function* () {
      const { dir, joining } = yield* set(withPcm, "mov", trouble)
      assertReason(yield* Effect.flip(joining), "ChunkInvalid", 11, text)
      assert.deepStrictEqual(yield* real.listing(dir), [])
    })
  )

  it.live("giving more than was asked for is cut short", () =>
    Effect.gen(function* () {
      const { expected, joining, output } = yield* set(
        withPcm,
        "mov",
        (give) => (_, bytes) => Stream.concat(give(bytes), Stream.make(new Uint8Array(5000).fill(1)))
      )
      yield* joining
      assert.deepStrictEqual(yield* real.decodedFrames(output), expected)
    })
  )
})
