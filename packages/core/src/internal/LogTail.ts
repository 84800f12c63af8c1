/** The last lines of what an attempt printed, bounded in characters. */
export interface LogTail {
  readonly push: (line: string) => void
  readonly text: () => string | undefined
}

/** How many dropped lines are swept at once. */
const sweepAt = 1024

/** Makes a tail that keeps at most `limit` characters, newlines included; a longer line keeps its end. */
export const make = (limit: number): LogTail => {
  let lines: Array<string> = []
  /** Where the kept lines begin. What stands before is swept now and then: every shift would move all others. */
  let first = 0
  let length = 0
  return {
    push: (line) => {
      let kept = line
      if (line.length >= limit) {
        // What came before it would no longer join it. Half a character is left out: not every store takes it.
        kept = line.slice(line.length - limit + 1).replace(/^[\uDC00-\uDFFF]/, "")
        lines = []
        first = 0
        length = 0
      }
      lines.push(kept)
      length += kept.length + 1
      while (length > limit) {
        length -= (lines[first]?.length ?? 0) + 1
        lines[first++] = ""
      }
      if (first >= sweepAt) {
        lines = lines.slice(first)
        first = 0
      }
    },
    text: () => (first === lines.length ? undefined : lines.slice(first).join("\n"))
  }
}
