/** A job whose renderer writes pictures, and whose result are pictures, as compositing tools want them. */
import { path as ffmpeg } from "@ffmpeg-installer/ffmpeg"
import { JobManager } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import * as RealMachine from "./RealMachine.ts"

/** Numbers its pictures as the film's frames are numbered, as Blender does. */
const render = [
  `'${ffmpeg}' -v error -f lavfi -i`,
  "testsrc2=size=64x48:rate=30,trim=start_frame={startFrame},setpts=PTS-STARTPTS",
  "-frames:v {frameCount} -start_number {startFrame} {output}/frame_%04d.png"
].join(" ")

describe("a job of pictures", { timeout: 60_000 }, () => {
  it.live.each([
    ["folders into a folder", "frames", "png"],
    ["folders into a video", "film.mov", undefined]
  ] as const)("is rendered, checked and joined, picture by picture: %s", ([, outputFile, container]) =>
    Effect.gen(function* () {
      const dir = yield* RealMachine.folder
      const spec = yield* RealMachine.plan(render, { chunks: { count: 4 } })
      const run = JobManager.JobManager.use((jobs) =>
        Effect.flatMap(jobs.create(spec), ({ id }) => jobs.run(id, { outputFile, container, concurrency: 2 }))
      )
      const state = yield* Effect.provide(run, RealMachine.layer(dir))
      assert.strictEqual(state.status, "completed")
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(dir)), [outputFile])
      const whole = join(yield* RealMachine.folder, "whole.mov")
      const picture = "testsrc2=size=64x48:rate=30"
      yield* Effect.promise(() =>
        promisify(execFile)(ffmpeg, [
          ..."-v error -f lavfi -i".split(" "),
          picture,
          ..."-frames:v 90 -c:v png".split(" "),
          whole
        ])
      )
      const film = join(dir, outputFile)
      if (container === undefined) {
        assert.deepStrictEqual(yield* RealMachine.hashesOf(film), yield* RealMachine.hashesOf(whole))
        return
      }
      assert.deepStrictEqual(
        (yield* Effect.promise(() => readdir(film))).toSorted(),
        Array.from({ length: 90 }, (_, frame) => `frame_${String(frame).padStart(5, "0")}.png`)
      )
      const joined = join(dir, "joined.mov")
      yield* Effect.promise(() =>
        promisify(execFile)(ffmpeg, ["-v", "error", "-i", join(film, "frame_%05d.png"), "-c", "copy", joined])
      )
      assert.deepStrictEqual(yield* RealMachine.hashesOf(joined), yield* RealMachine.hashesOf(whole))
    })
  )
})
