import { assert, describe, it } from "@effect/vitest"
import { WebhookSignature } from "@helios-infra/webhooks"
import { receive, verify, WebhookVerificationError, type WebhookEvent } from "@helios-infra/webhooks/verify"
import { Effect, Redacted, Schema } from "effect"
import { TestClock } from "effect/testing"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { Webhook } from "standardwebhooks"

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
const other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
const event: WebhookEvent = {
  id: "evt_1",
  type: "job.paused",
  version: 1,
  timestamp: "2026-11-08T12:00:00.000Z",
  sequence: 3,
  data: {
    jobId: "größe 🎬",
    run: 1,
    durationMs: 5,
    progress: { frames: { done: 0, total: 1 }, chunks: { done: 0, total: 1 } },
    leftover: 0
  }
}
const text = JSON.stringify(event)
const now = 1_800_000_000_000
const at = new Date(now)

/** Headers as the library that everybody has makes them. */
const signed = (body: string, ...secrets: ReadonlyArray<string>) => ({
  "webhook-id": "evt_1",
  "webhook-timestamp": String(now / 1000),
  "webhook-signature": secrets.map((secret) => new Webhook(secret).sign("evt_1", at, body)).join(" ")
})

/** Why something is not accepted. */
const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "accepted",
    (error: unknown) => (error instanceof WebhookVerificationError ? `${error.reason} ${error.status}` : error)
  )

describe("verify", () => {
  it("accepts what a library of Standard Webhooks has signed, in every form of body and headers", async () => {
    const headers = signed(text, secret)
    const bytes = new TextEncoder().encode(text)
    const forms = [text, bytes, bytes.buffer].flatMap((body) =>
      [headers, new Headers(headers)].map((given) => verify(body, given, { secrets: secret, now }))
    )
    for (const found of await Promise.all(forms)) {
      assert.deepStrictEqual(found, { id: "evt_1", sentAt: now, event })
    }
  })

  it("takes any of its secrets and any of the signatures, so that a secret can be changed for another", async () => {
    const accepts = async (header: ReadonlyArray<string>, secrets: string | ReadonlyArray<string>) =>
      reasonOf(verify(text, signed(text, ...header), { secrets, now }))
    assert.strictEqual(await accepts([secret, other], secret), "accepted")
    assert.strictEqual(await accepts([secret, other], other), "accepted")
    assert.strictEqual(await accepts([other], [secret, other]), "accepted")
    assert.strictEqual(await accepts([other], [secret]), "WrongSignature 401")
  })

  it.effect.prop(
    "refuses a body, an id or a time that is not exactly what was signed",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 })), Schema.Literals(["body", "id", "time"])],
    ([place, what]) =>
      Effect.promise(async () => {
        const headers = signed(text, secret)
        const bytes = new TextEncoder().encode(text)
        if (what === "body") bytes[place % bytes.length] = (bytes[place % bytes.length] ?? 0) ^ 1
        if (what === "id") headers["webhook-id"] += place
        if (what === "time") headers["webhook-timestamp"] = String(now / 1000 + 1 + (place % 200))
        assert.strictEqual(await reasonOf(verify(bytes, headers, { secrets: secret, now })), "WrongSignature 401")
      })
  )

  it("refuses what is older, or newer, than it tolerates", async () => {
    const headers = signed(text, secret)
    const after = (ms: number, tolerance?: number) =>
      reasonOf(verify(text, headers, { secrets: secret, now: now + ms, tolerance }))
    assert.strictEqual(await after(300_000), "accepted")
    assert.strictEqual(await after(300_001), "WrongTime 401")
    assert.strictEqual(await after(-300_001), "WrongTime 401")
    assert.strictEqual(await after(5001, 5000), "WrongTime 401")
    assert.strictEqual(await after(Number.NaN), "WrongTime 401")
  })

  it("refuses headers that are no webhook's, whatever they hold", async () => {
    const headers = signed(text, secret)
    const given = (changed: Record<string, string | ReadonlyArray<string> | undefined>) =>
      reasonOf(verify(text, { ...headers, ...changed }, { secrets: secret, now }))
    assert.strictEqual(await given({ "webhook-id": undefined }), "MissingHeaders 400")
    assert.strictEqual(await given({ "webhook-signature": "" }), "MissingHeaders 400")
    assert.strictEqual(await given({ "webhook-id": ["evt_1", "evt_2"] }), "MissingHeaders 400")
    const times = ["now", "1e9", "-1", "1.5", "9".repeat(40), " "]
    const timed = await Promise.all(times.map((time) => given({ "webhook-timestamp": time })))
    assert.deepStrictEqual(
      timed,
      times.map(() => "WrongTime 401")
    )
    const [, value = ""] = headers["webhook-signature"].split(",")
    const wrong = ["v1", "v1,", `v2,${value}`, `v1a,${value}`, value, `v1,${value}!`, `v1,${value.slice(0, -4)}`]
    const signatures = [...wrong, " ".repeat(10_000), `${"v1,AAAA ".repeat(8)}v1,${value}`]
    assert.deepStrictEqual(
      await Promise.all(signatures.map((signature) => given({ "webhook-signature": signature }))),
      signatures.map(() => "WrongSignature 401")
    )
  })

  it("refuses what was signed and is no event of this version", async () => {
    const bodies = ["", "null", "[]", "{", '{"type":"job.paused"}', '{"type":"x","version":2,"data":{}}']
    assert.deepStrictEqual(
      await Promise.all(bodies.map((body) => reasonOf(verify(body, signed(body, secret), { secrets: secret, now })))),
      bodies.map(() => "NotAnEvent 400")
    )
  })

  it("says that a secret is none, and shows nothing of it", async () => {
    const wrong = [[], [secret, "password"], ["whsec_"], ["whsec_c2hvcnQ="], [secret.slice(6)]]
    const errors = await Promise.all(
      wrong.map((secrets) => verify(text, signed(text, secret), { secrets, now }).catch((error: unknown) => error))
    )
    for (const error of errors) {
      assert.instanceOf(error, WebhookVerificationError)
      assert.include(error, { reason: "InvalidSecret", status: 500 })
      assert.notInclude(error.message, "password")
    }
  })

  it("says that a secret is none also where a variable of plain JavaScript is not set", async () => {
    const reasons = await Promise.all(
      [undefined, [undefined], [secret, undefined]].map((secrets) => {
        const options = { secrets: secret, now }
        Object.assign(options, { secrets })
        return reasonOf(verify(text, signed(text, secret), options))
      })
    )
    assert.deepStrictEqual(reasons, ["InvalidSecret 500", "InvalidSecret 500", "InvalidSecret 500"])
  })

  it("needs nothing that only Node has", () => {
    const seen = new Set<string>()
    const read = (file: string): void => {
      const source = readFileSync(file, "utf8")
      for (const [, type, from = ""] of source.matchAll(/^(?:import|export) (type )?.*? from "(.*)"$/gm)) {
        if (type !== undefined) continue
        assert.match(from, /^\.\//, `${file} imports ${from}`)
        if (!seen.has(from)) read(path.join(path.dirname(file), from))
        seen.add(from)
      }
      assert.notMatch(source.replaceAll(/\/\*[^]*?\*\//g, ""), /\b(?:Buffer|process|require|node:)/)
    }
    read(path.join(import.meta.dirname, "../src/verify.ts"))
    assert.deepStrictEqual([...seen], ["./internal/standardWebhooks.ts"])
  })
})

describe("receive", () => {
  it("reads the request of a fetch-style handler", async () => {
    const request = new Request("https://shop.example/renders", {
      method: "POST",
      headers: signed(text, secret),
      body: text
    })
    assert.deepStrictEqual((await receive(request, { secrets: secret, now })).event, event)
  })

  it("reads no more than it was told", async () => {
    let read = 0
    const body = (async function* () {
      while (true) {
        read += 1000
        yield new Uint8Array(1000)
      }
    })()
    const request = { headers: signed(text, secret), body }
    assert.strictEqual(await reasonOf(receive(request, { secrets: secret, now, maxBytes: 5000 })), "TooLarge 413")
    assert.isAtMost(read, 6000)
    const empty = { headers: signed(text, secret), body: null }
    assert.strictEqual(await reasonOf(receive(empty, { secrets: secret, now })), "WrongSignature 401")
  })
})

describe("WebhookSignature", () => {
  it.effect("verifies by Effect's clock", () =>
    Effect.gen(function* () {
      const headers = signed(text, secret)
      const secrets = [Redacted.make(secret)]
      yield* TestClock.setTime(now)
      assert.strictEqual((yield* WebhookSignature.verify(text, headers, { secrets })).id, "evt_1")
      yield* TestClock.adjust("6 minutes")
      const late = yield* Effect.flip(WebhookSignature.verify(text, headers, { secrets }))
      assert.deepInclude(late, { _tag: "InvalidWebhook", reason: "WrongTime", status: 401 })
      yield* WebhookSignature.verify(text, headers, { secrets, tolerance: "10 minutes" })
    })
  )

  it.effect("makes secrets that the library takes, each another one", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([WebhookSignature.newSecret, WebhookSignature.newSecret])
      assert.notStrictEqual(Redacted.value(one), Redacted.value(two))
      assert.doesNotThrow(() => new Webhook(Redacted.value(one)))
      assert.notInclude(JSON.stringify(one), "whsec_")
    })
  )
})
