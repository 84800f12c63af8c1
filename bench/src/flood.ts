/**
 * What the orchestrator holds while a worker prints a gigabyte, beside a program that only counts the bytes. Both are
 * whole processes; much of either is Node itself.
 */
import * as Fresh from "./Fresh.ts"
import type { Row } from "./Measure.ts"

const mebibyte = 2 ** 20
const limit = 150 * mebibyte

const shown = (bytes: number): string => `${(bytes / mebibyte).toFixed(0)} MiB`

const peakOf = async (program: string): Promise<number> => Number(await Fresh.program(program))

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const ours = await peakOf("print-gigabyte.ts")
  const other = await peakOf("count-gigabyte.ts")
  return [
    {
      name: "a worker that prints 1 GB: memory of the orchestrator, against a bare spawn that counts",
      ours: shown(ours),
      other: shown(other),
      ratio: ours / other,
      budget: { text: `under ${shown(limit)}`, kept: ours < limit }
    }
  ]
}
