import { assert, describe, it } from "@effect/vitest"
import { signatureAgeMs, signatureHeader } from "@helios-infra/core/WorkerProtocol"
import * as RequestAuth from "@helios-infra/worker-runtime/RequestAuth"
import { Clock, Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto"
import type { JWTPayload } from "jose"
import { exportJWK } from "jose/key/export"
import { SignJWT } from "jose/jwt/sign"
import * as Rig from "./Rig.ts"
import * as ServerRig from "./ServerRig.ts"

const encoder = new TextEncoder()
const body = encoder.encode(`{"jobPath":"artifact:job.json","chunkIndex":3}`)

/** What becomes of a request with these headers and this body: `"in"`, or why not. */
const judged = (authenticator: RequestAuth.Authenticator, headers: RequestAuth.Headers, content = body) =>
  authenticator.check(headers).pipe(
    Effect.flatMap((checkBody) => checkBody(content)),
    Effect.map(() => "in"),
    Effect.catchTags({
      Denied: ({ reason }) => Effect.succeed(reason),
      KeysUnavailable: () => Effect.succeed("KeysUnavailable")
    })
  )

describe("a shared secret", () => {
  const [old, fresh] = ["the secret of last year", "the secret of this year"]
  const made = RequestAuth.make({ type: "shared-secret", secrets: [old, fresh].map((text) => Redacted.make(text)) })

  it.effect("lets in who sends it, also while it is changed, and nobody else", () =>
    Effect.gen(function* () {
      const authenticator = yield* made
      const bearer = (text: string) => judged(authenticator, { authorization: text })
      assert.strictEqual(yield* bearer(`Bearer ${old}`), "in")
      assert.strictEqual(yield* bearer(`bearer  ${fresh} `), "in")
      for (const wrong of [
        "",
        "Bearer",
        "Bearer ",
        old,
        `Basic ${old}`,
        `Bearer ${old}x`,
        `Bearer ${old.slice(0, -1)}`,
        `Bearer ${old} ${fresh}`,
        `Bearer ${old.toUpperCase()}`,
        `Bearer ${"x".repeat(10_000)}`
      ]) {
        assert.strictEqual(yield* bearer(wrong), "Unknown", wrong)
      }
      assert.strictEqual(yield* judged(authenticator, {}), "Unknown")
    })
  )

  it.effect("lets in who signs this body with it, within five minutes", () =>
    Effect.gen(function* () {
      const authenticator = yield* made
      yield* TestClock.setTime(1_800_000_000_000)
      const now = (yield* Clock.currentTimeMillis) / 1000
      const text = Buffer.from(body).toString()
      const sign = (seconds: number, key: string, signed = text) => ServerRig.signed(signed, seconds, key)
      for (const key of [old, fresh]) assert.strictEqual(yield* judged(authenticator, sign(now, key)), "in")
      const age = signatureAgeMs / 1000
      for (const [seconds, expected] of [
        [now - age, "in"],
        [now - age - 1, "Unknown"],
        [now + age, "in"],
        [now + age + 1, "Unknown"],
        [0, "Unknown"]
      ] as const) {
        assert.strictEqual(yield* judged(authenticator, sign(seconds, old)), expected, String(seconds))
      }
      assert.strictEqual(yield* judged(authenticator, sign(now, "the secret of others")), "Unknown")
      assert.strictEqual(yield* judged(authenticator, sign(now, old, `${text} `)), "Unknown")
      assert.strictEqual(yield* judged(authenticator, sign(now, old), encoder.encode(`${text} `)), "Unknown")
      // Bytes that are no UTF-8 read like other ones that are none.
      const [one, other] = [Uint8Array.of(0xff), Uint8Array.of(0xfe)]
      const ofBytes = createHmac("sha256", old).update(`${now}.`).update(one).digest("hex")
      const header = { [signatureHeader]: `t=${now},v1=${ofBytes}` }
      assert.strictEqual(yield* judged(authenticator, header, one), "in")
      assert.strictEqual(yield* judged(authenticator, header, other), "Unknown")
    })
  )

  it.effect("reads signatures strictly, and one that is right among several will do", () =>
    Effect.gen(function* () {
      const authenticator = yield* made
      const value = createHmac("sha256", old).update("0.").update(body).digest("hex")
      const wrong = "0".repeat(64)
      const read = (header: string) => judged(authenticator, { [signatureHeader]: header })
      for (const header of [`t=0,v1=${value}`, `v1=${value},t=0`, `t=0,v1=${wrong},v1=${value}`, `t=0, v1=${value}`]) {
        assert.strictEqual(yield* read(header), "in", header)
      }
      for (const header of [
        "",
        "t=0",
        `v1=${value}`,
        `t=0,v1=${value.toUpperCase()}`,
        `t=0,v1=${value}0`,
        `t=0,v1=${value.slice(1)}`,
        `t=0,t=0,v1=${value}`,
        `t=-0,v1=${value}`,
        `t=0.0,v1=${value}`,
        `t=0x0,v1=${value}`,
        `t=,v1=${value}`,
        `t=0,v0=${value}`,
        `t=0,v1=${value},v2=x`,
        `t=0,v1=${wrong}`,
        `t=0${`,v1=${wrong}`.repeat(8)},v1=${value}`,
        ",".repeat(5000)
      ]) {
        assert.strictEqual(yield* read(header), "Unknown", header)
      }
      // Where there is a signature it decides, so that a platform may have Authorization to itself.
      const both = { [signatureHeader]: `t=0,v1=${value}`, authorization: "Bearer of.the.platform" }
      assert.strictEqual(yield* judged(authenticator, both), "in")
      const forged = { [signatureHeader]: `t=0,v1=${wrong}`, authorization: `Bearer ${old}` }
      assert.strictEqual(yield* judged(authenticator, forged), "Unknown")
    })
  )

  it.effect("has to be one", () =>
    Effect.gen(function* () {
      for (const secrets of [[], [""], ["short"], ["a".repeat(15)], [" ".repeat(20)], ["good enough a secret", "x"]]) {
        const error = yield* Effect.flip(
          RequestAuth.make({ type: "shared-secret", secrets: secrets.map((text) => Redacted.make(text)) })
        )
        assert.strictEqual(error._tag, "InvalidAuth")
        assert.notInclude(error.message, "good enough")
      }
    })
  )
})

describe("a token", () => {
  const audience = "https://render.example.run.app"
  const account = "render@project.iam.gserviceaccount.com"
  const google = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const other = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const curve = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const seconds = Math.floor(Date.now() / 1000)
  const claims = {
    iss: "https://accounts.google.com",
    aud: audience,
    sub: "1",
    email: account,
    email_verified: true,
    iat: seconds,
    exp: seconds + 3600
  }

  const token = (
    payload: JWTPayload = claims,
    {
      alg = "RS256",
      key = google.privateKey,
      kid = "k1"
    }: { alg?: string; key?: KeyObject | Uint8Array; kid?: string } = {}
  ): Effect.Effect<string> =>
    Effect.promise(() => new SignJWT(payload).setProtectedHeader({ alg, kid, typ: "JWT" }).sign(key))

  /** A server of keys, how often it was asked, and what judges by them. */
  const setUp = Effect.gen(function* () {
    const keys = yield* Effect.promise(() => exportJWK(google.publicKey))
    let asked = 0
    let well = true
    const url = yield* Rig.server((_request, response) => {
      asked++
      response.writeHead(well ? 200 : 500, { "content-type": "application/json" })
      response.end(JSON.stringify({ keys: [{ ...keys, kid: "k1", use: "sig", alg: "RS256" }] }))
    })
    const authenticator = yield* RequestAuth.make({
      type: "id-token",
      audience,
      allowedAccounts: [account.toUpperCase()],
      jwksUrl: `${url}/certs`
    })
    const bearer = (text: string) => judged(authenticator, { authorization: `Bearer ${text}` })
    return { asked: () => asked, authenticator, bearer, break: () => (well = false), mend: () => (well = true) }
  })

  it.live("that Google signed for an account that may lets it in; keys are fetched once", () =>
    Effect.gen(function* () {
      const { asked, bearer } = yield* setUp
      assert.strictEqual(yield* bearer(yield* token()), "in")
      assert.strictEqual(yield* bearer(yield* token({ ...claims, iss: "accounts.google.com" })), "in")
      assert.strictEqual(yield* bearer(yield* token({ ...claims, exp: seconds - 5 })), "in", "a clock that is slow")
      // Made-up keys do not make them be fetched again and again.
      for (let time = 0; time < 20; time++) {
        assert.strictEqual(yield* bearer(yield* token(claims, { kid: `made-up-${time}` })), "Unknown")
      }
      assert.strictEqual(asked(), 1)
    })
  )

  it.live("does not count with anything wrong in it", () =>
    Effect.gen(function* () {
      const { bearer } = yield* setUp
      const { aud: _aud, ...noAudience } = claims
      const { exp: _exp, ...noExpiry } = claims
      const { iss: _iss, ...noIssuer } = claims
      const payloads: ReadonlyArray<JWTPayload> = [
        { ...claims, aud: "https://other.example.run.app" },
        { ...claims, aud: [] },
        { ...claims, aud: `${audience}/` },
        { ...claims, iss: "https://accounts.example.com" },
        { ...claims, exp: seconds - 60 },
        { ...claims, nbf: seconds + 600 },
        noAudience,
        noExpiry,
        noIssuer
      ]
      for (const payload of payloads) {
        assert.strictEqual(yield* bearer(yield* token(payload)), "Unknown", JSON.stringify(payload))
      }
      const good = yield* token()
      const [head = "", content = "", signature = ""] = good.split(".")
      const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
      const publicPem = google.publicKey.export({ type: "spki", format: "pem" })
      const forgeries = [
        yield* token(claims, { key: other.privateKey }),
        // Signed with what everybody knows.
        yield* token(claims, { alg: "HS256", key: encoder.encode(String(publicPem)) }),
        yield* token(claims, { alg: "RS384" }),
        yield* token(claims, { alg: "PS256" }),
        yield* token(claims, { alg: "ES256", key: curve.privateKey }),
        `${encoded({ alg: "none" })}.${content}.`,
        `${encoded({ alg: "none", kid: "k1" })}.${content}.${signature}`,
        `${encoded({ alg: "RS256", kid: "k1", jwk: other.publicKey.export({ format: "jwk" }) })}.${content}.${signature}`,
        `${head}.${encoded({ ...claims, email: "root@example.com" })}.${signature}`,
        `${head}.${content}.`,
        `${head}.${content}`,
        `${head}.${content}.SIGNATURE_REMOVED_BY_GOOGLE`,
        `${good}.${signature}`,
        `${good}x`,
        `${head}.${content}.${signature.slice(0, -2)}`,
        "x",
        "..",
        "a.b.c",
        "x".repeat(10_000)
      ]
      for (const forged of forgeries) assert.strictEqual(yield* bearer(forged), "Unknown", forged.slice(0, 200))
    })
  )

  it.live("of somebody else, or that does not say whose it is for sure, is one of who may not", () =>
    Effect.gen(function* () {
      const { bearer } = yield* setUp
      const { email: _email, ...nobody } = claims
      const payloads: ReadonlyArray<JWTPayload> = [
        { ...claims, email: "render@evil.iam.gserviceaccount.com" },
        { ...claims, email: `${account}.evil.example` },
        { ...claims, email_verified: false },
        { ...claims, email_verified: "true" },
        { ...claims, email: [account] },
        nobody
      ]
      for (const payload of payloads) {
        assert.strictEqual(yield* bearer(yield* token(payload)), "Forbidden", JSON.stringify(payload))
      }
    })
  )

  it.live("cannot be judged without keys, which are asked for anew", () =>
    Effect.gen(function* () {
      const { bearer, break: breakDown, mend } = yield* setUp
      breakDown()
      assert.strictEqual(yield* bearer(yield* token()), "KeysUnavailable")
      mend()
      assert.strictEqual(yield* bearer(yield* token()), "in")
      // Who has keys already does not need the server.
      breakDown()
      assert.strictEqual(yield* bearer(yield* token()), "in")
      const unreachable = yield* RequestAuth.make({
        type: "id-token",
        audience,
        allowedAccounts: [account],
        jwksUrl: "http://127.0.0.1:1/certs"
      })
      const asked = judged(unreachable, { authorization: `Bearer ${yield* token()}` })
      assert.strictEqual(yield* asked, "KeysUnavailable")
      const strange = yield* Rig.server((_request, response) => response.end(`{"keys":5}`))
      const confused = yield* RequestAuth.make({
        type: "id-token",
        audience,
        allowedAccounts: [account],
        jwksUrl: strange
      })
      assert.strictEqual(yield* judged(confused, { authorization: `Bearer ${yield* token()}` }), "KeysUnavailable")
    })
  )

  it.live("is in no message", () =>
    Effect.gen(function* () {
      const { authenticator } = yield* setUp
      const texts = [yield* token(claims, { key: other.privateKey }), yield* token({ ...claims, email: "x@y.example" })]
      for (const text of texts) {
        const error = yield* Effect.flip(authenticator.check({ authorization: `Bearer ${text}` }))
        for (const part of text.split(".")) assert.notInclude(JSON.stringify(error) + error.message, part)
      }
    })
  )

  it.effect("needs to be told whose tokens count, and for whom they have to be", () =>
    Effect.gen(function* () {
      const good = { type: "id-token", audience, allowedAccounts: [account] } as const
      for (const bad of [
        { ...good, audience: "" },
        { ...good, audience: [] },
        { ...good, allowedAccounts: [] },
        { ...good, allowedAccounts: [""] },
        { ...good, issuers: [] },
        { ...good, jwksUrl: "certs" }
      ]) {
        assert.strictEqual((yield* Effect.flip(RequestAuth.make(bad)))._tag, "InvalidAuth", JSON.stringify(bad))
      }
    })
  )
})

describe("nobody's word", () => {
  it.effect("is enough where the platform has asked already", () =>
    Effect.gen(function* () {
      const platform = yield* RequestAuth.make({ type: "platform" })
      assert.strictEqual(yield* judged(platform, {}), "in")
      assert.isTrue(platform.anywhere)
    })
  )

  it.effect("is enough on this machine, under its own names", () =>
    Effect.gen(function* () {
      const none = yield* RequestAuth.make({ type: "none" })
      assert.isFalse(none.anywhere)
      for (const host of ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.1.2.3:80", "[::1]:8080", "[::1]"]) {
        assert.strictEqual(yield* judged(none, { host }), "in", host)
      }
      for (const host of ["", "example.com", "localhost.example.com:8080", "10.0.0.1", "[::2]:8080", "0.0.0.0"]) {
        assert.strictEqual(yield* judged(none, { host }), "Forbidden", host)
      }
    })
  )
})
