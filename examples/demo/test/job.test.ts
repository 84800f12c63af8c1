import { readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as JobSpec from "@helios-infra/core/JobSpec"
import * as Effect from "effect/Effect"
import { full, planJob, small, writeJob } from "../src/job.ts"
import { temporaryFolder } from "./FakeFilm.ts"

describe("the demo's job", () => {
  const folder = temporaryFolder()
  const example = join(import.meta.dirname, "..")

  it.effect("has every frame of the film once, in eight chunks", () =>
    Effect.gen(function* () {
      const { chunks, metadata } = yield* planJob(folder, full)
      assert.deepInclude(metadata, { totalFrames: 300, fps: 30, width: 1280, height: 720, duration: 10 })
      assert.strictEqual(chunks.length, 8)
      const next = chunks.reduce((frame, chunk) => {
        assert.strictEqual(chunk.startFrame, frame)
        return frame + chunk.frameCount
      }, 0)
      assert.strictEqual(next, 300)
    })
  )

  it.effect("names everything from its own folder", () =>
    Effect.gen(function* () {
      const spec = yield* planJob(join(example, "out"), small)
      assert.strictEqual(
        spec.chunks[1]?.command,
        "node ../src/cli.ts --headless --composition ../composition/index.html --start-frame 15 --frame-count 15" +
          " --fps 30 --width 320 --height 180 --audio sound.wav -o part_1.mov"
      )
      assert.strictEqual(
        spec.mergeCommand,
        "node ../src/merge.ts --fps 30 -o film.mp4 part_0.mov part_1.mov part_2.mov part_3.mov"
      )
    })
  )

  it("is written as a file that core reads", async () => {
    const job = await writeJob(join(folder, "a job"), small)
    const text: unknown = JSON.parse(readFileSync(job.jobFile, "utf8"))
    assert.deepStrictEqual(await Effect.runPromise(JobSpec.decode(text)), job.spec)
    assert.deepStrictEqual(job.seams, [15, 30, 45])
    assert.strictEqual(relative(job.folder, job.soundFile), "sound.wav")
    assert.strictEqual(readFileSync(job.soundFile).length, 44 + 4 * 480_000)
  })
})
