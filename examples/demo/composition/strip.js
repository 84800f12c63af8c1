// @ts-check
/**
 * The frame's number as a strip of black and white blocks along the bottom edge, for programs to read back:
 * white, black, twelve bits (the highest first), even parity, white. 16 pixels a block survive any sane encoder.
 */

export const blockSize = 16
export const blockCount = 16

/**
 * Which blocks are white.
 * @param {number} frame 0 to 4095
 * @returns {boolean[]}
 */
export const encodeStrip = (frame) => {
  const bits = Array.from({ length: 12 }, (_, index) => ((frame >> (11 - index)) & 1) === 1)
  const parity = bits.filter((bit) => bit).length % 2 === 1
  return [true, false, ...bits, parity, true]
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} frame
 */
export const drawStrip = (context, frame) => {
  const { height } = context.canvas
  context.setTransform(1, 0, 0, 1, 0, 0)
  encodeStrip(frame).forEach((white, index) => {
    context.fillStyle = white ? "#fff" : "#000"
    context.fillRect(index * blockSize, height - blockSize, blockSize, blockSize)
  })
}
