/**
 * From the lines that renderers print to the number of frames they have done.
 *
 * Knows ffmpeg's status line and its `-progress` output (`frame=  123`), counts as Helios and Remotion print them
 * (`Progress: Rendered 12 / 75 frames`), and percentages (`Progress: 45.00%`). Anything else is just a line.
 */

const frame = /(?:^|\s)frame=\s*(\d+)/
const count = /\brendered (?:frames? )?(\d+)\s*(?:\/|of)\s*(\d+)/i
const percentage = /\bprogress\b[^\d%]{0,3}(\d+(?:\.\d+)?)\s*%/i

/** The frames that one line speaks of, of a chunk with `frameCount`; `undefined` when it speaks of none. */
export const parse = (line: string, frameCount: number): number | undefined => {
  const frames = frame.exec(line)
  if (frames !== null) return Number(frames[1])
  const counted = count.exec(line)
  if (counted !== null) {
    const total = Number(counted[2])
    return total === 0 ? undefined : Math.floor((Number(counted[1]) / total) * frameCount)
  }
  const percent = percentage.exec(line)
  return percent === null ? undefined : Math.floor((Number(percent[1]) / 100) * frameCount)
}

/**
 * Follows one attempt: gives the frames done whenever a line raises them, never fewer than before and never more than
 * `frameCount`.
 */
export const make = (frameCount: number): ((line: string) => number | undefined) => {
  let done = 0
  return (line) => {
    const now = Math.min(parse(line, frameCount) ?? 0, frameCount)
    if (now <= done) return undefined
    done = now
    return done
  }
}
