import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import type * as WorkerAdapter from "../src/WorkerAdapter.ts"
import * as WorkerAnswer from "../src/WorkerAnswer.ts"
import * as WorkerError from "../src/WorkerError.ts"
import type * as WorkerProtocol from "../src/WorkerProtocol.ts"

const job: WorkerAdapter.WorkerJob = {
  id: "film/7/1.2",
  command: "render {output}",
  meta: {
    _tag: "Chunk",
    jobId: "film",
    run: 1,
    attempt: 2,
    output: { _tag: "Artifact", key: "film/7.mov" },
    chunkId: 7,
    startFrame: 70,
    frameCount: 10,
    format: {}
  }
}

const resultOf = (more: Partial<WorkerAdapter.WorkerResult> = {}): WorkerProtocol.WorkerReply => ({
  _tag: "Result",
  protocol: 1,
  result: { exitCode: 0, stdout: "one\n", stderr: "two\n", durationMs: 5, ...more }
})

const errorOf = (reason: WorkerError.WorkerReason, workerId?: string): WorkerProtocol.WorkerReply => ({
  _tag: "Error",
  protocol: 1,
  error: new WorkerError.WorkerError({
    adapter: "worker",
    jobId: "other",
    chunkId: 1,
    attempt: 99,
    reason,
    ...(workerId === undefined ? {} : { workerId })
  })
})

const cancelled: WorkerProtocol.WorkerReply = { _tag: "Cancelled", protocol: 1 }

const settle = Effect.fnUntraced(function* (
  reply: WorkerProtocol.WorkerReply,
  more: Partial<WorkerAnswer.Answered> = {}
) {
  const signals: Array<WorkerAdapter.WorkerSignal> = []
  const signal = (told: WorkerAdapter.WorkerSignal) => void signals.push(told)
  const result = yield* Effect.result(WorkerAnswer.settle({ adapter: "here", job, reply, signal, ...more }))
  return { result, signals }
})

const failureOf = ({ result }: { readonly result: Result.Result<unknown, WorkerError.WorkerError> }) =>
  Result.isFailure(result) ? result.failure : assert.fail("it succeeded")

describe("settle", () => {
  it.effect("gives the result, and tells who it was and what it printed, once", () =>
    Effect.gen(function* () {
      const { result, signals } = yield* settle(resultOf({ workerId: "w-1" }))
      assert.deepInclude(Result.getOrThrow(result), { exitCode: 0, workerId: "w-1" })
      assert.deepStrictEqual(signals, [
        { _tag: "Assigned", workerId: "w-1" },
        { _tag: "Line", stream: "stdout", text: "one" },
        { _tag: "Line", stream: "stderr", text: "two" }
      ])
      const again = yield* settle(resultOf({ workerId: "w-1" }), { told: { workerId: "w-1", stdout: true } })
      assert.deepStrictEqual(again.signals, [{ _tag: "Line", stream: "stderr", text: "two" }])
    })
  )

  it.effect("knows the worker as it was told first, then as the answer says, then as the adapter does", () =>
    Effect.gen(function* () {
      const idOf = Effect.fnUntraced(function* (workerId: string | undefined, more: Partial<WorkerAnswer.Answered>) {
        const { result } = yield* settle(resultOf(workerId === undefined ? {} : { workerId }), more)
        return Result.getOrThrow(result).workerId
      })
      assert.strictEqual(yield* idOf("said", { told: { workerId: "told" }, workerId: "known" }), "told")
      assert.strictEqual(yield* idOf("said", { workerId: "known" }), "said")
      assert.strictEqual(yield* idOf(undefined, { workerId: "known" }), "known")
      const { result, signals } = yield* settle(resultOf({ stdout: "", stderr: "" }))
      assert.notProperty(Result.getOrThrow(result), "workerId")
      assert.deepStrictEqual(signals, [])
    })
  )

  it.effect("takes an exit code other than 0 for a failure, with what it printed last", () =>
    Effect.gen(function* () {
      const { reason } = failureOf(yield* settle(resultOf({ exitCode: 3 })))
      assert.deepInclude({ ...reason }, { _tag: "RenderFailed", exitCode: 3, stderrTail: "two\n" })
      const silent = failureOf(yield* settle(resultOf({ exitCode: 3, stderr: "" })))
      assert.deepInclude({ ...silent.reason }, { stderrTail: "one\n" })
    })
  )

  it.effect("keeps the reason of a failure, under the name of this attempt", () =>
    Effect.gen(function* () {
      const reason = new WorkerError.RenderFailed({ exitCode: 1, stderrTail: "out of paint\n" })
      const failed = yield* settle(errorOf(reason, "w-2"))
      const { adapter, attempt, chunkId, jobId, workerId } = failureOf(failed)
      assert.deepStrictEqual([adapter, jobId, chunkId, attempt, workerId], ["here", "film", 7, 2, "w-2"])
      assert.strictEqual(failureOf(failed).reason, reason)
      assert.deepStrictEqual(failed.signals, [
        { _tag: "Assigned", workerId: "w-2" },
        { _tag: "Line", stream: "stderr", text: "out of paint" }
      ])
      const timedOut = new WorkerError.TimedOut({ limit: "attempt", afterMs: 1000 })
      assert.strictEqual(failureOf(yield* settle(errorOf(timedOut))).reason, timedOut)
    })
  )

  it.effect("tries again what somebody else stopped", () =>
    Effect.gen(function* () {
      const { reason } = failureOf(yield* settle(cancelled))
      assert.strictEqual(reason._tag, "WorkerLost")
      assert.isTrue(WorkerError.isRetryable(reason))
    })
  )
})

describe("read", () => {
  it.effect("reads an answer", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* WorkerAnswer.read('{"_tag":"Cancelled","protocol":1}', "the worker"), cancelled)
    })
  )

  it.effect.each(["", "<html>busy</html>", '{"_tag":"Canc', "x".repeat(10_000)])(
    "tries again what is no JSON, and shows its beginning: %s",
    (text) =>
      Effect.gen(function* () {
        const reason = yield* Effect.flip(WorkerAnswer.read(text, "https://workers.example/render"))
        assert.strictEqual(reason._tag, "Transport")
        assert.include(reason.message, "https://workers.example/render")
        assert.include(reason.message, text === "" ? "empty" : text.slice(0, 200))
        assert.isBelow(reason.message.length, 600)
      })
  )

  it.effect.each([null, 42, { statusCode: 200 }, { _tag: "Cancelled", protocol: 2 }])(
    "refuses JSON that is no answer, and says what to deploy: %j",
    (json) =>
      Effect.gen(function* () {
        const reason = yield* Effect.flip(WorkerAnswer.read(JSON.stringify(json), "the worker"))
        assert.include(reason, { _tag: "Refused", why: "Unsupported" })
        assert.include(reason.message, "@helios-infra/worker-runtime")
        assert.include(reason.message, JSON.stringify(json))
      })
  )
})
