import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import * as Promises from "@helios-infra/stitcher-ffmpeg/promise"
import { outputCheckContract, VideoRig, videoStitcherContract } from "@helios-infra/testkit"
import { Effect, Exit, Layer, Scope } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const sizeOf = (file: string) =>
  fs.stat(file).then(
    ({ size }) => size,
    () => undefined
  )

/** Videos of a real ffmpeg in a folder. */
const rigIn = (dir: string): VideoRig.PlainVideoRig => {
  const render = (file: string, piece: real.Piece) => Effect.runPromise(real.render(file, piece))
  return {
    chunk: (name, from, frameCount) => render(path.join(dir, `${name}.mp4`), { from, to: from + frameCount }),
    damage: async (file, how, frameCount) => {
      if (how === "missing") await fs.rm(file)
      else if (how === "empty") await fs.truncate(file)
      else if (how === "truncated") await fs.truncate(file, Math.floor(((await sizeOf(file)) ?? 0) / 2))
      else if (how === "short") await render(file, { from: 0, to: frameCount - 1 })
      else await render(file, { from: 0, to: frameCount, size: "32x64" })
      return true
    },
    output: (name) => path.join(dir, `${name}.mp4`),
    frames: (file) => Effect.runPromise(real.decodedFrames(file)),
    size: sizeOf,
    files: () => Effect.runPromise(real.listing(dir))
  }
}

const videos = Layer.effect(
  VideoRig.VideoRig,
  Effect.map(real.folder, (dir) => VideoRig.fromPlain(rigIn(dir)))
)

/** The same for one case of a plain class. */
const plainVideos = async () => {
  const scope = Scope.makeUnsafe()
  const dir = await Effect.runPromise(real.folder.pipe(Scope.provide(scope)))
  return { rig: rigIn(dir), close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

const options = { ffmpegPath: real.ffmpegPath }

videoStitcherContract(
  "FfmpegStitcher",
  Layer.merge(FfmpegStitcher.layer(options).pipe(Layer.provide(real.workspace)), videos),
  { patience: "30 seconds" }
)

videoStitcherContract(
  "FfmpegStitcher of the Promise API",
  async () => ({ stitcher: new Promises.FfmpegStitcher(options), ...(await plainVideos()) }),
  { patience: "30 seconds" }
)

outputCheckContract(
  "FfmpegOutputCheck",
  Layer.merge(FfmpegOutputCheck.layer(options).pipe(Layer.provide(real.workspace)), videos)
)

for (const decode of ["packets", "full"] as const) {
  outputCheckContract(
    `FfmpegOutputCheck, decode: ${decode}`,
    Layer.merge(FfmpegOutputCheck.layer({ ...options, decode }).pipe(Layer.provide(real.workspace)), videos)
  )
}

outputCheckContract("FfmpegStitcher's check of the Promise API", async () => ({
  check: new Promises.FfmpegStitcher(options).outputCheck,
  ...(await plainVideos())
}))
