/**
 * Judges a finished film by what is in the file, and by nothing that the renderer or the stitcher says.
 *
 * Every frame is decoded and its number read back from the strip of blocks; the sound is decoded and compared with the
 * WAV it was made from, closest where chunks were joined. Nothing here is shared with the code that made the file.
 */
import { readFile } from "node:fs/promises"
import { listStreams, runFfmpeg } from "./ffmpeg.ts"

/** What the film should be. */
export interface Expected {
  readonly frames: number
  readonly fps: number
  /** The first frame of every chunk but the first. */
  readonly seams: ReadonlyArray<number>
  /** The sound that the chunks were cut from: 48 kHz, stereo, 16 bits, at least as long as the film. */
  readonly sound: string
}

/** One thing that was looked at. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly expected: string
  readonly found: string
}

/** Everything that was looked at. */
export interface Report {
  readonly ok: boolean
  readonly checks: ReadonlyArray<Check>
}

const blockSize = 16
const blocks = 16
const rate = 48_000
/** One AAC frame. */
const sampleTolerance = 1024

/** The number in one picture of the strip, 256 by 16 gray pixels; `undefined` where it cannot be read. */
export const decodeStrip = (gray: Uint8Array): number | undefined => {
  const bits: Array<number> = []
  for (let block = 0; block < blocks; block++) {
    // The middle of the block: its borders bleed.
    let sum = 0
    for (let y = 4; y < 12; y++) {
      for (let x = 4; x < 12; x++) sum += gray[y * blocks * blockSize + block * blockSize + x] ?? 0
    }
    const mean = sum / 64
    if (mean > 85 && mean < 170) return undefined
    bits.push(mean >= 170 ? 1 : 0)
  }
  const number = bits.slice(2, 14)
  const parity = number.reduce((sum, bit) => sum + bit, 0) % 2
  if (bits[0] !== 1 || bits[1] !== 0 || bits[14] !== parity || bits[15] !== 1) return undefined
  return number.reduce((value, bit) => value * 2 + bit, 0)
}

/** The number of every frame in the file, in the order of their showing. */
export const readFrameNumbers = async (
  ffmpeg: string,
  file: string,
  fps: number
): Promise<ReadonlyArray<number | undefined>> => {
  const width = blocks * blockSize
  // New timestamps, one frame after the other: else ffmpeg would fill gaps and drop what comes too early.
  const filter = `crop=${width}:${blockSize}:0:in_h-${blockSize},setpts=N/(${fps}*TB)`
  const pixels = ["-f", "rawvideo", "-pix_fmt", "gray"]
  const raw = await runFfmpeg(ffmpeg, ["-i", file, "-map", "0:v:0", "-vf", filter, "-r", String(fps), ...pixels, "-"])
  const size = width * blockSize
  return Array.from({ length: Math.floor(raw.length / size) }, (_, index) =>
    decodeStrip(raw.subarray(index * size, (index + 1) * size))
  )
}

/** Sound as one channel of samples: left and right added up. */
const mono = (pcm: Buffer): Float64Array => {
  const samples = new Float64Array(Math.floor(pcm.length / 4))
  for (let index = 0; index < samples.length; index++) {
    samples[index] = pcm.readInt16LE(4 * index) + pcm.readInt16LE(4 * index + 2)
  }
  return samples
}

const power = (samples: Float64Array, from: number, count: number): number => {
  let sum = 0
  for (let index = from; index < from + count; index++) sum += (samples[index] ?? 0) ** 2
  return sum / count
}

/** The deepest dip of `found` below `reference` within 60 ms of a sample, in dB, over windows of 20 ms. */
const deepestDip = (found: Float64Array, reference: Float64Array, at: number): number => {
  const window = rate / 50
  let deepest = 0
  for (let from = at - 3 * window; from <= at + 2 * window; from += window / 8) {
    const expected = power(reference, from, window)
    // Below about -55 dB of full scale nothing can be heard to dip.
    if (expected < 110 ** 2) continue
    const dip = 10 * Math.log10(expected / Math.max(1, power(found, from, window)))
    deepest = Math.max(deepest, dip)
  }
  return deepest
}

/** By how many samples `found` lags behind `reference` around a sample: where the two are most alike. */
const lagAt = (found: Float64Array, reference: Float64Array, at: number): number => {
  const half = rate / 10
  const reach = 2 * sampleTolerance
  let best = { lag: 0, likeness: -Infinity }
  for (let lag = -reach; lag <= reach; lag++) {
    let likeness = 0
    for (let index = at - half; index < at + half; index += 2) {
      likeness += (reference[index] ?? 0) * (found[index + lag] ?? 0)
    }
    if (likeness > best.likeness) best = { lag, likeness }
  }
  return best.lag
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

/** What is wrong with the order of frames, in words; `undefined` when each comes once and in its place. */
const disorder = (numbers: ReadonlyArray<number | undefined>, frames: number): string | undefined => {
  const wrong = numbers.flatMap((number, place) =>
    number === place ? [] : [`frame ${number ?? "unreadable"} in place ${place}`]
  )
  const seen = new Set(numbers)
  const missing = Array.from({ length: frames }, (_, number) => number).filter((number) => !seen.has(number))
  const parts = [
    ...(missing.length === 0 ? [] : [`missing ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? ", …" : ""}`]),
    ...wrong.slice(0, 3),
    ...(wrong.length > 3 ? [`and ${wrong.length - 3} more`] : [])
  ]
  return parts.length === 0 ? undefined : parts.join("; ")
}

/** Looks at everything and says what was found; rejects only when ffmpeg cannot read the file at all. */
export const verify = async (ffmpeg: string, file: string, expected: Expected): Promise<Report> => {
  const { frames, fps, seams } = expected
  const streams = await listStreams(ffmpeg, file)
  const kinds = streams.map((stream) => stream.kind)
  const checks: Array<Check> = []
  const check = (name: string, ok: boolean, wanted: string, found: string) =>
    checks.push({ name, ok, expected: wanted, found })

  check("streams", kinds.toSorted().join() === "audio,video", "one video, one audio", kinds.join(", ") || "none")

  const packets = streams.find((stream) => stream.kind === "video")?.packets
  if (packets !== undefined) {
    const last = packets.at(-1)
    const duration = last === undefined ? 0 : last.start + last.duration
    const late = packets.findIndex((packet, index) => Math.abs(packet.start - index / fps) > 0.001)
    check(
      "duration",
      Math.abs(duration - frames / fps) < 0.001 && late === -1,
      `${(frames / fps).toFixed(3)} s, one frame every ${(1000 / fps).toFixed(2)} ms`,
      `${duration.toFixed(3)} s${late === -1 ? "" : `, frame ${late} is shown at ${packets[late]?.start.toFixed(3)} s`}`
    )
    const numbers = await readFrameNumbers(ffmpeg, file, fps)
    check("frames", numbers.length === frames, plural(frames, "frame"), plural(numbers.length, "frame"))
    const wrong = disorder(numbers, frames)
    check("frame numbers", wrong === undefined, "each one once, in order", wrong ?? "each one once, in order")
  }

  if (kinds.includes("audio")) {
    const as = ["-f", "s16le", "-ac", "2", "-ar", String(rate)]
    const sound = mono(await runFfmpeg(ffmpeg, ["-i", file, "-map", "0:a:0", ...as, "-"]))
    const reference = mono((await readFile(expected.sound)).subarray(44))
    const samples = Math.round((frames * rate) / fps)
    check(
      "sound",
      Math.abs(sound.length - samples) <= sampleTolerance,
      `${samples} samples, give or take ${sampleTolerance}`,
      `${sound.length} samples`
    )
    const places = seams.map((frame) => ({ frame, at: Math.round((frame * rate) / fps) }))
    const dips = places.map(({ frame, at }) => ({ frame, dip: deepestDip(sound, reference, at) }))
    const worst = dips.reduce((a, b) => (b.dip > a.dip ? b : a), { frame: 0, dip: 0 })
    check(
      "seams",
      worst.dip <= 1,
      `${plural(seams.length, "seam")}, none dips by more than 1 dB`,
      `the deepest dips by ${worst.dip.toFixed(2)} dB${worst.dip <= 1 ? "" : `, at frame ${worst.frame}`}`
    )
    const lags = places.map(({ frame, at }) => ({ frame, lag: lagAt(sound, reference, at) }))
    const latest = lags.reduce((a, b) => (Math.abs(b.lag) > Math.abs(a.lag) ? b : a), { frame: 0, lag: 0 })
    check(
      "sync",
      Math.abs(latest.lag) <= rate / 1000,
      "sound within 1 ms of the picture at every seam",
      `${((latest.lag * 1000) / rate).toFixed(2)} ms${latest.lag === 0 ? "" : ` at frame ${latest.frame}`}`
    )
  }
  return { ok: checks.every((entry) => entry.ok), checks }
}

/** The report as lines for a terminal. */
export const formatReport = (report: Report): ReadonlyArray<string> =>
  report.checks.map(({ name, ok, expected, found }) =>
    ok ? `  ✓ ${name.padEnd(14)} ${found}` : `  ✗ ${name.padEnd(14)} ${found} (expected: ${expected})`
  )
