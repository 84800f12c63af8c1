/** What many calls to Lambda at once cost through the adapter, against the bare SDK: memory, and work. */
import { Schema } from "effect"
import { inProcess, median, type Row } from "./Measure.ts"

const count = 1000
const rounds = 5
const mebibyte = 2 ** 20

const Flight = Schema.Struct({ bytes: Schema.Finite, ms: Schema.Finite })

const fly = async (who: "adapter" | "sdk") =>
  Schema.decodeUnknownSync(Flight)(await inProcess("lambda-flight.ts", who, count))

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const ours: Array<typeof Flight.Type> = []
  const other: Array<typeof Flight.Type> = []
  for (let round = 0; round < rounds; round++) {
    // oxlint-disable-next-line no-await-in-loop
    ours.push(await fly("adapter"))
    // oxlint-disable-next-line no-await-in-loop
    other.push(await fly("sdk"))
  }
  const [our, bare] = [ours, other].map((flights) => ({
    bytes: median(flights.map(({ bytes }) => bytes)),
    ms: median(flights.map(({ ms }) => ms))
  }))
  if (our === undefined || bare === undefined) return []
  const perCall = (our.ms - bare.ms) / count
  return [
    {
      name: `${count} calls to Lambda in flight at once: memory, against the bare SDK`,
      ours: `${(our.bytes / mebibyte).toFixed(0)} MiB`,
      other: `${(bare.bytes / mebibyte).toFixed(0)} MiB`,
      ratio: our.bytes / bare.bytes,
      budget: { text: "under 150 MiB", kept: our.bytes < 150 * mebibyte }
    },
    {
      name: `${count} calls to Lambda at once: processor time, against the bare SDK`,
      ours: `${our.ms.toFixed(0)} ms`,
      other: `${bare.ms.toFixed(0)} ms`,
      ratio: our.ms / bare.ms,
      budget: { text: "at most 1 ms more per call", kept: perCall <= 1 }
    }
  ]
}
