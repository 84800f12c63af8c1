/** The last lines of what an attempt printed, bounded in characters. */
export interface LogTail {
  readonly push: (line: string) => void
  readonly text: () => string | undefined
}

/** Makes a tail that keeps at most `limit` characters, newlines included; a longer line keeps its end. */
export const make = (limit: number): LogTail => {
  const lines: Array<string> = []
  let length = 0
  return {
    push: (line) => {
      let kept = line
      if (line.length >= limit) {
        // What came before it would no longer join it. Half a character is left out: not every store takes it.
        kept = line.slice(line.length - limit + 1).replace(/^[\uDC00-\uDFFF]/, "")
        lines.length = 0
        length = 0
      }
      lines.push(kept)
      length += kept.length + 1
      while (length > limit) length -= (lines.shift()?.length ?? 0) + 1
    },
    text: () => (lines.length === 0 ? undefined : lines.join("\n"))
  }
}
