/**
 * The film's sound: ten seconds at 120 beats a minute, made from sines and seeded noise, the same samples every time.
 *
 * And what a chunk needs of it: slices exact to the sample, which joined in order are the whole again.
 */
import { createReadStream } from "node:fs"
import { writeFile } from "node:fs/promises"
import { buffer } from "node:stream/consumers"

/** Samples per second and channel. */
export const sampleRate = 48_000
/** The length of the whole film. */
export const seconds = 10
const channels = 2
const bytesPerSample = 2
const headerBytes = 44
const beatSeconds = 0.5
const beats = seconds / beatSeconds

/** Which samples belong to a range of frames: the end of one range is the start of the next, whatever the rates. */
export const sampleRange = (
  startFrame: number,
  frameCount: number,
  fps: number,
  rate: number = sampleRate
): { readonly start: number; readonly end: number } => ({
  start: Math.floor((startFrame * rate) / fps),
  end: Math.floor(((startFrame + frameCount) * rate) / fps)
})

// ---------------------------------------------------------------------------
// Instruments: each adds itself to a track, starting at a time in seconds
// ---------------------------------------------------------------------------

interface Track {
  readonly left: Float64Array
  readonly right: Float64Array
}

/** White noise between -1 and 1, the same for the same seed (mulberry32). */
const noise = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 31 - 1
  }
}

/** Adds a sound of `length` seconds; `pan` goes from -1, left, to 1, right. */
const add = (
  track: Track,
  at: number,
  length: number,
  gain: number,
  pan: number,
  sound: (t: number) => number
): void => {
  const first = Math.round(at * sampleRate)
  const count = Math.min(Math.round(length * sampleRate), track.left.length - first)
  const left = gain * Math.cos(((pan + 1) * Math.PI) / 4) * Math.SQRT2
  const right = gain * Math.sin(((pan + 1) * Math.PI) / 4) * Math.SQRT2
  for (let index = 0; index < count; index++) {
    // Every sound begins and ends at nothing, so that none of them clicks.
    const fade = Math.min(1, index / 48, (count - index) / 240)
    const value = sound(index / sampleRate) * fade
    track.left[first + index] = (track.left[first + index] ?? 0) + value * left
    track.right[first + index] = (track.right[first + index] ?? 0) + value * right
  }
}

const turn = 2 * Math.PI
const note = (semitones: number): number => 55 * 2 ** (semitones / 12)

const kick = (track: Track, at: number): void =>
  add(track, at, 0.34, 0.85, 0, (t) => {
    // A sine whose pitch falls from 170 to 46 Hz: the phase is the integral of that.
    const phase = 46 * t + ((170 - 46) / 28) * (1 - Math.exp(-28 * t))
    return Math.sin(turn * phase) * Math.exp(-7 * t)
  })

const clap = (track: Track, at: number): void => {
  const source = noise(Math.round(at * 1000))
  let low = 0
  add(track, at, 0.22, 0.34, 0.08, (t) => {
    const white = source()
    low += 0.32 * (white - low)
    const bursts = t < 0.03 ? 0.5 + 0.5 * Math.cos(turn * 100 * t) : 1
    return (white - low) * bursts * Math.exp(-19 * t)
  })
}

const hat = (track: Track, at: number, gain: number, pan: number): void => {
  const source = noise(7 + Math.round(at * 1000))
  let before = 0
  add(track, at, 0.07, gain, pan, (t) => {
    const white = source()
    const high = white - before
    before = white
    return high * Math.exp(-62 * t)
  })
}

const bass = (track: Track, at: number, semitones: number): void =>
  add(track, at, 0.24, 0.3, 0, (t) => {
    const phase = turn * note(semitones) * t
    const bright = Math.exp(-9 * t)
    return (
      (Math.sin(phase) + 0.5 * bright * Math.sin(2 * phase) + 0.3 * bright * Math.sin(3 * phase)) * Math.exp(-3 * t)
    )
  })

/** Held for a scene, and ducked by every kick. */
const pad = (track: Track, at: number, length: number, chord: ReadonlyArray<number>): void =>
  chord.forEach((semitones, voice) =>
    add(track, at, length, 0.055, (voice / (chord.length - 1)) * 1.4 - 0.7, (t) => {
      const phase = turn * note(semitones + 24) * t
      const duck = 0.25 + 0.75 * (1 - Math.exp(-6 * (t % beatSeconds)))
      const swell = Math.min(1, t * 3, (length - t) * 6)
      return (Math.sin(phase) + 0.6 * Math.sin(phase * 1.004) + 0.25 * Math.sin(2 * phase)) * duck * swell
    })
  )

/** Noise that rises into the next scene. */
const riser = (track: Track, at: number, length: number): void => {
  const source = noise(99 + Math.round(at))
  let low = 0
  add(track, at, length, 0.16, 0, (t) => {
    const far = t / length
    low += (0.02 + 0.5 * far * far) * (source() - low)
    return low * far * far
  })
}

const bell = (track: Track, at: number, semitones: number, pan: number): void =>
  add(track, at, 0.9, 0.09, pan, (t) => {
    const phase = turn * note(semitones + 36) * t
    return Math.sin(phase + 1.4 * Math.sin(phase * 2) * Math.exp(-5 * t)) * Math.exp(-4.5 * t)
  })

// ---------------------------------------------------------------------------
// The piece
// ---------------------------------------------------------------------------

/** One chord a scene: A minor, F, C, G, and home to A minor. */
const scenes = [
  { root: 0, chord: [0, 3, 7, 10] },
  { root: -4, chord: [-4, 0, 3, 7] },
  { root: 3, chord: [3, 7, 10, 14] },
  { root: -2, chord: [-2, 2, 5, 10] },
  { root: 0, chord: [0, 3, 7, 12] }
]

const compose = (): Track => {
  const samples = seconds * sampleRate
  const track = { left: new Float64Array(samples), right: new Float64Array(samples) }
  for (let beat = 0; beat < beats; beat++) {
    const at = beat * beatSeconds
    kick(track, at)
    if (beat % 2 === 1) clap(track, at)
    for (const [step, gain] of [0.07, 0.05, 0.15, 0.06].entries()) {
      if (beat >= 2) hat(track, at + (step * beatSeconds) / 4, gain, step % 2 === 0 ? 0.35 : -0.35)
    }
    const { root } = scenes[Math.floor(beat / 4)] ?? { root: 0 }
    if (beat >= 1) {
      bass(track, at + beatSeconds / 2, root)
      bass(track, at + (beatSeconds * 3) / 4, root + (beat % 4 === 3 ? 12 : 0))
    }
  }
  scenes.forEach(({ chord }, scene) => {
    const at = scene * 2
    pad(track, at, 2, chord)
    if (scene < scenes.length - 1) riser(track, at + 1.5, 0.5)
    chord.forEach((semitones, index) => bell(track, at + index * 0.125, semitones, index % 2 === 0 ? -0.4 : 0.4))
  })
  return track
}

/** A WAV file: 48 kHz, two channels, 16 bits. `samples` are interleaved. */
export const encodeWav = (samples: Int16Array): Buffer => {
  const data = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
  const header = Buffer.alloc(headerBytes)
  header.write("RIFF", 0)
  header.writeUInt32LE(headerBytes - 8 + data.length, 4)
  header.write("WAVEfmt ", 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(channels, 22)
  header.writeUInt32LE(sampleRate, 24)
  header.writeUInt32LE(sampleRate * channels * bytesPerSample, 28)
  header.writeUInt16LE(channels * bytesPerSample, 32)
  header.writeUInt16LE(8 * bytesPerSample, 34)
  header.write("data", 36)
  header.writeUInt32LE(data.length, 40)
  return Buffer.concat([header, data])
}

/** The whole piece, interleaved. */
export const makeSound = (): Int16Array => {
  const { left, right } = compose()
  const samples = new Int16Array(left.length * channels)
  // A soft limit: loud moments bend instead of breaking.
  const sample = (value: number): number => Math.round(Math.tanh(value) * 32_000)
  for (let index = 0; index < left.length; index++) {
    samples[2 * index] = sample(left[index] ?? 0)
    samples[2 * index + 1] = sample(right[index] ?? 0)
  }
  return samples
}

/** Writes the whole piece as a WAV file. */
export const writeSound = (file: string): Promise<void> => writeFile(file, encodeWav(makeSound()))

/** Part of a file; less where the file ends before. */
const readRange = (file: string, from: number, to: number): Promise<Buffer> =>
  to <= from ? Promise.resolve(Buffer.alloc(0)) : buffer(createReadStream(file, { start: from, end: to - 1 }))

/**
 * Cuts the sound of a range of frames out of a WAV file and gives it as a WAV of its own. Reads only that part of the
 * file; what lies beyond its end is silence.
 */
export const cutSound = async (file: string, startFrame: number, frameCount: number, fps: number): Promise<Buffer> => {
  const header = await readRange(file, 0, headerBytes)
  const plain =
    header.length === headerBytes &&
    header.toString("latin1", 0, 4) === "RIFF" &&
    header.toString("latin1", 8, 16) === "WAVEfmt " &&
    header.readUInt16LE(20) === 1 &&
    header.readUInt16LE(22) === channels &&
    header.readUInt32LE(24) === sampleRate &&
    header.readUInt16LE(34) === 8 * bytesPerSample &&
    header.toString("latin1", 36, 40) === "data"
  if (!plain) throw new Error(`${file} is not a plain WAV file with 48 kHz, two channels and 16 bits`)
  const { start, end } = sampleRange(startFrame, frameCount, fps)
  const frameBytes = channels * bytesPerSample
  const there = headerBytes + Math.min(end * frameBytes, header.readUInt32LE(40))
  const data = await readRange(file, headerBytes + start * frameBytes, there)
  const samples = new Int16Array((end - start) * channels)
  data.copy(new Uint8Array(samples.buffer))
  return encodeWav(samples)
}
