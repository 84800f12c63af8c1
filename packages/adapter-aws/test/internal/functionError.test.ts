import { assert, describe, it } from "vitest"
import * as functionError from "../../src/internal/functionError.ts"

const target = { functionName: "render", qualifier: "live", region: "eu-west-1" }

const reasonOf = (error: object | string, log = "") => {
  const payload = typeof error === "string" ? error : JSON.stringify(error)
  return functionError.reasonOf({ payload, log, elapsedMs: 900_123, target })
}

describe("what the platform says of a function", () => {
  it("that took too long, in its words of today and before", () => {
    for (const error of [
      { errorType: "Sandbox.Timedout", errorMessage: "RequestId: 5d Error: Task timed out after 900.05 seconds" },
      { errorMessage: "2026-11-23T17:10:01.161Z 5d Task timed out after 900.05 seconds" }
    ]) {
      assert.deepInclude({ ...reasonOf(error) }, { _tag: "TimedOut", limit: "platform", afterMs: 900_050 })
    }
    assert.deepInclude({ ...reasonOf({ errorType: "Sandbox.Timedout" }) }, { _tag: "TimedOut", afterMs: 900_123 })
  })

  it("that had no memory left, in all its words", () => {
    for (const [errorType, how] of [
      ["Runtime.OutOfMemory", "signal: killed"],
      ["Runtime.ExitError", "signal: killed"],
      ["Runtime.ExitError", "signal: aborted"],
      ["Runtime.ExitError", "exit status 137"],
      ["Runtime.ExitError", "exit status 134"]
    ]) {
      const reason = reasonOf({ errorType, errorMessage: `RequestId: 5d Error: Runtime exited with error: ${how}` })
      assert.strictEqual(reason._tag, "WorkerLost")
      assert.match(reason.message, /function "render:live" in eu-west-1 ran out of memory, give it more/)
    }
  })

  it("in no words at all", () => {
    for (const payload of ["", "null", "[1]", "Internal error", '{"message":"?"}']) {
      assert.strictEqual(reasonOf(payload)._tag, "WorkerLost", payload)
    }
    assert.match(reasonOf("Internal error").message, /Internal error/)
  })

  it("with the last that it printed, and none of the platform's own lines", () => {
    const log = `START RequestId: 5d Version: 7\n${"x".repeat(3000)}\nscene 5\nEND RequestId: 5d\nREPORT RequestId: 5d\tDuration: 9 ms\n`
    const { message } = reasonOf({ errorType: "Error", errorMessage: "no" }, log)
    assert.match(message, /x\nscene 5$/)
    assert.isBelow(message.length, 1300)
  })
})
