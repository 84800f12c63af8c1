import { assert, describe, it } from "@effect/vitest"
import * as Sources from "@helios-infra/worker-runtime/Sources"
import { Effect, Result } from "effect"

const options = { sources: [], storage: false, allowLocal: false }

describe("sources", () => {
  it.effect("are beginnings of https URLs, or absolute folders, and nothing else", () =>
    Effect.gen(function* () {
      for (const source of [
        "",
        "jobs",
        "./jobs",
        "http://a.example",
        "ftp://a.example",
        "https://u:p@a.example",
        "https://"
      ]) {
        const error = yield* Effect.flip(Sources.make({ ...options, sources: ["https://a.example", source] }))
        assert.instanceOf(error, Sources.InvalidSource)
        assert.include(error.message, "sources")
        assert.notInclude(error.message, ":p@")
      }
      yield* Sources.make({ ...options, sources: ["http://127.0.0.1:80/x"], allowLocal: true })
    })
  )

  it.effect("allow what lies below them, however it is written", () =>
    Effect.gen(function* () {
      const { locate } = yield* Sources.make({
        ...options,
        sources: ["https://A.example:443/jobs", "/mnt/jobs", "/srv"]
      })
      const taken = (location: string) => Result.isSuccess(locate(location))
      for (const location of [
        "https://a.example/jobs",
        "https://a.example/jobs/x.json?sig=1",
        "HTTPS://a.EXAMPLE/jobs/a%20b",
        "https://a.example/other/../jobs/x",
        "/mnt/jobs/x",
        "/srv/x",
        "x/y.json"
      ]) {
        assert.isTrue(taken(location), location)
      }
      for (const location of [
        "https://a.example/jobsx",
        "https://a.example/",
        "https://a.example/jobs/../x",
        "https://a.example/jobs/%2e%2e/x",
        "https://a.example/jobs/%2E%2E%2fx",
        "https://a.example/jobs/a\\..\\..\\x",
        "https://a.example/jobs/%zz",
        "https://b.example/jobs/x",
        "//a.example/jobs/x",
        "/mnt/jobs",
        "/mnt/jobs/../x",
        "/mnt/jobsx/y",
        "../x",
        "x\0y",
        "artifact:x"
      ]) {
        assert.isFalse(taken(location), location)
      }
    })
  )

  it.effect("are nothing by default, and say so", () =>
    Effect.gen(function* () {
      const { locate } = yield* Sources.make(options)
      const refused = locate("https://a.example/x?sig=hush")
      assert(Result.isFailure(refused))
      assert.include(refused.failure.fix, "https://a.example/x")
      assert.notInclude(refused.failure.fix, "hush")
    })
  )
})
