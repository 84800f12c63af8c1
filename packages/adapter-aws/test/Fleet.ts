/** Functions on this machine that the tests call, and the attempts that they make. */
import { AwsLambdaAdapter } from "@helios-infra/adapter-aws"
import type { WorkerAdapter } from "@helios-infra/core"
import { credentials, type FunctionOptions, type LocalLambda, start } from "@helios-infra/local-lambda"
import { Effect, type Scope } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

export interface Fleet {
  readonly lambda: LocalLambda
  /** What the functions know as their storage. */
  readonly folder: string
  readonly options: AwsLambdaAdapter.Options
}

/** The functions of `fixtures/index.mjs`: `worker`, and what goes wrong. */
export const make = (more: Partial<FunctionOptions> = {}): Effect.Effect<Fleet, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "fleet-")).then((made) => fs.realpath(made))),
      (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
    )
    const taskRoot = path.join(import.meta.dirname, "fixtures")
    const functionOf = (name: string, handler: string): FunctionOptions => ({
      name,
      taskRoot,
      handler: `index.${handler}`,
      timeoutMs: 60_000,
      memoryMb: 512,
      concurrency: 30,
      env: { STORAGE: folder },
      versions: { live: "7" },
      ...more
    })
    const functions = [
      functionOf("worker", "handler"),
      functionOf("throwing", "throwing"),
      functionOf("exiting", "exiting"),
      functionOf("echoing", "echoing"),
      functionOf("wordy", "wordy"),
      functionOf("unloadable", "nothing")
    ]
    const lambda = yield* Effect.acquireRelease(
      Effect.promise(() => start({ functions })),
      (lambda) => Effect.promise(() => lambda.close())
    )
    const { endpoint, region } = lambda
    return { lambda, folder, options: { functionName: "worker", endpoint, region, credentials } }
  })

/** An attempt at chunk 7 of job-a, as core makes it. */
export const attempt = (jobDefUrl?: string): WorkerAdapter.WorkerJob => ({
  id: "job-a/7/1.2",
  command: "render {output}",
  outputFile: "part_7.mov",
  meta: {
    _tag: "Chunk",
    jobId: "job-a",
    run: 1,
    attempt: 2,
    output: { _tag: "File", path: "/render/part_7.mov" },
    chunkId: 7,
    startFrame: 70,
    frameCount: 10,
    format: { width: 640 },
    ...(jobDefUrl === undefined ? {} : { jobDefUrl })
  }
})

/** Puts a job file for the worker where it finds it: a command, or what the worker is to answer. */
export const jobFile = (
  { folder }: Fleet,
  name: string,
  content: { readonly command: string } | { readonly answer: unknown }
): Effect.Effect<string> => {
  const file = path.join(folder, `${name.replaceAll("/", "_")}.json`)
  return Effect.as(
    Effect.promise(() => fs.writeFile(file, JSON.stringify(content))),
    file
  )
}

/** Runs one attempt; gives how it ended, and what was told meanwhile. */
export const run = Effect.fnUntraced(function* (options: AwsLambdaAdapter.Options, job: WorkerAdapter.WorkerJob) {
  const adapter = yield* AwsLambdaAdapter.make(options)
  const signals: Array<WorkerAdapter.WorkerSignal> = []
  const result = yield* Effect.result(adapter.execute(job, (signal) => signals.push(signal)))
  return { result, signals }
})
