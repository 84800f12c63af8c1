/** What it costs to keep a job in a folder, beside a store that writes one JSON file anew for every change. */
import { inProcess, median, type Row } from "./Measure.ts"

interface Cost {
  readonly ms: number
  /** Bytes written to disk, over the bytes of the events. */
  readonly amplification: number
  readonly logs: number
}

const isCost = (value: unknown): value is Cost =>
  typeof value === "object" && value !== null && "ms" in value && "amplification" in value && "logs" in value

const chunks = 3000

const cost = async (way: string, rounds: number): Promise<Cost> => {
  const costs: Array<Cost> = []
  for (let round = 0; round < rounds; round++) {
    // oxlint-disable-next-line no-await-in-loop
    const printed = await inProcess("keep.ts", way, chunks)
    if (isCost(printed)) costs.push(printed)
  }
  return {
    ms: median(costs.map(({ ms }) => ms)),
    amplification: median(costs.map(({ amplification }) => amplification)),
    logs: Math.min(...costs.map(({ logs }) => logs))
  }
}

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const ours = await cost("folder", 5)
  const rewriting = await cost("rewrite", 1)
  return [
    {
      name: `${chunks} chunks with 1 KiB of log each in a folder, 50 at a time, against one JSON file rewritten per change`,
      ours: `${ours.ms.toFixed(0)} ms`,
      other: `${rewriting.ms.toFixed(0)} ms`,
      ratio: ours.ms / rewriting.ms,
      budget: {
        text: `under 250 ms, ${ours.amplification.toFixed(2)} of the payload written (at most 1.5), ${ours.logs} logs kept`,
        kept: ours.ms < 250 && ours.amplification <= 1.5 && ours.logs === chunks
      }
    }
  ]
}
