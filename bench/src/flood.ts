/** What the orchestrator holds while a worker prints a gigabyte, against what it prints. */
import { inProcess, type Row } from "./Measure.ts"

const mebibyte = 2 ** 20

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const peak = Number(await inProcess("print-gigabyte.ts"))
  return [
    {
      name: "a worker that prints 1 GB: memory of the orchestrator",
      ours: `${(peak / mebibyte).toFixed(0)} MiB`,
      other: `${(1e9 / mebibyte).toFixed(0)} MiB printed`,
      ratio: peak / 1e9,
      budget: { text: "under 150 MiB", kept: peak < 150 * mebibyte }
    }
  ]
}
