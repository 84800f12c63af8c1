import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { type JobEvent, JobRecord } from "../src/JobEvent.ts"
import * as WorkerError from "../src/WorkerError.ts"
import * as Fakes from "./Fakes.ts"
import * as Journals from "./Journals.ts"

const json = Schema.fromJsonString(Schema.toCodecJson(JobRecord))
const encode = Schema.encodeSync(json)
const decode = Schema.decodeUnknownSync(json)

const inRecord = (event: JobEvent): JobRecord => ({ revision: 1, run: 1, at: 0.5, event })

describe("JobEvent as JSON", () => {
  it.prop(
    "any event comes back as it was",
    [Arbitrary.schema(Journals.AnyEvent)],
    ([event]) => {
      const text = encode(inRecord(event))
      const received = decode(text)
      assert.strictEqual(encode(received), text)
      assert.strictEqual(received.event._tag, event._tag)
      assert.deepStrictEqual(Object.keys(received.event).toSorted(), Object.keys(event).toSorted())
      if (event._tag !== "AttemptEnded" || received.event._tag !== "AttemptEnded") return
      if (event.error === undefined) return
      // An error is still one, with its words, and so is its reason.
      const error = received.event.error
      assert.instanceOf(error, WorkerError.WorkerError)
      assert.strictEqual(Object.getPrototypeOf(error.reason), Object.getPrototypeOf(event.error.reason))
      assert.instanceOf(error.reason, Error)
      if (event.error.reason._tag !== "Transport") assert.strictEqual(error.message, event.error.message)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "a whole journal comes back as it was",
    [Journals.legal],
    ([{ records }]) =>
      assert.deepStrictEqual(
        records.map((record) => decode(encode(record))),
        records
      ),
    { arbitrary: { runs: 100, size: 60 } }
  )

  it("a job file is kept with the keys that nobody here knows", () => {
    const spec = Fakes.job(2, 10, { note: { by: ["hand", null, 1.5] }, mergeCommand: "join" })
    const created = inRecord({ _tag: "JobCreated", version: 1, spec })
    assert.deepStrictEqual(decode(encode(created)), created)
  })

  it("holds no line break, so that a line can be a record", () => {
    const event: JobEvent = { _tag: "OutputLost", chunk: 1, attempt: 1, found: "a\nb\r\u2028c" }
    const text = encode(inRecord(event))
    assert.notMatch(text, /[\n\r]/)
    assert.deepStrictEqual(decode(text).event, event)
  })

  it.each([
    ["an event that is not known", { _tag: "Celebrated" }],
    ["a version that is not known", { _tag: "JobCreated", version: 2, spec: Fakes.job(1) }],
    ["a job file that is none", { _tag: "JobCreated", version: 1, spec: {} }],
    ["a run that ended as nothing", { _tag: "RunEnded", run: 1, how: "bored", leftover: [] }],
    ["a chunk that is no number", { _tag: "AttemptStarted", chunk: "1", attempt: 1 }],
    ["an error without a reason", { _tag: "AttemptEnded", chunk: 1, attempt: 1, how: "failed", error: {} }],
    ["nothing", null]
  ])("does not take %s", (_, event) => {
    assert.throws(() => decode(JSON.stringify({ revision: 1, run: 1, at: 1, event })))
  })

  it("does not take a record without its place", () => {
    const event = { _tag: "AttemptStarted", chunk: 1, attempt: 1 }
    assert.throws(() => decode(JSON.stringify({ run: 1, at: 1, event })))
    assert.throws(() => decode(JSON.stringify({ revision: 1.5, run: 1, at: 1, event })))
  })
})
