import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { cutSound, encodeWav, makeSound, sampleRange, writeSound } from "../src/sound.ts"
import { temporaryFolder } from "./FakeFilm.ts"

describe("sampleRange", () => {
  it("gives 1600 samples to a frame at 30 frames per second", () => {
    assert.deepStrictEqual(sampleRange(3, 2, 30), { start: 4800, end: 8000 })
  })

  for (const fps of [7, 23, 24, 30, 59, 144]) {
    it(`tiles: at ${fps} frames per second every sample belongs to one chunk, whatever the cuts`, () => {
      const frames = 10 * fps
      let frame = 0
      let sample = 0
      for (let size = 1; frame < frames; size = (size * 5) % 37 || 1) {
        const count = Math.min(size, frames - frame)
        const range = sampleRange(frame, count, fps)
        assert.strictEqual(range.start, sample)
        frame += count
        sample = range.end
      }
      assert.strictEqual(sample, 480_000)
    })
  }
})

describe("the sound", () => {
  const folder = temporaryFolder()
  const whole = makeSound()

  it("is ten seconds of stereo, the same every time, loud and never clipped", () => {
    assert.strictEqual(whole.length, 2 * 480_000)
    assert.isTrue(Buffer.from(whole.buffer).equals(Buffer.from(makeSound().buffer)))
    const peak = whole.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    assert.isAbove(peak, 16_000)
    assert.isBelow(peak, 32_767)
  })

  it("has a beat: every half second begins far louder than it ends", () => {
    const loudness = (from: number, to: number) =>
      whole.subarray(2 * 48_000 * from, 2 * 48_000 * to).reduce((sum, value) => sum + value * value, 0)
    for (let beat = 0; beat < 20; beat++) {
      const at = beat / 2
      assert.isAbove(loudness(at, at + 0.1), 2 * loudness(at + 0.4, at + 0.5))
    }
  })

  it("is cut into slices that are the whole again", async () => {
    const file = join(folder, "whole.wav")
    await writeSound(file)
    const cuts = [0, 1, 38, 39, 76, 200, 299, 300]
    const slices = await Promise.all(
      cuts.slice(1).map((end, index) => cutSound(file, cuts[index] ?? 0, end - (cuts[index] ?? 0), 30))
    )
    const joined = Buffer.concat(slices.map((slice) => slice.subarray(44)))
    assert.isTrue(joined.equals(readFileSync(file).subarray(44)))
    assert.strictEqual(slices[0]?.readUInt32LE(40), 1600 * 4)
  })

  it("is silent beyond its end", async () => {
    const file = join(folder, "short.wav")
    writeFileSync(file, encodeWav(Int16Array.from([1, 2, 3, 4])))
    const slice = await cutSound(file, 0, 1, 12_000)
    assert.deepStrictEqual([...new Int16Array(slice.buffer, slice.byteOffset + 44, 8)], [1, 2, 3, 4, 0, 0, 0, 0])
  })

  it("is refused when it is not a WAV of its kind", async () => {
    const file = join(folder, "not.wav")
    writeFileSync(file, "RIFF but nothing more")
    const error: unknown = await cutSound(file, 0, 1, 30).catch((error: unknown) => error)
    assert.match(String(error), /not\.wav is not a plain WAV file/)
  })
})
