/** Runs one chunk that prints a gigabyte through the local adapter; prints the most memory that this process held. */
import { LocalWorkerAdapter } from "@helios-infra/adapter-local"
import { Effect } from "effect"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"

const program = Effect.gen(function* () {
  const adapter = yield* LocalWorkerAdapter.make()
  let lines = 0
  yield* adapter.execute(
    {
      id: "flood/0/1.1",
      command: "sh -c 'yes 0123456789012345678901234567890123456789 | head -c 1000000000'",
      meta: {
        _tag: "Merge",
        jobId: "flood",
        run: 1,
        attempt: 1,
        output: { _tag: "File", path: join(tmpdir(), "none") }
      }
    },
    () => lines++
  )
  if (lines < 20_000_000) return yield* Effect.die(`only ${lines} lines arrived`)
})

await Effect.runPromise(program)
// Kilobytes, on Linux and macOS alike.
process.stdout.write(JSON.stringify(process.resourceUsage().maxRSS * 1024))
