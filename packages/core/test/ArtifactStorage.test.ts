import { ArtifactStorage } from "@helios-infra/core"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"

const { ArtifactError, checkContent, checkKey, keyOf, locationOf } = ArtifactStorage

const isKey = Schema.is(ArtifactStorage.ArtifactKey)

describe("a key", () => {
  it.each(["a", "a/b/c.mov", ".hidden", "...", "a..b", " a", "a b", "日本/🎬", "%2F..", "a:b", "con", "x".repeat(900)])(
    "may be %j",
    (key) => assert.isTrue(isKey(key))
  )

  it.each([
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/./b",
    "a\\b",
    "a\0",
    "a\nb",
    "\u0085",
    "a\ud800",
    "x".repeat(901),
    "日".repeat(301)
  ])("may not be %j", (key) => assert.isFalse(isKey(key)))

  it.effect.prop("leads nowhere but below a folder", [Arbitrary.schema(Schema.String)], ([key]) =>
    Effect.gen(function* () {
      const checked = yield* Effect.exit(checkKey(key))
      assert.strictEqual(checked._tag === "Success", isKey(key))
      if (!isKey(key)) return
      const { pathname } = new URL(`file:///root/${key.split("/").map(encodeURIComponent).join("/")}`)
      assert.isTrue(pathname.startsWith("/root/") && pathname.length > "/root/".length)
    })
  )

  it.effect("that is none says so", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(checkKey("../a"))
      assert.deepInclude(error, { key: "../a", reason: "InvalidKey" })
      assert.match(error.message, /^artifact "\.\.\/a": .*no empty part, "\." or "\.\."/)
    })
  )
})

describe("checkContent", () => {
  const came = { bytes: 3, sha256: "a".repeat(64) }

  it.effect("takes what is what was told, as far as it was", () =>
    Effect.gen(function* () {
      yield* checkContent("a", {}, came)
      yield* checkContent("a", { bytes: 3 }, came)
      yield* checkContent("a", came, came)
    })
  )

  it.effect.each([
    [{ bytes: 4 }, "4 bytes were told, 3 came"],
    [{ bytes: 0 }, "0 bytes were told, 3 came"],
    [{ bytes: 3, sha256: "b".repeat(64) }, `its SHA-256 is ${"a".repeat(64)}, not ${"b".repeat(64)}`]
  ] as const)("refuses what is not %j", ([told, words]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(checkContent("a", told, came))
      assert.strictEqual(error.reason, "Corrupt")
      assert.include(error.message, words)
    })
  )
})

describe("a location", () => {
  it("is that of an artifact, or of something else", () => {
    for (const key of ["a", "jobs/1/output.mov", "日本 ?#%2F"]) assert.strictEqual(keyOf(locationOf(key)), key)
    for (const other of ["/job/part.mov", "https://example.com/a", "part.mov", ""]) assert.isUndefined(keyOf(other))
  })
})

describe("ArtifactError", () => {
  it("has a message of its own for every reason, with the key and the cause", () => {
    const { literals } = ArtifactError.fields.reason
    const messages = literals.map(
      (reason) => new ArtifactError({ key: "a b", reason, cause: new Error("why") }).message
    )
    assert.strictEqual(new Set(messages).size, literals.length)
    for (const message of messages) assert.match(message, /^artifact "a b"/)
    assert.isAtLeast(messages.filter((message) => message.includes("why")).length, 6)
  })

  it.effect("crosses the wire", () =>
    Effect.gen(function* () {
      const codec = Schema.fromJsonString(Schema.toCodecJson(ArtifactError))
      const error = new ArtifactError({ key: "a", reason: "Changed", cause: new Error("why") })
      const back = yield* Schema.decodeEffect(codec)(yield* Schema.encodeEffect(codec)(error))
      assert.instanceOf(back, ArtifactError)
      assert.strictEqual(back.message, error.message)
    })
  )
})
