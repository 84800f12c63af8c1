/**
 * So many calls at once, through the adapter (`adapter`) or the bare SDK (`sdk`), against `lambda-stub.ts`, which answers
 * none before all have arrived. Prints how much memory that takes meanwhile, in bytes, and how much of a processor in all,
 * in milliseconds.
 */
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda"
import { AwsLambdaAdapter } from "@helios-infra/adapter-aws"
import { type WorkerAdapter, WorkerProtocol } from "@helios-infra/core"
import { Effect, Scope } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import process from "node:process"

const [who, asked] = process.argv.slice(2)
const count = Number(asked)

const stub = fork(join(import.meta.dirname, "lambda-stub.ts"))
const port = await new Promise<unknown>((resolve) => {
  stub.once("message", resolve)
})
const options = {
  endpoint: `http://127.0.0.1:${String(port)}`,
  region: "eu-west-1",
  credentials: { accessKeyId: "bench", secretAccessKey: "bench" }
}

const job = (chunkId: number): WorkerAdapter.WorkerJob => ({
  id: `job/${chunkId}/1.1`,
  command: "render {output}",
  meta: {
    _tag: "Chunk",
    jobId: "job",
    run: 1,
    attempt: 1,
    jobDefUrl: "artifact:jobs/job/job.json",
    output: { _tag: "Artifact", key: "output.mov" },
    chunkId,
    startFrame: chunkId,
    frameCount: 1,
    format: {}
  }
})

const adapter = await AwsLambdaAdapter.make({ functionName: "render", ...options }).pipe(
  Scope.provide(Scope.makeUnsafe()),
  Effect.runPromise
)
const agent = { keepAlive: true, maxSockets: Infinity }
const client = new LambdaClient({ ...options, maxAttempts: 1, requestHandler: { httpAgent: agent } })

const calls: Record<string, (chunkId: number) => Promise<unknown>> = {
  adapter: (chunkId) => Effect.runPromise(adapter.execute(job(chunkId), () => {})),
  sdk: (chunkId) => {
    const Payload = JSON.stringify(WorkerProtocol.requestOf(job(chunkId), "artifact:jobs/job/job.json"))
    return client.send(new InvokeCommand({ FunctionName: "render", Payload }))
  }
}
const call = calls[who ?? ""]
if (call === undefined) throw new Error(`no such way to call: ${who}`)

// Loaded, signed in and connected.
for (let round = 0; round < 20; round++) {
  // oxlint-disable-next-line no-await-in-loop
  await call(round)
}
globalThis.gc?.()
const before = { rss: process.memoryUsage().rss, cpu: process.cpuUsage() }
stub.send(count)
const here = once(stub, "message").then(() => {
  const { rss } = process.memoryUsage()
  stub.send("answer")
  return rss
})
await Promise.all(Array.from({ length: count }, (_, chunkId) => call(chunkId)))
const { system, user } = process.cpuUsage(before.cpu)
process.stdout.write(JSON.stringify({ bytes: (await here) - before.rss, ms: (system + user) / 1000 }))
stub.disconnect()
process.exit()
