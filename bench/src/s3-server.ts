/** The S3 of the tests in a process of its own, until its input ends. Prints where it is. */
import { Effect } from "effect"
import process from "node:process"
import * as StrictS3 from "../../packages/storage-s3/test/StrictS3.ts"

await Effect.gen(function* () {
  const { endpoint } = yield* StrictS3.start
  process.stdout.write(`${endpoint}\n`)
  yield* Effect.callback<void>((resume) => {
    process.stdin.on("end", () => resume(Effect.void)).resume()
  })
}).pipe(Effect.scoped, Effect.runPromise)
