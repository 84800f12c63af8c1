/** How long it takes to import each entry, beside starting Node with nothing to import; and how large each is. */
import { pathToFileURL } from "node:url"
import { packages } from "./Entries.ts"
import * as Fresh from "./Fresh.ts"
import { median, type Row, timed } from "./Measure.ts"
import * as Sizes from "./Sizes.ts"

const rounds = 5

/** Starts Node, runs a module, and waits for its end. */
const took = (code: string): Promise<number> => timed(() => Fresh.run(code))

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const sizes = await Sizes.measure()
  const entries = packages().flatMap((each) => each.entries)
  const bare: Array<number> = []
  const times = entries.map((): Array<number> => [])
  for (let round = 0; round < rounds; round++) {
    for (const [index, { file }] of entries.entries()) {
      // Each beside a bare one of its own, so that a machine whose speed drifts is fair to all.
      // oxlint-disable-next-line no-await-in-loop
      bare[index * rounds + round] = await took("")
      // oxlint-disable-next-line no-await-in-loop
      times[index]?.push(await took(`import ${JSON.stringify(pathToFileURL(file).href)}`))
    }
  }
  return entries.map(({ name }, index) => {
    const ours = median(times[index] ?? [])
    const other = median(bare.slice(index * rounds, (index + 1) * rounds))
    const kilobytes = ((sizes.imports.get(name)?.whole ?? Number.NaN) / 1000).toFixed(1)
    return {
      name: `import ${name}, ${kilobytes} kB minified with everything, against Node alone`,
      ours: `${ours.toFixed(0)} ms`,
      other: `${other.toFixed(0)} ms`,
      ratio: ours / other
    }
  })
}
