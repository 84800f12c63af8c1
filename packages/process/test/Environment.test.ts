import * as Environment from "@helios-infra/process/Environment"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

describe("Environment.pick", () => {
  it("lets through exact names and prefixes, and nothing else", () => {
    const parent = { PATH: "/bin", LC_ALL: "C", LC_: "x", LCD: "y", PATHS: "z", GONE: undefined, "*": "s" }
    assert.deepStrictEqual(Environment.pick(parent, ["PATH", "LC_*", "GONE"]), { PATH: "/bin", LC_ALL: "C", LC_: "x" })
  })

  it("lets nothing through an empty list", () => {
    assert.deepStrictEqual(Environment.pick({ PATH: "/bin" }, []), {})
  })

  it("keeps credentials away by default", () => {
    const secrets = `AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GOOGLE_APPLICATION_CREDENTIALS GITHUB_TOKEN NPM_TOKEN
      NODE_AUTH_TOKEN DATABASE_URL PGPASSWORD SSH_AUTH_SOCK HTTPS_PROXY NODE_OPTIONS LD_PRELOAD HELIOS_ATTEMPT`.split(
      /\s+/
    )
    const parent = { PATH: "/bin", LANG: "C.UTF-8", ...Object.fromEntries(secrets.map((name) => [name, "secret"])) }
    assert.deepStrictEqual(Environment.pick(parent), { PATH: "/bin", LANG: "C.UTF-8" })
  })

  it("treats names that JavaScript treats specially like any other", () => {
    const parent: Record<string, string> = Object.fromEntries([
      ["__proto__", "x"],
      ["constructor", "y"]
    ])
    assert.deepStrictEqual(Environment.pick(parent, ["constructor"]), { constructor: "y" })
    assert.deepStrictEqual(Environment.pick({}, ["constructor", "toString"]), {})
  })
})

describe("Environment.ParentEnvironment", () => {
  it.effect("is this process's unless another one is given", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Environment.ParentEnvironment)["PATH"], process.env["PATH"])
      const given = yield* Environment.ParentEnvironment.pipe(
        Effect.provideService(Environment.ParentEnvironment, { PATH: "/elsewhere" })
      )
      assert.deepStrictEqual(given, { PATH: "/elsewhere" })
    })
  )
})
