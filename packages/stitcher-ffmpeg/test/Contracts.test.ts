import * as FfmpegOutputCheck from "@helios-infra/stitcher-ffmpeg/FfmpegOutputCheck"
import * as FfmpegStitcher from "@helios-infra/stitcher-ffmpeg/FfmpegStitcher"
import { outputCheckContract, VideoRig, videoStitcherContract } from "@helios-infra/testkit"
import { Effect, Layer, Option } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as real from "./RealVideos.ts"

const statOf = (file: string) => Effect.promise(() => fs.stat(file).catch(() => undefined))

const videos = Layer.effect(
  VideoRig.VideoRig,
  Effect.map(real.folder, (dir) => ({
    chunk: (name, startFrame, frameCount) =>
      real.render(path.join(dir, `${name}.mp4`), { from: startFrame, to: startFrame + frameCount }),
    damage: Effect.fnUntraced(function* (location: string, how: VideoRig.Damage, frameCount: number) {
      switch (how) {
        case "missing":
          yield* Effect.promise(() => fs.rm(location))
          return true
        case "empty":
          yield* Effect.promise(() => fs.truncate(location))
          return true
        case "truncated": {
          const size = (yield* statOf(location))?.size ?? 0
          yield* Effect.promise(() => fs.truncate(location, Math.floor(size / 2)))
          return true
        }
        case "short":
          yield* real.render(location, { from: 0, to: frameCount - 1 })
          return true
        case "odd":
          yield* real.render(location, { from: 0, to: frameCount, size: "32x64" })
          return true
      }
    }),
    output: (name) => path.join(dir, `${name}.mp4`),
    frames: real.decodedFrames,
    size: (location) =>
      Effect.map(statOf(location), (stat) => Option.map(Option.fromUndefinedOr(stat), ({ size }) => size)),
    files: real.listing(dir)
  }))
)

const options = { ffmpegPath: real.ffmpegPath }

videoStitcherContract(
  "FfmpegStitcher",
  Layer.merge(FfmpegStitcher.layer(options).pipe(Layer.provide(real.workspace)), videos),
  { patience: "30 seconds" }
)

outputCheckContract(
  "FfmpegOutputCheck",
  Layer.merge(FfmpegOutputCheck.layer(options).pipe(Layer.provide(real.workspace)), videos)
)

outputCheckContract(
  "FfmpegOutputCheck without decoding",
  Layer.merge(FfmpegOutputCheck.layer({ ...options, decode: "packets" }).pipe(Layer.provide(real.workspace)), videos)
)
