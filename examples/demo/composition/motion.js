// @ts-check
/** The few curves that everything in the film moves on. Each maps 0..1 to 0..1. */

/** @param {number} x */
export const clamp = (x) => Math.min(1, Math.max(0, x))

/** @param {number} from @param {number} to @param {number} x */
export const mix = (from, to, x) => from + (to - from) * x

/** How far a movement is that starts at `start` and takes `length`. @param {number} now @param {number} start @param {number} length */
export const span = (now, start, length) => clamp((now - start) / length)

/** @param {number} x */
export const outExpo = (x) => (x >= 1 ? 1 : 1 - 2 ** (-10 * x))

/** @param {number} x */
export const inCubic = (x) => x ** 3

/** @param {number} x */
export const inOutQuart = (x) => (x < 0.5 ? 8 * x ** 4 : 1 - (-2 * x + 2) ** 4 / 2)

/** Overshoots by a tenth. @param {number} x */
export const outBack = (x) => 1 + 2.7 * (x - 1) ** 3 + 1.7 * (x - 1) ** 2

/** 1 on the beat, gone before the next. @param {number} beat */
export const pulse = (beat) => (beat < 0 ? 0 : Math.exp(-5 * (beat % 1)))
