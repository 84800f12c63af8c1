import { join } from "node:path"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { encodeStrip } from "../composition/strip.js"
import { writeSound } from "../src/sound.ts"
import type { Report } from "../src/verify.ts"
import { decodeStrip, formatReport, readFrameNumbers, verify } from "../src/verify.ts"
import type { FilmOptions } from "./FakeFilm.ts"
import { ffmpeg, fps, makeFilm, numbers, temporaryFolder } from "./FakeFilm.ts"

const folder = temporaryFolder()
const sound = join(folder, "sound.wav")
const twoSeconds = "atrim=end=2"
const good = { frames: numbers(60), sound, soundFilter: twoSeconds }

beforeAll(() => writeSound(sound))

/** Makes a film and looks at it, as one of 60 frames in four chunks. */
const judge = async (name: string, options: FilmOptions): Promise<Report> => {
  const file = join(folder, `${name}.mp4`)
  await makeFilm(file, options)
  return verify(ffmpeg, file, { frames: 60, fps, seams: [15, 30, 45], sound })
}

/** The names of the checks that failed. */
const failed = (report: Report): ReadonlyArray<string> =>
  report.checks.filter((check) => !check.ok).map((check) => check.name)

const found = (report: Report, name: string): string =>
  report.checks.find((check) => check.name === name)?.found ?? "not looked at"

describe("the strip", () => {
  const gray = (blocks: ReadonlyArray<boolean>): Uint8Array =>
    Uint8Array.from({ length: 256 * 16 }, (_, index) => (blocks[Math.floor((index % 256) / 16)] === true ? 235 : 20))

  it("reads back every number it can hold", () => {
    for (let frame = 0; frame < 4096; frame++) assert.strictEqual(decodeStrip(gray(encodeStrip(frame))), frame)
  })

  it("is unreadable rather than wrong when any block has changed", () => {
    for (let block = 0; block < 16; block++) {
      const damaged = encodeStrip(1234).map((white, index) => (index === block ? !white : white))
      assert.isUndefined(decodeStrip(gray(damaged)))
    }
    assert.isUndefined(decodeStrip(new Uint8Array(256 * 16).fill(128)))
  })

  it("survives the encoder", async () => {
    const file = join(folder, "strip.mp4")
    const frames = [...numbers(300), 4095, 2730, 1365]
    await makeFilm(file, { frames })
    assert.deepStrictEqual(await readFrameNumbers(ffmpeg, file, fps), frames)
  })
})

describe("verify", () => {
  it("finds nothing wrong with a film that is right", async () => {
    const report = await judge("good", good)
    assert.deepStrictEqual(failed(report), [], formatReport(report).join("\n"))
    assert.isTrue(report.ok)
    assert.deepStrictEqual(
      report.checks.map((check) => check.name),
      ["streams", "duration", "frames", "frame numbers", "sound", "seams", "sync"]
    )
  })

  it("sees a dropped frame", async () => {
    const report = await judge("dropped", { ...good, frames: numbers(60).filter((frame) => frame !== 31) })
    assert.deepStrictEqual(failed(report), ["duration", "frames", "frame numbers"])
    assert.match(found(report, "frame numbers"), /^missing 31; frame 32 in place 31;/)
  })

  it("sees a doubled frame, even where the count is right", async () => {
    const report = await judge("doubled", { ...good, frames: numbers(60).map((frame) => (frame === 31 ? 30 : frame)) })
    assert.deepStrictEqual(failed(report), ["frame numbers"])
    assert.strictEqual(found(report, "frame numbers"), "missing 31; frame 30 in place 31")
  })

  it("sees swapped frames", async () => {
    const swapped = numbers(60).map((frame) => (frame === 14 ? 15 : frame === 15 ? 14 : frame))
    const report = await judge("swapped", { ...good, frames: swapped })
    assert.strictEqual(found(report, "frame numbers"), "frame 15 in place 14; frame 14 in place 15")
    assert.isFalse(report.ok)
  })

  it("sees a frame that is shown too late, though all are there", async () => {
    const report = await judge("late", { ...good, pictureFilter: "setpts='(N+if(gte(N,40),1,0))/(30*TB)'" })
    assert.deepStrictEqual(failed(report), ["duration"])
    assert.match(found(report, "duration"), /frame 40 is shown at 1\.367 s/)
  })

  it("sees that there is no sound", async () => {
    const report = await judge("silent", { frames: numbers(60) })
    assert.deepStrictEqual(failed(report), ["streams"])
    assert.strictEqual(found(report, "streams"), "video")
  })

  it("sees a second sound", async () => {
    const report = await judge("twice", { ...good, more: ["-map", "1:a"] })
    assert.deepStrictEqual(failed(report), ["streams"])
  })

  it("sees sound that ends too early", async () => {
    const report = await judge("short", { ...good, soundFilter: "atrim=end=1.9" })
    assert.deepStrictEqual(failed(report), ["sound"])
  })

  it("sees a gap of 10 ms at a seam", async () => {
    const gap = "volume=enable='between(t,1.0,1.01)':volume=0"
    const report = await judge("gap", { ...good, soundFilter: `${twoSeconds},${gap}` })
    assert.deepStrictEqual(failed(report), ["seams"])
    assert.match(found(report, "seams"), /at frame 30$/)
  })

  it("sees sound that has drifted by 5 ms", async () => {
    const report = await judge("late-sound", { ...good, soundFilter: `adelay=5|5,${twoSeconds}` })
    assert.include(failed(report), "sync")
    assert.match(found(report, "sync"), /^5\.00 ms/)
  })
})
