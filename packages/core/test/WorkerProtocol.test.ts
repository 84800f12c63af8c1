import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import * as WorkerError from "../src/WorkerError.ts"
import * as WorkerProtocol from "../src/WorkerProtocol.ts"

const events: ReadonlyArray<WorkerProtocol.WorkerEvent> = [
  { event: "heartbeat", workerId: "host/1" },
  { event: "heartbeat" },
  { event: "progress", frames: 12 },
  { event: "log", stream: "stderr", text: 'two "quoted"\nlines' },
  { event: "result", reply: { _tag: "Cancelled", protocol: 1 } },
  {
    event: "result",
    reply: {
      _tag: "Error",
      protocol: 1,
      error: new WorkerError.WorkerError({
        adapter: "worker",
        jobId: "film",
        chunkId: 3,
        attempt: 2,
        reason: new WorkerError.Throttled({ retryAfterMs: 1000 })
      })
    }
  }
]

describe("WorkerEvent", () => {
  it.effect.each(events)("is one line, and comes back as it was: %o", (event) =>
    Effect.gen(function* () {
      const line = yield* WorkerProtocol.encodeEvent(event)
      assert.match(line, /^[^\n]+\n$/)
      assert.deepStrictEqual(yield* WorkerProtocol.decodeEvent(line), Option.some(event))
    })
  )

  it.effect("passes over events of a later version", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* WorkerProtocol.decodeEvent('{"event":"thermals","celsius":[91]}'), Option.none())
    })
  )

  it.effect.each(["", "null", "42", "{", "[]", '{"frames":1}', '{"event":7}', '{"event":"progress"}', "<html>"])(
    "is not %j",
    (line) =>
      Effect.gen(function* () {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(WorkerProtocol.decodeEvent(line))))
      })
  )
})

describe("decodeRequest", () => {
  it.effect("takes the least there is", () =>
    Effect.gen(function* () {
      const request = yield* WorkerProtocol.decodeRequest({ jobPath: "job.json", chunkIndex: 0, later: true })
      assert.deepStrictEqual(request, { jobPath: "job.json", chunkIndex: 0 })
    })
  )

  it.effect("takes a trace context that is malformed for none, and leaves its reading to whoever needs it", () =>
    Effect.gen(function* () {
      const request = { jobPath: "job.json", chunkIndex: 0 }
      for (const wrong of [42, null, {}, ["00-"]]) {
        const read = yield* WorkerProtocol.decodeRequest({ ...request, traceparent: wrong, tracestate: wrong })
        assert.deepStrictEqual(read, request)
      }
      const trace = { traceparent: "00-1-2-01", tracestate: "a=1" }
      assert.deepStrictEqual(yield* WorkerProtocol.decodeRequest({ ...request, ...trace }), { ...request, ...trace })
    })
  )

  it.effect("names every field that is wrong", () =>
    Effect.gen(function* () {
      const { fix, why } = yield* Effect.flip(WorkerProtocol.decodeRequest({ jobPath: "", chunkIndex: 0.5 }))
      assert.strictEqual(why, "InvalidJob")
      assert.include(fix, "jobPath")
      assert.include(fix, "chunkIndex")
    })
  )
})
