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
      // A cut in the middle of a character leaves half of it, which not every store takes.
      const kept = line.length < limit ? line : line.slice(line.length - limit + 1).replace(/^[\uDC00-\uDFFF]/, "")
      lines.push(kept)
      length += kept.length + 1
      while (length > limit) length -= (lines.shift()?.length ?? 0) + 1
    },
    text: () => (lines.length === 0 ? undefined : lines.join("\n"))
  }
}
