import * as PromiseOptions from "@helios-infra/core/PromiseOptions"
import { assert, describe, it } from "vitest"

interface FarmOptions {
  readonly queue?: string | undefined
  readonly slots?: number | undefined
  readonly grace?: number | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

const rules: PromiseOptions.Rules<FarmOptions> = {
  queue: PromiseOptions.text,
  slots: PromiseOptions.whole(1),
  grace: PromiseOptions.millis,
  env: PromiseOptions.variables,
  signal: PromiseOptions.abortSignal
}

describe("issue", () => {
  it("is none where options are right, left out or undefined", () => {
    const right = { queue: "", slots: 1, grace: 0, env: { A: "" }, signal: AbortSignal.abort() }
    for (const options of [{}, right, { queue: undefined, quux: undefined }, Object.create(right)]) {
      assert.isUndefined(PromiseOptions.issue(options, rules))
    }
  })

  it.each<readonly [unknown, string]>([
    [{ slot: 3 }, "there is no option slot: did you mean slots?"],
    [{ timeout: 3 }, "there is no option timeout: there are queue, slots, grace, env, signal"],
    [{ constructor: 3 }, "there is no option constructor: there are queue, slots, grace, env, signal"],
    [{ queue: null }, "queue must be a text, is null"],
    [{ slots: "4" }, 'slots must be a whole number from 1, is "4"'],
    [{ slots: 1.5 }, "slots must be a whole number from 1, is 1.5"],
    [{ grace: Infinity }, "grace must be a number of milliseconds from 0, is Infinity"],
    [{ env: ["A=1"] }, "env must be an object of texts, is a list"],
    [{ env: { A: 1 } }, "env.A must be a text, is 1"],
    [{ env: { A: undefined } }, "env.A must be a text, is undefined"],
    [
      { signal: new AbortController() },
      "signal must be an AbortSignal, such as the signal of an AbortController, is an object"
    ],
    [null, "the options must be an object, are null"],
    ["queue", 'the options must be an object, are "queue"'],
    [[], "the options must be an object, are a list"],
    [() => ({}), "the options must be an object, are a function"],
    [Promise.resolve({}), "the options must be an object, are a promise"]
  ])("says of %o: %s", (options, wrong) => {
    assert.strictEqual(PromiseOptions.issue(options, rules), wrong)
  })

  it("stays short, and tells nothing of what is in an object", () => {
    const long = "x".repeat(100_000)
    for (const options of [{ [long]: 1 }, { slots: long }, { queue: { password: "hunter2" } }]) {
      const wrong = PromiseOptions.issue(options, rules) ?? ""
      assert.isAbove(wrong.length, 10)
      assert.isBelow(wrong.length, 300)
      assert.notInclude(wrong, "hunter2")
    }
  })
})

describe("check", () => {
  it("throws a TypeError that says whose options they are", () => {
    assert.throws(() => PromiseOptions.check("Farm", { slot: 3 }, rules), TypeError, "Farm: there is no option slot")
    assert.throws(
      () => PromiseOptions.check("Farm", { slots: 1 }, rules, ["queue"]),
      TypeError,
      "Farm: queue is missing"
    )
    assert.throws(
      () => PromiseOptions.check("Farm", undefined, rules, ["queue"]),
      TypeError,
      "Farm: the options must be"
    )
    assert.doesNotThrow(() => PromiseOptions.check("Farm", {}, rules))
    assert.doesNotThrow(() => PromiseOptions.check("Farm", { queue: "" }, rules, ["queue"]))
  })
})
