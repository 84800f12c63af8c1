/**
 * Frame rates as exact fractions, and the grid of timestamps that they make.
 *
 * Rates like 30000/1001 have no finite decimal form: rounded even to a millionth they drift by a frame in the end. So
 * nothing here is rounded before the last step. It reads no files.
 */
import * as Option from "effect/Option"

/** A fraction in lowest terms; both parts are whole and above 0. */
export interface FrameRate {
  readonly numerator: number
  readonly denominator: number
}

/** The length of one tick of a stream's timestamps, in seconds. */
export interface TimeBase {
  readonly numerator: number
  readonly denominator: number
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/** Makes a rate from two whole numbers above 0. */
export const make = (numerator: number, denominator: number): FrameRate => {
  const divisor = gcd(numerator, denominator)
  return { numerator: numerator / divisor, denominator: denominator / divisor }
}

/** Reads `"30"` or `"30000/1001"`. */
export const parse = (text: string): Option.Option<FrameRate> => {
  const match = /^([1-9]\d{0,8})(?:\/([1-9]\d{0,8}))?$/.exec(text)
  return match === null ? Option.none() : Option.some(make(Number(match[1]), Number(match[2] ?? 1)))
}

/** Writes a rate the way `VideoFormat` has it: `"30"`, `"30000/1001"`. */
export const format = ({ numerator, denominator }: FrameRate): string =>
  denominator === 1 ? `${numerator}` : `${numerator}/${denominator}`

/** How many units (samples, microseconds) fit `frames` frames when a second has `perSecond` of them; not rounded. */
export const unitsOf = (rate: FrameRate, frames: number, perSecond: number): number =>
  (frames * rate.denominator * perSecond) / rate.numerator

/** The smallest count of frames that a whole number of units (`perSecond` to the second) fits. */
export const framesOfWhole = (rate: FrameRate, perSecond: number): number =>
  rate.numerator / gcd(rate.numerator, rate.denominator * perSecond)

/** Whether a frame is a whole number of ticks, so that timestamps need no rounding. */
export const isExactIn = (rate: FrameRate, tick: TimeBase): boolean =>
  (rate.denominator * tick.denominator) % (rate.numerator * tick.numerator) === 0

/**
 * The first frame whose timestamp is not where a constant rate puts it, counted from 0; `undefined` when all are.
 *
 * `timestamps` are in ticks and ascending; the first one is the grid's origin. Where a frame is no whole number of ticks
 * (Matroska counts milliseconds), one tick of rounding is allowed.
 */
export const firstOffGrid = (
  rate: FrameRate,
  tick: TimeBase,
  timestamps: ReadonlyArray<number>
): number | undefined => {
  const origin = timestamps[0] ?? 0
  const ticksPerFrame = unitsOf(rate, 1, tick.denominator) / tick.numerator
  const exact = isExactIn(rate, tick)
  // Ticks as long as frames cannot tell one rate from another.
  if (!exact && ticksPerFrame < 2) return 0
  const found = timestamps.findIndex(
    (at, frame) => Math.abs(at - origin - unitsOf(rate, frame, tick.denominator) / tick.numerator) > (exact ? 0 : 1)
  )
  return found === -1 ? undefined : found
}

/**
 * The constant rate that `timestamps` (in ticks, ascending) keep; none when they keep none.
 *
 * `lastDuration` is the last frame's length in ticks (0 when it is not known): a single frame has nothing else.
 * `claimed` is what the file's header says, rounded to hundredths: coarse ticks leave a choice, and it decides.
 */
export const fromTimestamps = (
  tick: TimeBase,
  timestamps: ReadonlyArray<number>,
  lastDuration: number,
  claimed: number | undefined
): Option.Option<FrameRate> => {
  const [first, second] = timestamps
  const step = first !== undefined && second !== undefined ? second - first : lastDuration
  const fits = (rate: FrameRate) =>
    rate.numerator > 0 &&
    (claimed === undefined || Math.abs(rate.numerator / rate.denominator - claimed) < 0.011) &&
    firstOffGrid(rate, tick, timestamps) === undefined
  const exact = step > 0 ? [make(tick.denominator, tick.numerator * step)] : []
  const usual =
    claimed === undefined ? [] : [make(Math.round(claimed), 1), make(Math.round(claimed * 1.001) * 1000, 1001)]
  return Option.fromNullishOr([...exact, ...usual].find(fits))
}
