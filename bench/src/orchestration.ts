/** What core costs per chunk with everything on, beside a bare promise loop and a plain `Effect.forEach`. */
import { inProcess, median, type Row } from "./Measure.ts"

interface Cost {
  readonly micros: number
  readonly heldBytes: number
}

const isCost = (value: unknown): value is Cost =>
  typeof value === "object" && value !== null && "micros" in value && "heldBytes" in value

const cost = async (way: string, chunks: number, concurrency: number): Promise<Cost> => {
  const costs: Array<Cost> = []
  for (let round = 0; round < 3; round++) {
    // oxlint-disable-next-line no-await-in-loop
    const printed = await inProcess("orchestrate.ts", way, chunks, concurrency)
    if (isCost(printed)) costs.push(printed)
  }
  return {
    micros: median(costs.map(({ micros }) => micros)),
    heldBytes: median(costs.map(({ heldBytes }) => heldBytes))
  }
}

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const measured: Array<Row> = []
  for (const concurrency of [50, 1000]) {
    const perChunk = new Map<number, Cost>()
    for (const chunks of [10_000, 100_000, 1_000_000]) {
      // oxlint-disable-next-line no-await-in-loop
      const ours = await cost("core", chunks, concurrency)
      // oxlint-disable-next-line no-await-in-loop
      const effect = await cost("effect", chunks, concurrency)
      // oxlint-disable-next-line no-await-in-loop
      const promises = await cost("promises", chunks, concurrency)
      perChunk.set(chunks, ours)
      const name = `${chunks} chunks, ${concurrency} at a time`
      const text = (value: number) => `${value.toFixed(2)} us`
      measured.push(
        {
          name: `${name}, against Effect.forEach with retry and timeout`,
          ours: text(ours.micros),
          other: text(effect.micros),
          ratio: ours.micros / effect.micros,
          budget: { text: "at most 8 us a chunk", kept: ours.micros <= 8 }
        },
        {
          name: `${name}, against a bare promise loop`,
          ours: text(ours.micros),
          other: text(promises.micros),
          ratio: ours.micros / promises.micros,
          budget: { text: `${ours.heldBytes.toFixed(0)} bytes held, under 1024 a chunk`, kept: ours.heldBytes < 1024 }
        }
      )
    }
    // oxlint-disable-next-line no-await-in-loop
    const traced = await cost("traced", 100_000, concurrency)
    const untraced = perChunk.get(100_000)?.micros ?? Number.NaN
    measured.push({
      name: `100000 chunks, ${concurrency} at a time, every span recorded, against none`,
      ours: `${traced.micros.toFixed(2)} us`,
      other: `${untraced.toFixed(2)} us`,
      ratio: traced.micros / untraced
    })
    const [small, large] = [perChunk.get(100_000)?.micros ?? Number.NaN, perChunk.get(1_000_000)?.micros ?? Number.NaN]
    measured.push({
      name: `1000000 chunks against 100000, ${concurrency} at a time`,
      ours: `${large.toFixed(2)} us`,
      other: `${small.toFixed(2)} us`,
      ratio: large / small,
      budget: { text: "at most 1.20", kept: large / small <= 1.2 }
    })
  }
  return measured
}
