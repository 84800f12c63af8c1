/** The adapter against the server that workers really run. */
import { HttpWorkerAdapter } from "@helios-infra/adapter-http"
import type { WorkerAdapter } from "@helios-infra/core"
import { WorkerServer } from "@helios-infra/worker-runtime"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Redacted, Result } from "effect"
import { existsSync, readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { attempt, failureOf, until } from "./Attempts.ts"

const secret = Redacted.make("a secret of the tests")

/** A worker with a folder, and a job file whose chunk runs a script. */
const serve = Effect.fnUntraced(function* (script: string | ((dir: string) => string)) {
  const dir = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "worker-")).then((made) => fs.realpath(made))),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )
  const jobFile = path.join(dir, "job.json")
  const command = `sh -c '${typeof script === "string" ? script : script(dir)}'`
  const chunks = [
    { id: 0, startFrame: 0, frameCount: 70, outputFile: "part_0.mov", command },
    { id: 7, startFrame: 70, frameCount: 10, outputFile: "part_7.mov", command }
  ]
  const spec = { id: "job-a", metadata: { totalFrames: 80, fps: 30 }, chunks }
  yield* Effect.promise(() => fs.writeFile(jobFile, JSON.stringify(spec)))
  const server = yield* WorkerServer.make({
    workspaceDir: dir,
    auth: { type: "shared-secret", secrets: [secret] },
    port: 0,
    workerId: "w-1",
    heartbeat: "100 millis",
    killGrace: "200 millis",
    drainTimeout: 0
  }).pipe(Effect.provide(Logger.layer([])))
  const { meta, ...job } = attempt(jobFile)
  if (meta._tag === "Merge") return assert.fail("not a chunk")
  const { format: _, ...rest } = meta
  return { dir, server, job: { ...job, meta: { ...rest, format: {} } } }
})

const begin = Effect.fnUntraced(function* (options: HttpWorkerAdapter.Options, job: WorkerAdapter.WorkerJob) {
  const adapter = yield* HttpWorkerAdapter.make(options)
  const signals: Array<WorkerAdapter.WorkerSignal> = []
  const fiber = yield* Effect.forkScoped(Effect.result(adapter.execute(job, (told) => signals.push(told))))
  return { fiber, signals }
})

describe("a worker's server", () => {
  it.live("renders for who signs with its secret, and tells as it goes on", () =>
    Effect.gen(function* () {
      const { job, server } = yield* serve('echo "frame=4"; echo careful >&2; printf movie > {output}')
      const { fiber, signals } = yield* begin({ url: server.url, auth: { secret } }, job)
      const result = Result.getOrThrow(yield* Fiber.join(fiber))
      assert.strictEqual(result.exitCode, 0)
      assert.strictEqual(result.workerId, "w-1")
      assert.strictEqual(result.output?.bytes, 5)
      assert.deepStrictEqual(signals[0], { _tag: "Assigned", workerId: "w-1" })
      assert.deepInclude(signals, { _tag: "Line", stream: "stderr", text: "careful" })
    })
  )

  it.live("says why a chunk failed, and refuses who does not know its secret", () =>
    Effect.gen(function* () {
      const { job, server } = yield* serve("echo out of paint >&2; exit 3")
      const failed = yield* begin({ url: server.url, auth: { bearer: secret } }, job)
      const { reason } = failureOf({ result: yield* Fiber.join(failed.fiber) })
      assert.deepInclude({ ...reason }, { _tag: "RenderFailed", exitCode: 3, stderrTail: "out of paint\n" })

      const stranger = yield* begin({ url: server.url, auth: { bearer: Redacted.make("something else") } }, job)
      const refused = failureOf({ result: yield* Fiber.join(stranger.fiber) })
      assert.include(refused.reason, { _tag: "Refused", why: "Unauthorized" })
      assert.match(refused.message, /this is not the worker's secret/)
    })
  )

  it.live("stops what it renders when nobody wants it any more, and has room for the next", () =>
    Effect.gen(function* () {
      const { dir, job, server } = yield* serve((dir) => `echo $$ >> ${dir}/pids; exec sleep 600`)
      const pids = () => {
        const file = path.join(dir, "pids")
        // Whole lines only: the last one may be written just now.
        return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1).map(Number) : []
      }
      const { fiber, signals } = yield* begin({ url: server.url, auth: { secret } }, job)
      yield* until(() => pids().length === 1)
      const busy = yield* begin({ url: server.url, auth: { secret } }, job)
      assert.strictEqual(failureOf({ result: yield* Fiber.join(busy.fiber) }).reason._tag, "Throttled")

      yield* Fiber.interrupt(fiber)
      yield* until(() => !isAlive(pids()[0] ?? 0))
      assert.notInclude(
        signals.map(({ _tag }) => _tag),
        "NotStopped"
      )
      // It may need a moment to clean up.
      const next = Effect.flatMap(begin({ url: server.url, auth: { secret } }, job), (begun) =>
        Effect.as(
          until(() => pids().length === 2 || begun.fiber.pollUnsafe() !== undefined),
          begun.fiber
        )
      )
      const running = yield* Effect.repeat(next, { until: (fiber) => fiber.pollUnsafe() === undefined })
      yield* Fiber.interrupt(running)
      yield* until(() => !isAlive(pids()[1] ?? 0))
    })
  )
})

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)
