/** What took how long, as bars on one time axis. */
import type { JobRecord } from "@helios-infra/core/JobEvent"
import type { JobState } from "@helios-infra/core/JobState"

/** A time from one moment to another, both in milliseconds since 1970. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** How many columns the axis has. */
export const width = 48

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** The bar of what happened within `axis`. However short that was, and however late, one column is drawn. */
export const bar = (label: string, axis: Span, { from, to }: Span): string => {
  const column = (at: number): number => Math.round(((at - axis.from) / Math.max(1, axis.to - axis.from)) * width)
  const left = Math.min(column(from), width - 1)
  const right = Math.max(left + 1, column(to))
  return `  ${label.padEnd(8)}${" ".repeat(left)}${"▇".repeat(right - left)}${" ".repeat(width - right)}  ${seconds(to - from).padStart(7)}`
}

/** When each attempt ran and when the chunks were joined, from the journal. */
export const timeline = (state: JobState, records: ReadonlyArray<JobRecord>): ReadonlyArray<string> => {
  const axis = {
    from: records.find(({ event }) => event._tag === "RunStarted")?.at ?? 0,
    to: records.at(-1)?.at ?? 0
  }
  const begun = new Map<string, number>()
  const lines: Array<string> = []
  let lastAccepted = axis.from
  for (const { at, event } of records) {
    if (event._tag === "AttemptStarted") begun.set(`${event.chunk}.${event.attempt}`, at)
    if (event._tag !== "ChunkAccepted" && event._tag !== "AttemptEnded") continue
    const from = begun.get(`${event.chunk}.${event.attempt}`) ?? at
    lines.push(bar(`chunk ${event.chunk}`, axis, { from, to: at }))
    if (event._tag === "ChunkAccepted") lastAccepted = at
  }
  const stitched = records.find(({ event }) => event._tag === "Stitched")?.at ?? axis.to
  return [
    ...lines.toSorted(),
    bar("stitch", axis, { from: lastAccepted, to: stitched }),
    `  in all ${seconds((state.endedAt ?? axis.to) - axis.from)}`
  ]
}
