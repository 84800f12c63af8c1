/** The adapter against the server that workers really run, where that looks at ID tokens itself. */
import { CloudRunAdapter } from "@helios-infra/adapter-cloudrun"
import { WorkerServer } from "@helios-infra/worker-runtime"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Result } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { attempt, failureOf } from "../../adapter-http/test/Attempts.ts"
import * as CloudRunService from "./CloudRunService.ts"

const audience = "https://render.films.example"

/** Renders the chunk of a job file on a worker that lets one account in. */
const render = Effect.fnUntraced(function* (allowedAccount: string) {
  const { metadata } = yield* CloudRunService.make()
  const dir = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "worker-")).then((made) => fs.realpath(made))),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )
  const jobFile = path.join(dir, "job.json")
  const command = "sh -c 'printf movie > {output}'"
  const chunks = [
    { id: 0, startFrame: 0, frameCount: 70, outputFile: "part_0.mov", command },
    { id: 7, startFrame: 70, frameCount: 10, outputFile: "part_7.mov", command }
  ]
  const spec = { id: "job-a", metadata: { totalFrames: 80, fps: 30 }, chunks }
  yield* Effect.promise(() => fs.writeFile(jobFile, JSON.stringify(spec)))
  const server = yield* WorkerServer.make({
    workspaceDir: dir,
    auth: { type: "id-token", audience, allowedAccounts: [allowedAccount], jwksUrl: metadata.keysUrl },
    port: 0,
    drainTimeout: 0
  }).pipe(Effect.provide(Logger.layer([])))
  const adapter = yield* CloudRunAdapter.make({ serviceUrl: server.url, audience })
  const { meta, ...job } = attempt(jobFile)
  if (meta._tag === "Merge") return assert.fail("not a chunk")
  const result = yield* Effect.result(adapter.execute({ ...job, meta: { ...meta, format: {} } }, () => {}))
  return { result, metadata }
})

describe("a worker's server that looks at ID tokens", () => {
  it.live("renders for an account that may", () =>
    Effect.gen(function* () {
      const { metadata, result } = yield* render("orchestrator@films.iam.gserviceaccount.com")
      assert.strictEqual(Result.getOrThrow(result).output?.bytes, 5)
      assert.deepStrictEqual(metadata.asked, [audience])
    })
  )

  it.live("refuses another, and says which that was", () =>
    Effect.gen(function* () {
      const { reason } = failureOf(yield* render("somebody@else.example"))
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.match(
        reason.message,
        /orchestrator@films\.iam\.gserviceaccount\.com is none of the worker's allowedAccounts/
      )
    })
  )
})
