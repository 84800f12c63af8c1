/** Attempts over real connections, to receivers that behave and to those that do not. */
import { assert, describe, it } from "@effect/vitest"
import {
  WebhookClient,
  WebhookDelivery,
  WebhookEndpoint,
  type WebhookEvent,
  WebhookSignature
} from "@helios-infra/webhooks"
import { Duration, Effect, Fiber, Redacted } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { Webhook } from "standardwebhooks"
import * as Receiver from "./Receiver.ts"

const event: WebhookEvent.WebhookEvent = {
  id: "evt_1",
  type: "job.created",
  version: 1,
  timestamp: "2026-11-08T12:00:00.000Z",
  sequence: 1,
  data: { jobId: "größe 🎬", frames: 10, chunks: 1, fps: "30000/1001" }
}

const setUp = Effect.fnUntraced(function* (
  answer?: Receiver.Answer,
  options: Partial<WebhookEndpoint.Endpoint> = {},
  clientOptions: WebhookClient.Options = {}
) {
  const secret = yield* WebhookSignature.newSecret
  const receiver = yield* Receiver.make([Redacted.value(secret)], answer)
  const endpoint = yield* WebhookEndpoint.ready({ id: "shop", url: receiver.url, secrets: [secret], ...options })
  const client = yield* WebhookClient.make(clientOptions)
  return { client, endpoint, post: WebhookDelivery.post(client, endpoint, event), receiver, secret }
})

const reasonOf = (post: Effect.Effect<void, WebhookDelivery.DeliveryError>) =>
  Effect.map(Effect.flip(post), ({ reason }) => reason)

describe("WebhookDelivery", () => {
  it.live("posts the event with its signature, and the endpoint's own headers", () =>
    Effect.gen(function* () {
      const headers = { Authorization: Redacted.make("Bearer t"), "x-tenant": "7" }
      const { post, receiver } = yield* setUp(undefined, { headers })
      yield* post
      const [received] = receiver.received
      assert.deepStrictEqual(received?.verified.event, event)
      assert.deepStrictEqual(Object.keys(received?.headers ?? {}).toSorted(), [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-tenant"
      ])
      assert.deepInclude(received?.headers, {
        authorization: "Bearer t",
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "x-tenant": "7"
      })
    })
  )

  it.effect("signs for every secret, with the time of the attempt, as the library verifies it", () =>
    Effect.gen(function* () {
      const secrets = yield* Effect.all([WebhookSignature.newSecret, WebhookSignature.newSecret])
      const endpoint = yield* WebhookEndpoint.ready({ id: "shop", url: "https://shop.example", secrets })
      yield* TestClock.setTime(Date.now())
      let sent: Request | undefined
      const fetch: typeof globalThis.fetch = (input, init) => {
        sent = new Request(input, init)
        return Promise.resolve(new Response())
      }
      const client = yield* Effect.provide(HttpClient.HttpClient, FetchHttpClient.layer)
      yield* Effect.provideService(WebhookDelivery.post(client, endpoint, event), FetchHttpClient.Fetch, fetch)
      const body = yield* Effect.promise(() => sent?.text() ?? Promise.resolve(""))
      const headers = Object.fromEntries(sent?.headers ?? [])
      for (const secret of secrets) {
        assert.deepStrictEqual(new Webhook(Redacted.value(secret)).verify(body, headers), event)
      }
      assert.lengthOf(headers["webhook-signature"]?.split(" ") ?? [], 2)
      assert.strictEqual(sent?.redirect, "manual")
    })
  )

  it.live("takes every status from 200 to 299 for success, and no other one", () =>
    Effect.gen(function* () {
      for (const status of [200, 201, 202, 204, 299]) yield* (yield* setUp(Receiver.answer(status))).post
      for (const status of [300, 304, 400, 401, 404, 409, 422, 500, 503]) {
        const { post } = yield* setUp(Receiver.answer(status, {}, "no"))
        assert.deepInclude(yield* reasonOf(post), { _tag: "Answered", status })
      }
      assert.deepInclude(yield* reasonOf((yield* setUp(Receiver.answer(410))).post), { _tag: "Gone" })
    })
  )

  it.live("follows no redirect, with Node's client or with fetch", () =>
    Effect.gen(function* () {
      const elsewhere = yield* setUp()
      for (const status of [301, 302, 303, 307, 308]) {
        const { client, endpoint } = yield* setUp(Receiver.answer(status, { location: elsewhere.receiver.url }))
        const fetch = yield* Effect.provide(HttpClient.HttpClient, FetchHttpClient.layer)
        for (const each of [client, fetch]) {
          const reason = yield* reasonOf(WebhookDelivery.post(each, endpoint, event))
          assert.include(reason, { _tag: "Answered", status })
          assert.include(reason.message, "redirects are not followed")
        }
      }
      assert.lengthOf(elsewhere.receiver.received, 0)
    })
  )

  it.live("understands Retry-After in seconds and as a date, and not as anything else", () =>
    Effect.gen(function* () {
      const after = (value: string) =>
        Effect.flatMap(setUp(Receiver.answer(429, { "retry-after": value })), ({ post }) => reasonOf(post))
      assert.include(yield* after("7"), { status: 429, retryAfterMs: 7000 })
      const date = yield* after(new Date(Date.now() + 60_000).toUTCString())
      assert.isTrue(date._tag === "Answered")
      assert.approximately(date._tag === "Answered" ? (date.retryAfterMs ?? 0) : 0, 59_500, 1500)
      assert.include(yield* after(new Date(Date.now() - 60_000).toUTCString()), { retryAfterMs: 0 })
      assert.notProperty(yield* after("soon"), "retryAfterMs")
      // Longer than any number.
      assert.include(yield* after("9".repeat(400)), { status: 429, retryAfterMs: Number.MAX_SAFE_INTEGER })
    })
  )

  it.live("gives up waiting for a receiver that hangs, or sends its answer letter by letter, and hangs up", () =>
    Effect.gen(function* () {
      for (const answer of [Receiver.hang, Receiver.slowly]) {
        const { post, receiver } = yield* setUp(answer, { timeout: "150 millis" })
        assert.deepInclude(yield* reasonOf(post), { _tag: "NoAnswer", afterMs: 150 })
        assert.lengthOf(receiver.received, 1)
        yield* Receiver.until(() => receiver.connections() === 0)
      }
    })
  )

  it.live("does not read an endless answer, whichever its status is", () =>
    Effect.gen(function* () {
      for (const status of [200, 500]) {
        const pieces = { count: 0 }
        const { post, receiver } = yield* setUp(Receiver.endless(status, pieces))
        const exit = yield* Effect.exit(post)
        assert.strictEqual(exit._tag, status === 200 ? "Success" : "Failure")
        yield* Receiver.until(() => receiver.connections() === 0)
        // What the sockets hold, and not gigabytes.
        assert.isBelow(pieces.count * 65_536, 32 * 1024 ** 2)
      }
    })
  )

  it.live("shows the beginning of what a receiver said, and no more", () =>
    Effect.gen(function* () {
      const { post } = yield* setUp(Receiver.answer(500, {}, `database ${"x".repeat(100_000)}`))
      const error = yield* Effect.flip(post)
      assert.match(
        error.message,
        /^webhook endpoint "shop" did not take event evt_1 of job größe 🎬: it answered 500: database x+$/
      )
      assert.isBelow(error.message.length, 700)
    })
  )

  it.live(
    "takes a connection that breaks before the answer for a failure, and one after it for what was answered",
    () =>
      Effect.gen(function* () {
        assert.deepInclude(yield* reasonOf((yield* setUp(Receiver.breakOff)).post), { _tag: "Unreachable" })
        yield* (yield* setUp(Receiver.breakInTheMiddle(200))).post
        const half = yield* reasonOf((yield* setUp(Receiver.breakInTheMiddle(500))).post)
        assert.include(half, { _tag: "Answered", status: 500 })
      })
  )

  it.live("says that nobody listens", () =>
    Effect.gen(function* () {
      const { client, endpoint } = yield* setUp(undefined, { url: "http://127.0.0.1:1/hook?token=very-secret" })
      const error = yield* Effect.flip(WebhookDelivery.post(client, endpoint, event))
      assert.include(error.message, "it could not be reached: connect ECONNREFUSED")
      assert.notInclude(error.message, "very-secret")
    })
  )

  it.live("hangs up when it is interrupted", () =>
    Effect.gen(function* () {
      const { post, receiver } = yield* setUp(Receiver.hang)
      const posting = yield* Effect.forkChild(post)
      yield* Receiver.until(() => receiver.received.length === 1)
      yield* Fiber.interrupt(posting)
      yield* Receiver.until(() => receiver.connections() === 0)
    })
  )
})

describe("WebhookClient", () => {
  const refuse = { privateAddresses: "refuse" } as const

  it.live("connects to no private address where it is told so, by whatever name", () =>
    Effect.gen(function* () {
      const { receiver, secret } = yield* setUp()
      const port = new URL(receiver.url).port
      const client = yield* WebhookClient.make(refuse)
      const hosts = [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "127.1"
      ]
      for (const host of [...hosts, "169.254.169.254", "10.0.0.1", "[fd00::1]", "[64:ff9b::a00:1]", "100.64.0.1"]) {
        const url = `http://${host}:${port}/hook`
        const endpoint = yield* WebhookEndpoint.ready({ id: "e", url, secrets: [secret], allowHttp: true })
        const reason = yield* reasonOf(WebhookDelivery.post(client, endpoint, event))
        assert.strictEqual(reason._tag, "Unreachable", host)
        assert.include(reason.message, "private network", host)
      }
      assert.strictEqual(receiver.connections(), 0)
      assert.lengthOf(receiver.received, 0)
    })
  )

  it.live("reaches this machine unless it is told not to", () =>
    Effect.gen(function* () {
      const { client, receiver, secret } = yield* setUp()
      const url = receiver.url.replace("127.0.0.1", "localhost")
      const endpoint = yield* WebhookEndpoint.ready({ id: "e", url, secrets: [secret] })
      yield* WebhookDelivery.post(client, endpoint, event)
      assert.lengthOf(receiver.received, 1)
    })
  )

  it("knows public addresses", () => {
    for (const address of ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
      assert.isTrue(WebhookClient.isPublic(address))
    for (const address of [
      "192.168.1.1",
      "172.16.0.1",
      "fe80::1",
      "::7f00:1",
      "4000::1",
      "224.0.0.1",
      "192.0.2.1",
      "198.18.0.1",
      "255.255.255.255"
    ]) {
      assert.isFalse(WebhookClient.isPublic(address), address)
    }
  })
})

describe("WebhookEndpoint", () => {
  const check = (options: Partial<WebhookEndpoint.Endpoint>) =>
    Effect.gen(function* () {
      const secrets = [yield* WebhookSignature.newSecret]
      return yield* WebhookEndpoint.ready({ id: "shop", url: "https://shop.example/hook", secrets, ...options })
    })

  it.effect("fills in what is left out", () =>
    Effect.gen(function* () {
      const ready = yield* check({ retry: { delay: "2 seconds" } })
      assert.include(ready, { delayMs: 2000, maxDelayMs: 600_000, giveUpAfterMs: 86_400_000, concurrency: 8 })
      assert.strictEqual(Duration.toMillis(ready.timeout), 15_000)
      assert.isFalse(ready.feed.types.has("job.progress"))
      assert.strictEqual((yield* check({ progressEvery: 1 })).feed.progressEveryMs, 1000)
    })
  )

  it.effect("says what is wrong, and shows no secret", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [Partial<WebhookEndpoint.Endpoint>, RegExp]> = [
        [{ url: "shop.example/very-secret" }, /https URL/],
        [{ url: "ftp://shop.example/very-secret" }, /https URL/],
        [{ url: "http://shop.example/very-secret" }, /must be https.*allowHttp/],
        [{ url: "http://127.0.0.1.shop.example/very-secret" }, /must be https/],
        [{ url: "https://user:very-secret@shop.example" }, /holds a password/],
        [{ secrets: [] }, /needs a list of secrets/],
        [{ secrets: [Redacted.make("very-secret")] }, /secret 1 of it must be "whsec_"/],
        [{ headers: { "Webhook-Id": "1" } }, /Webhook-Id is set by the protocol/],
        [{ headers: { Host: "bank.example" } }, /Host is set/],
        [{ headers: { "x y": "1" } }, /no header can have/],
        [{ headers: { "x-y": Redacted.make("very-secret\r\nx: 1") } }, /no header can hold/],
        [{ concurrency: 0 }, /whole number from 1/],
        [{ timeout: Number.NaN }, /its timeout is no time/],
        [{ retry: { maxDelay: Number.NaN } }, /its maxDelay is no time/],
        [{ since: Number.NaN }, /its since must be milliseconds/],
        [{ id: "" }, /1 to 100 characters/]
      ]
      for (const [options, expected] of wrong) {
        const error = yield* Effect.flip(check(options))
        assert.match(error.message, expected)
        assert.notInclude(error.message, "very-secret")
      }
      for (const url of ["http://localhost:1", "http://127.9.9.9", "http://[::1]:8080/x"]) yield* check({ url })
      yield* check({ url: "http://shop.internal", allowHttp: true })
    })
  )
})
