/**
 * The grid of timestamps that a constant frame rate makes, and whether a file's timestamps keep it.
 *
 * What a frame rate is, core's `FrameRate` says. Nothing here is rounded before the last step, and no file is read.
 */
import type * as FrameRate from "@helios-infra/core/FrameRate"
import * as Option from "effect/Option"

/** The length of one tick of a stream's timestamps, in seconds, as a fraction. */
export interface TimeBase {
  readonly numerator: number
  readonly denominator: number
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

const reduced = (numerator: number, denominator: number): FrameRate.FrameRate => {
  const divisor = gcd(numerator, denominator)
  return { numerator: numerator / divisor, denominator: denominator / divisor }
}

/** How many units (samples, microseconds) fit `frames` frames when a second has `perSecond` of them; not rounded. */
export const unitsOf = (rate: FrameRate.FrameRate, frames: number, perSecond: number): number =>
  (frames * rate.denominator * perSecond) / rate.numerator

/** The smallest count of frames that a whole number of units (`perSecond` to the second) fits. */
export const framesOfWhole = (rate: FrameRate.FrameRate, perSecond: number): number =>
  rate.numerator / gcd(rate.numerator, rate.denominator * perSecond)

/** Whether a frame is a whole number of ticks, so that timestamps need no rounding. */
export const isExactIn = (rate: FrameRate.FrameRate, tick: TimeBase): boolean =>
  (rate.denominator * tick.denominator) % (rate.numerator * tick.numerator) === 0

/**
 * The first frame whose timestamp is not where a constant rate puts it, counted from 0; `undefined` when all are.
 *
 * `timestamps` are in ticks and ascending; the first one is the grid's origin. Where a frame is no whole number of ticks
 * (Matroska counts milliseconds), one tick of rounding is allowed.
 */
export const firstOffGrid = (
  rate: FrameRate.FrameRate,
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
): Option.Option<FrameRate.FrameRate> => {
  const [first, second] = timestamps
  const step = first !== undefined && second !== undefined ? second - first : lastDuration
  const fits = (rate: FrameRate.FrameRate) =>
    rate.numerator > 0 &&
    (claimed === undefined || Math.abs(rate.numerator / rate.denominator - claimed) < 0.011) &&
    firstOffGrid(rate, tick, timestamps) === undefined
  const exact = step > 0 ? [reduced(tick.denominator, tick.numerator * step)] : []
  const usual =
    claimed === undefined ? [] : [reduced(Math.round(claimed), 1), reduced(Math.round(claimed * 1.001) * 1000, 1001)]
  return Option.fromNullishOr([...exact, ...usual].find(fits))
}
