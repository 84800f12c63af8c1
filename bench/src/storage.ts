/**
 * What a large artifact costs on its way to an S3 and back: memory, which is not to grow with it, and time, beside AWS's
 * own uploader and a plain download. The S3 is the tests' own, in a process of its own, and checks every part.
 */
import { Schema } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import process from "node:process"
import { inProcess, type Row } from "./Measure.ts"

const mebibyte = 2 ** 20
const small = 256 * mebibyte
const large = 5e9
const limit = 400 * mebibyte

const Moved = Schema.Struct({ putMs: Schema.Finite, getMs: Schema.Finite, peakBytes: Schema.Finite })

export const rows = async (): Promise<ReadonlyArray<Row>> => {
  const program = join(import.meta.dirname, "s3-server.ts")
  const server = spawn(process.execPath, ["--conditions=@helios-infra/source", program], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  try {
    const endpoint = await once(server.stdout, "data").then(([line]: ReadonlyArray<unknown>) => String(line).trim())
    const move = async (way: "ours" | "sdk", bytes: number) =>
      Schema.decodeUnknownSync(Moved)(await inProcess("move-artifact.ts", way, bytes, endpoint))
    const few = await move("ours", small)
    const many = await move("ours", large)
    const sdk = await move("sdk", large)
    const memory = (value: number) => `${(value / mebibyte).toFixed(0)} MiB`
    const time = (ms: number) => `${(ms / 1000).toFixed(1)} s`
    return [
      {
        name: "5 GB to an S3 and back: memory of the process, against 256 MiB",
        ours: memory(many.peakBytes),
        other: memory(few.peakBytes),
        ratio: many.peakBytes / few.peakBytes,
        budget: { text: `under ${memory(limit)}`, kept: many.peakBytes < limit }
      },
      {
        name: "5 GB to an S3, against AWS's uploader",
        ours: time(many.putMs),
        other: time(sdk.putMs),
        ratio: many.putMs / sdk.putMs
      },
      {
        name: "5 GB from an S3, every byte checked, against the SDK's download, which checks none",
        ours: time(many.getMs),
        other: time(sdk.getMs),
        ratio: many.getMs / sdk.getMs
      }
    ]
  } finally {
    server.stdin.end()
    await once(server, "close")
  }
}
