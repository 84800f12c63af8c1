import { assert, describe, it } from "@effect/vitest"
import { ArtifactStorage } from "@helios-infra/core/ArtifactStorage"
import * as WorkerProtocol from "@helios-infra/core/WorkerProtocol"
import * as FakeArtifactStorage from "@helios-infra/testkit/FakeArtifactStorage"
import * as AwsHandler from "@helios-infra/worker-runtime/AwsHandler"
import { Effect, Layer } from "effect"
import { spawnSync } from "node:child_process"
import { rmSync } from "node:fs"
import * as path from "node:path"
import * as Rig from "./Rig.ts"

const arn = "arn:aws:lambda:eu-central-1:123456789012:function:render"

/** A handler with a storage in memory; `invoke` sends what it gets through JSON, as Lambda does. */
const setUp = Effect.fnUntraced(function* (options: AwsHandler.Options = {}) {
  const workspaceDir = yield* Rig.folder
  const { fake, storage } = yield* FakeArtifactStorage.make()
  let built = 0
  const layer = Layer.sync(ArtifactStorage, () => {
    built++
    return storage
  })
  const handler = AwsHandler.make({ workspaceDir, storage: layer, ...options })
  const invoke = (event: unknown, remainingMs = 60_000) =>
    Effect.promise(() =>
      handler(event, {
        awsRequestId: "r-1",
        invokedFunctionArn: arn,
        getRemainingTimeInMillis: () => remainingMs
      })
    ).pipe(
      Effect.map((reply): unknown => JSON.parse(JSON.stringify(reply))),
      Effect.flatMap((reply) => Effect.orDie(WorkerProtocol.decodeReply(reply)))
    )
  const store = (spec: unknown) => fake.store("jobs/film/job.json", JSON.stringify(spec))
  return { built: () => built, fake, invoke, store, workspaceDir }
})

describe("the handler", () => {
  it.live("renders what it is asked for, with what its container has already", () =>
    Effect.gen(function* () {
      const { built, invoke, store, workspaceDir } = yield* setUp()
      store(Rig.job(`printf "$HOME" > "$1"`))
      for (let time = 0; time < 3; time++) {
        const reply = yield* invoke({ jobPath: "artifact:jobs/film/job.json", chunkIndex: 3 })
        assert(reply._tag === "Result", JSON.stringify(reply))
        assert.strictEqual(reply.result.workerId, `${arn}/r-1`)
        assert.strictEqual(reply.result.output?.sha256, Rig.sha256(workspaceDir))
      }
      assert.strictEqual(built(), 1)
    })
  )

  it.live("answers with the real exit code, the end of what was printed, and its own name", () =>
    Effect.gen(function* () {
      const { invoke, store } = yield* setUp()
      store(Rig.job(`seq 1 100000 >&2; echo the end >&2; exit 42`))
      const reply = yield* invoke(Rig.request())
      assert(reply._tag === "Error")
      assert.strictEqual(reply.error.adapter, "aws-lambda")
      assert.strictEqual(reply.error.workerId, `${arn}/r-1`)
      assert(reply.error.reason._tag === "RenderFailed")
      assert.strictEqual(reply.error.reason.exitCode, 42)
      assert.isTrue(reply.error.reason.stderrTail.endsWith("the end\n"))
      assert.isBelow(JSON.stringify(reply).length, 10_000)
    })
  )

  it.live("gives up in time", () =>
    Effect.gen(function* () {
      const { invoke, store } = yield* setUp()
      store(Rig.job("sleep 600"))
      const reply = yield* invoke(Rig.request(), 2000)
      assert(reply._tag === "Error")
      assert(reply.error.reason._tag === "TimedOut")
      assert.strictEqual(reply.error.reason.limit, "platform")
    })
  )

  it.live("answers whatever event it gets, and without a context", () =>
    Effect.gen(function* () {
      const { invoke, workspaceDir } = yield* setUp()
      for (const event of [
        null,
        undefined,
        "x",
        [],
        5,
        {},
        { Records: [{ s3: {} }] },
        { jobPath: {}, chunkIndex: [] }
      ]) {
        const reply = yield* invoke(event)
        assert(reply._tag === "Error")
        assert(reply.error.reason._tag === "Refused")
        assert.strictEqual(reply.error.reason.why, "InvalidJob")
      }
      const bare = AwsHandler.make({ workspaceDir })
      const reply = yield* Effect.orDie(WorkerProtocol.decodeReply(yield* Effect.promise(() => bare(null))))
      assert.strictEqual(reply._tag, "Error")
    })
  )

  it.live("says what is wrong with its configuration, and tries what may have been the machine's fault again", () =>
    Effect.gen(function* () {
      const { invoke } = yield* setUp({ sources: ["http://cdn.example.com"] })
      const reply = yield* invoke(Rig.request())
      assert(reply._tag === "Error")
      assert(reply.error.reason._tag === "Refused")
      assert.include(reply.error.reason.fix, "sources")
      const file = path.join(yield* Rig.folder, "file")
      yield* Rig.write(file, "")
      const broken = yield* setUp({ workspaceDir: path.join(file, "below") })
      broken.store(Rig.job(`printf m > "$1"`))
      const lost = yield* broken.invoke(Rig.request())
      assert(lost._tag === "Error")
      assert.strictEqual(lost.error.reason._tag, "WorkerLost")
      rmSync(file)
      yield* broken.invoke(Rig.request())
      assert.strictEqual((yield* broken.invoke(Rig.request()))._tag, "Result")
    })
  )

  it.live("logs JSON with the job, the chunk and the attempt, and no secret", () =>
    Effect.sync(() => {
      const program = path.join(import.meta.dirname, "fixtures", "invoke.ts")
      const event = JSON.stringify({
        jobPath: "https://cdn.example.com/job.json?token=hush",
        chunkIndex: 3,
        jobId: "film",
        attempt: 2
      })
      const { status, stderr, stdout } = spawnSync(
        process.execPath,
        ["--conditions=@helios-infra/source", program, event],
        { encoding: "utf8" }
      )
      assert.strictEqual(status, 0, stderr)
      const lines = stdout.trim().split("\n")
      assert.lengthOf(lines, 1)
      const line: unknown = JSON.parse(lines[0] ?? "")
      assert.deepNestedInclude(line, {
        level: "WARN",
        "annotations.job": "film",
        "annotations.chunk": 3,
        "annotations.attempt": 2,
        "annotations.requestId": "r-2"
      })
      assert.notInclude(lines.join(), "hush")
    })
  )
})
