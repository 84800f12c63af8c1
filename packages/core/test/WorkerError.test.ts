import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as WorkerError from "../src/WorkerError.ts"

const json = Schema.fromJsonString(Schema.toCodecJson(WorkerError.WorkerError))
const overTheWire = (error: WorkerError.WorkerError): WorkerError.WorkerError =>
  Schema.decodeSync(json)(Schema.encodeSync(json)(error))

const wrap = (reason: WorkerError.WorkerReason): WorkerError.WorkerError =>
  new WorkerError.WorkerError({ adapter: "aws-lambda", jobId: "trailer", chunkId: 7, attempt: 2, reason })

const reasons = {
  throttled: new WorkerError.Throttled({ retryAfterMs: 1500 }),
  throttledWithoutTime: new WorkerError.Throttled({}),
  workerLost: new WorkerError.WorkerLost({ workerId: "i-0a", detail: "killed" }),
  workerLostWithoutId: new WorkerError.WorkerLost({ detail: "killed" }),
  transport: new WorkerError.Transport({ cause: new Error("connect ECONNREFUSED") }),
  transportWithoutError: new WorkerError.Transport({ cause: "socket hang up" }),
  timedOut: new WorkerError.TimedOut({ limit: "attempt", afterMs: 60_000 }),
  timedOutByPlatform: new WorkerError.TimedOut({ limit: "platform", afterMs: 900_000 }),
  stalled: new WorkerError.Stalled({ silentMs: 30_000, frames: 12 }),
  renderFailed: new WorkerError.RenderFailed({ exitCode: 1, stderrTail: "no such codec\n" }),
  renderKilled: new WorkerError.RenderFailed({ exitCode: null, signal: "SIGKILL", stderrTail: "" }),
  outputInvalid: new WorkerError.OutputInvalid({ expected: "30 frames", found: "17 frames" }),
  refused: new WorkerError.Refused({ why: "Unauthorized", fix: "give the worker's token" })
}
const cases = Object.entries(reasons)

describe("WorkerError over the wire", () => {
  it("covers every reason there is", () => {
    assert.deepStrictEqual(
      new Set(cases.map(([, reason]) => reason._tag)),
      new Set(WorkerError.WorkerReason.members.map((member) => member.fields._tag.ast.literal))
    )
  })

  it.each(cases)("%s comes back as the error it was", (_, reason) => {
    const error = wrap(reason)
    const received = overTheWire(error)
    assert.instanceOf(received, WorkerError.WorkerError)
    assert.instanceOf(received, Error)
    assert.strictEqual(Object.getPrototypeOf(received.reason), Object.getPrototypeOf(reason))
    assert.instanceOf(received.reason, Error)
    assert.strictEqual(received.name, "WorkerError")
    assert.strictEqual(received.message, error.message)
    assert.strictEqual(received.reason.message, reason.message)
    const { adapter, attempt, chunkId, jobId } = received
    assert.deepStrictEqual([adapter, jobId, chunkId, attempt], ["aws-lambda", "trailer", 7, 2])
    assert.deepStrictEqual(Schema.encodeSync(json)(received), Schema.encodeSync(json)(error))
  })

  it("keeps absent what is absent", () => {
    const merge = new WorkerError.WorkerError({ adapter: "local", jobId: "j", attempt: 1, reason: reasons.stalled })
    const received = overTheWire(merge)
    assert.isFalse("chunkId" in received)
    assert.isFalse("workerId" in received)
  })

  it.each([
    ["an unknown reason", { _tag: "Bored" }],
    ["a reason with a field missing", { _tag: "Stalled", silentMs: 1 }],
    ["a reason for refusing that is not known", { _tag: "Refused", why: "Mood", fix: "" }],
    ["no reason", undefined]
  ])("does not take %s", (_, reason) => {
    const wire = { _tag: "WorkerError", adapter: "local", jobId: "j", chunkId: 0, attempt: 1, reason }
    assert.throws(() => Schema.decodeSync(json)(JSON.stringify(wire)))
  })

  it("carries causes that JSON cannot hold, or that cannot even be shown", () => {
    const cyclic: Record<string, unknown> = {}
    cyclic["self"] = cyclic
    const unshowable = {
      toString() {
        throw new Error("not even this")
      }
    }
    const causes = [
      cyclic,
      unshowable,
      Object.create(null),
      10n,
      undefined,
      () => 1,
      Symbol("s"),
      new Error("", { cause: cyclic })
    ]
    for (const cause of causes) {
      const error = wrap(new WorkerError.Transport({ cause }))
      const received = overTheWire(error)
      assert.strictEqual(received.reason._tag, "Transport")
      assert.match(error.message, /could not be reached: ./)
      assert.match(received.message, /could not be reached: ./)
    }
  })

  it.effect("is caught by its tag and by its reason's tag", () =>
    Effect.gen(function* () {
      const failing: Effect.Effect<never, WorkerError.WorkerError> = Effect.fail(wrap(reasons.stalled))
      const frames = yield* failing.pipe(
        Effect.catchReason("WorkerError", "Stalled", (stalled) => Effect.succeed(stalled.frames))
      )
      assert.strictEqual(frames, 12)
    })
  )
})

describe("WorkerError messages", () => {
  it.each(cases)("name job, chunk, attempt and adapter (%s)", (_, reason) => {
    const { message } = wrap(reason)
    assert.include(message, "chunk 7 of job trailer, attempt 2 on aws-lambda: ")
    assert.isTrue(message.endsWith(reason.message))
    assert.isAbove(reason.message.length, 10)
  })

  it("name the merge command where no chunk is meant", () => {
    const error = new WorkerError.WorkerError({ adapter: "local", jobId: "j", attempt: 1, reason: reasons.refused })
    assert.include(error.message, "the merge command of job j")
  })

  it.each([
    ["throttled", "try again after 1500 ms"],
    ["workerLost", "the worker i-0a was lost: killed"],
    ["workerLostWithoutId", "the worker was lost: killed"],
    ["transport", "connect ECONNREFUSED"],
    ["transportWithoutError", "socket hang up"],
    ["timedOut", "make chunks smaller or raise attemptTimeout"],
    ["timedOutByPlatform", "make chunks smaller"],
    ["stalled", "no sign of life for 30000 ms, after 12 frames"],
    ["renderFailed", "exited with 1:\nno such codec"],
    ["renderKilled", "was killed by SIGKILL"],
    ["outputInvalid", "expected 30 frames, found 17 frames"],
    ["refused", "give the worker's token"]
  ] as const)("say what happened and what to do: %s", (name, words) => assert.include(reasons[name].message, words))
})

describe("Transport messages", () => {
  const message = (cause: unknown): string => new WorkerError.Transport({ cause }).message

  it("show what is behind the error", () => {
    const failed = new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED 127.0.0.1:80") })
    assert.include(message(failed), "fetch failed")
    assert.include(message(failed), "connect ECONNREFUSED 127.0.0.1:80")
    assert.include(message({ code: "ECONNRESET" }), "ECONNRESET")
  })

  it("show the errors of a host with several addresses, of which none answers", () => {
    const errors = [new Error("connect ECONNREFUSED ::1:80"), new Error("connect ECONNREFUSED 127.0.0.1:80")]
    assert.include(message(new AggregateError(errors)), "ECONNREFUSED ::1:80")
    assert.include(message(new AggregateError(errors)), "ECONNREFUSED 127.0.0.1:80")
  })

  it("stay short", () => {
    assert.isBelow(message("x".repeat(1_000_000)).length, 1100)
    assert.isBelow(message({ body: Array(10_000).fill("x") }).length, 1100)
  })
})

describe("WorkerError.isRetryable", () => {
  it.each(cases)("%s: everything but a refusal", (_, reason) =>
    assert.strictEqual(WorkerError.isRetryable(reason), reason._tag !== "Refused")
  )
})
