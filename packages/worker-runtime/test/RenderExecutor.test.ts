import { assert, describe, it } from "@effect/vitest"
import * as JobSpec from "@helios-infra/core/JobSpec"
import { path as ffmpegPath } from "@ffmpeg-installer/ffmpeg"
import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as RenderExecutor from "@helios-infra/worker-runtime/RenderExecutor"
import { Effect, Fiber, Layer } from "effect"
import * as path from "node:path"
import * as Rig from "./Rig.ts"

/** A folder, and what runs commands in it. */
const setUp = Effect.fnUntraced(function* (options: Partial<RenderExecutor.LayerOptions> = {}) {
  const dir = yield* Rig.folder
  const layer = RenderExecutor.layer({ workspaceDir: dir, killGrace: "300 millis", ...options })
  const use = <A, E>(f: (executor: RenderExecutor.RenderExecutor["Service"]) => Effect.Effect<A, E>) =>
    RenderExecutor.RenderExecutor.use(f).pipe(Effect.provide(Layer.orDie(layer)))
  const chunk = Effect.fnUntraced(function* (
    spec: unknown,
    chunkId: number = 3,
    options?: RenderExecutor.ChunkOptions
  ) {
    const decoded = yield* Effect.orDie(JobSpec.decode(spec))
    return yield* use((executor) => executor.executeChunk(decoded, chunkId, options))
  })
  const merge = Effect.fnUntraced(function* (spec: unknown, options?: RenderExecutor.MergeOptions) {
    const decoded = yield* Effect.orDie(JobSpec.decode(spec))
    return yield* use((executor) => executor.executeMerge(decoded, options))
  })
  return { chunk, dir, files: Rig.filesIn(dir), merge }
})

describe("executeChunk", () => {
  it.live("puts the output under its name, in place of an older one", () =>
    Effect.gen(function* () {
      const { chunk, dir, files } = yield* setUp()
      yield* Rig.write(path.join(dir, "out/part_3.mov"), "older")
      const spec = Rig.job("")
      const nested = {
        ...spec,
        chunks: [
          { ...spec.chunks[0], outputFile: "out/part_3.mov", command: `sh -c 'printf newer > "$1"' sh out/part_3.mov` }
        ]
      }
      const result = yield* chunk(nested)
      assert.strictEqual(result.exitCode, 0)
      assert.deepStrictEqual(result.output, { location: path.join(dir, "out/part_3.mov"), bytes: 5 })
      assert.strictEqual(yield* Rig.read(path.join(dir, "out/part_3.mov")), "newer")
      assert.deepStrictEqual(yield* files, ["out/part_3.mov"])
    })
  )

  it.live("leaves an older output as it was when the command fails, is stopped, or writes nothing good", () =>
    Effect.gen(function* () {
      const { chunk, dir, files } = yield* setUp()
      yield* Rig.write(path.join(dir, "part_3.mov"), "older")
      const failed = yield* Effect.flip(chunk(Rig.job(`printf half > "$1"; exit 9`)))
      assert(failed.reason._tag === "RenderFailed")
      assert.strictEqual(failed.reason.exitCode, 9)
      assert.strictEqual((yield* Effect.flip(chunk(Rig.job(`: > "$1"`)))).reason._tag, "OutputInvalid")
      const running = yield* Effect.forkChild(chunk(Rig.job(`printf half > "$1"; touch begun; sleep 600`)))
      yield* Rig.waitFor(Rig.exists(path.join(dir, "begun")), "the command")
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(yield* files, ["begun", "part_3.mov"])
      assert.strictEqual(yield* Rig.read(path.join(dir, "part_3.mov")), "older")
    })
  )

  it.live("says which chunk there is not, and which program", () =>
    Effect.gen(function* () {
      const { chunk } = yield* setUp()
      const unknown = yield* Effect.flip(chunk(Rig.job("true"), 9, { attempt: 4 }))
      assert.include(unknown.message, "chunk 9 of job film, attempt 4")
      assert(unknown.reason._tag === "Refused")
      const spec = Rig.job("")
      const missing = { ...spec, chunks: [{ ...spec.chunks[0], command: "no-such-renderer {output}" }] }
      const { reason } = yield* Effect.flip(chunk(missing))
      assert(reason._tag === "Refused")
      assert.strictEqual(reason.why, "NotFound")
    })
  )

  it.live("takes ffmpeg's word for what a chunk holds, where that is asked", () =>
    Effect.gen(function* () {
      const { chunk, files } = yield* setUp({ outputCheck: FfmpegOutputCheck.layer({ ffmpegPath }) })
      const render = (frames: number) => {
        const spec = Rig.job("")
        const command = `${ffmpegPath} -v error -y -f lavfi -i testsrc2=size=64x64:rate=30 -frames:v ${frames} -c:v libx264 -pix_fmt yuv420p {output}`
        return { ...spec, chunks: [{ ...spec.chunks[0], command }] }
      }
      const { output } = yield* chunk(render(10))
      assert(output !== undefined)
      assert.strictEqual(output.frames, 10)
      assert.strictEqual(output.format?.codec, "h264")
      const { reason } = yield* Effect.flip(chunk(render(9)))
      assert(reason._tag === "OutputInvalid")
      assert.include(reason.found, "9")
      const other = yield* Effect.flip(chunk(render(10), 3, { format: { width: 128 } }))
      assert.strictEqual(other.reason._tag, "OutputInvalid")
      assert.deepStrictEqual(yield* files, ["part_3.mov"])
    })
  )
})

describe("executeMerge", () => {
  const merging = (mergeCommand: string) => ({ ...Rig.job("true"), mergeCommand })

  it.live("makes the final file appear whole, or leaves the older one", () =>
    Effect.gen(function* () {
      const { dir, files, merge } = yield* setUp()
      yield* Rig.write(path.join(dir, "part_3.mov"), "movie")
      const final = path.join(dir, "film.mp4")
      const { output } = yield* merge(merging("cp part_3.mov film.mp4"), { outputFile: "film.mp4" })
      assert.deepStrictEqual(output, { location: final, bytes: 5 })
      const { reason } = yield* Effect.flip(
        merge(merging(`sh -c 'printf half > "$1"; exit 1' sh film.mp4`), { outputFile: "film.mp4" })
      )
      assert.strictEqual(reason._tag, "RenderFailed")
      assert.strictEqual(yield* Rig.read(final), "movie")
      assert.deepStrictEqual(yield* files, ["film.mp4", "part_3.mov"])
    })
  )

  it.live("lets a command write where it likes, and takes nothing with it when that fails", () =>
    Effect.gen(function* () {
      const { dir, files, merge } = yield* setUp()
      yield* Rig.write(path.join(dir, "part_3.mov"), "movie")
      assert.notProperty(yield* merge(merging("cp part_3.mov film.mp4")), "output")
      assert.strictEqual((yield* Effect.flip(merge(merging("false")))).reason._tag, "RenderFailed")
      assert.deepStrictEqual(yield* files, ["film.mp4", "part_3.mov"])
      const { reason } = yield* Effect.flip(merge(Rig.job("true")))
      assert(reason._tag === "Refused")
      assert.include(reason.fix, "mergeCommand")
    })
  )
})
