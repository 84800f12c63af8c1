import { assert, describe, it } from "@effect/vitest"
import { JobRepository, Plugin } from "@helios-infra/core"
import { SqlPlugin } from "@helios-infra/repository-sql"
import { Effect, Redacted, Stream } from "effect"
import * as path from "node:path"
import { created, temporary } from "./Jobs.ts"
import * as Postgres from "./Postgres.ts"

const server = Postgres.shared()

const resolve = Effect.fnUntraced(function* (options: object) {
  const registry = yield* Plugin.registry([SqlPlugin.sqlite, SqlPlugin.postgres])
  return yield* registry.resolve("repository", options)
})

const create = JobRepository.JobRepository.use((jobs) => jobs.create("job", created))
const ids = JobRepository.JobRepository.use((jobs) => Stream.runCollect(jobs.list())).pipe(
  Effect.map((jobs) => jobs.map(({ id }) => id))
)

describe('{ "type": "sqlite" }', () => {
  it.live("keeps jobs in the file that it names", () =>
    Effect.gen(function* () {
      const options = { type: "sqlite", filename: path.join(yield* temporary, "jobs.db") }
      yield* Effect.provide(create, yield* resolve({ ...options, patience: "5 seconds" }))
      assert.deepStrictEqual(yield* Effect.provide(ids, yield* resolve(options)), ["job"])
    })
  )

  it.live("says why it could not start", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      const error = yield* Effect.flip(Effect.provide(ids, yield* resolve({ type: "sqlite", filename })))
      assert(error._tag === "PluginError" && error.reason._tag === "CannotStart")
      assert.match(error.message, /^repository "sqlite": it could not start: /)
      assert.include(error.message, filename)
    })
  )
})

describe('{ "type": "postgres" }', () => {
  it.live("keeps jobs in the database that it names", () =>
    Effect.gen(function* () {
      const url = Redacted.value(yield* (yield* server).database)
      const options = { type: "postgres", url, schema: "renders" }
      yield* Effect.provide(create, yield* resolve({ ...options, connections: 1, patience: 5000 }))
      assert.deepStrictEqual(yield* Effect.provide(ids, yield* resolve(options)), ["job"])
      assert.deepStrictEqual(yield* Effect.provide(ids, yield* resolve({ type: "postgres", url })), [])
    })
  )

  it.live("says why it could not start, and not the password", () =>
    Effect.gen(function* () {
      const url = "postgres://me:my-secret@127.0.0.1:1/jobs"
      const error = yield* Effect.flip(Effect.provide(ids, yield* resolve({ type: "postgres", url })))
      assert.include(error.message, "Postgres at 127.0.0.1:1/jobs: it cannot be reached")
      assert.notInclude(error.message, "my-secret")
    })
  )
})

describe("options that are wrong", () => {
  it.effect.each([
    [{ type: "sqlite" }, "filename"],
    [{ type: "sqlite", filename: "" }, "filename"],
    [{ type: "sqlite", filename: "jobs.db", patience: "long" }, "patience"],
    [{ type: "sqlite", filename: "jobs.db", url: "x" }, "url"],
    [{ type: "postgres" }, "url"],
    [{ type: "postgres", url: 5 }, "url"],
    [{ type: "postgres", url: "postgres://x", connections: 0 }, "connections"],
    [{ type: "postgres", url: "postgres://x", schema: "" }, "schema"],
    [{ type: "postgres", url: "postgres://x", sslmode: "require" }, "sslmode"]
  ] as const)("are named: %j", ([options, field]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve(options))
      assert(error.reason._tag === "InvalidConfig")
      assert.deepStrictEqual(
        error.reason.issues.map((issue) => issue.path),
        [field]
      )
    })
  )
})
