import { PassThrough } from "node:stream"
import { stripVTControlCharacters } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import type { JobProgress } from "@helios-infra/core/Progress"
import { drawBars, makeProgressDisplay } from "../src/progress-bars.ts"

const at = (done: number, more: Partial<JobProgress> = {}): JobProgress => ({
  jobId: "demo",
  run: 1,
  status: "running",
  fraction: Math.min(0.99, done / 300),
  frames: { done, total: 300 },
  chunks: { done: Math.floor(done / 38), total: 8 },
  running: [],
  etaMs: undefined,
  ...more
})

describe("drawBars", () => {
  it("draws a bar for every running chunk, in the order of the film, and one in all", () => {
    const running = [
      { chunkId: 3, attempt: 2, frames: { done: 38, total: 38 } },
      { chunkId: 2, attempt: 1, frames: { done: 0, total: 38 } }
    ]
    const lines = stripVTControlCharacters(drawBars(at(150, { running, etaMs: 12_400 }), 68)).split("\n")
    assert.deepStrictEqual(lines, [
      `  chunk 2    ${"░".repeat(20)} 0 of 38 frames`,
      `  chunk 3    ${"█".repeat(20)} 38 of 38 frames, attempt 2`,
      `  all        ${"█".repeat(10)}${"░".repeat(10)} 150 of 300 frames, 3 of 8 chunks, 12 s left`
    ])
  })

  it("says how the job ended", () => {
    assert.match(drawBars(at(150, { status: "paused" }), 80), /, paused$/)
  })
})

describe("without a terminal", () => {
  it("prints a line for every tenth and one for the end, however often it is told", () => {
    const stream = new PassThrough()
    const display = makeProgressDisplay(stream)
    for (let done = 0; done <= 300; done++) display.update(at(done))
    display.done(at(300, { status: "completed", fraction: 1 }))
    const lines = String(stream.read()).trimEnd().split("\n")
    assert.strictEqual(lines.length, 11)
    assert.match(lines[0] ?? "", /^ +0 % {2}0 of 300 frames, 0 of 8 chunks$/)
    assert.match(lines[10] ?? "", /^ +100 % {2}300 of 300 frames, 7 of 8 chunks, completed$/)
    assert.isFalse(lines.join("").includes("\u001b"))
  })
})
