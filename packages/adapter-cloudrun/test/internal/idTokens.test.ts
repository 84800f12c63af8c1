import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { SignJWT } from "jose"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as idTokens from "../../src/internal/idTokens.ts"
import * as CloudRunService from "../CloudRunService.ts"
import * as MetadataServer from "../MetadataServer.ts"

const audience = "https://render.example"

const request = { url: audience, body: "{}", rejected: undefined }

const headerOf = (token: string) => ({ authorization: `Bearer ${token}` })

/** Tokens that count for an hour of the test's clock, from who fails when he is told to. */
const scripted = () => {
  const given: Array<string> = []
  const failures: Array<Error> = []
  const key = new Uint8Array(32)
  let nowMs = 0
  const provider = {
    fetchIdToken: async () => {
      const failure = failures.shift()
      if (failure !== undefined) throw failure
      const claims = new SignJWT({ serial: given.length }).setProtectedHeader({ alg: "HS256" })
      const token = await claims.setExpirationTime(nowMs / 1000 + 3600).sign(key)
      given.push(token)
      return token
    }
  }
  return {
    given,
    failures,
    make: idTokens.make({ audience, provider: Effect.succeed(provider), header: "authorization" }),
    pass: (duration: Duration.Input) =>
      Effect.andThen(
        TestClock.adjust(duration),
        Effect.sync(() => {
          nowMs += Duration.toMillis(Duration.fromInputUnsafe(duration))
        })
      )
  }
}

describe("a token", () => {
  it.effect("is kept until five minutes before its end", () =>
    Effect.gen(function* () {
      const { given, make, pass } = scripted()
      const { headers } = yield* make
      assert.deepStrictEqual(yield* headers(request), headerOf(given[0] ?? ""))
      yield* pass("54 minutes")
      yield* headers(request)
      assert.strictEqual(given.length, 1)
      yield* pass("1 minute")
      assert.deepStrictEqual(yield* headers(request), headerOf(given[1] ?? ""))
      assert.strictEqual(given.length, 2)
    })
  )

  it.effect("that was rejected is not given again, but one that came meanwhile is", () =>
    Effect.gen(function* () {
      const { given, make } = scripted()
      const { headers } = yield* make
      const first = yield* headers(request)
      const second = yield* headers({ ...request, rejected: first })
      assert.notDeepEqual(second, first)
      assert.deepStrictEqual(yield* headers({ ...request, rejected: first }), second)
      assert.strictEqual(given.length, 2)
    })
  )

  it.effect("that still counts will do while no other can be had; one that does not will not", () =>
    Effect.gen(function* () {
      const { failures, given, make, pass } = scripted()
      const { headers } = yield* make
      const first = yield* headers(request)
      yield* pass("58 minutes")
      failures.push(new Error("socket hang up"), new Error("socket hang up"))
      assert.deepStrictEqual(yield* headers(request), first)
      yield* pass("2 minutes")
      assert.strictEqual((yield* Effect.flip(headers(request)))._tag, "Transport")
      assert.notDeepEqual(yield* headers(request), first)
      assert.strictEqual(given.length, 2)
    })
  )

  it.effect("is still had by others when who asked first is stopped", () =>
    Effect.gen(function* () {
      let answer: (token: string) => void = () => {}
      let asked = 0
      const provider = {
        fetchIdToken: () => {
          asked += 1
          return new Promise<string>((resolve) => {
            answer = resolve
          })
        }
      }
      const { headers } = yield* idTokens.make({
        audience,
        provider: Effect.succeed(provider),
        header: "authorization"
      })
      const first = yield* Effect.forkChild(headers(request), { startImmediately: true })
      const second = yield* Effect.forkChild(headers(request), { startImmediately: true })
      assert.strictEqual(asked, 1)
      yield* Fiber.interrupt(first)
      yield* Effect.repeat(Effect.yieldNow, { until: () => asked === 2 })
      const payload = Buffer.from(JSON.stringify({ exp: 3600 })).toString("base64url")
      answer(`a.${payload}.c`)
      assert.deepStrictEqual(yield* Fiber.join(second), headerOf(`a.${payload}.c`))
    })
  )

  it.effect("is looked at before it is sent", () =>
    Effect.gen(function* () {
      for (const text of ["", "<html>", "a.b.c", `a.${Buffer.from("{}").toString("base64url")}.c`]) {
        const provider = { fetchIdToken: () => Promise.resolve(text) }
        const { headers } = yield* idTokens.make({
          audience,
          provider: Effect.succeed(provider),
          header: "authorization"
        })
        const reason = yield* Effect.flip(headers(request))
        assert.strictEqual(reason._tag, "Transport")
        assert.match(reason.message, /what came as an ID token is none/)
      }
    })
  )
})

describe("where tokens come from", () => {
  const ask = Effect.fnUntraced(function* (provider: idTokens.Options["provider"]) {
    const { headers } = yield* idTokens.make({ audience, provider, header: "authorization" })
    return yield* headers(request)
  })

  const folder = Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "keys-"))),
    (made) => Effect.promise(() => fs.rm(made, { recursive: true, force: true }))
  )

  it.live("without any credentials, says where they can be had", () =>
    Effect.gen(function* () {
      yield* CloudRunService.environment({
        METADATA_SERVER_DETECTION: "none",
        GOOGLE_APPLICATION_CREDENTIALS: undefined,
        HOME: "/nonexistent"
      })
      const reason = yield* Effect.flip(ask(idTokens.fromEnvironment))
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.match(reason.message, /gcloud auth application-default login.*GOOGLE_APPLICATION_CREDENTIALS.*metadata/)
    })
  )

  it.live("a metadata server that is down can be asked again", () =>
    Effect.gen(function* () {
      yield* CloudRunService.environment({
        GCE_METADATA_HOST: "127.0.0.1:1", // where nobody ever listens
        METADATA_SERVER_DETECTION: "assume-present",
        GOOGLE_APPLICATION_CREDENTIALS: undefined,
        HOME: "/nonexistent"
      })
      const reason = yield* Effect.flip(ask(idTokens.fromEnvironment))
      assert.strictEqual(reason._tag, "Transport")
      assert.match(reason.message, /no ID token came/)
    })
  )

  it.live("a metadata server that fails can be asked again; one that knows no account need not be", () =>
    Effect.gen(function* () {
      const { metadata } = yield* CloudRunService.make()
      // The library asks three times more by itself.
      metadata.faults.push({ status: 503 }, { status: 503 }, { status: 503 }, { status: 503 })
      const failed = yield* Effect.flip(ask(idTokens.fromEnvironment))
      assert.strictEqual(failed._tag, "Transport")
      assert.match(failed.message, /answered 503/)
      assert.deepStrictEqual(Object.keys(yield* ask(idTokens.fromEnvironment)), ["authorization"])
      metadata.faults.push({ status: 404, body: "no default service account" })
      assert.include(yield* Effect.flip(ask(idTokens.fromEnvironment)), { _tag: "Refused", why: "Unauthorized" })
    })
  )

  it.live("a service account's key gets tokens from Google's own server", () =>
    Effect.gen(function* () {
      const google = yield* Effect.acquireRelease(
        Effect.promise(() => MetadataServer.start()),
        (server) => Effect.promise(() => server.close())
      )
      const keyFile = path.join(yield* folder, "key.json")
      yield* Effect.promise(async () => fs.writeFile(keyFile, await google.keyFile()))
      const client = yield* idTokens.fromKeyFile(keyFile)
      const addresses: Array<string> = []
      client.transporter.interceptors.request.add({
        resolved: (config) => {
          addresses.push(config.url.href)
          config.url = new URL("/token", google.origin)
          return Promise.resolve(config)
        }
      })
      const { authorization = "" } = yield* ask(Effect.succeed(client))
      assert.deepStrictEqual(addresses, ["https://oauth2.googleapis.com/token"])
      const caller = yield* Effect.promise(() => google.verify(authorization.replace("Bearer ", ""), audience))
      assert.strictEqual(caller.email, "farm@films.iam.gserviceaccount.com")

      google.faults.push({ status: 400, body: '{"error":"invalid_grant"}' })
      assert.include(yield* Effect.flip(ask(Effect.succeed(client))), { _tag: "Refused", why: "Unauthorized" })
    })
  )

  it.live("a key that is not there, or none, is refused with what to do", () =>
    Effect.gen(function* () {
      const dir = yield* folder
      const none = path.join(dir, "none.json")
      yield* Effect.promise(() => fs.writeFile(none, "no key"))
      for (const keyFile of [path.join(dir, "missing.json"), none]) {
        const reason = yield* Effect.flip(ask(idTokens.fromKeyFile(keyFile)))
        assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
        assert.match(reason.message, /set it to the key of a service account/)
      }
      yield* CloudRunService.environment({ GOOGLE_APPLICATION_CREDENTIALS: path.join(dir, "missing.json") })
      const reason = yield* Effect.flip(ask(idTokens.fromEnvironment))
      assert.include(reason, { _tag: "Refused", why: "Unauthorized" })
      assert.match(reason.message, /GOOGLE_APPLICATION_CREDENTIALS/)
    })
  )
})
