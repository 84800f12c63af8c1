/**
 * Frames per second as an exact fraction, and the times and sample counts that follow from it.
 *
 * Everything here is whole-number arithmetic: a video of 30000/1001 frames per second does not drift however long it is.
 * Variable frame rates are not covered.
 */
import * as Option from "effect/Option"

/** Frames per second as a fraction in lowest terms; both numbers are positive and fit in 31 bits, as in ffmpeg. */
export interface FrameRate {
  readonly numerator: number
  readonly denominator: number
}

/** The highest rate that {@link parse} takes for a frame rate. */
export const maxFramesPerSecond = 1000

const maxTerm = 2n ** 31n - 1n

/** Whole rates of which the NTSC rate `n * 1000/1001` (SMPTE 170M and its descendants) is in use. */
const ntscBases = [24, 30, 48, 60, 120] as const

/** Half of the second decimal: nobody writes an NTSC rate with fewer than two (23.98 for 23.976023…). */
const ntscTolerance = 0.005

const pattern = /^(\d{1,32})(?:\.(\d{1,32})|\/(\d{1,32}))?$/

const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a : gcd(b, a % b))

const make = (numerator: bigint, denominator: bigint): Option.Option<FrameRate> => {
  if (numerator === 0n || denominator === 0n || numerator > denominator * BigInt(maxFramesPerSecond)) {
    return Option.none()
  }
  const divisor = gcd(numerator, denominator)
  const terms = [numerator / divisor, denominator / divisor] as const
  return terms[0] > maxTerm || terms[1] > maxTerm
    ? Option.none()
    : Option.some({ numerator: Number(terms[0]), denominator: Number(terms[1]) })
}

/**
 * Reads a frame rate: a whole number (`30`, `"30"`), a fraction (`"30000/1001"`) or a decimal (`12.5`, `"29.97"`).
 *
 * A decimal within 0.005 of an NTSC rate (23.976, 23.98, 29.97, 47.952, 59.94, 119.88 and longer forms of them) is that
 * rate, `n * 1000/1001`, exactly; any other decimal is taken as it is written. None for what is not a rate: zero, a
 * negative number, more than {@link maxFramesPerSecond}, or a decimal so long that it must be meant as a fraction.
 *
 * ```ts
 * import * as FrameRate from "@helios-infra/core/FrameRate"
 *
 * FrameRate.parse(29.97) // => Option.some({ numerator: 30000, denominator: 1001 })
 * FrameRate.parse(14.985) // => Option.some({ numerator: 2997, denominator: 200 })
 * ```
 */
export const parse = (input: number | string): Option.Option<FrameRate> => {
  const text = typeof input === "number" ? String(input) : input.length > 100 ? "" : input.trim()
  const match = pattern.exec(text)
  if (match === null) return Option.none()
  const [, whole = "", decimals, denominator] = match
  if (denominator !== undefined) return make(BigInt(whole), BigInt(denominator))
  if (decimals === undefined) return make(BigInt(whole), 1n)
  const ntsc = ntscBases.find((base) => Math.abs(Number(text) - (base * 1000) / 1001) < ntscTolerance)
  return ntsc === undefined
    ? make(BigInt(whole + decimals), 10n ** BigInt(decimals.length))
    : make(BigInt(ntsc) * 1000n, 1001n)
}

/** The rate as ffmpeg writes and reads it: `"30"`, `"30000/1001"`. */
export const format = (rate: FrameRate): string =>
  rate.denominator === 1 ? String(rate.numerator) : `${rate.numerator}/${rate.denominator}`

/** How many of something that passes `perSecond` times a second have passed when frame `frame` begins, rounded down. */
const elapsed = (frame: number, rate: FrameRate, perSecond: number): bigint =>
  (BigInt(frame) * BigInt(rate.denominator) * BigInt(perSecond)) / BigInt(rate.numerator)

/**
 * When frame `frame` (counted from 0) begins, in microseconds, rounded down.
 *
 * Rounded down so that a seek to it still finds the frame, and a cut of that length does not take in the next one. For
 * the length of a part in the middle, subtract its start from its end: lengths that are rounded one by one drift.
 */
export const microseconds = (frame: number, rate: FrameRate): number => Number(elapsed(frame, rate, 1_000_000))

/** {@link microseconds} as seconds in decimal text with six digits: `"2.502500"`. */
export const seconds = (frame: number, rate: FrameRate): string => {
  const digits = String(elapsed(frame, rate, 1_000_000)).padStart(7, "0")
  return `${digits.slice(0, -6)}.${digits.slice(-6)}`
}

/** How many samples of sound lie before frame `frame` (counted from 0) begins, at `sampleRate` Hz, rounded down. */
export const samples = (frame: number, rate: FrameRate, sampleRate: number): number =>
  Number(elapsed(frame, rate, sampleRate))
